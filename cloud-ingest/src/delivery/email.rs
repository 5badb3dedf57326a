//! One attempt at an email. An answer of 5xx is final, but those that speak of the login (530 to 538): a password is set right
//! in a while, and the alarm is as good as before.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::header::ContentType,
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use secrecy::ExposeSecret;

use super::{EmailTarget, Failure, compose::Composed, settings::TlsSettings};

/// For each step of the talk with the server.
const STEP_LIMIT: Duration = Duration::from_secs(20);
/// For all of it.
const WHOLE_LIMIT: Duration = Duration::from_secs(60);

pub async fn send(target: &EmailTarget, message: &Composed) -> Result<(), Failure> {
    let mail = mail(target, message).map_err(Failure::permanent)?;
    let transport = transport(target).map_err(|error| Failure::temporary(describe(&error)))?;
    match tokio::time::timeout(WHOLE_LIMIT, transport.send(mail)).await {
        Ok(Ok(_said)) => Ok(()),
        Ok(Err(error)) => Err(judge(&error)),
        Err(_) => Err(Failure::temporary(format!("not sent within {} s", WHOLE_LIMIT.as_secs()))),
    }
}

fn judge(error: &SmtpError) -> Failure {
    let is_of_login = error.status().is_some_and(|code| (530..=538).contains(&u16::from(code)));
    let why = describe(error);
    if error.is_permanent() && !is_of_login { Failure::permanent(why) } else { Failure::temporary(why) }
}

/// With its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The message's id stays, so that a mailbox that gets it twice can tell.
fn mail(target: &EmailTarget, message: &Composed) -> Result<Message, String> {
    let domain = target.from.email.domain();
    let mut mail = Message::builder()
        .from(target.from.clone())
        .subject(message.subject.clone())
        .message_id(Some(format!("<{}@{domain}>", message.id)))
        .date_now()
        .header(ContentType::TEXT_PLAIN);
    for to in &target.to {
        mail = mail.to(to.clone());
    }
    mail.body(message.text.clone()).map_err(|error| format!("the mail cannot be written: {error}"))
}

fn transport(target: &EmailTarget) -> Result<AsyncSmtpTransport<Tokio1Executor>, SmtpError> {
    let parameters = || {
        let mut parameters = TlsParameters::builder(target.host.clone());
        if let Some(pem) = &target.ca {
            parameters = parameters.add_root_certificate(Certificate::from_pem(pem)?);
        }
        parameters.build_rustls()
    };
    let tls = match target.tls {
        TlsSettings::None => Tls::None,
        TlsSettings::Starttls => Tls::Required(parameters()?),
        TlsSettings::Tls => Tls::Wrapper(parameters()?),
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(target.host.clone())
        .port(target.port)
        .tls(tls)
        .timeout(Some(STEP_LIMIT));
    if let Some((user, password)) = &target.login {
        transport =
            transport.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
    }
    Ok(transport.build())
}
