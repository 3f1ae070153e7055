//! Who may issue: the certificates of the trusted root, and nobody whom a bundle brings along.

use charttrust_verify::sigstore::{Artifact, ClaimedBundle, Code, Means, TrustedRoot, verify};
use serde_json::{Value, json};

use crate::forge::{Certificate, Key, Log, MANIFEST, Shape, World, base64, claimed, root};

/// A company's authority with two below it: one issues to workflows, the other is in other hands.
struct Company {
    /// The one that issues to workflows, by its certificate.
    world: World,
    above: Vec<u8>,
    other: Key,
    other_certificate: Vec<u8>,
}

impl Company {
    fn new() -> Self {
        let (mut world, above, other) = (World::new(), Key::new(), Key::new());
        let name = world.name.clone();
        let issued = |subject: &str, key: &Key| {
            let certificate = Certificate {
                issuer: format!("company {name}"),
                ..Certificate::authority(subject)
            };
            certificate.signed(&key.spki(), &above)
        };
        world.fulcio_certificate = issued(&format!("fulcio {name}"), &world.fulcio);
        let other_certificate = issued(&format!("other {name}"), &other);
        let above =
            Certificate::authority(&format!("company {name}")).signed(&above.spki(), &above);
        Self {
            world,
            above,
            other,
            other_certificate,
        }
    }

    /// The root with these certificates as chain of its one authority.
    fn root(&self, chain: &[&[u8]]) -> TrustedRoot {
        let mut json = self.world.root_json();
        let chain = chain.iter().map(|der| json!({"rawBytes": base64(der)}));
        json["certificateAuthorities"][0]["certChain"]["certificates"] = chain.collect();
        root(&json)
    }

    /// A signature in the name of the workflow by a certificate that the other authority has issued. It is a
    /// world of its own, but for the logs, to which everybody may write.
    fn forged(self) -> (Value, Vec<u8>) {
        let world = World {
            name: self.world.name.clone(),
            fulcio: self.other,
            ..self.world
        };
        let by = format!("other {}", world.name);
        let shape = Shape {
            issued_by: Some(&by),
            ..world.good()
        };
        (shape.bundle(), self.other_certificate)
    }
}

/// The bundle in the form that has a chain.
fn with_chain(bundle: &Value, intermediate: &[u8]) -> ClaimedBundle {
    let mut bundle = bundle.clone();
    bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1");
    let material = bundle["verificationMaterial"].as_object_mut().unwrap();
    let leaf = material.remove("certificate").unwrap();
    let chain = json!({"certificates": [leaf, {"rawBytes": base64(intermediate)}]});
    material.insert("x509CertificateChain".to_owned(), chain);
    claimed(&bundle)
}

#[test]
fn an_authority_that_a_bundle_brings_along_issues_for_nobody() {
    let company = Company::new();
    let root = company.root(&[&company.world.fulcio_certificate, &company.above]);
    let good = Shape {
        log: Log::V1,
        ..company.world.good()
    };
    let good = good.bundle();
    let own = with_chain(&good, &company.world.fulcio_certificate);
    for claimed in [claimed(&good), own] {
        let outcome = verify(&claimed, Artifact::Bytes(MANIFEST), Means::Identity(&root));
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    let (forged, intermediate) = company.forged();
    let forged = with_chain(&forged, &intermediate);
    let outcome = verify(&forged, Artifact::Bytes(MANIFEST), Means::Identity(&root));
    assert_eq!(
        outcome.map_err(|fault| fault.code()).unwrap_err(),
        Code::AuthorityUnknown
    );
}
