//! Webhooks by HTTPS: to whom we believe.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;
use tidegate_ingest::delivery::{Failure, FailureKind, compose, http::Limits, webhook::send};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use crate::{
    hook::{Hook, status},
    in_time, webhook, webhook_target,
};

/// A server's certificate for `localhost`, signed by itself.
pub struct Identity {
    folder: TempDir,
    certified: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Identity {
    pub fn new() -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("certificate.pem"), certified.cert.pem()).expect("it writes");
        std::fs::write(folder.path().join("key.pem"), certified.signing_key.serialize_pem())
            .expect("it writes");
        Self { folder, certified }
    }

    pub fn certificate_file(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(self.certified.signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.certified.cert.der().clone()], key)
            .expect("a key that fits");
        TlsAcceptor::from(Arc::new(config))
    }
}

#[tokio::test]
async fn a_server_is_believed_only_if_its_authority_is_and_its_name_is_right() {
    let identity = Identity::new();
    let acceptor = identity.acceptor();
    let accept = move |stream: TcpStream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream).await.ok() }
    };
    let mut hook = Hook::start_over(|_, _| status("200 OK"), accept).await;
    let message = compose::test_message("ops", 0);
    let now = Timestamp::now().as_millisecond();
    let attempt = async |host: &str, ca_file: Option<PathBuf>| {
        let mut settings = webhook("ops", &format!("https://{host}:{}/hook", hook.address.port()));
        settings["ca_file"] = json!(ca_file);
        let target = webhook_target(&settings);
        in_time("an attempt", send(&target, &message, now, Limits::default())).await
    };
    let refused = |result: Result<(), Failure>| match result.expect_err("it is not believed") {
        Failure { kind: FailureKind::Temporary { .. }, why } => why,
        other => panic!("{other:?}"),
    };
    let why = refused(attempt("localhost", None).await);
    assert!(why.contains("certificate"), "{why}");
    let why = refused(attempt("127.0.0.1", Some(identity.certificate_file())).await);
    assert!(why.contains("certificate"), "{why}");
    attempt("localhost", Some(identity.certificate_file())).await.expect("it is believed");
    assert_eq!(hook.next().await.id(), message.id);
    assert!(hook.came().is_empty(), "nothing was said to the others");
}
