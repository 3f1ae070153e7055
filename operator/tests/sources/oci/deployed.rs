//! A registry whose tag stands for another manifest than the one that Flux says it has deployed.

use charttrust::sources::{Asked, Cause, Fetched, Fetcher, Manifest, ProvenanceAnswer};
use charttrust_verify::digest::Sha256Digest;
use serde_json::json;

use crate::registry::*;
use crate::server::{CHART, GZIP, SIGNED, VERSION, fetcher, repository, source};

const OTHER: &[u8] = b"\x1f\x8b\x08 another archive";

fn signed(content: &Content, archive: &[u8]) -> serde_json::Value {
    content.manifest(&[(ARCHIVE, archive), (PROVENANCE, SIGNED.as_bytes())])
}

async fn fetched(
    fetcher: &Fetcher<Vec<u8>>,
    registry: &Registry,
    manifest: Sha256Digest,
) -> Fetched<Vec<u8>> {
    let asked = Asked {
        manifest: Some(Manifest::Deployed(manifest)),
        ..Asked::now()
    };
    let source = registry.source();
    let fetched = fetcher.fetch_since(&source, CHART, VERSION, asked).await;
    fetched.unwrap()
}

fn present() -> ProvenanceAnswer {
    ProvenanceAnswer::Present(SIGNED.as_bytes().into())
}

/// What lies at the tag and at the digest, and whose archive counts, with a statement or without, and whether
/// that is another than the tag's.
struct Row {
    what: &'static str,
    tag: Option<fn(&Content) -> serde_json::Value>,
    deployed: fn(&Content) -> serde_json::Value,
    archive: &'static [u8],
    provenance: ProvenanceAnswer,
    is_moved: bool,
}

fn rows() -> [Row; 7] {
    let missing = || ProvenanceAnswer::Missing;
    let of_it = |content: &Content| signed(content, GZIP);
    let unsigned = |content: &Content| content.manifest(&[(ARCHIVE, GZIP)]);
    let of_another = |content: &Content| signed(content, OTHER);
    let no_chart = |_: &Content| json!({"schemaVersion": 2, "layers": []});
    let row = |what, tag, deployed, (archive, provenance), is_moved| Row {
        what,
        tag,
        deployed,
        archive,
        provenance,
        is_moved,
    };
    [
        row("the same", Some(of_it), of_it, (GZIP, present()), false),
        row("another", Some(of_another), of_it, (GZIP, present()), true),
        row(
            "another, unsigned then",
            Some(of_another),
            unsigned,
            (GZIP, missing()),
            true,
        ),
        row(
            "signed since",
            Some(of_it),
            unsigned,
            (GZIP, present()),
            false,
        ),
        row(
            "signed no more",
            Some(unsigned),
            of_it,
            (GZIP, present()),
            false,
        ),
        row("no such tag", None, of_it, (GZIP, present()), true),
        row(
            "no chart was deployed",
            Some(of_it),
            no_chart,
            (GZIP, present()),
            true,
        ),
    ]
}

#[tokio::test]
async fn the_manifest_that_was_deployed_counts_where_the_tag_has_another_archive() {
    for row in rows() {
        let (registry, fetcher) = (Registry::empty().await, fetcher());
        let deployed = registry.tag("deployed", &(row.deployed)(&registry.content));
        if let Some(tag) = row.tag {
            registry.tag(VERSION, &tag(&registry.content));
        }
        let mut asked = 0;
        for look in 0..2 {
            let fetched = fetched(&fetcher, &registry, deployed).await;
            let seen = (fetched.archive.content.as_slice(), fetched.provenance);
            assert_eq!(
                seen,
                (row.archive, row.provenance.clone()),
                "{} {look}",
                row.what
            );
            assert_eq!(fetched.is_moved, row.is_moved, "{} {look}", row.what);
            assert_eq!(fetched.claimed_digest, Some(Sha256Digest::of(row.archive)));
            let so_far = registry.asked().await.len();
            // A later look is one HEAD, as it is without.
            assert!(look == 0 || so_far - asked == 1, "{}", row.what);
            asked = so_far;
        }
    }
}

/// Somebody may write anything into the status of a `HelmRelease`: then the tag counts, as if nothing was said.
#[tokio::test]
async fn a_manifest_that_is_not_there_leaves_what_the_tag_has() {
    let registry = Registry::signed().await;
    let large = json!({"x": "x".repeat(5 * 1024 * 1024)});
    let large = registry.tag("large", &large);
    for manifest in [Sha256Digest::of(b"gone"), large] {
        let fetched = fetched(&fetcher(), &registry, manifest).await;
        assert_eq!(
            (fetched.archive.content.as_slice(), fetched.provenance),
            (GZIP, present())
        );
        assert!(fetched.is_moved);
    }
}

#[tokio::test]
async fn a_chart_that_is_neither_at_its_tag_nor_at_the_digest_is_not_found() {
    let registry = Registry::empty().await;
    registry.push("2.4.0", &[(ARCHIVE, GZIP)]);
    let asked = Asked {
        manifest: Some(Manifest::Deployed(Sha256Digest::of(b"gone"))),
        ..Asked::now()
    };
    let source = registry.source();
    let fetched = fetcher().fetch_since(&source, CHART, VERSION, asked).await;
    assert_eq!(fetched.unwrap_err().cause(), Cause::ChartNotFound);
}

/// Two releases of one version, one of which was deployed before the tag moved.
#[tokio::test]
async fn who_asks_with_a_digest_shares_nothing_with_who_asks_without() {
    let (registry, fetcher) = (Registry::empty().await, fetcher());
    let deployed = registry.push(VERSION, &[(ARCHIVE, GZIP)]);
    registry.push(VERSION, &[(ARCHIVE, OTHER)]);
    for _ in 0..2 {
        let with = fetched(&fetcher, &registry, deployed).await;
        let without = registry.fetch_with(&fetcher).await.unwrap();
        let both = [with.archive.content.as_slice(), &without.archive.content];
        assert_eq!(both, [GZIP, OTHER]);
        assert_eq!([with.is_moved, without.is_moved], [true, false]);
    }
}

#[tokio::test]
async fn a_repository_over_http_knows_no_manifests() {
    let server = repository().await;
    let asked = Asked {
        manifest: Some(Manifest::Deployed(Sha256Digest::of(b"any"))),
        ..Asked::now()
    };
    let source = source(server.uri());
    let fetched = fetcher().fetch_since(&source, CHART, VERSION, asked).await;
    assert!(!fetched.unwrap().is_moved);
}
