//! What others than the operator make of the evidence in a status.

use charttrust_verify::seal::{Attestation, PublicSeal};
use charttrust_verify::witness::FirstVerification;

use super::{Age, attested, content};
use crate::api::release_trust as v1;
use crate::controllers::store::Content;
use crate::inventory::ReleaseId;

/// What a status says of a release that this engine has signed: for whoever can check that, and cannot sign.
pub fn signed(
    id: &ReleaseId,
    status: &v1::ReleaseTrustStatus,
    seal: &PublicSeal,
) -> Option<(Option<Content>, Vec<FirstVerification>)> {
    let restored = attested(id, status, |sealed, tag| seal.attest(sealed, tag))?;
    let restored = restored
        .ok()
        .filter(|restored| restored.age == Age::Current)?;
    Some((restored.content, restored.witnesses))
}

/// What a status says of a release's content, whoever wrote it: for people who ask what would be,
/// never for a verdict. `None` if it says nothing that can be read.
pub fn stated(status: &v1::ReleaseTrustStatus) -> Option<Content> {
    let (release, evidence) = (status.release.as_ref()?, status.evidence.as_ref()?);
    content(release, evidence, &status.signers, Attestation::supposed())
}
