//! The cleartext signature framework (RFC 9580 section 7), split strictly and in one pass.
//!
//! Our own, because rPGP's reader is quadratic and because everything that is not signed must be
//! refused instead of skipped.

use jiff::Timestamp;

use super::armor::{self, ArmorError, is_utf16};
use super::codes::Code;
use super::crypto::hash_name;
use super::fingerprint::Fingerprint;
use super::keys::algorithm_name;
use super::limits;
use super::packets::{self, FramingError};
use super::signature::{Issuers, Signature};
use super::time::timestamp;

/// Reads a message with a cleartext signature, such as a Helm provenance file.
///
/// # Guarantees
/// The text of the result is all that the signatures can cover; a file with any other line,
/// before, between or after, is refused.
pub fn parse_cleartext(bytes: &[u8]) -> Result<SignedMessage, CleartextError> {
    let text = printable(bytes)?;
    let mut lines = text.lines();
    // Helm takes the first message that it finds anywhere. But a text before it looks signed to
    // people and is not, so it is refused; `helm package` writes none.
    if lines.next() != Some(BEGIN_MESSAGE) {
        return Err(CleartextError::NotCleartext);
    }
    skip_headers(&mut lines)?;
    let (text, hashed) = body(&mut lines)?;
    let block = armor::block(&mut lines, armor::SIGNATURE).map_err(CleartextError::Armor)?;
    // Unsigned text after the end, a second message among it, could be read as part of the first
    // (CVE-2025-47934 is of that kind).
    if lines.any(|line| !is_blank(line)) {
        return Err(CleartextError::TextAfterEnd);
    }
    Ok(SignedMessage {
        text,
        hashed,
        signatures: signatures(&block)?,
        size: bytes.len(),
    })
}

/// A text with signatures that are claimed and not verified.
#[derive(Debug, Clone)]
pub struct SignedMessage {
    text: String,
    hashed: String,
    signatures: Vec<ClaimedSignature>,
    /// Bytes of the file.
    size: usize,
}

impl SignedMessage {
    /// The text in canonical form: lines end in LF, without blanks at their ends, without dash
    /// escapes and without a last line end. The only text to be read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, one to eight, in the order of the file.
    pub fn signatures(&self) -> &[ClaimedSignature] {
        &self.signatures
    }

    /// About how many bytes of memory it takes: the text twice, and packets with what was read of them.
    pub fn weight(&self) -> usize {
        self.size.saturating_mul(4)
    }

    /// What is hashed: the same lines, joined by CRLF (section 7.2).
    pub(super) fn hashed(&self) -> &[u8] {
        self.hashed.as_bytes()
    }
}

/// A signature that nobody has checked: whoever wrote the file chose all of this.
#[derive(Debug, Clone)]
pub struct ClaimedSignature {
    packet: Signature,
    issuers: Issuers,
}

impl ClaimedSignature {
    /// The fingerprint of the key that is said to have signed, if exactly one is named.
    pub fn claimed_issuer_fingerprint(&self) -> Option<&Fingerprint> {
        self.issuers
            .fingerprints
            .first()
            .filter(|_| self.issuers.agree())
    }

    /// The key ID, 16 digits in upper case, of the key that is said to have signed.
    pub fn claimed_issuer_key_id(&self) -> Option<&str> {
        if !self.issuers.agree() {
            return None;
        }
        let of_fingerprint = self.issuers.fingerprints.first().map(Fingerprint::key_id);
        of_fingerprint.or_else(|| self.issuers.key_ids.first().map(String::as_str))
    }

    /// When it is said to be made.
    pub fn claimed_created(&self) -> Option<Timestamp> {
        match &self.packet {
            Signature::Read(packet) => packet.created().map(timestamp),
            Signature::Unreadable { .. } => None,
        }
    }

    /// The name of the key algorithm it states, `unknown` for others.
    pub fn claimed_algorithm(&self) -> &'static str {
        match &self.packet {
            Signature::Read(packet) => algorithm_name(packet.key_algorithm),
            Signature::Unreadable { .. } => "unknown",
        }
    }

    /// The name of the hash algorithm it states, `unknown` for others.
    pub fn claimed_hash(&self) -> &'static str {
        match &self.packet {
            Signature::Read(packet) => hash_name(packet.hash_algorithm),
            Signature::Unreadable { .. } => "unknown",
        }
    }

    /// Why it is nobody's signature, whichever keys there are: it cannot be read, or it does not say
    /// clearly which key made it. `None` if a key may be found for it.
    ///
    /// A fault of such a signature must not be told of any key, which may have nothing to do with it.
    pub fn is_nobodys(&self) -> Option<Code> {
        match &self.packet {
            Signature::Read(packet) => (!packet.names_issuer()).then_some(Code::NoIssuer),
            Signature::Unreadable { .. } => Some(Code::UnsupportedAlgorithm),
        }
    }

    pub(super) fn packet(&self) -> &Signature {
        &self.packet
    }
}

/// Why a file is no message with a cleartext signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CleartextError {
    /// The armor of the signatures cannot be read.
    #[error("failed to read the armored signature")]
    Armor(#[source] ArmorError),
    /// A control character, a lone carriage return or an unusual line end.
    #[error("line {line} contains a control character or an unusual line end")]
    ControlCharacter {
        /// Its line, starting with 1.
        line: usize,
    },
    /// A line of the text begins with a dash that is not escaped.
    #[error("a line of the signed text begins with a dash that is not escaped")]
    DashNotEscaped,
    /// A header other than `Hash`, or a hash of unknown name.
    #[error("only `Hash:` headers with known names and an empty line may follow the first line")]
    Header,
    /// Nothing is signed.
    #[error("the signature block contains no signature")]
    NoSignature,
    /// The file does not begin with a cleartext message.
    #[error("the file does not begin with `-----BEGIN PGP SIGNED MESSAGE-----`")]
    NotCleartext,
    /// Bytes that are not UTF-8.
    #[error("the file is not UTF-8 text")]
    NotUtf8,
    /// The signature block is no sequence of packets.
    #[error("failed to read the packets of the signature block")]
    Packets(#[source] FramingError),
    /// Text after the signature block, which nobody signed.
    #[error("text follows the end of the signature block")]
    TextAfterEnd,
    /// The file is larger than allowed.
    #[error("the file is larger than {limit} bytes")]
    TooLarge {
        /// Largest file in bytes.
        limit: usize,
    },
    /// More lines than allowed.
    #[error("the file has more than {limit} lines")]
    TooManyLines {
        /// Most lines.
        limit: usize,
    },
    /// More signatures than allowed.
    #[error("the file has more than {limit} signatures")]
    TooManySignatures {
        /// Most signatures.
        limit: usize,
    },
    /// A packet other than a signature.
    #[error("the signature block contains a packet of type {tag}, which is no signature")]
    UnexpectedPacket {
        /// Its type.
        tag: u8,
    },
    /// The text is UTF-16.
    #[error("the file is UTF-16, as `>` of PowerShell writes it: save it as UTF-8")]
    Utf16,
    /// The text has no end.
    #[error("the file has no `-----BEGIN PGP SIGNATURE-----` line")]
    Unterminated,
}

/// The file as text with nothing in it that programs understand differently.
fn printable(bytes: &[u8]) -> Result<&str, CleartextError> {
    if bytes.len() > limits::MESSAGE_BYTES {
        return Err(CleartextError::TooLarge {
            limit: limits::MESSAGE_BYTES,
        });
    }
    // Told apart, because people get it by redirecting the output of a tool in PowerShell 5 and
    // would look for a broken signature.
    if is_utf16(bytes) {
        return Err(CleartextError::Utf16);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| CleartextError::NotUtf8)?;
    // Counted before anything is done line by line.
    if lines(text) > limits::MESSAGE_LINES {
        return Err(CleartextError::TooManyLines {
            limit: limits::MESSAGE_LINES,
        });
    }
    // Most files, which need not be taken apart into letters.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n');
    if bytes.iter().all(is_plain) {
        return Ok(text);
    }
    // GnuPG up to 2.4.8 cuts lines at a form feed (CVE-2025-68972), other programs at NUL or
    // U+2028: what programs read differently is refused for all.
    for (number, line) in (1..).zip(text.split('\n')) {
        let line_end = line.strip_suffix('\r').unwrap_or(line);
        if line_end.chars().any(is_refused) {
            return Err(CleartextError::ControlCharacter { line: number });
        }
    }
    Ok(text)
}

/// How many lines there are; behind the last line end begins another only if something stands there.
fn lines(text: &str) -> usize {
    let has_rest = !text.is_empty() && !text.ends_with('\n');
    let ends = text.matches('\n').count();
    ends.saturating_add(usize::from(has_rest))
}

/// Controls, the byte order mark, and what only some programs take for a line end.
fn is_refused(character: char) -> bool {
    (character.is_control() && character != '\t')
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Skips the headers, which decide nothing: the hash is named in the signature itself.
fn skip_headers<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<(), CleartextError> {
    for line in lines {
        if is_blank(line) {
            return Ok(());
        }
        // `NotDashEscaped`, which changes what is signed, and comments are refused; Go refuses all
        // but `Hash` as well.
        let names = line.strip_prefix("Hash: ").ok_or(CleartextError::Header)?;
        if !names
            .split(',')
            .all(|name| HASHES.contains(&name.trim_matches(' ')))
        {
            return Err(CleartextError::Header);
        }
    }
    Err(CleartextError::Unterminated)
}

/// The text, joined by LF and by CRLF, up to the signature block.
fn body<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<(String, String), CleartextError> {
    let mut text = Vec::new();
    for line in lines {
        if line == BEGIN_SIGNATURE {
            return Ok((text.join("\n"), text.join("\r\n")));
        }
        // Section 7.2: trailing blanks are not part of what is signed.
        text.push(unescaped(line)?.trim_end_matches([' ', '\t']));
    }
    Err(CleartextError::Unterminated)
}

fn unescaped(line: &str) -> Result<&str, CleartextError> {
    match line.strip_prefix("- ") {
        Some(rest) => Ok(rest),
        None if line.starts_with('-') => Err(CleartextError::DashNotEscaped),
        None => Ok(line),
    }
}

fn signatures(block: &[u8]) -> Result<Vec<ClaimedSignature>, CleartextError> {
    let packets = packets::split(block, limits::SIGNATURES).map_err(|error| match error {
        FramingError::TooMany { limit } => CleartextError::TooManySignatures { limit },
        error => CleartextError::Packets(error),
    })?;
    if packets.is_empty() {
        return Err(CleartextError::NoSignature);
    }
    packets.into_iter().map(signature).collect()
}

fn signature(packet: packets::Packet<'_>) -> Result<ClaimedSignature, CleartextError> {
    if packet.tag != packets::SIGNATURE {
        return Err(CleartextError::UnexpectedPacket { tag: packet.tag });
    }
    let packet = Signature::read(packet.body);
    let issuers = match &packet {
        Signature::Read(read) => read.issuers(),
        Signature::Unreadable { .. } => Issuers::default(),
    };
    Ok(ClaimedSignature { packet, issuers })
}

fn is_blank(line: &str) -> bool {
    line.chars()
        .all(|character| matches!(character, ' ' | '\t'))
}

const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";

/// Hash names that may stand in a header (sections 7.1 and 9.5); none of them decides anything.
const HASHES: [&str; 9] = [
    "MD5",
    "SHA1",
    "RIPEMD160",
    "SHA224",
    "SHA256",
    "SHA384",
    "SHA512",
    "SHA3-256",
    "SHA3-512",
];
