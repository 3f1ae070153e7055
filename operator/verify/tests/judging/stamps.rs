//! Stamps of logs of certificates: each identity is judged by its own root, whatever another root asks for.

use std::sync::Arc;

use charttrust_verify::evidence::Answer;
use charttrust_verify::sigstore::{KnownIdentity, Root, TrustedRoot};
use charttrust_verify::verdict::{Reason, Verdict};
use serde_json::Value;

use crate::bundles::{GOOD, facts, identity, messages};
use crate::sigstore::{self, Key, SUBJECT, Shape};
use crate::world::{ARCHIVE, SOURCE, World};

const NOT_TRUSTED: Verdict = Verdict::Untrusted(Reason::SignerNotTrusted);

/// Two roots that differ in their log of certificates alone, and a signature with a stamp of it and one without.
struct Stamps {
    asking: Value,
    silent: Value,
    stamped: Value,
    bare: Value,
}

impl Stamps {
    fn new() -> Self {
        let mut world = sigstore::World {
            certificates: Some(Key::new()),
            ..sigstore::World::called("stamping certificates")
        };
        let signed = |world: &sigstore::World| {
            let shape = Shape {
                artifact: ARCHIVE.clone(),
                ..world.good()
            };
            shape.bundle()
        };
        let (asking, stamped) = (world.root_json(), signed(&world));
        world.certificates = None;
        Self {
            silent: world.root_json(),
            bare: signed(&world),
            asking,
            stamped,
        }
    }

    /// Both roots, in each order of their digests: none may be tried first because of that.
    fn roots(&self) -> [[Arc<TrustedRoot>; 2]; 2] {
        let of = |json: &Value, spaces: usize| {
            let text = format!("{json}{}", " ".repeat(spaces));
            Arc::new(TrustedRoot::parse(text.as_bytes()).unwrap())
        };
        let silent = of(&self.silent, 0);
        let asking = |is_first: bool| {
            let mut all = (0..).map(|spaces| of(&self.asking, spaces));
            all.find(|root| (root.digest() < silent.digest()) == is_first)
        };
        [true, false].map(|is_first| [asking(is_first).unwrap(), silent.clone()])
    }
}

fn called(name: &str, root: &Arc<TrustedRoot>) -> KnownIdentity {
    KnownIdentity {
        root: Root::Known(root.clone()),
        ..identity(name, SUBJECT)
    }
}

/// A world in which these are known and one of them is listed.
fn listing(name: &str, known: &[KnownIdentity], bundle: &Value) -> World {
    let mut world = World::bundled(&[]);
    world.sigstore.identities = known.to_vec();
    world.verify().signers.identities = [name.to_owned()].into();
    world.put(vec![facts(bundle)]);
    world
}

#[test]
fn each_identity_is_judged_by_what_its_own_root_asks_for() {
    let stamps = Stamps::new();
    for [asking, silent] in stamps.roots() {
        let both = [called("asks", &asking), called("silent", &silent)];
        for (bundle, name, expected) in [
            (&stamps.stamped, "asks", GOOD),
            (&stamps.stamped, "silent", GOOD),
            (&stamps.bare, "asks", NOT_TRUSTED),
            (&stamps.bare, "silent", GOOD),
        ] {
            let world = listing(name, &both, bundle);
            assert_eq!(world.verdict(), expected, "{name}: {}", messages(&world));
            // As if the other were not there.
            let alone: Vec<_> = both
                .iter()
                .filter(|one| one.identity.name == name)
                .cloned()
                .collect();
            let alone = listing(name, &alone, bundle).verdict();
            assert_eq!(alone, expected, "{name} alone");
        }
    }
}

/// The bytes are gone when somebody is declared who asks for a stamp: the source is looked at again, and only then.
#[test]
fn a_stamp_that_nobody_asked_for_is_looked_for_when_somebody_does() {
    let stamps = Stamps::new();
    let [[asking, silent], _] = stamps.roots();
    for (bundle, expected) in [(&stamps.stamped, GOOD), (&stamps.bare, NOT_TRUSTED)] {
        let mut world = listing("silent", &[called("silent", &silent)], bundle);
        world.forget();
        assert_eq!(world.verdict(), GOOD);
        assert!(!world.evidence.wants_bundle(SOURCE, &world.sigstore));
        world.sigstore.identities.push(called("asks", &asking));
        world.verify().signers.identities = ["asks".to_owned()].into();
        assert_eq!(world.verdict(), NOT_TRUSTED, "not before it was seen");
        assert!(
            messages(&world).contains("asks for a stamp"),
            "{}",
            messages(&world)
        );
        assert!(world.evidence.wants_bundle(SOURCE, &world.sigstore));
        let mut shown = world.facts().clone();
        let again = facts(bundle);
        shown.bundles.as_mut().unwrap().signatures = vec![again];
        let asked = world.clone();
        let answer = Answer::Archive(Box::new(shown));
        world.evidence.apply(SOURCE, answer, &asked.judged_by());
        world.try_keys();
        assert_eq!(world.verdict(), expected, "{}", messages(&world));
        // Of what holds no bytes are kept.
        assert!(world.evidence.take_bundles().is_empty());
    }
}
