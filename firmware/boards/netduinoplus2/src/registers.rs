//! The chip's registers (STM32F405 reference manual RM0090), its clock tree and random numbers, and the entry of its
//! interrupts: all that is unsafe here.

#![allow(unsafe_code)]

use cortex_m_rt::exception;
use tidegate_board_support::{register::Register, systick};

const fn register(address: u32) -> Register {
    // SAFETY: every address below is that of an aligned peripheral register of this chip. None of them moves memory.
    unsafe { Register::at(address) }
}

const FLASH_ACCESS: Register = register(0x4002_3c00);

const RCC: u32 = 0x4002_3800;
const RCC_CONTROL: Register = register(RCC);
const RCC_PLL: Register = register(RCC + 0x04);
const RCC_CONFIGURATION: Register = register(RCC + 0x08);
const RCC_AHB1: Register = register(RCC + 0x30);
const RCC_AHB2: Register = register(RCC + 0x34);
const RCC_APB2: Register = register(RCC + 0x44);

const PORT_A: u32 = 0x4002_0000;
const PORT_A_MODE: Register = register(PORT_A);
const PORT_A_ALTERNATE_HIGH: Register = register(PORT_A + 0x24);

const RNG: u32 = 0x5006_0800;
const RNG_CONTROL: Register = register(RNG);
const RNG_STATUS: Register = register(RNG + 0x04);
const RNG_DATA: Register = register(RNG + 0x08);

const USART1: u32 = 0x4001_1000;
pub const UART_STATUS: Register = register(USART1);
pub const UART_DATA: Register = register(USART1 + 0x04);
pub const UART_BAUD: Register = register(USART1 + 0x08);
pub const UART_CONTROL: Register = register(USART1 + 0x0c);
pub const UART_IRQ: u8 = 37;

const CORE_HZ: u32 = 168_000_000;
/// Of the bus that USART1 is on.
pub const BUS_HZ: u32 = CORE_HZ / 2;

/// Far longer than anything here takes.
const PATIENCE: u32 = 1_000_000;

/// 168 MHz from the PLL and the 25 MHz crystal; clocks for USART1 and its pins, PA9 and PA10. Returns the core's clock. In QEMU
/// there is no clock tree to wait for: its registers read 0, and the core runs at this clock from the start.
pub fn start_clocks() -> u32 {
    const CRYSTAL_ON: u32 = 1 << 16;
    const CRYSTAL_READY: u32 = 1 << 17;
    const PLL_ON: u32 = 1 << 24;
    const PLL_READY: u32 = 1 << 25;
    /// 25 MHz / 25 * 336 / 2; 48 MHz for the random numbers: / 7.
    const PLL_168_MHZ: u32 = 25 | 336 << 6 | 1 << 22 | 7 << 24;
    const FIVE_WAIT_STATES_AND_CACHES: u32 = 5 | 0b111 << 8;
    /// The slow bus a quarter of the core, the fast one half of it, and the PLL as the core's clock.
    const DIVIDERS: u32 = 0b101 << 10 | 0b100 << 13;
    const FROM_PLL: u32 = 0b10;
    let is_emulated = RCC_CONTROL.read() == 0;
    let waits_for = |bits| is_emulated || (0..PATIENCE).any(|_| RCC_CONTROL.has(bits));
    RCC_CONTROL.set(CRYSTAL_ON);
    let crystal = waits_for(CRYSTAL_READY);
    RCC_PLL.write(PLL_168_MHZ);
    RCC_CONTROL.set(PLL_ON);
    let pll = waits_for(PLL_READY);
    if !(crystal && pll) {
        // A crystal that does not start: try again from the beginning.
        cortex_m::peripheral::SCB::sys_reset();
    }
    FLASH_ACCESS.write(FIVE_WAIT_STATES_AND_CACHES);
    RCC_CONFIGURATION.write(DIVIDERS);
    RCC_CONFIGURATION.write(DIVIDERS | FROM_PLL);
    RCC_AHB1.set(1);
    RCC_AHB2.set(1 << 6);
    RCC_APB2.set(1 << 4);
    // A clock takes two cycles to arrive; a read of its register is longer.
    let _arrived = RCC_APB2.read();
    const ALTERNATE_9_AND_10: u32 = 0b10 << 18 | 0b10 << 20;
    const USART1_9_AND_10: u32 = 7 << 4 | 7 << 8;
    PORT_A_MODE.set(ALTERNATE_9_AND_10);
    PORT_A_ALTERNATE_HIGH.set(USART1_9_AND_10);
    CORE_HZ
}

/// None where the generator does not answer (QEMU has none); the gateway then gives a boot id.
pub fn entropy() -> Option<[u32; 2]> {
    const ENABLED: u32 = 1 << 2;
    RNG_CONTROL.write(ENABLED);
    let words = word().zip(word()).map(|(high, low)| [high, low]);
    RNG_CONTROL.write(0);
    words
}

fn word() -> Option<u32> {
    const READY: u32 = 1;
    const FAULTS: u32 = 0b110;
    (0..PATIENCE).find(|_| RNG_STATUS.has(READY))?;
    (RNG_STATUS.read() & FAULTS == 0).then(|| RNG_DATA.read())
}

#[exception]
fn SysTick() {
    systick::tick();
}

/// Every device interrupt comes here, so that no crate for this one chip is needed. Only the UART's is let through.
#[exception]
unsafe fn DefaultHandler(_irq: i16) {
    crate::uart::received();
}
