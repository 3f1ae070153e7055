//! The index of a repository, kept as a look-up table and nothing more.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use charttrust_verify::digest::Sha256Digest;
use serde::de::DeserializeSeed;

use super::error::Amount;
use super::limits::Limits;

mod shape;

/// Which versions of which charts a repository lists.
#[derive(Debug, Default)]
pub(super) struct Index {
    charts: HashMap<Box<str>, Vec<Published>>,
    text_bytes: usize,
    versions: usize,
}

/// One published version.
#[derive(Debug)]
pub(super) struct Published {
    /// SHA-256 that the index claims for the archive. It is signed by nobody.
    pub(super) claimed_digest: Option<Sha256Digest>,
    /// The first URL, as it stands in the index.
    pub(super) url: Option<Box<str>>,
    version: Box<str>,
}

/// Why a body is no index.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    TooLarge(Amount),
    Unusable(&'static str),
}

/// Why a version cannot be taken from an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    NotListed,
    Twice,
}

impl Index {
    /// Reads an index of YAML or JSON piece by piece; the text itself is not kept.
    pub(super) fn read(source: impl Read, limits: &Limits) -> Result<Self, Flaw> {
        let stretch = Stretch::new(limits.index_entry_bytes);
        let mut source = BufReader::new(Measured {
            source,
            stretch: stretch.clone(),
        });
        let mut root = shape::Root::new(limits, stretch);
        let parsed = match first_letter(&mut source) {
            Some(b'<') => return Err(Flaw::Unusable("it is HTML")),
            Some(b'{') => json(source, &mut root),
            _ => yaml(source, &mut root),
        };
        root.finish(parsed)
    }

    /// The version of a chart whose version string is exactly this one.
    pub(super) fn find(&self, chart: &str, version: &str) -> Result<&Published, Absence> {
        let published = self
            .charts
            .get(chart)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut same = published
            .iter()
            .filter(|published| *published.version == *version);
        let found = same.next().ok_or(Absence::NotListed)?;
        same.next().map_or(Ok(found), |_| Err(Absence::Twice))
    }

    /// Every chart with every version, as often as it is listed.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.charts.iter().flat_map(|(chart, published)| {
            let versions = published.iter().map(|one| &*one.version);
            versions.map(|version| (&**chart, version))
        })
    }

    /// Bytes of memory, about.
    pub(super) fn cost(&self) -> usize {
        self.text_bytes + self.versions * size_of::<Published>() + self.charts.len() * CHART_BYTES
    }
}

/// How much was read since the last entry.
///
/// A parser puts one piece of text together as a whole before anybody can judge it, and of what is passed
/// over nobody is told: only here it shows how much that is.
#[derive(Clone)]
struct Stretch {
    most: usize,
    read: Rc<Cell<usize>>,
}

impl Stretch {
    fn new(most: usize) -> Self {
        Self {
            most,
            read: Rc::default(),
        }
    }

    /// An entry begins or ends here.
    fn begin(&self) {
        self.read.set(0);
    }

    fn is_too_long(&self) -> bool {
        self.read.get() > self.most
    }
}

/// An index that ends where an entry is too large.
struct Measured<R> {
    source: R,
    stretch: Stretch,
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        let stretch = &self.stretch;
        stretch.read.set(stretch.read.get().saturating_add(read));
        if stretch.is_too_long() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(read)
    }
}

/// The first byte that is no white space or byte order mark, as far as one look into the buffer shows.
fn first_letter(source: &mut impl BufRead) -> Option<u8> {
    // What cannot be read now cannot be read by the parser either, which says so.
    let start = source.fill_buf().unwrap_or_default();
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    start
        .iter()
        .copied()
        .find(|byte| !byte.is_ascii_whitespace())
}

fn json(source: impl Read, root: &mut shape::Root<'_>) -> Result<(), Flaw> {
    let mut json = serde_json::Deserializer::from_reader(source);
    root.deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|_| Flaw::Unusable("it is not valid JSON"))
}

fn yaml(source: impl Read, root: &mut shape::Root<'_>) -> Result<(), Flaw> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 8_000_000,
            max_nodes: 6_000_000,
            max_depth: 32,
            flow_nesting_limit: 32,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 4 << 20,
            max_merge_keys: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 8,
        },
        emit_comments: false,
        with_snippet: false,
    };
    serde_saphyr::with_deserializer_from_reader_with_options(source, options, |yaml| {
        root.deserialize(yaml)
    })
    .map_err(|error| {
        if is_budget(&error) {
            Flaw::TooLarge(Amount::Budget)
        } else {
            Flaw::Unusable("it is not valid YAML")
        }
    })
}

fn is_budget(error: &serde_saphyr::Error) -> bool {
    use serde_saphyr::Error;
    match error {
        Error::AliasError { error, .. } => is_budget(error),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::Budget { .. } => true,
        _ => false,
    }
}

/// Bytes that a chart takes beside its name and versions, about.
const CHART_BYTES: usize = 64;

#[cfg(test)]
mod tests;
