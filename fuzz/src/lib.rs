//! What must hold for any bytes: the bodies that `protocol/tests/hostile.rs`, `alarms/tests/hostile.rs`,
//! `trust/tests/hostile.rs` and `access/tests/hostile.rs` run over seeded input, too.

#[path = "../../access/tests/support/hostile.rs"]
mod asked;
#[path = "../../protocol/tests/support/hostile.rs"]
mod hostile;
#[path = "../../alarms/tests/support/hostile.rs"]
mod rules_file;
#[path = "../../trust/tests/support/hostile.rs"]
mod trusted;

pub use asked::{authorization, cookies, form, origin, token};
pub use hostile::*;
pub use rules_file::{document, rules};
pub use trusted::{certificate, identity};
