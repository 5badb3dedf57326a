//! A queue in flash: what a ring has no room for, and what a power cut leaves.

mod bench;
mod memory;
mod power_cut;
mod queue;
