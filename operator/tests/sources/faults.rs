//! Sources that are down, slow, endless or broken.

use std::time::Duration;

use charttrust::sources::{Cause, FetchError, Limits, ProvenanceAnswer};
use tokio::net::TcpListener;

use crate::server::*;

/// What a raw repository leads to when one of its files is answered otherwise.
async fn outcome(
    at: &'static str,
    other: impl Fn() -> Answer + Send + Sync + 'static,
) -> FetchError {
    let raw = Raw::serve(usual_but(at, other)).await;
    match fetch(&raw.url).await {
        Err(error) => error,
        Ok(fetched) => match fetched.provenance {
            ProvenanceAnswer::Unavailable(error) => error,
            other => panic!("{other:?}"),
        },
    }
}

/// Runs a check for each of the three files.
async fn for_each_part(
    expected: Cause,
    answer: impl Fn() -> Answer + Clone + Send + Sync + 'static,
) {
    for at in [INDEX, ARCHIVE, PROVENANCE] {
        let began = charttrust::clock::tick();
        let error = outcome(at, answer.clone()).await;
        assert_eq!(error.cause(), expected, "{at}: {error}");
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{at} took {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn a_usual_raw_repository_is_read() {
    let raw = Raw::serve(usual_but("/none", || ok(b""))).await;
    assert!(matches!(
        fetch(&raw.url).await.unwrap().provenance,
        ProvenanceAnswer::Present(_)
    ));
}

#[tokio::test]
async fn a_body_without_end_stops_at_the_limit() {
    let gzip = [GZIP, &[0; 4096]].concat();
    for_each_part(Cause::LimitExceeded, move || {
        Answer::Endless(http("200 OK", GZIP), gzip.clone())
    })
    .await;
}

#[tokio::test]
async fn a_chunked_body_without_end_stops_at_the_limit() {
    for_each_part(Cause::LimitExceeded, || {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        Answer::Endless(head, [b"400\r\n", &[b'#'; 1024][..], b"\r\n"].concat())
    })
    .await;
}

#[tokio::test]
async fn an_announced_length_above_the_limit_is_not_waited_for() {
    for_each_part(Cause::LimitExceeded, || {
        Answer::Silence(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n".to_vec())
    })
    .await;
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_no_answer() {
    for_each_part(Cause::SourceUnavailable, || {
        Answer::Close(http("200 OK\r\ncontent-length: 1000", GZIP))
    })
    .await;
}

#[tokio::test]
async fn a_body_longer_than_announced_ends_where_it_was_announced() {
    let long = || {
        Answer::Close(http(
            &format!("200 OK\r\ncontent-length: {}", SIGNED.len()),
            format!("{SIGNED}more").as_bytes(),
        ))
    };
    let raw = Raw::serve(usual_but(PROVENANCE, long)).await;
    assert_eq!(
        provenance(&raw.url).await,
        ProvenanceAnswer::Present(SIGNED.as_bytes().into())
    );
}

#[tokio::test]
async fn a_source_that_says_nothing_is_given_up() {
    for_each_part(Cause::SourceUnavailable, || Answer::Silence(Vec::new())).await;
}

#[tokio::test]
async fn a_source_that_falls_silent_in_a_body_is_given_up() {
    for_each_part(Cause::SourceUnavailable, || {
        Answer::Silence(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\napi".to_vec())
    })
    .await;
}

#[tokio::test]
async fn a_slow_loris_is_given_up_after_the_total_time() {
    for_each_part(Cause::SourceUnavailable, || {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n".to_vec();
        Answer::Slow(head, b"#".to_vec(), Duration::from_millis(20))
    })
    .await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    for_each_part(Cause::SourceUnavailable, || {
        let head = b"HTTP/1.1 200 OK\r\n".to_vec();
        Answer::Slow(head, b"x-a: b\r\n".to_vec(), Duration::from_millis(20))
    })
    .await;
}

#[tokio::test]
async fn a_head_without_bounds_is_given_up() {
    for_each_part(Cause::SourceUnavailable, || {
        Answer::Endless(
            b"HTTP/1.1 200 OK\r\n".to_vec(),
            b"x-padding: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n".to_vec(),
        )
    })
    .await;
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    for garbage in [
        "",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 99999 OK\r\n\r\n",
        "\0\0\0",
    ] {
        for_each_part(Cause::SourceUnavailable, || {
            Answer::Close(garbage.as_bytes().to_vec())
        })
        .await;
    }
}

#[tokio::test]
async fn both_length_and_chunks_do_not_smuggle_a_body() {
    let body =
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let raw = Raw::serve(usual_but(PROVENANCE, || Answer::Close(body.to_vec()))).await;
    assert!(!matches!(
        provenance(&raw.url).await,
        ProvenanceAnswer::Present(_)
    ));
}

#[tokio::test]
async fn a_compressed_body_is_not_unpacked() {
    let head = "200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 14";
    let raw = Raw::serve(usual_but(ARCHIVE, move || Answer::Close(http(head, GZIP)))).await;
    assert_eq!(GZIP.len(), 14);
    assert_eq!(fetch(&raw.url).await.unwrap().archive.content, GZIP);
}

#[tokio::test]
async fn a_closed_port_is_unavailable_and_the_message_is_constant() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = fetch(&url).await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    assert_eq!(
        error.to_string(),
        format!("{url}/index.yaml: connection refused")
    );
    assert_eq!(fetch(&url).await.unwrap_err(), error);
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_unavailable() {
    let raw = Raw::serve(usual_but("/none", || ok(b""))).await;
    let error = fetch(raw.url.replace("http:", "https:")).await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_unavailable() {
    let error = fetch("https://charts.invalid/").await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    assert!(
        error
            .to_string()
            .starts_with("https://charts.invalid/index.yaml: "),
        "{error}"
    );
}

#[tokio::test]
async fn messages_of_timeouts_are_constant() {
    let raw = Raw::serve(usual_but(INDEX, || Answer::Silence(Vec::new()))).await;
    let error = fetch(&raw.url).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}/index.yaml did not answer in time", raw.url)
    );
}

#[tokio::test]
async fn a_good_beginning_does_not_make_a_broken_index() {
    let half = index("payments-2.4.1.tgz");
    let answer = move || {
        Answer::Close(http(
            &format!("200 OK\r\ncontent-length: {}", half.len() + 1),
            half.as_bytes(),
        ))
    };
    assert!(matches!(
        outcome(INDEX, answer).await,
        FetchError::Network { .. }
    ));
}

#[tokio::test]
async fn an_index_bomb_is_a_limit() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    assert_eq!(
        outcome(INDEX, || ok(bomb.as_bytes())).await.cause(),
        Cause::LimitExceeded
    );
}

#[tokio::test]
async fn a_server_that_alternates_is_taken_at_its_word_each_time() {
    let turn = std::sync::atomic::AtomicU8::new(0);
    let answer = move || {
        ok(&[
            GZIP,
            &[turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed)],
        ]
        .concat())
    };
    let raw = Raw::serve(usual_but(ARCHIVE, answer)).await;
    let fetcher = fetcher();
    for turn in 0..3 {
        let fetched = fetcher
            .fetch(&source(&raw.url), CHART, VERSION)
            .await
            .unwrap();
        assert_eq!(fetched.archive.content, [GZIP, &[turn]].concat());
    }
}

#[tokio::test]
async fn one_slow_source_does_not_hold_up_another() {
    let slow = Raw::serve(usual_but(INDEX, || Answer::Silence(Vec::new()))).await;
    let quick = Raw::serve(usual_but("/none", || ok(b""))).await;
    let fetcher = fetcher_with(
        &["127.0.0.1"],
        Limits {
            idle: Duration::from_secs(60),
            total: Duration::from_secs(60),
            ..limits()
        },
    );
    let waiting = {
        let (fetcher, source) = (fetcher.clone(), source(&slow.url));
        tokio::spawn(async move { fetcher.fetch(&source, CHART, VERSION).await.is_ok() })
    };
    assert!(
        fetcher
            .fetch(&source(&quick.url), CHART, VERSION)
            .await
            .is_ok()
    );
    assert!(!waiting.is_finished());
    waiting.abort();
}
