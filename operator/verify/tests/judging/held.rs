//! Sigstore signatures in evidence whose bytes are gone: who is tried on them later, and what is remembered.

use std::collections::BTreeMap;

use charttrust_verify::bundles::{BundleFacts, BundleOutcome};
use charttrust_verify::check::Vouchers;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{SubchartFacts, SubchartId};
use charttrust_verify::sigstore::{
    KnownIdentity, Root, SigstoreSigners, SimpleSignature, Transparency,
};
use charttrust_verify::verdict::{Cause, Reason, Verdict};
use jiff::{SignedDuration, Timestamp};

use crate::bundles::{GOOD, by, good, hour, identity, keyed, now, public_key, sbom};
use crate::sigstore::{Log, SUBJECT, Shape};
use crate::world::{SOURCE, World, rule};

const OTHER: &str = "https://github.com/example/other/.github/workflows/x.yml@refs/heads/main";

/// What somebody knows whom a look has found, and who keeps no bytes.
fn kept(world: &mut World) -> BTreeMap<Sha256Digest, usize> {
    let taken = world.evidence.take_bundles();
    let kept = taken
        .into_iter()
        .map(|(digest, bundle)| (digest, bundle.weight()));
    kept.collect()
}

fn one(signers: Vec<KnownIdentity>) -> SigstoreSigners {
    SigstoreSigners {
        keys: Vec::new(),
        identities: signers,
    }
}

#[test]
fn whoever_is_declared_later_is_tried_on_the_bytes_that_are_held() {
    let mut world = World::bundled(&[good()]);
    let known = std::mem::take(&mut world.sigstore);
    world.try_keys();
    let held = world.evidence.clone().take_bundles();
    assert_eq!(held.len(), 1, "nobody could explain it yet");
    let forgotten = kept(&mut world);
    assert!(
        forgotten.values().all(|bytes| *bytes > 2000),
        "{forgotten:?}"
    );
    assert!(world.evidence.wants_bundle(SOURCE, &known));
    world.evidence.lend_bundles(|digest| {
        let mut held = held.iter();
        let (_, bundle) = held.find(|(known, _)| known == digest)?;
        Some(bundle.clone())
    });
    assert!(
        !world.evidence.wants_bundle(SOURCE, &known),
        "they are there"
    );
    world.sigstore = known.clone();
    world.try_keys();
    assert!(kept(&mut world).is_empty(), "nothing is left to find out");
    assert!(!world.evidence.wants_bundle(SOURCE, &known));
    assert_eq!(world.verdict(), GOOD);
}

#[test]
fn a_look_is_wanted_only_by_whom_the_signature_may_be_of() {
    let without_root = KnownIdentity {
        root: Root::Unknown("no ConfigMap".into()),
        ..identity("release", SUBJECT)
    };
    let key = SigstoreSigners {
        keys: vec![public_key("board")],
        identities: Vec::new(),
    };
    for (shape, known, is_wanted) in [
        (good(), one(vec![]), false),
        (good(), one(vec![identity("release", SUBJECT)]), true),
        (good(), one(vec![identity("other", OTHER)]), false),
        (good(), one(vec![without_root]), false),
        (good(), key.clone(), false),
        (keyed(), key, true),
        (keyed(), one(vec![identity("release", SUBJECT)]), false),
    ] {
        let mut world = World::bundled(&[shape]);
        world.sigstore = SigstoreSigners::default();
        world.try_keys();
        kept(&mut world);
        assert_eq!(
            world.evidence.wants_bundle(SOURCE, &known),
            is_wanted,
            "{known:?}"
        );
        assert!(
            !world
                .evidence
                .wants_bundle("https://elsewhere.example.com", &known)
        );
    }
}

#[test]
fn what_nobody_has_looked_for_and_what_was_not_answered_is_told_apart() {
    let mut world = World::bundled(&[good()]);
    assert!(!world.evidence.lacks_bundles(SOURCE) && !world.evidence.has_silent_bundles(SOURCE));
    for (cause, is_silent) in [
        (Cause::SourceUnavailable, true),
        (Cause::LimitExceeded, false),
    ] {
        let bundles = world.facts().bundles.as_mut().unwrap();
        bundles.incomplete = Some((cause, "403".into()));
        assert_eq!(world.evidence.has_silent_bundles(SOURCE), is_silent);
    }
    world.facts().bundles = None;
    assert!(world.evidence.lacks_bundles(SOURCE) && !world.evidence.has_silent_bundles(SOURCE));
}

/// A root that came later may prove what the first could not; when it was first verified stays.
#[test]
fn a_signature_by_a_key_is_tried_again_when_its_root_can_prove_more() {
    let mut world = World::keyed(&[Shape {
        log: Log::V1,
        ..keyed()
    }]);
    world.sigstore.keys[0].trusted.transparency = Transparency::Required;
    let root = world.sigstore.keys[0].root.take();
    world.try_keys();
    let first = world.facts().bundles.as_ref().unwrap().signatures[0].first_verified;
    assert!(first.is_some() && !world.verdict().is_trusted());
    let held = world.evidence.take_bundles();
    assert_eq!(held.len(), 1, "a root may show more");
    let without = world.sigstore.clone();
    assert!(
        !world.evidence.wants_bundle(SOURCE, &without),
        "the same shows the same"
    );
    world.sigstore.keys[0].root = root;
    let with = world.sigstore.clone();
    assert!(world.evidence.wants_bundle(SOURCE, &with));
    world.evidence.lend_bundles(|_| Some(held[0].1.clone()));
    world.now += SignedDuration::from_hours(1);
    world.try_keys();
    assert_eq!(world.verdict(), GOOD);
    let bundles = world.facts().bundles.as_ref().unwrap();
    assert_eq!(bundles.signatures[0].first_verified, first);
    // And the word of nobody takes it back: it is a root less, and none that lacks anybody.
    let before = world.facts().bundles.clone().unwrap().signatures[0]
        .outcome
        .clone();
    world.evidence.lend_bundles(|_| Some(held[0].1.clone()));
    world.sigstore.keys[0].root = None;
    world.try_keys();
    assert_eq!(
        world.facts().bundles.as_ref().unwrap().signatures[0].outcome,
        before
    );
}

fn vouches(world: &World, sigstore: &SigstoreSigners) -> bool {
    let mut policy = world.policies[0].clone();
    let rules = [&*rule(&mut policy)];
    let vouchers = Vouchers {
        rules: &rules,
        sigstore,
    };
    let release = ("web", "1.2.3");
    let lacks = world.evidence.lacks_subcharts(release, SOURCE, vouchers);
    let open = world.evidence.open_subcharts(release, SOURCE, vouchers);
    assert_eq!(lacks, !open.is_empty());
    lacks
}

/// Whoever publishes an archive names the repositories of its subcharts, and anybody can sign it by some identity.
#[test]
fn a_subchart_is_asked_for_where_somebody_who_is_known_has_signed_the_chart_by_sigstore() {
    let stranger = one(vec![identity("other", OTHER)]);
    let of_another = Shape {
        artifact: b"another archive".to_vec(),
        ..good()
    };
    for (shape, is_vouched) in [
        (good(), true),
        (sbom(), false),
        (by(OTHER), false),
        (of_another, false),
    ] {
        let mut world = World::bundled(&[shape]);
        let id = SubchartId {
            repository: "https://parts.example.com".into(),
            name: "db".into(),
            version: "2.0.0".into(),
        };
        world.facts().has_subcharts = true;
        world.facts().subcharts = vec![SubchartFacts {
            id,
            content: Sha256Digest::of(b"db"),
        }];
        world.try_keys();
        assert_eq!(vouches(&world, &world.sigstore), is_vouched);
        let is_strangers = world.facts().bundled().any(|one| {
            let signer = one.verified().map(|it| it.signer().clone());
            format!("{signer:?}").contains(OTHER)
        });
        assert_eq!(vouches(&world, &stranger), is_strangers);
    }
}

fn first(world: &mut World) -> Option<Timestamp> {
    world.facts().bundles.as_ref().unwrap().signatures[0].first_verified
}

/// Never lose the way back: what nothing but our own look dates is dated so after an upgrade and a rollback, and so is
/// what a key has signed, which `grandfather: Witnessed` may leave trusted, whatever a log says of it.
#[test]
fn a_signature_by_a_key_or_that_nothing_dates_is_witnessed() {
    let logged = Shape {
        log: Log::V1,
        ..keyed()
    };
    for (shape, is_witnessed) in [(keyed(), true), (logged, true), (good(), false)] {
        let mut world = World::keyed(&[shape]);
        world.sigstore.identities = vec![identity("release", SUBJECT)];
        let fresh = world.clone();
        world.try_keys();
        let witnesses: Vec<_> = world.evidence.first_verifications().collect();
        assert_eq!(witnesses.len(), usize::from(is_witnessed));
        let mut again = fresh;
        again.now = now() + SignedDuration::from_hours(48);
        again.try_keys();
        again.evidence.restore_first_verified(&witnesses);
        assert_eq!(first(&mut again) == first(&mut world), is_witnessed);
    }
}

#[test]
fn a_signature_of_the_older_form_is_told_from_others_with_its_payload() {
    let texts = |name: &str, text: &str| BTreeMap::from([(name.to_owned(), text.to_owned())]);
    let digest = |payload: &[u8], annotations: &BTreeMap<String, String>| {
        let facts = BundleFacts::read_simple(&SimpleSignature {
            payload,
            annotations,
        });
        assert!(matches!(facts.outcome, BundleOutcome::Unreadable { .. }));
        facts.digest
    };
    let all = [
        digest(b"payload", &texts("a", "bc")),
        digest(b"payload", &texts("ab", "c")),
        digest(b"payload", &texts("a", "bd")),
        digest(b"payloa", &texts("a", "bc")),
        digest(b"payload", &BTreeMap::new()),
    ];
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
    assert_eq!(digest(b"payload", &texts("a", "bc")), all[0]);
}

/// A window that is declared with the registry gone is judged from what is kept.
#[test]
fn what_is_declared_later_is_judged_without_the_bytes() {
    let mut world = World::bundled(&[good()]);
    world.try_keys();
    kept(&mut world);
    assert_eq!(world.verdict(), GOOD);
    world.sigstore.identities[0].identity.not_after = Some(hour(-24));
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::KeyExpired));
}
