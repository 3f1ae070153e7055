//! A registry that sends its askers to somebody else for a token: not one byte of credentials arrives.

use charttrust::sources::{Cause, Credentials, FetchError};
use serde_json::json;
use wiremock::{MockServer, Request, ResponseTemplate};

use crate::registry::*;
use crate::server::{CHART, VERSION, fetcher, fetcher_of, has_secret};

fn all_credentials() -> [Credentials; 2] {
    [
        Credentials::Basic {
            username: "canary".to_owned().into(),
            password: "canary".to_owned().into(),
        },
        Credentials::Identity("canary".to_owned().into()),
    ]
}

async fn refused(realm: &str, credentials: Credentials) -> FetchError {
    let registry = Registry::signed().await;
    registry.log_in(TOKEN, &format!(r#"Bearer realm="{realm}",service="x""#));
    let fetched = fetcher()
        .fetch(&registry.source_with(credentials), CHART, VERSION)
        .await;
    let requests = registry.server.received_requests().await.unwrap();
    assert!(
        requests.iter().all(|request| !has_secret(request)),
        "{realm}"
    );
    let error = fetched.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable, "{realm}: {error}");
    assert!(!error.to_string().contains("canary"), "{realm}: {error}");
    error
}

/// Token services that are none of a registry on loopback, and how it may name them.
fn realms_of_others(honeypot: &MockServer) -> Vec<String> {
    vec![
        format!("{}/token", honeypot.uri()),
        format!("{}/token", honeypot.uri().replace("127.0.0.1", "localhost")),
        format!("http://127.0.0.1@{}/token", honeypot.address()),
        format!("http://canary:canary@{}/token", honeypot.address()),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://169.254.169.254/".to_owned(),
        "https://[fd00:ec2::254]/".to_owned(),
        "http://2852039166/".to_owned(),
        "https://10.0.0.1/token".to_owned(),
        "http://auth.example/token".to_owned(),
        "https://xn--e1awd7f.example/token".to_owned(),
        "https://auth.docker.io/token".to_owned(),
        "file:///etc/passwd".to_owned(),
    ]
}

#[tokio::test]
async fn credentials_do_not_go_to_the_token_service_of_somebody_else() {
    let honeypot = token_service().await;
    for credentials in all_credentials() {
        for realm in realms_of_others(&honeypot) {
            refused(&realm, credentials.clone()).await;
        }
    }
    assert!(honeypot.received_requests().await.unwrap().is_empty());
}

fn token_of_ours() -> Credentials {
    Credentials::Renewed {
        audience: "charts.test".to_owned(),
        token: "canary".to_owned().into(),
    }
}

/// A token of our own `ServiceAccount` is for the registry, and for no token service of somebody else.
#[tokio::test]
async fn a_token_of_ours_goes_to_the_registry_and_nowhere_else() {
    let honeypot = token_service().await;
    for realm in [
        format!("{}/token", honeypot.uri()),
        "https://169.254.169.254/".to_owned(),
        "https://auth.docker.io/token".to_owned(),
    ] {
        let registry = Registry::signed().await;
        registry.log_in(
            "Bearer canary",
            &format!(r#"Bearer realm="{realm}",service="x""#),
        );
        let source = registry.source_with(token_of_ours());
        fetcher().fetch(&source, CHART, VERSION).await.unwrap();
        let requests = registry.server.received_requests().await.unwrap();
        assert!(
            !has_secret(&requests[0]),
            "it is sent when a token is asked for"
        );
        assert!(requests.iter().skip(1).all(has_secret));
    }
    assert!(honeypot.received_requests().await.unwrap().is_empty());
}

/// What each request has shown, in order.
async fn shown(server: &MockServer) -> Vec<(String, String)> {
    let requests = server.received_requests().await.unwrap();
    let shown = |request: &Request| {
        let given = request.headers.get("authorization");
        let given = given.map_or("", |given| given.to_str().unwrap());
        let path = request.url.path().split("/sha256:").next().unwrap();
        (path.to_owned(), given.to_owned())
    };
    requests.iter().map(shown).collect()
}

/// The token service that belongs to a registry may take a token of ours, where the registry does not.
#[tokio::test]
async fn a_token_of_ours_is_exchanged_at_the_registrys_own_token_service() {
    let registry = Registry::signed_but(|request, _| {
        let is_token = request.url.path() == "/token";
        let given = request.headers.get("authorization")?;
        let token = json!({"token": "token-of-repository:charts/payments:pull"});
        (is_token && given == "Bearer canary")
            .then(|| ResponseTemplate::new(200).set_body_json(token))
    });
    let registry = registry.await;
    let realm = format!("{}/token", registry.server.uri());
    registry.log_in(TOKEN, &format!(r#"Bearer realm="{realm}",service="x""#));
    let (fetcher, source) = (fetcher(), registry.source_with(token_of_ours()));
    fetcher.fetch(&source, CHART, VERSION).await.unwrap();
    let manifest = "/v2/charts/payments/manifests/2.4.1";
    let blobs = "/v2/charts/payments/blobs";
    let expected = [
        (manifest, ""),
        (manifest, "Bearer canary"),
        ("/token", "Bearer canary"),
        (manifest, TOKEN),
        (blobs, TOKEN),
        (blobs, TOKEN),
    ];
    let expected = expected.map(|(path, given)| (path.to_owned(), given.to_owned()));
    assert_eq!(shown(&registry.server).await, expected);
    // The next look needs neither refusal nor exchange.
    fetcher.fetch(&source, CHART, VERSION).await.unwrap();
    let next = shown(&registry.server).await.split_off(expected.len());
    assert_eq!(next, [(manifest.to_owned(), TOKEN.to_owned())]);
}

#[tokio::test]
async fn a_token_of_ours_goes_to_the_token_service_that_an_administrator_names() {
    for is_named in [true, false] {
        let (registry, service) = (Registry::signed().await, token_service().await);
        let realm = format!("{}/token", service.uri());
        registry.log_in(TOKEN, &format!(r#"Bearer realm="{realm}",service="x""#));
        let pair = format!("{}={}", registry.server.address(), service.address());
        let pairs = is_named.then(|| pair.parse().unwrap());
        let fetcher = fetcher_of(pairs.into_iter().collect());
        let source = registry.source_with(token_of_ours());
        let fetched = fetcher.fetch(&source, CHART, VERSION).await;
        assert_eq!(fetched.is_ok(), is_named);
        let asked = shown(&service).await;
        let expected = [("/token".to_owned(), "Bearer canary".to_owned())];
        assert_eq!(asked, expected[..usize::from(is_named)]);
    }
}

#[tokio::test]
async fn a_token_of_ours_that_a_registry_refuses_goes_to_no_token_service_of_somebody_else() {
    let honeypot = token_service().await;
    for realm in realms_of_others(&honeypot) {
        let registry = Registry::signed().await;
        registry.log_in(TOKEN, &format!(r#"Bearer realm="{realm}",service="x""#));
        let source = registry.source_with(token_of_ours());
        let fetched = fetcher().fetch(&source, CHART, VERSION).await;
        let error = fetched.unwrap_err();
        assert!(error.is_refusal(), "{realm}: {error}");
        assert!(!error.to_string().contains("canary"), "{realm}: {error}");
        assert_eq!(shown(&registry.server).await.len(), 2, "{realm}");
    }
    assert!(honeypot.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_way_on_is_told() {
    let honeypot = token_service().await;
    for credentials in all_credentials() {
        let error = refused(&format!("{}/token", honeypot.uri()), credentials).await;
        assert!(error.to_string().contains("`--auth-host`"), "{error}");
    }
}

#[tokio::test]
async fn a_token_service_that_redirects_is_not_followed() {
    let honeypot = token_service().await;
    let all = all_credentials().into_iter().chain([token_of_ours()]);
    for credentials in all {
        let location = format!("{}/token", honeypot.uri());
        let registry = Registry::signed_but(move |request, _| {
            let is_token = request.url.path() == "/token";
            is_token
                .then(|| ResponseTemplate::new(307).append_header("location", location.as_str()))
        });
        let registry = registry.await;
        let realm = format!("{}/token", registry.server.uri());
        registry.log_in(TOKEN, &format!(r#"Bearer realm="{realm}""#));
        let fetched = fetcher()
            .fetch(&registry.source_with(credentials), CHART, VERSION)
            .await;
        let error = fetched.unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("is not a usable token: it redirects"),
            "{error}"
        );
    }
    assert!(honeypot.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn without_credentials_any_token_service_will_do_that_may_be_asked() {
    let (registry, service) = (Registry::signed().await, token_service().await);
    registry.log_in(TOKEN, &format!(r#"Bearer realm="{}/token""#, service.uri()));
    registry.fetch().await.unwrap();
    let requests = service.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].headers.get("authorization").is_none());
    let hostile = Registry::signed().await;
    hostile.log_in(TOKEN, r#"Bearer realm="http://169.254.169.254/token""#);
    let error = hostile.fetch().await.unwrap_err();
    assert!(matches!(error, FetchError::Refused { .. }), "{error}");
}
