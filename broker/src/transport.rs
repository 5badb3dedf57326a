//! What lies between an accepted TCP connection and MQTT: today nothing but a socket option.
//!
//! TLS has its place here: [`prepare`] would then do the handshake, within the time given for the CONNECT and outside
//! the accept loop, and give a stream of another type together with the name in the client's certificate, which
//! [`crate::handshake`] would look up in place of a user name and password. Everything behind this works on any
//! `AsyncRead + AsyncWrite`.

use std::io;

use tokio::net::TcpStream;

pub fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    // Without it the kernel holds small packets back until the peer's delayed acknowledgement (40 ms).
    stream.set_nodelay(true)?;
    Ok(stream)
}
