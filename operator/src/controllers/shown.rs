//! What the webhook judges by and may not read where it lies: the public half of the seal, and public keys that lie in
//! Secrets.
//!
//! Reads Secrets, and writes one `ConfigMap`, of the operator's own namespace. Nothing in it is secret. Whoever changes
//! a key there gains nothing: it has to fit the fingerprint that its object names.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use charttrust_verify::openpgp::{Excerpt, Fingerprint};
use charttrust_verify::sigstore::PublicKey;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;

use super::context::Context;
use super::error::Error;
use super::key::material;
use super::own;
use super::store::seal::{PUBLIC_SEAL, PUBLIC_SEAL_ENTRY};
use crate::api::TrustedKey;
use crate::api::create_params;
use crate::api::reasons::KeyReason;
use crate::api::trusted_key::KeyType;
use crate::watch::within_deadline;

/// The entry in which the key of a `TrustedKey` is shown.
pub(crate) fn entry_of(key: &str) -> String {
    format!("key.{key}")
}

/// Longest name of an entry that an API server takes.
const LONGEST_ENTRY: usize = 253;
/// Most bytes of keys: a `ConfigMap` has a mebibyte.
const MOST_BYTES: usize = 768 << 10;

type Entries = BTreeMap<String, String>;

/// Writes down by what others can check evidence, and keys that lie in Secrets.
pub(super) async fn publish(context: &Context) -> Result<(), Error> {
    let Some(public) = context.store.seal().public() else {
        return Ok(());
    };
    let found = own::find::<ConfigMap>(context, PUBLIC_SEAL).await;
    let found = found.map_err(|error| Error::Api("read what is shown to the webhook", error))?;
    let known = found.as_ref().and_then(|map| map.data.as_ref());
    let mut data = keys(context, known).await;
    let seal = BASE64_STANDARD.encode(public.as_bytes());
    data.insert(PUBLIC_SEAL_ENTRY.to_owned(), seal);
    if known == Some(&data) {
        return Ok(());
    }
    let written = write(context, found, data).await;
    written.map_err(|error| Error::Api("write what is shown to the webhook", error))
}

/// Creates it, or replaces the very one that was read.
async fn write(context: &Context, found: Option<ConfigMap>, data: Entries) -> kube::Result<()> {
    let (api, params) = (own::api::<ConfigMap>(context), create_params());
    let is_there = found.is_some();
    let found = found.unwrap_or_default();
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(PUBLIC_SEAL.to_owned()),
            managed_fields: None,
            ..found.metadata
        },
        data: Some(data),
        ..found
    };
    let written = if is_there {
        within_deadline(api.replace(PUBLIC_SEAL, &params, &map)).await
    } else {
        within_deadline(api.create(&params, &map)).await
    };
    written.map(drop)
}

/// The public keys that lie in Secrets. One that cannot be asked for at this moment stays as it was.
async fn keys(context: &Context, known: Option<&Entries>) -> Entries {
    let (mut shown, mut size) = (Entries::new(), 0_usize);
    for (name, read) in context.cache.keys.all() {
        let object = read.as_ref().as_ref().ok();
        let in_secret = object.filter(|key| key.spec.public_key.secret_ref.is_some());
        let Some(object) = in_secret else {
            continue;
        };
        let entry = entry_of(&name);
        let text = match material::material(context, object).await {
            Ok(bytes) => public_half(object, &bytes),
            Err(problem) if problem.reason == KeyReason::ProgressingWithRetry => {
                known.and_then(|known| known.get(&entry).cloned())
            }
            Err(_) => None,
        };
        let Some(text) = text else {
            continue;
        };
        size = size.saturating_add(text.len());
        if size > MOST_BYTES || entry.len() > LONGEST_ENTRY {
            tracing::warn!(
                key = name,
                "is not shown to the webhook: there is no room for it"
            );
            continue;
        }
        shown.insert(entry, text);
    }
    shown
}

/// The key that the object names, and nothing else that lies beside it; none where that is not to be had.
fn public_half(object: &TrustedKey, material: &[u8]) -> Option<String> {
    let fingerprint = &object.spec.fingerprint;
    match object.spec.key_type {
        KeyType::OpenPGP => {
            let fingerprint: Fingerprint = fingerprint.parse().ok()?;
            let excerpt = Excerpt::of(material, &fingerprint).ok()?;
            Some(excerpt.armored())
        }
        KeyType::PublicKey => {
            let key = PublicKey::parse_pinned(material, fingerprint.parse().ok()?).ok()?;
            Some(key.pem())
        }
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::digest::Sha256Digest;
    use serde_json::{Value, json};

    use super::*;
    use crate::controllers::testing::{OPERATOR_NAMESPACE, Scene};
    use crate::leader::Leadership;

    const RING: &str = include_str!("../../verify/tests/openpgp/vectors/ed25519.asc");
    const OTHER: &str = include_str!("../../verify/tests/openpgp/vectors/revoked-retired.asc");
    const DER: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwrkBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==";

    fn secrets(name: &str) -> String {
        format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/secrets/{name}")
    }

    /// A key in the Secret of its name.
    fn declare(scene: &Scene, name: &str, spec: &Value, material: &str) {
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey", "metadata": {"name": name},
            "spec": {"publicKey": {"secretRef": {"name": name, "key": "key"}}},
        });
        json_patch::merge(&mut object["spec"], spec);
        let object: TrustedKey = serde_json::from_value(object).unwrap();
        scene
            .context
            .cache
            .keys
            .set(name.to_owned(), Some(Ok(object)));
        let bytes = BASE64_STANDARD.encode(material);
        let secret = json!({"metadata": {"name": name}, "data": {"key": bytes, "other": BASE64_STANDARD.encode("secret")}});
        scene.cluster.put(&secrets(name), secret);
    }

    async fn shown(scene: &Scene) -> Value {
        publish(&scene.context).await.unwrap();
        let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/configmaps/{PUBLIC_SEAL}");
        let mut data = scene.cluster.find(&path).unwrap()["data"].clone();
        assert!(data[PUBLIC_SEAL_ENTRY].is_string());
        data.as_object_mut().unwrap().remove(PUBLIC_SEAL_ENTRY);
        data
    }

    fn fingerprint_of(ring: &str) -> String {
        let all = charttrust_verify::openpgp::load_all(ring.as_bytes()).unwrap();
        all[0].fingerprint().to_string()
    }

    fn pem() -> (String, String) {
        let der = BASE64_STANDARD.decode(DER).unwrap();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{DER}\n-----END PUBLIC KEY-----\n");
        (pem, Sha256Digest::of(&der).to_string())
    }

    #[tokio::test]
    async fn of_a_secret_the_named_public_key_is_shown_and_nothing_else() {
        let scene = Scene::with(None, Leadership::Alone).await;
        assert_eq!(shown(&scene).await, json!({}));
        let (pem, digest) = pem();
        let noted = format!("# a note\n{pem}");
        declare(
            &scene,
            "cosign",
            &json!({"type": "PublicKey", "fingerprint": digest}),
            &noted,
        );
        let openpgp = json!({"fingerprint": fingerprint_of(RING)});
        declare(
            &scene,
            "platform",
            &openpgp,
            &format!("Comment\n{RING}\n{OTHER}"),
        );
        let data = shown(&scene).await;
        assert_eq!(data.as_object().unwrap().len(), 2, "{data}");
        let entry = |key: &str| data[entry_of(key)].as_str().unwrap().to_owned();
        let key = PublicKey::parse(entry("cosign").as_bytes()).unwrap();
        assert_eq!(key.fingerprint().to_string(), digest);
        let keys = charttrust_verify::openpgp::load_all(entry("platform").as_bytes()).unwrap();
        let keys: Vec<_> = keys
            .iter()
            .map(|key| key.fingerprint().to_string())
            .collect();
        assert_eq!(keys, [fingerprint_of(RING)]);
        assert!(
            !data.to_string().contains("note") && !data.to_string().contains("Comment"),
            "{data}"
        );
        let writes = scene.cluster.writes().len();
        shown(&scene).await;
        assert_eq!(
            scene.cluster.writes().len(),
            writes,
            "nothing is to be done"
        );
    }

    #[tokio::test]
    async fn what_is_no_such_key_is_not_shown() {
        let scene = Scene::with(None, Leadership::Alone).await;
        let (pem, digest) = pem();
        let private = pem.replace("PUBLIC", "PRIVATE");
        let public = |digest: &str| json!({"type": "PublicKey", "fingerprint": digest});
        declare(&scene, "private", &public(&digest), &private);
        declare(
            &scene,
            "beside",
            &public(&digest),
            &format!("{pem}{private}"),
        );
        declare(
            &scene,
            "other",
            &public(&Sha256Digest::of(b"").to_string()),
            &pem,
        );
        declare(
            &scene,
            "another",
            &json!({"fingerprint": fingerprint_of(RING)}),
            OTHER,
        );
        declare(
            &scene,
            "inline",
            &json!({"fingerprint": fingerprint_of(RING), "publicKey": {"secretRef": null, "inline": RING}}),
            "",
        );
        declare(&scene, &"n".repeat(250), &public(&digest), &pem);
        assert_eq!(shown(&scene).await, json!({}));
    }

    #[tokio::test]
    async fn what_is_shown_goes_with_its_secret_and_stays_while_nobody_answers() {
        let scene = Scene::with(None, Leadership::Alone).await;
        let (pem, digest) = pem();
        declare(
            &scene,
            "cosign",
            &json!({"type": "PublicKey", "fingerprint": digest}),
            &pem,
        );
        let there = shown(&scene).await;
        assert!(there[entry_of("cosign")].is_string(), "{there}");
        scene
            .cluster
            .refuse("GET", "secrets", (500, "InternalError"));
        assert_eq!(shown(&scene).await, there);
        scene.cluster.allow();
        scene.cluster.remove(&secrets("cosign"));
        assert_eq!(shown(&scene).await, json!({}));
    }
}
