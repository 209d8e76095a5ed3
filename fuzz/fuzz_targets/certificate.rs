//! Fuzzes the reading of certificates, in PEM and DER.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = certtool_fuzz::certificate(data);
});
