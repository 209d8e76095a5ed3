//! Several manifests as one stream that a YAML reader takes.

use crate::manifest::documents;

/// What has to stand between what was written and the next manifest, and how much of its
/// beginning has to go.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    /// All of them are JSON: a row of JSON values needs no markers.
    all_json: bool,
    started: bool,
    last: Option<u8>,
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

impl Joiner {
    pub(super) fn new<'a>(manifests: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut all_json = true;
        for manifest in manifests {
            all_json &= is_json(manifest);
        }
        Self {
            all_json,
            ..Self::default()
        }
    }

    /// What goes before this manifest, and from where on it is written. One manifest alone
    /// stays exactly what it is.
    pub(super) fn before(&self, manifest: &[u8], alone: bool) -> (&'static str, usize) {
        if alone {
            return ("", 0);
        }
        let skip = if self.started && manifest.starts_with(BOM) {
            BOM.len()
        } else {
            0
        };
        let text = manifest.get(skip..).unwrap_or_default();
        let breaks = matches!(self.last, None | Some(b'\n'));
        let marked = text.starts_with(b"---");
        // A directive may stand after the end of a document only.
        let directive = text.starts_with(b"%");
        let separator = match (self.started, breaks) {
            (true, true) if self.all_json || marked => "",
            (true, false) if self.all_json || marked => "\n",
            (true, true) if directive => "...\n",
            (true, false) if directive => "\n...\n",
            (true, true) => "---\n",
            (true, false) => "\n---\n",
            // Else a reader would take the whole stream for JSON.
            (false, _) if !self.all_json && is_json(text) => "---\n",
            (false, _) => "",
        };
        (separator, skip)
    }

    pub(super) fn written(&mut self, last: Option<u8>) {
        if last.is_some() {
            self.started = true;
            self.last = last;
        }
    }
}

fn is_json(manifest: &[u8]) -> bool {
    matches!(manifest.trim_ascii_start().first(), Some(b'{' | b'['))
        && documents("", manifest).all(|document| document.json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(manifests: &[&str]) -> String {
        let bytes = || manifests.iter().map(|manifest| manifest.as_bytes());
        let mut joiner = Joiner::new(bytes());
        let mut text = String::new();
        for manifest in manifests {
            let (separator, skip) = joiner.before(manifest.as_bytes(), manifests.len() == 1);
            text.push_str(separator);
            text.push_str(&manifest[skip..]);
            joiner.written(text.as_bytes().last().copied());
        }
        text
    }

    #[test]
    fn one_manifest_stays_what_it_is() {
        for manifest in ["", "a: 1", "\u{feff}a: 1\n", "{\"a\":1}"] {
            assert_eq!(joined(&[manifest]), manifest);
        }
    }

    #[test]
    fn several_become_documents_of_one_stream() {
        for (manifests, stream) in [
            (&["a: 1\n", "b: 2\n"][..], "a: 1\n---\nb: 2\n"),
            (&["a: 1", "b: 2"], "a: 1\n---\nb: 2"),
            (&["---\na: 1\n", "---\nb: 2\n"], "---\na: 1\n---\nb: 2\n"),
            (&["a: 1\n", "\u{feff}b: 2\n"], "a: 1\n---\nb: 2\n"),
            (&["a: 1\n", "", "b: 2\n"], "a: 1\n---\n---\nb: 2\n"),
            (
                &["a: 1\n", "%YAML 1.2\n---\nb: 2\n"],
                "a: 1\n...\n%YAML 1.2\n---\nb: 2\n",
            ),
            (&["{\"a\":1}", "{\"b\":2}\n"], "{\"a\":1}\n{\"b\":2}\n"),
            (&["{\"a\":1}", "b: 2\n"], "---\n{\"a\":1}\n---\nb: 2\n"),
            (&["a: 1\r\n", "{\"b\":2}"], "a: 1\r\n---\n{\"b\":2}"),
        ] {
            assert_eq!(joined(manifests), stream);
        }
    }
}
