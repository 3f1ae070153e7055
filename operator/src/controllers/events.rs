//! Events: one for each transition of a verdict or of a key's life, in the words of the vocabulary.
//!
//! `kubectl describe` asks for the events of an object's uid, so each names it.
//!
//! Decision: not `kube::runtime::events::Recorder`. It counts repeats by patching its earlier event,
//! which needs the right to patch every event of every namespace, keeps the first note where the new
//! one says something else, and fails for six minutes once that event was removed. Ours are
//! transitions, which seldom repeat.

use charttrust_verify::digest::Sha256Digest;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;
use kube::{Api, Resource};

use super::context::Context;
use super::store::few::Few;
use crate::api::{REPORTER, ReleaseTrust, bounds, create_params};
use crate::clock;
use crate::inventory::ReleaseId;
use crate::names;
use crate::watch::{Reach, within_deadline};

/// Something to announce.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) regarding: ObjectReference,
    /// What else it is about.
    pub(super) related: Option<ObjectReference>,
    pub(super) alarming: bool,
    pub(super) action: &'static str,
    pub(super) reason: String,
    pub(super) note: String,
}

/// A `ReleaseTrust`, whose uid is known once it is on the server.
pub(super) fn reference(id: &ReleaseId, uid: Option<String>) -> ObjectReference {
    ObjectReference {
        namespace: Some(id.namespace.clone()),
        ..reference_to::<ReleaseTrust>(Some(id.name.clone()), uid)
    }
}

/// An object of one of our kinds, as it was before what is told of it.
pub(super) fn reference_of<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let meta = object.meta();
    ObjectReference {
        resource_version: meta.resource_version.clone(),
        ..reference_to::<K>(meta.name.clone(), meta.uid.clone())
    }
}

/// The name of an object of one of our kinds.
pub(super) fn reference_to<K: Resource<DynamicType = ()>>(
    name: Option<String>,
    uid: Option<String>,
) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name,
        uid,
        ..ObjectReference::default()
    }
}

/// Publishes an announcement. An event that cannot be written is not worth failing for.
pub(super) async fn publish(context: &Context, announcement: Option<Announcement>) {
    let Some(mut announcement) = announcement else {
        return;
    };
    if context.settings.reach != Reach::Everywhere {
        // Nothing is asked of namespaces that are not looked at, `default` among them. The server takes an
        // event only where what it is about is said to lie.
        let about = &mut announcement.regarding.namespace;
        about.get_or_insert_with(|| context.settings.namespace.clone());
    }
    let namespace = namespace(&announcement);
    let event = event(&announcement, &context.settings.instance);
    let api = Api::<Event>::namespaced(context.client.clone(), &namespace);
    match within_deadline(api.create(&create_params(), &event)).await {
        Ok(_) => {}
        // A replica has told it that did not live to write the status.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => dropped(context, &error),
    }
}

fn dropped(context: &Context, error: &kube::Error) {
    context.metrics.event_dropped();
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "an event was not written"
    );
}

/// The same of what may happen to very many objects at once, as when a definition is deleted: after
/// the first few, the log tells of the others.
pub(super) async fn publish_few(context: &Context, told: &Few, announcement: Announcement) {
    if told.is_one_more(clock::tick()) {
        publish(context, Some(announcement)).await;
    } else {
        context.metrics.event_dropped();
    }
}

fn event(announcement: &Announcement, instance: &str) -> Event {
    let now = clock::now();
    Event {
        metadata: ObjectMeta {
            name: Some(name(announcement, now)),
            namespace: Some(namespace(announcement)),
            ..ObjectMeta::default()
        },
        action: Some(announcement.action.to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(bounds::fit(&announcement.note, MAX_NOTE)),
        reason: Some(announcement.reason.clone()),
        regarding: Some(announcement.regarding.clone()),
        related: announcement.related.clone(),
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        type_: Some(
            if announcement.alarming {
                "Warning"
            } else {
                "Normal"
            }
            .to_owned(),
        ),
        ..Event::default()
    }
}

/// What is told of one state of an object has one name, whichever replica tells it.
fn name(announcement: &Announcement, now: Timestamp) -> String {
    let regarding = &announcement.regarding;
    let name = regarding.name.as_deref().unwrap_or_default();
    let Some(version) = &regarding.resource_version else {
        return names::derived("", name, &format!(".{:x}", now.as_nanosecond()));
    };
    let (uid, reason) = (regarding.uid.as_deref(), &announcement.reason);
    let told = format!("{} {version} {reason}", uid.unwrap_or_default());
    let digest = Sha256Digest::of(told.as_bytes()).to_string();
    let digits = digest.trim_start_matches("sha256:");
    let after = format!(".{}", digits.get(..16).unwrap_or(digits));
    names::derived("", name, &after)
}

/// Events about cluster-wide objects lie in the namespace `default`, as the server wants it, unless the
/// operator looks at some namespaces only: then in its own.
pub(super) fn namespace(announcement: &Announcement) -> String {
    let own = announcement.regarding.namespace.clone();
    own.unwrap_or_else(|| "default".to_owned())
}

/// Longest note of an event, in bytes (`events.k8s.io` allows 1 kB).
const MAX_NOTE: usize = 1000;
