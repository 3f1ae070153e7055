//! Why bytes are no bundle.

use super::fault::Said;
use crate::finding::bounded;
use crate::verdict::{Cause, Reason};

/// Why bytes are no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It can be read in more than one way.
    #[error("it has more than one of {what}")]
    Ambiguous {
        /// Of what exactly one must be there.
        what: &'static str,
    },
    /// No JSON of a bundle, or of a version that is not known.
    #[error("it is not a Sigstore bundle of version 0.1 to 0.3: {0}")]
    Malformed(String),
    /// A part that every bundle has is absent.
    #[error("it has no {what}")]
    Missing {
        /// What is absent.
        what: &'static str,
    },
    /// An annotation of a `.sig` tag is absent or is not what cosign writes.
    #[error("the annotation {name:?} of the signature cannot be read: {problem}")]
    Annotation {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The simple signing payload is not what cosign writes.
    #[error("the signed payload is no signature of an image by cosign: {0}")]
    Payload(String),
    /// Larger than is read.
    #[error("the {what} is larger than {limit} bytes")]
    TooLarge {
        /// What is.
        what: &'static str,
        /// Most bytes of it.
        limit: usize,
    },
    /// More of them than are looked at.
    #[error("it has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// Most of them.
        limit: usize,
    },
}

impl BundleError {
    pub(super) fn malformed(error: impl std::fmt::Display) -> Self {
        Self::Malformed(bounded(&error.to_string()))
    }

    /// What it is in a verdict.
    pub fn said(&self) -> Said {
        match self {
            Self::Ambiguous { .. }
            | Self::Annotation { .. }
            | Self::Malformed(_)
            | Self::Missing { .. }
            | Self::Payload(_) => Said::Reason(Reason::ProvenanceMalformed),
            Self::TooLarge { .. } | Self::TooMany { .. } => Said::Cause(Cause::LimitExceeded),
        }
    }
}

pub(super) fn bounded_text<'a>(
    what: &'static str,
    bytes: &'a [u8],
    limit: usize,
) -> Result<&'a str, BundleError> {
    if bytes.len() > limit {
        return Err(BundleError::TooLarge { what, limit });
    }
    std::str::from_utf8(bytes).map_err(BundleError::malformed)
}

pub(super) fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), BundleError> {
    if count > limit {
        return Err(BundleError::TooMany { what, limit });
    }
    Ok(())
}
