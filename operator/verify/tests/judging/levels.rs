//! What each level checks beyond the signature, and what a pin stands in for.

use charttrust_verify::evidence::{Bound, Claimed, Place, ProvenanceFacts};
use charttrust_verify::finding::Finding;
use charttrust_verify::key::RevocationReason;
use charttrust_verify::policy::{Dependencies, Level, Pattern, Pin};
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};

use crate::forge::{self, Sig, day, time};
use crate::world::{
    SIGNED, World, key, other_digest, person, provenance, read, signature, signature_by, text,
    text_about,
};

const STRICT: Verdict = Verdict::Trusted(Basis::SignatureVerified);
const ARCHIVE: Verdict = Verdict::Trusted(Basis::ArchiveVerified);
const PINNED: Verdict = Verdict::Trusted(Basis::DigestPinned);

const fn no(reason: Reason) -> Verdict {
    Verdict::Untrusted(reason)
}

/// One change, and the verdicts under Signature and under Strict.
fn both(change: impl Fn(&mut World), signature: Verdict, strict: Verdict) {
    for (level, verdict) in [(Level::Signature, signature), (Level::Strict, strict)] {
        let mut world = World::good();
        world.level(level);
        change(&mut world);
        assert_eq!(world.verdict(), verdict, "{level:?}");
    }
}

fn signed_text(text: &str) -> ProvenanceFacts {
    provenance(text, &[signature_by(person(1).signer(), text, |sig| sig)])
}

#[test]
fn integrity_is_checked_at_both_levels() {
    let mismatch = no(Reason::DigestMismatch);
    both(
        |world| world.facts().digest = other_digest(),
        mismatch,
        mismatch,
    );
}

#[test]
fn provenance_names_the_file_at_both_levels() {
    let renamed = text().replace("web-1.2.3.tgz", "web-1.2.3-1.tgz");
    let change = |world: &mut World| world.facts().provenance = signed_text(&renamed);
    both(
        change,
        no(Reason::MetadataMismatch),
        no(Reason::MetadataMismatch),
    );
}

#[test]
fn names_and_versions_agree_under_strict_only() {
    let mismatch = no(Reason::MetadataMismatch);
    both(
        |world| world.facts().name = "other".into(),
        ARCHIVE,
        mismatch,
    );
    both(
        |world| world.facts().version = "1.2.4".into(),
        ARCHIVE,
        mismatch,
    );
    for (from, to) in [
        ("name: web", "name: other"),
        ("version: 1.2.3", "version: 1.2.4"),
    ] {
        let other = text().replace(from, to);
        both(
            |world| world.facts().provenance = signed_text(&other),
            ARCHIVE,
            mismatch,
        );
    }
}

#[test]
fn content_is_bound_under_strict_only() {
    let words = || vec!["a template".to_owned()];
    let unbound = Verdict::Unknown(Cause::NotBindable);
    for (binding, strict) in [
        (Bound::Same(words()), STRICT),
        (Bound::NotCompared, ARCHIVE),
        (Bound::NoRecord, unbound),
        (Bound::OldWriter(words()), unbound),
        (Bound::Different(words()), no(Reason::ContentMismatch)),
    ] {
        both(
            |world| world.facts().binding = binding.clone(),
            ARCHIVE,
            strict,
        );
    }
}

#[test]
fn a_revoked_key_is_badness_without_a_record_too() {
    for binding in [Bound::NoRecord, Bound::OldWriter(Vec::new())] {
        let change = |world: &mut World| {
            world.facts().binding = binding.clone();
            world.revoke("alice", RevocationReason::Compromised);
        };
        both(
            change,
            no(Reason::KeyCompromised),
            no(Reason::KeyCompromised),
        );
    }
}

#[test]
fn a_check_that_was_not_made_is_told() {
    let not_checked = |world: &World| {
        let findings = world.judge().findings;
        findings
            .iter()
            .any(|finding| finding.fact.to_string() == "NotChecked")
    };
    let mut world = World::good();
    assert!(!not_checked(&world));
    world.facts().binding = Bound::NotCompared;
    assert!(not_checked(&world));
    let mut world = World::good();
    world.level(Level::Signature);
    assert!(not_checked(&world));
}

#[test]
fn subcharts_need_signatures_of_their_own_only_if_asked_for() {
    let unknown = Verdict::Unknown(Cause::Pending);
    for (has_subcharts, dependencies, verdict) in [
        (false, Dependencies::Inherit, None),
        (false, Dependencies::Verify, None),
        (true, Dependencies::Inherit, None),
        // Which they are was not looked at yet.
        (true, Dependencies::Verify, Some(unknown)),
    ] {
        let change = |world: &mut World| {
            world.facts().has_subcharts = has_subcharts;
            world.verify().dependencies = dependencies;
        };
        both(
            change,
            verdict.unwrap_or(ARCHIVE),
            verdict.unwrap_or(STRICT),
        );
    }
}

#[test]
fn versions_are_a_requirement() {
    for (constraint, allowed) in [
        (">=1", true),
        ("1.2.3", true),
        (">=2", false),
        ("<1.2.3", false),
    ] {
        let mut world = World::good();
        world.rule().versions = Some(constraint.parse().unwrap());
        let verdict = if allowed {
            STRICT
        } else {
            no(Reason::VersionNotAllowed)
        };
        assert_eq!(world.verdict(), verdict, "{constraint}");
    }
}

#[test]
fn a_key_speaks_for_the_charts_and_sources_of_its_scope() {
    for (charts, sources, in_scope) in [
        (&[][..], &[][..], true),
        (&["web"], &[], true),
        (&["db", "we*"], &[], true),
        (&["db"], &[], false),
        (&[], &["https://charts.example.com"], true),
        (&[], &["https://charts.example.com/"], true),
        (&[], &["https://charts.example.com/team"], false),
        (&[], &["https://charts.example.co"], false),
        (&["web"], &["https://other.example.com"], false),
        (&["db"], &["https://charts.example.com"], false),
    ] {
        let change = |world: &mut World| {
            let scope = &mut world.alice().scope;
            scope.charts = charts.iter().map(|text| Pattern::new(text)).collect();
            scope.sources = sources.iter().map(ToString::to_string).collect();
        };
        let or = |verdict| {
            if in_scope {
                verdict
            } else {
                no(Reason::KeyOutOfScope)
            }
        };
        both(change, or(ARCHIVE), or(STRICT));
    }
}

/// What the pinned release is worth after a change, under both levels.
fn pinned(change: impl Fn(&mut World), verdict: Verdict) {
    let change = |world: &mut World| {
        world.pin();
        change(world);
    };
    both(change, verdict, verdict);
}

#[test]
fn a_pin_stands_in_for_a_missing_signature() {
    let unavailable = ProvenanceFacts::Unavailable {
        cause: Cause::SourceUnavailable,
        message: "no answer".into(),
    };
    let weak = signature_by(person(1).signer(), &text(), |sig| sig.hash(2));
    for facts in [
        ProvenanceFacts::Missing,
        unavailable,
        read(b"junk"),
        provenance(&text(), &[signature(&person(2))]),
        provenance(&text(), &[weak]),
    ] {
        pinned(|world| world.facts().provenance = facts.clone(), PINNED);
    }
    pinned(|world| world.signers(&[], 1), PINNED);
    pinned(|world| world.signers(&["alice"], 2), PINNED);
    pinned(
        |world| world.alice().not_after = Some(time(day(SIGNED))),
        PINNED,
    );
    pinned(
        |world| world.alice().scope.sources = vec!["https://other".into()],
        PINNED,
    );
}

/// Nobody can tell who has changed the text after it was signed, as long as nobody knows the key.
#[test]
fn a_pin_stands_in_for_no_signature_that_is_known_to_be_broken() {
    let broken = signature_by(person(1).signer(), &text(), Sig::broken);
    let mut world = World::good();
    world.pin();
    world.facts().provenance = provenance(&text(), &[broken]);
    assert_eq!(world.verdict(), no(Reason::SignatureInvalid));
    world.signers(&["bob"], 1);
    assert_eq!(world.verdict(), no(Reason::SignerNotTrusted), "not listed");
    let told = world.judge().findings;
    let says = |finding: &Finding| finding.message.starts_with("the pin of this archive");
    assert!(told.iter().any(says), "{told:?}");
    world.keys.clear();
    assert_eq!(world.verdict(), PINNED, "by a stranger");
}

#[test]
fn a_pin_stands_in_for_no_revoked_signature_of_a_key_that_is_not_listed() {
    for (revocation, verdict) in [
        (None, PINNED),
        (
            Some(RevocationReason::Compromised),
            no(Reason::SignerNotTrusted),
        ),
        (
            Some(RevocationReason::Unspecified),
            no(Reason::SignerNotTrusted),
        ),
        (
            Some(RevocationReason::Retired),
            no(Reason::SignerNotTrusted),
        ),
        (
            Some(RevocationReason::Superseded),
            no(Reason::SignerNotTrusted),
        ),
    ] {
        let change = |world: &mut World| {
            world.signers(&["bob"], 1);
            if let Some(revocation) = revocation {
                world.revoke("alice", revocation);
            }
        };
        pinned(change, verdict);
    }
}

/// What a mirror says can only add trust, and beside a pin none is missing.
#[test]
fn what_a_mirror_signs_takes_nothing_from_a_pin() {
    let broken = signature_by(person(1).signer(), &text(), Sig::broken);
    let about_other = signed_text(&text_about(other_digest()));
    for statement in [
        provenance(&text(), &[broken]),
        provenance(&text(), &[signature(&person(2))]),
        about_other,
    ] {
        let change = |world: &mut World| {
            world.keys.push(key(&person(2)));
            world.revoke("bob", RevocationReason::Compromised);
            world.signers(&["alice", "bob"], 1);
            world.facts().provenance = statement.clone().served_by(Place::Mirror);
        };
        pinned(change, PINNED);
    }
}

#[test]
fn a_pin_never_stands_in_for_a_revoked_or_wrong_signature() {
    for (revocation, reason) in [
        (RevocationReason::Compromised, Reason::KeyCompromised),
        (RevocationReason::Unspecified, Reason::KeyRevoked),
        (RevocationReason::Retired, Reason::KeyRetired),
        (RevocationReason::Superseded, Reason::KeyRetired),
    ] {
        pinned(|world| _ = world.revoke("alice", revocation), no(reason));
    }
    let about_other = signed_text(&text_about(other_digest()));
    pinned(
        |world| world.facts().provenance = about_other.clone(),
        no(Reason::DigestMismatch),
    );
    pinned(
        |world| world.rule().versions = Some(">=2".parse().unwrap()),
        no(Reason::VersionNotAllowed),
    );
}

#[test]
fn a_pin_is_for_one_chart_version_and_digest() {
    for change in [
        (|pin: &mut Pin| pin.chart = "other".into()) as fn(&mut Pin),
        |pin| pin.version = "1.2.4".into(),
        |pin| pin.digest = other_digest(),
    ] {
        let mut world = World::good();
        world.facts().provenance = ProvenanceFacts::Missing;
        world.pin();
        assert_eq!(world.verdict(), PINNED);
        change(&mut world.rule().pins[0]);
        assert_eq!(world.verdict(), no(Reason::Unsigned));
    }
}

#[test]
fn a_signature_is_more_than_a_pin() {
    let mut world = World::good();
    world.pin();
    assert_eq!(world.verdict(), STRICT);
}

#[test]
fn provenance_is_read_for_the_chart_that_runs() {
    let message = forge::message_of(&text(), &[signature(&person(1))]);
    for (chart, version, verdict) in [
        ("web", "1.2.3", STRICT),
        ("web", "1.2.4", no(Reason::MetadataMismatch)),
        ("we", "b-1.2.3", no(Reason::MetadataMismatch)),
        // The file is called alike, but the release is of another chart.
        ("web-1.2.3", "", no(Reason::MetadataMismatch)),
    ] {
        let mut world = World::good();
        world.facts().provenance =
            ProvenanceFacts::read(message.as_bytes(), Claimed { chart, version });
        (world.chart, world.version) = (chart.into(), version.into());
        assert_eq!(world.verdict(), verdict, "{chart} {version}");
    }
}
