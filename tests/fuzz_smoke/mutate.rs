//! Deterministic damage: of octets, of DER, of the DER within PEM, and of JSON and YAML.

/// xorshift64*: the same numbers in every run.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 when there is none.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end.max(1)
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    /// A range within `length`, more often short than long.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let longest = if self.below(4) == 0 { length } else { 16 };
        start..(start + 1 + self.below(longest)).min(length)
    }
}

/// Octets that parsers treat in a way of their own.
const OCTETS: [u8; 12] = [
    0x00, 0x01, 0x1f, 0x20, 0x7f, 0x80, 0x81, 0x84, 0xff, b'"', b'-', b'\n',
];

/// Identifier octets of DER in names, keys, requests and certificates.
const TAGS: [u8; 17] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1c, 0x1e, 0x30, 0x31,
    0xa0,
];

const WORDS: [&str; 24] = [
    "null",
    "true",
    "-1",
    "1e400",
    "0",
    "1.5",
    "\"\"",
    "[]",
    "{}",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "99999999999999999999",
    "\"99999999999h\"",
    "\"-1h\"",
    "\"1h\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59-23:59\"",
    "\"ü\"",
    "\"1.2.3\"",
    "\"((((a*)*)*)*)*\"",
    "&a",
    "*a",
    "<<: *a\n",
    "---\n",
];

/// A damaged copy of one of `seeds`.
pub(crate) fn mutant(rng: &mut Rng, seeds: &[Vec<u8>], which: usize) -> Vec<u8> {
    let seed = &seeds[which];
    if rng.below(2) == 0
        && let Some(text) = within_pem(rng, seed)
    {
        return text;
    }
    let mut bytes = seed.clone();
    if rng.below(8) == 0 {
        let other = &seeds[rng.below(seeds.len())];
        let (cut, from) = (rng.below(bytes.len()), rng.below(other.len()));
        bytes.truncate(cut);
        bytes.extend_from_slice(&other[from..]);
    }
    for _ in 0..=rng.below(3) {
        damage(rng, &mut bytes);
    }
    bytes
}

/// The text with the DER of one of its blocks damaged.
fn within_pem(rng: &mut Rng, seed: &[u8]) -> Option<Vec<u8>> {
    let blocks = pem::parse_many(seed).ok().filter(|all| !all.is_empty())?;
    let at = rng.below(blocks.len());
    let mut text = String::new();
    for (index, block) in blocks.iter().enumerate() {
        let mut der = block.contents().to_vec();
        if index == at {
            damage(rng, &mut der);
        }
        text.push_str(&pem::encode(&pem::Pem::new(block.tag(), der)));
    }
    Some(text.into_bytes())
}

fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        bytes.push(rng.pick(&OCTETS));
        return;
    }
    let at = rng.below(bytes.len());
    match rng.below(10) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.pick(&OCTETS),
        2 => bytes.insert(at, rng.pick(&OCTETS)),
        3 => bytes.truncate(at),
        4 => {
            let range = rng.range(bytes.len());
            bytes.drain(range);
        }
        5 => {
            let copy = bytes[rng.range(bytes.len())].to_vec();
            bytes.splice(at..at, copy);
        }
        6 => bytes[at] = rng.pick(&TAGS),
        7 | 8 if bytes[0] == 0x30 => element(rng, bytes),
        _ => word(rng, bytes),
    }
}

/// Changes an element of DER: its tag or length alone, or its content with every length
/// around it put right, so that the damage is not all found at the first octet.
fn element(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let mut path = Vec::new();
    let mut within = 0..bytes.len();
    loop {
        let children = headers(bytes, within.clone());
        if children.is_empty() {
            break;
        }
        let child = rng.pick(&children);
        let descends = bytes[child.at] & 0x20 != 0 || rng.below(4) == 0;
        path.push(child);
        if !descends || rng.below(6) == 0 {
            break;
        }
        within = child.content..child.end;
    }
    let Some(target) = path.last().copied() else {
        return;
    };
    let content = bytes[target.content..target.end].to_vec();
    match rng.below(7) {
        0 => bytes[target.at] = rng.pick(&TAGS),
        1 => bytes[target.at + 1] = bytes[target.at + 1].wrapping_add(rng.pick(&[1, 0xff])),
        2 => bytes[target.at + 1] = rng.pick(&[0x00, 0x7f, 0x80, 0x81, 0x82, 0x84, 0x88, 0xff]),
        3 => replace(bytes, &path, Vec::new()),
        4 => {
            let more = [content.as_slice(), &content].concat();
            replace(bytes, &path, more);
        }
        5 => {
            let mut changed = content;
            let at = rng.below(changed.len() + 1);
            changed.insert(at, rng.pick(&OCTETS));
            replace(bytes, &path, changed);
        }
        _ => {
            // The whole element twice, or not at all.
            path.pop();
            let whole = &bytes[target.at..target.end];
            let around = path.last().map_or(0..bytes.len(), |p| p.content..p.end);
            let twice = if rng.below(2) == 0 { whole } else { &[] };
            let changed = [
                &bytes[around.start..target.at],
                twice,
                twice,
                &bytes[target.end..around.end],
            ]
            .concat();
            replace(bytes, &path, changed);
        }
    }
}

#[derive(Clone, Copy)]
struct Header {
    at: usize,
    content: usize,
    end: usize,
}

/// The elements that fill `within`; none when anything else does.
fn headers(bytes: &[u8], within: std::ops::Range<usize>) -> Vec<Header> {
    let mut all = Vec::new();
    let mut at = within.start;
    while at < within.end {
        let Some(first) = bytes.get(at + 1) else {
            return Vec::new();
        };
        let octets = usize::from(first & 0x7f);
        let (content, length) = match first {
            0..=0x7f => (at + 2, octets),
            0x81..=0x82 => {
                let Some(length) = bytes.get(at + 2..at + 2 + octets) else {
                    return Vec::new();
                };
                let value = length.iter().fold(0, |n, o| n << 8 | usize::from(*o));
                (at + 2 + octets, value)
            }
            _ => return Vec::new(),
        };
        let end = content + length;
        if end > within.end {
            return Vec::new();
        }
        all.push(Header { at, content, end });
        at = end;
    }
    all
}

/// Gives the last element of `path` this content, and all around it their new lengths.
fn replace(bytes: &mut Vec<u8>, path: &[Header], mut content: Vec<u8>) {
    let Some((target, outer)) = path.split_last() else {
        *bytes = content;
        return;
    };
    let mut element = *target;
    for around in outer.iter().rev() {
        content = [
            &bytes[around.content..element.at],
            &encoded(bytes[element.at], &content),
            &bytes[element.end..around.end],
        ]
        .concat();
        element = *around;
    }
    let encoded = encoded(bytes[element.at], &content);
    bytes.splice(element.at..element.end, encoded);
}

fn encoded(identifier: u8, content: &[u8]) -> Vec<u8> {
    let mut all = vec![identifier];
    match content.len() {
        length @ 0..0x80 => all.push(u8::try_from(length).unwrap()),
        length @ 0x80..0x100 => all.extend([0x81, u8::try_from(length).unwrap()]),
        length => {
            all.push(0x82);
            all.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    all.extend_from_slice(content);
    all
}

/// Puts a word in the place of another, or of a string with its quotes.
fn word(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let part = |octet: &u8| octet.is_ascii_alphanumeric() || *octet >= 0x80;
    let middle = rng.below(bytes.len());
    let is_word = bytes[..middle].iter().rev().take_while(|o| part(o)).count();
    let rest = bytes[middle..].iter().take_while(|o| part(o)).count();
    let (mut start, mut end) = (middle - is_word, middle + rest);
    let quoted = bytes[..middle].iter().rposition(|octet| *octet == b'"');
    let closed = bytes[middle..].iter().position(|octet| *octet == b'"');
    if let (Some(from), Some(to)) = (quoted, closed)
        && rng.below(3) > 0
    {
        (start, end) = (from, middle + to + 1);
    }
    let word = rng.pick(&WORDS);
    // Within quotes, a string's content; else the string.
    let word = if rng.below(4) == 0 {
        word.trim_matches('"')
    } else {
        word
    };
    bytes.splice(start..end, word.bytes());
}
