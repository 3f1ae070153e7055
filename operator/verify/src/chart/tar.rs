//! Reads tar headers exactly as Go's `archive/tar` does, or refuses.
//!
//! Every tar reader has its own idea of sparse files, sizes told twice and stacked extension
//! headers; such entries are refused instead of read ("tar differential"). What `helm package`,
//! Flux, chart-releaser, GNU tar and BSD tar write for a chart is read.

use std::collections::BTreeMap;
use std::io::Read;

use jiff::Timestamp;

use super::error::{Ambiguity, ArchiveError, Damage};
use super::stream::Budget;

/// One entry whose content comes next in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name as the bytes of the archive say.
    pub(super) name: Vec<u8>,
    pub(super) size: u64,
    pub(super) modified: Option<Timestamp>,
    pub(super) directory: bool,
}

/// Reads entry after entry; the caller reads all of an entry's content before the next.
pub(super) struct Reader<R> {
    input: R,
    padding: usize,
    path_bytes: usize,
    header_bytes: usize,
}

/// What extension headers say about the next entry.
#[derive(Default)]
struct Extension {
    pax: Option<BTreeMap<Vec<u8>, Vec<u8>>>,
    long_name: Option<Vec<u8>>,
    long_link: bool,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R, path_bytes: usize, header_bytes: usize) -> Self {
        Self {
            input,
            padding: 0,
            path_bytes,
            header_bytes,
        }
    }

    /// Returns the stream, which stands at the content of the last entry.
    pub(super) fn content(&mut self) -> &mut R {
        &mut self.input
    }

    /// Reads up to the content of the next entry; `None` at the end of the archive.
    pub(super) fn next(&mut self, budget: &mut Budget) -> Result<Option<Entry>, ArchiveError> {
        let mut extension = Extension::default();
        loop {
            if !self.skip_padding()? {
                return Ok(None);
            }
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            // Extension headers count too: a stream of nothing but those would never end.
            budget.entry()?;
            match header.kind() {
                b'x' => self.extend(&header, &mut extension)?,
                b'g' => self.global(&header, &extension)?,
                b'L' => {
                    let name = self.special(&header)?;
                    let name = until_nul(&name).to_vec();
                    if name.is_empty() || extension.long_name.replace(name).is_some() {
                        return Err(Ambiguity::StackedHeaders.into());
                    }
                }
                b'K' => {
                    self.special(&header)?;
                    // What a link points to is read by nobody here, but two such headers mean that
                    // two readers may disagree about which entry they belong to.
                    if std::mem::replace(&mut extension.long_link, true) {
                        return Err(Ambiguity::StackedHeaders.into());
                    }
                }
                _ => return self.entry(&header, &extension).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &Header, extension: &Extension) -> Result<Entry, ArchiveError> {
        let mut entry = header.entry()?;
        if let Some(name) = &extension.long_name {
            entry.name.clone_from(name);
        }
        // Go takes an empty value for "as if it were not there"; POSIX says it deletes a global
        // one.
        for (key, value) in extension
            .pax
            .iter()
            .flatten()
            .filter(|(_, value)| !value.is_empty())
        {
            if key == b"path" && extension.long_name.is_some() {
                return Err(Ambiguity::StackedHeaders.into());
            }
            merge_pax(&mut entry, key, value)?;
        }
        if entry.name.len() > self.path_bytes {
            return Err(ArchiveError::too_large("path length", self.path_bytes));
        }
        header.check_kind(&mut entry)?;
        self.padding = padding(entry.size);
        Ok(entry)
    }

    fn extend(&mut self, header: &Header, extension: &mut Extension) -> Result<(), ArchiveError> {
        let records = parse_pax(&self.special(header)?)?;
        match extension.pax.replace(records) {
            Some(_) => Err(Ambiguity::StackedHeaders.into()),
            None => Ok(()),
        }
    }

    /// Go reads global headers and applies none; other readers apply them. Only those that cannot
    /// matter, such as the comment that `git archive` writes, are let pass.
    fn global(&mut self, header: &Header, extension: &Extension) -> Result<(), ArchiveError> {
        let records = parse_pax(&self.special(header)?)?;
        let pending =
            extension.pax.is_some() || extension.long_name.is_some() || extension.long_link;
        let harmless = |key: &Vec<u8>| matches!(key.as_slice(), b"comment" | b"charset" | b"mtime");
        if pending || !records.keys().all(harmless) {
            Err(Ambiguity::GlobalHeader.into())
        } else {
            Ok(())
        }
    }

    /// Reads the content of an extension header.
    fn special(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let size = header.entry()?.size;
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        if length > self.header_bytes {
            return Err(ArchiveError::too_large(
                "extended header",
                self.header_bytes,
            ));
        }
        let mut content = vec![0; length];
        self.input.read_exact(&mut content)?;
        self.padding = padding(size);
        Ok(content)
    }

    /// Skips what fills the last block; `false` if the stream ends within, which Go takes for the
    /// end of the archive.
    fn skip_padding(&mut self) -> Result<bool, ArchiveError> {
        let padding = std::mem::take(&mut self.padding);
        let mut block = [0; BLOCK];
        let rest = block.get_mut(..padding).unwrap_or_default();
        Ok(read_up_to(&mut self.input, rest)? == padding)
    }

    /// Reads one header block; `None` after two blocks of zeros, or one, or none, and no more.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut block = [0; BLOCK];
        if !fill(&mut self.input, &mut block)? {
            return Ok(None);
        }
        // An archive ends with two blocks of zeros, but Go takes one, or the end of the stream, for
        // the end too.
        if block != [0; BLOCK] {
            return Header::checked(&block).map(Some);
        }
        if fill(&mut self.input, &mut block)? && block != [0; BLOCK] {
            return Err(Damage::Header.into());
        }
        Ok(None)
    }
}

/// Fills `buffer`; `false` if nothing was left. Part of it is an error.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<bool, ArchiveError> {
    match read_up_to(input, buffer)? {
        0 => Ok(false),
        filled if filled < buffer.len() => Err(Damage::Truncated.into()),
        _ => Ok(true),
    }
}

/// Fills as much of `buffer` as there is, and returns how much that was.
fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
    let mut filled = 0_usize;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest)? {
            0 => break,
            read => filled = filled.saturating_add(read),
        }
    }
    Ok(filled)
}

fn padding(size: u64) -> usize {
    let rest = usize::try_from(size.wrapping_rem(512)).unwrap_or_default();
    if rest == 0 {
        0
    } else {
        BLOCK.saturating_sub(rest)
    }
}

/// Applies one PAX record, as Go's `mergePAX`, to what can matter for a chart.
fn merge_pax(entry: &mut Entry, key: &[u8], value: &[u8]) -> Result<(), ArchiveError> {
    match key {
        b"path" => entry.name = value.to_vec(),
        // Go believes this record, others the header: the next entry would begin elsewhere for
        // them.
        b"size" if decimal(value)? != entry.size => return Err(Ambiguity::Size.into()),
        b"uid" | b"gid" => {
            let text = std::str::from_utf8(value).map_err(|_| Damage::Header)?;
            text.parse::<i64>().map_err(|_| Damage::Header)?;
        }
        b"atime" | b"ctime" => {
            pax_time(value)?;
        }
        b"mtime" => entry.modified = pax_time(value)?,
        _ if key.starts_with(b"GNU.sparse.") => return Err(Ambiguity::Sparse.into()),
        _ => {}
    }
    Ok(())
}

fn decimal(value: &[u8]) -> Result<u64, ArchiveError> {
    let text = std::str::from_utf8(value).map_err(|_| Damage::Header)?;
    Ok(text.parse().map_err(|_| Damage::Header)?)
}

/// Reads seconds with an optional fraction, as Go's `parsePAXTime`. An instant that cannot be
/// represented is as good as none.
fn pax_time(value: &[u8]) -> Result<Option<Timestamp>, ArchiveError> {
    let text = std::str::from_utf8(value).map_err(|_| Damage::Header)?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = seconds.parse().map_err(|_| Damage::Header)?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Damage::Header.into());
    }
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanos: i32 = digits.parse().map_err(|_| Damage::Header)?;
    let nanos = if seconds.starts_with('-') {
        nanos.saturating_neg()
    } else {
        nanos
    };
    Ok(Timestamp::new(whole, nanos).ok())
}

/// Splits `<length> <key>=<value>\n` records. Go lets the last of repeated keys win; they are
/// refused here.
fn parse_pax(mut content: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ArchiveError> {
    let mut records = BTreeMap::new();
    while !content.is_empty() {
        let (key, value, rest) = pax_record(content).ok_or(Damage::Header)?;
        if records.insert(key.to_vec(), value.to_vec()).is_some() {
            return Err(Ambiguity::StackedHeaders.into());
        }
        content = rest;
    }
    Ok(records)
}

/// Splits the first record off, as Go's `parsePAXRecord`.
fn pax_record(content: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, _) = split_at_byte(content, b' ')?;
    let total: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    let (record, rest) = content.split_at_checked(total)?;
    let record = record
        .get(length.len().checked_add(1)?..)?
        .strip_suffix(b"\n")?;
    let (key, value) = split_at_byte(record, b'=')?;
    let no_nul = match key {
        b"path" | b"linkpath" | b"uname" | b"gname" => !value.contains(&0),
        _ => !key.contains(&0),
    };
    (no_nul && !key.is_empty()).then_some((key, value, rest))
}

fn split_at_byte(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    let (before, after) = bytes.split_at_checked(at)?;
    Some((before, after.get(1..)?))
}

/// A header block whose checksum is right.
struct Header([u8; BLOCK]);

impl Header {
    fn checked(block: &[u8; BLOCK]) -> Result<Self, ArchiveError> {
        let header = Self(*block);
        let recorded = octal(header.field(148, 8))?;
        // Sun's tar added signed bytes, POSIX says unsigned; Go takes either.
        let (mut unsigned, mut signed) = (0_u64, 0_i64);
        for (index, byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&index) {
                b' '
            } else {
                *byte
            };
            unsigned = unsigned.saturating_add(u64::from(byte));
            signed = signed.saturating_add(i64::from(byte.cast_signed()));
        }
        if recorded == unsigned || u64::try_from(signed) == Ok(recorded) {
            return Ok(header);
        }
        Err(Damage::Header.into())
    }

    fn field(&self, start: usize, length: usize) -> &[u8] {
        self.0
            .get(start..start.saturating_add(length))
            .unwrap_or_default()
    }

    fn kind(&self) -> u8 {
        self.0.get(156).copied().unwrap_or_default()
    }

    /// Reads the fields of the header itself; every number must be readable, as in Go.
    fn entry(&self) -> Result<Entry, ArchiveError> {
        let mode = numeric(self.field(100, 8))?;
        for (start, length) in [(108, 8), (116, 8)] {
            numeric(self.field(start, length))?;
        }
        let size = self.field(124, 12);
        // Base 256 begins at 8 GiB in all honest writers.
        let is_binary = size.first().is_some_and(|byte| byte & 0x80 != 0);
        // Go skips a NUL before the digits; to others the number ends there, and is nothing.
        let is_cut = until_nul(size).iter().all(|byte| *byte == b' ') && octal(size)? != 0;
        if is_binary || is_cut {
            return Err(Ambiguity::Size.into());
        }
        let size = octal(size)?;
        let modified = Timestamp::from_second(numeric(self.field(136, 12))?).ok();
        let mut name = until_nul(self.field(0, 100)).to_vec();
        if let Some(prefix) = self.prefix()?.filter(|prefix| !prefix.is_empty()) {
            name = [prefix, &name].join(&b'/');
        }
        // Go asks the mode as well as the type flag (`FileInfo().IsDir()`), and Helm skips what is
        // a directory by either.
        let directory = mode & !0o7777 == 0o40000;
        Ok(Entry {
            name,
            size,
            modified,
            directory,
        })
    }

    /// Returns the second field of the name, where the format has one.
    fn prefix(&self) -> Result<Option<&[u8]>, ArchiveError> {
        let magic = (self.field(257, 6), self.field(263, 2));
        if !matches!(magic, (b"ustar\0", _) | (b"ustar ", b" \0")) {
            return Ok(None);
        }
        numeric(self.field(329, 8))?;
        numeric(self.field(337, 8))?;
        match magic {
            // The format of the program star: a shorter prefix, with times behind it.
            (b"ustar\0", _) if self.field(508, 4) == b"tar\0" => {
                numeric(self.field(476, 12))?;
                numeric(self.field(488, 12))?;
                Ok(Some(until_nul(self.field(345, 131))))
            }
            (b"ustar\0", _) => Ok(Some(until_nul(self.field(345, 155)))),
            _ => self.check_gnu_times().map(|()| None),
        }
    }

    /// Old Go versions wrote a prefix where GNU has two times; Go guesses, we refuse.
    fn check_gnu_times(&self) -> Result<(), ArchiveError> {
        for start in [345, 357] {
            let time = self.field(start, 12);
            if time.first() != Some(&0) && numeric(time).is_err() {
                return Err(Ambiguity::Header.into());
            }
        }
        Ok(())
    }

    /// Decides what the entry is; everything that is neither a file nor a directory is refused.
    fn check_kind(&self, entry: &mut Entry) -> Result<(), ArchiveError> {
        let slash = entry.name.ends_with(b"/");
        match self.kind() {
            b'5' => entry.directory = true,
            0 if slash => entry.directory = true,
            b'0' | b'7' if slash => return Err(Ambiguity::Header.into()),
            0 | b'0' | b'7' => {}
            // Helm reads a link as an empty file, tar unpacks what it points to: what is installed
            // would not be what was signed for somebody who looks.
            b'1' | b'2' => return Err(Ambiguity::Link.into()),
            b'3' | b'4' | b'6' => return Err(Ambiguity::Device.into()),
            b'S' => return Err(Ambiguity::Sparse.into()),
            _ => return Err(Ambiguity::Kind.into()),
        }
        Ok(())
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    split_at_byte(bytes, 0).map_or(bytes, |(before, _)| before)
}

/// Reads base 256 or octal, as Go's `parseNumeric`.
fn numeric(field: &[u8]) -> Result<i64, ArchiveError> {
    let Some((first, rest)) = field.split_first().filter(|(first, _)| **first & 0x80 != 0) else {
        return i64::try_from(octal(field)?).map_err(|_| Damage::Header.into());
    };
    let inverted = if first & 0x40 != 0 { 0xff } else { 0 };
    let mut number = u64::from((first ^ inverted) & 0x7f);
    for byte in rest {
        if number >> 56 > 0 {
            return Err(Damage::Header.into());
        }
        number = number << 8 | u64::from(byte ^ inverted);
    }
    let number = i64::try_from(number).map_err(|_| Damage::Header)?;
    Ok(if inverted == 0 { number } else { !number })
}

/// Reads octal digits between NULs and spaces, as Go's `parseOctal`; nothing is 0.
fn octal(field: &[u8]) -> Result<u64, ArchiveError> {
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(first) = field.iter().position(|byte| !blank(byte)) else {
        return Ok(0);
    };
    let last = field.iter().rposition(|byte| !blank(byte)).unwrap_or(first);
    let digits = until_nul(field.get(first..=last).unwrap_or_default());
    let text = std::str::from_utf8(digits).map_err(|_| Damage::Header)?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Damage::Header.into());
    }
    u64::from_str_radix(text, 8).map_err(|_| Damage::Header.into())
}

const BLOCK: usize = 512;
