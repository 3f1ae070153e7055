//! Why an archive cannot be used.

/// A chart archive cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Two readers could see two different charts in it.
    #[error("chart archive is ambiguous: {0}")]
    Ambiguous(Ambiguity),
    /// Helm cannot read it either.
    #[error("chart archive is damaged: {0}")]
    Malformed(Damage),
    /// The bytes are no gzip stream: probably no chart but an error page.
    #[error("chart archive is not gzip")]
    NotGzip,
    /// A limit was reached, which says nothing about the chart.
    #[error("chart archive is too large: {what} is limited to {limit}")]
    TooLarge {
        /// What is limited.
        what: &'static str,
        /// The limit, in the unit of `limits.rs`.
        limit: u64,
    },
}

/// What makes an archive ambiguous.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    /// Character or block device, or a pipe.
    #[error("it contains a device or a pipe")]
    Device,
    /// Helm keeps both, and renders the last.
    #[error("it contains `{0}` twice")]
    Duplicate(String),
    /// A global extended header that some readers apply, and Go does not.
    #[error("it has a global extended header that some readers apply")]
    GlobalHeader,
    /// A header that readers understand differently.
    #[error("it has an entry header that readers understand differently")]
    Header,
    /// An entry of a kind that only some readers know.
    #[error("it contains an entry of an unusual kind")]
    Kind,
    /// Symbolic or hard link: Helm makes an empty file out of it.
    #[error("it contains a link")]
    Link,
    /// The size is told twice, or in a way that readers understand differently.
    #[error("it has an entry whose size readers understand differently")]
    Size,
    /// Sparse file.
    #[error("it contains a sparse file")]
    Sparse,
    /// Two extension headers, or two records, for the same thing.
    #[error("it has extended headers that contradict each other")]
    StackedHeaders,
}

/// What Helm would refuse in an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The compressed stream is corrupt.
    #[error("its gzip stream is corrupt")]
    Compression,
    /// `Chart.yaml` and the like cannot be read.
    #[error("`{file}` cannot be read: {what}")]
    Document {
        /// Path within the chart.
        file: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A tar header is corrupt.
    #[error("an entry header is corrupt")]
    Header,
    /// Chart.yaml lacks or misuses a field (`Metadata.Validate`).
    #[error("Chart.yaml is invalid: {0}")]
    Metadata(&'static str),
    /// There is no Chart.yaml.
    #[error("it has no Chart.yaml")]
    NoChart,
    /// There is no file.
    #[error("it has no files")]
    NoFiles,
    /// An entry's name is absolute or leads out of the chart.
    #[error("it has a file with a forbidden name")]
    Path,
    /// A subchart cannot be loaded.
    #[error("subchart `{name}`: {what}")]
    Subchart {
        /// Name of its folder or archive under `charts/`.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// It ends in the middle of an entry.
    #[error("it is cut short")]
    Truncated,
}

impl ArchiveError {
    /// The same without names that whoever made the archive has chosen: told of two archives with one flaw, it
    /// is the same.
    pub fn without_names(&self) -> String {
        let damaged = |what: &str| format!("chart archive is damaged: {what}");
        match self {
            Self::Malformed(Damage::Document { what, .. }) => {
                damaged(&format!("a file of it cannot be read: {what}"))
            }
            Self::Malformed(Damage::Subchart { .. }) => damaged("a subchart cannot be loaded"),
            Self::Ambiguous(_) | Self::Malformed(_) | Self::NotGzip | Self::TooLarge { .. } => {
                self.to_string()
            }
        }
    }

    pub(super) fn too_large(what: &'static str, limit: usize) -> Self {
        Self::TooLarge {
            what,
            limit: u64::try_from(limit).unwrap_or(u64::MAX),
        }
    }
}

impl From<Ambiguity> for ArchiveError {
    fn from(ambiguity: Ambiguity) -> Self {
        Self::Ambiguous(ambiguity)
    }
}

impl From<Damage> for ArchiveError {
    fn from(damage: Damage) -> Self {
        Self::Malformed(damage)
    }
}

/// Errors come out of the stream either as our own, wrapped (`stream.rs`), or from the inflater.
impl From<std::io::Error> for ArchiveError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Malformed(Damage::Truncated),
            _ => match error
                .into_inner()
                .and_then(|inner| inner.downcast::<Self>().ok())
            {
                Some(ours) => *ours,
                None => Self::Malformed(Damage::Compression),
            },
        }
    }
}
