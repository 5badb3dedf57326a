//! The node core and its shells, against a small gateway.

mod flash;
mod keyed;
mod lossy_link;
mod sampling;
mod session;
mod shells;
mod sleep;
mod support;
mod watchdog;
