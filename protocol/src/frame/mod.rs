//! Board link: what a sensor board and its agent say to each other, over serial or TCP. No allocation.
//!
//! A frame is a version byte, a postcard body and a CRC-32 (little-endian) over both, stuffed by COBS and ended by
//! a zero byte. A raw frame is at most [`MAX_FRAME`] bytes; a longer one, a wrong checksum or a body that does not
//! decode is an error that the receiver counts before it goes on at the next zero.
//!
//! ```text
//! message   Up: Hello, Readings, Heartbeat, Lost, SettingsResult; Down: Welcome, Ack, Settings, Time, Identify
//! codec     messages → frames and back
//! line      finishing a frame where it lies: checksum, COBS, zero
//! samples   the packed readings inside a Readings frame
//! plain     what a board writes and reads of them, byte by byte
//! packed    measuring them where they lie
//! deframer  bytes of a link → frames
//! keyed/    the same under a key of the device's own                    (feature `key`)
//! ```
//!
//! The session: a board says Hello until a Welcome names its boot; only then it sends readings. The agent answers
//! readings whose origin it does not know (it was restarted) with Identify, and the board says Hello again. Every
//! Ack names the boot, so that an answer to the boot before can never release a reading of this one.
//!
//! A board without a boot, or whose numbers went back, is offered one: a Welcome that names another boot than the
//! Hello it answers. The board takes the first offer that answers the Hello it said last, and says Hello under it, so
//! that all gateways on its line learn which offer it took. A gateway keeps nothing of offers.
//!
//! A board that keeps readings in flash says so in its Hello, and says one more Hello for each boot before of which it has some.
//! Both boots then speak on one link. Once nothing of them is left it says Hello for its present boot alone: the others end.
//!
//! A board keeps the declaration of a loss as it keeps a reading: its `floor` stays at the start of the lost range,
//! and it repeats `Lost`, until an Ack passes the range. So an agent counts a range whose loss record is durable as
//! part of the safe run; were it not to, the board could release nothing behind the hole.

mod channels;
mod codec;
pub mod crc;
mod deframer;
#[cfg(feature = "key")]
pub mod keyed;
mod line;
mod message;
mod packed;
mod plain;
mod samples;

pub use channels::ChannelList;
pub use codec::{MAX_DOWN_FRAME, MAX_FRAME, decode_down, decode_up, encode_down, encode_up};
pub use deframer::{Deframed, Deframer};
pub use line::encoded_len;
pub use message::{
    BoardCounters, BoardTime, Deadband, Down, FrameError, Heartbeat, Hello, HelloMark, Lost, MAX_TEXT,
    Readings, Settings, SettingsCode, SettingsResult, Standing, Up, Welcome,
};
pub use packed::{MAX_PACKED, measure_packed};
pub use samples::{SamplePacker, Samples};

/// How many channels one board may declare.
pub const MAX_CHANNELS: usize = 64;
