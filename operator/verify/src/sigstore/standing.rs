//! What a verified bundle is worth as that of an identity or a key: facts, a time, and nothing else.

use jiff::Timestamp;

use super::fault::Said;
use super::identity::Identity;
use super::revocation::IdentityRevocation;
use super::verified::{SignerRecord, VerifiedBundle};
use crate::digest::Sha256Digest;
use crate::key::{DeclaredRevocation, Grandfather, RevocationReason, Scope};
use crate::openpgp::limits::CLOCK_SKEW_SECONDS;
use crate::policy::ExpiredKeys;
use crate::verdict::Reason;

/// A parsed `TrustedKey` of type `PublicKey`.
#[derive(Clone, Debug)]
pub struct TrustedPublicKey {
    /// Name of the object.
    pub name: String,
    /// Digest of its `SubjectPublicKeyInfo`.
    pub fingerprint: Sha256Digest,
    /// Whether its signatures have to be public.
    pub transparency: Transparency,
    /// What it may speak for.
    pub scope: Scope,
    /// When its signatures cease to count.
    pub not_after: Option<Timestamp>,
    /// `spec.revocation` of every `TrustedKey` of the same fingerprint.
    pub revocations: Vec<DeclaredRevocation>,
}

/// Whether a log entry or a timestamp is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transparency {
    /// What is there is checked.
    IfPresent,
    /// There must be one, under the trusted root.
    Required,
}

/// What a signature is judged with.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The archive that the signed artifact is or holds.
    pub archive: Sha256Digest,
    /// Name of the chart.
    pub chart: &'a str,
    /// Where it is from.
    pub source: Option<&'a str>,
    /// When we have first verified this very archive, if our own evidence says so.
    pub first_verified: Option<Timestamp>,
    /// What a passed end of an identity or key means for signatures made before it.
    pub expired_keys: ExpiredKeys,
    /// The moment of judging.
    pub now: Timestamp,
}

/// How a signature counts, the weaker first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Only because we have verified it before a revocation that says so.
    Grandfathered,
    /// Without reservation.
    Valid,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{said}: {message}")]
pub struct Refusal {
    /// The word of the verdict.
    pub said: Said,
    /// What exactly, for people.
    pub message: String,
}

impl Identity {
    /// What a verified bundle is worth as this identity's. Whether it is this identity's comes first.
    ///
    /// # Errors
    /// Why it does not count: the worst, in the order of the words of verdicts.
    pub fn standing(
        &self,
        bundle: &VerifiedBundle,
        at: &Circumstances<'_>,
    ) -> Result<Standing, Refusal> {
        let Some(record) = bundle.identity() else {
            return Err(not_trusted("it is made with a key, and not by an identity"));
        };
        if let Err(mismatch) = self.matches(record) {
            return Err(not_trusted(&format!("not by {}: {mismatch}", self.name)));
        }
        is_signature(bundle)?;
        let made = Made::of(bundle, at);
        if let Some(revocation) = &self.revocation {
            voided(revocation, &made, at)?;
        }
        ended(self.not_after, &made, at)?;
        in_scope(&self.scope, at)?;
        from_now(&made, at)?;
        if made.latest.is_none() && self.has_windows() {
            return Err(no_time());
        }
        Ok(Standing::Valid)
    }

    fn has_windows(&self) -> bool {
        let revocation = self.revocation.as_ref();
        revocation.is_some_and(|revocation| !revocation.windows().is_empty())
    }

    /// Whether a verified bundle is this identity's and is void, whoever else may vouch for it.
    pub fn voids(&self, bundle: &VerifiedBundle, at: &Circumstances<'_>) -> Option<Refusal> {
        let record = bundle.identity()?;
        self.matches(record).ok()?;
        is_signature(bundle).ok()?;
        let revocation = self.revocation.as_ref()?;
        voided(revocation, &Made::of(bundle, at), at).err()
    }
}

impl TrustedPublicKey {
    /// What a verified bundle is worth as this key's. Whether it is this key's comes first.
    ///
    /// # Errors
    /// Why it does not count: the worst, in the order of the words of verdicts.
    pub fn standing(
        &self,
        bundle: &VerifiedBundle,
        at: &Circumstances<'_>,
    ) -> Result<Standing, Refusal> {
        if *bundle.signer() != SignerRecord::Key(self.fingerprint) {
            return Err(not_trusted(&format!("not by the key {}", self.name)));
        }
        is_signature(bundle)?;
        let made = Made::of(bundle, at);
        let standing = self.revoked(&made)?;
        ended(self.not_after, &made, at)?;
        in_scope(&self.scope, at)?;
        from_now(&made, at)?;
        let record = bundle.record();
        let is_public = !record.logs.is_empty() || !record.times.is_empty();
        if self.transparency == Transparency::Required && !is_public {
            let message = "neither a log entry nor a timestamp under the trusted root, and the key \
                           demands one (`transparency: Required`)";
            return Err(refusal(
                Said::Reason(Reason::TransparencyMissing),
                message.to_owned(),
            ));
        }
        Ok(standing)
    }

    /// What the revocations leave of a signature: the worst of them.
    fn revoked(&self, made: &Made) -> Result<Standing, Refusal> {
        let (mut standing, mut worst) = (Standing::Valid, None);
        for revocation in &self.revocations {
            match effect(revocation, made) {
                Ok(effect) => standing = standing.min(effect),
                Err(refusal) => {
                    let is_worst = worst.as_ref().is_none_or(|one| is_worse(&refusal, one));
                    worst = if is_worst { Some(refusal) } else { worst };
                }
            }
        }
        worst.map_or(Ok(standing), Err)
    }
}

/// Between which moments a signature was made.
#[derive(Clone, Copy, Debug)]
struct Made {
    /// From when the key could sign, if a certificate says so.
    earliest: Option<Timestamp>,
    /// When the signature is proven to have existed: by others, or by our own evidence.
    latest: Option<Timestamp>,
    /// When we have first verified it ourselves.
    witnessed: Option<Timestamp>,
}

impl Made {
    fn of(bundle: &VerifiedBundle, at: &Circumstances<'_>) -> Self {
        let proven = bundle.proven();
        Self {
            earliest: bundle.identity().map(|identity| identity.not_before),
            latest: proven.into_iter().chain(at.first_verified).min(),
            witnessed: at.first_verified,
        }
    }
}

/// Who attests an SBOM does not approve of the chart, and is not made to by whatever became of him.
fn is_signature(bundle: &VerifiedBundle) -> Result<(), Refusal> {
    let kind = &bundle.record().kind;
    if kind.is_signature() {
        return Ok(());
    }
    let message = format!("NotASignature: it is {kind}");
    Err(refusal(Said::Reason(Reason::Unsigned), message))
}

/// A hard window is hard inside it and nothing outside. Without a proven time nobody can say where a
/// signature lies: that is for the caller, since it is no proof of badness.
fn voided(
    revocation: &IdentityRevocation,
    made: &Made,
    at: &Circumstances<'_>,
) -> Result<(), Refusal> {
    let reason = match revocation.reason() {
        RevocationReason::Compromised => Reason::KeyCompromised,
        RevocationReason::Unspecified => Reason::KeyRevoked,
        RevocationReason::Retired | RevocationReason::Superseded => Reason::KeyRetired,
    };
    let said = Said::Reason(reason);
    if revocation.voids_archive(at.archive) {
        let message = format!("the identity is revoked for {}", at.archive);
        return Err(refusal(said, message));
    }
    let Some(latest) = made.latest else {
        return Ok(());
    };
    let earliest = made.earliest.unwrap_or(latest).min(latest);
    let mut windows = revocation.windows().iter();
    match windows.find(|window| window.overlaps(earliest, latest)) {
        Some(window) => {
            let message = format!("signed by {latest}, and the identity is revoked {window}");
            Err(refusal(said, message))
        }
        None => Ok(()),
    }
}

/// `spec.revocation` of a key. As of a key of PGP: a hard reason voids whatever it has signed, since who
/// has the key signs with any date; a soft one what was not proven to exist before. What a hard one leaves trusted
/// (`grandfather: Witnessed`) is what we have verified ourselves: that others saw it says nothing of that.
fn effect(revocation: &DeclaredRevocation, made: &Made) -> Result<Standing, Refusal> {
    let since = revocation.since;
    let is_before =
        |seen: Option<Timestamp>| seen.zip(since).is_some_and(|(seen, since)| seen < since);
    let is_older = is_before(made.latest);
    let (hard, word) = match revocation.reason {
        RevocationReason::Compromised => (true, Reason::KeyCompromised),
        RevocationReason::Unspecified => (true, Reason::KeyRevoked),
        RevocationReason::Retired | RevocationReason::Superseded => (false, Reason::KeyRetired),
    };
    let is_witnessed =
        is_before(made.witnessed) && revocation.grandfather == Grandfather::Witnessed;
    match (hard, is_older) {
        (false, true) => Ok(Standing::Valid),
        (true, _) if is_witnessed => Ok(Standing::Grandfathered),
        _ => {
            let by = &revocation.declared_by;
            let message = match made.latest {
                Some(latest) => format!("proven to exist at {latest}, and {by} revokes the key"),
                None => format!("nothing proves when it was made, and {by} revokes the key"),
            };
            Err(refusal(Said::Reason(word), message))
        }
    }
}

/// `spec.notAfter`: the moment itself is past it. What nothing dates is judged as made now.
fn ended(not_after: Option<Timestamp>, made: &Made, at: &Circumstances<'_>) -> Result<(), Refusal> {
    let Some(end) = not_after else {
        return Ok(());
    };
    let judged = match (at.expired_keys, made.latest) {
        (ExpiredKeys::AcceptIfSignedBefore, Some(latest)) => latest,
        (ExpiredKeys::Reject, _) | (_, None) => at.now,
    };
    if judged < end {
        return Ok(());
    }
    let message = format!("it ends at {end} (`notAfter`)");
    Err(refusal(Said::Reason(Reason::KeyExpired), message))
}

fn in_scope(scope: &Scope, at: &Circumstances<'_>) -> Result<(), Refusal> {
    if scope.covers(at.chart, at.source) {
        return Ok(());
    }
    let message = format!(
        "its scope does not cover the chart {:?} from there",
        at.chart
    );
    Err(refusal(Said::Reason(Reason::KeyOutOfScope), message))
}

/// What is proven for a moment ahead of our clock: one of the two is wrong.
fn from_now(made: &Made, at: &Circumstances<'_>) -> Result<(), Refusal> {
    let skew = jiff::SignedDuration::from_secs(CLOCK_SKEW_SECONDS);
    match (made.latest, at.now.checked_add(skew)) {
        (Some(latest), Ok(bound)) if latest > bound => Err(not_trusted(&format!(
            "FromFuture: it is proven for {latest}, ahead of our clock"
        ))),
        _ => Ok(()),
    }
}

fn no_time() -> Refusal {
    let message = "nothing proves when it was made, and the identity is revoked for a time";
    refusal(
        Said::Reason(Reason::TransparencyMissing),
        message.to_owned(),
    )
}

fn not_trusted(message: &str) -> Refusal {
    refusal(Said::Reason(Reason::SignerNotTrusted), message.to_owned())
}

fn refusal(said: Said, message: String) -> Refusal {
    Refusal { said, message }
}

fn is_worse(one: &Refusal, other: &Refusal) -> bool {
    match (one.said, other.said) {
        (Said::Reason(one), Said::Reason(other)) => one < other,
        (one, other) => matches!(one, Said::Reason(_)) && !matches!(other, Said::Reason(_)),
    }
}
