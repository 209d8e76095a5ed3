//! Has the linker put what a sidecar runs together: `scripts/layout.ld` says why.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=scripts/layout.ld");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|set| set == value);
    let is_release_for_linux = is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && is("CARGO_CFG_TARGET_ARCH", "x86_64");
    // rustc's own linker and GNU's read such a file, but mold for one does not.
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let is_usual_linker = env::var_os("RUSTC_LINKER").is_none() && !flags.contains("link");
    if is_release_for_linux
        && is_usual_linker
        && let Ok(here) = env::var("CARGO_MANIFEST_DIR")
    {
        println!("cargo::rustc-link-arg-bin=certtool=-Wl,-T,{here}/scripts/layout.ld");
    }
}
