//! The one place that asks the system for randomness.

use tidegate_protocol::BootId;

/// 64 random bits. A system without randomness is too broken to run on: boots and epochs must never repeat.
pub fn bits() -> u64 {
    getrandom::u64().unwrap_or_else(|error| {
        tracing::error!(%error, "the system gives no random numbers");
        std::process::abort()
    })
}

pub fn boot() -> BootId {
    BootId(bits())
}
