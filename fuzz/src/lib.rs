//! What must hold for any bytes: the bodies that `protocol/tests/hostile.rs` and `alarms/tests/hostile.rs` run over seeded
//! input, too.

#[path = "../../protocol/tests/support/hostile.rs"]
mod hostile;
#[path = "../../alarms/tests/support/hostile.rs"]
mod rules_file;

pub use hostile::*;
pub use rules_file::{document, rules};
