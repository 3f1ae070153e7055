//! One good base, one change, one expected word: for every word that the engine can give.

use charttrust_verify::evidence::{Answer, Bound, ProvenanceFacts};
use charttrust_verify::key::{Grandfather, RevocationReason};
use charttrust_verify::openpgp::Code;
use charttrust_verify::policy::{Dependencies, Level};
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};

use crate::forge::{Sig, day, time};
use crate::world::{
    SIGNED, SOURCE, World, other_digest, person, provenance, read, signature_by, text,
};

#[test]
fn every_reason_has_a_change_that_gives_it() {
    for reason in Reason::ALL {
        let mut world = World::good();
        provoke(*reason, &mut world);
        assert_eq!(world.verdict(), Verdict::Untrusted(*reason));
        let findings = world.judge().findings;
        let names_it = findings
            .iter()
            .any(|found| found.fact.to_string() == reason.word());
        assert!(names_it, "{reason}: {findings:?}");
    }
}

fn provoke(reason: Reason, world: &mut World) {
    match reason {
        Reason::KeyCompromised => _ = world.revoke("alice", RevocationReason::Compromised),
        Reason::KeyRevoked => _ = world.revoke("alice", RevocationReason::Unspecified),
        Reason::ContentMismatch => world.facts().binding = Bound::Different(vec!["it".into()]),
        Reason::DigestMismatch => world.facts().digest = other_digest(),
        Reason::MetadataMismatch => world.facts().version = "1.2.4".into(),
        Reason::SignatureInvalid => resign(world, Sig::broken),
        Reason::KeyRetired => {
            world.revoke("alice", RevocationReason::Retired).since = Some(time(day(SIGNED)));
        }
        Reason::KeyExpired => world.alice().not_after = Some(time(day(SIGNED))),
        Reason::KeyOutOfScope => world.alice().scope.sources = vec!["https://other".into()],
        Reason::SignerNotTrusted => world.signers(&[], 1),
        Reason::WeakSignature => resign(world, |sig| sig.hash(2)),
        Reason::TransparencyMissing => world.sign_without_log(),
        Reason::ProvenanceMalformed => world.facts().provenance = read(b"signed, believe me"),
        Reason::ArchiveAmbiguous => {
            let message = "two Chart.yaml".into();
            world.answer(SOURCE, Answer::Ambiguous { message });
        }
        Reason::Unsigned => world.facts().provenance = ProvenanceFacts::Missing,
        Reason::VersionNotAllowed => world.rule().versions = Some(">=2".parse().unwrap()),
        Reason::ChartNotFound => world.answer(SOURCE, Answer::NotFound),
        Reason::DependencyNotTrusted => {
            world.subchart("db");
            world.verify().dependencies = Dependencies::Verify;
            let answers = world.evidence.subcharts.values_mut();
            answers.for_each(|answer| *answer = Answer::NotFound);
        }
    }
}

/// Alice signs again, in another way.
fn resign(world: &mut World, change: impl FnOnce(Sig) -> Sig) {
    let signature = signature_by(person(1).signer(), &text(), change);
    world.facts().provenance = provenance(&text(), &[signature]);
}

#[test]
fn every_cause_of_the_engine_has_a_change_that_gives_it() {
    for cause in Cause::ALL {
        let mut world = World::good();
        if give(*cause, &mut world) {
            assert_eq!(world.verdict(), Verdict::Unknown(*cause));
        }
    }
}

/// Whether the engine itself can give this cause.
fn give(cause: Cause, world: &mut World) -> bool {
    match cause {
        Cause::SourceUnavailable | Cause::LimitExceeded => {
            let message = "no answer".into();
            world.answer(SOURCE, Answer::Unavailable { cause, message });
        }
        // Whoever reads records says so; without one there is no case to judge.
        Cause::ReleaseUnreadable => return false,
        Cause::SourceUnknown => world.rule().sources.clear(),
        Cause::TrustRootUnknown => world.sign_without_root(),
        Cause::NotBindable => world.facts().binding = Bound::NoRecord,
        Cause::Pending => world.evidence.answers.clear(),
        Cause::Exempt => {
            world.facts().provenance = ProvenanceFacts::Missing;
            world.except(&[Reason::Unsigned]);
        }
        Cause::Unmanaged => world.level(Level::None),
        Cause::NoPolicy => world.policies.clear(),
    }
    true
}

#[test]
fn every_basis_has_a_change_that_gives_it() {
    for basis in Basis::ALL {
        let mut world = World::good();
        rest_on(*basis, &mut world);
        assert_eq!(world.verdict(), Verdict::Trusted(*basis));
    }
}

fn rest_on(basis: Basis, world: &mut World) {
    match basis {
        Basis::SignatureVerified => {}
        Basis::ArchiveVerified => world.level(Level::Signature),
        Basis::DigestPinned => {
            world.facts().provenance = ProvenanceFacts::Missing;
            world.pin();
        }
        Basis::Grandfathered => {
            world.facts().first_verified = Some(time(day(SIGNED)));
            let revocation = world.revoke("alice", RevocationReason::Compromised);
            revocation.since = Some(time(day(SIGNED + 1)));
            revocation.grandfather = Grandfather::Witnessed;
        }
    }
}

#[test]
fn faults_are_read_back_out_of_what_evidence_keeps_and_nothing_else_is() {
    for fault in Code::FAULTS {
        assert_eq!(Code::of_fault(fault.word()), Some(*fault));
    }
    for word in [Code::Valid, Code::Expired, Code::UnknownKey] {
        assert_eq!(Code::of_fault(word.word()), None);
    }
    assert_eq!(Code::of_fault(""), None);
}

#[test]
fn what_became_of_the_key_is_told() {
    for (reason, told) in [
        (Reason::KeyCompromised, "revoked as compromised"),
        (Reason::KeyRevoked, "was revoked"),
        (Reason::KeyRetired, "superseded or retired"),
        (Reason::KeyExpired, "has expired"),
        (Reason::KeyOutOfScope, "may not speak for"),
    ] {
        let mut world = World::good();
        provoke(reason, &mut world);
        let message = world.judge().findings[0].message.clone();
        assert!(message.contains(told), "{message}");
    }
}
