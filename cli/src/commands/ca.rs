//! `tidegate ca`: the authority that says who is who, in one folder of one machine.

use std::{
    io::Write,
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tidegate_enrolment::{
    authority::{Authority, Setup, service},
    identity::IdentityFile,
};
use tidegate_trust::{
    Identity,
    certificate::{Certificate, date},
    files::first_certificate,
};

use crate::{error::CliError, instant::parse_duration};

const SERVICE_PORT: u16 = 8884;
const BROKER_PORT: u16 = 8883;

/// Where an authority is.
#[derive(Debug, clap::Args)]
pub struct Folder {
    /// The authority's folder.
    #[arg(long = "dir", env = "TIDEGATE_CA", value_name = "FOLDER", default_value = "/etc/tidegate/ca")]
    path: PathBuf,
}

impl Folder {
    pub fn open(&self) -> Result<Authority, CliError> {
        Ok(Authority::open(&self.path)?)
    }
}

/// Make an authority, have it sign, and let gateways enrol with it
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make an authority where there is none
    Init {
        #[command(flatten)]
        folder: Folder,
        /// The name or IPv4 address by which gateways reach this machine, and the broker on it.
        #[arg(long, value_parser = parse_host)]
        host: String,
        /// Shown in the authority's certificate.
        #[arg(long, default_value = "Tidegate")]
        name: String,
        /// Where gateways reach the service that enrols and renews; HOST:8884 where it is not given.
        #[arg(long, value_name = "HOST:PORT")]
        service: Option<String>,
        /// Where they reach the broker; HOST:8883 where it is not given.
        #[arg(long, value_name = "HOST:PORT")]
        broker: Option<String>,
        /// How long a gateway's certificate lasts; it is renewed after two thirds of it.
        #[arg(long, value_parser = parse_duration, default_value = "90d", value_name = "DURATION")]
        gateways_for: Duration,
    },
    /// Show what an authority is, and its fingerprint
    Show {
        #[command(flatten)]
        folder: Folder,
    },
    /// Make a key and sign a certificate for it, for a program on this machine: both in one file
    #[command(subcommand)]
    Issue(Issue),
    /// Enrol and renew gateways until it is ended
    Serve {
        #[command(flatten)]
        folder: Folder,
        /// Where to listen; all addresses, and the service's port, where it is not given.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
    },
}

#[derive(Debug, clap::Subcommand)]
pub enum Issue {
    /// For a server at these names and addresses: the broker, the ingest's page
    Server {
        /// As clients call it.
        #[arg(required = true, value_name = "HOST")]
        names: Vec<String>,
        #[command(flatten)]
        rest: IssueRest,
    },
    /// For the ingest, an observer or an operator: ROLE, or ROLE/NAME to tell several apart
    Role {
        #[arg(value_name = "ROLE")]
        role: String,
        #[command(flatten)]
        rest: IssueRest,
    },
}

#[derive(Debug, clap::Args)]
pub struct IssueRest {
    #[command(flatten)]
    folder: Folder,
    /// The file for key and certificate; only its owner will be able to read it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Do nothing where the certificate that is there lasts longer than this: for a timer that runs this command.
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    unless_lasts: Option<Duration>,
}

pub async fn run(command: Command) -> Result<ExitCode, CliError> {
    let mut out = std::io::stdout();
    match command {
        Command::Init { folder, host, name, service, broker, gateways_for } => {
            let at = |port: u16| format!("{host}:{port}");
            let service = service.unwrap_or_else(|| at(SERVICE_PORT));
            let broker = broker.unwrap_or_else(|| at(BROKER_PORT));
            let setup =
                Setup { gateway_seconds: gateways_for.as_secs(), ..Setup::new(&name, &service, &broker) };
            let authority = Authority::init(&folder.path, setup)?;
            write!(out, "{}", next_steps(&authority, &folder.path, &host))?;
        }
        Command::Show { folder } => show(&folder.open()?, &mut out)?,
        Command::Issue(issue) => issued(issue, &mut out)?,
        Command::Serve { folder, listen } => return serve(folder.open()?, listen).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// An agent takes no other for its broker's.
fn parse_host(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains([':', '/', '[', ' ']) {
        return Err("give a name like broker.example, or an IPv4 address, without a port".to_owned());
    }
    Ok(text.to_owned())
}

fn next_steps(authority: &Authority, folder: &Path, host: &str) -> String {
    let folder = folder.display();
    format!(
        "made the authority {name} in {folder}\n\
         \x20 fingerprint: {fingerprint}\n\
         \x20 {folder}/ca.key makes anybody anyone: keep it on this machine, and a copy of the folder in a safe place\n\n\
         next:\n\
         \x20 tidegate ca issue server {host} --dir {folder} --out broker.pem    # [tls] of broker.toml: certificate and key\n\
         \x20 tidegate ca issue role ingest --dir {folder} --out ingest.pem      # [broker.tls] of ingest.toml: certificate and key\n\
         \x20 tidegate ca serve --dir {folder}                                   # enrols and renews, at {service}\n\
         \x20 tidegate gateway invite SITE/GATEWAY --dir {folder}                # prints a line for `tidegate-agent enroll`\n\
         ca.pem is the `ca` of everybody and `client_ca` of the broker, {folder}/revoked.pem its `crl`\n",
        name = authority.setup().name,
        fingerprint = authority.fingerprint(),
        service = authority.setup().service,
    )
}

fn show(authority: &Authority, out: &mut impl Write) -> Result<(), CliError> {
    let setup = authority.setup();
    let certificate = first_certificate(&authority.path("ca.pem"))?;
    let days = setup.gateway_seconds / 86_400;
    writeln!(out, "authority    {}, until {}", setup.name, date(certificate.not_after))?;
    writeln!(out, "fingerprint  {}", authority.fingerprint())?;
    writeln!(out, "service      {}", setup.service)?;
    writeln!(out, "broker       {}", setup.broker)?;
    writeln!(out, "gateways'    certificates last {days} days")?;
    Ok(())
}

fn issued(issue: Issue, out: &mut impl Write) -> Result<(), CliError> {
    let rest = match &issue {
        Issue::Server { rest, .. } | Issue::Role { rest, .. } => rest,
    };
    let authority = rest.folder.open()?;
    let file = IdentityFile::new(&rest.out);
    let present = rest.unless_lasts.and_then(|least| Some((least, first_certificate(file.path()).ok()?)));
    if let Some((least, present)) = present
        && u64::try_from(present.seconds_left()).is_ok_and(|left| left > least.as_secs())
    {
        writeln!(out, "{} lasts until {}: nothing to do", file.path().display(), date(present.not_after))?;
        return Ok(());
    }
    match &issue {
        Issue::Server { names, .. } => authority.issue_server(names, &file)?,
        Issue::Role { role, .. } => {
            let identity: Identity = format!("tidegate:role/{role}").parse()?;
            authority.issue_identity(&identity, &file)?;
        }
    }
    let certificate: Certificate = first_certificate(file.path())?;
    let whom = [certificate.uris.as_slice(), certificate.hosts.as_slice()].concat().join(", ");
    writeln!(
        out,
        "{}: key and certificate for {whom}, until {}",
        file.path().display(),
        date(certificate.not_after)
    )?;
    Ok(())
}

async fn serve(authority: Authority, listen: Option<SocketAddr>) -> Result<ExitCode, CliError> {
    let port = authority.setup().service.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let listen = listen.unwrap_or((Ipv6Addr::UNSPECIFIED, port.unwrap_or(SERVICE_PORT)).into());
    tidegate_service::init_logging(tidegate_service::LogFormat::default());
    let (named, fingerprint) = (authority.setup().service.clone(), authority.fingerprint());
    let serving = service::start(authority, listen).await?;
    tracing::info!(address = %serving.address, service = named, %fingerprint, "the authority enrols and renews");
    tidegate_service::notify_ready();
    tidegate_service::termination().await;
    tidegate_service::notify_stopping();
    serving.stop().await;
    Ok(ExitCode::SUCCESS)
}
