//! Replacing a pair that something else wrote, without an instant in which the
//! two files do not match.
//!
//! Plain files cannot be replaced together. So what is visible now is first
//! copied into a generation; then `..data` and the names are turned into links
//! to that copy, one by one, each rename changing nothing that a reader sees;
//! and the ordinary swap to the new pair follows.

use std::fs;
use std::path::{Component, Path};

use super::error::{Error, Found};
use super::generation::{self, Generation};
use super::layout::{DATA, Layout, Name, link_text};
use super::{Access, Durability, fsops};

/// Turns what is in the way into certtool's layout, with the contents it has.
pub(super) fn adopt(
    dir: &Path,
    in_the_way: &[(&'static str, Found)],
    layout: &Layout,
    access: Access,
    durability: Durability,
    flag: &'static str,
) -> Result<(), Error> {
    let visible: Vec<(&'static str, Vec<u8>)> = layout
        .names()
        .into_iter()
        .filter(|(_, entry)| **entry != Name::Absent)
        // What cannot be read is no usable half of a pair either.
        .filter_map(|(name, _)| Some((name, fsops::read(&dir.join(name), flag).ok()??)))
        .collect();
    let files: Vec<(&'static str, &[u8])> = visible
        .iter()
        .map(|(name, bytes)| (*name, bytes.as_slice()))
        .collect();
    let copy = Generation::create(dir, &files, access, durability, flag)?;
    copy.swap_in(dir)
        .inspect_err(|_| copy.remove(dir))
        .map_err(|e| Error::io("replace", &dir.join(DATA), flag, e))?;
    for (name, _) in in_the_way.iter().filter(|(name, _)| *name != DATA) {
        generation::replace_by_link(dir, &link_text(name), name)
            .map_err(|e| Error::io("replace", &dir.join(name), flag, e))?;
    }
    Ok(())
}

/// Refuses to replace a `..data` that gives other names their contents: those
/// are not certtool's to break.
pub(super) fn check_dependents(
    dir: &Path,
    written: &[&str],
    flag: &'static str,
) -> Result<(), Error> {
    let fail = |e| Error::io("read", dir, flag, e);
    for entry in fs::read_dir(dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if entry.file_name() == DATA {
            continue;
        }
        let leads_through = fs::read_link(entry.path()).is_ok_and(|target| {
            target.components().next() == Some(Component::Normal(DATA.as_ref()))
        });
        if leads_through && !written.iter().any(|name| entry.file_name() == *name) {
            return Err(Error::WouldBreak {
                path: entry.path(),
                flag,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adopting_changes_no_byte_that_a_reader_sees() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path();
        let files = [("tls.crt", "their certificate"), ("tls.key", "their key")];
        for (name, contents) in files {
            fs::write(dir.join(name), contents).unwrap();
        }
        let layout = Layout::inspect(dir, "--cert-dir").unwrap();
        let in_the_way = layout.in_the_way(true);
        let (access, durability) = (Access::Owner, Durability::Fast);
        adopt(dir, &in_the_way, &layout, access, durability, "--cert-dir").unwrap();

        let layout = Layout::inspect(dir, "--cert-dir").unwrap();
        assert!(layout.in_the_way(true).is_empty(), "{layout:?}");
        for (name, contents) in files {
            assert!(dir.join(name).is_symlink());
            assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), contents);
        }
    }
}
