//! Clients that mean harm, or cannot help it.
//!
//! - [`siege`]: a broker as a process of its own, with honest traffic that must go on, and its memory as the kernel counts it
//! - [`packets`]: bytes that are not MQTT, or too many of them
//! - [`connections`]: floods, slow ones, ones that vanish
//! - [`floods`]: filters, topics, retained messages
//! - [`games`]: client ids, acknowledgements, QoS 2
//! - [`hoards`]: little that would hold much
//! - [`storms`]: what is allowed, without end
//! - [`crowd`]: ten thousand at once
//! - [`router`]: the router that dies, or hangs, under all of them

mod connections;
mod crowd;
mod floods;
mod games;
mod hoards;
mod packets;
mod router;
mod siege;
mod storms;
