//! The words in which a `ReleaseTrust` says what a source has answered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a source answered.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SourceAnswer {
    /// Its archive can be read in more than one way.
    Ambiguous,
    /// It has the archive.
    #[default]
    Archive,
    /// Its valid, fresh index does not list the version.
    NotFound,
    /// It gave no usable answer.
    Unavailable,
}

impl SourceAnswer {
    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    pub(super) fn is_archive(&self) -> bool {
        *self == Self::Archive
    }
}

/// Whether a release is made of an archive.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Binding {
    /// The content differs.
    Different,
    /// There is no record to compare with.
    NoRecord,
    /// The content differs only as an old Helm writes records.
    OldWriter,
    /// The content is the same.
    Same,
}

/// Why there is no usable provenance.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ProvenanceProblem {
    /// It is not one unambiguous signed statement.
    Malformed,
    /// The source says that there is none.
    Missing,
    /// There is one, and it is larger than is read.
    TooLarge,
    /// The source gave no usable answer.
    Unavailable,
}

/// What a mirror served instead of its source.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Mirrored {
    /// The archive, and what is beside it.
    Archive,
    /// The provenance lies where `provenance.url` of the source says, and trust has not rested on it yet: it
    /// can give trust, and shows at worst that there is no proof.
    Elsewhere,
    /// The source itself served everything.
    #[default]
    Nothing,
    /// The provenance of an archive that the source itself served.
    Provenance,
}

impl Mirrored {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(super) fn is_false(value: &bool) -> bool {
    !value
}
