//! Why a record cannot be read.

/// A release record cannot be read. No variant carries content of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The payload is not base64.
    #[error("release record is not base64")]
    Base64,
    /// The gzip stream is corrupt.
    #[error("release record has a corrupt gzip stream")]
    Compression,
    /// The JSON is not what Helm writes.
    #[error("release record is not the JSON that Helm writes (line {line}, column {column})")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// It has no chart, name or revision.
    #[error("release record has no {0}")]
    Missing(&'static str),
    /// A limit was reached.
    #[error("release record is too large: {what} is limited to {limit}")]
    TooLarge {
        /// What is limited.
        what: &'static str,
        /// The limit, in the unit of `limits.rs`.
        limit: usize,
    },
}
