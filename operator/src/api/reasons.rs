//! The closed vocabularies of what conditions of our kinds say. Why a release is trusted or not is
//! said in the engine's own words, [`charttrust_verify::verdict`].

use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};
use charttrust_verify::words;

use super::conditions::{ConditionReason, Status};

words! {
    /// Reasons of the conditions of `TrustedKey`s and `TrustedIdentity`s.
    KeyReason {
        Accepted: "The key or identity may vouch for charts."
            => "None.",
        CallerNotTold:
            "The identity may vouch; a reusable workflow has this subject whoever calls it, and no claim \
             says who may."
            => "Name `claims.sourceRepository`, or `sourceRepositoryId`.",
        Compromised: "Revoked: the secret, or the identity, is in other hands."
            => "Sign with another; look at the releases in USED-BY.",
        Expired: "The key, or our own `notAfter`, has ended."
            => "Extend it and apply it again, or sign with its successor.",
        ExpiresIn30Days: "The key, or our own `notAfter`, ends within 30 days."
            => "Sign what the message names with its successor.",
        ExpiresIn7Days: "The key, or our own `notAfter`, ends within 7 days."
            => "Sign what the message names with its successor, now.",
        ExpiresIn90Days: "The key, or our own `notAfter`, ends within 90 days."
            => "Declare a successor, and list it in the policies.",
        FingerprintMismatch: "The material holds no key of the pinned fingerprint."
            => "Compare the two; the owner knows which is right.",
        InvalidSpec: "A field cannot be used; the message names it."
            => "Mend that field.",
        LearnedUnreadable:
            "The ConfigMap with what was learned against the key cannot be read, so the key is \
             not trusted."
            => "Mend it, or delete it if no revocation of this key was ever learned.",
        MaterialMissing:
            "The ConfigMap or Secret, or its entry, is not in the operator's namespace."
            => "Create it there.",
        MaterialUnusable: "The material is no usable key of its type."
            => "Export the key again: `gpg --armor --export`, or `cosign public-key`.",
        ProgressingWithRetry:
            "The API server did not answer, or refused to keep what was learned."
            => "Wait; it is tried again. If the message names a ConfigMap, check the operator's \
                permissions.",
        RefreshFailed: "The place to refresh from gave no usable answer."
            => "Look at the message; what was learned before stands.",
        RefreshSucceeded: "A copy of the key was read, and what it revokes was taken over."
            => "None; the message tells what was left out.",
        Retired: "Revoked: out of service."
            => "Sign with the successor.",
        RevocationNotVerifiable:
            "A revocation that may be the key's own cannot be checked, so it counts."
            => "Have the revocation made again with a current algorithm, or change keys.",
        Superseded: "Revoked: another has taken over."
            => "Sign with the successor.",
        TrustRootUnknown:
            "The trusted root cannot be read: nobody's word for a certificate, log or timestamp is believed."
            => "Create or mend the ConfigMap that `spec.trustedRootRef` names, in the operator's namespace.",
        Unspecified:
            "Revoked without a reason that could be milder, so all its signatures are void."
            => "Ask the owner; give the reason in `spec.revocation` if it was ours.",
    }
}

impl KeyReason {
    /// Those of a `TrustedIdentity`.
    pub const OF_IDENTITIES: &[Self] = &[
        Self::Accepted,
        Self::CallerNotTold,
        Self::Compromised,
        Self::Expired,
        Self::ExpiresIn30Days,
        Self::ExpiresIn7Days,
        Self::ExpiresIn90Days,
        Self::InvalidSpec,
        Self::ProgressingWithRetry,
        Self::Retired,
        Self::Superseded,
        Self::TrustRootUnknown,
        Self::Unspecified,
    ];

    /// Those of a `TrustedKey`.
    pub fn of_keys() -> Vec<Self> {
        let of_keys = |reason: &&Self| **reason != Self::CallerNotTold;
        Self::ALL.iter().filter(of_keys).copied().collect()
    }
}

words! {
    /// Reasons of a `ChartTrustPolicy`'s conditions.
    PolicyReason {
        AllReachable:
            "Every source that was asked has answered; the message names those that nobody has asked \
             yet."
            => "None.",
        AllResolved: "Every key and identity is there and usable."
            => "None.",
        AllTrusted: "Every release that the policy applies to is trusted."
            => "None.",
        BreakGlass: "Somebody lets every record of Helm in unchecked for a time; the message says until when."
            => "None, if that is meant; else take the annotation `charttrust.io/break-glass-until` from the \
                operator's namespace.",
        ExceptionExpired: "An exception has ended."
            => "Remove it from the policy.",
        ExceptionExpiresSoon: "An exception ends within a week."
            => "Mend what it forgives, or renew it.",
        InvalidSpec: "A field cannot be used; until then the policy trusts nobody."
            => "Mend the field that the message names.",
        KeysUnresolved:
            "A key or identity is missing or cannot be used; the others count. Or a rule asks for more signers \
             than it lists."
            => "Declare or mend what the message names; lower `threshold`, or list more signers.",
        LimitReached: "What is due for quarantine does not fit the limit, so none of it starts."
            => "Look at the releases; raise `quarantine.limit`, or contain them by hand.",
        NothingAsked: "All releases are `Unmanaged` or `Exempt`: proof is asked for none."
            => "Ask for signatures or pins; or none, if that is meant.",
        NothingMatched: "The policy applies to no release."
            => "Check `match`, and the charts of the rules.",
        NothingUntrusted:
            "No release is untrusted or unknown, and for some of them no proof is asked."
            => "None; the message counts them.",
        Progressing: "The policy was changed, and its releases are being judged by it."
            => "Wait.",
        Reconciled: "The policy was read, and is judged by."
            => "None.",
        ReleasesUnknown: "A release could not be judged."
            => "Look at the releases that are `Unknown`.",
        ReleasesUntrusted: "At least one release is untrusted; the message names some."
            => "Look at those.",
        SourceUnavailable: "The last look at a source gave no usable answer."
            => "Check URL, credentials and `--allow-host`.",
        StartFailed:
            "A Quarantine that is due could not be created; the message names the releases and \
             what the API server said."
            => "Mend that, or contain them by hand; it is tried again.",
        Suspended: "Looks at sources are suspended; judging goes on."
            => "Set `suspend: false` when you are done.",
        WebhookAnswered:
            "The webhook has answered the operator at the address, and with a certificate by the authority, that \
             API servers have of it."
            => "None.",
        WebhookMissing: "The mode asks for a webhook, and there is none: nothing is warned of or refused."
            => "Install the chart with `admission.enabled=true`, or set `mode: Audit`.",
        WebhookUnreachable:
            "The webhook gives the operator no answer: everything goes in unchecked, or nothing with \
             `failurePolicy: Fail`."
            => "Look at the Pods of the webhook, and at its certificate: `charttrust doctor`.",
    }
}

words! {
    /// Reasons of a `ReleaseTrust`'s conditions other than `Trusted`.
    ReleaseReason {
        Active: "The release is contained."
            => "Look at its quarantine.",
        AwaitingApproval: "Containment is recommended, and waits for a person."
            => "Decide.",
        Evaluated: "The release was judged."
            => "None.",
        LimitReached: "Containment is due, and more is due than the limit of the policy allows."
            => "Look at the policy's `QuarantineStopped`; raise `quarantine.limit`, or contain it by hand.",
        LookFailed:
            "A source gave no answer for two intervals; the verdict rests on what is known."
            => "Check the source.",
        LookSucceeded: "The last look was answered."
            => "None.",
        NotContained: "Its Quarantine is there and contains nothing; the message has the reason."
            => "Look at the condition `Active` of the Quarantine.",
        NothingToContain:
            "No workload, and no deployer, is there that carries the marks of this release: nothing is \
             contained, and it does not count for the limit."
            => "Stop by hand what the release runs that no controller makes; ask who wrote a record \
                without workloads.",
        Progressing:
            "The record is being read, or its source is being asked for the first time."
            => "Wait; if it stays, look at the policy's `SourcesReachable`.",
        Released: "A person ended the containment."
            => "None.",
        StartFailed: "Containment is due, and its Quarantine could not be created; it is tried again."
            => "Look at the policy's `QuarantineStopped`, which says what the API server answered; or contain \
                it by hand.",
    }
}

words! {
    /// Reasons of events that are no reason of a condition.
    EventReason {
        BreakGlass:
            "Somebody lets every record of Helm in unchecked for a time, or tries to in a way that does not count."
            => "None, if that is meant; else take the annotation `charttrust.io/break-glass-until` from the \
                operator's namespace.",
        Contested: "Somebody has changed, or holds, objects that are contained."
            => "Look at the condition `Contested` of the Quarantine.",
        EvidenceRejected:
            "Somebody else wrote the evidence of a `ReleaseTrust`, or the operator's seal was lost."
            => "Find out who may write `releasetrusts/status`; it is gathered again by itself.",
        PolicyDeleted:
            "A policy is gone, and the releases that it judged have its verdict no more: told once, \
             whatever their number."
            => "None, if that was meant; else apply it again.",
        QuarantineStopped: "Releases are due to be contained, and none or not all of them are."
            => "Look at the condition `QuarantineStopped` of the policy.",
        Quarantined: "A release is contained."
            => "Look at the Quarantine; deleting it restores.",
        ReleaseTrustDeleted:
            "Somebody has deleted a `ReleaseTrust`; it was written again. Where very many go at once, the \
             first five are told."
            => "Find out who may delete them: the verdict is the operator's.",
        Restored: "A quarantine has ended; the event counts what was put back and names what was kept."
            => "None.",
        RevocationWithdrawn:
            "`spec.revocation` of a key was removed, or the key deleted and made without it: its \
             signatures count again."
            => "None, if that was meant.",
        TooManyUnreadable:
            "More than 100 releases of a namespace have records that cannot be read. Those beyond get no \
             `ReleaseTrust`; they count as unknown, and have one as soon as they can be read."
            => "Find out who writes Secrets or ConfigMaps there that look like Helm's, and remove them.",
    }
}

macro_rules! condition_reasons {
    ($($name:ident,)+) => {
        $(impl ConditionReason for $name {
            fn word(self) -> &'static str {
                <$name>::word(self)
            }
        })+
    };
}

condition_reasons! { Basis, Cause, KeyReason, PolicyReason, Reason, ReleaseReason, }

impl ConditionReason for Verdict {
    fn word(self) -> &'static str {
        Self::word(self)
    }
}

impl From<Verdict> for Status {
    /// What the condition `Trusted` is for a verdict.
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Trusted(_) => Self::True,
            Verdict::Unknown(_) => Self::Unknown,
            Verdict::Untrusted(_) => Self::False,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_alphabetical_order() {
        assert!(KeyReason::ALL.is_sorted_by_key(|word| word.word()));
        assert!(PolicyReason::ALL.is_sorted_by_key(|word| word.word()));
        assert!(ReleaseReason::ALL.is_sorted_by_key(|word| word.word()));
        assert!(EventReason::ALL.is_sorted_by_key(|word| word.word()));
    }
}
