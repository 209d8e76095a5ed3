//! The `certtool` binary: install the crypto provider, parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    certtool::cli::main(std::env::args_os())
}
