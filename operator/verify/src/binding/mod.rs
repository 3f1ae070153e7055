//! Compares a release record with a chart archive: is the running chart the signed one?
//!
//! Pure comparison of what `chart` and `release` have read. Every rule here was tried on thousands
//! of honest records of Helm 3 and 4; what honest Helm does must never be called tampering.

mod metadata;
mod parts;

use std::fmt;

use crate::chart::Chart;
use crate::release::Record;

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The record is what Helm makes of this archive.
    Same {
        /// What is worth saying nevertheless.
        notes: Vec<Note>,
    },
    /// The record was not made of this archive.
    Different {
        /// The first differences; never empty.
        differences: Vec<Difference>,
    },
    /// There are differences, but some old Helm, or an installation from a directory, makes the
    /// same ones: it cannot be told.
    OldWriter {
        /// What explains the differences.
        notes: Vec<Note>,
    },
}

/// Something that is no proof of tampering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Note {
    /// Helm before 3.3 kept byte-order marks.
    #[error("files still have their byte-order mark, as Helm before 3.3 recorded them")]
    ByteOrderMark,
    /// Templates or files are in the order of a directory.
    #[error("files are in the order of a directory: the chart was installed unpacked")]
    DirectoryOrder,
    /// Charts of apiVersion v1 lose their Chart.lock and Chart.yaml dependencies when packaged.
    #[error("dependencies or lock are those of an unpacked chart of apiVersion v1")]
    DirectoryV1,
    /// Modification times are there and differ.
    #[error("modification times differ from those in the archive")]
    ModificationTimes,
    /// Helm before 3.1 did not keep requirements.yaml and requirements.lock as files.
    #[error("requirements files are missing, as Helm before 3.1 left them out")]
    RequirementsFiles,
    /// The dependencies are those that the recorded default values give.
    #[error("dependencies follow recorded default values: probably --reuse-values")]
    ReusedValues,
    /// Helm before 3.6 did not sanitise metadata.
    #[error("metadata has unprintable characters, as Helm before 3.6 recorded them")]
    Unsanitized,
    /// Metadata differ by characters that only some Unicode versions call printable.
    #[error("metadata differ only by characters that some Helm versions remove")]
    UnicodeVersion,
    /// Default values differ from what archive and user's values give.
    #[error("default values differ: possibly --reuse-values")]
    ValuesDiffer,
    /// A values.yaml could not be read by us, so conditions and values were not compared.
    #[error("default values could not be read and were not compared")]
    ValuesUnreadable,
}

/// One difference between record and archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which part differs.
    pub part: ChartPart,
    /// How it differs.
    pub change: Change,
}

/// A part of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChartPart {
    /// A file outside `templates/`, by its path.
    File(String),
    /// All files outside `templates/`.
    Files,
    /// Chart.lock or requirements.lock.
    Lock,
    /// A field of Chart.yaml.
    Metadata(&'static str),
    /// More parts than are listed.
    Others(usize),
    /// values.schema.json.
    Schema,
    /// A template, by its path.
    Template(String),
    /// All templates.
    Templates,
}

/// What was done to a part between archive and record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the record has it.
    Added,
    /// Both have it, with different content.
    Changed,
    /// Only the archive has it.
    Removed,
    /// The content is the same, but not its order.
    Reordered,
}

/// Compares a record with an archive.
///
/// # Caveats
/// Helm records no subcharts, so none are compared; and a record says nothing about what was
/// rendered or applied. Values only ever make a [`Note`].
pub fn compare(chart: &Chart, record: &Record) -> Binding {
    let mut found = Found::default();
    parts::compare(chart, &record.chart, &mut found);
    metadata::compare(chart, record, &mut found);
    found.conclude()
}

/// What has been found so far.
#[derive(Debug, Default)]
struct Found {
    differences: Vec<Difference>,
    omitted: usize,
    /// Differences that have an honest explanation.
    explained: Vec<Note>,
    notes: Vec<Note>,
}

impl Found {
    fn differ(&mut self, part: ChartPart, change: Change) {
        if self.differences.len() < MOST_DIFFERENCES {
            self.differences.push(Difference { part, change });
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }

    fn conclude(mut self) -> Binding {
        if self.omitted > 0 {
            let part = ChartPart::Others(self.omitted);
            self.differences.push(Difference {
                part,
                change: Change::Changed,
            });
        }
        if !self.differences.is_empty() {
            return Binding::Different {
                differences: self.differences,
            };
        }
        let explained = !self.explained.is_empty();
        let mut notes = self.explained;
        notes.append(&mut self.notes);
        notes.sort();
        notes.dedup();
        if explained {
            Binding::OldWriter { notes }
        } else {
            Binding::Same { notes }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            ChartPart::Others(count) => write!(f, "{count} more parts differ"),
            part => write!(f, "{part} was {}", self.change),
        }
    }
}

impl fmt::Display for ChartPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name) => write!(f, "file `{}`", Shown(name)),
            Self::Files => f.write_str("list of files"),
            Self::Lock => f.write_str("Chart.lock"),
            Self::Metadata(field) => write!(f, "`{field}` in Chart.yaml"),
            Self::Others(count) => write!(f, "{count} more parts"),
            Self::Schema => f.write_str("values.schema.json"),
            Self::Template(name) => write!(f, "template `{}`", Shown(name)),
            Self::Templates => f.write_str("list of templates"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Reordered => "reordered",
        })
    }
}

/// A name out of a record, made fit for a status: bounded, and nothing that could control a
/// terminal or turn text around.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = self.0.chars();
        for letter in letters.by_ref().take(MOST_LETTERS) {
            let mut text = String::from(letter);
            crate::chart::sanitize(&mut text);
            if text.is_empty() || letter == '`' {
                write!(f, "{}", letter.escape_unicode())?;
            } else {
                f.write_str(&text)?;
            }
        }
        if letters.next().is_some() {
            f.write_str("…")
        } else {
            Ok(())
        }
    }
}

/// Differences that are listed: a status has to stay small.
const MOST_DIFFERENCES: usize = 16;

/// Letters of a name that are shown.
const MOST_LETTERS: usize = 100;
