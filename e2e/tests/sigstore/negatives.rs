//! What must not be trusted, and why, in one word: made by real tools, with both kinds of registries.

use charttrust::sources::{self, Asked, Signed};
use charttrust_e2e::registry::Kind;
use charttrust_e2e::sigstore::Job;
use charttrust_e2e::sigstore::Version::{V2, V3};
use charttrust_verify::bundles::ManifestFacts;
use charttrust_verify::chart;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::sigstore::{Root, SigstoreSigners, Transparency, TrustedRoot};
use serde_json::{Value, json};

use crate::ours;
use crate::setup::{Place, Pushed, Signer, world};

const BOTH: [Kind; 2] = [Kind::Distribution, Kind::WithReferrers];
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Signs as the pipeline, with a log entry and a timestamp.
const AS_JOB: &[&str] = &["--identity-token", "{token}", "--signing-config", "{all}"];
const WITH_KEY: &[&str] = &["--key", "{private}", "--signing-config", "{none}"];

async fn sign(pushed: &Pushed, words: &[&str], more: &[(&str, &str)]) {
    let fixed = [
        "sign",
        "-y",
        "--allow-http-registry",
        "--trusted-root",
        "{root}",
    ];
    let words = [&fixed, words, &[pushed.image.as_str()]].concat();
    world().await.run(V3, &words, more).await.unwrap();
}

/// Has a bundle lie beside another chart than the one that it signs.
async fn attach(place: &Place, pushed: &Pushed, bundle: &str) {
    let name = format!("attached-{}.json", Sha256Digest::of(bundle.as_bytes()));
    let file = world().await.file(&name.replace(':', "-"), bundle);
    let blob = format!("{}:{BUNDLE}", file.display());
    let words = [
        "attach",
        "--plain-http",
        "--disable-path-validation",
        "--artifact-type",
        BUNDLE,
    ];
    place
        .oras(&[&words, &[pushed.image.as_str(), &blob][..]].concat())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_another_chart_is_a_mismatch() {
    let world = world().await;
    for kind in BOTH {
        let place = Place::new(kind).await;
        for (signer, by) in [(Signer::Job, AS_JOB), (Signer::Key, WITH_KEY)] {
            let ours = place.push(&format!("ours-{signer:?}").to_lowercase()).await;
            let other = place
                .push(&format!("other-{signer:?}").to_lowercase())
                .await;
            let file = world.file("other.sigstore.json", "");
            let path = file.to_string_lossy().into_owned();
            let words = [by, &["--bundle", path.as_str()]].concat();
            sign(&other, &words, &[]).await;
            attach(&place, &ours, &std::fs::read_to_string(file).unwrap()).await;
            let judged = ours::judged(&place.registry, &ours, &world.believed(signer)).await;
            assert_eq!(
                judged.word, "DigestMismatch",
                "{kind:?} {signer:?} {judged:?}"
            );
        }
    }
}

/// Whoever attests what is in a chart does not approve of it. cosign 3 verifies it as if he did.
#[tokio::test(flavor = "multi_thread")]
async fn an_attestation_is_no_signature() {
    let world = world().await;
    let predicate = world.file("predicate.json", "{}");
    let predicate = predicate.to_string_lossy();
    for kind in BOTH {
        let place = Place::new(kind).await;
        for (name, words, signer) in [
            ("sbom", ["--type", "spdxjson"], Signer::Job),
            ("origin", ["--type", "slsaprovenance1"], Signer::Key),
        ] {
            let pushed = place.push(name).await;
            let (by, believed) = (signer.signs(), signer.is_believed());
            let logged = &["--signing-config", "{all}"];
            let fixed = [
                "attest",
                "-y",
                "--allow-http-registry",
                "--trusted-root",
                "{root}",
                "--predicate",
                &predicate,
            ];
            let all = [&fixed, &words[..], by, logged, &[pushed.image.as_str()]].concat();
            world.run(V3, &all, &[]).await.unwrap();
            let judged = ours::judged(&place.registry, &pushed, &world.believed(signer)).await;
            assert_eq!(judged.word, "Unsigned", "{kind:?} {name} {judged:?}");
            assert!(judged.has("NotASignature"), "{kind:?} {name} {judged:?}");
            let fixed = [
                "verify",
                "--allow-http-registry",
                "--trusted-root",
                "{root}",
            ];
            let all = [&fixed, believed, &[pushed.image.as_str()]].concat();
            let cosign = world.run(V3, &all, &[]).await;
            assert!(cosign.is_ok(), "cosign 3 has learned: {name} {cosign:?}");
        }
    }
}

/// Under an `.att` tag, where nobody looks for signatures.
#[tokio::test(flavor = "multi_thread")]
async fn an_attestation_of_cosign_2_is_no_signature() {
    let world = world().await;
    let predicate = world.file("predicate-2.json", "{}");
    let predicate = predicate.to_string_lossy();
    let place = Place::new(Kind::Distribution).await;
    let pushed = place.push("sbom").await;
    let words = [
        "attest",
        "-y",
        "--allow-http-registry",
        "--trusted-root",
        "{root}",
        "--type",
        "spdxjson",
        "--predicate",
        &predicate,
        "--key",
        "{private}",
        "--tlog-upload=false",
        &pushed.image,
    ];
    world.run(V2, &words, &[]).await.unwrap();
    let judged = ours::judged(&place.registry, &pushed, &world.believed(Signer::Key)).await;
    assert_eq!(judged.word, "Unsigned", "{judged:?}");
}

/// The same name by another issuer, names that begin alike, and an authority that the root does not have.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_is_not_trusted() {
    let world = world().await;
    let place = Place::new(Kind::Distribution).await;
    let release = "https://github.com/example/charts/.github/workflows/release.yml@refs/tags/v*";
    let glob = world.named(&json!({"subject": {"glob": release}}));
    let anybody = json!({"glob": "https://github.com/example/**@refs/tags/v*"});
    let anybody = world.named(&json!({"subject": anybody}));
    let claims = json!({
        "subject": {"glob": release},
        "claims": {"sourceRepository": "https://github.com/example/other"},
    });
    let claims = world.named(&claims);
    let token = |job: &Job| world.token(&world.sigstore.token(job).unwrap());
    let other_issuer = world.sigstore.other_token(&world.job).unwrap();
    let own = token(&world.job);
    let mut workflow = world.job.clone();
    workflow.workflow = workflow.workflow.replace("release.yml", "test.yml");
    let mut branch = world.job.clone();
    branch.workflow = branch
        .workflow
        .replace("refs/tags/v1.0.0", "refs/heads/main");
    for (name, token, signers, word) in [
        ("own", own.clone(), &glob, "ArchiveVerified"),
        ("owner", own.clone(), &anybody, "ArchiveVerified"),
        (
            "issuer",
            world.token(&other_issuer),
            &glob,
            "SignerNotTrusted",
        ),
        (
            "evil",
            token(&Job::release("example/charts-evil", "1.0.0")),
            &glob,
            "SignerNotTrusted",
        ),
        (
            "owner-evil",
            token(&Job::release("example-evil/charts", "1.0.0")),
            &anybody,
            "SignerNotTrusted",
        ),
        ("workflow", token(&workflow), &glob, "SignerNotTrusted"),
        ("branch", token(&branch), &glob, "SignerNotTrusted"),
        ("claims", own.clone(), &claims, "SignerNotTrusted"),
        (
            "root",
            own.clone(),
            &by_another_root(&glob),
            "SignerNotTrusted",
        ),
    ] {
        let pushed = place.push(name).await;
        sign(&pushed, AS_JOB, &[("{token}", &token)]).await;
        let judged = ours::judged(&place.registry, &pushed, signers).await;
        assert_eq!(judged.word, word, "{name} {judged:?}");
    }
}

fn by_another_root(signers: &SigstoreSigners) -> SigstoreSigners {
    let mut signers = signers.clone();
    let root = Root::Known(TrustedRoot::public_good().unwrap().into());
    for one in &mut signers.identities {
        one.root = root.clone();
    }
    signers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_demands_transparency_is_not_enough_alone() {
    let world = world().await;
    let mut signers = world.believed(Signer::Key);
    signers.keys[0].trusted.transparency = Transparency::Required;
    let place = Place::new(Kind::Distribution).await;
    let logged = &["--key", "{private}", "--signing-config", "{all}"][..];
    for (name, words, word) in [
        ("alone", WITH_KEY, "TransparencyMissing"),
        ("logged", logged, "ArchiveVerified"),
    ] {
        let pushed = place.push(name).await;
        sign(&pushed, words, &[]).await;
        let judged = ours::judged(&place.registry, &pushed, &signers).await;
        assert_eq!(judged.word, word, "{name} {judged:?}");
    }
}

/// More is published beside a chart than is looked at, and the good one comes last.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_behind_too_much_is_not_found_and_that_is_told() {
    let world = world().await;
    let place = Place::new(Kind::Distribution).await;
    for (junk, word) in [(31, "ArchiveVerified"), (32, "LimitExceeded")] {
        let pushed = place.push(&format!("behind-{junk}")).await;
        sign(&pushed, AS_JOB, &[]).await;
        behind(&place, &pushed, junk).await;
        let judged = ours::judged(&place.registry, &pushed, &world.believed(Signer::Job)).await;
        assert_eq!(judged.word, word, "{junk} {judged:?}");
    }
}

/// Puts what is called a bundle and is none before those that are listed.
async fn behind(place: &Place, pushed: &Pushed, junk: usize) {
    let repository = format!("charts/{}", pushed.chart.name);
    let (_, digest) = pushed.image.split_once('@').unwrap();
    let tag = digest.replace(':', "-");
    let registry = &place.registry;
    let listed = registry.manifest((&repository, &tag)).await.unwrap();
    let mut all = Vec::new();
    for number in 0..junk {
        let content = json!({"junk": number}).to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
            "config": described(EMPTY, b"{}"), "layers": [described(BUNDLE, &content)],
            "subject": {"mediaType": MANIFEST, "digest": digest, "size": 1},
        });
        let mut descriptor = described(MANIFEST, manifest.to_string().as_bytes());
        let named = descriptor["digest"].as_str().unwrap().to_owned();
        let blobs = [&b"{}"[..], &content];
        registry
            .put((&repository, &named), &manifest, &blobs)
            .await
            .unwrap();
        descriptor["artifactType"] = BUNDLE.into();
        all.push(descriptor);
    }
    all.extend(listed["manifests"].as_array().unwrap().iter().cloned());
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": all});
    registry
        .put((&repository, &tag), &index, &[])
        .await
        .unwrap();
}

fn described(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Sha256Digest::of(bytes), "size": bytes.len()})
}

/// Whoever may write beside a chart can take its signatures away, and add nothing to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_written_over_leaves_the_chart_unsigned() {
    let world = world().await;
    let place = Place::new(Kind::Distribution).await;
    let pushed = place.push("web").await;
    sign(&pushed, AS_JOB, &[]).await;
    let signers = world.believed(Signer::Job);
    let judged = ours::judged(&place.registry, &pushed, &signers).await;
    assert_eq!(judged.word, "ArchiveVerified", "{judged:?}");
    let (_, digest) = pushed.image.split_once('@').unwrap();
    let tag = digest.replace(':', "-");
    let none: [Value; 0] = [];
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": none});
    place
        .registry
        .put(("charts/web", &tag), &index, &[])
        .await
        .unwrap();
    let judged = ours::judged(&place.registry, &pushed, &signers).await;
    assert_eq!(judged.word, "Unsigned", "{judged:?}");
}

/// What was fetched is what is judged, whatever the tag stands for by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moves_meanwhile_changes_nothing() {
    let world = world().await;
    for kind in BOTH {
        let place = Place::new(kind).await;
        let pushed = place.push("web").await;
        sign(&pushed, AS_JOB, &[]).await;
        let fetcher = ours::asking(&place.registry);
        let source = sources::Source::at(pushed.source(&place.registry));
        let fetched = fetcher.fetch(&source, "web", "1.0.0").await.unwrap();
        let manifest = fetched.manifest.unwrap();
        let bytes = std::fs::read(&pushed.chart.archive).unwrap();
        let other = place.push_changed("web").await;
        assert_ne!(other.image, pushed.image);
        let signed = Signed {
            chart: "web",
            version: "1.0.0",
            manifest: Some(manifest),
        };
        let found = fetcher
            .signatures(&source, signed, Asked::now())
            .await
            .unwrap();
        let archive = chart::read(&bytes, &ArchiveLimits::default()).unwrap();
        let facts = |digest: Sha256Digest| ManifestFacts {
            digest,
            layer: archive.digest,
        };
        let bundles = ours::bundles(&found, Some(facts(manifest)));
        let judged = ours::judged_with(&archive, bundles, &world.believed(Signer::Job));
        assert_eq!(judged.word, "ArchiveVerified", "{kind:?} {judged:?}");
        let judged = ours::judged(&place.registry, &other, &world.believed(Signer::Job)).await;
        assert_eq!(judged.word, "Unsigned", "{kind:?} {judged:?}");
    }
}
