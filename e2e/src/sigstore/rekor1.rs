//! A transparency log of the first kind (Rekor 1), which promises to include what it is given and says when: most
//! signatures that were published until 2026 have an entry of such a log.
//!
//! The program itself needs a database beside it. This answers what cosign asks of it, and each entry has a tree of
//! two leaves; cosign and the engine verify entry, promise, proof and checkpoint as they do those of the real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::SigstoreError;
use crate::ports;
use crate::server::Server;

/// A log on loopback; it ends when dropped.
#[derive(Debug)]
pub(super) struct Rekor1 {
    url: String,
    public: Vec<u8>,
    _server: Server,
}

impl Rekor1 {
    pub(super) fn start() -> Result<Self, SigstoreError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let public = key.public_key().as_der()?.as_ref().to_vec();
        let listener = ports::listen()?;
        let url = format!("http://{}", listener.local_addr()?);
        let log = Log {
            id: sha256(&public),
            key,
            next: AtomicU64::new(41),
        };
        let app = Router::new()
            .route("/api/v1/log/entries", post(take_in))
            .with_state(Arc::new(log));
        let server = Server::start(listener, app)?;
        Ok(Self {
            url,
            public,
            _server: server,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The entry of a trusted root.
    pub(super) fn in_root(&self, valid: &Value) -> Value {
        json!({
            "baseUrl": format!("http://{ORIGIN}"),
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": BASE64_STANDARD.encode(&self.public),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": valid,
            },
            "logId": {"keyId": BASE64_STANDARD.encode(sha256(&self.public))},
        })
    }
}

struct Log {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    next: AtomicU64,
}

async fn take_in(State(log): State<Arc<Log>>, proposed: Bytes) -> Response {
    let proposed: Value = serde_json::from_slice(&proposed).unwrap_or_default();
    let is_json = (CONTENT_TYPE, "application/json".to_owned());
    let Some(body) = canonical(&proposed) else {
        let problem = json!({"code": 400, "message": "a kind of entry that is not known"});
        return (StatusCode::BAD_REQUEST, [is_json], problem.to_string()).into_response();
    };
    match log.entry(&body) {
        Ok((uuid, entry)) => {
            let place = format!("/api/v1/log/entries/{uuid}");
            let said = json!({&uuid: entry}).to_string();
            let headers = [is_json, (ETAG, uuid), (LOCATION, place)];
            (StatusCode::CREATED, headers, said).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What of a proposal the log keeps; keys of a `Value` are in order.
fn canonical(proposed: &Value) -> Option<String> {
    let spec = match proposed["kind"].as_str()? {
        "hashedrekord" => proposed["spec"].clone(),
        "dsse" => {
            let content = &proposed["spec"]["proposedContent"];
            let text = content["envelope"].as_str()?;
            let envelope: Value = serde_json::from_str(text).ok()?;
            let payload = BASE64_STANDARD.decode(envelope["payload"].as_str()?).ok()?;
            let hashed =
                |bytes: &[u8]| json!({"algorithm": "sha256", "value": hex::encode(sha256(bytes))});
            json!({
                "envelopeHash": hashed(text.as_bytes()),
                "payloadHash": hashed(&payload),
                "signatures": [{
                    "signature": envelope["signatures"][0]["sig"],
                    "verifier": content["verifiers"][0],
                }],
            })
        }
        _ => return None,
    };
    let kept = json!({"apiVersion": "0.0.1", "kind": proposed["kind"], "spec": spec});
    Some(kept.to_string())
}

impl Log {
    fn entry(&self, body: &str) -> Result<(String, Value), SigstoreError> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let seconds = Timestamp::now().as_second();
        let (encoded, id) = (BASE64_STANDARD.encode(body), hex::encode(&self.id));
        let promised = json!({
            "body": encoded, "integratedTime": seconds, "logID": id, "logIndex": index,
        });
        let promise = self.sign(promised.to_string().as_bytes())?;
        let leaf = sha256(&[&[0], body.as_bytes()].concat());
        let sibling = sha256(b"another entry");
        let root = sha256(&[&[1][..], &leaf, &sibling].concat());
        let mut entry = promised;
        entry["verification"] = json!({
            "signedEntryTimestamp": BASE64_STANDARD.encode(promise),
            "inclusionProof": {
                "checkpoint": self.checkpoint(&root)?,
                "hashes": [hex::encode(&sibling)],
                "logIndex": 0, "treeSize": 2, "rootHash": hex::encode(&root),
            },
        });
        Ok((format!("{TREE:016x}{}", hex::encode(leaf)), entry))
    }

    /// A signed note (`golang.org/x/mod/sumdb/note`) on the root of the tree.
    fn checkpoint(&self, root: &[u8]) -> Result<String, SigstoreError> {
        let note = format!("{ORIGIN} - {TREE}\n2\n{}\n", BASE64_STANDARD.encode(root));
        let signature = [&self.id[..4], &self.sign(note.as_bytes())?].concat();
        let signature = BASE64_STANDARD.encode(signature);
        Ok(format!("{note}\n\u{2014} {ORIGIN} {signature}\n"))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigstoreError> {
        let signature = self.key.sign(&SystemRandom::new(), message)?;
        Ok(signature.as_ref().to_vec())
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// What the log is called in what it signs; cosign compares it with the host of the address in the root.
const ORIGIN: &str = "rekor1.test";
/// The tree, in the first line of what the log signs and in the names of entries.
const TREE: u64 = 161;
