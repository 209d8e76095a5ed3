//! Fuzzes the reading of certificate signing requests, in PEM and DER.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = certtool_fuzz::csr(data);
});
