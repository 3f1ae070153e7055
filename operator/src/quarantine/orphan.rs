//! Objects that are still contained though their Quarantine is gone: what they carry is all there
//! is, and enough to restore them.

use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use super::apply::{WriteError, change_by, json_of, resource};
use super::field;
use super::gather::is_unknown;
use super::mark::{Carried, Mark};
use super::step::{restoration, return_of_fields};
use super::target::{self, TARGETS, Target};
use crate::inventory::ReleaseId;
use crate::watch::within_deadline;

/// An object that carries our annotation.
#[derive(Clone, Debug)]
pub struct Marked {
    /// Kind.
    pub kind: &'static str,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What it carries; `None` if that cannot be read.
    pub mark: Option<Mark>,
    live: Value,
    target: &'static Target,
}

/// Every object that carries our annotation, of the kinds that can be contained.
///
/// # Errors
/// If the API server does not list one of the kinds; one that it does not know has no objects.
pub async fn marked(client: &Client, namespace: Option<&str>) -> kube::Result<Vec<Marked>> {
    let mut found = Vec::new();
    for target in &TARGETS {
        let resource = resource(target);
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let list = match within_deadline(api.list(&ListParams::default())).await {
            Ok(list) => list,
            Err(error) if is_unknown(&error) => continue,
            Err(error) => return Err(error),
        };
        let objects = list.items.iter().map(json_of);
        found.extend(objects.filter_map(|live| carrying(live, target)));
    }
    Ok(found)
}

fn carrying(live: Value, target: &'static Target) -> Option<Marked> {
    let mark = match Mark::of(&live) {
        Carried::Mark(mark) => Some(*mark),
        Carried::Nothing => return None,
        Carried::Unreadable => None,
    };
    let text = |name: &str| field::text(&live, &["metadata", name]).map(str::to_owned);
    Some(Marked {
        kind: target.kind,
        namespace: text("namespace").unwrap_or_default(),
        name: text("name")?,
        mark,
        target,
        live,
    })
}

impl Marked {
    /// Whether it belongs to a release: by its own marks, or as the deployer that names it.
    pub fn is_of(&self, release: &ReleaseId) -> bool {
        if self.target.is_workload() {
            target::is_of_release(&self.live, release)
        } else {
            target::deploys(&self.live, self.target, release)
        }
    }

    /// Puts the object back as its annotation says, and gives back what we own of it. A field that
    /// others have changed since stays as it is.
    ///
    /// # Errors
    /// [`WriteError::Changed`] if it has changed meanwhile; then nothing was written.
    pub async fn restore(&self, client: &Client) -> Result<(), WriteError> {
        let Some(mark) = &self.mark else {
            return Ok(());
        };
        let api = Api::namespaced_with(client.clone(), &self.namespace, &resource(self.target));
        let original = if self.target.is_held(&self.live) {
            mark.original.clone()
        } else {
            self.target.value(&self.live).cloned()
        };
        let operations = restoration(&self.live, self.target, original);
        let what = format!("{} {}", self.kind, self.name);
        let restored = change_by(&api, &self.name, &operations, what.clone()).await?;
        if let Some(operations) = return_of_fields(&restored, self.target, &mark.owners) {
            change_by(&api, &self.name, &operations, what).await?;
        }
        Ok(())
    }
}
