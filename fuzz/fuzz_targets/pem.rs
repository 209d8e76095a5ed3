//! Fuzzes the reading of private keys, chains and trust bundles in PEM.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = certtool_fuzz::pem(data);
});
