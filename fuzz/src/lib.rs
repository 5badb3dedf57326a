//! What must hold for any bytes: the bodies that `protocol/tests/hostile.rs` runs over seeded mutations, too.

#[path = "../../protocol/tests/support/hostile.rs"]
mod hostile;

pub use hostile::*;
