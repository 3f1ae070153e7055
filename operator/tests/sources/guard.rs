//! The address rule, seen from servers that must not be asked.

use charttrust::sources::{Cause, FetchError, Refused};
use wiremock::{MockServer, ResponseTemplate};

use crate::server::*;

async fn refused(named: &[&str], url: &str) -> Refused {
    let error = fetcher_with(named, limits())
        .fetch(&source(url), CHART, VERSION)
        .await
        .unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    match error {
        FetchError::Refused { refused, .. } => refused,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_on_loopback_is_asked_only_if_named() {
    let server = repository().await;
    let port = server.address().port();
    for (named, expected) in [
        (vec![], Refused::PlainHttp),
        (vec!["localhost".to_owned()], Refused::PlainHttp),
        (
            vec![format!("127.0.0.1:{}", port.wrapping_add(1).max(1))],
            Refused::PlainHttp,
        ),
        (vec!["127.0.0.2".to_owned()], Refused::PlainHttp),
    ] {
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        assert_eq!(refused(&named, &server.uri()).await, expected, "{named:?}");
    }
    assert_eq!(
        refused(&[], &server.uri().replace("http:", "https:")).await,
        Refused::PrivateAddress
    );
    assert!(paths(&server).await.is_empty());
    for named in ["127.0.0.1".to_owned(), format!("127.0.0.1:{port}")] {
        assert!(
            fetcher_with(&[&named], limits())
                .fetch(&source(server.uri()), CHART, VERSION)
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn a_name_that_stands_for_loopback_is_refused_unless_named() {
    let server = repository().await;
    let url = server
        .uri()
        .replace("http://127.0.0.1", "https://localhost");
    assert_eq!(refused(&[], &url).await, Refused::PrivateAddress);
    assert_eq!(refused(&["127.0.0.1"], &url).await, Refused::PrivateAddress);
    let port = server.address().port();
    assert!(
        fetcher_with(&["localhost"], limits())
            .fetch(&source(format!("http://localhost:{port}")), CHART, VERSION)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn no_spelling_of_a_private_address_reaches_the_server() {
    let server = repository().await;
    let port = server.address().port();
    for host in [
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "127.0.0.1.",
        "[::1]",
    ] {
        let found = refused(&["example.com"], &format!("https://{host}:{port}")).await;
        assert_eq!(found, Refused::PrivateAddress, "{host}");
    }
    assert!(paths(&server).await.is_empty());
}

#[tokio::test]
async fn an_index_cannot_send_us_to_forbidden_places() {
    for (target, expected) in [
        (
            "http://169.254.169.254/latest/meta-data/",
            Refused::PlainHttp,
        ),
        (
            "https://169.254.169.254/latest/meta-data/",
            Refused::ForbiddenAddress,
        ),
        ("https://[fd00:ec2::254]/", Refused::ForbiddenAddress),
        ("https://10.0.0.1/", Refused::PrivateAddress),
        (
            "https://kubernetes.default.svc@127.0.0.1/",
            Refused::UserInfo,
        ),
        ("file:///etc/passwd", Refused::Scheme),
        ("//10.0.0.1/c.tgz", Refused::PlainHttp),
    ] {
        let server = MockServer::start().await;
        serve(
            &server,
            INDEX,
            ResponseTemplate::new(200).set_body_string(index(target)),
        )
        .await;
        let port = server.address().port();
        assert_eq!(
            refused(&[&format!("127.0.0.1:{port}")], &server.uri()).await,
            expected,
            "{target}"
        );
    }
}

#[tokio::test]
async fn metadata_addresses_stay_forbidden_when_named() {
    for host in [
        "169.254.169.254",
        "[fe80::1]",
        "0.0.0.0",
        "224.0.0.1",
        "100.100.100.200",
    ] {
        assert_eq!(
            refused(&[host], &format!("http://{host}/")).await,
            Refused::ForbiddenAddress
        );
    }
}

#[tokio::test]
async fn a_refusal_names_the_rule_and_the_way_on() {
    let error = fetcher_with(&[], limits())
        .fetch(&source("https://10.0.0.1/charts?x=canary"), CHART, VERSION)
        .await;
    let text =
        "https://10.0.0.1/charts/index.yaml: a private address needs `--allow-host` for this host";
    assert_eq!(error.unwrap_err().to_string(), text);
}

#[tokio::test]
async fn refused_requests_are_not_counted() {
    let fetcher = fetcher_with(&[], limits());
    for url in ["https://10.0.0.1/", "https://localhost:1/"] {
        assert!(fetcher.fetch(&source(url), CHART, VERSION).await.is_err());
    }
    assert!(fetcher.counts().requests.is_empty());
}

/// Runs a test of this file again in a process whose environment names a proxy.
#[test]
fn a_proxy_in_the_environment_is_not_used() {
    let nowhere = "http://127.0.0.1:1";
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "guard::a_server_on_loopback_is_asked_only_if_named",
        ])
        .envs(
            [
                "http_proxy",
                "https_proxy",
                "HTTPS_PROXY",
                "ALL_PROXY",
                "all_proxy",
            ]
            .map(|name| (name, nowhere)),
        )
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(text.contains("1 passed"), "{text}");
}
