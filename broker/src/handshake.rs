//! From the first byte of a connection to its CONNACK: who is it, may it, and which session does it get?

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tidegate_trust::IdentityError;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::access::{
    ClientIdProblem, Identity, check_client_id, could_be_another_gateways, generated_client_id,
};
use crate::broker::Broker;
use crate::config::Tls;
use crate::mqtt::{Connect, ConnectCode, Decoded, Malformed, Message, Packet, Password, decode};
use crate::registry::{Held, SeatRefused};
use crate::router::{Link, RouterGone};
use crate::session::{Effect, Session, Violation};
use crate::transport::Presented;
use crate::users::LoginRefused;

/// A CONNECT with will and credentials may be so long; more memory than this nobody gets before saying who it is.
pub const MAX_CONNECT_BYTES: usize = 16 * 1024;

/// A client that was let in.
#[derive(Debug)]
pub struct Admitted {
    pub held: Held,
    pub session: Session,
    pub link: Link,
    /// Whether the session was kept from before.
    pub resumed: bool,
    pub clean_session: bool,
    pub will: Option<Message>,
    /// One and a half times what the client promised; `None` when it promised nothing.
    pub silence_limit: Option<Duration>,
}

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no CONNECT within limits.connect_timeout_ms")]
    Timeout,
    #[error("the connection was closed before its CONNECT")]
    Closed,
    #[error("the first packet is not a CONNECT")]
    NotConnect,
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("wrong user name or password")]
    BadCredentials,
    #[error("clients without credentials are not let in; see allow_anonymous")]
    Anonymous,
    #[error("client id: {0}")]
    ClientId(#[from] ClientIdProblem),
    #[error("client id \"{id}\": {problem}; its certificate is for {user}")]
    NotTheCertificates { id: String, problem: ClientIdProblem, user: Arc<str> },
    #[error("{0}")]
    Certificate(#[from] IdentityError),
    #[error("client id: another user is connected with it")]
    ForeignClientId,
    #[error("the connection that holds this client id did not end in time")]
    Occupied,
    #[error("will: {0}")]
    Will(Violation),
    #[error("{0}")]
    Router(#[from] RouterGone),
}

impl Refusal {
    /// The label of the metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "connect-timeout",
            Self::Closed => "closed",
            Self::NotConnect | Self::Malformed(_) => "protocol",
            Self::BadCredentials => "credentials",
            Self::Anonymous => "anonymous",
            Self::ClientId(_) | Self::ForeignClientId | Self::NotTheCertificates { .. } => "client-id",
            Self::Certificate(_) => "certificate",
            Self::Occupied => "occupied",
            Self::Will(_) => "will",
            Self::Router(_) => "router",
        }
    }

    /// The CONNACK code, where the standard has one.
    pub fn code(&self) -> Option<ConnectCode> {
        match self {
            Self::Malformed(Malformed::Protocol) => Some(ConnectCode::ProtocolVersion),
            Self::Timeout | Self::Closed | Self::NotConnect | Self::Malformed(_) => None,
            Self::BadCredentials => Some(ConnectCode::BadCredentials),
            Self::Anonymous | Self::Will(_) | Self::NotTheCertificates { .. } | Self::Certificate(_) => {
                Some(ConnectCode::NotAuthorised)
            }
            Self::ClientId(_) | Self::ForeignClientId => Some(ConnectCode::ClientId),
            Self::Occupied | Self::Router(_) => Some(ConnectCode::Unavailable),
        }
    }
}

/// Reads up to the end of the CONNECT. What follows it stays in `buffer`.
pub async fn read_connect(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> Result<Connect, Refusal> {
    loop {
        match decode(buffer, MAX_CONNECT_BYTES)? {
            Decoded::Packet(Packet::Connect(connect)) => return Ok(*connect),
            Decoded::Packet(_) => return Err(Refusal::NotConnect),
            Decoded::Incomplete(_) => {}
        }
        // Something that is no CONNECT is not worth waiting for its end.
        if buffer.first().is_some_and(|first| first >> 4 != 1) {
            return Err(Refusal::NotConnect);
        }
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) => return Err(Refusal::Closed),
            Ok(_) => {}
        }
    }
}

/// Decides about a CONNECT and prepares its session.
pub async fn admit(
    broker: &Broker,
    connect: Connect,
    certificate: Option<&Presented>,
) -> Result<Admitted, Refusal> {
    let (identity, client_id) = match certificate {
        Some(certificate) => {
            let identity = Identity::from(certificate.identity()?);
            let client_id = client_id(broker, &identity, &connect);
            let client_id =
                client_id.map_err(|refusal| not_the_certificates(refusal, &identity, &connect))?;
            (identity, client_id)
        }
        None => {
            let identity = login(broker, &connect)?;
            let client_id = client_id(broker, &identity, &connect)?;
            (identity, client_id)
        }
    };
    let limits = &broker.config.limits;
    let mut session = Session::new(identity.clone(), limits.session, connect.clean_session);
    if let Some(will) = &connect.will {
        session.authorise(&will.topic, &broker.catalogue).map_err(Refusal::Will)?;
    }
    let (held, kept) =
        broker.registry.take_seat(&client_id, &identity, limits.connect_timeout).await.map_err(
            |refused| match refused {
                SeatRefused::Foreign => Refusal::ForeignClientId,
                SeatRefused::Busy => Refusal::Occupied,
            },
        )?;
    let kept = match kept.filter(|_| !connect.clean_session) {
        Some(kept) => revive(broker, &client_id, kept.session, kept.link).await?,
        None => None,
    };
    let resumed = kept.is_some();
    let (session, link) = match kept {
        Some(kept) => kept,
        None => (session, broker.router().link().await?),
    };
    let silence_limit = match connect.keep_alive_s {
        0 => None,
        seconds => Some(Duration::from_millis(u64::from(seconds) * 1500)),
    };
    let Connect { clean_session, will, .. } = connect;
    Ok(Admitted { held, session, link, resumed, clean_session, will, silence_limit })
}

fn login(broker: &Broker, connect: &Connect) -> Result<Identity, Refusal> {
    let login = broker
        .config
        .users
        .login(connect.user.as_deref(), connect.password.as_ref().map(|Password(given)| &given[..]));
    login.cloned().map_err(|refused| match refused {
        LoginRefused::BadCredentials => Refusal::BadCredentials,
        LoginRefused::Anonymous => Refusal::Anonymous,
    })
}

fn client_id(broker: &Broker, identity: &Identity, connect: &Connect) -> Result<String, Refusal> {
    let id = if connect.client_id.is_empty() && connect.clean_session {
        // Only uniqueness counts here, and the registry sees to that even if two should collide.
        let random = getrandom::u64().map_err(|_| Refusal::ClientId(ClientIdProblem::Empty))?;
        generated_client_id(identity, random)
    } else {
        connect.client_id.clone()
    };
    check_client_id(identity, &id, broker.config.users.identities())?;
    let by_certificate = broker.config.tls.as_ref().is_some_and(Tls::tells_clients_apart);
    if by_certificate && could_be_another_gateways(identity, &id) {
        return Err(Refusal::ClientId(ClientIdProblem::Reserved));
    }
    Ok(id)
}

/// A name that belongs to somebody else is a question of rights where certificates say who is who.
fn not_the_certificates(refusal: Refusal, identity: &Identity, connect: &Connect) -> Refusal {
    match refusal {
        Refusal::ClientId(
            problem @ (ClientIdProblem::NotTheGateways
            | ClientIdProblem::Reserved
            | ClientIdProblem::ReservedForIngest),
        ) => {
            let (id, user) = (connect.client_id.clone(), Arc::clone(&identity.user));
            Refusal::NotTheCertificates { id, problem, user }
        }
        other => other,
    }
}

/// A kept session whose router was replaced meanwhile subscribes again at the new one. Where others have used up the filters
/// since, it ends: the client is told that there is none, and asks for what it needs anew.
async fn revive(
    broker: &Broker,
    client: &str,
    mut session: Session,
    link: Link,
) -> Result<Option<(Session, Link)>, Refusal> {
    if !link.router().lost().is_cancelled() {
        return Ok(Some((session, link)));
    }
    let mut link = broker.router().link().await?;
    let Some(effects) = session.resubscribe(&broker.catalogue) else {
        broker.metrics.refuse_action("subscribe", 1);
        tracing::warn!(
            client,
            "the router was restarted, and limits.max_filters has no room for the filters of this kept session: it ends"
        );
        return Ok(None);
    };
    for effect in effects {
        if let Effect::Subscribe { filter, number } = effect {
            link.subscribe(filter, number)?;
        }
    }
    Ok(Some((session, link)))
}
