//! Who tells a certificate authority who somebody is: an issuer of tokens as CI systems have one.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::SigstoreError;
use crate::ports;
use crate::server::Server;

/// A job of a CI system, which can ask for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The repository that is built, such as `example/charts`.
    pub repository: String,
    /// The workflow with the branch or tag it is taken from.
    pub workflow: String,
    /// The branch or tag that is built.
    pub tag: String,
}

impl Job {
    /// The pipeline of a publisher that releases a version.
    pub fn release(repository: &str, version: &str) -> Self {
        let tag = format!("refs/tags/v{version}");
        Self {
            repository: repository.to_owned(),
            workflow: format!("{repository}/.github/workflows/release.yml@{tag}"),
            tag,
        }
    }

    /// What a certificate calls it.
    pub fn subject(&self) -> String {
        format!("https://github.com/{}", self.workflow)
    }

    fn claims(&self, issuer: &str) -> Value {
        let now = Timestamp::now().as_second();
        let Self {
            repository,
            workflow,
            tag,
        } = self;
        let owner = repository.split('/').next().unwrap_or_default();
        let commit = "a".repeat(40);
        json!({
            "iss": issuer, "aud": "sigstore", "sub": format!("repo:{repository}:ref:{tag}"),
            "iat": now, "nbf": now - 5, "exp": now + 3000,
            "job_workflow_ref": workflow, "job_workflow_sha": commit,
            "workflow_ref": workflow, "workflow_sha": commit, "sha": commit,
            "event_name": "push", "repository": repository, "repository_id": "123456",
            "repository_owner": owner, "repository_owner_id": "99",
            "repository_visibility": "public", "workflow": "release", "ref": tag,
            "runner_environment": "github-hosted", "run_id": "1", "run_attempt": "1",
        })
    }
}

/// An issuer on loopback; it ends when dropped.
#[derive(Debug)]
pub(super) struct Issuer {
    key: EcdsaKeyPair,
    url: String,
    _server: Server,
}

impl Issuer {
    pub(super) fn start() -> Result<Self, SigstoreError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let listener = ports::listen()?;
        let url = format!("http://{}", listener.local_addr()?);
        // An uncompressed point: 4, x and y.
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KID,
            "x": encoded(x), "y": encoded(y),
        }]});
        let about = json!({
            "issuer": url, "jwks_uri": format!("{url}/keys"),
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "id_token_signing_alg_values_supported": ["ES256"],
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
        });
        let app = Router::new()
            .merge(
                Router::new()
                    .route("/keys", get(tell))
                    .with_state(Arc::new(keys)),
            )
            .merge(
                Router::new()
                    .route("/.well-known/openid-configuration", get(tell))
                    .with_state(Arc::new(about)),
            );
        let server = Server::start(listener, app)?;
        Ok(Self {
            key,
            url,
            _server: server,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A token (a JWT) for a job.
    pub(super) fn token(&self, job: &Job) -> Result<String, SigstoreError> {
        let head = json!({"alg": "ES256", "kid": KID, "typ": "JWT"});
        let parts = [head, job.claims(&self.url)].map(|part| encoded(part.to_string()));
        let text = parts.join(".");
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes())?;
        Ok(format!("{text}.{}", encoded(signature)))
    }
}

async fn tell(State(said): State<Arc<Value>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], said.to_string())
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

const KID: &str = "k1";
