//! `tidegate-agent enroll`: from an invitation to a gateway that the broker lets in.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use tidegate_agent::Config;
use tidegate_enrolment::{
    Token,
    gateway::{Enrolled, Places, enrol},
    identity::IdentityFile,
};
use tidegate_service::{SettingsError, durable};
use tidegate_trust::certificate::date;
use zeroize::Zeroizing;

use crate::ConfigFile;

/// An invitation is much shorter.
const MAX_INPUT_BYTES: u64 = 4_096;

#[derive(Args)]
pub struct EnrollCommand {
    /// The invitation that `tidegate gateway invite` printed; without it, it is read from standard input, where no list of
    /// processes shows it
    token: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
}

/// What the configuration says, or will say.
struct Plan {
    places: Places,
    /// To be written once the broker's address is known.
    missing: bool,
}

pub fn run(command: EnrollCommand) -> anyhow::Result<()> {
    let token = read_token(command.token)?;
    let file = command.config.path;
    let plan = plan(&file, &token)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    eprintln!("asking {} for a certificate", token.service);
    let enrolled = runtime.block_on(enrol(&token, &plan.places))?;
    if plan.missing {
        write_configuration(&file, &plan, &token, &enrolled)?;
    }
    report(&file, &plan, &enrolled);
    Ok(())
}

fn read_token(argument: Option<String>) -> anyhow::Result<Token> {
    let text = match argument.filter(|text| text != "-") {
        Some(text) => Zeroizing::new(text),
        None => {
            let mut text = Zeroizing::new(String::new());
            let read = io::stdin().take(MAX_INPUT_BYTES).read_to_string(&mut text);
            read.context("reading the invitation from standard input")?;
            text
        }
    };
    Ok(text.parse()?)
}

/// Looks whether all that is there fits the invitation, before it is used up.
fn plan(file: &Path, token: &Token) -> anyhow::Result<Plan> {
    let folder = file.parent().unwrap_or(Path::new(""));
    if !file.exists() {
        let home = home(file);
        for made in [folder, &home] {
            fs::create_dir_all(made).with_context(|| format!("making {}", made.display()))?;
        }
        let identity = IdentityFile::new(home.join("identity.pem"));
        return Ok(Plan { places: Places { identity, authority: home.join("ca.pem") }, missing: true });
    }
    let config = Config::load(file)?;
    if (config.path.site, config.path.gateway) != (token.site, token.gateway) {
        bail!(
            "{}: this is gateway {} of site {}, and the invitation is for {} of {}",
            file.display(),
            config.path.gateway,
            config.path.site,
            token.gateway,
            token.site
        );
    }
    let refused = |key: &str, problem: &str| {
        let remedy = format!(
            "write [broker.tls] with ca = \"ca.pem\", certificate = \"identity.pem\", key = \"identity.pem\", renew_at = \"{}\"",
            token.service
        );
        SettingsError::invalid(file, key, problem, remedy)
    };
    let Some(tls) = config.broker.tls else {
        return Err(refused("broker.tls", "there is no place for a certificate").into());
    };
    match tls.own {
        Some(own) if own.certificate == own.key => {
            let places = Places { identity: IdentityFile::new(own.certificate), authority: tls.ca };
            Ok(Plan { places, missing: false })
        }
        _ => Err(refused("broker.tls.key", "certificate and key are not one file").into()),
    }
}

/// Where an agent keeps what it writes itself: an installed one has a folder for it, one that is tried out has all beside its file.
fn home(file: &Path) -> PathBuf {
    if file.starts_with("/etc") {
        "/var/lib/tidegate/agent".into()
    } else {
        file.parent().unwrap_or(Path::new("")).into()
    }
}

/// The least that an agent can run with; docs/agent.md has the rest.
fn write_configuration(file: &Path, plan: &Plan, token: &Token, enrolled: &Enrolled) -> anyhow::Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let named = |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let broker = enrolled.broker.as_deref().unwrap_or("broker.example:8883");
    let text = format!(
        "# Written by `tidegate-agent enroll`. docs/agent.md explains every key.\n\
         site = \"{site}\"\n\
         gateway = \"{gateway}\"\n\
         data_dir = \"{data}\"\n\n\
         [broker]\naddress = \"{broker}\"\n\n\
         [broker.tls]\nca = \"{ca}\"\ncertificate = \"{identity}\"\nkey = \"{identity}\"\nrenew_at = \"{service}\"\n\n\
         [[source]]                        # boards on USB: see `tidegate-agent serial`\ntype = \"host\"\ndevice = \"{gateway}\"\ninterval_ms = 10000\n",
        site = token.site,
        gateway = token.gateway,
        data = named(&home(file).join("queue")),
        ca = named(&plan.places.authority),
        identity = named(plan.places.identity.path()),
        service = token.service,
    );
    durable::replace(file, text.as_bytes(), 0o644).with_context(|| format!("writing {}", file.display()))
}

fn report(file: &Path, plan: &Plan, enrolled: &Enrolled) {
    let identity = plan.places.identity.path();
    println!("this gateway is {}", enrolled.certificate.uris.join(", "));
    println!("  key and certificate: {}, until {}", identity.display(), date(enrolled.certificate.not_after));
    println!("  authority:           {}", plan.places.authority.display());
    let written = if plan.missing { ", written now" } else { "" };
    println!("  configuration:       {}{written}", file.display());
    if let Ok(about) = fs::metadata(identity) {
        use std::os::unix::fs::MetadataExt;
        if about.uid() == 0 {
            println!("an agent that runs as another user needs the file: chown USER {}", identity.display());
        }
    }
    println!("next: tidegate-agent check --connect --config {}", file.display());
}
