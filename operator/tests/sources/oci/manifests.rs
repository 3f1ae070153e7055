//! Manifests, indexes and blobs that are not what they should be: the exact verdict each.

use charttrust::sources::{Cause, FetchError, ProvenanceAnswer};
use charttrust_verify::digest::Sha256Digest;
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use crate::registry::*;
use crate::server::{
    Answer, CHART, GZIP, Raw, SIGNED, VERSION, fetcher, fetcher_with, http, limits, source,
};

const OTHER: &[u8] = b"\x1f\x8b\x08 another archive";

async fn cause_of(document: impl FnOnce(&Content) -> Value) -> (Cause, String) {
    let registry = Registry::empty().await;
    let document = document(&registry.content);
    registry.tag(VERSION, &document);
    let error = registry.fetch().await.unwrap_err();
    (error.cause(), error.to_string())
}

#[tokio::test]
async fn layers_count_by_their_media_type_in_any_order() {
    let signed = SIGNED.as_bytes();
    for layers in [
        &[(ARCHIVE, GZIP), (PROVENANCE, signed)][..],
        &[(PROVENANCE, signed), (ARCHIVE, GZIP)],
        &[(PROVENANCE, signed), (LEGACY, GZIP)],
        &[
            ("application/vnd.example", OTHER),
            (PROVENANCE, signed),
            (ARCHIVE, GZIP),
        ],
    ] {
        let registry = Registry::empty().await;
        registry.push(VERSION, layers);
        let fetched = registry.fetch().await.unwrap();
        assert_eq!(fetched.archive.content, GZIP);
        assert_eq!(fetched.provenance, ProvenanceAnswer::Present(signed.into()));
    }
}

#[tokio::test]
async fn several_archives_are_ambiguous() {
    for layers in [
        [(ARCHIVE, GZIP), (ARCHIVE, OTHER)],
        [(ARCHIVE, GZIP), (LEGACY, OTHER)],
        [(ARCHIVE, GZIP), (ARCHIVE, GZIP)],
    ] {
        let (cause, text) = cause_of(|content| content.manifest(&layers)).await;
        assert_eq!(cause, Cause::ArchiveAmbiguous);
        assert!(
            text.ends_with("it has several chart archives, and nothing says which one counts"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_holds_no_chart_is_unavailable() {
    for layers in [
        &[][..],
        &[("application/vnd.oci.image.layer.v1.tar+gzip", GZIP)],
    ] {
        let (cause, text) = cause_of(|content| content.manifest(layers)).await;
        assert_eq!(cause, Cause::SourceUnavailable);
        assert!(text.ends_with("it holds no Helm chart"), "{text}");
    }
    let (cause, _) = cause_of(|_| json!("<html>")).await;
    assert_eq!(cause, Cause::SourceUnavailable);
}

/// An index of manifests, each with the media type of its configuration.
fn index(content: &Content, children: &[(&str, &[u8])]) -> Value {
    let child = |(config, archive): &(&str, &[u8])| {
        let mut manifest = content.manifest(&[(ARCHIVE, archive)]);
        manifest["config"]["mediaType"] = (*config).into();
        let bytes = manifest.to_string().into_bytes();
        let size = bytes.len();
        let digest = Sha256Digest::of(&bytes);
        content.tag(&digest.to_string(), bytes);
        descriptor(MANIFEST, &digest, size)
    };
    let manifests: Vec<_> = children.iter().map(child).collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
}

#[tokio::test]
async fn of_an_index_the_one_manifest_counts_that_helm_has_made() {
    let image = "application/vnd.oci.image.config.v1+json";
    let registry = Registry::empty().await;
    let document = index(&registry.content, &[(image, OTHER), (CONFIG, GZIP)]);
    registry.tag(VERSION, &document);
    assert_eq!(registry.fetch().await.unwrap().archive.content, GZIP);
    let two = |content: &Content| index(content, &[(CONFIG, GZIP), (CONFIG, OTHER)]);
    let (cause, text) = cause_of(two).await;
    assert_eq!(cause, Cause::ArchiveAmbiguous, "{text}");
    let (cause, _) = cause_of(|content| index(content, &[(image, GZIP)])).await;
    assert_eq!(cause, Cause::SourceUnavailable);
    let (cause, _) = cause_of(|content| index(content, &[])).await;
    assert_eq!(cause, Cause::SourceUnavailable);
    let of_17 = |content: &Content| {
        let archives: Vec<_> = (0..17).map(|at| [GZIP, &[at]].concat()).collect();
        let children: Vec<_> = archives
            .iter()
            .map(|archive| (image, archive.as_slice()))
            .collect();
        index(content, &children)
    };
    assert_eq!(cause_of(of_17).await.0, Cause::LimitExceeded);
}

#[tokio::test]
async fn a_manifest_that_the_registry_does_not_have_is_unavailable() {
    let digest = Sha256Digest::of(b"gone");
    let missing =
        |_: &Content| json!({"schemaVersion": 2, "manifests": [descriptor(MANIFEST, &digest, 4)]});
    let (cause, text) = cause_of(missing).await;
    assert_eq!(cause, Cause::SourceUnavailable);
    assert!(
        text.ends_with("its index lists it, and the registry does not have it"),
        "{text}"
    );
}

#[tokio::test]
async fn digests_are_computed_and_never_believed() {
    let other = Sha256Digest::of(b"other").to_string();
    let registry = Registry::signed_but(move |request, content| {
        let is_manifest = request.url.path().contains("/manifests/");
        is_manifest.then(|| {
            let manifest = content.manifest(&[(ARCHIVE, GZIP)]);
            let answer = ResponseTemplate::new(200).set_body_json(manifest);
            answer.append_header("docker-content-digest", other.as_str())
        })
    });
    let error = registry.await.fetch().await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    assert!(
        error
            .to_string()
            .ends_with("its digest is another than the registry says"),
        "{error}"
    );
}

#[tokio::test]
async fn a_registry_that_says_no_digest_is_asked_for_the_manifest_again() {
    let without = |request: &wiremock::Request, _: &Content| {
        (request.method == "HEAD").then(|| ResponseTemplate::new(200))
    };
    let (registry, fetcher) = (Registry::signed_but(without).await, fetcher());
    for _ in 0..2 {
        registry.fetch_with(&fetcher).await.unwrap();
    }
    let after = ["HEAD manifests/2.4.1", "GET manifests/2.4.1"];
    assert_eq!(registry.asked().await[3..], after);
}

#[tokio::test]
async fn a_head_that_lies_is_found_out_by_the_digest() {
    let lies = |request: &wiremock::Request, _: &Content| {
        let other = Sha256Digest::of(b"other").to_string();
        let answer =
            ResponseTemplate::new(200).append_header("docker-content-digest", other.as_str());
        (request.method == "HEAD").then_some(answer)
    };
    let (registry, fetcher) = (Registry::signed_but(lies).await, fetcher());
    registry.fetch_with(&fetcher).await.unwrap();
    let error = registry.fetch_with(&fetcher).await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    assert!(
        error
            .to_string()
            .ends_with("the registry names it, and does not have it"),
        "{error}"
    );
}

#[tokio::test]
async fn a_manifest_by_digest_that_is_another_is_refused() {
    let changes = |request: &wiremock::Request, content: &Content| {
        let by_digest = request.url.path().contains("/manifests/sha256:");
        by_digest.then(|| {
            let document = content.manifest(&[(ARCHIVE, OTHER), ("", b"changed")]);
            ResponseTemplate::new(200).set_body_string(document.to_string())
        })
    };
    let (registry, fetcher) = (Registry::signed_but(changes).await, fetcher());
    registry.fetch_with(&fetcher).await.unwrap();
    registry.push(VERSION, &[(ARCHIVE, OTHER)]);
    let error = registry.fetch_with(&fetcher).await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    assert!(
        error
            .to_string()
            .ends_with("its digest is another than was asked for"),
        "{error}"
    );
}

#[tokio::test]
async fn an_encoded_manifest_was_not_asked_for() {
    let encoded = |request: &wiremock::Request, _: &Content| {
        let is_manifest = request.url.path().contains("/manifests/");
        let answer = ResponseTemplate::new(200).set_body_bytes(GZIP);
        is_manifest.then(|| answer.append_header("content-encoding", "gzip"))
    };
    let registry = Registry::signed_but(encoded).await;
    let error = registry.fetch().await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    let requests = registry.server.received_requests().await.unwrap();
    assert_eq!(
        requests[0].headers.get("accept-encoding").unwrap(),
        "identity"
    );
}

#[tokio::test]
async fn a_manifest_has_a_limit_on_both_sides_of_it() {
    for (padding, expected) in [(0, true), (1, false)] {
        let registry = Registry::empty().await;
        let mut document = registry.content.manifest(&[(ARCHIVE, GZIP)]);
        document["x"] = "".into();
        let least = document.to_string().len();
        document["x"] = "x".repeat(4096 - least + padding).into();
        registry.tag(VERSION, &document);
        let limits = charttrust::sources::Limits {
            manifest_bytes: 4096,
            ..limits()
        };
        let fetched = fetcher_with(&["127.0.0.1"], limits);
        let fetched = fetched.fetch(&registry.source(), CHART, VERSION).await;
        assert_eq!(fetched.is_ok(), expected);
        let cause = fetched.err().map(|error| error.cause());
        assert_eq!(cause, (!expected).then_some(Cause::LimitExceeded));
    }
}

/// The manifest says another size or digest than the blob has.
async fn fetch_described(
    kind: &str,
    change: impl Fn(&mut Value),
) -> Result<charttrust::sources::Fetched<Vec<u8>>, FetchError> {
    let registry = Registry::empty().await;
    let mut document = registry
        .content
        .manifest(&[(ARCHIVE, GZIP), (PROVENANCE, SIGNED.as_bytes())]);
    for layer in document["layers"].as_array_mut().unwrap() {
        if layer["mediaType"] == kind {
            change(layer);
        }
    }
    registry.tag(VERSION, &document);
    registry.fetch().await
}

#[tokio::test]
async fn an_archive_has_the_size_that_its_manifest_says() {
    for (size, why) in [
        (GZIP.len() - 1, "it is longer than its manifest says"),
        (GZIP.len() + 1, "it is shorter than its manifest says"),
    ] {
        let error = fetch_described(ARCHIVE, |layer| layer["size"] = size.into())
            .await
            .unwrap_err();
        assert_eq!(error.cause(), Cause::SourceUnavailable);
        assert!(error.to_string().ends_with(why), "{error}");
    }
    let error = fetch_described(ARCHIVE, |layer| layer["size"] = 4097.into())
        .await
        .unwrap_err();
    assert_eq!(error.cause(), Cause::LimitExceeded);
}

#[tokio::test]
async fn an_endless_blob_ends_one_byte_after_its_size() {
    let manifest = Registry::empty()
        .await
        .content
        .manifest(&[(ARCHIVE, GZIP)])
        .to_string();
    let raw = Raw::serve(move |head| {
        if head.contains("/manifests/") {
            return crate::server::ok(manifest.as_bytes());
        }
        Answer::Endless(http("200 OK", GZIP), vec![0; 1024])
    });
    let url = raw.await.url.replace("http://", "oci://");
    let error = fetcher()
        .fetch(&source(format!("{url}/charts")), CHART, VERSION)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("it is longer than its manifest says"),
        "{error}"
    );
}

#[tokio::test]
async fn another_archive_than_the_manifest_names_is_told_and_judged_by_what_it_is() {
    let registry = Registry::signed_but(|request, content| {
        let is_archive = request
            .url
            .path()
            .ends_with(&Sha256Digest::of(GZIP).to_string());
        let mut other = GZIP.to_vec();
        *other.last_mut().unwrap() ^= 1;
        content.blob(&other);
        is_archive.then(|| ResponseTemplate::new(200).set_body_bytes(other))
    });
    let fetched = registry.await.fetch().await.unwrap();
    assert_eq!(fetched.claimed_digest, Some(Sha256Digest::of(GZIP)));
    assert_ne!(fetched.archive.digest, Sha256Digest::of(GZIP));
}

#[tokio::test]
async fn a_provenance_file_that_is_listed_is_there_as_it_is_listed_or_unknown() {
    let wrong = |layer: &mut Value| layer["digest"] = Sha256Digest::of(b"gone").to_string().into();
    let small = |layer: &mut Value| layer["size"] = (SIGNED.len() - 1).into();
    let large = |layer: &mut Value| layer["size"] = (64 * 1024 + 1).into();
    for (what, cause, fetched) in [
        (
            "is not there",
            Cause::SourceUnavailable,
            fetch_described(PROVENANCE, wrong).await,
        ),
        (
            "is longer",
            Cause::SourceUnavailable,
            fetch_described(PROVENANCE, small).await,
        ),
        (
            "is too large",
            Cause::LimitExceeded,
            fetch_described(PROVENANCE, large).await,
        ),
    ] {
        let ProvenanceAnswer::Unavailable(error) = fetched.unwrap().provenance else {
            panic!("{what}");
        };
        assert_eq!(error.cause(), cause, "{what}");
    }
    let registry = Registry::signed_but(|request, _| {
        let digest = Sha256Digest::of(SIGNED.as_bytes()).to_string();
        let other = SIGNED.replace("payments", "ledgers1");
        let is_statement = request.url.path().ends_with(&digest);
        is_statement.then(|| ResponseTemplate::new(200).set_body_string(other))
    });
    let fetched = registry.await.fetch().await.unwrap();
    assert!(matches!(
        fetched.provenance,
        ProvenanceAnswer::Unavailable(_)
    ));
}
