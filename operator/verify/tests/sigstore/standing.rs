//! What verified bundles are worth: whose they are, when they were made, and what became of the signer.

use std::collections::BTreeSet;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::key::{DeclaredRevocation, Grandfather, RevocationReason, Scope};
use charttrust_verify::policy::ExpiredKeys;
use charttrust_verify::seal::Attestation;
use charttrust_verify::sigstore::{
    BundleRecord, Circumstances, ClaimRules, Claims, Identity, IdentityRecord, IdentityRevocation,
    Kind, LogRecord, Mismatch, ProvenTime, RevocationError, Said, SignerRecord, Standing,
    SubjectRule, TimeSource, Transparency, TrustedPublicKey, VerifiedBundle, Window,
};
use charttrust_verify::verdict::Reason;
use jiff::{SignedDuration, Timestamp};

use crate::forge::{ISSUER, SUBJECT, at, noon};

const KEY: [u8; 32] = [7; 32];

fn archive() -> Sha256Digest {
    Sha256Digest::of(b"archive")
}

/// Hours after noon.
fn hour(hours: i64) -> Timestamp {
    noon() + SignedDuration::from_hours(hours)
}

pub(crate) fn trusted() -> Identity {
    Identity {
        name: "release".to_owned(),
        issuer: ISSUER.to_owned(),
        subject: SubjectRule::Exact(SUBJECT.to_owned()),
        claims: ClaimRules::default(),
        scope: Scope::default(),
        not_after: None,
        revocation: None,
    }
}

fn record(signer: SignerRecord, times: &[Timestamp]) -> BundleRecord {
    let times = times.iter().map(|at| ProvenTime {
        at: *at,
        by: TimeSource::Log,
    });
    BundleRecord {
        signer,
        kind: Kind::SimpleSigning,
        artifact: Sha256Digest::of(b"manifest"),
        times: times.collect(),
        logs: Vec::new(),
        authorities: Vec::new(),
        root: None,
        not_proven: Vec::new(),
    }
}

fn identity_record() -> IdentityRecord {
    IdentityRecord {
        issuer: ISSUER.to_owned(),
        subject: SUBJECT.to_owned(),
        claims: Claims {
            source_repository: Some("https://github.com/example/charts".to_owned()),
            source_repository_id: Some("123456".to_owned()),
            source_ref: Some("refs/tags/v1.2.3".to_owned()),
            runner_environment: Some("github-hosted".to_owned()),
            trigger: Some("push".to_owned()),
            commit: None,
            run: None,
        },
        not_before: noon(),
        not_after: noon() + SignedDuration::from_mins(10),
        certificate: Sha256Digest::of(b"certificate"),
    }
}

fn restored(record: BundleRecord) -> VerifiedBundle {
    VerifiedBundle::restore(record, Attestation::supposed())
}

fn by_identity(times: &[Timestamp]) -> VerifiedBundle {
    let signer = SignerRecord::Identity(Box::new(identity_record()));
    restored(record(signer, times))
}

fn by_key(times: &[Timestamp]) -> VerifiedBundle {
    restored(record(
        SignerRecord::Key(Sha256Digest::from_bytes(KEY)),
        times,
    ))
}

pub(crate) fn today() -> Circumstances<'static> {
    Circumstances {
        archive: archive(),
        chart: "shop",
        source: Some("oci://registry.test/charts"),
        first_verified: None,
        expired_keys: ExpiredKeys::AcceptIfSignedBefore,
        now: at("2026-11-29T00:00:00Z"),
    }
}

fn word(outcome: Result<Standing, charttrust_verify::sigstore::Refusal>) -> &'static str {
    match outcome {
        Ok(Standing::Valid) => "Valid",
        Ok(Standing::Grandfathered) => "Grandfathered",
        Err(refusal) => refusal.said.word(),
    }
}

fn revoked(
    reason: RevocationReason,
    windows: &[(Timestamp, Option<Timestamp>)],
    digests: &[Sha256Digest],
) -> Identity {
    let windows = windows
        .iter()
        .map(|(from, until)| Window::new(*from, *until).unwrap());
    let digests = digests.iter().copied().collect();
    let revocation = IdentityRevocation::new(reason, windows.collect(), digests).unwrap();
    Identity {
        revocation: Some(revocation),
        ..trusted()
    }
}

#[test]
fn issuer_and_subject_are_compared_character_for_character() {
    let record = identity_record();
    let with = |change: &dyn Fn(&mut Identity)| {
        let mut identity = trusted();
        change(&mut identity);
        identity.matches(&record)
    };
    assert_eq!(with(&|_| {}), Ok(()));
    for issuer in [
        "https://token.actions.githubusercontent.com/",
        "https://token.actions.githubusercontent.co",
        "https://Token.actions.githubusercontent.com",
        "",
    ] {
        assert_eq!(
            with(&|it| it.issuer = issuer.to_owned()),
            Err(Mismatch::Issuer),
            "{issuer}"
        );
    }
    for subject in [&SUBJECT[1..], &SUBJECT[..SUBJECT.len() - 1], "", "*", "**"] {
        let rule = SubjectRule::Exact(subject.to_owned());
        assert_eq!(
            with(&|it| it.subject = rule.clone()),
            Err(Mismatch::Subject),
            "{subject}"
        );
    }
    for (glob, expected) in [
        ("https://github.com/example/**", Err(Mismatch::Subject)),
        ("https://github.com/example/**@refs/tags/v*", Ok(())),
        ("https://github.com/example/**@**", Ok(())),
        ("https://github.com/exampl/**@**", Err(Mismatch::Subject)),
    ] {
        let rule = SubjectRule::Glob(glob.parse().unwrap());
        assert_eq!(with(&|it| it.subject = rule.clone()), expected, "{glob}");
    }
}

#[test]
fn a_named_claim_must_be_there_and_be_the_same() {
    type Rule = fn(&mut ClaimRules, &str);
    type Claim = fn(&mut Claims) -> &mut Option<String>;
    let rules: [(&str, &str, Rule, Claim); 5] = [
        (
            "sourceRepository",
            "https://github.com/example/charts",
            |rules, text| rules.source_repository = Some(text.to_owned()),
            |claims| &mut claims.source_repository,
        ),
        (
            "sourceRepositoryId",
            "123456",
            |rules, text| rules.source_repository_id = Some(text.to_owned()),
            |claims| &mut claims.source_repository_id,
        ),
        (
            "ref",
            "refs/tags/v*",
            |rules, text| rules.source_ref = Some(text.parse().unwrap()),
            |claims| &mut claims.source_ref,
        ),
        (
            "runnerEnvironment",
            "github-hosted",
            |rules, text| rules.runner_environment = Some(text.to_owned()),
            |claims| &mut claims.runner_environment,
        ),
        (
            "trigger",
            "push",
            |rules, text| rules.trigger = BTreeSet::from([text.to_owned(), "release".to_owned()]),
            |claims| &mut claims.trigger,
        ),
    ];
    for (name, text, rule, claim) in rules {
        let mut identity = trusted();
        rule(&mut identity.claims, text);
        let mut record = identity_record();
        assert_eq!(identity.matches(&record), Ok(()), "{name}");
        *claim(&mut record.claims) = Some("another".to_owned());
        assert_eq!(identity.matches(&record), Err(Mismatch::Claim(name)));
        *claim(&mut record.claims) = None;
        assert_eq!(identity.matches(&record), Err(Mismatch::Claim(name)));
    }
}

/// The certificate begins at noon; the signature is proven for some minutes or hours later.
#[test]
fn a_window_voids_what_may_have_been_signed_in_it() {
    let second = SignedDuration::from_secs(1);
    let proven = noon() + SignedDuration::from_mins(5);
    let bundle = by_identity(&[proven]);
    for (from, until, expected) in [
        (hour(-2), Some(hour(-1)), "Valid"),
        // The end is the first moment outside.
        (hour(-2), Some(noon()), "Valid"),
        (hour(-2), Some(noon() + second), "KeyCompromised"),
        (hour(-2), Some(hour(1)), "KeyCompromised"),
        (
            noon() + second,
            Some(noon() + second + second),
            "KeyCompromised",
        ),
        (proven, Some(hour(1)), "KeyCompromised"),
        (proven + second, Some(hour(1)), "Valid"),
        (hour(1), Some(hour(2)), "Valid"),
        (hour(-2), None, "KeyCompromised"),
        (proven, None, "KeyCompromised"),
        (proven + second, None, "Valid"),
    ] {
        let identity = revoked(RevocationReason::Compromised, &[(from, until)], &[]);
        assert_eq!(
            word(identity.standing(&bundle, &today())),
            expected,
            "{from} {until:?}"
        );
        let is_void = identity.voids(&bundle, &today()).is_some();
        assert_eq!(is_void, expected != "Valid");
    }
}

/// Every reason, with every kind of revocation that it can have.
#[test]
fn each_reason_has_its_word_and_its_shape() {
    use RevocationReason::{Compromised, Retired, Superseded, Unspecified};
    let inside = (hour(-1), None);
    let bundle = by_identity(&[noon()]);
    for (reason, expected) in [
        (Compromised, "KeyCompromised"),
        (Unspecified, "KeyRevoked"),
        (Superseded, "KeyRetired"),
        (Retired, "KeyRetired"),
    ] {
        let is_hard = matches!(reason, Compromised | Unspecified);
        let identity = revoked(reason, &[inside], &[]);
        assert_eq!(word(identity.standing(&bundle, &today())), expected);
        let shapes: [(&[Window], &[Sha256Digest]); 4] = [
            (&[], &[]),
            (&[], &[archive()]),
            (&[Window::new(hour(-1), Some(hour(1))).unwrap()], &[]),
            (&[Window::new(hour(-1), None).unwrap()], &[archive()]),
        ];
        for (windows, digests) in shapes {
            let digests = digests.iter().copied().collect();
            let revocation = IdentityRevocation::new(reason, windows.to_vec(), digests);
            match revocation {
                Ok(revocation) => {
                    assert!(is_hard, "{reason:?} {windows:?}");
                    let identity = Identity {
                        revocation: Some(revocation),
                        ..trusted()
                    };
                    assert_eq!(word(identity.standing(&bundle, &today())), expected);
                }
                Err(error) => {
                    assert_eq!((is_hard, error), (false, RevocationError::NotFromAMoment));
                }
            }
        }
    }
}

/// Windows and digests are alternatives, and digests alone void only these.
#[test]
fn windows_and_digests_are_alternatives() {
    let other = Sha256Digest::of(b"another archive");
    let (outside, inside) = ((hour(1), Some(hour(2))), (hour(-1), Some(hour(1))));
    let bundle = by_identity(&[noon()]);
    for (windows, digests, expected) in [
        (vec![], vec![], "KeyCompromised"),
        (vec![], vec![other], "Valid"),
        (vec![], vec![other, archive()], "KeyCompromised"),
        (vec![outside], vec![], "Valid"),
        (vec![outside], vec![other], "Valid"),
        (vec![outside], vec![archive()], "KeyCompromised"),
        (vec![inside], vec![other], "KeyCompromised"),
        (vec![outside, inside], vec![], "KeyCompromised"),
    ] {
        let identity = revoked(RevocationReason::Compromised, &windows, &digests);
        assert_eq!(
            word(identity.standing(&bundle, &today())),
            expected,
            "{windows:?} {digests:?}"
        );
    }
}

/// Without a proven time nobody can say where it lies: proof is missing, and nothing is bad.
#[test]
fn without_a_time_a_window_is_no_proof_of_badness() {
    let undated = by_identity(&[]);
    let window = (hour(-1), Some(hour(1)));
    let identity = revoked(RevocationReason::Compromised, &[window], &[]);
    assert_eq!(
        word(identity.standing(&undated, &today())),
        "TransparencyMissing"
    );
    assert_eq!(identity.voids(&undated, &today()), None);
    assert_eq!(word(trusted().standing(&undated, &today())), "Valid");
    // Our own evidence dates it.
    for (hours, expected) in [(0, "KeyCompromised"), (2, "KeyCompromised")] {
        let at = Circumstances {
            first_verified: Some(hour(hours)),
            ..today()
        };
        assert_eq!(word(identity.standing(&undated, &at)), expected, "{hours}");
    }
    // An archive is void by its digest, whenever it was signed.
    let identity = revoked(RevocationReason::Compromised, &[window], &[archive()]);
    assert_eq!(
        word(identity.standing(&undated, &today())),
        "KeyCompromised"
    );
}

/// What we have seen earlier than any log has dated: the earliest proof counts.
#[test]
fn the_earliest_proof_of_existence_counts() {
    let identity = revoked(
        RevocationReason::Compromised,
        &[(hour(1), Some(hour(5)))],
        &[],
    );
    let late = by_identity(&[hour(4), hour(2)]);
    assert_eq!(word(identity.standing(&late, &today())), "KeyCompromised");
    let seen = Circumstances {
        first_verified: Some(noon() + SignedDuration::from_mins(1)),
        ..today()
    };
    assert_eq!(word(identity.standing(&late, &seen)), "Valid");
}

/// Whoever attests an SBOM approves of nothing, and is not made to by what became of him.
#[test]
fn an_attestation_is_unsigned_whatever_became_of_its_maker() {
    let compromised = revoked(RevocationReason::Compromised, &[], &[]);
    for identity in [trusted(), compromised] {
        let mut record = by_identity(&[noon()]).record().clone();
        record.kind = Kind::Statement("https://spdx.dev/Document".to_owned());
        let bundle = restored(record);
        let refusal = identity.standing(&bundle, &today()).unwrap_err();
        assert_eq!(refusal.said, Said::Reason(Reason::Unsigned));
        assert!(refusal.message.starts_with("NotASignature"), "{refusal}");
        assert_eq!(identity.voids(&bundle, &today()), None);
    }
}

/// Another's signature is not made void by anybody, and void by anybody whose it is.
#[test]
fn only_whose_it_is_can_void_it() {
    let mut other = revoked(RevocationReason::Compromised, &[], &[]);
    let bundle = by_identity(&[noon()]);
    assert!(other.voids(&bundle, &today()).is_some());
    other.claims.source_repository_id = Some("654321".to_owned());
    assert_eq!(other.voids(&bundle, &today()), None);
    assert_eq!(word(other.standing(&bundle, &today())), "SignerNotTrusted");
    assert_eq!(other.voids(&by_key(&[noon()]), &today()), None);
    assert_eq!(
        word(trusted().standing(&by_key(&[noon()]), &today())),
        "SignerNotTrusted"
    );
}

#[test]
fn scope_end_and_future_have_their_words() {
    let bundle = by_identity(&[noon()]);
    let scoped = Identity {
        scope: Scope {
            charts: Vec::new(),
            sources: vec!["oci://registry.test/other".to_owned()],
        },
        ..trusted()
    };
    assert_eq!(word(scoped.standing(&bundle, &today())), "KeyOutOfScope");
    let skew = SignedDuration::from_mins(5);
    for (ahead, expected) in [
        (skew, "Valid"),
        (skew + SignedDuration::from_secs(1), "SignerNotTrusted"),
    ] {
        let future = by_identity(&[today().now + ahead]);
        assert_eq!(word(trusted().standing(&future, &today())), expected);
    }
    for (end, expired_keys, expected) in [
        (hour(1), ExpiredKeys::AcceptIfSignedBefore, "Valid"),
        (hour(1), ExpiredKeys::Reject, "KeyExpired"),
        (noon(), ExpiredKeys::AcceptIfSignedBefore, "KeyExpired"),
        (today().now, ExpiredKeys::Reject, "KeyExpired"),
        (today().now + skew, ExpiredKeys::Reject, "Valid"),
    ] {
        let identity = Identity {
            not_after: Some(end),
            ..trusted()
        };
        let at = Circumstances {
            expired_keys,
            ..today()
        };
        assert_eq!(
            word(identity.standing(&bundle, &at)),
            expected,
            "{end} {expired_keys:?}"
        );
    }
    // Nothing dates it: it counts as made now, unless we have seen it.
    let identity = Identity {
        not_after: Some(hour(1)),
        ..trusted()
    };
    assert_eq!(
        word(identity.standing(&by_identity(&[]), &today())),
        "KeyExpired"
    );
    let seen = Circumstances {
        first_verified: Some(noon()),
        ..today()
    };
    assert_eq!(word(identity.standing(&by_identity(&[]), &seen)), "Valid");
}

fn trusted_key() -> TrustedPublicKey {
    TrustedPublicKey {
        name: "vendor".to_owned(),
        fingerprint: Sha256Digest::from_bytes(KEY),
        transparency: Transparency::IfPresent,
        scope: Scope::default(),
        not_after: None,
        revocations: Vec::new(),
    }
}

fn declared(
    reason: RevocationReason,
    since: Option<Timestamp>,
    grandfather: Grandfather,
) -> DeclaredRevocation {
    DeclaredRevocation {
        declared_by: "vendor".to_owned(),
        reason,
        since,
        grandfather,
    }
}

/// State of the key, when the signature is proven to exist, and what we have seen.
#[test]
fn a_key_is_judged_by_what_is_proven_of_its_signature() {
    use Grandfather::{Never, Witnessed};
    use RevocationReason::{Compromised, Retired, Superseded, Unspecified};
    let before = Some(noon());
    let since = Some(hour(1));
    let after = Some(hour(2));
    for (reason, since, grandfather, [undated, earlier, same, later]) in [
        (Compromised, None, Never, ["KeyCompromised"; 4]),
        (Compromised, since, Never, ["KeyCompromised"; 4]),
        (Unspecified, since, Never, ["KeyRevoked"; 4]),
        (
            Compromised,
            since,
            Witnessed,
            [
                "KeyCompromised",
                "Grandfathered",
                "KeyCompromised",
                "KeyCompromised",
            ],
        ),
        (
            Superseded,
            since,
            Never,
            ["KeyRetired", "Valid", "KeyRetired", "KeyRetired"],
        ),
        (
            Retired,
            since,
            Never,
            ["KeyRetired", "Valid", "KeyRetired", "KeyRetired"],
        ),
        (Retired, None, Never, ["KeyRetired"; 4]),
    ] {
        let key = TrustedPublicKey {
            revocations: vec![declared(reason, since, grandfather)],
            ..trusted_key()
        };
        for (moment, expected) in [
            (None, undated),
            (before, earlier),
            (Some(hour(1)), same),
            (after, later),
        ] {
            let proven: Vec<_> = moment.into_iter().collect();
            let by_log = key.standing(&by_key(&proven), &today());
            // What is left of a stolen key is what we have verified ourselves, whatever a log has seen.
            let seen_by_log = match expected {
                "Grandfathered" => "KeyCompromised",
                _ => expected,
            };
            assert_eq!(word(by_log), seen_by_log, "{reason:?} {since:?} {moment:?}");
            // Else our own evidence proves as much as a log.
            let seen = Circumstances {
                first_verified: moment,
                ..today()
            };
            let by_us = key.standing(&by_key(&[]), &seen);
            assert_eq!(word(by_us), expected, "{reason:?} {since:?} {moment:?}");
        }
    }
}

/// Stolen at one o'clock: when a log has seen a signature, and when we have.
#[test]
fn what_a_log_has_seen_of_a_stolen_key_is_no_witness_of_ours() {
    let spares = |reason| TrustedPublicKey {
        revocations: vec![declared(reason, Some(hour(1)), Grandfather::Witnessed)],
        ..trusted_key()
    };
    for (reason, void) in [
        (RevocationReason::Compromised, "KeyCompromised"),
        (RevocationReason::Unspecified, "KeyRevoked"),
    ] {
        for (by_log, by_us, expected) in [
            (None, None, void),
            (Some(0), None, void),
            (Some(0), Some(2), void),
            (Some(0), Some(1), void),
            (Some(0), Some(0), "Grandfathered"),
            (None, Some(0), "Grandfathered"),
            (Some(2), Some(0), "Grandfathered"),
            (Some(2), Some(2), void),
        ] {
            let proven: Vec<_> = by_log.map(hour).into_iter().collect();
            let seen = Circumstances {
                first_verified: by_us.map(hour),
                ..today()
            };
            let standing = spares(reason).standing(&by_key(&proven), &seen);
            assert_eq!(word(standing), expected, "{reason:?} {by_log:?} {by_us:?}");
        }
    }
}

#[test]
fn the_worst_revocation_of_a_key_is_told() {
    use RevocationReason::{Compromised, Retired, Unspecified};
    let of = |reasons: &[RevocationReason]| {
        let revocations = reasons
            .iter()
            .map(|reason| declared(*reason, None, Grandfather::Never));
        let key = TrustedPublicKey {
            revocations: revocations.collect(),
            ..trusted_key()
        };
        word(key.standing(&by_key(&[]), &today()))
    };
    assert_eq!(of(&[]), "Valid");
    assert_eq!(of(&[Retired, Unspecified]), "KeyRevoked");
    assert_eq!(of(&[Retired, Compromised, Unspecified]), "KeyCompromised");
}

#[test]
fn transparency_that_is_demanded_must_be_there() {
    let required = TrustedPublicKey {
        transparency: Transparency::Required,
        ..trusted_key()
    };
    assert_eq!(
        word(required.standing(&by_key(&[]), &today())),
        "TransparencyMissing"
    );
    assert_eq!(
        word(required.standing(&by_key(&[noon()]), &today())),
        "Valid"
    );
    let mut logged = by_key(&[]).record().clone();
    logged.logs.push(LogRecord {
        log: Sha256Digest::of(b"log"),
        index: 1,
    });
    assert_eq!(
        word(required.standing(&restored(logged), &today())),
        "Valid"
    );
    assert_eq!(
        word(trusted_key().standing(&by_key(&[]), &today())),
        "Valid"
    );
}

#[test]
fn anothers_signature_is_no_word_about_a_key() {
    let other = TrustedPublicKey {
        fingerprint: Sha256Digest::of(b"another"),
        revocations: vec![declared(
            RevocationReason::Compromised,
            None,
            Grandfather::Never,
        )],
        ..trusted_key()
    };
    assert_eq!(
        word(other.standing(&by_key(&[]), &today())),
        "SignerNotTrusted"
    );
    assert_eq!(
        word(other.standing(&by_identity(&[noon()]), &today())),
        "SignerNotTrusted"
    );
}
