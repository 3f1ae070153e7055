//! ASCII armor (RFC 9580 section 6), read line by line and strictly.
//!
//! Our own, because rPGP reads only the first of several blocks and lets `Key: value` headers run
//! over line ends, so that a block can vanish without an error.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Why a text is no armor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmorError {
    /// The base64 part cannot be decoded.
    #[error("the armored data is not valid base64")]
    Base64,
    /// A line that should be a header or empty.
    #[error("after the BEGIN line, headers and an empty line are expected")]
    Header,
    /// A BEGIN or END line that is indented, quoted or otherwise changed.
    #[error(
        "a BEGIN or END line is indented, quoted or otherwise changed (GnuPG writes a colon before \
         the BEGIN line of a revocation certificate: remove it)"
    )]
    Marker,
    /// A block begins and does not end.
    #[error("a block begins and does not end")]
    Unterminated,
    /// A block of another kind than expected.
    #[error("expected `{expected}`, found `{found}`")]
    Kind {
        /// The kind that would do.
        expected: &'static str,
        /// The kind that is there.
        found: String,
    },
}

/// Whether a file begins with the byte order mark of UTF-16.
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])
}

/// Decodes every block of the kind; text between blocks is skipped.
///
/// Fails on any line that looks like a marker and is not one, so that nothing is dropped silently.
pub(super) fn blocks(text: &str, kind: &'static str) -> Result<Vec<Vec<u8>>, ArmorError> {
    let mut lines = text.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let line = trimmed(line);
        if line.contains("-----BEGIN ") || line.contains("-----END ") {
            expect_begin(line, kind)?;
            found.push(block(&mut lines, kind)?);
        }
    }
    Ok(found)
}

/// Decodes every block of the kind that can be decoded, however its BEGIN line is indented, quoted or
/// preceded by the colon of GnuPG; nothing else is read of the text.
pub(super) fn readable_blocks(text: &str, kind: &str) -> Vec<Vec<u8>> {
    let begin = format!("-----BEGIN {kind}-----");
    let from = |start: usize| {
        let (before, rest) = text.split_at_checked(start)?;
        // What stands before the marker in its line stands before the others too, as in bad YAML.
        let indent = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .trim_start_matches(':');
        let lines = rest
            .lines()
            .map(|line| line.strip_prefix(indent).unwrap_or(line));
        let mut lines = lines.map(str::trim_start).skip(1);
        block(&mut lines, kind).ok()
    };
    let starts = text.match_indices(&begin).map(|(start, _)| start);
    starts.filter_map(from).collect()
}

/// Decodes one block, the BEGIN line of which has been read, up to its END line.
pub(super) fn block<'a>(
    lines: &mut impl Iterator<Item = &'a str>,
    kind: &str,
) -> Result<Vec<u8>, ArmorError> {
    skip_headers(lines)?;
    let end = format!("-----END {kind}-----");
    let mut base64 = String::new();
    let mut checksum_seen = false;
    for line in lines.map(trimmed) {
        if line == end {
            return STANDARD.decode(base64).map_err(|_| ArmorError::Base64);
        }
        // No letter of base64.
        if line.contains('-') && line.contains("-----") {
            return Err(ArmorError::Marker);
        }
        if checksum_seen {
            return Err(ArmorError::Base64);
        }
        // RFC 9580 section 6.1: the checksum is optional and must not decide anything.
        checksum_seen = is_checksum(line);
        if !checksum_seen {
            base64.push_str(line);
        }
    }
    Err(ArmorError::Unterminated)
}

fn expect_begin(line: &str, kind: &'static str) -> Result<(), ArmorError> {
    let found = line
        .strip_prefix("-----BEGIN ")
        .and_then(|rest| rest.strip_suffix("-----"))
        .ok_or(ArmorError::Marker)?;
    if found == kind {
        return Ok(());
    }
    let found = found
        .chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(40)
        .collect();
    Err(ArmorError::Kind {
        expected: kind,
        found,
    })
}

fn skip_headers<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<(), ArmorError> {
    for line in lines.map(trimmed) {
        if line.is_empty() {
            return Ok(());
        }
        let name = line.split_once(':').map_or("", |(name, _)| name);
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ArmorError::Header);
        }
    }
    Err(ArmorError::Unterminated)
}

fn is_checksum(line: &str) -> bool {
    line.len() == 5 && line.starts_with('=')
}

fn trimmed(line: &str) -> &str {
    line.trim_end_matches([' ', '\t', '\r'])
}

pub(super) const PUBLIC_KEY: &str = "PGP PUBLIC KEY BLOCK";
pub(super) const SIGNATURE: &str = "PGP SIGNATURE";
