//! Fuzzes the reading of manifests that caBundles are injected into.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = certtool_fuzz::manifest(data);
});
