//! What a record and the object that holds it say of the same thing.

use charttrust_verify::release::Status;

use crate::api::bounds;

/// What a record says of itself that its object says too.
#[derive(Clone, Copy, Debug)]
pub struct Inside<'a> {
    /// Name of the release.
    pub name: &'a str,
    /// Which revision it is.
    pub revision: i64,
    /// What Helm thinks of it.
    pub status: Status,
}

/// What name and labels of the object say.
#[derive(Clone, Copy, Debug)]
pub struct Outside<'a> {
    /// Name of the release.
    pub name: &'a str,
    /// Which revision it is.
    pub revision: u64,
    /// The label `status`.
    pub status: &'a str,
}

/// Name, labels and content of a record can disagree only by somebody's hand.
pub fn contradiction(inside: Inside<'_>, outside: Outside<'_>) -> Option<String> {
    let revision = outside.revision;
    let facts = [
        ("name", inside.name.to_owned(), outside.name),
        (
            "revision",
            inside.revision.to_string(),
            &revision.to_string(),
        ),
        ("status", inside.status.to_string(), outside.status),
    ];
    let (what, inside, outside) = facts
        .into_iter()
        .find(|(_, inside, outside)| inside != outside)?;
    // Whoever writes a record may write megabytes there, and this is kept.
    let inside = bounds::fit(&inside, bounds::NAME);
    Some(format!(
        "revision {revision}: the record says {what} {inside:?}, its object {outside:?}"
    ))
}

/// Why a record of which Helm is not the writer says nothing.
pub const OF_CHART: &str = "the record was brought by a chart, not written by Helm: it has annotations that Helm \
                            puts on what a chart makes, or is immutable; remove that object, and see \
                            `helm history`";
