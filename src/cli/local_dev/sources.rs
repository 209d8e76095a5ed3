//! Manifests named by `-f`: files, directories, stdin.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The file name that means stdin.
const STDIN: &str = "-";

/// One manifest file, or stdin.
#[derive(Debug)]
pub(super) struct Source {
    /// How errors call it.
    pub(super) name: String,
    /// Its content; not necessarily UTF-8.
    pub(super) content: Vec<u8>,
}

/// Reads every file; a directory's YAML and JSON files, also below it, in order.
pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        if path.as_os_str() == STDIN {
            let mut content = Vec::new();
            std::io::stdin()
                .lock()
                .read_to_end(&mut content)
                .context("could not read stdin")?;
            sources.push(Source {
                name: "stdin".to_owned(),
                content,
            });
        } else if path.is_dir() {
            read_directory(path, &mut sources)?;
        } else {
            sources.push(read_file(path)?);
        }
    }
    Ok(sources)
}

fn read_directory(path: &Path, sources: &mut Vec<Source>) -> anyhow::Result<()> {
    let before = sources.len();
    let visible = |entry: &walkdir::DirEntry| {
        entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
    };
    for entry in walkdir::WalkDir::new(path)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(visible)
    {
        let entry = entry.with_context(|| format!("could not read {}", path.display()))?;
        let is_manifest = entry.path().extension().is_some_and(|extension| {
            ["yaml", "yml", "json"]
                .iter()
                .any(|known| extension == *known)
        });
        if is_manifest && !entry.file_type().is_dir() {
            sources.push(read_file(entry.path())?);
        }
    }
    if sources.len() == before {
        anyhow::bail!(
            "{}: no .yaml, .yml or .json file in this directory",
            path.display()
        );
    }
    Ok(())
}

fn read_file(path: &Path) -> anyhow::Result<Source> {
    let content =
        std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    Ok(Source {
        name: path.display().to_string(),
        content,
    })
}
