//! The broker over real loop-back sockets: rumqttc as an honest client, bare TCP and TLS for everything else.

mod access;
mod configuration;
mod exchanges;
mod hostile;
mod matrix;
mod messages;
mod program;
mod raw;
mod service;
mod sessions;
mod support;
mod tls;
mod tls_renewal;
mod trusted;
mod violations;
