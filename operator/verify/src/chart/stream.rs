//! The inflated stream and the budget that everything in one archive shares.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;

use super::error::ArchiveError;
use crate::limits::{ArchiveLimits, YamlLimits};

/// What is left of the limits of one archive, the archives within it included.
#[derive(Clone, Debug)]
pub(super) struct Budget(Rc<RefCell<Spent>>);

#[derive(Debug)]
struct Spent {
    limits: ArchiveLimits,
    file_bytes: u64,
    stream_bytes: u64,
    entries: usize,
    charts: usize,
    document_bytes: usize,
    nodes: usize,
}

impl Budget {
    pub(super) fn new(limits: ArchiveLimits) -> Self {
        Self(Rc::new(RefCell::new(Spent {
            limits,
            file_bytes: 0,
            stream_bytes: 0,
            entries: 0,
            charts: 0,
            document_bytes: 0,
            nodes: 0,
        })))
    }

    pub(super) fn limits(&self) -> ArchiveLimits {
        self.0.borrow().limits
    }

    /// Counts a tar entry.
    pub(super) fn entry(&mut self) -> Result<(), ArchiveError> {
        let mut spent = self.0.borrow_mut();
        spent.entries = spent.entries.saturating_add(1);
        if spent.entries > spent.limits.entries {
            Err(ArchiveError::too_large(
                "number of entries",
                spent.limits.entries,
            ))
        } else {
            Ok(())
        }
    }

    /// Counts a chart or subchart.
    pub(super) fn chart(&mut self) -> Result<(), ArchiveError> {
        let mut spent = self.0.borrow_mut();
        spent.charts = spent.charts.saturating_add(1);
        if spent.charts > spent.limits.charts {
            Err(ArchiveError::too_large(
                "number of subcharts",
                spent.limits.charts,
            ))
        } else {
            Ok(())
        }
    }

    /// Counts the content of a file. Helm refuses a sum that reaches its limit, not only one above.
    pub(super) fn file(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        let mut spent = self.0.borrow_mut();
        let limit = spent.limits.file_bytes;
        spent.file_bytes = spent.file_bytes.saturating_add(bytes);
        if spent.file_bytes >= limit {
            Err(ArchiveError::TooLarge {
                what: "inflated size",
                limit,
            })
        } else {
            Ok(())
        }
    }

    /// Counts the bytes of a document that will be parsed.
    pub(super) fn document(&self, bytes: u64) -> Result<(), ArchiveError> {
        let mut spent = self.0.borrow_mut();
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        spent.document_bytes = spent.document_bytes.saturating_add(bytes);
        if spent.document_bytes > spent.limits.document_bytes {
            Err(ArchiveError::too_large(
                "size of documents",
                spent.limits.document_bytes,
            ))
        } else {
            Ok(())
        }
    }

    /// Returns what is left for the next YAML document.
    pub(super) fn yaml(&self) -> YamlLimits {
        let spent = self.0.borrow();
        let nodes = spent.limits.yaml.nodes.saturating_sub(spent.nodes);
        YamlLimits {
            nodes,
            ..spent.limits.yaml
        }
    }

    /// Counts the values of a parsed document.
    pub(super) fn nodes(&self, nodes: usize) {
        let mut spent = self.0.borrow_mut();
        spent.nodes = spent.nodes.saturating_add(nodes);
    }

    fn stream(&mut self, bytes: usize) -> Result<(), ArchiveError> {
        let mut spent = self.0.borrow_mut();
        let limit = spent.limits.stream_bytes;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        spent.stream_bytes = spent.stream_bytes.saturating_add(bytes);
        if spent.stream_bytes > limit {
            Err(ArchiveError::TooLarge {
                what: "inflated size",
                limit,
            })
        } else {
            Ok(())
        }
    }
}

/// Inflates gzip members one after the other, as Go's `compress/gzip`, within the budget.
pub(super) struct Inflater<'a> {
    // GNU gzip and Go read concatenated members as one stream. A reader of the first alone would
    // verify less than Helm installs.
    input: MultiGzDecoder<Box<dyn Read + 'a>>,
    budget: Budget,
}

impl<'a> Inflater<'a> {
    pub(super) fn new(input: Box<dyn Read + 'a>, budget: Budget) -> Self {
        Self {
            input: MultiGzDecoder::new(input),
            budget,
        }
    }
}

impl Read for Inflater<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.budget.stream(read).map_err(io::Error::other)?;
        Ok(read)
    }
}
