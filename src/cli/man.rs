//! `certtool man`: the manual page.

use super::{ExitStatus, Printer};

pub(super) fn run(printer: &Printer) -> anyhow::Result<ExitStatus> {
    let mut page = Vec::new();
    clap_mangen::Man::new(super::command(false)).render(&mut page)?;
    printer.raw(&page)?;
    Ok(ExitStatus::Done)
}
