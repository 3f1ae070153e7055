//! Keeps the certificates of the webhook: an authority, what it vouches for, and the configuration that tells
//! API servers whom to believe. Only the leader does.
//!
//! Reads and writes two Secrets of the operator's namespace, and patches the `caBundle` of one
//! `ValidatingWebhookConfiguration`, which belongs to the chart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingWebhook, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};
use serde_json::json;
use zeroize::Zeroizing;

use super::context::{Certificates, Context, WebhookSettings};
use super::error::{Error, chain};
use super::own;
use super::shown;
use crate::api::{FIELD_MANAGER, create_params};
use crate::certificates::{self, Issued, Kept, Leaf};
use crate::clock;
use crate::watch::within_deadline;

/// The Secret with what the webhook shows.
pub const SHOWN: &str = "charttrust-webhook-tls";
/// The Secret with the authority. The webhook may not read it.
pub const AUTHORITY: &str = "charttrust-webhook-ca";
/// The webhook that is ours in the configuration.
pub const WEBHOOK: &str = "releases.charttrust.io";
/// The same, asked about Applications of Argo CD.
pub const OF_APPLICATIONS: &str = "applications.charttrust.io";

/// How often it is looked at what there is.
const EVERY: Duration = Duration::from_secs(20);

/// Looks again and again, for ever.
pub(super) async fn keep_for_ever(context: Arc<Context>) {
    let Some(settings) = context.settings.webhook.clone() else {
        return std::future::pending().await;
    };
    loop {
        if let Err(error) = provide(&context, &settings).await {
            tracing::warn!(error = %chain(&error), "what the webhook needs, will retry");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn provide(context: &Context, settings: &WebhookSettings) -> Result<(), Error> {
    let published = shown::publish(context).await;
    // Without the one the webhook knows less; without the other nobody can call it.
    match (&settings.configuration, settings.certificates) {
        (Some(name), Certificates::Kept) => published.and(keep(context, name).await),
        (None, _) | (_, Certificates::Given) => published,
    }
}

/// Reads what there is, and brings it to what is planned: the authority first, then whom API servers believe,
/// and only then what rests on both.
pub(super) async fn keep(context: &Context, name: &str) -> Result<(), Error> {
    let configurations = Api::<ValidatingWebhookConfiguration>::all(context.client.clone());
    let found = within_deadline(configurations.get_opt(name)).await;
    let found = found.map_err(|error| Error::Api("read the webhook's configuration", error))?;
    let Some(configuration) = found else {
        tracing::warn!(
            name,
            "there is no such ValidatingWebhookConfiguration; install it with the chart"
        );
        return Ok(());
    };
    let names = callers(&configuration);
    if names.is_empty() {
        tracing::warn!(
            name,
            webhook = WEBHOOK,
            "the configuration has no webhook of ours"
        );
        return Ok(());
    }
    let (authority, shown) = (read(context, AUTHORITY).await?, read(context, SHOWN).await?);
    let kept = kept(authority.as_ref(), shown.as_ref());
    let plan = certificates::plan(&kept, &names, clock::now());
    let plan =
        plan.map_err(|_| Error::Webhook("make a certificate: the system gives no randomness"))?;
    if let Some((made, older)) = &plan.authority {
        tracing::info!("a new authority of the webhook");
        let older = older.concat().into_bytes();
        let data = data(made, (OLDER, older));
        write(context, (AUTHORITY, authority), data).await?;
    }
    believe(&configurations, &configuration, plan.bundle.as_bytes()).await?;
    if let Some(leaf) = &plan.leaf {
        tracing::info!(?names, "a new certificate of the webhook");
        let authority = leaf.authority.clone().into_bytes();
        let data = data(&leaf.issued, (VOUCHING, authority));
        write(context, (SHOWN, shown), data).await?;
    }
    let shown = plan.leaf.as_ref().or(kept.leaf.as_ref());
    let life = shown.and_then(|leaf| certificates::life(&leaf.issued.certificate));
    if let Some(life) = life {
        context.metrics.webhook_certificate(life.until);
    }
    Ok(())
}

/// By which names API servers call it.
fn callers(configuration: &ValidatingWebhookConfiguration) -> BTreeSet<String> {
    let ours = ours(configuration).map(|(_, one)| &one.client_config);
    let names = ours.filter_map(|config| {
        if let Some(service) = &config.service {
            return Some(format!("{}.{}.svc", service.name, service.namespace));
        }
        let url = config.url.as_ref()?.parse::<Uri>().ok()?;
        Some(url.host()?.trim_matches(['[', ']']).to_owned())
    });
    names.collect()
}

fn ours(
    configuration: &ValidatingWebhookConfiguration,
) -> impl Iterator<Item = (usize, &ValidatingWebhook)> {
    let all = configuration.webhooks.iter().flatten().enumerate();
    all.filter(|(_, one)| [WEBHOOK, OF_APPLICATIONS].contains(&one.name.as_str()))
}

async fn read(context: &Context, name: &str) -> Result<Option<Secret>, Error> {
    let found = own::find::<Secret>(context, name).await;
    found.map_err(|error| Error::Api("read the webhook's certificates", error))
}

fn kept(authority: Option<&Secret>, shown: Option<&Secret>) -> Kept {
    let older = authority.and_then(|secret| text(secret, OLDER));
    let leaf = shown.and_then(|secret| {
        Some(Leaf {
            issued: issued(secret)?,
            authority: text(secret, VOUCHING).unwrap_or_default(),
        })
    });
    Kept {
        authority: authority.and_then(issued),
        older: older.map(|text| each(&text)).unwrap_or_default(),
        leaf,
    }
}

/// The certificates of a text, one after the other.
fn each(text: &str) -> Vec<String> {
    let all = text.split_inclusive(END).map(str::trim_start);
    let all = all.filter(|one| one.ends_with(END));
    all.map(|one| format!("{one}\n")).collect()
}

const END: &str = "-----END CERTIFICATE-----";

fn issued(secret: &Secret) -> Option<Issued> {
    Some(Issued {
        certificate: text(secret, CERTIFICATE)?,
        key: Zeroizing::new(text(secret, KEY)?),
    })
}

fn text(secret: &Secret, entry: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(entry)?;
    String::from_utf8(bytes.0.clone()).ok()
}

type Data = BTreeMap<String, ByteString>;

fn data(issued: &Issued, (beside, text): (&str, Vec<u8>)) -> Data {
    let certificate = issued.certificate.clone().into_bytes();
    let key = issued.key.as_bytes().to_vec();
    let entries = [(CERTIFICATE, certificate), (KEY, key), (beside, text)];
    let entries = entries.map(|(name, bytes)| (name.to_owned(), ByteString(bytes)));
    entries.into()
}

/// Creates a Secret, or replaces the very one that was read.
async fn write(
    context: &Context,
    (name, known): (&str, Option<Secret>),
    data: Data,
) -> Result<(), Error> {
    let api = own::api::<Secret>(context);
    let written = if let Some(known) = known {
        let secret = Secret {
            metadata: ObjectMeta {
                managed_fields: None,
                ..known.metadata
            },
            data: Some(data),
            ..known
        };
        within_deadline(api.replace(name, &create_params(), &secret)).await
    } else {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(data),
            ..Secret::default()
        };
        within_deadline(api.create(&create_params(), &secret)).await
    };
    written
        .map(drop)
        .map_err(|error| Error::Api("write the webhook's certificates", error))
}

/// Has API servers believe these authorities and no other, whoever has written others there.
async fn believe(
    configurations: &Api<ValidatingWebhookConfiguration>,
    configuration: &ValidatingWebhookConfiguration,
    bundle: &[u8],
) -> Result<(), Error> {
    let differs = |one: &ValidatingWebhook| {
        let known = one.client_config.ca_bundle.as_ref();
        known.is_none_or(|known| known.0 != bundle)
    };
    let differing = ours(configuration).filter(|(_, one)| differs(one));
    let bundle = json!(ByteString(bundle.to_vec()));
    let changes = differing.map(|(index, _)| {
        let path = format!("/webhooks/{index}/clientConfig/caBundle");
        json!({"op": "add", "path": path, "value": bundle})
    });
    let mut patch: Vec<_> = changes.collect();
    if patch.is_empty() {
        return Ok(());
    }
    let metadata = &configuration.metadata;
    let test = json!({"op": "test", "path": "/metadata/resourceVersion", "value": metadata.resource_version});
    patch.insert(0, test);
    // Invariant: a list of such objects is a JSON patch.
    let patch = serde_json::from_value(json!(patch)).unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::<()>::Json(patch);
    let patched = configurations.patch(name, &params, &patch);
    within_deadline(patched)
        .await
        .map(drop)
        .map_err(|error| Error::Api("tell API servers whom to believe", error))
}

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// Beside what is shown: the authority that vouches for it.
const VOUCHING: &str = "ca.crt";
/// Beside the authority: earlier ones.
const OLDER: &str = "older.crt";

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use charttrust_verify::seal::PublicSeal;
    use serde_json::Value;

    use super::*;
    use crate::controllers::store::seal::{PUBLIC_SEAL, PUBLIC_SEAL_ENTRY};
    use crate::controllers::testing::{OPERATOR_NAMESPACE, Scene};
    use crate::leader::Leadership;

    const PATH: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/door";

    fn secret(name: &str) -> String {
        format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/secrets/{name}")
    }

    async fn scene() -> Scene {
        let scene = Scene::with(None, Leadership::Alone).await;
        let webhook = |name: &str| {
            json!({
                "name": name,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {"service": {"name": "charttrust-webhook", "namespace": "charttrust-system"}},
            })
        };
        let webhooks = [webhook("others.example.com"), webhook(WEBHOOK)];
        let metadata = json!({"name": "door", "resourceVersion": "1"});
        scene
            .cluster
            .put(PATH, json!({"metadata": metadata, "webhooks": webhooks}));
        scene
    }

    fn bundle(scene: &Scene, index: usize) -> Option<String> {
        let configuration = scene.cluster.find(PATH).unwrap();
        let bundle = configuration["webhooks"][index]["clientConfig"]["caBundle"].as_str()?;
        Some(String::from_utf8(BASE64_STANDARD.decode(bundle).unwrap()).unwrap())
    }

    fn entry(scene: &Scene, name: &str, entry: &str) -> String {
        let secret: Value = scene.cluster.find(&secret(name)).unwrap();
        let bytes = BASE64_STANDARD.decode(secret["data"][entry].as_str().unwrap());
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn callers_believe_what_is_shown_and_only_ours_is_changed() {
        let scene = scene().await;
        keep(&scene.context, "door").await.unwrap();
        let authority = entry(&scene, AUTHORITY, CERTIFICATE);
        assert_eq!(bundle(&scene, 1), Some(authority.clone()));
        assert_eq!(bundle(&scene, 0), None);
        assert_eq!(entry(&scene, SHOWN, VOUCHING), authority);
        let writes = scene.cluster.writes().len();
        keep(&scene.context, "door").await.unwrap();
        assert_eq!(
            scene.cluster.writes().len(),
            writes,
            "nothing is to be done"
        );
    }

    /// Stopped after each write, and begun again.
    #[tokio::test]
    async fn whatever_is_lost_is_mended_with_what_was_believed_before() {
        let scene = scene().await;
        keep(&scene.context, "door").await.unwrap();
        let first = bundle(&scene, 1).unwrap();
        scene.cluster.remove(&secret(AUTHORITY));
        keep(&scene.context, "door").await.unwrap();
        let both = bundle(&scene, 1).unwrap();
        assert!(both.len() > first.len() && both.ends_with(&first), "{both}");
        assert_eq!(entry(&scene, AUTHORITY, OLDER), first);

        let mut edited = scene.cluster.find(PATH).unwrap();
        edited["webhooks"][1]["clientConfig"]["caBundle"] = json!(BASE64_STANDARD.encode("evil"));
        scene.cluster.put(PATH, edited);
        scene.cluster.remove(&secret(SHOWN));
        keep(&scene.context, "door").await.unwrap();
        assert_eq!(bundle(&scene, 1), Some(both));
        assert!(entry(&scene, SHOWN, CERTIFICATE).contains("BEGIN CERTIFICATE"));
    }

    /// Callers must believe an authority before anything is shown that rests on it.
    #[tokio::test]
    async fn nothing_is_shown_while_callers_cannot_be_told() {
        let scene = scene().await;
        scene.cluster.refuse(
            "PATCH",
            "validatingwebhookconfigurations",
            (403, "Forbidden"),
        );
        assert!(keep(&scene.context, "door").await.is_err());
        assert!(scene.cluster.find(&secret(AUTHORITY)).is_some());
        assert!(scene.cluster.find(&secret(SHOWN)).is_none());
        scene.cluster.allow();
        keep(&scene.context, "door").await.unwrap();
        assert!(scene.cluster.find(&secret(SHOWN)).is_some());
    }

    #[tokio::test]
    async fn without_a_configuration_nothing_is_made() {
        let scene = scene().await;
        keep(&scene.context, "other").await.unwrap();
        scene
            .cluster
            .put(PATH, json!({"metadata": {"name": "door"}, "webhooks": []}));
        keep(&scene.context, "door").await.unwrap();
        assert!(scene.cluster.writes().is_empty());
    }

    #[tokio::test]
    async fn others_can_check_what_is_signed() {
        let scene = scene().await;
        let settings = WebhookSettings::default();
        let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/configmaps/{PUBLIC_SEAL}");
        for wrong in [
            None,
            Some(json!({"metadata": {"name": PUBLIC_SEAL}, "data": {PUBLIC_SEAL_ENTRY: "AAAA"}})),
        ] {
            if let Some(wrong) = wrong {
                scene.cluster.put(&path, wrong);
            }
            provide(&scene.context, &settings).await.unwrap();
            let map = scene.cluster.find(&path).unwrap();
            let public = BASE64_STANDARD.decode(map["data"][PUBLIC_SEAL_ENTRY].as_str().unwrap());
            let signature = scene.context.store.seal().clone().shown().sign(b"evidence");
            assert!(
                PublicSeal::new(&public.unwrap())
                    .attest(b"evidence", &signature)
                    .is_some()
            );
        }
        let writes = scene.cluster.writes().len();
        provide(&scene.context, &settings).await.unwrap();
        assert_eq!(scene.cluster.writes().len(), writes);
    }

    #[test]
    fn a_url_is_called_by_its_host() {
        let called = |config: Value| {
            let webhook = json!({
                "name": WEBHOOK, "admissionReviewVersions": [], "sideEffects": "None", "clientConfig": config,
            });
            let configuration =
                serde_json::from_value(json!({"metadata": {}, "webhooks": [webhook]}));
            callers(&configuration.unwrap())
                .into_iter()
                .collect::<Vec<_>>()
        };
        let service = json!({"service": {"name": "a", "namespace": "b"}});
        assert_eq!(called(service), ["a.b.svc"]);
        assert_eq!(
            called(json!({"url": "https://127.0.0.1:8443/v1"})),
            ["127.0.0.1"]
        );
        assert_eq!(called(json!({"url": "https://[::1]:8443/v1"})), ["::1"]);
        assert!(called(json!({"url": "no url"})).is_empty());
    }
}
