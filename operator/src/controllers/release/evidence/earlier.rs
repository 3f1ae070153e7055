//! What was verified of other contents, as a `ReleaseTrust` keeps it.

use std::str::FromStr as _;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::witness::FirstVerification;

use crate::api::bounds;
use crate::api::release_trust as v1;

/// As many as there is room for, the first of them.
pub(super) fn written(others: &[FirstVerification]) -> Vec<String> {
    let listed = others.iter().take(bounds::WITNESSES);
    listed.map(ToString::to_string).collect()
}

/// What was written, by earlier versions too; `None` if this one cannot read it.
pub(super) fn read(evidence: &v1::Evidence) -> Option<Vec<FirstVerification>> {
    let earlier = evidence.earlier.iter().map(|text| text.parse().ok());
    earlier
        .chain(evidence.witnesses.iter().map(witnessed))
        .collect()
}

fn witnessed(witness: &v1::Witness) -> Option<FirstVerification> {
    let archive = Sha256Digest::from_str(&witness.archive).ok()?;
    let provenance = Sha256Digest::from_str(&witness.provenance).ok()?;
    let first_verified = witness.first_verified.0;
    Some(FirstVerification::new(
        &archive,
        &provenance,
        first_verified,
    ))
}
