//! The chain under mutual TLS, and the authority that all of it trusts.

use std::path::{Path, PathBuf};

use tidegate_trust::authority::{Authority, Issued, When, replace};
use toml::{Table, Value};

use crate::{
    authority::CertificateAuthority,
    chain::{Chain, GATEWAY, SITE},
    measured::RULES,
    programs::program,
};

/// How soon the broker sees that a file changed.
const RELOAD_INTERVAL_MS: u64 = 50;

/// As `tidegate gateway` names the chain's gateway.
pub fn gateway() -> String {
    format!("{SITE}/{GATEWAY}")
}

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
        let own = |name: &str| format!("certificate = \"{name}.pem\"\nkey = \"{name}.key\"\n");
        let client = |name: &str| format!("ca = \"ca.pem\"\n{}", own(name));
        let broker = format!("{}client_ca = \"ca.pem\"\ncrl = \"revoked.pem\"\n", own("broker"));
        use_certificates(&mut chain, &broker, &client("ingest"), &client("agent"));
        let mut secured = Self { chain, authority, gateway: 0, revoked: Vec::new() };
        replace(&secured.path("ca.pem"), &secured.authority.pem(), 0o644);
        secured.all_end(When::Now);
        secured.list_revoked();
        secured
    }

    /// Broker, ingest and agent get certificates of this time.
    pub fn all_end(&mut self, when: When) {
        self.write("broker", &self.authority.server(&["127.0.0.1"], when));
        self.write("ingest", &self.authority.client(&["tidegate:role/ingest"], when));
        self.gateway_is(&format!("tidegate://{SITE}/{GATEWAY}"), when);
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

    /// The broker's certificate is for this name, which it sees for itself.
    pub fn broker_is(&self, name: &str) {
        self.write("broker", &self.authority.server(&[name], When::Now));
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

/// A chain whose parts are known by this authority; the gateway's configuration of its own is at the path.
pub fn enrolled(more: &[&str], host: &str) -> (Chain, CertificateAuthority, PathBuf) {
    // Built before the first certificate's time begins.
    let _built = ["tidegate", "tidegate-agent", "tidegate-broker", "tidegate-ingest"].map(program);
    let mut chain = Chain::new(RULES);
    let authority = CertificateAuthority::start(chain.folder(), host, more);
    authority.issue(&["server", host], "broker.pem");
    authority.issue(&["role", "ingest"], "ingest.pem");
    let config = chain.folder().join("gateway/agent.toml");
    let enrolled = authority.enrol(&gateway(), &config);
    assert!(enrolled.status.success(), "{}", String::from_utf8_lossy(&enrolled.stderr));
    use_authority(&mut chain, &config);
    (chain, authority, config)
}

/// Everybody's certificate is where the authority's commands left it; the gateway's configuration of its own is at the path.
pub fn use_authority(chain: &mut Chain, config: &Path) {
    let written = std::fs::read_to_string(config).expect("it wrote one");
    let renew_at = written.lines().find(|line| line.starts_with("renew_at = ")).expect("the service");
    let own = |file: &str| format!("certificate = \"{file}\"\nkey = \"{file}\"\n");
    let broker = format!("{}client_ca = \"ca/ca.pem\"\ncrl = \"ca/revoked.pem\"\n", own("broker.pem"));
    let ingest = format!("ca = \"ca/ca.pem\"\n{}{renew_at}\n", own("ingest.pem"));
    let agent = format!("ca = \"gateway/ca.pem\"\n{}{renew_at}\n", own("gateway/identity.pem"));
    use_certificates(chain, &broker, &ingest, &agent);
}

/// These take the place of users and passwords: the broker's `[tls]`, the others' `[broker.tls]`.
pub fn use_certificates(chain: &mut Chain, broker: &str, ingest: &str, agent: &str) {
    chain.broker.settings.remove("users");
    let tls = format!("reload_interval_ms = {RELOAD_INTERVAL_MS}\n{broker}");
    chain.broker.settings.insert("tls".to_owned(), table(&tls));
    for (part, tls) in [(&mut chain.ingest, ingest), (&mut chain.agent, agent)] {
        let broker = part.settings.get_mut("broker").and_then(Value::as_table_mut).expect("a section");
        broker.remove("user");
        broker.remove("password");
        broker.insert("tls".to_owned(), table(tls));
    }
}

fn table(text: &str) -> Value {
    text.parse::<Table>().expect("TOML").into()
}
