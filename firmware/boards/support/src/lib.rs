//! What the example boards share. A board of its own needs nothing of this: a driver crate's UART and clock do.
//!
//! ```text
//! register  a chip's register          serial, received  a UART as a node's link
//! systick   milliseconds since boot    example           what boards without sensors measure, and their main loop
//! ```

#![no_std]
#![deny(unsafe_code)]

pub mod example;
pub mod received;
pub mod register;
pub mod serial;
pub mod systick;
