//! PEM blocks (RFC 7468), read so that nothing between or in them is lost silently.

use pem::Pem;

/// All blocks of `text`.
///
/// Text around the blocks is allowed, as `openssl x509 -text` writes it; a `-----BEGIN`
/// without a readable block is not.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Pem>, PemError> {
    // C programs end a text at a NUL, and OpenSSL takes a vertical tab for damage.
    let is_odd = |octet: &u8| octet.is_ascii_control() && !b"\t\r\n".contains(octet);
    if text.iter().any(is_odd) {
        return Err(PemError::Malformed(
            "there are control characters; it is not plain text, or is UTF-16",
        ));
    }
    if !text.split(|octet| *octet == b'\n').all(stands_alone) {
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

/// A BEGIN or END has its line to itself: OpenSSL and Go look at the start of lines only.
fn stands_alone(line: &[u8]) -> bool {
    let markers = count(line, b"-----BEGIN ") + count(line, b"-----END ");
    let starts = line.starts_with(b"-----BEGIN ") || line.starts_with(b"-----END ");
    markers == 0
        || (markers == 1
            && starts
            && line.trim_ascii_end().ends_with(b"-----")
            && count(line, b"-----") == 2)
}

fn count(text: &[u8], marker: &[u8]) -> usize {
    text.windows(marker.len())
        .filter(|window| *window == marker)
        .count()
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

/// PEM of one DER structure, lines ending in LF.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let block = Pem::new(label, der);
    pem::encode_config(
        &block,
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
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
}
