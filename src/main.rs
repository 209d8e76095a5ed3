//! The `certtool` binary.
fn main() {}
