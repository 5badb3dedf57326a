//! The chain under mutual TLS, and the authority that all of it trusts.

use std::path::PathBuf;

use tidegate_trust::authority::{Authority, Issued, When, replace};
use toml::{Table, Value};

use crate::chain::{Chain, GATEWAY, SITE};

/// How soon the broker sees that a file changed.
const RELOAD_INTERVAL_MS: u64 = 50;

pub struct Secured {
    pub chain: Chain,
    authority: Authority,
    gateway: u64,
    revoked: Vec<u64>,
}

impl Secured {
    /// No user and no password: certificates say who everybody is.
    pub fn new(rules: &str) -> Self {
        let (mut chain, authority) = (Chain::new(rules), Authority::new("plant"));
        chain.broker.settings.remove("users");
        let tls = format!(
            r#"
            certificate = "broker.pem"
            key = "broker.key"
            client_ca = "ca.pem"
            crl = "revoked.pem"
            reload_interval_ms = {RELOAD_INTERVAL_MS}
            "#
        );
        chain.broker.settings.insert("tls".to_owned(), table(&tls));
        for (part, name) in [(&mut chain.ingest, "ingest"), (&mut chain.agent, "agent")] {
            let broker = part.settings.get_mut("broker").and_then(Value::as_table_mut).expect("a section");
            broker.remove("user");
            broker.remove("password");
            let tls = format!("ca = \"ca.pem\"\ncertificate = \"{name}.pem\"\nkey = \"{name}.key\"");
            broker.insert("tls".to_owned(), table(&tls));
        }
        let mut secured = Self { chain, authority, gateway: 0, revoked: Vec::new() };
        replace(&secured.path("ca.pem"), &secured.authority.pem(), 0o644);
        secured.write("broker", &secured.authority.server(&["127.0.0.1"], When::Now));
        secured.write("ingest", &secured.authority.client(&["tidegate:role/ingest"], When::Now));
        secured.renew_gateway();
        secured.list_revoked();
        secured
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.chain.folder().join(name)
    }

    fn write(&self, name: &str, issued: &Issued) {
        issued.write(self.chain.folder(), name);
    }

    /// Gives the agent another certificate and key; a running one finds them at its next connection.
    pub fn renew_gateway(&mut self) {
        self.gateway_is(&format!("tidegate://{SITE}/{GATEWAY}"), When::Now);
    }

    pub fn gateway_is(&mut self, uri: &str, when: When) {
        let issued = self.authority.client(&[uri], when);
        self.write("agent", &issued);
        self.gateway = issued.serial;
    }

    /// Revokes the agent's certificate, which the broker sees for itself.
    pub fn revoke_gateway(&mut self) {
        self.revoked.push(self.gateway);
        self.list_revoked();
    }

    fn list_revoked(&self) {
        replace(&self.path("revoked.pem"), &self.authority.revoke(&self.revoked), 0o644);
    }
}

fn table(text: &str) -> Value {
    text.parse::<Table>().expect("TOML").into()
}
