//! The only writer to objects of others. Every write carries a precondition.

use json_patch::PatchOperation;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::object_error::ObjectError;
use super::resources::{json_of, policies_in};
use super::view::{FINALIZER, View};
use super::write::{Precondition, Write};
use super::{actions, fields, policies};
use crate::api::quarantine::{ContainedObject, QuarantineStatus};
use crate::api::{FIELD_MANAGER, Quarantine, create_params};
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
    /// Something has changed meanwhile, as far as the answer tells: it has to be read again.
    #[error("{0} has changed meanwhile")]
    Changed(String, #[source] Option<kube::Error>),
}

impl WriteError {
    /// What stands in the way of the object, if the API server has answered for it.
    pub fn of_object(&self) -> Option<ObjectError> {
        match self {
            Self::Api { source, .. } => ObjectError::of_write(source),
            Self::Changed(_, source) => ObjectError::of_write(source.as_ref()?),
        }
    }
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
        Write::AddFinalizer => finalizer(client, view, Finalizer::Put).await,
        Write::RemoveFinalizer => finalizer(client, view, Finalizer::Taken).await,
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
    operations: &[PatchOperation],
) -> Result<Option<Value>, WriteError> {
    let what = format!("{} {}", record.kind, record.name);
    let Some(api) = api_of(client, view, record) else {
        return Err(WriteError::Changed(what, None));
    };
    change_by(&api, &record.name, operations, what)
        .await
        .map(Some)
}

/// Changes one object by a JSON patch whose tests are its precondition.
pub(super) async fn change_by(
    api: &Api<DynamicObject>,
    name: &str,
    operations: &[PatchOperation],
    what: String,
) -> Result<Value, WriteError> {
    let change: Patch<()> = Patch::Json(json_patch::Patch(operations.to_vec()));
    let answer = within_deadline(api.patch(name, &parameters(), &change)).await;
    answer
        .map(|object| json_of(&object))
        .map_err(|error| failure(what, error))
}

async fn create(client: &Client, object: &Value) -> Result<Option<Value>, WriteError> {
    let name = fields::text(object, &["metadata", "name"]).unwrap_or_default();
    let what = format!("{} {name}", policies::KIND);
    let namespace = fields::text(object, &["metadata", "namespace"]).unwrap_or_default();
    let api = policies_in(client, namespace);
    // Invariant: built in this room, in the form of every object.
    let Ok(object) = serde_json::from_value::<DynamicObject>(object.clone()) else {
        return Ok(None);
    };
    match within_deadline(api.create(&create_params(), &object)).await {
        Ok(created) => Ok(Some(json_of(&created))),
        Err(error) => Err(failure(what, error)),
    }
}

async fn delete(
    client: &Client,
    view: &View,
    record: &ContainedObject,
    precondition: &Precondition,
) -> Result<Option<Value>, WriteError> {
    let api = policies_in(client, view.namespace_of(record));
    let what = format!("{} {}", record.kind, record.name);
    delete_by(&api, &record.name, precondition, what).await?;
    Ok(None)
}

/// Deletes one object, if it is still this one; one that is gone is deleted.
pub(super) async fn delete_by(
    api: &Api<DynamicObject>,
    name: &str,
    precondition: &Precondition,
    what: String,
) -> Result<(), WriteError> {
    let preconditions = Preconditions {
        uid: Some(precondition.uid.clone()),
        resource_version: Some(precondition.resource_version.clone()),
    };
    let params = DeleteParams {
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    match within_deadline(api.delete(name, &params)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(failure(what, error)),
    }
}

/// What becomes of our finalizer.
#[derive(Clone, Copy, PartialEq)]
enum Finalizer {
    Put,
    Taken,
}

async fn finalizer(
    client: &Client,
    view: &View,
    becomes: Finalizer,
) -> Result<Option<Value>, WriteError> {
    let api = Api::<Quarantine>::namespaced(client.clone(), &view.release.namespace);
    let what = || format!("Quarantine {}", view.release);
    let object = match within_deadline(api.get(&view.release.name)).await {
        Ok(object) => object,
        Err(kube::Error::Api(status)) if status.is_not_found() && becomes == Finalizer::Taken => {
            return Ok(None);
        }
        Err(error) => return Err(failure(what(), error)),
    };
    if object.uid().as_deref() != Some(&view.uid) {
        return Err(WriteError::Changed(what(), None));
    }
    let mut finalizers = object.finalizers().to_vec();
    finalizers.retain(|name| name != FINALIZER);
    if becomes == Finalizer::Put {
        finalizers.push(FINALIZER.to_owned());
    }
    let change = vec![
        fields::test(&["metadata", "uid"], json!(view.uid)),
        fields::test(
            &["metadata", "resourceVersion"],
            json!(view.resource_version),
        ),
        fields::set(
            &json!({"metadata": {}}),
            &["metadata", "finalizers"],
            json!(finalizers),
        ),
    ];
    let change: Patch<()> = Patch::Json(json_patch::Patch(change));
    match within_deadline(api.patch(&view.release.name, &parameters(), &change)).await {
        Ok(object) => Ok(serde_json::to_value(object).ok()),
        Err(kube::Error::Api(status)) if status.is_not_found() && becomes == Finalizer::Taken => {
            Ok(None)
        }
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
    let params = create_params();
    let answer = within_deadline(api.replace_status(&view.release.name, &params, &object)).await;
    let answer = answer.map_err(|error| failure(format!("Quarantine {}", view.release), error))?;
    Ok(serde_json::to_value(answer).ok())
}

/// A failed precondition means that nothing was written: 409 from the server itself, 422 where a
/// test of a JSON patch failed, 404 where the object went.
fn failure(what: String, error: kube::Error) -> WriteError {
    match &error {
        kube::Error::Api(status) if matches!(status.code, 404 | 409 | 422) => {
            WriteError::Changed(what, Some(error))
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
    let resource = actions::resource(record)?;
    let namespace = view.namespace_of(record);
    Some(Api::namespaced_with(client.clone(), namespace, &resource))
}

fn parameters() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}
