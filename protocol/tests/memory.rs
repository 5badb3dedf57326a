//! Memory that a message may ask for is bounded before it is given: bombs cost what their bounds say, no more.
//! One test alone in its process, since it counts what the whole process holds.

#[path = "support/repair.rs"]
mod repair;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use repair::block;
use tidegate_protocol::{
    BootId, DeviceId, Origin, WIRE_VERSION,
    ack::{AckError, BlockAck},
    block::{BlockError, Decoder, MAX_BODY_BYTES, MAX_READINGS, Part},
    frame::crc::crc32c,
};

/// What a decoder may hold at once for one hostile block: the body, and the readings or records it yields.
const BOUND: usize = 16 * 1024 * 1024;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator that counts can be had no other way")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was held during `work` beyond what was held before.
fn peak(work: impl FnOnce()) -> usize {
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    work();
    PEAK.load(Relaxed) - before
}

fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(body, 1).unwrap()
}

fn refused(block: &[u8], error: BlockError) {
    let mut decoded = Ok(());
    let held = peak(|| decoded = Decoder::new().unwrap().decode(block).map(|_| ()));
    assert_eq!(decoded, Err(error));
    assert!(held < BOUND, "{held} bytes for a block of {}", block.len());
}

/// One description of as many channels as a body holds, each as short as can be.
fn endless_description(origin: Origin) -> Vec<u8> {
    let mut body = vec![1, 0];
    body.extend(postcard::to_extend(&origin, Vec::new()).unwrap());
    body.extend_from_slice(&[0, 0]);
    let channels = (MAX_BODY_BYTES - 64) / 5;
    body.extend(postcard::to_extend(&(channels as u64), Vec::new()).unwrap());
    body.extend((0..channels).flat_map(|_| [1, b'c', 0, 0, 0]));
    body
}

/// Descriptions without end, each within its own bound.
fn many_descriptions(origin: Origin) -> Vec<u8> {
    let mut one = vec![0];
    one.extend(postcard::to_extend(&origin, Vec::new()).unwrap());
    one.extend_from_slice(&[0, 0, 0x80, 2]);
    one.extend((0..256).flat_map(|_| [1, b'c', 0, 0, 0]));
    let count = MAX_BODY_BYTES / one.len();
    let mut body = postcard::to_extend(&(count as u64), Vec::new()).unwrap();
    (0..count).for_each(|_| body.extend_from_slice(&one));
    body
}

#[test]
fn bombs_cost_what_their_bounds_say() {
    // Says more than any block may unpack to: refused by its header alone.
    let zeros = zstd(&vec![0; 64 << 20]);
    let too_large = BlockError::TooLarge("unpacked bytes");
    let held = peak(|| {
        assert_eq!(Decoder::new().unwrap().decode(&block(0, &[0], &zeros, 64 << 20)), Err(too_large))
    });
    assert!(held < 1 << 20, "{held}");
    // Says less than it unpacks to: zstd stops at what was said.
    refused(&block(0, &[0], &zeros, MAX_BODY_BYTES), BlockError::Malformed(Part::Columns));
    // Says most, and holds zeros: no records, and columns of nothing but zeros.
    let most = zstd(&vec![0; MAX_BODY_BYTES]);
    refused(&block(0, &[0], &most, MAX_BODY_BYTES), BlockError::Malformed(Part::Columns));
    // The most readings that a directory can list, and no columns for them.
    let listed = [1, 0x10, b'b', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 7];
    refused(&block(MAX_READINGS as u32, &listed, &[0], 1), BlockError::Malformed(Part::Columns));
    // More origins than there are bytes.
    refused(&block(0, &[0xff, 0x1f], &[0], 1), BlockError::Malformed(Part::Directory));

    let origin = Origin::new(DeviceId::new("b").unwrap(), BootId(1));
    let body = endless_description(origin);
    refused(&block(0, &[0], &zstd(&body), body.len()), BlockError::Malformed(Part::Records));
    let body = many_descriptions(origin);
    refused(&block(0, &[0], &zstd(&body), body.len()), BlockError::TooLarge("described channels"));

    // An acknowledgement that says it has 2^32 outcomes, then ends.
    let mut ack = vec![WIRE_VERSION, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
    ack.extend_from_slice(&crc32c(&ack).to_le_bytes());
    let held = peak(|| assert_eq!(BlockAck::decode(&ack), Err(AckError::Malformed)));
    assert!(held < 2 << 20, "{held}");
}
