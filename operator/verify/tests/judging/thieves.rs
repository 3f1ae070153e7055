//! What whoever has stolen an identity or a key, or may write beside a chart, makes of Sigstore signatures.

use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use charttrust_verify::bundles::{BundleFacts, Bundles};
use charttrust_verify::evidence::{Answer, ProvenanceFacts};
use charttrust_verify::key::RevocationReason;
use charttrust_verify::sigstore::{PublicKey, Root, SubjectRule, TrustedPublicKey, VerifiedBundle};
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::bundles::{
    GOOD, KEY, SIGSTORE, by, facts, good, identity, keyed, messages, public_key, revoked, sbom,
};
use crate::der::{bits, oid, seq};
use crate::sigstore::{self, Log, SIGN, SUBJECT, Shape, base64, noon, pem};
use crate::world::{ARCHIVE, SOURCE, World};

const NOT_TRUSTED: Verdict = Verdict::Untrusted(Reason::SignerNotTrusted);
const COMPROMISED: Verdict = Verdict::Untrusted(Reason::KeyCompromised);

#[track_caller]
fn expect(world: &World, what: &str, expected: Verdict) {
    assert_eq!(world.verdict(), expected, "{what}: {}", messages(world));
}

fn two(world: &mut World) {
    world.verify().signers.threshold = NonZeroU32::new(2).unwrap();
}

/// Whose name it is, the certificate authority says. Who has stolen the identity chooses what else vouches.
#[test]
fn a_witness_that_a_root_does_not_have_hides_no_revocation() {
    let stamped = || Shape {
        stamped_at: Some(noon() + SignedDuration::from_secs(3)),
        ..good()
    };
    let mut json = SIGSTORE.root_json();
    json["timestampAuthorities"] = json!([]);
    let without = Root::Known(Arc::new(sigstore::root(&json)));
    for windows in [&[][..], &[(-1, Some(1))]] {
        for shape in [good(), stamped()] {
            let mut world = World::bundled(&[shape]);
            let mut stolen = identity("stolen", SUBJECT);
            stolen.root = without.clone();
            stolen.identity.revocation = revoked(RevocationReason::Compromised, windows);
            world.sigstore.identities.push(stolen);
            expect(&world, "revoked", COMPROMISED);
        }
    }
}

/// Who holds one identity can sign as often as he likes.
#[test]
fn one_workflow_is_one_signer_however_often_it_signs_and_is_declared() {
    let mut world = World::bundled(&[good(), good()]);
    world.sigstore.identities.push(identity("too", SUBJECT));
    world.verify().signers.identities.insert("too".to_owned());
    expect(&world, "one of one", GOOD);
    two(&mut world);
    expect(&world, "two signatures of one", NOT_TRUSTED);
    let glob = "https://github.com/example/**@refs/**".parse().unwrap();
    world.sigstore.identities[1].identity.subject = SubjectRule::Glob(glob);
    expect(&world, "by a pattern as well", NOT_TRUSTED);
    let other = "https://github.com/example/second/.github/workflows/a.yml@refs/heads/main";
    world.put(vec![facts(&good().bundle()), facts(&by(other).bundle())]);
    expect(&world, "two workflows", GOOD);
}

/// A workflow that many call is called so by all of them: whose run it was, the claims say.
#[test]
fn callers_of_one_workflow_are_told_apart_by_their_repositories() {
    let called = |repository: &str| {
        let mut shape = good();
        for (number, text) in &mut shape.claims {
            if *number == "12" {
                *text = format!("https://github.com/example/{repository}");
            }
        }
        shape
    };
    let named = |repository: &str| {
        let mut known = identity(repository, SUBJECT);
        let claims = &mut known.identity.claims;
        claims.source_repository = Some(format!("https://github.com/example/{repository}"));
        known
    };
    let mut world = World::bundled(&[called("one"), called("two")]);
    world.sigstore.identities = vec![named("one"), named("two")];
    world.verify().signers.identities = ["one".to_owned(), "two".to_owned()].into();
    two(&mut world);
    expect(&world, "two repositories", GOOD);
    let once_more = vec![
        facts(&called("one").bundle()),
        facts(&called("one").bundle()),
    ];
    world.put(once_more);
    expect(&world, "one of them twice", NOT_TRUSTED);
}

/// A look after the first one.
fn look(world: &mut World, later: Vec<BundleFacts>) {
    look_at(world, Bundles::beside(later));
}

fn look_at(world: &mut World, later: Bundles) {
    world.try_keys();
    let mut facts = world.facts().clone();
    facts.bundles = Some(Box::new(later));
    let asked = world.clone();
    let answer = Answer::Archive(Box::new(facts));
    world.evidence.apply(SOURCE, answer, &asked.judged_by());
    world.try_keys();
}

fn rubbish(count: usize) -> Vec<BundleFacts> {
    let all = 0..count;
    all.map(|number| BundleFacts::read(format!("rubbish {number}").as_bytes()))
        .collect()
}

/// Attestations and signatures that hold, by people whom nobody has declared.
fn strangers(count: usize) -> Vec<BundleFacts> {
    let all = 0..count;
    all.map(|number| facts(&by(&format!("https://github.com/stranger/{number}/a.yml@b")).bundle()))
        .collect()
}

/// Whoever could write beside a chart once takes no room for ever: when his rubbish is gone and the chart is
/// signed, it is trusted. What a known signer has made is kept whatever is published later.
#[test]
fn what_was_published_first_leaves_room_for_what_is_signed_later() {
    let good = || facts(&good().bundle());
    for (what, first) in [("rubbish", rubbish(32)), ("strangers", strangers(32))] {
        let mut world = World::bundled(&[]);
        world.put(first.clone());
        look(&mut world, vec![good()]);
        expect(&world, what, GOOD);

        let mut world = World::bundled(&[]);
        let mut more = first.clone();
        more.extend(rubbish(40).split_off(32));
        world.put(more);
        let limit = Verdict::Unknown(Cause::LimitExceeded);
        expect(&world, &format!("more {what} than is looked at"), limit);
        look(&mut world, vec![good()]);
        expect(&world, &format!("less {what} later"), GOOD);
    }
}

/// A rule that lists an identity whose signatures are all void.
fn listing_a_stolen_one() -> World {
    let mut world = World::bundled(&[]);
    let mut known = identity("stolen", "https://github.com/example/stolen");
    known.identity.revocation = revoked(RevocationReason::Compromised, &[]);
    world.sigstore.identities.push(known);
    let signers = &mut world.verify().signers.identities;
    signers.insert("stolen".to_owned());
    world
}

#[test]
fn rubbish_pushes_nothing_out_that_a_known_signer_has_made() {
    let stolen = || facts(&by("https://github.com/example/stolen").bundle());
    let world = |bundles: Vec<BundleFacts>| {
        let mut world = listing_a_stolen_one();
        world.put(bundles);
        world
    };
    // Not all was looked at: what the source says next is taken in.
    let mut first = vec![stolen()];
    first.extend(rubbish(40));
    for later in [rubbish(32), strangers(32), rubbish(80).split_off(40)] {
        let mut world = world(first.clone());
        expect(&world, "stolen", COMPROMISED);
        look(&mut world, later);
        expect(&world, "and gone from the source", COMPROMISED);
        assert!(world.facts().bundled().count() <= 32);
    }
    // A good one stays, too.
    let mut first = vec![facts(&good().bundle())];
    first.extend(rubbish(40));
    let mut world = world(first);
    look(&mut world, strangers(32));
    expect(&world, "good", GOOD);
}

/// By which times a window is judged: those that somebody of the root proves, the earliest of them, from when
/// the certificate began.
#[test]
fn a_thief_chooses_no_time() {
    let minutes = |count: i64| SignedDuration::from_mins(count);
    let (from, until) = (noon(), noon() + minutes(60));
    let at = |begin: Timestamp, logged: i64, stamped: Option<i64>| Shape {
        at: begin,
        logged_at: begin + minutes(logged),
        stamped_at: stamped.map(|after| begin + minutes(after)),
        ..good()
    };
    let revoke = |world: &mut World| {
        let window = charttrust_verify::sigstore::Window::new(from, Some(until)).unwrap();
        let none = std::collections::BTreeSet::new();
        let revocation = charttrust_verify::sigstore::IdentityRevocation::new(
            RevocationReason::Compromised,
            vec![window],
            none,
        );
        world.identity().revocation = Some(revocation.unwrap());
    };
    for (what, shape, expected) in [
        ("before", at(from - minutes(20), 1, None), GOOD),
        (
            "a certificate of before, logged within",
            at(from - minutes(5), 6, None),
            COMPROMISED,
        ),
        (
            "stamped before, logged within",
            at(from - minutes(5), 6, Some(1)),
            GOOD,
        ),
        (
            "logged before, stamped within",
            at(from - minutes(5), 1, Some(6)),
            GOOD,
        ),
        ("at the very begin", at(from, 0, None), COMPROMISED),
        ("all within", at(from + minutes(5), 1, Some(2)), COMPROMISED),
        (
            "a certificate of within, proven after",
            at(until - minutes(3), 5, Some(4)),
            COMPROMISED,
        ),
        ("a certificate of the end", at(until, 1, None), GOOD),
        (
            "outside of its own certificate",
            at(from + minutes(5), 1, Some(-10)),
            NOT_TRUSTED,
        ),
        (
            "logged outside of its own certificate",
            at(from + minutes(5), -10, Some(1)),
            NOT_TRUSTED,
        ),
    ] {
        let mut world = World::bundled(&[shape]);
        revoke(&mut world);
        expect(&world, what, expected);
        world.forget();
        expect(&world, &format!("{what}, from evidence"), expected);
    }
}

type Lie<'a> = (&'a str, &'a dyn Fn(&mut Value));

/// Proofs of a time that nobody of the root has given.
#[test]
#[expect(clippy::too_many_lines, reason = "a table, a row each")]
fn a_time_that_nobody_of_the_root_proves_is_none() {
    let theirs = sigstore::World::called("thief");
    let early = noon() - SignedDuration::from_hours(48);
    let material = "verificationMaterial";
    // Whatever he holds, he signs now, and says that it was early.
    let now = || Shape {
        stamped_at: Some(noon()),
        ..good()
    };
    let his = Shape {
        world: &theirs,
        logged_at: early,
        stamped_at: Some(early),
        at: early,
        ..good()
    }
    .bundle();
    let changes: [Lie<'_>; 8] = [
        ("his log", &|it| {
            it["tlogEntries"] = his[material]["tlogEntries"].clone();
        }),
        ("his log as well", &|it| {
            let entry = his[material]["tlogEntries"][0].clone();
            it["tlogEntries"].as_array_mut().unwrap().push(entry);
        }),
        ("his stamp", &|it| {
            let stamps = &his[material]["timestampVerificationData"];
            it["timestampVerificationData"] = stamps.clone();
        }),
        ("his stamp as well", &|it| {
            let stamps = &his[material]["timestampVerificationData"]["rfc3161Timestamps"];
            let all = &mut it["timestampVerificationData"]["rfc3161Timestamps"];
            all.as_array_mut().unwrap().insert(0, stamps[0].clone());
        }),
        ("another time beside the promise", &|it| {
            it["tlogEntries"][0]["integratedTime"] = json!(early.as_second().to_string());
        }),
        ("a time without a promise", &|it| {
            let entry = it["tlogEntries"][0].as_object_mut().unwrap();
            entry.remove("inclusionPromise");
            entry.insert(
                "integratedTime".to_owned(),
                json!(early.as_second().to_string()),
            );
        }),
        ("a promise of his log under the name of ours", &|it| {
            let promise = &his[material]["tlogEntries"][0]["inclusionPromise"];
            it["tlogEntries"][0]["inclusionPromise"] = promise.clone();
        }),
        ("the kind of a log that proves none", &|it| {
            it["tlogEntries"][0]["kindVersion"] =
                json!({"kind": "hashedrekord", "version": "0.0.2"});
            it["tlogEntries"][0]["integratedTime"] = json!(early.as_second().to_string());
        }),
    ];
    for (what, change) in changes {
        for is_keyed in [false, true] {
            let shape = Shape {
                key: is_keyed.then_some(&*KEY),
                log: Log::V1,
                ..now()
            };
            let mut bundle = shape.bundle();
            change(&mut bundle[material]);
            let mut world = World::bundled(&[]);
            if is_keyed {
                world = World::keyed(&[]);
                // What is not proven to be older than this does not count.
                let since = Some(noon() - SignedDuration::from_hours(24));
                world.revoke_key(RevocationReason::Superseded, since);
            } else {
                let window = &[(-24, Some(24))];
                world.identity().revocation = revoked(RevocationReason::Compromised, window);
            }
            world.put(vec![facts(&bundle)]);
            let verdict = world.verdict();
            assert!(!verdict.is_trusted(), "{what} {is_keyed}: {verdict}");
            world.try_keys();
            for one in world.facts().bundled() {
                let proven = one.verified().and_then(VerifiedBundle::proven);
                let is_early = proven.is_some_and(|at| at < noon());
                assert!(!is_early, "{what} {is_keyed}: {proven:?}");
            }
        }
    }
}

/// A statement by a key, which is over bytes of its own and so of any kind of key.
fn by_ed25519(seed: [u8; 32]) -> (BundleFacts, PublicKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let spki = seq(&[seq(&[oid("1.3.101.112")]), bits(pair.public_key().as_ref())]);
    let key = PublicKey::parse(pem("PUBLIC KEY", &spki).as_bytes()).unwrap();
    let digest = hex::encode(sigstore::sha256(&ARCHIVE.clone()));
    let payload = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "", "digest": {"sha256": digest}}],
        "predicateType": SIGN, "predicate": {},
    })
    .to_string();
    let kind = "application/vnd.in-toto+json";
    let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    let signature = pair.sign(signed.as_bytes());
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": ""}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64(payload), "payloadType": kind,
            "signatures": [{"sig": base64(signature.as_ref())}],
        },
    });
    (facts(&bundle), key)
}

/// Alice's statement of PGP, and a bundle by a public key; two are needed.
pub(crate) fn pgp_and(seed: [u8; 32]) -> World {
    let (bundle, key) = by_ed25519(seed);
    let mut world = World::keyed(&[]);
    world.facts().provenance = World::good().facts().provenance.clone();
    let mut known = public_key("board");
    known.trusted = TrustedPublicKey {
        fingerprint: key.fingerprint(),
        ..known.trusted
    };
    known.key = Some(key);
    world.sigstore.keys = vec![known];
    world.put(vec![bundle]);
    world.signers(&["alice", "board"], 2);
    world
}

/// One secret in two forms, PGP and PEM, is one signer: who has stolen it has both.
#[test]
fn one_key_in_two_forms_is_one_signer() {
    expect(&pgp_and([77; 32]), "two keys", GOOD);
    // The subkey that Alice signs with.
    expect(&pgp_and([101; 32]), "one key", NOT_TRUSTED);
}

/// What is done to a world, and what is said of it then.
type Row = (&'static str, fn(&mut World), Verdict);

/// PGP and identity, of which two are needed: each in turn is missing, and each in turn is void.
#[test]
#[expect(clippy::too_many_lines, reason = "a table, a row each")]
fn pgp_and_an_identity_are_both_needed() {
    let both = || {
        let mut world = World::bundled(&[good()]);
        world.facts().provenance = World::good().facts().provenance.clone();
        world.signers(&["alice"], 2);
        world
    };
    expect(&both(), "both", GOOD);
    let rows: [Row; 9] = [
        (
            "no statement",
            |it| it.facts().provenance = ProvenanceFacts::Missing,
            NOT_TRUSTED,
        ),
        ("no bundle", |it| it.put(Vec::new()), NOT_TRUSTED),
        (
            "an attestation",
            |it| it.put(vec![facts(&sbom().bundle())]),
            NOT_TRUSTED,
        ),
        (
            "by another workflow, twice",
            |it| {
                let other = || facts(&by("https://github.com/example/other").bundle());
                it.put(vec![other(), other()]);
            },
            NOT_TRUSTED,
        ),
        (
            "by a key that nobody lists",
            |it| {
                it.sigstore.keys = vec![public_key("board")];
                it.put(vec![facts(&keyed().bundle())]);
            },
            NOT_TRUSTED,
        ),
        (
            "the identity is revoked",
            |it| it.identity().revocation = revoked(RevocationReason::Compromised, &[]),
            COMPROMISED,
        ),
        (
            "the key is revoked",
            |it| _ = it.revoke("alice", RevocationReason::Compromised),
            COMPROMISED,
        ),
        (
            "nobody believes the identity",
            |it| it.sigstore.identities[0].root = Root::Unknown("gone".into()),
            Verdict::Unknown(Cause::TrustRootUnknown),
        ),
        (
            "the identity is not listed",
            |it| it.verify().signers.identities.clear(),
            NOT_TRUSTED,
        ),
    ];
    for (what, change, expected) in rows {
        let mut world = both();
        change(&mut world);
        expect(&world, what, expected);
    }
}

/// The same certificate in two bundles, and a key that signs for itself and for an identity.
#[test]
fn one_certificate_is_one_signature_whatever_it_is_wrapped_in() {
    let bundle = good().bundle();
    let again = |text: String| BundleFacts::read(text.as_bytes());
    let mut hinted = bundle.clone();
    hinted["dsseEnvelope"]["signatures"][0]["keyid"] = json!("another");
    let mut world = World::bundled(&[]);
    world.sigstore.identities.push(identity("too", SUBJECT));
    world.verify().signers.identities.insert("too".to_owned());
    two(&mut world);
    for second in [
        again(serde_json::to_string_pretty(&bundle).unwrap()),
        again(hinted.to_string()),
        again(format!("{bundle} ")),
    ] {
        world.put(vec![facts(&bundle), second]);
        expect(&world, "twice", NOT_TRUSTED);
    }
}

/// What a mirror says of signatures while the source is silent adds trust, and nothing else.
#[test]
fn a_mirror_adds_and_withholds_and_takes_nothing() {
    use charttrust_verify::evidence::Place;
    let silence = Some((Cause::SourceUnavailable, "503".to_owned()));
    let mirrored = |bundles: Vec<BundleFacts>| {
        let mut world = listing_a_stolen_one();
        let bundles = Bundles::of(bundles, silence.clone()).served_by(Place::Mirror);
        world.facts().bundles = Some(Box::new(bundles));
        world
    };
    let mut broken = good().bundle();
    broken["dsseEnvelope"]["signatures"][0]["sig"] =
        good().bundle()["dsseEnvelope"]["signatures"][0]["sig"].clone();
    let another = Shape {
        artifact: b"another".to_vec(),
        ..good()
    };
    let stolen = || by("https://github.com/example/stolen").bundle();
    let silent = Verdict::Unknown(Cause::SourceUnavailable);
    for (what, bundles, expected) in [
        ("a good one", vec![good().bundle()], GOOD),
        ("none", vec![], silent),
        ("a stolen one", vec![stolen()], silent),
        ("a broken one", vec![broken.clone()], silent),
        ("that of another chart", vec![another.bundle()], silent),
        (
            "a stranger's",
            vec![by("https://github.com/a/b/c").bundle()],
            silent,
        ),
        (
            "a good one and a stolen one",
            vec![stolen(), good().bundle()],
            GOOD,
        ),
    ] {
        let all: Vec<_> = bundles.iter().map(facts).collect();
        let world = mirrored(all.clone());
        expect(&world, what, expected);
        let mut world = mirrored(all);
        world.pin();
        let expected = match expected {
            GOOD => GOOD,
            _ => Verdict::Trusted(Basis::DigestPinned),
        };
        expect(&world, &format!("{what}, and a pin"), expected);
    }
    // Once the source itself has shown it, or another, it is bad, whatever the mirror had.
    let one = facts(&stolen());
    for first in [vec![one.clone()], rubbish(3), vec![facts(&stolen())]] {
        let mut world = mirrored(first);
        look(&mut world, vec![one.clone()]);
        expect(&world, "shown by the source", COMPROMISED);
    }
    // What a mirror has shown, and trust rests on, stays.
    let mut world = mirrored(vec![facts(&good().bundle())]);
    look(&mut world, vec![one]);
    expect(&world, "shown by the mirror", GOOD);
}

/// A registry serves what was signed once under another name: nothing but the archive says what it is, and it is
/// signed. At the level at which nothing is compared with the release, too.
#[test]
fn an_archive_that_was_signed_as_another_is_not_the_one_that_was_asked_for() {
    use charttrust_verify::policy::Level;
    let mismatch = Verdict::Untrusted(Reason::MetadataMismatch);
    let verified = Verdict::Trusted(Basis::ArchiveVerified);
    let rows: [Row; 4] = [
        ("itself", |_| (), verified),
        (
            "an earlier version",
            |it| it.facts().version = "1.0.0".to_owned(),
            mismatch,
        ),
        (
            "another chart",
            |it| it.facts().name = "shop".to_owned(),
            mismatch,
        ),
        // Registries write versions with and without it.
        (
            "a version with a v",
            |it| it.version = "v1.2.3".to_owned(),
            verified,
        ),
    ];
    for (what, change, expected) in rows {
        let mut world = World::bundled(&[good()]);
        world.level(Level::Signature);
        change(&mut world);
        expect(&world, what, expected);
    }
}
