//! The key of the seal, and what is believed of earlier evidence at the start.

use std::collections::BTreeMap;

use aws_lc_rs::rand;
use charttrust_verify::verdict::Cause;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use super::events::of_rejection;
use super::evidence::{self, Age};
use crate::api::conditions::{ReleaseCondition, find};
use crate::api::release_trust as v1;
use crate::api::{ReleaseTrust, create_params};
use crate::controllers::context::Context;
use crate::controllers::error::Error;
use crate::controllers::events as announce;
use crate::controllers::own;
use crate::controllers::store::seal::{SECRET, Seal};
use crate::controllers::store::{Content, Revision};
use crate::inventory::helm::Driver;
use crate::inventory::{Claim, Mark, RecordId, ReleaseId};
use crate::watch::within_deadline;

const DATA_KEY: &str = "key";

/// Reads the key, or makes one if there is none. Of two replicas that make one, one wins.
pub(in crate::controllers) async fn unlock(context: &Context) -> Result<Seal, Error> {
    let api = own::api(context);
    if let Some(seal) = read(context).await? {
        return Ok(seal);
    }
    match within_deadline(api.create(&create_params(), &fresh_key()?)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => return Err(Error::Api("create the key of the evidence", error)),
    }
    read(context)
        .await?
        .ok_or(Error::Seal("is not there after it was created"))
}

async fn read(context: &Context) -> Result<Option<Seal>, Error> {
    let found = own::find::<Secret>(context, SECRET).await;
    let found = found.map_err(|error| Error::Api("read the key of the evidence", error))?;
    let Some(secret) = found else {
        return Ok(None);
    };
    let key = secret.data.unwrap_or_default().remove(DATA_KEY);
    match key.filter(|key| key.0.len() == Seal::LENGTH) {
        Some(key) => {
            let seal = Seal::new(&key.0);
            let is_shown = context.settings.webhook.is_some();
            Ok(Some(if is_shown { seal.shown() } else { seal }))
        }
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

/// Takes in the evidence of every `ReleaseTrust` that carries our seal; reports the others.
pub(in crate::controllers) async fn restore(context: &Context, seal: &Seal) {
    for (id, object) in context.cache.trusts.all() {
        let Ok(object) = &object.open() else {
            continue;
        };
        if says_unread(object) {
            // Before any other is admitted: with each start there would be more of them.
            context.store.junk.show(&id);
        }
        match object
            .status
            .as_ref()
            .and_then(|status| evidence::restore(&id, status, seal))
        {
            None => {}
            Some(Ok(restored)) => {
                context
                    .store
                    .update(&id, |known| known.witnesses = restored.witnesses);
                if let Some(content) = restored.content {
                    record(context, &id, object, (content, restored.age));
                }
            }
            Some(Err(rejected)) => {
                let version = object.resource_version().unwrap_or_default();
                tracing::warn!(release = %id, version, %rejected, "evidence is gathered again");
                let about = announce::reference(&id, object.uid());
                let rejection = of_rejection(&about, &rejected.to_string());
                announce::publish(context, Some(rejection)).await;
            }
        }
    }
}

/// Whether no record of the release could be read, when it was last judged.
fn says_unread(object: &ReleaseTrust) -> bool {
    let status = object.status.as_ref();
    let said = status.and_then(|status| find(&status.conditions, ReleaseCondition::Trusted));
    let unread = [Cause::Pending, Cause::ReleaseUnreadable].map(Cause::word);
    said.is_some_and(|said| unread.contains(&said.reason.as_str()))
}

/// As if the record had been read and its sources had answered just now; a record that has changed
/// since has another resource version and is read again.
fn record(
    context: &Context,
    id: &ReleaseId,
    object: &ReleaseTrust,
    (content, age): (Content, Age),
) {
    let Some(release) = object
        .status
        .as_ref()
        .and_then(|status| status.release.as_ref())
    else {
        return;
    };
    let Ok(revision) = u64::try_from(release.revision) else {
        return;
    };
    let of = |driver| RecordId::Helm { driver, revision };
    let record = match release.driver {
        v1::Driver::Secret => of(Driver::Secret),
        v1::Driver::ConfigMap => of(Driver::ConfigMap),
        // Whichever chart it is: what is said of it takes the evidence over.
        v1::Driver::Application => RecordId::Application {
            claim: Claim::First,
            revision,
        },
    };
    let resource_version = release.resource_version.clone();
    context.store.update(id, |known| {
        if age == Age::Older {
            known.older = content.evidence.answers.keys().cloned().collect();
        }
        let restored = Revision {
            resource_version,
            content: Ok(content),
            mark: Mark::Unread,
        };
        known.revisions.insert(record, restored);
    });
}
