//! Fuzzes the reading of cfssl's signing config.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = certtool_fuzz::signing_config(data);
});
