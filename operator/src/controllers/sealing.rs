//! The key of the seal, and what is believed of earlier evidence at the start.

use std::collections::BTreeMap;

use aws_lc_rs::rand;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, ResourceExt as _};

use super::evidence::{self, Seal};
use super::world::{Content, Revision};
use super::{Context, Error, FIELD_MANAGER, events};
use crate::api::ReleaseTrust;
use crate::api::release_trust as v1;
use crate::inventory::ReleaseId;
use crate::inventory::helm::Driver;
use crate::watch::within_deadline;

/// The Secret in the operator's namespace that holds the key.
pub const SECRET: &str = "charttrust-evidence";
const DATA_KEY: &str = "key";

/// Reads the key, or makes one if there is none. Of two replicas that make one, one wins.
pub(super) async fn unlock(context: &Context) -> Result<Seal, Error> {
    let api = Api::<Secret>::namespaced(context.client.clone(), &context.namespace);
    if let Some(seal) = read(&api).await? {
        return Ok(seal);
    }
    match within_deadline(api.create(&parameters(), &fresh_key()?)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(Error::Api("create the key of the evidence", error)),
    }
    read(&api)
        .await?
        .ok_or(Error::Seal("is not there after it was created"))
}

async fn read(api: &Api<Secret>) -> Result<Option<Seal>, Error> {
    let params = ListParams::default().fields(&format!("metadata.name={SECRET}"));
    let found = within_deadline(api.list(&params)).await;
    let found = found.map_err(|error| Error::Api("read the key of the evidence", error))?;
    let Some(secret) = found.items.into_iter().next() else {
        return Ok(None);
    };
    let key = secret.data.unwrap_or_default().remove(DATA_KEY);
    match key.filter(|key| key.0.len() == Seal::LENGTH) {
        Some(key) => Ok(Some(Seal::new(&key.0))),
        None => Err(Error::Seal(
            "holds no key of 32 bytes; delete it, and evidence is gathered anew",
        )),
    }
}

fn fresh_key() -> Result<Secret, Error> {
    let mut key = [0; Seal::LENGTH];
    rand::fill(&mut key)
        .map_err(|_| Error::Seal("cannot be made: the system gives no randomness"))?;
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(
            DATA_KEY.to_owned(),
            ByteString(key.to_vec()),
        )])),
        type_: Some("charttrust.io/evidence-key".to_owned()),
        ..Secret::default()
    })
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    }
}

/// Takes in the evidence of every `ReleaseTrust` that carries our seal; reports the others.
pub(super) async fn recall(context: &Context, seal: &Seal) {
    for (id, object) in context.mirrors.trusts.all() {
        let Ok(object) = object.as_ref() else {
            continue;
        };
        match object
            .status
            .as_ref()
            .and_then(|status| evidence::restore(&id, status, seal))
        {
            None => {}
            Some(Ok(restored)) => {
                context
                    .world
                    .update(&id, |known| known.witnesses = restored.witnesses);
                if let Some(content) = restored.content {
                    remember(context, &id, object, content);
                }
            }
            Some(Err(rejected)) => {
                let version = object.resource_version().unwrap_or_default();
                tracing::warn!(release = %id, version, %rejected, "evidence is gathered again");
                events::publish(
                    context,
                    Some(events::of_rejection(&id, &rejected.to_string())),
                )
                .await;
            }
        }
    }
}

/// As if the record had been read and its sources had answered just now; a record that has changed
/// since has another resource version and is read again.
fn remember(context: &Context, id: &ReleaseId, object: &ReleaseTrust, content: Content) {
    let Some(release) = object
        .status
        .as_ref()
        .and_then(|status| status.release.as_ref())
    else {
        return;
    };
    let driver = match release.driver {
        v1::Driver::Secret => Driver::Secret,
        v1::Driver::ConfigMap => Driver::ConfigMap,
        v1::Driver::Application => return,
    };
    let Ok(number) = u32::try_from(release.revision) else {
        return;
    };
    let resource_version = release.resource_version.clone();
    context.world.update(id, |known| {
        let revision = Revision {
            resource_version,
            content: Ok(content),
        };
        known.revisions.insert((driver, number), revision);
    });
}
