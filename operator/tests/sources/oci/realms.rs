//! A registry that sends its askers to somebody else for a token: not one byte of credentials arrives.

use charttrust::sources::{Cause, Credentials, FetchError};
use wiremock::ResponseTemplate;

use crate::registry::*;
use crate::server::{CHART, VERSION, fetcher, has_secret};

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

#[tokio::test]
async fn credentials_do_not_go_to_the_token_service_of_somebody_else() {
    let honeypot = token_service().await;
    for credentials in all_credentials() {
        for realm in [
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
        ] {
            refused(&realm, credentials.clone()).await;
        }
    }
    assert!(honeypot.received_requests().await.unwrap().is_empty());
}

/// A token of our own `ServiceAccount` is for the registry, and for no token service that it names.
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
        let credentials = Credentials::Renewed {
            audience: "charts.test".to_owned(),
            token: "canary".to_owned().into(),
        };
        let source = registry.source_with(credentials);
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
    for credentials in all_credentials() {
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
