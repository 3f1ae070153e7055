//! What whoever reaches the webhook's port may send, over its real socket: there is an answer in time or none at all,
//! little memory, nothing in its log of what was sent, and nobody who is an API server waits for it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use charttrust_e2e::charts::Source;
use charttrust_e2e::door::Door;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::process::{memory, reset_peak};
use charttrust_e2e::record;
use charttrust_e2e::stage::SOON;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::certificates::bundle;
use crate::setup::{heard, records, story_alone};
use crate::table::restart;

const MIB: usize = 1 << 20;
/// An API server waits for as long.
const DEADLINE: Duration = Duration::from_secs(5);
/// What the webhook may take beside what it takes when nobody asks, in MiB.
const MOST_MEMORY: usize = 64;
/// Stands in everything that is sent, and must stand nowhere else.
const CANARY: &str = "canary-7c1f0b";
const UID: &str = "7f0b2891-916f-4ed6-b7cd-27bff1815a8c";
/// Who calls as API servers do here, and who else does.
const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;
const POD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A review of a record, after a change.
fn review(namespace: &str, payload: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": UID,
            "kind": {"group": "", "version": "v1", "kind": "Secret"},
            "namespace": namespace, "operation": "CREATE",
            "userInfo": {"username": CANARY},
            "object": {
                "metadata": {
                    "name": "sh.helm.release.v1.web.v1",
                    "labels": {"owner": "helm", "status": "pending-install"},
                    "annotations": {"note": CANARY},
                },
                "type": "helm.sh/release.v1", "data": {"release": payload},
            },
        },
    });
    change(&mut review);
    review.to_string().into_bytes()
}

/// A record whose values hold the canary, as the API server shows a Secret's.
fn payload(change: impl FnOnce(&mut Value)) -> String {
    let mut record = json!({
        "name": "web", "version": 1, "namespace": "shop", "info": {"status": "pending-install"},
        "config": {"password": CANARY},
        "chart": {"metadata": {"name": "web", "version": "1.0.0", "apiVersion": "v2"}},
    });
    change(&mut record);
    record::encode(&record).unwrap()
}

/// One request: its line and more headers, and its body.
fn request(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: webhook\r\nX-Note: {CANARY}\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn posted(body: &[u8]) -> Vec<u8> {
    let json = "Content-Type: application/json\r\n";
    request("POST /v1/records", json, body)
}

/// Sends something and gives the status and the body of what is answered; nothing if the connection is closed.
async fn answered(door: &Door, trust: &[u8], sent: &[u8]) -> Option<(u16, String)> {
    let begun = Instant::now();
    let all = async {
        let mut stream = door.connect(SERVER, trust).await.ok()?;
        // It may be closed while more is to come.
        let _ = stream.write_all(sent).await;
        read(&mut stream).await
    };
    let answered = timeout(DEADLINE, all).await;
    let took = begun.elapsed();
    answered.unwrap_or_else(|_| panic!("no answer in {took:?}"))
}

/// Reads one answer.
async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<(u16, String)> {
    let mut answer = Vec::new();
    let mut part = vec![0; 16 * 1024];
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                value.parse::<usize>().ok().filter(|_| is_length)
            });
            if body.len() >= length.unwrap_or(0) {
                let status = head.split(' ').nth(1)?.parse().ok()?;
                return Some((status, body.to_owned()));
            }
        }
        let number = stream
            .read(&mut part)
            .await
            .ok()
            .filter(|number| *number > 0)?;
        answer.extend_from_slice(&part[..number]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_in_time_or_not_at_all() {
    let (story, door) = story_alone("hostile", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let strict = json!({"mode": "Enforce", "admission": {"onUnknown": "Deny", "lookup": "Memory"}});
    let policy = story.policy("strict", &[&key], strict).await;
    heard(&story, &policy).await;
    let trust = bundle(&story.client).await;
    let idle = reset_peak(door.id()).unwrap();
    let here = story.namespace.as_str();
    for one in strange(here).into_iter().chain(wrong(here)) {
        let Sent(what, sent, status, told) = one;
        let answer = answered(&door, &trust, &sent).await;
        let (seen, text) = answer.unwrap_or_default();
        assert_eq!(seen, status, "{what}: {text}");
        assert!(text.contains(told), "{what}: {text}");
        assert!(!text.contains(CANARY), "{what}: {text}");
        assert_eq!(text.contains(UID), !told.is_empty(), "{what}: {text}");
    }
    without_tls_nobody_is_answered(&door).await;
    tokio::join!(
        a_body_that_dribbles_is_cut_off(&door, &trust, here),
        a_head_that_dribbles_is_cut_off(&door, &trust),
    );
    two_hundred_at_a_time(&door, &trust, here).await;

    let grown = memory(door.id(), "VmHWM:").saturating_sub(idle) / MIB;
    println!(
        "{grown} MiB more than when nobody asks ({} MiB)",
        idle / MIB
    );
    assert!(grown < MOST_MEMORY, "{grown} MiB");
    let log = door.log();
    assert!(!log.contains(CANARY), "{log}");
    let after = answered(&door, &trust, &posted(b"")).await;
    assert_eq!(after.map(|(status, _)| status), Some(400));
}

/// What is sent, and the status and a part of the text that it is answered with. Only what is a review is answered
/// with its uid.
struct Sent(&'static str, Vec<u8>, u16, &'static str);

fn good(here: &str) -> Vec<u8> {
    review(here, &payload(|_| {}), |_| {})
}

fn sized(here: &str, size: usize) -> Vec<u8> {
    let mut body = good(here);
    body.resize(size, b' ');
    posted(&body)
}

/// Reviews of what is, or claims to be, a record.
fn strange(here: &str) -> Vec<Sent> {
    let of = |payload: &str| posted(&review(here, payload, |_| {}));
    let bomb = payload(|record| record["manifest"] = json!("a".repeat(64 * MIB)));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = format!("{{\"name\":\"web\",\"config\":{deep}}}");
    let deep = BASE64_STANDARD.encode(BASE64_STANDARD.encode(deep));
    let (asked, unread) = ("SourceUnavailable", "ReleaseUnreadable");
    let line = "POST /v1/records";
    let html = "Content-Type: text/html\r\n";
    vec![
        Sent("a record", posted(&good(here)), 200, asked),
        Sent("the largest body", sized(here, 3 * MIB), 200, asked),
        Sent("no type", request(line, "", &good(here)), 200, asked),
        Sent("another type", request(line, html, &good(here)), 200, asked),
        Sent("a deep record", of(&deep), 200, unread),
        Sent("a bomb", of(&bomb), 200, unread),
        Sent("no payload", of(CANARY), 200, unread),
    ]
}

/// What is no review.
fn wrong(here: &str) -> Vec<Sent> {
    let uid = |uid: Value| {
        let change = |review: &mut Value| review["request"]["uid"] = uid;
        posted(&review(here, &payload(|_| {}), change))
    };
    let deep = "{\"request\":".repeat(200_000).into_bytes();
    let many = "X-A: b\r\n".repeat(2000);
    let good = good(here);
    vec![
        Sent("a larger body", sized(here, 3 * MIB + 1), 413, ""),
        Sent("no JSON", posted(CANARY.as_bytes()), 400, ""),
        Sent("nothing", posted(b""), 400, ""),
        Sent("deep JSON", posted(&deep), 400, ""),
        Sent("no uid", uid(json!("")), 400, ""),
        Sent("a long uid", uid(json!("u".repeat(129))), 400, ""),
        Sent("a uid that is none", uid(json!(7)), 400, ""),
        Sent("a GET", request("GET /v1/records", "", b""), 405, ""),
        Sent("a PUT", request("PUT /v1/records", "", &good), 405, ""),
        Sent("elsewhere", request("POST /v1/other", "", &good), 404, ""),
        Sent("no HTTP", format!("{CANARY}\r\n\r\n").into_bytes(), 400, ""),
        Sent(
            "many headers",
            request("POST /v1/records", &many, &good),
            431,
            "",
        ),
    ]
}

async fn without_tls_nobody_is_answered(door: &Door) {
    let mut plain = TcpStream::connect(door.address()).await.unwrap();
    plain.write_all(&posted(b"{}")).await.unwrap();
    let mut answer = Vec::new();
    let closed = timeout(2 * DEADLINE, plain.read_to_end(&mut answer)).await;
    assert!(closed.is_ok() && !String::from_utf8_lossy(&answer).contains("HTTP"));
}

async fn a_body_that_dribbles_is_cut_off(door: &Door, trust: &[u8], here: &str) {
    let whole = posted(&good(here));
    let mut slow = door.connect(SERVER, trust).await.unwrap();
    let begun = Instant::now();
    let (mut reading, mut writing) = tokio::io::split(&mut slow);
    let dribbling = async {
        let (head, body) = whole.split_at(whole.len() / 2);
        writing.write_all(head).await.unwrap();
        for byte in body {
            writing.write_all(&[*byte]).await.unwrap();
            writing.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (status, _) = tokio::select! {
        answer = read(&mut reading) => answer.unwrap(),
        () = dribbling => panic!("all of it was waited for"),
    };
    assert!(status == 408 && begun.elapsed() < DEADLINE, "{status}");
}

/// Both on a new connection, and where something was answered before.
async fn a_head_that_dribbles_is_cut_off(door: &Door, trust: &[u8]) {
    let cut = async |has_asked: bool| {
        let mut slow = door.connect(POD, trust).await.unwrap();
        if has_asked {
            let whole = request("GET /v1/records", "", b"");
            slow.write_all(&whole).await.unwrap();
            assert_eq!(read(&mut slow).await.unwrap().0, 405);
        }
        let begun = Instant::now();
        slow.write_all(b"POST /v1/records HTTP/1.1\r\nX-Note: ")
            .await
            .unwrap();
        while begun.elapsed() < 3 * DEADLINE && slow.write_all(b"a").await.is_ok() {
            let mut answer = [0; 64];
            let ended = timeout(Duration::from_millis(200), slow.read(&mut answer)).await;
            if ended.is_ok() {
                break;
            }
        }
        let held = begun.elapsed();
        assert!(held < 2 * DEADLINE, "it was held for {held:?}");
    };
    tokio::join!(cut(false), cut(true));
}

/// As many as one API server hardly has, each with a record of a mebibyte: some are judged, and whoever is not is told
/// so in time.
async fn two_hundred_at_a_time(door: &Door, trust: &[u8], here: &str) {
    let large = payload(|record| {
        let noise = (0..700_000_u32).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761)));
        record["manifest"] = json!(noise.collect::<String>()[..1_400_000]);
    });
    let large = posted(&review(here, &large, |_| {}));
    let begun = Instant::now();
    let all = (0..200).map(|_| async {
        let mut stream = door.connect(SERVER, trust).await.ok()?;
        let _ = stream.write_all(&large).await;
        let answer = timeout(DEADLINE, read(&mut stream)).await;
        answer.expect("an answer")
    });
    let all = join_all(all).await;
    let statuses = all
        .iter()
        .map(|one| one.as_ref().map_or(0, |(status, _)| *status));
    let statuses: Vec<_> = statuses.collect();
    let judged = statuses.iter().filter(|status| **status == 200).count();
    println!("200 at a time: {judged} judged, in {:?}", begun.elapsed());
    // A connection is closed, at worst.
    let is_known = |status: &u16| [0, 200, 408].contains(status);
    assert!(judged > 0 && statuses.iter().all(is_known), "{statuses:?}");
}

/// A Pod that takes connections, sends bodies and does not end them, or begins requests, for as long as it lasts.
async fn besiege(door: &Door, trust: &[u8], from: Ipv4Addr) {
    let whole = posted(&vec![b' '; 2 * MIB]);
    let parts = [&whole[..MIB], &whole[..200], &whole[..20]];
    let parts = parts.into_iter().cycle().take(SIEGE);
    join_all(parts.map(|part| press(door, (trust, from), part))).await;
}

async fn press(door: &Door, (trust, from): (&[u8], Ipv4Addr), part: &[u8]) {
    loop {
        let Ok(mut stream) = door.connect(from, trust).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        if stream.write_all(part).await.is_ok() {
            // What is answered ends the connection, or somebody else has taken its place.
            let mut answer = [0; 64];
            let _ = stream.read(&mut answer).await;
        }
    }
}

/// More than there are places for connections.
const SIEGE: usize = 320;

/// While API servers get no answer everything goes in: no Pod may be able to bring that about, also by being there
/// first when the webhook has just been started.
#[tokio::test(flavor = "multi_thread")]
async fn who_sends_and_does_not_end_keeps_no_api_server_out() {
    let (story, mut door) = story_alone("siege", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story
        .policy("strict", &[&key], json!({"mode": "Enforce"}))
        .await;
    heard(&story, &policy).await;
    let bare = story.publish(&Source::new("bare", "1.0.0"), None).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let trust = bundle(&story.client).await;
    restart(&mut door).await;
    let before = door.metrics().await.unwrap();
    let told = async {
        // Until it has gone on for a while.
        eventually(SOON, "the siege is felt", async || {
            let metrics = door.metrics().await.map_err(|error| error.to_string())?;
            let felt = failed(&metrics) >= failed(&before) + 20;
            if felt { Ok(()) } else { Err(metrics) }
        })
        .await;
        for number in 0..10 {
            let name = format!("bare-{number}");
            let said = story.try_install(&name, &bare).await;
            let said = said.expect_err("it is refused").to_string();
            assert!(said.contains("Unsigned"), "{said}");
            assert!(records(&story, &name).await.is_empty());
        }
        story.install("web", &signed).await;
    };
    tokio::select! {
        () = told => {}
        () = besiege(&door, &trust, POD) => panic!("a siege has no end"),
    }
}

/// How many reviews had no answer.
fn failed(metrics: &str) -> u64 {
    let name = r#"charttrust_admission_reviews_total{result="failed"} "#;
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}
