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
const SOON: Duration = Duration::from_millis(300);

/// How many archives of a size, each of another repository, are in memory at a time.
async fn held_at_a_time(bytes: usize) -> usize {
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
        let waited = changed.wait_timeout_while(held, SOON, is_alone);
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
    assert_eq!(held_at_a_time(3 << 20).await, MOST);
    assert_eq!(held_at_a_time(1000).await, MANY);
}
