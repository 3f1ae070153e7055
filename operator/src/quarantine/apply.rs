//! The only writer to objects of others. Every write carries a precondition.

use kube::api::{
    ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions,
};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::step::{Precondition, View, Write, patch};
use super::target::Target;
use super::{FINALIZER, field, network};
use crate::api::chart_trust_policy::QuarantineAction;
use crate::api::quarantine::{ContainedObject, QuarantineStatus};
use crate::api::{FIELD_MANAGER, Quarantine};
use crate::watch::within_deadline;

/// Why a write was not done.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The API server refused, or did not answer.
    #[error("failed to {what}")]
    Api {
        /// What was to be written.
        what: String,
        /// Its answer.
        source: kube::Error,
    },
    /// Something has changed meanwhile: everything has to be read again.
    #[error("{0} has changed meanwhile")]
    Changed(String),
}

/// Does one write, and gives the object as the server has it now.
///
/// # Errors
/// [`WriteError::Changed`] if the precondition failed, so that nothing was written.
pub async fn apply(
    client: &Client,
    view: &View,
    write: &Write,
) -> Result<Option<Value>, WriteError> {
    match write {
        Write::AddFinalizer => finalizer(client, view, true).await,
        Write::RemoveFinalizer => finalizer(client, view, false).await,
        Write::Status(status) => write_status(client, view, status).await,
        Write::Change(index, operations) => match view.status.objects.get(*index) {
            Some(record) => change(client, view, record, operations).await,
            None => Ok(None),
        },
        Write::Create(_, object) => create(client, object).await,
        Write::Delete(index, precondition) => match view.status.objects.get(*index) {
            Some(record) => delete(client, view, record, precondition).await,
            None => Ok(None),
        },
    }
}

async fn change(
    client: &Client,
    view: &View,
    record: &ContainedObject,
    operations: &[Value],
) -> Result<Option<Value>, WriteError> {
    let what = format!("{} {}", record.kind, record.name);
    let Some(api) = api_of(client, view, record) else {
        return Err(WriteError::Changed(what));
    };
    change_by(&api, &record.name, operations, what)
        .await
        .map(Some)
}

/// Changes one object by a JSON patch whose tests are its precondition.
pub(super) async fn change_by(
    api: &Api<DynamicObject>,
    name: &str,
    operations: &[Value],
    what: String,
) -> Result<Value, WriteError> {
    let change: Patch<()> = Patch::Json(patch(operations));
    let answer = within_deadline(api.patch(name, &parameters(), &change)).await;
    answer
        .map(|object| json_of(&object))
        .map_err(|error| failure(what, error))
}

async fn create(client: &Client, object: &Value) -> Result<Option<Value>, WriteError> {
    let name = field::text(object, &["metadata", "name"]).unwrap_or_default();
    let what = format!("{} {name}", network::KIND);
    let namespace = field::text(object, &["metadata", "namespace"]).unwrap_or_default();
    let api = policies(client, namespace);
    // Invariant: built in this room, in the form of every object.
    let Ok(object) = serde_json::from_value::<DynamicObject>(object.clone()) else {
        return Ok(None);
    };
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    };
    match within_deadline(api.create(&params, &object)).await {
        Ok(created) => Ok(Some(json_of(&created))),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            Err(WriteError::Changed(what))
        }
        Err(error) => Err(failure(what, error)),
    }
}

async fn delete(
    client: &Client,
    view: &View,
    record: &ContainedObject,
    precondition: &Precondition,
) -> Result<Option<Value>, WriteError> {
    let api = policies(client, namespace_of(view, record));
    let preconditions = Preconditions {
        uid: Some(precondition.uid.clone()),
        resource_version: Some(precondition.resource_version.clone()),
    };
    let params = DeleteParams {
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    let what = format!("{} {}", record.kind, record.name);
    match within_deadline(api.delete(&record.name, &params)).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(failure(what, error)),
    }
}

async fn finalizer(
    client: &Client,
    view: &View,
    wanted: bool,
) -> Result<Option<Value>, WriteError> {
    let api = Api::<Quarantine>::namespaced(client.clone(), &view.release.namespace);
    let what = || format!("Quarantine {}", view.release);
    let object = match within_deadline(api.get(&view.release.name)).await {
        Ok(object) => object,
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(None),
        Err(error) => return Err(failure(what(), error)),
    };
    if object.uid().as_deref() != Some(&view.uid) {
        return Err(WriteError::Changed(what()));
    }
    let mut finalizers = object.finalizers().to_vec();
    finalizers.retain(|name| name != FINALIZER);
    if wanted {
        finalizers.push(FINALIZER.to_owned());
    }
    let version = json!(view.resource_version);
    let change = [
        field::test(&["metadata", "uid"], &json!(view.uid)),
        field::test(&["metadata", "resourceVersion"], &version),
        json!({"op": "add", "path": "/metadata/finalizers", "value": finalizers}),
    ];
    let change: Patch<()> = Patch::Json(patch(&change));
    match within_deadline(api.patch(&view.release.name, &parameters(), &change)).await {
        Ok(object) => Ok(serde_json::to_value(object).ok()),
        Err(kube::Error::Api(status)) if status.is_not_found() && !wanted => Ok(None),
        Err(error) => Err(failure(what(), error)),
    }
}

async fn write_status(
    client: &Client,
    view: &View,
    status: &QuarantineStatus,
) -> Result<Option<Value>, WriteError> {
    let api = Api::<Quarantine>::namespaced(client.clone(), &view.release.namespace);
    let mut object = Quarantine::new(&view.release.name, view.spec.clone());
    object.metadata.namespace = Some(view.release.namespace.clone());
    object.metadata.uid = Some(view.uid.clone());
    object.metadata.resource_version = Some(view.resource_version.clone());
    object.status = Some(status.clone());
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    };
    let answer = within_deadline(api.replace_status(&view.release.name, &params, &object)).await;
    let answer = answer.map_err(|error| failure(format!("Quarantine {}", view.release), error))?;
    Ok(serde_json::to_value(answer).ok())
}

/// A failed precondition means that nothing was written: 409 from the server itself, 422 where a
/// test of a JSON patch failed, 404 where the object went.
fn failure(what: String, error: kube::Error) -> WriteError {
    match &error {
        kube::Error::Api(status) if matches!(status.code, 404 | 409 | 422) => {
            WriteError::Changed(what)
        }
        _ => WriteError::Api {
            what: format!("write {what}"),
            source: error,
        },
    }
}

/// The API of a recorded object, if it is one that may be recorded.
pub(super) fn api_of(
    client: &Client,
    view: &View,
    record: &ContainedObject,
) -> Option<Api<DynamicObject>> {
    let namespace = namespace_of(view, record);
    if record.action == QuarantineAction::IsolateNetwork {
        return Some(policies(client, namespace));
    }
    let target = Target::of_record(record)?;
    Some(api_of_target(client, target, namespace))
}

pub(super) fn namespace_of<'a>(view: &'a View, record: &'a ContainedObject) -> &'a str {
    record.namespace.as_ref().unwrap_or(&view.release.namespace)
}

pub(super) fn api_of_target(
    client: &Client,
    target: &Target,
    namespace: &str,
) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource(target))
}

pub(super) fn resource(target: &Target) -> ApiResource {
    let kind = GroupVersionKind::gvk(target.group, target.version, target.kind);
    ApiResource::from_gvk_with_plural(&kind, target.plural)
}

pub(super) fn policies(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("networking.k8s.io", "v1", network::KIND);
    let resource = ApiResource::from_gvk_with_plural(&kind, "networkpolicies");
    Api::namespaced_with(client.clone(), namespace, &resource)
}

pub(super) fn json_of(object: &DynamicObject) -> Value {
    // Invariant: what was read as JSON can be written as JSON.
    serde_json::to_value(object).unwrap_or_default()
}

fn parameters() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}
