//! What a `TrustedIdentity` says of itself: pure, from what it was read as.

use charttrust_verify::key::RevocationReason;
use charttrust_verify::sigstore::{IdentityRevocation, KnownIdentity, Root};
use jiff::Timestamp;

use crate::api::conditions::{Status, merge};
use crate::api::reasons::KeyReason;
use crate::api::trusted_identity::TrustedIdentityStatus;
use crate::api::{bounds, time};
use crate::controllers::life::{Beside, Dependents, Life, declared};
use crate::controllers::root;
use crate::controllers::store::signers::LoadedIdentity;

/// What is known of an identity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// What the object was read as.
    pub(super) loaded: &'a LoadedIdentity,
    /// Who takes over.
    pub(super) successor: Option<&'a str>,
    /// The releases that it signed.
    pub(super) releases: &'a Dependents,
}

/// The status to write. Equal knowledge gives an equal status, whatever the time.
pub(super) fn conclude(
    old: Option<&TrustedIdentityStatus>,
    known: &Known<'_>,
    now: Timestamp,
) -> TrustedIdentityStatus {
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let life = life_of(known, now);
    let beside = Beside {
        successor: known.successor,
        releases: known.releases,
        generation: known.loaded.reading.generation,
    };
    let root = known.loaded.known.as_ref().map(|known| &known.root);
    TrustedIdentityStatus {
        state: Some(life.state),
        expires: life.ends.map(time),
        trusted_root: root.and_then(root::shown),
        releases: u32::try_from(known.releases.count()).unwrap_or(u32::MAX),
        conditions: merge(before, life.conditions(beside, now)),
        observed_generation: Some(known.loaded.reading.generation),
        shards: Vec::new(),
    }
}

fn life_of(known: &Known<'_>, now: Timestamp) -> Life {
    let loaded = known.loaded;
    let identity = match (&loaded.problem, &loaded.known) {
        (Some(problem), remains) => return unusable(problem, remains.as_ref()),
        (None, None) => return Life::invalid(KeyReason::InvalidSpec, "it cannot be read"),
        (None, Some(identity)) => identity,
    };
    let life = Life::read(identity.identity.not_after);
    let revocation = identity.identity.revocation.as_ref();
    let voids_all = revocation.is_some_and(|it| voids_from_now(it, now));
    if let Some(revocation) = revocation.filter(|_| voids_all) {
        return life.revoked(declared(revocation.reason()), said(revocation));
    }
    let mut life = match &identity.root {
        Root::Known(_) => life.ended_or_alive(known.successor, now),
        Root::Unknown(why) => Life {
            valid: (Status::Unknown, root_reason(loaded)),
            ..Life::invalid(KeyReason::TrustRootUnknown, why)
        },
    };
    // What is over, or about single archives, is no reason to believe nothing that is signed later.
    life.revoked = revocation.map(|it| (declared(it.reason()), said(it)));
    let is_accepted = life.valid == (Status::True, KeyReason::Accepted);
    if is_accepted && !loaded.is_caller_told {
        life.valid = (Status::True, KeyReason::CallerNotTold);
        let said = [life.message.as_str(), CALLER_NOT_TOLD].into_iter();
        let said: Vec<_> = said.filter(|part| !part.is_empty()).collect();
        life.message = said.join("; ");
    }
    life
}

/// Of an object with a fault nothing is believed, and what it revokes counts as far as it can be read.
fn unusable(problem: &str, remains: Option<&KnownIdentity>) -> Life {
    let mut life = Life::invalid(
        KeyReason::InvalidSpec,
        &bounds::fit(problem, bounds::MESSAGE),
    );
    let revocation = remains.and_then(|it| it.identity.revocation.as_ref());
    life.revoked = revocation.map(|it| (declared(it.reason()), said(it)));
    life
}

fn root_reason(loaded: &LoadedIdentity) -> KeyReason {
    if loaded.waits_for_root {
        KeyReason::ProgressingWithRetry
    } else {
        KeyReason::TrustRootUnknown
    }
}

const CALLER_NOT_TOLD: &str =
    "every caller of the workflow has this subject; name claims.sourceRepository";

/// Whether what is signed at this moment is void: a window is open, or there is none and no digest.
fn voids_from_now(revocation: &IdentityRevocation, now: Timestamp) -> bool {
    let windows = revocation.windows();
    let is_open = windows.iter().any(|window| window.overlaps(now, now));
    is_open || revocation.is_whole()
}

/// What of it counts no more, and by whose word.
fn said(revocation: &IdentityRevocation) -> String {
    let windows = revocation.windows().iter().map(ToString::to_string);
    let mut parts: Vec<_> = windows
        .map(|window| format!("what was signed {window}"))
        .collect();
    let count = revocation.digests().len();
    match count {
        0 => {}
        1 => parts.push("1 archive that is named".to_owned()),
        many => parts.push(format!("{many} archives that are named")),
    }
    let what = if parts.is_empty() {
        "all its signatures".to_owned()
    } else {
        parts.join(", ")
    };
    let effect = match revocation.reason() {
        RevocationReason::Compromised | RevocationReason::Unspecified => "void",
        RevocationReason::Retired | RevocationReason::Superseded => "no longer counts",
    };
    let end = "; spec.revocation says so";
    let what = bounds::fit(
        &format!("{effect}: {what}"),
        bounds::MESSAGE.saturating_sub(end.len()),
    );
    format!("{what}{end}")
}
