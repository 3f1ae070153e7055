//! What an identity has signed that counts for nothing: between two moments, or these very archives.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::limits;
use crate::digest::Sha256Digest;
use crate::key::RevocationReason;

/// A time in which an identity was not its owner's alone: from its beginning, and before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    from: Timestamp,
    until: Option<Timestamp>,
}

/// `spec.revocation` of a `TrustedIdentity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRevocation {
    reason: RevocationReason,
    windows: Vec<Window>,
    digests: BTreeSet<Sha256Digest>,
}

/// Why a revocation means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// A window that ends before it begins.
    #[error("a window that begins at {from} cannot end at {until}")]
    Backwards {
        /// When it begins.
        from: Timestamp,
        /// When it ends.
        until: Timestamp,
    },
    /// An identity that is out of service is so from a moment on.
    #[error(
        "the reasons Superseded and Retired need exactly one window, without `until`, and no digests"
    )]
    NotFromAMoment,
    /// More windows than are looked at.
    #[error("more than {limit} windows")]
    TooMany {
        /// Most of them.
        limit: usize,
    },
}

impl Window {
    /// A window; without an end it is still open.
    ///
    /// # Errors
    /// If it does not end after it begins.
    pub fn new(from: Timestamp, until: Option<Timestamp>) -> Result<Self, RevocationError> {
        match until {
            Some(until) if until <= from => Err(RevocationError::Backwards { from, until }),
            _ => Ok(Self { from, until }),
        }
    }

    /// Whether something that happened between two moments, both included, may have happened within it.
    pub fn overlaps(&self, first: Timestamp, last: Timestamp) -> bool {
        let has_ended_before = self.until.is_some_and(|until| until <= first);
        !has_ended_before && last >= self.from
    }

    /// When it begins.
    pub fn from(&self) -> Timestamp {
        self.from
    }

    /// When it ends: the first moment that is not in it.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.until {
            Some(until) => write!(f, "from {} until {until}", self.from),
            None => write!(f, "from {}", self.from),
        }
    }
}

impl IdentityRevocation {
    /// A revocation. Windows and digests are alternatives: what is in any of them is void. Without either
    /// everything is.
    ///
    /// # Errors
    /// If a soft reason has not exactly one open window, or there are too many.
    pub fn new(
        reason: RevocationReason,
        windows: Vec<Window>,
        digests: BTreeSet<Sha256Digest>,
    ) -> Result<Self, RevocationError> {
        let limit = limits::WINDOWS;
        if windows.len() > limit {
            return Err(RevocationError::TooMany { limit });
        }
        let is_from_a_moment = matches!(windows.as_slice(), [Window { until: None, .. }]);
        let revocation = Self {
            reason,
            windows,
            digests,
        };
        if revocation.is_hard() || (is_from_a_moment && revocation.digests.is_empty()) {
            return Ok(revocation);
        }
        Err(RevocationError::NotFromAMoment)
    }

    /// Why.
    pub fn reason(&self) -> RevocationReason {
        self.reason
    }

    /// Whether what it voids is bad, and not only out of date.
    pub fn is_hard(&self) -> bool {
        match self.reason {
            RevocationReason::Compromised | RevocationReason::Unspecified => true,
            RevocationReason::Retired | RevocationReason::Superseded => false,
        }
    }

    /// Its windows.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The archives that it voids.
    pub fn digests(&self) -> &BTreeSet<Sha256Digest> {
        &self.digests
    }

    /// Whether it voids everything: it names neither windows nor archives.
    pub fn is_whole(&self) -> bool {
        self.windows.is_empty() && self.digests.is_empty()
    }

    /// Whether it voids this very archive, or everything.
    pub fn voids_archive(&self, archive: Sha256Digest) -> bool {
        self.is_whole() || self.digests.contains(&archive)
    }
}
