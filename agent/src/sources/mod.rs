//! Where readings come from.
//!
//! - decoder: bytes of a board link into frames the core understands
//! - board_link: one open link, whatever carries it        - board_tcp, board_serial: what carries it
//! - host: this computer's own figures

pub(crate) mod board_link;
pub mod board_serial;
pub(crate) mod board_tcp;
pub mod decoder;
pub mod guard;
pub(crate) mod host;
