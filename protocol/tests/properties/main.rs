//! Property tests: what was encoded decodes to the same, for every value that can be sent.

mod acks;
mod blocks;
mod frames;
mod given;
mod settings;
mod topics;
