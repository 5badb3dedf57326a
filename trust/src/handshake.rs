//! A server's handshake, and how it ends where it fails.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use crate::explain::{Failure, Reason, Side};

/// How long a client that was refused may take to read why.
const FAREWELL: Duration = Duration::from_millis(500);
/// What it may still send meanwhile.
const FAREWELL_BYTES: u64 = 64 * 1024;

/// Shakes hands until `deadline`, which the setting `limit` is behind.
pub async fn shake_hands(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    deadline: Instant,
    limit: &str,
) -> Result<TlsStream<TcpStream>, Failure> {
    match timeout_at(deadline, shake(stream, config)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            let closed =
                || Failure::new(Reason::Closed, format!("the connection broke in the handshake: {error}"));
            Err(Failure::of(Side::Server, &error).unwrap_or_else(closed))
        }
        Err(_) => Err(Failure::new(Reason::Timeout, format!("no TLS handshake within {limit}"))),
    }
}

async fn shake(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<TlsStream<TcpStream>> {
    match TlsAcceptor::from(config).accept(stream).into_fallible().await {
        Ok(stream) => Ok(stream),
        Err((error, stream)) => {
            let _late = timeout(FAREWELL, part(stream)).await;
            Err(error)
        }
    }
}

/// A socket that is closed while something in it is unread is reset, and the alert that says why may never be read.
async fn part(mut stream: TcpStream) -> io::Result<u64> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(FAREWELL_BYTES), &mut tokio::io::sink()).await
}
