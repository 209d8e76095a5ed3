//! PEM blocks (RFC 7468), read so that nothing between or in them is lost silently.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memmem, memrchr};
use pem::Pem;

/// All blocks of `text`.
///
/// Text around the blocks is allowed, as `openssl x509 -text` writes it; a `-----BEGIN`
/// without a readable block is not.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Pem>, PemError> {
    if let Some(block) = plain(text) {
        return Ok(vec![block]);
    }
    // C programs end a text at a NUL, and OpenSSL takes a vertical tab for damage. All
    // octets are looked at, without an early end: that is quicker for a good text.
    let is_odd = |octet: u8| octet.is_ascii_control() && !matches!(octet, b'\t' | b'\r' | b'\n');
    if text.iter().fold(false, |odd, octet| odd | is_odd(*octet)) {
        return Err(PemError::Malformed(
            "there are control characters; it is not plain text, or is UTF-16",
        ));
    }
    if !all_stand_alone(text) {
        return Err(PemError::Malformed(
            "a -----BEGIN or -----END line has other text on it",
        ));
    }
    let blocks = pem::parse_many(text).map_err(|error| PemError::Malformed(describe(&error)))?;
    let begins = count(text, b"-----BEGIN ");
    if begins != blocks.len() {
        return Err(PemError::Malformed(
            "a -----BEGIN line has no block that can be read (a missing -----END line, or damaged base64)",
        ));
    }
    if count(text, b"-----END ") != begins {
        return Err(PemError::Malformed(
            "an -----END line has no -----BEGIN line",
        ));
    }
    Ok(blocks)
}

/// One block and nothing else, written as OpenSSL, Go and certtool itself write it. That is
/// most of what there is, and is read without the copies that the general way takes; all
/// that is odd in any way is left to that.
fn plain(text: &[u8]) -> Option<Pem> {
    let rest = text.strip_prefix(b"-----BEGIN ")?;
    let (first, rest) = rest.split_at_checked(memchr(b'\n', rest)?)?;
    let label = first.strip_suffix(DASHES)?;
    let is_label = |octet: &u8| octet.is_ascii_uppercase() || matches!(octet, b'0'..=b'9' | b' ');
    if label.trim_ascii().len() != label.len() || !label.iter().all(is_label) {
        return None;
    }
    let lines = rest
        .strip_suffix(b"-----\n")?
        .strip_suffix(label)?
        .strip_suffix(b"\n-----END ")?
        .strip_prefix(b"\n")?;
    let mut base64 = Vec::with_capacity(lines.len());
    for line in lines.split(|octet| *octet == b'\n') {
        base64.extend_from_slice(line);
    }
    // Neither a header nor a dash is base64.
    let content = STANDARD.decode(base64).ok()?;
    let label = std::str::from_utf8(label).ok()?;
    (!content.is_empty() && !label.is_empty()).then(|| Pem::new(label, content))
}

/// What every BEGIN and END line has.
const DASHES: &[u8] = b"-----";

/// Each line is looked at once: a line may be all of the text.
fn all_stand_alone(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = memmem::find(rest, DASHES) {
        let start = memrchr(b'\n', &rest[..at]).map_or(0, |before| before + 1);
        let end = memchr(b'\n', &rest[at..]).map_or(rest.len(), |after| at + after);
        if !stands_alone(&rest[start..end]) {
            return false;
        }
        rest = &rest[end..];
    }
    true
}

/// A BEGIN or END has its line to itself: OpenSSL and Go look at the start of lines only.
fn stands_alone(line: &[u8]) -> bool {
    let markers = count(line, b"-----BEGIN ") + count(line, b"-----END ");
    let starts = line.starts_with(b"-----BEGIN ") || line.starts_with(b"-----END ");
    markers == 0
        || (markers == 1
            && starts
            && line.trim_ascii_end().ends_with(b"-----")
            // Overlapping ones, too: six dashes are not five.
            && line.windows(5).filter(|window| *window == DASHES).count() == 2)
}

fn count(text: &[u8], marker: &[u8]) -> usize {
    memmem::find_iter(text, marker).count()
}

/// Why text is not PEM. Never quotes the text, since it may hold a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PemError {
    #[error("malformed PEM: {0}")]
    Malformed(&'static str),
}

fn describe(error: &pem::PemError) -> &'static str {
    match error {
        pem::PemError::MismatchedTags(..) => "the labels of BEGIN and END differ",
        pem::PemError::MalformedFraming => "the BEGIN and END lines do not fit together",
        pem::PemError::MissingBeginTag => "there is no -----BEGIN line",
        pem::PemError::MissingEndTag => "there is no -----END line",
        pem::PemError::MissingData => "a block is empty",
        pem::PemError::InvalidData(_) => "a block is not valid base64",
        pem::PemError::InvalidHeader(_) => "a block has a malformed header",
        pem::PemError::NotUtf8(_) => "the text is not UTF-8",
    }
}

/// How many octets make a line of 64 characters (RFC 7468, section 2).
const LINE: usize = 48;

/// PEM of one DER structure, lines ending in LF.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let lines = der.len().div_ceil(LINE) * 65;
    let mut text = String::with_capacity(lines + 2 * label.len() + 33);
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.push_str(part);
    }
    for line in der.chunks(LINE) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        text.push_str(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_openssl_would_not_find_is_not_read() {
        let good = "text\n-----BEGIN A B-----\r\nAAAA\n-----END A B-----  \n";
        assert_eq!(parse(good.as_bytes()).unwrap().len(), 1);
        for bad in [
            good.replace("text\n", "text"),
            good.replace("\r\n", "\x0b"),
            good.replace("AAAA\n", "AAAA"),
            good.replace("text", "te\0xt"),
            good.replace("AAAA", "AA\x0bAA"),
            good.replace("text", "-----END A B-----"),
        ] {
            let error = parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("malformed PEM: "), "{error}");
        }
    }

    #[test]
    fn a_plain_text_is_read_as_any_other() {
        let octets: Vec<u8> = (0..=255).cycle().take(500).collect();
        for length in [1, 2, 3, 47, 48, 49, 95, 96, 97, 500] {
            let text = encode("A KEY 2", &octets[..length]);
            let pem = Pem::new("A KEY 2", &octets[..length]);
            let lf = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
            assert_eq!(text, pem::encode_config(&pem, lf));
            assert_eq!(plain(text.as_bytes()), Some(pem));
            assert_eq!(
                parse(text.as_bytes()).unwrap(),
                pem::parse_many(&text).unwrap()
            );
        }
    }

    #[test]
    fn all_that_is_odd_is_left_to_the_general_way() {
        let good = encode("A", &[7; 60]);
        assert!(plain(good.as_bytes()).is_some());
        for odd in [
            String::new(),
            encode("A", &[]),
            encode("", &[7; 60]),
            encode(" A", &[7; 60]),
            encode("a", &[7; 60]),
            encode("A-B", &[7; 60]),
            good.clone() + &good,
            good.clone() + "\n",
            "\n".to_owned() + &good,
            good.trim_end().to_owned(),
            good.replace('\n', "\r\n"),
            good.replace("END A", "END B"),
            good.replace("END A", "END AA"),
            good.replace("A-----\nB", "A-----\nProc-Type: 4,ENCRYPTED\n\nB"),
            good.replace("\nBwcH", "\n\tBwcH"),
            good.replace("BwcH\n", "Bwc=\n"),
            good.replace("BwcH", "Bw-H"),
        ] {
            assert_eq!(plain(odd.as_bytes()), None, "{odd}");
        }
    }
}
