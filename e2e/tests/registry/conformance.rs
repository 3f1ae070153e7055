//! The registry that tests of sources script, asked by the conformance suite of the distribution specification:
//! what is no registry would prove nothing about those that are.

use std::process::Command;
use std::sync::Arc;

use charttrust_e2e::tools::{self, Tool};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

#[path = "../../../operator/tests/sources/script.rs"]
#[allow(dead_code, reason = "the tests of sources use the rest")]
mod script;

use script::{ARCHIVE, CONFIG, Content, Deviation, MANIFEST, PROVENANCE, Script, descriptor};
use serde_json::json;

const NAME: &str = "charts/web";

/// What the suite asks for.
struct Data {
    tags: Vec<&'static str>,
    manifests: Vec<String>,
    blobs: Vec<String>,
}

/// Two versions of a chart as Helm pushes them, and an index of one.
fn fill(content: &Content) -> Data {
    let [archive, other, statement] = [&b"an archive"[..], b"another", b"a statement"];
    let signed = content.manifest(&[(ARCHIVE, archive), (PROVENANCE, statement)]);
    let unsigned = content.manifest(&[(ARCHIVE, other)]);
    let size = signed.to_string().len();
    let tag = |tag: &str, document: &serde_json::Value| {
        content.tag(tag, document.to_string().into_bytes())
    };
    let digest = tag("1.0.0_build.7", &signed);
    let child = descriptor(MANIFEST, &digest, size);
    let index = json!({"schemaVersion": 2, "mediaType": script::INDEX, "manifests": [child]});
    let manifests = [digest, tag("1.1.0", &unsigned), tag("latest", &index)];
    let blobs = [archive, other, statement, b"{}"].map(|bytes| content.blob(bytes));
    assert!(signed.to_string().contains(CONFIG));
    Data {
        tags: vec!["1.0.0_build.7", "1.1.0", "latest"],
        manifests: manifests.map(|digest| digest.to_string()).to_vec(),
        blobs: blobs.map(|digest| digest.to_string()).to_vec(),
    }
}

/// What the suite says of a scripted registry, and whether it passes.
async fn examined(deviation: Box<Deviation>) -> (bool, String) {
    let (server, content) = (MockServer::start().await, Arc::new(Content::of(NAME)));
    let data = fill(&content);
    let script = Script(content, deviation);
    Mock::given(any()).respond_with(script).mount(&server).await;
    let results = tempfile::tempdir().unwrap();
    let mut command = Command::new(tools::path(Tool::Conformance).unwrap());
    command
        .current_dir(results.path())
        .env("OCI_REGISTRY", server.address().to_string())
        .env("OCI_TLS", "disabled")
        .env("OCI_REPO1", NAME)
        .env("OCI_API_PULL", "true")
        .env("OCI_API_TAGS_LIST", "true")
        .env("OCI_API_BLOBS_DIGEST_HEADER", "true")
        .env("OCI_RO_DATA_TAGS", data.tags.join(" "))
        .env("OCI_RO_DATA_MANIFESTS", data.manifests.join(" "))
        .env("OCI_RO_DATA_BLOBS", data.blobs.join(" "));
    // What a client that pulls asks for nothing of.
    for api in [
        "PUSH",
        "BLOBS_DELETE",
        "BLOBS_MOUNT_ANONYMOUS",
        "MANIFESTS_DELETE",
        "TAGS_DELETE",
        "REFERRER",
    ] {
        command.env(format!("OCI_API_{api}"), "false");
    }
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = run.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    // Its words and not its exit code: where nothing may be pushed it fails to write its report as YAML.
    (told.contains("OCI Conformance Result: Pass"), told)
}

/// What the suite makes of a part of the interface.
fn part<'a>(told: &'a str, name: &str) -> &'a str {
    let lines = told.split("API conformance:").nth(1).unwrap_or_default();
    let mut lines = lines.lines().map(str::trim);
    let line = lines.find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    });
    let word = line.and_then(|line| line.rsplit(':').next());
    word.unwrap_or_default().trim()
}

const PARTS: [&str; 8] = [
    "Ping",
    "Tag listing",
    "Blob get",
    "Blob head",
    "Manifest get by digest",
    "Manifest get by tag",
    "Manifest head by digest",
    "Manifest head by tag",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_scripted_registry_passes_the_pull_part_of_the_conformance_suite() {
    let (passes, told) = examined(Box::new(|_, _| None)).await;
    assert!(passes, "{told}");
    for name in PARTS {
        assert_eq!(part(&told, name), "Pass", "{name}: {told}");
    }
}

/// The suite does look: each of these is a registry that it does not let pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_none_does_not_pass() {
    type Deviate = fn(&wiremock::Request, &Content) -> Option<ResponseTemplate>;
    let deviations: [(&str, Deviate); 4] = [
        ("no HEAD", |request, _| {
            (request.method == "HEAD").then(|| ResponseTemplate::new(405))
        }),
        ("a blob under no digest", |request, _| {
            let is_blob = request.url.path().contains("/blobs/");
            is_blob.then(|| ResponseTemplate::new(200).set_body_string("{}"))
        }),
        ("another tag for none", |request, _| {
            let is_missing = request.url.path().contains("/manifests/missing-");
            is_missing.then(|| ResponseTemplate::new(200).set_body_string("{}"))
        }),
        ("all tags on every page", |request, _| {
            let is_tags = request.url.path().ends_with("/tags/list");
            let tags = json!({"name": NAME, "tags": ["1.0.0_build.7", "1.1.0", "latest"]});
            is_tags.then(|| ResponseTemplate::new(200).set_body_json(tags))
        }),
    ];
    for (what, deviate) in deviations {
        let (passes, told) = examined(Box::new(deviate)).await;
        assert!(!passes, "{what}: {told}");
    }
}
