//! Sigstore signatures beside an archive: whose they are, what they add up to, and with what else.

use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};

use charttrust_verify::bundles::{BundleFacts, Bundles, ManifestFacts};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::ProvenanceFacts;
use charttrust_verify::finding::{Fact, Note};
use charttrust_verify::key::{DeclaredRevocation, Grandfather, RevocationReason, RevokedBy, Scope};
use charttrust_verify::policy::{ExpiredKeys, Level};
use charttrust_verify::sigstore::{
    ClaimRules, Identity, IdentityRevocation, KnownIdentity, KnownPublicKey, PublicKey, Root,
    SubjectRule, Transparency, TrustedPublicKey, TrustedRoot, Window,
};
use charttrust_verify::verdict::{Basis, Cause, Class, Reason, Verdict};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use serde_json::Value;

use crate::sigstore::{self, Content, ISSUER, Key, Log, SIGN, SUBJECT, Shape, at, noon};
use crate::world::{ARCHIVE, World};

pub(crate) const GOOD: Verdict = Verdict::Trusted(Basis::SignatureVerified);
const NOT_TRUSTED: Verdict = Verdict::Untrusted(Reason::SignerNotTrusted);

/// Who signs, and in which form.
pub(crate) static SIGSTORE: LazyLock<sigstore::World> =
    LazyLock::new(|| sigstore::World::called("ours"));
pub(crate) static ROOT: LazyLock<Arc<TrustedRoot>> = LazyLock::new(|| Arc::new(SIGSTORE.root()));
pub(crate) static KEY: LazyLock<Key> = LazyLock::new(Key::new);

pub(crate) fn now() -> Timestamp {
    at("2026-11-29T00:00:00Z")
}

pub(crate) fn hour(hours: i64) -> Timestamp {
    noon() + SignedDuration::from_hours(hours)
}

/// A signature of the archive by the workflow that the rule lists.
pub(crate) fn good() -> Shape<'static> {
    Shape {
        artifact: ARCHIVE.clone(),
        ..SIGSTORE.good()
    }
}

pub(crate) fn keyed() -> Shape<'static> {
    Shape {
        artifact: ARCHIVE.clone(),
        ..SIGSTORE.keyed(&KEY)
    }
}

fn signed_at(hours: i64) -> Shape<'static> {
    Shape {
        at: hour(hours),
        logged_at: hour(hours) + SignedDuration::from_secs(5),
        ..good()
    }
}

pub(crate) fn by(subject: &str) -> Shape<'static> {
    Shape {
        names: vec![(0x86, subject.to_owned())],
        ..good()
    }
}

pub(crate) fn sbom() -> Shape<'static> {
    Shape {
        content: Content::Statement("https://spdx.dev/Document"),
        ..good()
    }
}

/// The root of somebody else.
fn theirs() -> Root {
    Root::Known(Arc::new(sigstore::World::called("theirs").root()))
}

pub(crate) fn facts(bundle: &Value) -> BundleFacts {
    BundleFacts::read(bundle.to_string().as_bytes())
}

pub(crate) fn identity(name: &str, subject: &str) -> KnownIdentity {
    KnownIdentity {
        identity: Identity {
            name: name.to_owned(),
            issuer: ISSUER.to_owned(),
            subject: SubjectRule::Exact(subject.to_owned()),
            claims: ClaimRules::default(),
            scope: Scope::default(),
            not_after: None,
            revocation: None,
        },
        labels: std::collections::BTreeMap::new(),
        root: Root::Known(ROOT.clone()),
        unusable: None,
    }
}

pub(crate) fn public_key(name: &str) -> KnownPublicKey {
    let key = PublicKey::parse(KEY.public_pem().as_bytes()).unwrap();
    KnownPublicKey {
        trusted: TrustedPublicKey {
            name: name.to_owned(),
            fingerprint: key.fingerprint(),
            transparency: Transparency::IfPresent,
            scope: Scope::default(),
            not_after: None,
            revocations: Vec::new(),
        },
        labels: std::collections::BTreeMap::new(),
        key: Some(key),
        root: Some(Root::Known(ROOT.clone())),
        unusable: None,
    }
}

#[allow(clippy::unnecessary_wraps, reason = "the field is optional")]
pub(crate) fn revoked(
    reason: RevocationReason,
    windows: &[(i64, Option<i64>)],
) -> Option<IdentityRevocation> {
    let windows = windows
        .iter()
        .map(|(from, until)| Window::new(hour(*from), until.map(hour)).unwrap());
    let none = std::collections::BTreeSet::new();
    Some(IdentityRevocation::new(reason, windows.collect(), none).unwrap())
}

impl World {
    /// The chart without a signed statement, under a rule that lists the workflow alone.
    pub(crate) fn bundled(bundles: &[Shape<'_>]) -> Self {
        let mut world = Self::good();
        world.now = now();
        world.sigstore.identities = vec![identity("release", SUBJECT)];
        world.facts().provenance = ProvenanceFacts::Missing;
        world.signers(&[], 1);
        world.verify().signers.identities = ["release".to_owned()].into();
        let bundles: Vec<_> = bundles.iter().map(|shape| facts(&shape.bundle())).collect();
        world.put(bundles);
        world
    }

    /// The same, with a public key.
    pub(crate) fn keyed(bundles: &[Shape<'_>]) -> Self {
        let mut world = Self::bundled(bundles);
        world.sigstore.keys = vec![public_key("board")];
        world.verify().signers.identities.clear();
        world.verify().signers.keys = ["board".to_owned()].into();
        world
    }

    pub(crate) fn put(&mut self, bundles: Vec<BundleFacts>) {
        self.facts().bundles = Some(Box::new(Bundles::beside(bundles)));
    }

    pub(crate) fn identity(&mut self) -> &mut Identity {
        &mut self.sigstore.identities[0].identity
    }

    pub(crate) fn public(&mut self) -> &mut TrustedPublicKey {
        &mut self.sigstore.keys[0].trusted
    }

    pub(crate) fn revoke_key(&mut self, reason: RevocationReason, since: Option<Timestamp>) {
        self.public().revocations.push(DeclaredRevocation {
            declared_by: "board".to_owned(),
            reason,
            since,
            grandfather: Grandfather::Never,
        });
    }

    /// Drops the bytes, as evidence does that was read back.
    pub(crate) fn forget(&mut self) {
        self.try_keys();
        let bundles = self.facts().bundles.as_mut().unwrap();
        bundles
            .signatures
            .iter_mut()
            .for_each(|one| one.bundle = None);
    }

    /// A rule that demands a log entry, and a signature without one.
    pub(crate) fn sign_without_log(&mut self) {
        *self = Self::keyed(&[keyed()]);
        self.public().transparency = Transparency::Required;
    }

    pub(crate) fn sign_without_root(&mut self) {
        *self = Self::bundled(&[good()]);
        self.sigstore.identities[0].root =
            Root::Unknown("the ConfigMap roots does not exist".into());
    }
}

pub(crate) fn messages(world: &World) -> String {
    let findings = world.judge().findings;
    let all = findings
        .iter()
        .map(|one| format!("{}: {}", one.fact, one.message));
    all.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_signature_of_the_archive_by_whom_the_rule_lists_is_trusted() {
    for content in [Content::Message, Content::Statement(SIGN)] {
        let world = World::bundled(&[Shape { content, ..good() }]);
        assert_eq!(world.verdict(), GOOD, "{}", messages(&world));
    }
    let world = World::keyed(&[keyed()]);
    assert_eq!(world.verdict(), GOOD, "{}", messages(&world));
    let mut world = World::bundled(&[good()]);
    world.level(Level::Signature);
    assert_eq!(world.verdict(), Verdict::Trusted(Basis::ArchiveVerified));
}

#[test]
fn a_signature_of_the_manifest_is_one_of_the_layer_that_it_names() {
    let manifest = b"a manifest";
    let shape = || Shape {
        artifact: manifest.to_vec(),
        ..SIGSTORE.good()
    };
    let with = |layer: Sha256Digest| {
        let mut world = World::bundled(&[]);
        let digest = Sha256Digest::of(manifest);
        let bundle = facts(&shape().bundle());
        world.put(vec![bundle.of_manifest(ManifestFacts { digest, layer })]);
        world.verdict()
    };
    assert_eq!(with(Sha256Digest::of(&ARCHIVE)), GOOD);
    let other = with(Sha256Digest::of(b"another layer"));
    assert_eq!(other, Verdict::Untrusted(Reason::DigestMismatch));
}

type Change = fn(&mut World);

/// What is tried, the signature, what becomes of the rest, and the word.
type Row = (&'static str, fn() -> Shape<'static>, Change, Verdict);

fn expect(world: &World, name: &str, expected: Verdict) {
    assert_eq!(world.verdict(), expected, "{name}: {}", messages(world));
    let mut later = world.clone();
    later.try_keys();
    if later.facts().bundles.is_some() {
        later.forget();
        assert_eq!(later.verdict(), expected, "{name}, from evidence");
    }
}

const fn untrusted(reason: Reason) -> Verdict {
    Verdict::Untrusted(reason)
}

const WORDS: [Row; 18] = [
    (
        "another chart's bundle",
        || Shape {
            artifact: b"another".to_vec(),
            ..good()
        },
        |_| {},
        untrusted(Reason::DigestMismatch),
    ),
    ("an SBOM alone", sbom, |_| {}, untrusted(Reason::Unsigned)),
    (
        "the certificate had expired at every proven time",
        || Shape {
            logged_at: hour(1),
            ..good()
        },
        |_| {},
        NOT_TRUSTED,
    ),
    (
        "another issuer with the same subject",
        || Shape {
            issuer: "https://accounts.example.com".to_owned(),
            ..good()
        },
        |_| {},
        NOT_TRUSTED,
    ),
    (
        "a name that begins as the listed one",
        || by(&format!("{SUBJECT}-evil")),
        |_| {},
        NOT_TRUSTED,
    ),
    (
        "a root without the authority",
        good,
        |world| world.sigstore.identities[0].root = theirs(),
        NOT_TRUSTED,
    ),
    (
        "no root at all",
        good,
        World::sign_without_root,
        Verdict::Unknown(Cause::TrustRootUnknown),
    ),
    (
        "a claim that the certificate lacks",
        good,
        |world| world.identity().claims.runner_environment = Some("self-hosted".into()),
        NOT_TRUSTED,
    ),
    (
        "revoked",
        good,
        |world| world.identity().revocation = revoked(RevocationReason::Compromised, &[]),
        untrusted(Reason::KeyCompromised),
    ),
    (
        "revoked for no reason",
        good,
        |world| {
            world.identity().revocation = revoked(RevocationReason::Unspecified, &[(-1, Some(1))]);
        },
        untrusted(Reason::KeyRevoked),
    ),
    (
        "retired",
        good,
        |world| world.identity().revocation = revoked(RevocationReason::Retired, &[(-1, None)]),
        untrusted(Reason::KeyRetired),
    ),
    (
        "past its end",
        good,
        |world| world.identity().not_after = Some(hour(-1)),
        untrusted(Reason::KeyExpired),
    ),
    (
        "out of scope",
        good,
        |world| world.identity().scope.sources = vec!["https://other.example.com".into()],
        untrusted(Reason::KeyOutOfScope),
    ),
    (
        "unlisted",
        good,
        |world| world.verify().signers.identities = ["other".to_owned()].into(),
        NOT_TRUSTED,
    ),
    (
        "no bundle",
        good,
        |world| world.put(vec![BundleFacts::read(b"{}")]),
        untrusted(Reason::ProvenanceMalformed),
    ),
    (
        "none at all",
        good,
        |world| world.put(Vec::new()),
        untrusted(Reason::Unsigned),
    ),
    (
        "nobody has looked",
        good,
        |world| world.facts().bundles = None,
        Verdict::Unknown(Cause::Pending),
    ),
    (
        "the registry did not say",
        good,
        |world| {
            world.facts().bundles = Some(Box::new(Bundles {
                incomplete: Some((Cause::SourceUnavailable, "401".to_owned())),
                ..Bundles::default()
            }));
        },
        Verdict::Unknown(Cause::SourceUnavailable),
    ),
];

/// One good signature, one change, and the word.
#[test]
fn every_way_in_which_a_signature_does_not_count_has_its_word() {
    for (name, shape, change, expected) in WORDS {
        let mut world = World::bundled(&[shape()]);
        change(&mut world);
        expect(&world, name, expected);
    }
}

#[test]
fn what_is_no_signature_is_told_as_that() {
    let told = |world: &World| {
        let findings = world.judge().findings;
        findings
            .iter()
            .any(|one| one.fact == Fact::Note(Note::NotASignature))
    };
    assert!(told(&World::bundled(&[sbom()])));
    let both = World::bundled(&[sbom(), good()]);
    assert!(told(&both));
    assert_eq!(both.verdict(), GOOD);
}

#[test]
fn the_good_one_beyond_the_limit_is_not_known() {
    let junk = facts(&by("https://github.com/example/other").bundle());
    let of = |before: usize| {
        let mut world = World::bundled(&[]);
        let mut all = vec![junk.clone(); before];
        all.push(facts(&good().bundle()));
        world.put(all);
        world.verdict()
    };
    assert_eq!(of(31), GOOD);
    assert_eq!(of(32), Verdict::Unknown(Cause::LimitExceeded));
}

fn logged() -> Shape<'static> {
    Shape {
        log: Log::V1,
        ..keyed()
    }
}

const WORDS_OF_KEYS: [Row; 13] = [
    (
        "with a log entry",
        logged,
        |world| world.public().transparency = Transparency::Required,
        GOOD,
    ),
    (
        "demanded and missing",
        keyed,
        World::sign_without_log,
        untrusted(Reason::TransparencyMissing),
    ),
    (
        "compromised",
        logged,
        |world| world.revoke_key(RevocationReason::Compromised, None),
        untrusted(Reason::KeyCompromised),
    ),
    (
        "retired after it was logged",
        logged,
        |world| world.revoke_key(RevocationReason::Retired, Some(hour(1))),
        GOOD,
    ),
    (
        "retired, and nothing proves when it was made",
        keyed,
        |world| world.revoke_key(RevocationReason::Retired, Some(hour(1))),
        untrusted(Reason::KeyRetired),
    ),
    (
        "ended after it was logged",
        logged,
        |world| world.public().not_after = Some(hour(1)),
        GOOD,
    ),
    (
        "ended, and nothing proves when it was made",
        keyed,
        |world| world.public().not_after = Some(hour(1)),
        untrusted(Reason::KeyExpired),
    ),
    (
        "ended, and the rule rejects what has",
        logged,
        |world| {
            world.public().not_after = Some(hour(1));
            world.verify().expired_keys = ExpiredKeys::Reject;
        },
        untrusted(Reason::KeyExpired),
    ),
    (
        "its object cannot be used",
        keyed,
        |world| world.sigstore.keys[0].unusable = Some("it is odd".to_owned()),
        NOT_TRUSTED,
    ),
    (
        "its object cannot be used, and says that it was stolen",
        keyed,
        |world| {
            world.sigstore.keys[0].unusable = Some("it is odd".to_owned());
            world.revoke_key(RevocationReason::Compromised, None);
        },
        untrusted(Reason::KeyCompromised),
    ),
    (
        "by another key",
        keyed,
        |world| {
            let other = Key::new().public_pem();
            world.sigstore.keys[0].key = PublicKey::parse(other.as_bytes()).ok();
        },
        NOT_TRUSTED,
    ),
    (
        "of another archive",
        || Shape {
            artifact: b"another".to_vec(),
            ..keyed()
        },
        |_| {},
        untrusted(Reason::DigestMismatch),
    ),
    (
        "the log that proves the time was removed from the root",
        logged,
        |world| {
            world.try_keys();
            world.public().transparency = Transparency::Required;
            world.sigstore.keys[0].root = Some(theirs());
        },
        untrusted(Reason::TransparencyMissing),
    ),
];

#[test]
fn a_signature_by_a_key_has_the_words_of_keys() {
    for (name, shape, change, expected) in WORDS_OF_KEYS {
        let mut world = World::keyed(&[shape()]);
        change(&mut world);
        expect(&world, name, expected);
    }
}

/// Twenty releases signed an hour apart, and a window of three hours.
#[test]
fn a_window_voids_what_was_signed_in_it_and_nothing_else() {
    let mut expected = vec![GOOD; 20];
    expected[7..10].fill(Verdict::Untrusted(Reason::KeyCompromised));
    // The half hour before keeps clear of the life of the certificate of the hour itself.
    let from = hour(6) + SignedDuration::from_mins(30);
    let until = hour(9) + SignedDuration::from_mins(30);
    let words = (0..20).map(|hours| {
        let mut world = World::bundled(&[signed_at(hours)]);
        world.forget();
        let window = Window::new(from, Some(until)).unwrap();
        let none = std::collections::BTreeSet::new();
        let revocation = IdentityRevocation::new(RevocationReason::Compromised, vec![window], none);
        world.identity().revocation = Some(revocation.unwrap());
        world.verdict()
    });
    assert_eq!(words.collect::<Vec<_>>(), expected);
    assert_eq!(World::bundled(&[signed_at(8)]).verdict(), GOOD);
}

#[test]
fn whoever_matches_and_revokes_voids_a_signature_listed_or_not() {
    let mut world = World::bundled(&[good()]);
    let mut other = identity("incident", SUBJECT);
    other.identity.revocation = revoked(RevocationReason::Compromised, &[(-1, Some(1))]);
    world.sigstore.identities.push(other.clone());
    assert_eq!(
        world.verdict(),
        Verdict::Untrusted(Reason::KeyCompromised),
        "{}",
        messages(&world)
    );
    assert!(messages(&world).contains("TrustedIdentity incident"));
    // Whoever has the same name by the word of other authorities is somebody else.
    world.sigstore.identities[1].root = theirs();
    assert_eq!(world.verdict(), GOOD);
    // And one that matches nobody revokes nothing.
    world.sigstore.identities[1] = KnownIdentity {
        identity: Identity {
            subject: SubjectRule::Exact("https://else.example".into()),
            ..other.identity
        },
        ..other
    };
    assert_eq!(world.verdict(), GOOD);
}

/// None of those who revoke a signature is forgotten when another takes his word back.
#[test]
fn what_several_identities_revoke_is_bad_by_each_of_them() {
    let mut world = World::bundled(&[good()]);
    world.identity().revocation = revoked(RevocationReason::Unspecified, &[(-1, Some(1))]);
    for (name, reason, window) in [
        ("incident", RevocationReason::Compromised, (-1, Some(1))),
        ("elsewhen", RevocationReason::Compromised, (5, Some(6))),
        ("retired", RevocationReason::Retired, (-1, None)),
    ] {
        let mut other = identity(name, SUBJECT);
        other.identity.revocation = revoked(reason, &[window]);
        world.sigstore.identities.push(other);
    }
    let judgement = world.judge();
    assert_eq!(
        judgement.verdict,
        Verdict::Untrusted(Reason::KeyCompromised)
    );
    let revoking = judgement.policies[0].revocations.iter();
    let names: Vec<_> = revoking
        .map(|one| match &one.by {
            RevokedBy::Declared(word) => word.declared_by.clone(),
            RevokedBy::Certificate(digest) => digest.clone(),
        })
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    for name in ["release", "incident"] {
        assert!(names.iter().any(|one| one == name), "{names:?}");
    }
}

#[test]
fn a_root_may_be_rotated_and_whoever_is_removed_from_it_is_believed_no_more() {
    let mut world = World::bundled(&[good()]);
    world.forget();
    let mut rotated = SIGSTORE.root_json();
    let other = sigstore::World::called("newer").root_json();
    for kind in ["certificateAuthorities", "tlogs", "timestampAuthorities"] {
        let more = other[kind][0].clone();
        rotated[kind].as_array_mut().unwrap().insert(0, more);
    }
    world.sigstore.identities[0].root = Root::Known(Arc::new(sigstore::root(&rotated)));
    assert_eq!(world.verdict(), GOOD, "{}", messages(&world));
    rotated["tlogs"].as_array_mut().unwrap().remove(1);
    world.sigstore.identities[0].root = Root::Known(Arc::new(sigstore::root(&rotated)));
    assert_eq!(world.verdict(), NOT_TRUSTED);
    assert!(messages(&world).contains("does not have the transparency log"));
}

#[test]
fn signers_are_counted_across_kinds() {
    let both = || {
        let mut world = World::bundled(&[good(), keyed()]);
        world.facts().provenance = World::good().facts().provenance.clone();
        world.sigstore.keys = vec![public_key("board")];
        world.signers(&["alice", "board"], 3);
        world
    };
    assert_eq!(both().verdict(), GOOD, "{}", messages(&both()));
    let rows: [(Change, Reason); 4] = [
        (
            |world| world.facts().provenance = ProvenanceFacts::Missing,
            Reason::SignerNotTrusted,
        ),
        (
            |world| world.put(vec![facts(&good().bundle())]),
            Reason::SignerNotTrusted,
        ),
        (
            |world| world.put(vec![facts(&keyed().bundle())]),
            Reason::SignerNotTrusted,
        ),
        (
            |world| _ = world.revoke("alice", RevocationReason::Compromised),
            Reason::KeyCompromised,
        ),
    ];
    for (change, reason) in rows {
        let mut world = both();
        change(&mut world);
        assert_eq!(
            world.verdict(),
            Verdict::Untrusted(reason),
            "{}",
            messages(&world)
        );
        // Two are enough for two.
        world.verify().signers.threshold = NonZeroU32::new(2).unwrap();
        assert_eq!(world.verdict(), GOOD, "{}", messages(&world));
    }
}

#[test]
fn one_signature_counts_for_one_signer_however_often_it_is_there() {
    let mut world = World::bundled(&[good()]);
    world.sigstore.identities.push(identity("too", SUBJECT));
    world.verify().signers.identities.insert("too".to_owned());
    world.verify().signers.threshold = NonZeroU32::new(2).unwrap();
    assert_eq!(world.verdict(), NOT_TRUSTED);
    // The same in other bytes.
    let bundle = good().bundle();
    let spaced = serde_json::to_string_pretty(&bundle).unwrap();
    world.put(vec![facts(&bundle), BundleFacts::read(spaced.as_bytes())]);
    assert_eq!(world.verdict(), NOT_TRUSTED, "{}", messages(&world));
    // Another by the same workflow.
    world.put(vec![facts(&bundle), facts(&good().bundle())]);
    assert_eq!(world.verdict(), NOT_TRUSTED, "{}", messages(&world));
}

/// The forms are alternatives: what is wrong with one is told, and takes nothing from the other.
#[test]
fn one_form_is_enough() {
    let statements: [Change; 5] = [
        |world| world.facts().provenance = crate::world::read(b"signed, believe me"),
        |world| {
            world.facts().provenance = World::good().facts().provenance.clone();
            _ = world.revoke("alice", RevocationReason::Compromised);
            world.verify().signers.keys = ["alice".to_owned()].into();
        },
        |world| {
            let text = crate::world::text_about(crate::world::other_digest());
            world.facts().provenance = crate::world::provenance(&text, &[]);
        },
        |world| {
            world.facts().provenance = ProvenanceFacts::Unavailable {
                cause: Cause::SourceUnavailable,
                message: "401".into(),
            };
        },
        |world| world.facts().provenance = ProvenanceFacts::Missing,
    ];
    for (index, change) in statements.into_iter().enumerate() {
        let mut world = World::bundled(&[good()]);
        change(&mut world);
        assert_eq!(world.verdict(), GOOD, "{index}: {}", messages(&world));
        assert!(world.judge().policies[0].revocations.is_empty());
    }
    let mut world = World::bundled(&[by("https://github.com/example/other")]);
    world.facts().provenance = World::good().facts().provenance.clone();
    world.verify().signers.keys = ["alice".to_owned()].into();
    assert_eq!(world.verdict(), GOOD, "{}", messages(&world));
    assert!(messages(&world).contains("https://github.com/example/other"));
}

/// A later look gives trust, takes none, and turns no word into a worse one.
#[test]
fn later_looks_add_signatures_and_take_none() {
    let look = |before: Option<Vec<BundleFacts>>, later: Vec<BundleFacts>| {
        let mut world = World::bundled(&[]);
        world.facts().bundles = before.map(|it| Box::new(Bundles::beside(it)));
        let identity = identity("stolen", "https://github.com/example/stolen");
        world.sigstore.identities.push(identity);
        world.sigstore.identities[1].identity.revocation =
            revoked(RevocationReason::Compromised, &[]);
        world
            .verify()
            .signers
            .identities
            .insert("stolen".to_owned());
        world.try_keys();
        let mut facts = world.facts().clone();
        facts.bundles = Some(Box::new(Bundles::beside(later)));
        let asked = world.clone();
        let answer = charttrust_verify::evidence::Answer::Archive(Box::new(facts));
        world
            .evidence
            .apply(crate::world::SOURCE, answer, &asked.judged_by());
        world.try_keys();
        world
    };
    let good = || facts(&good().bundle());
    let stolen = || facts(&by("https://github.com/example/stolen").bundle());
    let unsigned = Verdict::Untrusted(Reason::Unsigned);
    let compromised = Verdict::Untrusted(Reason::KeyCompromised);
    for (before, later, expected) in [
        (Some(vec![]), vec![good()], GOOD),
        (Some(vec![]), vec![stolen()], unsigned),
        (Some(vec![]), vec![stolen(), good()], GOOD),
        (Some(vec![good()]), vec![], GOOD),
        (Some(vec![good()]), vec![stolen()], GOOD),
        (Some(vec![stolen()]), vec![], compromised),
        (None, vec![good()], GOOD),
        (None, vec![], unsigned),
        (None, vec![stolen()], compromised),
    ] {
        let world = look(before.clone(), later);
        assert_eq!(
            world.verdict(),
            expected,
            "{before:?}: {}",
            messages(&world)
        );
    }
}

/// What a source has of a chart: Alice's statement, a bundle, or both.
fn had(provenance: ProvenanceFacts, bundles: &[Shape<'static>]) -> World {
    let mut world = World::bundled(bundles);
    world.signers(&["alice"], 2);
    world.facts().provenance = provenance;
    world
}

/// A statement and a bundle of which two are needed: whatever of them is found first, or found again, and
/// whether its text is still at hand.
#[test]
fn a_statement_holds_up_no_signature_that_comes_later() {
    let stated = || World::good().facts().provenance.clone();
    let missing = || ProvenanceFacts::Missing;
    let of_others = || {
        let text = crate::world::text_about(crate::world::other_digest());
        crate::world::provenance(&text, &[])
    };
    let silent = || ProvenanceFacts::Unavailable {
        cause: Cause::SourceUnavailable,
        message: "401".into(),
    };
    let (none, one) = (&[][..], &[good()][..]);
    let rows = [
        ("bundle", had(stated(), none), had(stated(), one), true),
        ("statement", had(missing(), one), had(stated(), one), true),
        ("both", had(missing(), none), had(stated(), one), true),
        ("refused", had(stated(), none), had(of_others(), one), true),
        ("silent", had(stated(), none), had(silent(), one), true),
        ("neither", had(stated(), none), had(stated(), none), false),
    ];
    for (what, before, mut later, is_trusted) in rows {
        for is_forgotten in [false, true] {
            let mut world = before.clone();
            if is_forgotten {
                world.forget();
                if let ProvenanceFacts::Signed(signed) = &mut world.facts().provenance {
                    signed.message = None;
                }
            }
            assert_ne!(world.verdict(), GOOD, "{what}");
            let asked = world.clone();
            let answer =
                charttrust_verify::evidence::Answer::Archive(Box::new(later.facts().clone()));
            world
                .evidence
                .apply(crate::world::SOURCE, answer, &asked.judged_by());
            world.try_keys();
            let is_good = world.verdict() == GOOD;
            assert_eq!(
                is_good,
                is_trusted,
                "{what}, {is_forgotten}: {}",
                messages(&world)
            );
        }
    }
}

#[test]
fn a_later_look_brings_the_bytes_back_and_what_was_known_stays() {
    let mut world = World::bundled(&[]);
    let one = facts(&good().bundle());
    world.put(vec![one.clone()]);
    world.forget();
    let known = world.facts().bundles.clone().unwrap().signatures[0].first_verified;
    world.now += SignedDuration::from_hours(1);
    let mut shown = world.facts().clone();
    shown.bundles = Some(Box::new(Bundles::beside(vec![one])));
    let asked = world.clone();
    let answer = charttrust_verify::evidence::Answer::Archive(Box::new(shown));
    world
        .evidence
        .apply(crate::world::SOURCE, answer, &asked.judged_by());
    let signature = world.facts().bundles.clone().unwrap().signatures.remove(0);
    assert!(signature.bundle.is_some() && signature.verified().is_some());
    assert!(known.is_some() && signature.first_verified == known);
}

#[test]
fn who_lists_nobody_of_sigstore_is_not_held_up_by_it() {
    let mut world = World::good();
    world.facts().bundles = None;
    assert_eq!(world.verdict(), GOOD);
    let mut bundles = Bundles::beside(vec![BundleFacts::read(b"junk")]);
    bundles.incomplete = Some((Cause::SourceUnavailable, "401".into()));
    world.facts().bundles = Some(Box::new(bundles));
    assert_eq!(world.verdict(), GOOD);
    world.facts().provenance = ProvenanceFacts::Missing;
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::Unsigned));
}

#[test]
fn a_pin_stands_in_for_a_missing_signature_and_for_no_revoked_one() {
    let pinned = Verdict::Trusted(Basis::DigestPinned);
    let mut world = World::bundled(&[by("https://github.com/example/other")]);
    world.pin();
    assert_eq!(world.verdict(), pinned);
    let mut world = World::bundled(&[good()]);
    world.pin();
    world.identity().revocation = revoked(RevocationReason::Retired, &[(-1, None)]);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::KeyRetired));
    let mut world = World::bundled(&[]);
    world.facts().bundles = None;
    world.pin();
    assert_eq!(world.verdict(), pinned);
}

/// Signatures of every kind, the first three of which are good.
static POOL: LazyLock<Vec<BundleFacts>> = LazyLock::new(|| {
    let mut broken = good().bundle();
    broken["dsseEnvelope"]["signatures"][0]["sig"] =
        good().bundle()["dsseEnvelope"]["signatures"][0]["sig"].clone();
    let shapes = [
        good(),
        by("https://github.com/example/second"),
        keyed(),
        signed_at(3),
        Shape {
            log: Log::V1,
            ..keyed()
        },
        by("https://github.com/example/stranger"),
        Shape {
            content: Content::Statement("https://spdx.dev/Document"),
            ..good()
        },
        Shape {
            artifact: b"another".to_vec(),
            ..good()
        },
        Shape {
            logged_at: hour(1),
            ..good()
        },
    ];
    let mut all: Vec<_> = shapes.iter().map(|shape| facts(&shape.bundle())).collect();
    all.push(facts(&broken));
    all.push(BundleFacts::read(b"junk"));
    all
});

fn worlds() -> impl Strategy<Value = World> {
    let bundles = subsequence(POOL.clone(), 0..=6).prop_shuffle();
    let lives = (0..8_u8, 0..8_u8, 0..8_u8);
    let rule = (1..=3_u32, any::<bool>(), any::<bool>(), any::<bool>());
    (bundles, lives, rule).prop_map(|(bundles, lives, (threshold, pgp, listed, reject))| {
        let mut world = World::bundled(&[]);
        world.put(bundles);
        let second = identity("second", "https://github.com/example/second");
        world.sigstore.identities.push(second);
        world.sigstore.keys = vec![public_key("board")];
        if pgp {
            world.facts().provenance = World::good().facts().provenance.clone();
        }
        world.signers(
            if listed {
                &["alice", "board"][..]
            } else {
                &["alice"][..]
            },
            threshold,
        );
        world.verify().signers.identities = ["release".to_owned(), "second".to_owned()].into();
        if reject {
            world.verify().expired_keys = ExpiredKeys::Reject;
        }
        live(&mut world.sigstore.identities[0].identity, lives.0);
        live(&mut world.sigstore.identities[1].identity, lives.1);
        match lives.2 {
            0 => world.revoke_key(RevocationReason::Compromised, None),
            1 => world.revoke_key(RevocationReason::Retired, Some(hour(1))),
            2 => world.public().not_after = Some(at("2026-12-15T00:00:00Z")),
            3 => world.public().transparency = Transparency::Required,
            4 => _ = world.revoke("alice", RevocationReason::Compromised),
            _ => {}
        }
        world
    })
}

fn live(identity: &mut Identity, life: u8) {
    match life {
        0 => identity.revocation = revoked(RevocationReason::Compromised, &[(2, Some(5))]),
        1 => identity.revocation = revoked(RevocationReason::Unspecified, &[]),
        2 => identity.revocation = revoked(RevocationReason::Retired, &[(1, None)]),
        3 => identity.not_after = Some(at("2026-12-15T00:00:00Z")),
        _ => {}
    }
}

fn is_bad(verdict: Verdict) -> bool {
    verdict.class() == Class::Badness
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn the_order_of_bundles_decides_nothing(world in worlds()) {
        let mut other = world.clone();
        other.facts().bundles.as_mut().unwrap().signatures.reverse();
        other.sigstore.identities.reverse();
        prop_assert_eq!(world.verdict(), other.verdict());
    }

    #[test]
    fn one_more_bundle_takes_no_trust_and_only_a_good_one_gives_any(
        world in worlds(),
        which in any::<Index>(),
    ) {
        let mut more = world.clone();
        let index = which.index(POOL.len());
        more.facts().bundles.as_mut().unwrap().signatures.push(POOL[index].clone());
        let (before, after) = (world.verdict(), more.verdict());
        prop_assert!(!before.is_trusted() || after.is_trusted(), "{before}, then {after}: {}", messages(&more));
        let is_good = index < 5;
        prop_assert!(is_good || before.is_trusted() || !after.is_trusted(), "{index}: {before}, then {after}");
        // Whoever adds what is not about it cannot hide that it is bad.
        prop_assert!(is_good || !is_bad(before) || is_bad(after), "{index}: {before}, then {after}");
    }

    #[test]
    fn time_alone_makes_nothing_bad_by_bundles(world in worlds(), days in 0..400_i64) {
        let mut world = world;
        world.forget();
        let before = is_bad(world.verdict());
        world.now += SignedDuration::from_hours(24 * days);
        prop_assert!(before || !is_bad(world.verdict()), "{}", messages(&world));
    }

    #[test]
    fn a_revocation_gives_no_trust(world in worlds(), life in 0..4_u8, which in select(vec![0, 1])) {
        let mut revoked = world.clone();
        revoked.sigstore.identities[which].identity.revocation = None;
        let before = revoked.verdict();
        live(&mut revoked.sigstore.identities[which].identity, life);
        prop_assert!(before.is_trusted() || !revoked.verdict().is_trusted());
    }
}
