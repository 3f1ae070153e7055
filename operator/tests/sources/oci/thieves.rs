//! What a registry, whoever may push to it and whoever stands between make of signatures: the real binary, against a
//! registry that lies.

use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use super::sigstore::{BUNDLE, IDENTITY, Stage};
use crate::court::{REPOSITORY, SIGNED_CHART};
use crate::forge::{Content as Signed, Key, Shape, World};
use crate::registry::*;

const TRUSTED: (i32, &str) = (0, "ArchiveVerified");
const SILENT: (i32, &str) = (3, "SourceUnavailable");

/// One that answers otherwise where the function says so.
async fn deviating(
    how: impl Fn(&Request, &Content) -> Option<ResponseTemplate> + Send + Sync + 'static,
) -> Stage {
    Stage::of(Registry::named(REPOSITORY, how).await)
}

fn is_referrers(request: &Request) -> bool {
    request.url.path().contains("/referrers/")
}

fn index(all: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": all})
}

#[tokio::test]
async fn what_strangers_publish_beside_a_chart_counts_for_nobody() {
    let theirs = World::called("theirs");
    let stolen = Key::new();
    let stage = Stage::new().await;
    // The older form, by an authority and a key of the stranger's own.
    let by_others = Shape {
        artifact: stage.manifest.clone(),
        ..theirs.good()
    };
    stage.simple(&by_others);
    Stage::is(stage.verify(&IDENTITY).await, 1, "SignerNotTrusted");
    stage.simple(&Shape {
        artifact: stage.manifest.clone(),
        ..stage.world.keyed(&stolen)
    });
    Stage::is(stage.verify(&IDENTITY).await, 1, "SignerNotTrusted");
    // Beside it a good one is enough.
    stage.refer_by_tag(&[stage.good()]);
    Stage::is(stage.verify(&IDENTITY).await, TRUSTED.0, TRUSTED.1);
}

#[tokio::test]
async fn ten_thousand_referrers_cost_no_more_than_those_that_are_looked_at() {
    let stage = Stage::new().await;
    let content = &stage.registry.content;
    let rubbish = |number: usize| {
        let digest = charttrust_verify::digest::Sha256Digest::of(&number.to_be_bytes());
        let mut said = descriptor(MANIFEST, &digest, 700);
        said["artifactType"] = BUNDLE.into();
        said
    };
    let mut all: Vec<_> = (0..10_000).map(rubbish).collect();
    content.list_referrers(index(&all).to_string().into_bytes());
    Stage::is(stage.verify(&IDENTITY).await, SILENT.0, SILENT.1);
    let asked = stage.registry.asked().await.len();
    assert!(asked < 45, "{asked}");
    // A good one among the first is found.
    let good: Value = serde_json::from_slice(&stage.index(&[stage.good()])).unwrap();
    all.insert(7, good["manifests"][0].clone());
    content.list_referrers(index(&all).to_string().into_bytes());
    Stage::is(stage.verify(&IDENTITY).await, TRUSTED.0, TRUSTED.1);
}

#[tokio::test]
async fn lists_that_lead_back_to_themselves_end() {
    // To itself, or to another that leads back.
    for (pages, expected, asked) in [
        (["", ""], SILENT, 1),
        (["n=1", "n=2"], (3, "LimitExceeded"), 10),
    ] {
        let stage = deviating(move |request, _| {
            let answer = ResponseTemplate::new(200).set_body_json(index(&[]));
            let [one, other] = pages;
            let is_one = request.url.query() == Some(one);
            let (path, next) = (request.url.path(), if is_one { other } else { one });
            let mark = if next.is_empty() { "" } else { "?" };
            let link = format!("<{path}{mark}{next}>; rel=\"next\"");
            is_referrers(request).then(|| answer.append_header("link", link.as_str()))
        })
        .await;
        Stage::is(stage.verify(&IDENTITY).await, expected.0, expected.1);
        let lines = stage.registry.asked().await;
        let lists = lines.iter().filter(|line| line.contains("referrers"));
        assert_eq!(lists.count(), asked, "{lines:?}");
    }

    // An index that lists itself as far as a digest can, under every tag that is asked for.
    let stage = Stage::new().await;
    let inner = index(&[]).to_string().into_bytes();
    let inner = descriptor(INDEX, &stage.registry.content.untagged(&inner), inner.len());
    let mut lying = inner.clone();
    lying["mediaType"] = MANIFEST.into();
    lying["artifactType"] = BUNDLE.into();
    let outer = index(&[inner, lying]).to_string().into_bytes();
    stage.registry.content.tag(&stage.tag_of(), outer.clone());
    stage
        .registry
        .content
        .tag(&format!("{}.sig", stage.tag_of()), outer);
    Stage::is(stage.verify(&IDENTITY).await, SILENT.0, SILENT.1);
}

#[tokio::test]
async fn other_bytes_than_were_asked_for_are_no_signature_and_hide_none() {
    // Whatever else is asked for by digest, the manifest of somebody else comes.
    let forged = deviating(|request, content| {
        let own = content.manifest(&[(ARCHIVE, SIGNED_CHART)]).to_string();
        let own = charttrust_verify::digest::Sha256Digest::of(own.as_bytes());
        let path = request.url.path();
        let is_other = path.contains("/manifests/sha256:") && !path.ends_with(&own.to_string());
        let other = json!({"schemaVersion": 2, "artifactType": BUNDLE, "layers": []});
        is_other.then(|| ResponseTemplate::new(200).set_body_json(other))
    })
    .await;
    forged.refer(&[forged.good()]);
    Stage::is(forged.verify(&IDENTITY).await, SILENT.0, SILENT.1);
    forged.simple(&forged.good());
    Stage::is(forged.verify(&IDENTITY).await, TRUSTED.0, TRUSTED.1);

    // A second list at each look: one look sees one.
    let turns = std::sync::atomic::AtomicUsize::new(0);
    let changing = deviating(move |request, _| {
        let turn = turns.fetch_add(
            usize::from(is_referrers(request)),
            std::sync::atomic::Ordering::SeqCst,
        );
        let answer = || ResponseTemplate::new(200).set_body_json(index(&[]));
        (is_referrers(request) && turn.is_multiple_of(2)).then(answer)
    })
    .await;
    changing.refer(&[changing.good()]);
    Stage::is(changing.verify(&IDENTITY).await, 1, "Unsigned");
    Stage::is(changing.verify(&IDENTITY).await, TRUSTED.0, TRUSTED.1);
}

#[tokio::test]
async fn a_list_that_is_elsewhere_or_encoded_is_not_taken() {
    for (header, value, code) in [
        ("location", "http://169.254.169.254/latest/meta-data", 307),
        ("location", "http://[::1]:1/v2/", 302),
        ("content-encoding", "gzip", 200),
    ] {
        let stage = deviating(move |request, _| {
            let answer = ResponseTemplate::new(code).append_header(header, value);
            is_referrers(request).then(|| answer.set_body_json(index(&[])))
        })
        .await;
        Stage::is(stage.verify(&IDENTITY).await, SILENT.0, SILENT.1);
    }
}

/// A manifest of the chart that could be read in two ways is signed by nobody who signs one of them.
#[tokio::test]
async fn a_signature_of_a_manifest_with_two_archives_is_one_of_neither() {
    let mut stage = Stage::new().await;
    let content = &stage.registry.content;
    let mut manifest = content.manifest(&[(ARCHIVE, SIGNED_CHART), (ARCHIVE, b"another")]);
    manifest["mediaType"] = MANIFEST.into();
    stage.registry.tag(crate::court::VERSION, &manifest);
    stage.manifest = manifest.to_string().into_bytes();
    stage.refer(&[stage.good()]);
    Stage::is(stage.verify(&IDENTITY).await, 1, "ArchiveAmbiguous");
    // And the manifest of an index is signed where the index is.
    let stage = Stage::new().await;
    let sbom = Shape {
        content: Signed::Statement("https://spdx.dev/Document"),
        ..stage.good()
    };
    stage.refer(&[sbom, stage.good()]);
    Stage::is(stage.verify(&IDENTITY).await, TRUSTED.0, TRUSTED.1);
}
