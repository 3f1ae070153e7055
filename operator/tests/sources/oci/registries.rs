//! Registries as those people use answer, as far as their documentation and those who report of them say: a row
//! of the table in `quirks.rs` each.

use charttrust::sources::{Cause, Credentials, FetchError, Fetched};
use charttrust_verify::digest::Sha256Digest;
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::registry::*;
use crate::server::{CHART, GZIP, VERSION, fetcher, has_secret};

fn user(name: &str) -> Credentials {
    Credentials::Basic {
        username: name.to_owned().into(),
        password: "canary".to_owned().into(),
    }
}

/// What a user of this name shows.
fn shown(name: &str) -> String {
    use base64::Engine;
    let pair = base64::prelude::BASE64_STANDARD.encode(format!("{name}:canary"));
    format!("Basic {pair}")
}

fn given(request: &Request) -> Option<&str> {
    request.headers.get("authorization")?.to_str().ok()
}

fn is_token(request: &Request) -> bool {
    request.url.path().ends_with("/token")
}

fn scope(request: &Request) -> String {
    let mut query = request.url.query_pairs();
    let scope = query.find(|(name, _)| name == "scope");
    scope.map_or_else(String::new, |(_, scope)| scope.into_owned())
}

/// One that hands out a token below `path` for who shows this.
async fn handing_out(path: &'static str, wanted: Option<String>) -> Registry {
    let registry = Registry::signed_but(move |request, _| {
        if request.url.path() != path {
            return None;
        }
        if given(request) != wanted.as_deref() {
            return Some(refusal(401, "UNAUTHORIZED"));
        }
        let token = format!("token-of-{}", scope(request));
        Some(ResponseTemplate::new(200).set_body_json(json!({"token": token, "expires_in": 300})))
    });
    let registry = registry.await;
    let realm = format!("{}{path}", registry.server.uri());
    registry.log_in(
        TOKEN,
        &format!(r#"Bearer realm="{realm}",service="registry""#),
    );
    registry
}

async fn pulled(
    registry: &Registry,
    credentials: Option<Credentials>,
) -> Result<Fetched<Vec<u8>>, FetchError> {
    let source = charttrust::sources::Source {
        credentials,
        ..registry.source()
    };
    fetcher().fetch(&source, CHART, VERSION).await
}

/// Google: the name says what the password is.
#[tokio::test]
async fn google_takes_an_access_token_for_a_password() {
    let registry = handing_out("/v2/token", Some(shown("oauth2accesstoken"))).await;
    let fetched = pulled(&registry, Some(user("oauth2accesstoken"))).await;
    assert_eq!(fetched.unwrap().archive.content, GZIP);
}

/// Azure: `admin`, a token of a registry or a service principal, each a user with a password.
#[tokio::test]
async fn azure_hands_out_tokens_to_a_user_below_oauth2() {
    let registry = handing_out("/oauth2/token", Some(shown("principal"))).await;
    pulled(&registry, Some(user("principal"))).await.unwrap();
}

/// GHCR shows nothing without a token, not even what is public.
#[tokio::test]
async fn github_wants_a_token_for_what_is_public_and_credentials_come_first() {
    let registry = handing_out("/token", None).await;
    pulled(&registry, None).await.unwrap();
    let registry = handing_out("/token", Some(shown("ada"))).await;
    pulled(&registry, Some(user("ada"))).await.unwrap();
    // Nobody has asked without them: who has them is counted by himself, and not with all others.
    let requests = registry.server.received_requests().await.unwrap();
    assert!(
        requests
            .iter()
            .filter(|request| is_token(request))
            .all(has_secret)
    );
}

/// ECR: user and password with every request, no digest in a header, and blobs behind a signed address.
#[tokio::test]
async fn amazon_asks_for_a_user_says_no_digest_and_keeps_blobs_in_s3() {
    let storage = MockServer::start().await;
    let bytes = ResponseTemplate::new(200).set_body_bytes(GZIP);
    Mock::given(any()).respond_with(bytes).mount(&storage).await;
    let location = format!("{}/layer?X-Amz-Signature=canary2", storage.uri());
    let wanted = shown("AWS");
    let registry = Registry::deviating(move |request, content| {
        if given(request) != Some(&wanted) {
            let challenge = r#"Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com""#;
            let refusal = ResponseTemplate::new(401).set_body_string("Not Authorized");
            return Some(refusal.append_header("www-authenticate", challenge));
        }
        if request.url.path().contains("/blobs/") {
            let moved = ResponseTemplate::new(307).append_header("location", location.as_str());
            return Some(moved);
        }
        let manifest = content.manifest(&[(ARCHIVE, GZIP)]).to_string();
        Some(match request.method.as_str() {
            "HEAD" => ResponseTemplate::new(200),
            _ => ResponseTemplate::new(200).set_body_raw(manifest, MANIFEST),
        })
    });
    let (registry, fetcher) = (registry.await, fetcher());
    let source = registry.source_with(user("AWS"));
    for _ in 0..2 {
        let fetched = fetcher.fetch(&source, CHART, VERSION).await.unwrap();
        assert_eq!(fetched.archive.digest, Sha256Digest::of(GZIP));
    }
    let stored = storage.received_requests().await.unwrap();
    assert_eq!(stored.len(), 1);
    assert!(stored[0].headers.get("authorization").is_none());
}

/// Artifactory: the token service below a path, a HEAD whose digest stands in a header of its own, and a 401
/// for a repository that is not there.
#[tokio::test]
async fn artifactory_has_prefixes_headers_of_its_own_and_no_404() {
    const TOKENS: &str = "/artifactory/api/docker/helm/v2/token";
    let registry = Registry::signed_but(|request, content| {
        if request.url.path() == TOKENS {
            let token = format!("token-of-{}", scope(request));
            return Some(ResponseTemplate::new(200).set_body_json(json!({"access_token": token})));
        }
        let is_known = request.url.path().starts_with("/v2/charts/payments/");
        if !is_known && given(request).is_some() {
            return Some(refusal(401, "UNAUTHORIZED"));
        }
        let is_head = request.method == "HEAD" && content.is_shown(request);
        is_head.then(|| ResponseTemplate::new(200).append_header("x-checksum-sha256", "0000"))
    });
    let registry = registry.await;
    let realm = format!("{}{TOKENS}", registry.server.uri());
    let challenge =
        format!(r#"Bearer realm="{realm}",service="registry",scope="repository:x:pull,push""#);
    registry.log_in(TOKEN, &challenge);
    let (source, fetcher) = (registry.source_with(user("ada")), fetcher());
    for _ in 0..2 {
        let fetched = fetcher.fetch(&source, CHART, VERSION).await.unwrap();
        assert_eq!(fetched.archive.content, GZIP);
    }
    let error = fetcher.fetch(&source, "ledger", VERSION).await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable, "{error}");
}

/// Chainguard: a token of another repository is not refused with a 401, which would be answered by a new one.
#[tokio::test]
async fn chainguard_answers_a_token_of_another_repository_with_403() {
    let registry = Registry::signed_but(|request, _| {
        if is_token(request) {
            let token = format!("token-of-{}", scope(request));
            return Some(ResponseTemplate::new(200).set_body_json(json!({"token": token})));
        }
        let name = request.url.path().strip_prefix("/v2/")?;
        let end = name
            .find("/manifests/")
            .or(name.find("/blobs/"))
            .or(name.find("/tags/"))?;
        let own = format!("Bearer token-of-repository:{}:pull", &name[..end]);
        match given(request) {
            None => {
                let realm = format!("http://{}/token", request.headers["host"].to_str().unwrap());
                let refusal = refusal(401, "UNAUTHORIZED");
                let challenge = format!(r#"Bearer realm="{realm}",service="cgr.dev""#);
                Some(refusal.append_header("www-authenticate", challenge.as_str()))
            }
            Some(token) if token != own => Some(refusal(403, "DENIED")),
            Some(_) => None,
        }
    });
    let (registry, fetcher) = (registry.await, fetcher());
    registry.fetch_with(&fetcher).await.unwrap();
    let error = fetcher.fetch(&registry.source(), "ledger", VERSION).await;
    let error = error.unwrap_err();
    // Asked with a token of its own, else it would be 403.
    assert!(
        matches!(error, FetchError::Denied { code: 404, .. }),
        "{error}"
    );
    registry.fetch_with(&fetcher).await.unwrap();
}

/// Without `service`, and without `scope` as on `/v2/`: the repository is known to whoever asks.
#[tokio::test]
async fn a_challenge_may_leave_out_service_and_scope() {
    let registry = handing_out("/token", None).await;
    let realm = format!("{}/token", registry.server.uri());
    registry.log_in(TOKEN, &format!(r#"Bearer realm="{realm}""#));
    pulled(&registry, None).await.unwrap();
    let requests = registry.server.received_requests().await.unwrap();
    let token = requests.iter().find(|request| is_token(request)).unwrap();
    let query = "scope=repository%3Acharts%2Fpayments%3Apull";
    assert_eq!(token.url.query(), Some(query));
}

/// Quay and older ones speak in Docker's words, and say nothing of a media type in the manifest.
#[tokio::test]
async fn manifests_in_dockers_words_are_as_good() {
    for kind in [
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
    ] {
        let registry = Registry::empty().await;
        let mut manifest = registry.content.manifest(&[(ARCHIVE, GZIP)]);
        manifest["mediaType"] = kind.into();
        registry.tag(VERSION, &manifest);
        assert_eq!(registry.fetch().await.unwrap().archive.content, GZIP);
    }
    let registry = Registry::signed().await;
    registry.fetch().await.unwrap();
    let requests = registry.server.received_requests().await.unwrap();
    let accepted = requests[0].headers["accept"].to_str().unwrap();
    for kind in [MANIFEST, INDEX, "docker.distribution.manifest.v2+json"] {
        assert!(accepted.contains(kind), "{accepted}");
    }
}
