#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tidegate_fuzz::authorization(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        tidegate_fuzz::token(text);
        tidegate_fuzz::origin(text);
    }
});
