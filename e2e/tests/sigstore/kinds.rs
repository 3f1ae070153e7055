//! Kinds of keys and hashes that publishers use and cosign does not make by itself.

use aws_lc_rs::digest::{Digest, SHA256, SHA512, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use charttrust_e2e::registry::Kind;
use charttrust_e2e::sigstore::Algorithm;
use charttrust_e2e::sigstore::Version::V3;
use charttrust_verify::sigstore::SigstoreSigners;

use crate::ours::{self, Judged};
use crate::setup::{Place, bare, world};

/// cert-manager: a key on P-256 in a service that hashes with SHA-512, under a `.sig` tag and in no log.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_with_sha_512_counts() {
    let world = world().await;
    let place = Place::new(Kind::Distribution).await;
    let pushed = place.push("web").await;
    let image = pushed.image.as_str();
    let payload = world
        .run(V3, &["generate", "--allow-http-registry", image], &[])
        .await
        .unwrap();
    let payload = payload.trim_end();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    // ECDSA takes the leftmost bits of a longer digest.
    let long = digest(&SHA512, payload.as_bytes());
    let cut = Digest::import_less_safe(&long.as_ref()[..32], &SHA256).unwrap();
    let signature = BASE64_STANDARD.encode(pair.sign_digest(&cut).unwrap());
    let public = pair.public_key().as_der().unwrap();
    let public = BASE64_STANDARD.encode(public.as_ref());
    let public = format!("-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n");
    let file = |name: &str, content: &str| {
        let path = world.file(name, content);
        path.to_string_lossy().into_owned()
    };
    let key = file("long.pub", &public);
    let (payload, signature) = (file("payload", payload), file("signature", &signature));
    let attach = [
        "attach",
        "signature",
        "--allow-http-registry",
        "--payload",
        &payload,
        "--signature",
        &signature,
        image,
    ];
    world.run(V3, &attach, &[]).await.unwrap();
    let verify = [
        "verify",
        "--allow-http-registry",
        "--insecure-ignore-tlog",
        "--key",
        &key,
    ];
    let long = [
        &verify[..],
        &["--signature-digest-algorithm", "sha512", image],
    ]
    .concat();
    world.run(V3, &long, &[]).await.unwrap();
    let short = [&verify[..], &[image]].concat();
    world.run(V3, &short, &[]).await.unwrap_err();
    let signers = SigstoreSigners {
        keys: vec![bare(public.as_bytes(), &world.root())],
        ..SigstoreSigners::default()
    };
    let judged = ours::judged(&place.registry, &pushed, &signers).await;
    assert_eq!(judged.word, "ArchiveVerified", "{judged:?}");
}

/// A larger curve has a longer hash, which cosign has to be told when it verifies, and is not when it signs.
#[tokio::test(flavor = "multi_thread")]
async fn a_larger_curve_counts() {
    let said = signed_with("curve", Algorithm::EcdsaP384, "sha384").await;
    for (form, cosign, judged) in said {
        assert_eq!(cosign, [false, true], "{form}");
        assert_eq!(judged.word, "ArchiveVerified", "{form} {judged:?}");
    }
}

/// cosign signs the hash of a hash with such a key, and verifies otherwise: nobody verifies it, and nothing says that
/// it is broken.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_signs_no_digest_is_not_verified_by_anybody() {
    let said = signed_with("edwards", Algorithm::Ed25519, "sha512").await;
    for (form, cosign, judged) in said {
        assert_eq!(cosign, [false, false], "{form}");
        // A bundle names its key, and a `.sig` tag does not.
        let word = match form {
            "bundle" => "WeakSignature",
            _ => "SignerNotTrusted",
        };
        assert_eq!(judged.word, word, "{form} {judged:?}");
    }
}

/// A bundle and a `.sig` tag by a key: whether `cosign verify` finds them good, as it is and with a hash, and what we
/// say.
async fn signed_with(
    name: &str,
    algorithm: Algorithm,
    hash: &str,
) -> Vec<(&'static str, [bool; 2], Judged)> {
    let world = world().await;
    let place = Place::new(Kind::Distribution).await;
    let key = world.cosign(V3).make_key(name, algorithm).await.unwrap();
    let signers = SigstoreSigners {
        keys: vec![bare(&std::fs::read(&key.public).unwrap(), &world.root())],
        ..SigstoreSigners::default()
    };
    let (private, public) = (key.private.to_string_lossy(), key.public.to_string_lossy());
    let bundle = &["--signing-config", "{none}"][..];
    let tag = &[
        "--new-bundle-format=false",
        "--use-signing-config=false",
        "--tlog-upload=false",
    ][..];
    let mut said = Vec::new();
    for (form, how) in [("bundle", bundle), ("tag", tag)] {
        let pushed = place.push(&format!("{name}-{form}")).await;
        let image = pushed.image.as_str();
        let fixed = ["sign", "-y", "--allow-http-registry", "--key", &private];
        let words = [&fixed, how, &[image]].concat();
        world.run(V3, &words, &[]).await.unwrap();
        let verify = [
            "verify",
            "--allow-http-registry",
            "--insecure-ignore-tlog",
            "--key",
            &public,
        ];
        let mut cosign = [false; 2];
        for (found, more) in cosign
            .iter_mut()
            .zip([&[][..], &["--signature-digest-algorithm", hash]])
        {
            let words = [&verify, more, &[image]].concat();
            *found = world.run(V3, &words, &[]).await.is_ok();
        }
        said.push((
            form,
            cosign,
            ours::judged(&place.registry, &pushed, &signers).await,
        ));
    }
    said
}
