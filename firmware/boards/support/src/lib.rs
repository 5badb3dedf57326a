//! What the example boards share. A board of its own needs nothing of this: a driver crate's UART and clock do.
//!
//! ```text
//! register  a chip's register          serial, received  a UART as a node's link
//! systick   milliseconds since boot    sleep             until something has happened
//! example   what boards without sensors measure, and their main loop
//! ```
//!
//! All but the example is for Cortex-M.

#![no_std]
#![deny(unsafe_code)]

pub mod example;
#[cfg(target_arch = "arm")]
pub mod received;
#[cfg(target_arch = "arm")]
pub mod register;
#[cfg(target_arch = "arm")]
pub mod serial;
#[cfg(target_arch = "arm")]
pub mod sleep;
#[cfg(target_arch = "arm")]
pub mod systick;
