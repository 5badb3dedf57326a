//! `tidegate gateway`: whom the authority lets in, and whom no more.

use std::{io::Write, process::ExitCode, time::Duration};

use jiff::Timestamp;
use serde_json::json;
use tidegate_enrolment::authority::{Authority, InvitationRecord, IssuedRecord};
use tidegate_trust::{Identity, certificate::date};

use super::ca::Folder;
use crate::{
    error::CliError,
    instant::{parse_duration, roughly},
    paint::{Paint, Style},
    table::{Align, Table},
};

/// Invite gateways to the authority, list their certificates, revoke them
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print an invitation: one line, good once and not for long, for `tidegate-agent enroll`
    Invite {
        /// SITE/GATEWAY
        #[arg(value_parser = parse_gateway, value_name = "SITE/GATEWAY")]
        gateway: Identity,
        /// How long it may be used.
        #[arg(long = "for", value_parser = parse_duration, default_value = "1d", value_name = "DURATION")]
        duration: Duration,
        #[command(flatten)]
        folder: Folder,
    },
    /// List certificates that are good, and invitations that wait; `tidegate gateways` shows who is connected
    List {
        /// Also those that have expired or were revoked.
        #[arg(long)]
        all: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        folder: Folder,
    },
    /// Revoke all certificates of a gateway, or of a role, and withdraw its invitations
    Revoke {
        /// SITE/GATEWAY, or an identity as `list` shows it
        #[arg(value_parser = parse_identity, value_name = "SITE/GATEWAY")]
        identity: Identity,
        /// Why, for whoever asks later.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        folder: Folder,
    },
}

fn parse_gateway(text: &str) -> Result<Identity, String> {
    format!("tidegate://{text}").parse().map_err(|_| {
        "write SITE/GATEWAY: each 1 to 32 of a-z, 0-9 and -, as plant/gw-a; no site is called role".to_owned()
    })
}

fn parse_identity(text: &str) -> Result<Identity, String> {
    if text.starts_with("tidegate:") {
        text.parse().map_err(|error| format!("{error}"))
    } else {
        parse_gateway(text)
    }
}

pub fn run(command: Command) -> Result<ExitCode, CliError> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Invite { gateway, duration, folder } => {
            let authority = folder.open()?;
            let Identity::Gateway { site, gateway } = gateway else { return Ok(ExitCode::FAILURE) };
            let token = authority.invite(site, gateway, duration.as_secs())?;
            writeln!(out, "{}", token.reveal())?;
            eprintln!(
                "an invitation for gateway {gateway} of site {site}: good once, until {}. On the gateway: tidegate-agent enroll, and paste this line; \
                 the service at {} must run (tidegate ca serve)",
                date(token.expires.try_into().unwrap_or(i64::MAX)),
                token.service
            );
        }
        Command::List { all, json, folder } => {
            let authority = folder.open()?;
            let now = Timestamp::now().as_second();
            if json {
                list_json(&authority, all, now, &mut out)?;
            } else {
                write!(out, "{}", list(&authority, all, now)?)?;
            }
        }
        Command::Revoke { identity, reason, folder } => {
            let authority = folder.open()?;
            let count = authority.revoke(&identity, &reason)?;
            writeln!(
                out,
                "{identity}: {count} certificates revoked, invitations withdrawn; the list is {}",
                authority.path("revoked.pem").display()
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of a certificate.
fn state(record: &IssuedRecord, now: i64) -> &'static str {
    match () {
        () if record.revoked.is_some() => "revoked",
        () if seconds(record.not_after) <= now => "expired",
        () => "good",
    }
}

fn seconds(unix: u64) -> i64 {
    i64::try_from(unix).unwrap_or(i64::MAX)
}

fn is_waiting(invitation: &InvitationRecord, now: i64) -> bool {
    invitation.used.is_none() && seconds(invitation.expires) > now
}

fn list(authority: &Authority, all: bool, now: i64) -> Result<String, CliError> {
    let left = Align::Left;
    let mut table = Table::new([
        ("WHO", left),
        ("STATE", left),
        ("UNTIL", left),
        ("LEFT", Align::Right),
        ("SERIAL", left),
    ]);
    for record in authority.issued()? {
        let state = state(&record, now);
        if state != "good" && !all {
            continue;
        }
        let left = seconds(record.not_after).saturating_sub(now);
        let style = match state {
            "good" => Style::Plain,
            "revoked" => Style::Red,
            _ => Style::Yellow,
        };
        table.row(
            style,
            [record.identity, state.to_owned(), date(seconds(record.not_after)), shown(left), record.serial],
        );
    }
    for invitation in authority.invitations()? {
        if is_waiting(&invitation, now) {
            let left = seconds(invitation.expires).saturating_sub(now);
            let until = date(seconds(invitation.expires));
            table.row(
                Style::Dim,
                [invitation.identity, "invited".to_owned(), until, shown(left), String::new()],
            );
        }
    }
    Ok(table.render(Paint::for_stdout()))
}

fn shown(left_seconds: i64) -> String {
    if left_seconds > 0 { roughly(left_seconds.saturating_mul(1_000)) } else { "-".to_owned() }
}

fn list_json(authority: &Authority, all: bool, now: i64, out: &mut impl Write) -> Result<(), CliError> {
    for record in authority.issued()? {
        let state = state(&record, now);
        if state == "good" || all {
            let line = json!({
                "identity": record.identity, "state": state, "serial": record.serial, "not_before": record.not_before,
                "not_after": record.not_after, "revoked": record.revoked,
            });
            writeln!(out, "{line}")?;
        }
    }
    for invitation in authority.invitations()?.iter().filter(|invitation| is_waiting(invitation, now)) {
        let line =
            json!({ "identity": invitation.identity, "state": "invited", "not_after": invitation.expires });
        writeln!(out, "{line}")?;
    }
    Ok(())
}
