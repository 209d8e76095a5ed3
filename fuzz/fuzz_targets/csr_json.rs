//! Fuzzes the reading of cfssl's CSR JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = certtool_fuzz::csr_json(data);
});
