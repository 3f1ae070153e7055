//! A registry that wants to be believed: whatever it does with a chart that is signed, the exact word that a
//! user reads. The release is made of the archive, so that nothing but the registry stands against it.

use std::sync::atomic::{AtomicUsize, Ordering};

use charttrust_verify::digest::Sha256Digest;
use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use crate::court::{Looks, OTHER_CHART, REPOSITORY, SIGNED_CHART, STATEMENT, VERSION, word};
use crate::registry::*;
use crate::server::{Answer, Raw, http, ok};

/// A chart as Helm pushes it, and what else the registry has.
fn signed(content: &Content) -> Value {
    content.manifest(&[(ARCHIVE, SIGNED_CHART), (PROVENANCE, STATEMENT)])
}

type Publish = fn(&Content) -> Value;
type Deviate = fn(&Request, &Content) -> Option<ResponseTemplate>;

fn as_it_should(_: &Request, _: &Content) -> Option<ResponseTemplate> {
    None
}

async fn word_of(publish: Publish, deviate: Deviate) -> &'static str {
    let registry = Registry::named(REPOSITORY, deviate).await;
    registry.tag(VERSION, &publish(&registry.content));
    word(&registry.url()).await
}

/// A list of charts as Helm pushes them, and of what is none.
fn index(content: &Content, children: &[Value]) -> Value {
    let descriptors = children.iter().map(|child| {
        let bytes = child.to_string();
        let digest = content.tag("child", bytes.clone().into_bytes());
        descriptor(MANIFEST, &digest, bytes.len())
    });
    let manifests: Vec<_> = descriptors.collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
}

fn image(content: &Content) -> Value {
    let mut image = signed(content);
    image["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
    image
}

const AT_THE_TAG: &[(&str, Publish, &str)] = &[
    ("a signed chart", signed, "SignatureVerified"),
    (
        "no statement",
        |content| content.manifest(&[(ARCHIVE, SIGNED_CHART)]),
        "Unsigned",
    ),
    (
        "the statement first",
        |content| content.manifest(&[(PROVENANCE, STATEMENT), (ARCHIVE, SIGNED_CHART)]),
        "SignatureVerified",
    ),
    (
        "two archives",
        |content| {
            content.manifest(&[
                (ARCHIVE, SIGNED_CHART),
                (ARCHIVE, OTHER_CHART),
                (PROVENANCE, STATEMENT),
            ])
        },
        "ArchiveAmbiguous",
    ),
    (
        "one archive twice",
        |content| {
            content.manifest(&[
                (ARCHIVE, SIGNED_CHART),
                (ARCHIVE, SIGNED_CHART),
                (PROVENANCE, STATEMENT),
            ])
        },
        "ArchiveAmbiguous",
    ),
    (
        "an archive of each name",
        |content| {
            content.manifest(&[
                (LEGACY, OTHER_CHART),
                (ARCHIVE, SIGNED_CHART),
                (PROVENANCE, STATEMENT),
            ])
        },
        "ArchiveAmbiguous",
    ),
    (
        "two statements",
        |content| {
            content.manifest(&[
                (ARCHIVE, SIGNED_CHART),
                (PROVENANCE, STATEMENT),
                (PROVENANCE, b"another"),
            ])
        },
        "ArchiveAmbiguous",
    ),
    (
        "an index of the chart and an image",
        |content| index(content, &[image(content), signed(content)]),
        "SignatureVerified",
    ),
    (
        "an index of two charts",
        |content| {
            let other = content.manifest(&[(ARCHIVE, OTHER_CHART)]);
            index(content, &[signed(content), other])
        },
        "ArchiveAmbiguous",
    ),
    (
        "an index of images",
        |content| index(content, &[image(content)]),
        "SourceUnavailable",
    ),
    (
        "an index in an index",
        |content| index(content, &[index(content, &[signed(content)])]),
        "SourceUnavailable",
    ),
    (
        "layers and manifests",
        |content| {
            let mut both = signed(content);
            both["manifests"] = json!([]);
            both
        },
        "ArchiveAmbiguous",
    ),
    (
        "a manifest of 5 MiB",
        |content| {
            let mut large = signed(content);
            large["annotations"] = json!({"x": "x".repeat(5 * 1024 * 1024)});
            large
        },
        "LimitExceeded",
    ),
    (
        "an archive said to be of 21 MiB",
        |content| {
            let mut large = signed(content);
            large["layers"][0]["size"] = json!(21 * 1024 * 1024);
            large
        },
        "LimitExceeded",
    ),
    (
        "a digest that is no SHA-256",
        |content| {
            let mut other = signed(content);
            other["layers"][0]["digest"] = "sha512:00".into();
            other
        },
        "SourceUnavailable",
    ),
    (
        "the schema of 2014",
        |content| {
            let mut old = signed(content);
            old["schemaVersion"] = 1.into();
            old
        },
        "SourceUnavailable",
    ),
];

#[tokio::test]
async fn whatever_lies_at_the_tag_has_its_word() {
    for (what, publish, expected) in AT_THE_TAG {
        assert_eq!(word_of(*publish, as_it_should).await, *expected, "{what}");
    }
}

fn is_manifest(request: &Request) -> bool {
    request.url.path().contains("/manifests/")
}

fn is_blob(request: &Request, bytes: &[u8]) -> bool {
    let digest = Sha256Digest::of(bytes).to_string();
    request.url.path().ends_with(&digest)
}

fn bytes(bytes: &[u8]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(bytes.to_vec())
}

const INSTEAD: &[(&str, Deviate, &str)] = &[
    (
        "another manifest than the header says",
        |request, content| {
            let digest = Sha256Digest::of(b"another").to_string();
            is_manifest(request).then(|| {
                bytes(signed(content).to_string().as_bytes())
                    .append_header("docker-content-digest", digest.as_str())
            })
        },
        "SourceUnavailable",
    ),
    (
        "an encoded manifest",
        |request, content| {
            is_manifest(request).then(|| {
                bytes(signed(content).to_string().as_bytes())
                    .append_header("content-encoding", "gzip")
            })
        },
        "SourceUnavailable",
    ),
    (
        "the archive, packed at another time",
        |request, _| is_blob(request, SIGNED_CHART).then(|| bytes(&repacked())),
        "DigestMismatch",
    ),
    (
        "a longer archive",
        |request, _| {
            let longer = [SIGNED_CHART, b"\0"].concat();
            is_blob(request, SIGNED_CHART).then(|| bytes(&longer))
        },
        "SourceUnavailable",
    ),
    (
        "a shorter archive",
        |request, _| {
            let shorter = &SIGNED_CHART[..SIGNED_CHART.len() - 1];
            is_blob(request, SIGNED_CHART).then(|| bytes(shorter))
        },
        "SourceUnavailable",
    ),
    (
        "no archive",
        |request, _| is_blob(request, SIGNED_CHART).then(|| refusal(404, "BLOB_UNKNOWN")),
        "SourceUnavailable",
    ),
    (
        "another statement",
        |request, _| {
            let mut other = STATEMENT.to_vec();
            other[100] ^= 1;
            is_blob(request, STATEMENT).then(|| bytes(&other))
        },
        "SourceUnavailable",
    ),
    (
        "no statement where one is listed",
        |request, _| is_blob(request, STATEMENT).then(|| refusal(404, "BLOB_UNKNOWN")),
        "SourceUnavailable",
    ),
    (
        "no such manifest, and the tag in the list",
        |request, _| is_manifest(request).then(|| refusal(404, "MANIFEST_UNKNOWN")),
        "SourceUnavailable",
    ),
    (
        "a limit",
        |_, _| Some(refusal(429, "TOOMANYREQUESTS")),
        "SourceUnavailable",
    ),
    (
        "no entry",
        |_, _| Some(refusal(403, "DENIED")),
        "SourceUnavailable",
    ),
    (
        "a login page",
        |_, _| Some(ResponseTemplate::new(200).set_body_string("<html>")),
        "SourceUnavailable",
    ),
    (
        "unchanged, though nobody has asked for changes",
        |_, _| Some(ResponseTemplate::new(304)),
        "SourceUnavailable",
    ),
];

#[tokio::test]
async fn whatever_is_answered_instead_has_its_word() {
    for (what, deviate, expected) in INSTEAD {
        assert_eq!(word_of(signed, *deviate).await, *expected, "{what}");
    }
}

/// The signed chart but for the time in the head of gzip: only the digest tells it apart.
fn repacked() -> Vec<u8> {
    let mut archive = SIGNED_CHART.to_vec();
    archive[4] ^= 1;
    archive
}

/// Each row: what the registry has at the first look, what it answers at the second, and the words of both.
#[tokio::test]
async fn a_registry_that_changes_its_answers_between_requests_has_its_words() {
    type Change = fn(&Request, &Content, usize) -> Option<ResponseTemplate>;
    let unsigned = |content: &Content| content.manifest(&[(ARCHIVE, SIGNED_CHART)]);
    let rows: [(&str, Change, [&str; 2]); 5] = [
        (
            "the same",
            |_, _, _| None,
            ["SignatureVerified", "SignatureVerified"],
        ),
        (
            // HEAD names a manifest that GET does not give.
            "between HEAD and GET",
            |request, content, _| {
                let other = content.manifest(&[(ARCHIVE, OTHER_CHART)]).to_string();
                let digest = Sha256Digest::of(other.as_bytes()).to_string();
                if request.method == "HEAD" {
                    let head = ResponseTemplate::new(200);
                    return Some(head.append_header("docker-content-digest", digest.as_str()));
                }
                let signed = signed(content).to_string();
                (request.url.path().ends_with(&digest)).then(|| bytes(signed.as_bytes()))
            },
            ["SignatureVerified", "SourceUnavailable"],
        ),
        (
            "between two GETs of the tag, without HEAD",
            |request, content, at| {
                if request.method == "HEAD" {
                    return Some(ResponseTemplate::new(405));
                }
                let unsigned = content.manifest(&[(ARCHIVE, SIGNED_CHART)]);
                (is_manifest(request) && at > 0).then(|| bytes(unsigned.to_string().as_bytes()))
            },
            ["SignatureVerified", "Unsigned"],
        ),
        (
            // The digest of a blob was seen once: its bytes are not asked for again.
            "between two GETs of the archive",
            |request, _, at| {
                let is_again = is_blob(request, SIGNED_CHART) && at > 2;
                is_again.then(|| bytes(&repacked()))
            },
            ["SignatureVerified", "SignatureVerified"],
        ),
        (
            "the tag is gone",
            |request, _, at| (is_manifest(request) && at > 2).then(|| refusal(404, "NAME_UNKNOWN")),
            ["SignatureVerified", "SourceUnavailable"],
        ),
    ];
    for (what, change, expected) in rows {
        let asked = AtomicUsize::new(0);
        let registry = Registry::named(REPOSITORY, move |request, content| {
            change(request, content, asked.fetch_add(1, Ordering::Relaxed))
        });
        let registry = registry.await;
        registry.tag("other", &unsigned(&registry.content));
        registry.tag(VERSION, &signed(&registry.content));
        let looks = Looks::at(&registry.url());
        assert_eq!([looks.word().await, looks.word().await], expected, "{what}");
    }
}

type Body = fn(&[u8]) -> Answer;

/// What is answered so, how, and the word. A blob that announces no length is counted by its manifest.
const BODIES: &[(&str, Body, &str)] = &[
    ("/", chunked, "SignatureVerified"),
    ("/", unmeasured, "SignatureVerified"),
    ("/manifests/", longer, "SourceUnavailable"),
    ("/manifests/", shorter, "SourceUnavailable"),
    ("/manifests/", |_| endless(), "LimitExceeded"),
    ("/blobs/", longer, "SourceUnavailable"),
    ("/blobs/", shorter, "SourceUnavailable"),
    ("/blobs/", |_| endless(), "SourceUnavailable"),
    (
        "/blobs/",
        |body| chunked(&[body, b"\0"].concat()),
        "SourceUnavailable",
    ),
];

fn unmeasured(body: &[u8]) -> Answer {
    Answer::Close(http("200 OK", body))
}

fn chunked(body: &[u8]) -> Answer {
    let chunk =
        |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let (first, second) = body.split_at(body.len() / 2);
    let body = [chunk(first), chunk(second), chunk(b"")].concat();
    Answer::Close(http("200 OK\r\ntransfer-encoding: chunked", &body))
}

/// Announces more than it sends.
fn longer(body: &[u8]) -> Answer {
    announcing(body.len() + 1, body)
}

/// Announces less than it sends.
fn shorter(body: &[u8]) -> Answer {
    announcing(body.len() - 1, body)
}

fn announcing(length: usize, body: &[u8]) -> Answer {
    Answer::Close(http(&format!("200 OK\r\ncontent-length: {length}"), body))
}

fn endless() -> Answer {
    Answer::Endless(http("200 OK", b"{"), vec![b' '; 64 * 1024])
}

#[tokio::test]
async fn bodies_count_by_their_bytes_whatever_length_they_claim() {
    let registry = Registry::named(REPOSITORY, as_it_should).await;
    let manifest = signed(&registry.content).to_string();
    for (at, answer, expected) in BODIES {
        let manifest = manifest.clone();
        let raw = Raw::serve(move |head| {
            let is_of = |bytes: &[u8]| head.contains(&Sha256Digest::of(bytes).to_string());
            let body = match () {
                () if is_of(SIGNED_CHART) => SIGNED_CHART,
                () if is_of(STATEMENT) => STATEMENT,
                () => manifest.as_bytes(),
            };
            if head.contains(at) {
                answer(body)
            } else {
                ok(body)
            }
        });
        let url = raw.await.url.replace("http://", "oci://");
        let seen = word(&format!("{url}/charts")).await;
        assert_eq!(seen, *expected, "{at} {expected}");
    }
}
