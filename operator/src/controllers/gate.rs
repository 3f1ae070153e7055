//! Looks at what stands before the API server's store: the webhook, called as API servers call it, whether the
//! glass is broken, and whether upgrades can be frozen. Only the leader does.
//!
//! Reads the operator's namespace and the objects of its chart, and connects to the webhook. Writes an event.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhook,
    ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::context::{Context, WebhookSettings};
use super::error::chain;
use super::events::{self, Announcement};
use super::store::gate::{Called, Seen};
use super::task::Task;
use super::webhook::WEBHOOK;
use crate::api::BREAK_GLASS;
use crate::api::chart_trust_policy::Mode;
use crate::api::quarantine_words::QuarantineAction;
use crate::api::reasons::EventReason;
use crate::clock;
use crate::parse::{Glass, LoadedPolicy};
use crate::quarantine::Freeze;
use crate::watch::within_deadline;

/// How often it is looked. Who breaks the glass is heard of within that.
const EVERY: Duration = Duration::from_secs(20);
/// How soon again after it did not answer.
const SOONER: Duration = Duration::from_secs(2);
/// How long a call may take: as long as API servers wait.
const LONGEST: Duration = Duration::from_secs(5);
/// So many calls fail one after the other before it is said: replicas come and go.
const FAILURES: u32 = 2;

/// Looks again and again, for ever.
pub(super) async fn look_for_ever(context: Arc<Context>) {
    let mut failures = 0;
    loop {
        let called = called(&context).await;
        let has_failed = matches!(called, Called::Failed(_));
        failures = if has_failed { failures + 1 } else { 0 };
        let before = context.store.gate.seen();
        let seen = Seen {
            called: if has_failed && failures < FAILURES {
                before.called.clone()
            } else {
                called
            },
            glass: glass(&context).await.unwrap_or(before.glass),
            freeze: freeze(&context).await.unwrap_or(before.freeze),
        };
        see(&context, seen).await;
        let wait = if has_failed { SOONER } else { EVERY };
        tokio::time::sleep(wait).await;
    }
}

/// Takes in what is seen, and has everything told that depends on it.
async fn see(context: &Context, seen: Seen) {
    let before = context.store.gate.see(seen.clone());
    if (&before.called, &before.glass) != (&seen.called, &seen.glass) {
        let trust = context.store.trust();
        for (name, _) in trust.policies.iter().filter(|(_, one)| acts(one)) {
            context.queues.tasks.add(Task::PolicyStatus(name.clone()));
        }
    }
    if before.freeze != seen.freeze {
        for (id, quarantine) in context.cache.quarantines.all() {
            let action = QuarantineAction::FreezeUpgrades;
            let is_frozen = (*quarantine)
                .as_ref()
                .is_ok_and(|one| one.spec.actions.contains(&action));
            if is_frozen {
                context.queues.tasks.add(Task::Quarantine(id));
            }
        }
    }
    if before.glass != seen.glass {
        tell(context, &seen.glass).await;
    }
}

fn acts(loaded: &LoadedPolicy) -> bool {
    loaded.mode() != Mode::Audit
}

async fn called(context: &Context) -> Called {
    let trust = context.store.trust();
    if !trust.policies.values().any(acts) {
        // Nothing is said of it then, and nobody needs it.
        return Called::Unseen;
    }
    let name = match &context.settings.webhook {
        None => return Called::Absent("the operator runs without --webhook".to_owned()),
        Some(WebhookSettings {
            configuration: None,
            ..
        }) => {
            let why = "the operator runs without --webhook-configuration, and does not know what API servers call";
            return Called::Absent(why.to_owned());
        }
        Some(WebhookSettings {
            configuration: Some(name),
            ..
        }) => name,
    };
    let configurations = Api::<ValidatingWebhookConfiguration>::all(context.client.clone());
    let found = match within_deadline(configurations.get_opt(name)).await {
        Err(error) => {
            return Called::Failed(format!(
                "its configuration cannot be read: {}",
                chain(&error)
            ));
        }
        Ok(found) => found,
    };
    let webhooks = found.and_then(|found| found.webhooks).unwrap_or_default();
    let Some(ours) = webhooks.into_iter().find(|one| one.name == WEBHOOK) else {
        return Called::Absent(format!(
            "there is no ValidatingWebhookConfiguration {name} with the webhook {WEBHOOK}"
        ));
    };
    match tokio::time::timeout(LONGEST, call(&ours)).await {
        Ok(Ok(())) => Called::Answered,
        Ok(Err(why)) => Called::Failed(why),
        Err(_) => Called::Failed(format!("no answer within {} s", LONGEST.as_secs())),
    }
}

/// Calls it by the name and the certificates by which API servers do.
async fn call(webhook: &ValidatingWebhook) -> Result<(), String> {
    let (host, port) = place(webhook).ok_or("its configuration names no place")?;
    let connector = connector(webhook)?;
    let name = ServerName::try_from(host.clone()).map_err(|_| format!("{host} is no host"))?;
    let address = format!("{}:{port}", bracketed(&host));
    let unreachable = |error: std::io::Error| format!("{address}: {error}");
    let stream = TcpStream::connect(&address).await.map_err(unreachable)?;
    let mut stream = connector.connect(name, stream).await.map_err(unreachable)?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(unreachable)?;
    let mut answer = [0; STATUS_LINE.len()];
    stream.read_exact(&mut answer).await.map_err(unreachable)?;
    if answer == *STATUS_LINE {
        return Ok(());
    }
    Err(format!("{address} is not ready yet"))
}

const STATUS_LINE: &[u8; 12] = b"HTTP/1.1 200";

/// Host and port.
fn place(webhook: &ValidatingWebhook) -> Option<(String, u16)> {
    let config = &webhook.client_config;
    if let Some(service) = &config.service {
        let port = service.port.unwrap_or(443).try_into().ok()?;
        return Some((format!("{}.{}.svc", service.name, service.namespace), port));
    }
    let url = config.url.as_ref()?.parse::<Uri>().ok()?;
    let host = url.host()?.trim_matches(['[', ']']).to_owned();
    Some((host, url.port_u16().unwrap_or(443)))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

fn connector(webhook: &ValidatingWebhook) -> Result<TlsConnector, String> {
    let bundle = webhook.client_config.ca_bundle.as_ref();
    let bundle = bundle.ok_or("its configuration has no caBundle yet")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bundle.0) {
        let certificate = certificate.map_err(|_| "the caBundle of its configuration is no PEM")?;
        let added = roots.add(certificate);
        added.map_err(
            |_| "the caBundle of its configuration has something else than certificates",
        )?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What is written on the operator's namespace; nothing if that cannot be read.
async fn glass(context: &Context) -> Option<Glass> {
    context.settings.webhook.as_ref()?;
    let namespace = own_namespace(context).await?;
    let written = namespace.annotations().get(BREAK_GLASS);
    Some(Glass::of(written.map(String::as_str), clock::now()))
}

/// By list and not by get, as everything of our own.
async fn own_namespace(context: &Context) -> Option<kube::core::PartialObjectMeta<Namespace>> {
    let namespaces = Api::<Namespace>::all(context.client.clone());
    let name = format!("metadata.name={}", context.settings.namespace);
    let params = ListParams::default().fields(&name);
    let found = within_deadline(namespaces.list_metadata(&params)).await;
    let found = found.inspect_err(|error| {
        tracing::warn!(error = %chain(error), "the operator's namespace cannot be read");
    });
    found.ok()?.items.into_iter().next()
}

/// Whoever lets everything in is to be seen, and so is who tries to in vain.
async fn tell(context: &Context, glass: &Glass) {
    let note = match glass {
        Glass::Broken(until) => {
            format!(
                "every record of Helm is let in unchecked until {until}: annotation {BREAK_GLASS}"
            )
        }
        Glass::Ignored(why) => format!("the annotation {BREAK_GLASS} is ignored: it {why}"),
        Glass::Whole => return,
    };
    tracing::warn!("{note}");
    let Some(namespace) = own_namespace(context).await else {
        return;
    };
    let regarding = ObjectReference {
        api_version: Some(Namespace::api_version(&()).into_owned()),
        kind: Some(Namespace::kind(&()).into_owned()),
        name: namespace.metadata.name.clone(),
        uid: namespace.metadata.uid.clone(),
        // Whoever leads next tells it under the same name.
        resource_version: namespace.metadata.resource_version.clone(),
        ..ObjectReference::default()
    };
    let announcement = Announcement {
        regarding,
        related: None,
        alarming: true,
        action: "Admit",
        reason: EventReason::BreakGlass.word().to_owned(),
        note,
    };
    events::publish(context, Some(announcement)).await;
}

/// Whether upgrades can be frozen; nothing if that cannot be found out.
async fn freeze(context: &Context) -> Option<Freeze> {
    let Some(name) = &context.settings.freeze else {
        return Some(Freeze::Missing(
            "the operator runs without --freeze-policy".to_owned(),
        ));
    };
    let policies = Api::<ValidatingAdmissionPolicy>::all(context.client.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(context.client.clone());
    let policy = within_deadline(policies.get_opt(name)).await;
    let binding = within_deadline(bindings.get_opt(name)).await;
    let (policy, binding) = match (policy, binding) {
        (Ok(policy), Ok(binding)) => (policy, binding),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(error = %chain(&error), "the admission policy of frozen releases cannot be read");
            return None;
        }
    };
    let missing = match (policy, binding.and_then(|binding| binding.spec)) {
        (None, _) => format!("there is no ValidatingAdmissionPolicy {name}"),
        (Some(_), None) => format!("there is no ValidatingAdmissionPolicyBinding {name}"),
        (Some(_), Some(bound)) => {
            let actions = bound.validation_actions.unwrap_or_default();
            if actions.iter().any(|action| action == "Deny") {
                return Some(Freeze::InForce);
            }
            format!("ValidatingAdmissionPolicyBinding {name} denies nothing")
        }
    };
    Some(Freeze::Missing(missing))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::ByteString;
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;
    use crate::certificates::{Kept, Plan, plan};
    use crate::controllers::testing::{OPERATOR_NAMESPACE, Scene};
    use crate::leader::Leadership;

    fn made(name: &str) -> Plan {
        let names = BTreeSet::from([name.to_owned()]);
        plan(&Kept::default(), &names, clock::now()).unwrap()
    }

    /// Answers every connection with this, showing what was made; gives the address.
    async fn serving(made: &Plan, answer: &'static str) -> String {
        let issued = &made.leaf.as_ref().unwrap().issued;
        let chain = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config
            .with_no_client_auth()
            .with_single_cert(vec![chain], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut request = [0; 64];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        address
    }

    fn webhook(address: &str, bundle: Option<&str>) -> ValidatingWebhook {
        let mut webhook: ValidatingWebhook = serde_json::from_value(json!({
            "name": WEBHOOK, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": format!("https://{address}/v1/records")},
        }))
        .unwrap();
        webhook.client_config.ca_bundle =
            bundle.map(|bundle| ByteString(bundle.as_bytes().to_vec()));
        webhook
    }

    #[tokio::test]
    async fn only_an_answer_that_api_servers_would_believe_counts() {
        let (ours, theirs) = (made("127.0.0.1"), made("127.0.0.1"));
        let good = serving(&ours, "HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(call(&webhook(&good, Some(&ours.bundle))).await, Ok(()));
        let unready = serving(&ours, "HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
        let elsewhere = serving(&made("elsewhere.example.com"), "HTTP/1.1 200 OK\r\n\r\n").await;
        for (what, address, bundle) in [
            ("unready", &unready, Some(ours.bundle.as_str())),
            ("another authority", &good, Some(theirs.bundle.as_str())),
            ("another name", &elsewhere, Some(ours.bundle.as_str())),
            ("no bundle", &good, None),
            (
                "junk",
                &good,
                Some("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"),
            ),
            (
                "nobody",
                &"127.0.0.1:1".to_owned(),
                Some(ours.bundle.as_str()),
            ),
        ] {
            assert!(call(&webhook(address, bundle)).await.is_err(), "{what}");
        }
    }

    #[test]
    fn a_service_is_called_by_its_name() {
        let mut called = webhook("127.0.0.1:8443", None);
        assert_eq!(place(&called), Some(("127.0.0.1".to_owned(), 8443)));
        called.client_config = serde_json::from_value(
            json!({"service": {"name": "charttrust-webhook", "namespace": "charttrust-system"}}),
        )
        .unwrap();
        let name = "charttrust-webhook.charttrust-system.svc";
        assert_eq!(place(&called), Some((name.to_owned(), 443)));
    }

    fn enforced(scene: &Scene) {
        let rule = json!({"name": "all", "charts": ["*"], "sources": [{"url": "https://charts.example.com"}],
            "verify": {"signers": {"keys": ["platform"]}}});
        scene.declare_spec(&json!({"mode": "Enforce", "rules": [rule]}));
    }

    #[tokio::test]
    async fn a_webhook_that_is_not_there_is_told_from_one_that_does_not_answer() {
        let mut scene = Scene::with(None, Leadership::Alone).await;
        assert_eq!(
            called(&scene.context).await,
            Called::Unseen,
            "nobody needs it"
        );
        enforced(&scene);
        assert!(matches!(called(&scene.context).await, Called::Absent(_)));
        scene.context.settings.webhook = Some(WebhookSettings {
            configuration: Some("door".to_owned()),
            ..WebhookSettings::default()
        });
        assert!(matches!(called(&scene.context).await, Called::Absent(_)));
        let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/door";
        let webhook = serde_json::to_value(webhook("127.0.0.1:1", None)).unwrap();
        let object = json!({"metadata": {"name": "door"}, "webhooks": [webhook]});
        scene.cluster.put(path, object);
        assert!(matches!(called(&scene.context).await, Called::Failed(_)));
    }

    /// Whoever leads next tells it once more under the same name, so that it is one event.
    #[tokio::test]
    async fn who_breaks_the_glass_is_seen() {
        let scene = Scene::with(None, Leadership::Alone).await;
        let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}");
        let namespace = |annotations: serde_json::Value| json!({"metadata": {"name": OPERATOR_NAMESPACE, "uid": "n", "annotations": annotations}});
        scene.cluster.put(&path, namespace(json!({})));
        see(&scene.context, Seen::default()).await;
        assert_eq!(scene.cluster.writes().len(), 0);
        let glass = Glass::Broken("2026-11-30T18:00:00Z".parse().unwrap());
        for _ in 0..2 {
            let seen = Seen {
                glass: glass.clone(),
                ..Seen::default()
            };
            see(&scene.context, seen).await;
            assert_eq!(scene.cluster.writes().len(), 1);
        }
        assert_eq!(scene.context.store.gate.seen().glass, glass);
    }
}
