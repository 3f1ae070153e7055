//! Signed statements of verdicts for programs of others, in `ConfigMap`s of the operator's own namespace: written
//! where a verdict, or what it is about, has changed.
//!
//! Decision: they are made of what this process has concluded, never of what a `ReleaseTrust` shows: whoever may
//! write there could have anything signed.

mod envelope;
mod plan;
mod statement;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ObjectMeta, Preconditions};

pub use self::envelope::{Envelope, of_pem, pem};
use self::plan::{Change, Page, Wanted, plan};
pub use self::statement::Statement;
use super::cache::OwnObject;
use super::context::Context;
use super::error::Error;
use super::own;
use super::store::Stated;
use super::task::Task;
use crate::api::create_params;
use crate::api::release_trust::ReleaseTrustStatus;
use crate::clock::Moment;
use crate::inventory::ReleaseId;
use crate::watch::within_deadline;

/// The `ConfigMap` with what checks the signatures, in PEM.
pub const KEY: &str = "charttrust-vsa";
/// Its entry.
pub const KEY_ENTRY: &str = "key.pem";

/// The name of a `ConfigMap` with statements about releases of a namespace, by its number from 1. Its entries are
/// envelopes by the names of releases.
pub fn name(namespace: &str, number: usize) -> String {
    // A dot is in no name of a namespace.
    match number {
        1 => format!("{KEY}-{namespace}"),
        number => format!("{KEY}-{namespace}.{number}"),
    }
}

/// What a `ConfigMap` of this name is about: a namespace, or nothing for that with the key; `None` if it is none of
/// these.
pub fn namespace_of(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(KEY)?;
    let namespace = match rest.strip_prefix('-') {
        Some(namespace) => namespace,
        None => rest,
    };
    let is_whole = rest.is_empty() || rest.starts_with('-');
    namespace.split('.').next().filter(|_| is_whole)
}

/// The label of each of them.
pub const LABEL: (&str, &str) = ("app.kubernetes.io/component", "vsa");

/// The same of an object in the operator's namespace.
pub(super) fn namespace_in(object: &OwnObject) -> Option<&str> {
    match object {
        OwnObject::ConfigMap(name) => namespace_of(name),
        OwnObject::Secret(_) => None,
    }
}

impl Context {
    /// What is stated of the releases of a namespace may have changed; without a namespace it is about the key.
    pub(super) fn state_again(&self, namespace: &str) {
        // Where several replicas share the work, nothing is known here of the releases of others.
        let is_ours = if namespace.is_empty() {
            self.is_first()
        } else {
            self.keeps(namespace)
        };
        if self.settings.signs_statements && is_ours {
            let task = Task::Statements(namespace.to_owned());
            let now = crate::clock::tick();
            let at = self.queues.calm.at(&task, now).max(now + SOON);
            self.queues.tasks.add_at(task, at);
        }
    }
}

/// How soon after a change it is written; each write takes in all changes of a namespace.
const SOON: std::time::Duration = std::time::Duration::from_secs(2);

/// Takes in what was concluded about a release, which is what may be stated of it.
pub(super) fn note(context: &Context, id: &ReleaseId, status: &ReleaseTrustStatus) {
    if !context.settings.signs_statements {
        return;
    }
    // The time is that of signing.
    let statement = Statement::of(id, status, jiff::Timestamp::UNIX_EPOCH);
    let text = statement.and_then(|statement| serde_json::to_string(&statement).ok());
    let stated = text.map_or(Stated::Nothing, |text| Stated::This(text.into()));
    let has_changed = context.store.update(id, |release| {
        let before = std::mem::replace(&mut release.stated, stated);
        before != release.stated
    });
    if has_changed {
        context.state_again(&id.namespace);
    }
}

/// Brings the statements about the releases of a namespace in line with what was concluded.
pub(super) async fn reconcile(
    context: &Context,
    namespace: &str,
    moment: Moment,
) -> Result<(), Error> {
    if namespace.is_empty() {
        return publish(context).await;
    }
    if context.cache.records.are_refused(namespace) {
        // What cannot be read at this moment need not be gone.
        return Ok(());
    }
    let wanted = wanted(context, namespace);
    let pages = read(context, namespace, plan::pages_for(wanted.len())).await?;
    let seal = context.store.seal();
    let changes = plan(&pages, wanted, (seal, moment.date));
    for change in changes.ok_or(Error::Seal("cannot sign: the system gives no randomness"))? {
        let applied = apply(context, namespace, change).await;
        applied.map_err(|error| Error::Api("write a statement", error))?;
    }
    Ok(())
}

/// What is to be stated of the releases of a namespace, by their names.
fn wanted(context: &Context, namespace: &str) -> BTreeMap<String, Wanted> {
    let records = &context.cache.records;
    let there = context.store.release_ids().into_iter();
    // What cannot be read at this moment need not be gone.
    let may_be = |id: &ReleaseId| !records.has_none(id) || records.applications.may_have(id);
    let there = there.filter(|id| id.namespace == namespace && may_be(id));
    let known = there.map(|id| {
        let wanted = context.store.inspect(&id, |release| {
            match release.map(|release| &release.stated) {
                Some(Stated::Nothing) => Wanted::Nothing,
                Some(Stated::This(text)) => {
                    serde_json::from_str(text).map_or(Wanted::Nothing, Wanted::This)
                }
                Some(Stated::NotYet) | None => Wanted::AsItIs,
            }
        });
        (id.name, wanted)
    });
    let mut all: BTreeMap<_, _> = known.collect();
    // Of those that nobody has looked at yet in this process, what an earlier one has stated stands.
    for id in records.releases() {
        if id.namespace == namespace {
            all.entry(id.name).or_insert(Wanted::AsItIs);
        }
    }
    all
}

/// The pages that are there: as far as they are needed, and then as far as they go.
async fn read(context: &Context, namespace: &str, needed: usize) -> Result<Vec<Page>, Error> {
    let mut pages = Vec::new();
    for number in 1.. {
        let found = own::find::<ConfigMap>(context, &name(namespace, number)).await;
        let found = found.map_err(|error| Error::Api("read statements", error))?;
        if found.is_none() && number > needed {
            break;
        }
        pages.extend(found.map(|map| Page {
            number,
            resource_version: map.metadata.resource_version,
            entries: map.data.unwrap_or_default(),
        }));
    }
    Ok(pages)
}

async fn apply(context: &Context, namespace: &str, change: Change) -> kube::Result<()> {
    let api = own::api::<ConfigMap>(context);
    match change {
        Change::Create(page) => {
            let map = map(name(namespace, page.number), page.entries);
            within_deadline(api.create(&create_params(), &map)).await?;
        }
        Change::Replace(page) => {
            let mut map = map(name(namespace, page.number), page.entries);
            map.metadata.resource_version = page.resource_version;
            let name = name(namespace, page.number);
            within_deadline(api.replace(&name, &create_params(), &map)).await?;
        }
        Change::Delete(page) => {
            let this = DeleteParams::default().preconditions(Preconditions {
                resource_version: page.resource_version,
                uid: None,
            });
            within_deadline(api.delete(&name(namespace, page.number), &this)).await?;
        }
    }
    Ok(())
}

fn map(name: String, data: BTreeMap<String, String>) -> ConfigMap {
    let labels = [("app.kubernetes.io/managed-by", "charttrust"), LABEL];
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(
                labels
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..ConfigMap::default()
    }
}

/// Writes down by what others check the signatures.
async fn publish(context: &Context) -> Result<(), Error> {
    let key = context.store.seal().key_for_others();
    let key = key.ok_or(Error::Seal("makes no key for statements"))?;
    let data = BTreeMap::from([(KEY_ENTRY.to_owned(), envelope::pem(&key))]);
    let found = own::find::<ConfigMap>(context, KEY).await;
    let found = found.map_err(|error| Error::Api("read the key of the statements", error))?;
    let api = own::api::<ConfigMap>(context);
    let mut map = map(KEY.to_owned(), data);
    let written = match found {
        Some(found) if found.data == map.data => return Ok(()),
        Some(found) => {
            map.metadata.resource_version = found.metadata.resource_version;
            within_deadline(api.replace(KEY, &create_params(), &map)).await
        }
        None => within_deadline(api.create(&create_params(), &map)).await,
    };
    let written = written.map_err(|error| Error::Api("write the key of the statements", error));
    written.map(drop)
}

#[cfg(test)]
mod tests;
