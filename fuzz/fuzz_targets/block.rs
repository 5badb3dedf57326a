#![no_main]

use std::cell::RefCell;

use tidegate_fuzz::Blocks;

thread_local! {
    static BLOCKS: RefCell<Blocks> = RefCell::new(Blocks::new());
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| BLOCKS.with_borrow_mut(|blocks| blocks.check(bytes)));
