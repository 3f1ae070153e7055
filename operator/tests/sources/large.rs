//! What is large is in memory with few others at a time, whoever sends it.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use charttrust::sources::{Fetcher, Limits, Reader, Settings};
use charttrust_verify::digest::Digested;
use wiremock::{MockServer, ResponseTemplate};

use crate::server::*;

const MANY: usize = 6;
/// How many archives are read at a time, at most.
const MOST: usize = 2;
/// How long those wait for others of whom not all can come.
const SOON: Duration = Duration::from_millis(300);
/// And those of whom all will.
const LATE: Duration = Duration::from_secs(30);
/// The places are those of the process, so that these tests take turns.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How many archives of a size, each of another repository, are in memory at a time.
async fn held_at_a_time(bytes: usize, soon: Duration) -> usize {
    let inside = Arc::new((Mutex::new((0, 0)), Condvar::new()));
    let counted = Arc::clone(&inside);
    let read = move |_: &Digested<'_>| {
        let (counts, changed) = &*counted;
        let mut held = counts.lock().unwrap();
        held.0 += 1;
        held.1 = held.1.max(held.0);
        changed.notify_all();
        // Held until all are here, or nobody comes any more.
        let is_alone = |held: &mut (usize, usize)| held.1 < MANY;
        let waited = changed.wait_timeout_while(held, soon, is_alone);
        waited.unwrap().0.0 -= 1;
    };
    let fetcher = Fetcher::new(
        Settings {
            allowed_hosts: vec!["127.0.0.1".parse().unwrap()],
            auth_hosts: Vec::new(),
            limits: Limits::default(),
            user_agent: "charttrust/test".to_owned(),
        },
        Reader {
            read: Arc::new(read),
            cost: |()| 0,
        },
    );
    let archive: Vec<u8> = GZIP.iter().copied().cycle().take(bytes).collect();
    let mut servers = Vec::new();
    for _ in 0..MANY {
        let server = MockServer::start().await;
        let of_archive = ResponseTemplate::new(200).set_body_bytes(archive.clone());
        serve(&server, ARCHIVE, of_archive).await;
        let of_index = ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz"));
        serve(&server, INDEX, of_index).await;
        servers.push(server);
    }
    let sources: Vec<_> = servers.iter().map(|server| source(server.uri())).collect();
    let all = sources
        .iter()
        .map(|source| fetcher.fetch(source, CHART, VERSION));
    for fetched in futures::future::join_all(all).await {
        fetched.unwrap();
    }
    inside.0.lock().unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_large_archives_are_in_memory_at_a_time_and_small_ones_wait_for_none() {
    let _alone = ALONE.lock().await;
    assert_eq!(held_at_a_time(3 << 20, SOON).await, MOST);
    assert_eq!(held_at_a_time(1000, LATE).await, MANY);
}

/// As in the operator, where they are ten times as long.
fn patience() -> Limits {
    let of_operator = Limits::default();
    Limits {
        idle: of_operator.idle / 10,
        large_turn: of_operator.large_turn / 10,
        total: of_operator.total / 10,
        ..of_operator
    }
}

/// How long one look at a source may take, by the same measure.
const LOOK: Duration = Duration::from_secs(15);

/// The usual repository, with an index and an archive that are large.
async fn repository_of_large() -> MockServer {
    let server = MockServer::start().await;
    let archive: Vec<u8> = GZIP.iter().copied().cycle().take(3 << 20).collect();
    let of_archive = ResponseTemplate::new(200).set_body_bytes(archive);
    serve(&server, ARCHIVE, of_archive).await;
    let listed = index("payments-2.4.1.tgz") + &padding();
    let of_index = ResponseTemplate::new(200).set_body_string(listed);
    serve(&server, INDEX, of_index).await;
    server
}

fn padding() -> String {
    "# More than an index may have that needs no place.\n".repeat(10_000)
}

/// A source whose index is large, and comes a few bytes at a time after that.
async fn trickling() -> Raw {
    Raw::serve(|_| {
        let first = [http("200 OK", b"entries: {}\n"), padding().into_bytes()].concat();
        Answer::Slow(first, b"# \n".to_vec(), Duration::from_millis(50))
    })
    .await
}

/// As many as there are workers for slow sources.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_sources_keep_no_other_from_what_is_large() {
    let _alone = ALONE.lock().await;
    let fetcher = fetcher_with(&["127.0.0.1"], patience());
    let mut hostile = Vec::new();
    for _ in 0..8 {
        let (server, fetcher) = (trickling().await, fetcher.clone());
        hostile.push(tokio::spawn(async move {
            loop {
                let source = source(server.url.clone());
                let asked = fetcher.fetch(&source, CHART, VERSION).await;
                assert!(asked.is_err());
            }
        }));
    }
    let honest = repository_of_large().await;
    for _ in 0..2 {
        let source = source(honest.uri());
        let asked = fetcher.fetch(&source, CHART, VERSION);
        let fetched = tokio::time::timeout(LOOK, asked).await;
        fetched.expect("an answer in time").expect("an archive");
    }
    hostile.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Slower than its turn, and nobody waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_source_that_keeps_nobody_waiting_has_its_time() {
    let _alone = ALONE.lock().await;
    let server = trickling().await;
    let fetcher = fetcher_with(&["127.0.0.1"], patience());
    let source = source(server.url.clone());
    let asked = fetcher.fetch(&source, CHART, VERSION);
    let long = patience().total * 9 / 10;
    let ended = tokio::time::timeout(long, asked).await;
    assert!(ended.is_err(), "it is read still");
}
