//! Lists the files of an archive by the rules of Helm's `LoadArchiveFiles`.

use std::collections::HashSet;
use std::io::{self, Read};

use jiff::Timestamp;

use super::Oddity;
use super::error::{Ambiguity, ArchiveError, Damage};
use super::stream::{Budget, Inflater};
use super::tar::{Entry, Reader};
use crate::digest::{Hasher, Sha256Digest};
use crate::yaml::lossy;

/// A file of an archive.
pub(super) struct File {
    /// Path within the chart.
    pub(super) name: String,
    pub(super) modified: Option<Timestamp>,
    pub(super) content: Content,
}

/// What is kept of a file.
pub(super) enum Content {
    /// The files of a vendored archive.
    Archive(Vec<File>),
    /// The digest, and the bytes of a file that will be parsed.
    Bytes(Sha256Digest, Option<Vec<u8>>),
    /// Nothing: locks of subcharts, and files beside them, which Helm passes over.
    Dropped,
}

/// What becomes of a file, decided by its name.
enum Fate {
    Archive,
    Drop,
    Hash,
    Keep,
}

/// Lists the files of a gzipped tar stream.
///
/// # Errors
/// Fails for whatever makes the archive unusable; see [`ArchiveError`].
pub(super) fn list(
    input: Box<dyn Read + '_>,
    budget: &Budget,
    depth: usize,
    oddities: &mut Vec<Oddity>,
) -> Result<Vec<File>, ArchiveError> {
    let limits = budget.limits();
    if depth > limits.chart_depth {
        return Err(ArchiveError::too_large(
            "depth of subcharts",
            limits.chart_depth,
        ));
    }
    let mut budget = budget.clone();
    let stream = Inflater::new(input, budget.clone());
    let mut reader = Reader::new(stream, limits.path_bytes, limits.header_bytes);
    let mut listing = Listing {
        files: Vec::new(),
        names: HashSet::new(),
        top: None,
        oddities,
    };
    while let Some(entry) = reader.next(&mut budget)? {
        if entry.directory {
            // Go reads its content, others do not.
            if entry.size != 0 {
                return Err(Ambiguity::Size.into());
            }
            continue;
        }
        budget.file(entry.size)?;
        listing.add(&entry, reader.content(), &budget, depth)?;
    }
    if listing.files.is_empty() {
        Err(Damage::NoFiles.into())
    } else {
        Ok(listing.files)
    }
}

struct Listing<'a> {
    files: Vec<File>,
    names: HashSet<String>,
    top: Option<Vec<u8>>,
    oddities: &'a mut Vec<Oddity>,
}

impl Listing<'_> {
    fn add(
        &mut self,
        entry: &Entry,
        content: &mut impl Read,
        budget: &Budget,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        let Located { top, path, clean } = locate(&entry.name)?;
        self.note_top(top);
        if !clean {
            self.oddity(Oddity::UncleanPath);
        }
        let name = lossy(&path);
        // Helm keeps both files and the later template wins when rendered; tar keeps the last on
        // disk.
        if !self.names.insert(name.clone()) {
            return Err(Ambiguity::Duplicate(name).into());
        }
        let mut content = content.take(entry.size);
        let kept = match fate(&name) {
            Fate::Archive => {
                let files = list(
                    Box::new(&mut content),
                    budget,
                    depth.saturating_add(1),
                    self.oddities,
                )
                .map_err(|error| in_subchart(error, &name))?;
                drain(&mut content)?;
                Content::Archive(files)
            }
            Fate::Drop => drain(&mut content).map(|()| Content::Dropped)?,
            Fate::Hash => Content::Bytes(hash(&mut content)?, None),
            Fate::Keep => keep(&mut content, entry.size, budget)?,
        };
        if content.limit() != 0 {
            return Err(Damage::Truncated.into());
        }
        self.files.push(File {
            name,
            modified: entry.modified,
            content: kept,
        });
        Ok(())
    }

    fn note_top(&mut self, top: &[u8]) {
        let first = self.top.get_or_insert_with(|| top.to_vec());
        if first.as_slice() != top {
            self.oddity(Oddity::SeveralTopDirectories);
        }
    }

    fn oddity(&mut self, oddity: Oddity) {
        if !self.oddities.contains(&oddity) {
            self.oddities.push(oddity);
        }
    }
}

struct Located<'a> {
    top: &'a [u8],
    path: Vec<u8>,
    clean: bool,
}

/// Finds the path within the chart: the separator is `\` if the name contains one, and the first
/// element is dropped whatever it is.
fn locate(name: &[u8]) -> Result<Located<'_>, ArchiveError> {
    // Helm on Windows once packed names with backslashes, and every Helm still reads them so.
    let separator = if name.contains(&b'\\') { b'\\' } else { b'/' };
    let mut elements = name.splitn(2, |byte| *byte == separator);
    let top = elements.next().unwrap_or_default();
    let rest = elements.next().unwrap_or_default();
    let rest: Vec<u8> = rest
        .iter()
        .map(|byte| if *byte == separator { b'/' } else { *byte })
        .collect();
    let path = clean(&rest);
    let drive = matches!(path.as_slice(), [letter, b':', b'/', ..] if letter.is_ascii_alphabetic());
    if rest.starts_with(b"/") || path.is_empty() || path.starts_with(b"..") || drive {
        return Err(Damage::Path.into());
    }
    // Helm: "chart yaml not in base directory". The archive lacks the folder that Helm drops.
    if top == b"Chart.yaml" {
        return Err(Damage::Path.into());
    }
    let clean = path == rest;
    Ok(Located { top, path, clean })
}

/// Go's `path.Clean` for a relative path, with an empty result for `.`.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for element in path.split(|byte| *byte == b'/') {
        match element {
            b"" | b"." => {}
            b".." if kept.last().is_some_and(|last| *last != b"..") => {
                kept.pop();
            }
            _ => kept.push(element),
        }
    }
    kept.join(&b'/')
}

/// Decides by name. A record holds nothing of subcharts (`dependencies` is not exported in Go), but their own
/// archives can be compared with them.
fn fate(name: &str) -> Fate {
    let (inner, in_subchart) = within(name);
    match inner {
        "Chart.yaml" | "requirements.yaml" | "values.yaml" => Fate::Keep,
        "Chart.lock" | "requirements.lock" if !in_subchart => Fate::Keep,
        // Of no use to whoever installs, and written anew by `helm package`.
        "Chart.lock" | "requirements.lock" => Fate::Drop,
        _ if is_vendored_archive(inner) => Fate::Archive,
        _ if inner.starts_with("charts/") && extension(inner) != ".prov" => Fate::Drop,
        _ => Fate::Hash,
    }
}

/// Strips `charts/<folder>/` as often as possible.
fn within(name: &str) -> (&str, bool) {
    let mut inner = name;
    let mut in_subchart = false;
    while let Some((_, rest)) = inner
        .strip_prefix("charts/")
        .and_then(|rest| rest.split_once('/'))
    {
        // The provenance files of vendored charts are files of the chart that has them.
        if extension(inner) == ".prov" {
            break;
        }
        inner = rest;
        in_subchart = true;
    }
    (inner, in_subchart)
}

fn is_vendored_archive(name: &str) -> bool {
    name.strip_prefix("charts/").is_some_and(|file| {
        // `LoadFiles` passes over both kinds of names: macOS puts `._name` beside each file that it
        // packs.
        !file.contains('/') && !file.starts_with(['_', '.']) && extension(file) == ".tgz"
    })
}

/// Go's `filepath.Ext`.
pub(super) fn extension(name: &str) -> &str {
    let file = name.rsplit('/').next().unwrap_or_default();
    file.rfind('.')
        .and_then(|dot| file.get(dot..))
        .unwrap_or_default()
}

fn in_subchart(error: ArchiveError, name: &str) -> ArchiveError {
    match error {
        ArchiveError::Malformed(damage) => Damage::Subchart {
            name: name.to_owned(),
            what: damage.to_string(),
        }
        .into(),
        other => other,
    }
}

fn drain(content: &mut impl Read) -> Result<(), ArchiveError> {
    io::copy(content, &mut io::sink())?;
    Ok(())
}

/// Hashes a file without its byte-order mark.
fn hash(content: &mut impl Read) -> Result<Sha256Digest, ArchiveError> {
    let mut hasher = Hasher::new();
    let mut start = Vec::with_capacity(MARK.len());
    content.by_ref().take(3).read_to_end(&mut start)?;
    if start != MARK {
        hasher.update(&start);
    }
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = content.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(hasher.finish());
        };
        hasher.update(bytes);
    }
}

/// Keeps a file that will be parsed, without its byte-order mark.
fn keep(content: &mut impl Read, size: u64, budget: &Budget) -> Result<Content, ArchiveError> {
    budget.document(size)?;
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    // Helm cuts the mark off (`bytes.TrimPrefix` in `archive.LoadArchiveFiles`), so that records
    // never have it.
    if bytes.starts_with(&MARK) {
        bytes.drain(..MARK.len());
    }
    Ok(Content::Bytes(Sha256Digest::of(&bytes), Some(bytes)))
}

/// UTF-8 byte-order mark.
pub(crate) const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
