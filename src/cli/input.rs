//! Files that may be stdin.

use std::io::Read;
use std::path::Path;

use anyhow::Context;

/// The largest input that is read: a CSR, a certificate, a policy.
const LIMIT: u64 = 4 * 1024 * 1024;

/// More than most requests have, and little enough for an allocation to cost nothing.
const USUAL: usize = 1000;

/// How errors call it, and its content; `-` is stdin.
pub(super) fn read(path: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    // With room for most inputs and to spare, which saves asking for the end bit by bit.
    let mut content = Vec::with_capacity(USUAL);
    if path.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(LIMIT + 1)
            .read_to_end(&mut content)
            .context("could not read stdin")?;
        check("stdin", &content)?;
        return Ok(("from stdin".to_owned(), content));
    }
    let name = path.display().to_string();
    let file = std::fs::File::open(path).with_context(|| format!("could not open {name}"))?;
    file.take(LIMIT + 1)
        .read_to_end(&mut content)
        .with_context(|| format!("could not read {name}"))?;
    check(&name, &content)?;
    Ok((name, content))
}

fn check(name: &str, content: &[u8]) -> anyhow::Result<()> {
    anyhow::ensure!(
        content.len() as u64 <= LIMIT,
        "{name} is larger than {} MiB: that is not what it should be",
        LIMIT / (1024 * 1024)
    );
    Ok(())
}
