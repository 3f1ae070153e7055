//! One bundle, one artifact, and whom to believe: facts, or why not.

use super::bundle::{Artifact, ClaimedBundle, Message};
use super::fault::{Code, Fault};
use super::public_key::PublicKey;
use super::root::TrustedRoot;
use super::verified::VerifiedBundle;
use super::{keyed, keyless};

/// By what a bundle is verified.
#[derive(Clone, Copy, Debug)]
pub enum Means<'a> {
    /// A certificate of an authority of this root, with a proven time and a log entry.
    Identity(&'a TrustedRoot),
    /// This key. With a root, what the bundle has of logs and timestamps is checked by it.
    Key(&'a PublicKey, Option<&'a TrustedRoot>),
}

/// Checks one bundle against one artifact, whatever the time.
///
/// # Errors
/// [`Code::ArtifactMismatch`] only of a bundle that is good, for another artifact: whoever can write
/// beside a chart could else make it look tampered with. Of a fault no signer is known, but for what the
/// bundle claims.
pub fn verify(
    claimed: &ClaimedBundle,
    artifact: Artifact<'_>,
    means: Means<'_>,
) -> Result<VerifiedBundle, Fault> {
    match attempt(claimed, artifact, means) {
        Err(fault) if fault.code() == Code::ArtifactMismatch => Err(mismatch(claimed, means)),
        outcome => outcome,
    }
}

fn attempt(
    claimed: &ClaimedBundle,
    artifact: Artifact<'_>,
    means: Means<'_>,
) -> Result<VerifiedBundle, Fault> {
    let record = match means {
        Means::Identity(root) => keyless::verify(claimed, artifact, root)?,
        Means::Key(key, root) => keyed::verify(claimed, artifact, key, root)?,
    };
    match &claimed.message {
        Message::Payload {
            artifact: named, ..
        } if *named != artifact.digest() => Err(Fault::new(
            Code::ArtifactMismatch,
            "the payload names another",
        )),
        _ => Ok(VerifiedBundle(record)),
    }
}

/// Of which other artifact it is a good signature; else what is wrong with it.
fn mismatch(claimed: &ClaimedBundle, means: Means<'_>) -> Fault {
    let other_entry = || {
        Fault::new(
            Code::EntryMismatch,
            "the log entry is that of something else",
        )
    };
    let Some(named) = claimed.claimed_digest() else {
        return other_entry();
    };
    match attempt(claimed, Artifact::Digest(named), means) {
        Ok(_) => Fault::new(
            Code::ArtifactMismatch,
            format!("it is a signature of {named}"),
        ),
        Err(fault) if fault.code() == Code::ArtifactMismatch => other_entry(),
        Err(fault) => fault,
    }
}
