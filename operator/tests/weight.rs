//! What hostile sources cost in memory. A program of its own, whose memory is read off the process: what one
//! source makes the operator hold, it takes from everybody.

#[path = "commands/archive.rs"]
mod archive;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use charttrust::controllers::store::shown::Shown;
use charttrust::controllers::store::written::Written;
use charttrust::controllers::store::{Content, PollState, Revision, Store};
use charttrust::evidence::{self, Forms};
use charttrust::inventory::helm::Driver;
use charttrust::inventory::workloads::{MOST_WORKLOADS, Workloads};
use charttrust::inventory::{Mark, RecordId, ReleaseId};
use charttrust::sources::{Asked, Cause, Fetcher, Limits, Reader, Settings, Source};
use charttrust::watch::Reach;
use charttrust_verify::check::{Judgement, PolicyVerdict};
use charttrust_verify::digest::{Digested, Sha256Digest};
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Claim, Claimed, Claims, Evidence, Outcome, Place, ProvenanceFacts,
    SignatureFacts, Signed,
};
use charttrust_verify::openpgp::{Fingerprint, SignatureRecord, VerifiedSignature};
use charttrust_verify::policy;
use charttrust_verify::seal::Attestation;
use charttrust_verify::verdict::{Basis, Verdict};
use futures::StreamExt as _;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const MIB: usize = 1 << 20;

/// One after the other: they share a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_source_costs_little_memory() {
    many_releases_take_little();
    many_workloads_take_little().await;
    indexes_take_little_whatever_they_are_made_of().await;
    heads_of_answers_are_not_kept().await;
    long_texts_of_charts_count_as_what_they_take().await;
    long_tokens_are_not_kept_without_bound().await;
    many_large_indexes_take_little_more_than_few().await;
    // Last: what glibc has had of this size once, it gives back late from then on.
    many_large_archives_leave_little_behind().await;
}

/// What a warm start keeps of each release, the watches of records and the queues apart.
fn many_releases_take_little() {
    const MANY: usize = 10_000;
    let store = Store::default();
    let before = reset_peak();
    let shown: Vec<_> = (0..MANY).map(|number| keep(&store, number)).collect();
    let each = memory("VmRSS:").saturating_sub(before) / MANY;
    println!("{MANY} releases: {each} bytes each");
    assert!(each < 5300, "{each} bytes for each of {MANY} releases");
    drop(shown);
}

/// What is kept of each workload that carries Helm's marks, and of each that carries none, followed from an API
/// server. As many as a namespace may have, of which each says to be of a release with a few others.
async fn many_workloads_take_little() {
    let url = serve(|head, stream| Box::pin(workloads(head, stream))).await;
    let client = Client::try_from(Config::new(url.parse().unwrap())).unwrap();
    let (kept, seen) = (Workloads::default(), AtomicUsize::new(0));
    let all_seen = Notify::new();
    let before = reset_peak();
    let following = kept.follow(&client, &Reach::Everywhere, || {
        if seen.fetch_add(1, Ordering::SeqCst) + 1 == MARKED {
            all_seen.notify_one();
        }
    });
    tokio::select! {
        () = following => panic!("the watches have ended"),
        () = all_seen.notified() => {}
    }
    let each = memory("VmRSS:").saturating_sub(before) / MARKED;
    println!(
        "{MARKED} workloads with marks, and as many without: {each} bytes for each with marks"
    );
    let counted: usize = kept.claimed(|_| true).iter().map(|one| one.workloads).sum();
    assert_eq!(counted, MARKED);
    assert!(each < 250, "{each} bytes for each of {MARKED} workloads");
}

const NAMESPACES: usize = 5;
const MARKED: usize = NAMESPACES * MOST_WORKLOADS;

/// An API server with workloads of one kind only: every other one carries marks, and each carries more than
/// is looked at.
async fn workloads(head: String, mut stream: TcpStream) -> std::io::Result<()> {
    let asked = head.split(' ').nth(1).unwrap_or_default();
    let value = |name: &str| {
        let query = asked.split(['?', '&']);
        let mut values = query.filter_map(|pair| pair.strip_prefix(name));
        values.find_map(|value| value.parse::<usize>().ok())
    };
    if asked.contains("watch=") {
        // Nothing changes.
        return std::future::pending().await;
    }
    let all = if asked.contains("/deployments") {
        2 * MARKED
    } else {
        0
    };
    let from = value("continue=").unwrap_or_default();
    let to = all.min(from + value("limit=").unwrap_or(all));
    let more = (to < all).then(|| to.to_string());
    let items: Vec<_> = (from..to).map(workload).collect();
    let body = json!({
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "1", "continue": more}, "items": items,
    });
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

fn workload(number: usize) -> Value {
    let namespace = format!("team-{}", number % NAMESPACES);
    let release = format!("shop-{}", number / 2 / NAMESPACES % 1000);
    let mut annotations = json!({"example.com/notes": "x".repeat(1000)});
    if (number / NAMESPACES).is_multiple_of(2) {
        annotations["meta.helm.sh/release-name"] = json!(release);
        annotations["meta.helm.sh/release-namespace"] = json!(namespace);
    }
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": format!("web-{number}"), "namespace": namespace, "resourceVersion": "1",
            "annotations": annotations},
    })
}

/// A release of one source, with one good signature, judged by one policy, and as the watch shows it.
fn keep(store: &Store, number: usize) -> Arc<Shown> {
    let id = ReleaseId {
        namespace: "shop".to_owned(),
        name: format!("payments-{number}"),
    };
    let record = RecordId::Helm {
        driver: Driver::Secret,
        revision: 1,
    };
    let source = policy::Source::at("https://charts.example.com");
    let now = charttrust::clock::tick();
    let state = PollState {
        last_asked: now,
        answering_since: now,
        every: Duration::from_secs(3600),
        failures: 0,
        retry_after: None,
        requests: 0,
    };
    let shown = Arc::new(Shown::of(Ok(serde_json::from_str(SHOWN).unwrap())));
    store.update(&id, |release| {
        release.revisions.insert(record, revision(&source.url));
        release.note_poll(&source, state);
        release.judgement = Some(judgement(&source.url));
        release.signers = release.good_signers().into_iter().collect();
        release.written = Some(Written {
            resource_version: "1234567".to_owned(),
            status: Arc::clone(&shown),
        });
    });
    shown
}

fn revision(url: &str) -> Revision {
    let key: Fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
    let record = SignatureRecord {
        primary: key.clone(),
        signer: key.clone(),
        created: "2026-11-18T00:00:00Z".parse().unwrap(),
        expires: None,
        algorithm: "RSA-4096".into(),
        hash: "SHA512".into(),
    };
    let signature = SignatureFacts {
        claimed: Claim {
            fingerprint: Some(key.clone()),
            key_id: Some("89ABCDEF01234567".into()),
            created: None,
            algorithm: "RSA/SHA512".into(),
        },
        outcome: Outcome::Verified(VerifiedSignature::restore(record, Attestation::supposed())),
    };
    let digest = Sha256Digest::of(b"archive");
    let signed = Signed {
        digest: Sha256Digest::of(b"provenance"),
        claims: Claims {
            claimed_name: "payments".into(),
            claimed_version: "2.4.1".into(),
            claimed_archive: Some(digest),
        },
        signatures: vec![signature],
        place: Place::Main,
        message: None,
    };
    let provenance = ProvenanceFacts::Signed(Box::new(signed));
    let facts = ArchiveFacts {
        settled: true,
        ..ArchiveFacts::plain(digest, ("payments", "2.4.1"), provenance)
    };
    let mut evidence = Evidence::default();
    let answer = Answer::Archive(Box::new(facts));
    evidence.answers.insert(url.to_owned(), answer);
    Revision {
        resource_version: "1234567".into(),
        content: Ok(Content {
            chart: "payments".into(),
            version: "2.4.1".into(),
            manifest: None,
            recorded: None,
            digest: Sha256Digest::of(b"content"),
            evidence,
        }),
        mark: Mark::None,
    }
}

fn judgement(url: &str) -> Judgement {
    let verdict = Verdict::Trusted(Basis::SignatureVerified);
    Judgement {
        verdict,
        policies: vec![PolicyVerdict {
            policy: "platform".into(),
            rule: Some("in-house".into()),
            verdict,
            exempt_by: None,
            origin: Some(url.to_owned()),
            revocations: BTreeSet::new(),
        }],
        findings: Vec::new(),
    }
}

/// As the operator writes one.
const SHOWN: &str = r#"{"apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
    "metadata": {"name": "payments-1", "namespace": "shop", "uid": "6ec192c7-773e-47fa-b696-084388c90e0f",
        "creationTimestamp": "2026-11-18T00:00:00Z", "resourceVersion": "1174", "generation": 1},
    "status": {"observedGeneration": 1,
        "release": {"revision": 1, "chart": "payments", "version": "2.4.1", "owner": "Helm",
            "resourceVersion": "1016"},
        "signer": "platform-2026",
        "conditions": [
            {"lastTransitionTime": "2026-11-29T11:21:06Z", "message": "", "observedGeneration": 1,
                "reason": "Evaluated", "status": "True", "type": "Ready"},
            {"lastTransitionTime": "2026-11-29T11:21:06Z", "message": "content as signed",
                "observedGeneration": 1, "reason": "SignatureVerified", "status": "True", "type": "Trusted"},
            {"lastTransitionTime": "2026-11-29T11:21:06Z", "message": "", "observedGeneration": 1,
                "reason": "LookSucceeded", "status": "True", "type": "Fresh"}],
        "signers": [{"fingerprint": "0123456789ABCDEF0123456789ABCDEF01234567",
            "signedAt": "2026-11-18T00:00:00Z", "algorithm": "RSA-4096/SHA512", "verified": true}],
        "evidence": {"content": "cWVVw/Gzm8QZeCcJ6zeDZxzKG6EfNtdgBngK+C7FX80",
            "sources": [{"url": "https://charts.example.com",
                "archive": "sha256:3b8daae4629b33629646be4e2947ccebd9dd96f831ce4425455fa8f6da623075",
                "binding": "Same",
                "provenance": "sha256:50d863c09956bf1871df9419e3f7ec7ebcd169d26ecb9c80f2900bf9f3d9d40e",
                "firstVerified": "2026-11-29T11:21:07Z"}],
            "tag": "lseQBh95gUFburAqvL1kQPXnGXcxW5rxHyXK+kOQh1I"},
        "policies": [{"policy": "platform", "rule": "in-house", "verdict": "Trusted",
            "reason": "SignatureVerified"}]}}"#;

/// So many repositories, each of which has one archive of nearly as many bytes as one may have.
async fn many_large_archives_leave_little_behind() {
    const MANY: usize = 24;
    let archive = Arc::new(noise(19 * MIB));
    let fetcher = fetcher();
    let before = reset_peak();
    let mut sources = Vec::new();
    for _ in 0..MANY {
        let archive = Arc::clone(&archive);
        let url = serve(move |head, mut stream| {
            let archive = Arc::clone(&archive);
            Box::pin(async move {
                let body = match head.split(' ').nth(1).unwrap_or_default() {
                    "/index.yaml" => Arc::new(listing(1)),
                    path if path.contains(".prov") => Arc::default(),
                    _ => archive,
                };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&body).await?;
                stream.shutdown().await
            })
        })
        .await;
        sources.push(source(&url));
    }
    // As many at a time as the operator takes looks.
    let looks = sources
        .iter()
        .map(|source| fetcher.fetch(source, "c0", "1.0.0"));
    let looks = futures::stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(16);
    let fetched = looks.collect::<Vec<_>>().await;
    assert!(
        fetched.iter().all(Result::is_ok),
        "{:?}",
        fetched[0].as_ref().err()
    );
    drop(fetched);
    let left = memory("VmRSS:").saturating_sub(before) / MIB;
    let most = peak().saturating_sub(before) / MIB;
    println!("{MANY} archives of 19 MiB: {most} MiB at the peak, {left} MiB afterwards");
    assert!(most < 96 && left < 64, "{most} MiB, then {left} MiB");
}

/// Bytes that begin as gzip does, and that no page of memory shares with another.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let head = b"\x1f\x8b\x08".iter().copied();
    head.chain(std::iter::repeat_with(&mut next))
        .take(bytes)
        .collect()
}

/// So many repositories with an index as heavy as one may be.
async fn many_large_indexes_take_little_more_than_few() {
    const MANY: usize = 6;
    let (_, first, piece, last) = SHAPES[8];
    let fetcher = fetcher();
    let mut sources = Vec::new();
    for _ in 0..MANY {
        let url = serve(move |_, stream| Box::pin(index(stream, first, piece, last))).await;
        sources.push(source(&url));
    }
    let before = reset_peak();
    let looks = sources
        .iter()
        .map(|source| fetcher.fetch(source, "payments", "2.4.1"));
    let fetched = futures::future::join_all(looks).await;
    assert!(fetched.iter().all(Result::is_err));
    let most = peak().saturating_sub(before) / MIB;
    println!("{MANY} large indexes at once: {most} MiB");
    assert!(most < 2 * 64, "{most} MiB");
}

/// A beginning, a piece that is sent again and again until the limit of an index is nearly reached, and an end.
type Shape = (
    &'static str,
    &'static str,
    fn(usize) -> String,
    &'static str,
);

const SHAPES: &[Shape] = &[
    (
        "a text",
        "apiVersion: v1\ndescription: \"",
        letters,
        "\"\nentries: {}\n",
    ),
    (
        "a text without quotes",
        "apiVersion: v1\ndescription: ",
        letters,
        "\nentries: {}\n",
    ),
    (
        "a block",
        "apiVersion: v1\ndescription: |\n",
        lines,
        "entries: {}\n",
    ),
    ("a comment", "apiVersion: v1\n#", letters, "\nentries: {}\n"),
    (
        "a key",
        "apiVersion: v1\n? ",
        letters,
        "\n: x\nentries: {}\n",
    ),
    (
        "a version",
        "apiVersion: v1\nentries:\n  a:\n  - version: ",
        letters,
        "\n",
    ),
    (
        "an address",
        "apiVersion: v1\nentries:\n  a:\n  - urls: [\"",
        letters,
        "\"]\n",
    ),
    (
        "an entry",
        "apiVersion: v1\nentries:\n  a:\n  - x:\n",
        items,
        "\n",
    ),
    ("charts", "apiVersion: v1\nentries:\n", charts, "\n"),
    (
        "a text of JSON",
        r#"{"apiVersion":"v1","x":""#,
        letters,
        r#"","entries":{}}"#,
    ),
    (
        "a version of JSON",
        r#"{"apiVersion":"v1","entries":{"a":[{"version":""#,
        letters,
        r#""}]}}"#,
    ),
    (
        "charts of JSON",
        r#"{"apiVersion":"v1","entries":{"#,
        charts_of_json,
        r#""a":[]}}"#,
    ),
    (
        "values of JSON",
        r#"{"apiVersion":"v1","x":["#,
        numbers,
        r#"0],"entries":{}}"#,
    ),
];

fn letters(_: usize) -> String {
    "x".repeat(1024)
}

fn lines(_: usize) -> String {
    format!("  {}\n", "x".repeat(1021))
}

fn items(number: usize) -> String {
    format!("    - {number:08}\n").repeat(64)
}

fn numbers(_: usize) -> String {
    "0,".repeat(512)
}

fn charts(number: usize) -> String {
    (0..64).fold(String::new(), |mut text, one| {
        let _ = writeln!(text, "  {:x}:", number * 64 + one);
        text
    })
}

fn charts_of_json(number: usize) -> String {
    (0..64).fold(String::new(), |mut text, one| {
        let _ = write!(text, "\"{:x}\":[],", number * 64 + one);
        text
    })
}

async fn indexes_take_little_whatever_they_are_made_of() {
    let mut heavy = Vec::new();
    for &(name, first, piece, last) in SHAPES {
        let url = serve(move |_, stream| Box::pin(index(stream, first, piece, last))).await;
        let fetcher = fetcher();
        let before = reset_peak();
        let begun = charttrust::clock::tick();
        let answer = fetcher.fetch(&source(&url), "payments", "2.4.1").await;
        let grown = peak().saturating_sub(before) / MIB;
        let took = begun.elapsed();
        println!("{name}: {grown} MiB, {took:?}, {:?}", answer.as_ref().err());
        let cause = answer.unwrap_err().cause();
        if grown > 96 || took.as_secs() > 60 || cause != Cause::LimitExceeded {
            heavy.push((name, grown, took, cause));
        }
    }
    assert!(heavy.is_empty(), "{heavy:?}");
}

async fn index(
    mut stream: TcpStream,
    first: &'static str,
    piece: fn(usize) -> String,
    last: &'static str,
) -> std::io::Result<()> {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        .await?;
    stream.write_all(first.as_bytes()).await?;
    let (mut sent, mut number) = (0, 0);
    while sent < 64 * MIB - 4096 {
        let pieces: String = (number..number + 64).map(piece).collect();
        let room = 64 * MIB - 4096 - sent;
        let pieces = if pieces.len() > room {
            piece(number)
        } else {
            pieces
        };
        stream.write_all(pieces.as_bytes()).await?;
        (sent, number) = (sent + pieces.len(), number + 64);
    }
    stream.write_all(last.as_bytes()).await?;
    stream.shutdown().await
}

/// So many charts are asked for; what each of them leaves behind adds up.
const CHARTS: usize = 200;

async fn heads_of_answers_are_not_kept() {
    for (name, tag) in [
        ("a long entity tag", 300 * 1024),
        ("a short one in a long head", 10),
    ] {
        let url = serve(move |head, stream| Box::pin(tagged(head, stream, tag))).await;
        let (fetcher, before) = (fetcher(), memory("VmRSS:"));
        for chart in 0..CHARTS {
            let chart = format!("c{chart}");
            let fetched = fetcher.fetch(&source(&url), &chart, "1.0.0").await;
            fetched.unwrap();
        }
        let grown = memory("VmRSS:").saturating_sub(before) / MIB;
        println!("{name}: {grown} MiB");
        assert!(grown < 64, "{name}: {grown} MiB for {CHARTS} charts");
        drop(fetcher);
    }
}

/// The index of a repository of so many charts.
fn listing(charts: usize) -> Vec<u8> {
    let entry = |n| format!("  c{n}:\n  - {{version: 1.0.0, urls: [c{n}.tgz]}}\n");
    let entries: String = (0..charts).map(entry).collect();
    format!("apiVersion: v1\nentries:\n{entries}").into_bytes()
}

async fn tagged(head: String, mut stream: TcpStream, tag: usize) -> std::io::Result<()> {
    let asked = head.split(' ').nth(1).unwrap_or_default();
    let body = if asked == "/index.yaml" {
        listing(CHARTS)
    } else {
        b"\x1f\x8b\x08 an archive".to_vec()
    };
    let length = body.len();
    let (tag, other) = (
        "t".repeat(tag),
        "x".repeat(300 * 1024 - tag.min(300 * 1024)),
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\netag: \"{tag}\"\r\nx-other: {other}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

/// Charts whose Chart.yaml has megabytes that compress to nothing.
async fn long_texts_of_charts_count_as_what_they_take() {
    const MANY: usize = 36;
    let archive = Arc::new(packed(&"x".repeat(5 * MIB - 1024)));
    let url = serve(move |head, mut stream| {
        let archive = Arc::clone(&archive);
        Box::pin(async move {
            let body = match head.split(' ').nth(1).unwrap_or_default() {
                "/index.yaml" => listing(MANY),
                path if path.contains(".prov") => Vec::new(),
                _ => archive.to_vec(),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            stream.shutdown().await
        })
    })
    .await;
    let fetcher = evidence::fetcher(settings());
    let before = memory("VmRSS:");
    for chart in 0..MANY {
        let (chart, source) = (format!("c{chart}"), source(&url));
        let claimed = Claimed {
            chart: &chart,
            version: "1.0.0",
        };
        let asked = (Asked::now(), Forms::Statement);
        let gathered = evidence::gather(&fetcher, &source, claimed, asked).await;
        assert!(
            matches!(gathered, evidence::Gathered::Found(_)),
            "{gathered:?}"
        );
    }
    let grown = memory("VmRSS:").saturating_sub(before) / MIB;
    println!("long texts of charts: {grown} MiB");
    assert!(grown < 140, "{grown} MiB for {MANY} charts");
}

fn packed(description: &str) -> Vec<u8> {
    let yaml = format!("apiVersion: v2\nname: c\nversion: 1.0.0\ndescription: {description}\n");
    archive::packed("c", &yaml)
}

/// A registry that hands out tokens of 200 KiB, one for each chart.
async fn long_tokens_are_not_kept_without_bound() {
    let url = serve(|head, stream| Box::pin(registry(head, stream))).await;
    let url = url.replace("http://", "oci://");
    let (fetcher, before) = (fetcher(), memory("VmRSS:"));
    for chart in 0..CHARTS {
        let chart = format!("c{chart}");
        let asked = fetcher.fetch(&source(&url), &chart, "1.0.0").await;
        asked.unwrap_err();
    }
    let grown = memory("VmRSS:").saturating_sub(before) / MIB;
    println!("long tokens: {grown} MiB");
    assert!(grown < 40, "{grown} MiB for {CHARTS} charts");
}

async fn registry(head: String, mut stream: TcpStream) -> std::io::Result<()> {
    let address = stream.local_addr()?;
    let answer = if head.contains("/token?") {
        let token = format!(
            "{{\"token\":\"{}\",\"expires_in\":3600}}",
            "t".repeat(200 * 1024)
        );
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{token}",
            token.len()
        )
    } else if head.to_ascii_lowercase().contains("authorization: bearer") {
        "HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
    } else {
        format!(
            "HTTP/1.1 401 No\r\nwww-authenticate: Bearer realm=\"http://{address}/token\"\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        )
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

type Answered = std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

/// A server that hands each connection over with the head of its request.
async fn serve(answer: impl Fn(String, TcpStream) -> Answered + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let Some(head) = head(&mut stream).await else {
                    return;
                };
                // The client may hang up at any time.
                let _ = answer(head, stream).await;
            });
        }
    });
    url
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream
            .read(&mut piece)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        head.extend(&piece[..read]);
        // Who does not speak TLS answers its beginning in plain text.
        if head.first() == Some(&0x16) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            return None;
        }
    }
    String::from_utf8(head).ok()
}

fn settings() -> Settings {
    Settings {
        allowed_hosts: vec!["127.0.0.1".parse().unwrap()],
        auth_hosts: Vec::new(),
        limits: Limits::default(),
        user_agent: "charttrust/test".to_owned(),
    }
}

fn fetcher() -> Fetcher<()> {
    let reader = Reader {
        read: Arc::new(|_: &Digested<'_>| ()),
        cost: |()| 0,
    };
    Fetcher::new(settings(), reader)
}

fn source(url: &str) -> Source {
    Source::at(url)
}

/// Has the greatest memory measured from now on; gives what is taken now.
fn reset_peak() -> usize {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    memory("VmRSS:")
}

fn peak() -> usize {
    memory("VmHWM:")
}

/// A line of `/proc/self/status`, in bytes.
fn memory(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap();
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kib * 1024
}
