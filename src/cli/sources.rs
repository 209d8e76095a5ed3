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
    list(paths)?.iter().map(|path| read_one(path)).collect()
}

/// The files, `-` for stdin; for a directory its YAML and JSON files, also below it, in order.
pub(super) fn list(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !is_stdin(path) && path.is_dir() {
            list_directory(path, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Whether the path means stdin.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

fn list_directory(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let before = files.len();
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
            files.push(entry.into_path());
        }
    }
    if files.len() == before {
        anyhow::bail!(
            "{}: no .yaml, .yml or .json file in this directory",
            path.display()
        );
    }
    Ok(())
}

/// Reads one of the files, or stdin.
pub(super) fn read_one(path: &Path) -> anyhow::Result<Source> {
    if is_stdin(path) {
        let mut content = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut content)
            .context("could not read stdin")?;
        return Ok(Source {
            name: "stdin".to_owned(),
            content,
        });
    }
    let content =
        std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    Ok(Source {
        name: path.display().to_string(),
        content,
    })
}
