//! Sleeping until something has happened, without sleeping over it.

/// Sleeps in WFI for as long as `waits` says so; each interrupt asks it again. Between the question and the sleep no interrupt is
/// taken: one that comes there stays pending, and a pending one ends the sleep at once. Taken there, it would have changed the
/// answer, and the processor would sleep until the next one, which may never come.
pub fn sleep_while(mut waits: impl FnMut() -> bool) {
    let mut slept = || {
        let sleeps = waits();
        if sleeps {
            cortex_m::asm::wfi();
        }
        sleeps
    };
    while cortex_m::interrupt::free(|_| slept()) {}
}
