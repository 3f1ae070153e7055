//! What whoever has stolen an identity or a key, or may write beside a chart, makes of Sigstore signatures.

use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use charttrust_verify::bundles::{BundleFacts, Bundles};
use charttrust_verify::evidence::{Answer, ProvenanceFacts};
use charttrust_verify::key::RevocationReason;
use charttrust_verify::sigstore::{PublicKey, Root, SubjectRule, TrustedPublicKey};
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

