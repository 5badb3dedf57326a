//! The key of this board, with the feature `key`. It is that of the tests, which everybody can read: put one of your own in its place, as
//! `tidegate-agent devices key microbit` prints it.

use tidegate_protocol::frame::keyed::DeviceKey;

pub const PUBLIC_TEST_KEY: DeviceKey = DeviceKey::new(*b"no secret at all");
