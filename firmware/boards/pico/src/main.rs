//! Tidegate on a Raspberry Pi Pico: three channels over UART0, by the asynchronous flavour of the library on embassy.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::panic::PanicInfo;

#[cfg(feature = "defmt")]
use defmt_rtt as _;
use embassy_embedded_hal::{adapter::BlockingAsync, flash::partition::Partition};
use embassy_executor::Spawner;
use embassy_rp::{
    bind_interrupts,
    clocks::RoscRng,
    flash::{Blocking, Flash},
    peripherals::{FLASH, UART0},
    uart::{BufferedInterruptHandler, BufferedUart, Config},
    watchdog::Watchdog,
};
use embassy_sync::{blocking_mutex::raw::NoopRawMutex, mutex::Mutex};
use embassy_time::{Delay, Duration, Instant};
use tidegate_board_support::example::{self, Board, ExampleNode, Mistake};
use tidegate_firmware::flash::{Keeper, Memory};
use tidegate_protocol::Tick;

bind_interrupts!(struct Interrupts {
    UART0_IRQ => BufferedInterruptHandler<UART0>;
});

/// About 20,000 readings: twenty minutes of outage.
const RING_BYTES: usize = 128 * 1024;
const BUFFER_BYTES: usize = 256;
const FLASH_BYTES: usize = 2 * 1024 * 1024;
/// About 20,000 readings more, which a power cut leaves. As `memory.x` has it.
const QUEUE_AT: u32 = 0x1d_e000;
const QUEUE_BYTES: u32 = 128 * 1024;
const MEMORY_AT: u32 = QUEUE_AT + QUEUE_BYTES;
const MEMORY_BYTES: u32 = 8 * 1024;
const RECORD_BYTES: usize = 512;
/// Many times what a round takes: a frame is on the line for 22 ms at most, and a page of flash erased in 400 ms.
const WATCHDOG: Duration = Duration::from_secs(4);

#[cfg(feature = "defmt")]
defmt::timestamp!("{=u64:ms}", Instant::now().as_millis());

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    // It ends when nothing can be sent, or by a mistake in this program: the board starts again, in a new boot.
    let _mistake = run().await;
    cortex_m::peripheral::SCB::sys_reset();
}

async fn run() -> Mistake {
    let pico = embassy_rp::init(Default::default());
    let Some(ring) = cortex_m::singleton!(: [u8; RING_BYTES] = [0; RING_BYTES]) else {
        return Mistake::Memory;
    };
    let flash = Flash::<FLASH, Blocking, FLASH_BYTES>::new_blocking(pico.FLASH);
    let flash = Mutex::<NoopRawMutex, _>::new(BlockingAsync::new(flash));
    let queue = Partition::new(&flash, QUEUE_AT, QUEUE_BYTES);
    let Ok(mut memory) = Memory::new(Partition::new(&flash, MEMORY_AT, MEMORY_BYTES), 0..MEMORY_BYTES) else {
        return Mistake::Memory;
    };
    // Counted in flash, from a start that the ring oscillator's jitter gives. With a flash that fails, the gateway gives one.
    let boot = memory.next_boot(|| RoscRng.next_u32()).await.ok();
    let (mut sent, mut received) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
    // 115,200 baud, 8N1.
    let uart = BufferedUart::new(
        pico.UART0,
        pico.PIN_0,
        pico.PIN_1,
        Interrupts,
        &mut sent,
        &mut received,
        Config::default(),
    );
    let (sender, receiver) = uart.split();
    let firmware = concat!("tidegate-pico ", env!("CARGO_PKG_VERSION"));
    let board = Board { device: "pico", firmware, boot, ring };
    let mut watchdog = Watchdog::new(pico.WATCHDOG);
    watchdog.pause_on_debug(true);
    watchdog.start(WATCHDOG);
    let feed = || watchdog.feed(WATCHDOG);
    let open = async |node: &mut ExampleNode<'_>| {
        // Without them the channels are sampled as the program says, until the gateway speaks.
        let _restored = memory.restore(node).await;
        let keeper = Keeper::<_, RECORD_BYTES>::open(queue, 0..QUEUE_BYTES, node).await.ok()?;
        Some((keeper, memory))
    };
    let now = || Tick(Instant::now().as_millis());
    example::run_async_with(board, open, receiver, sender, Delay, feed, now).await
}

/// Nothing in this program or the library is meant to panic. If it does, the board starts again, in a new boot.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
