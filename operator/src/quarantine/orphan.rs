//! Objects that are still contained though their Quarantine is gone: what they carry is all there
//! is, and enough to restore them.

use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use super::apply::{WriteError, change_by, json_of, resource};
use super::gather::{is_unknown, named};
use super::mark::{Carried, Mark};
use super::step::{restoration, return_of_fields};
use super::target::{self, TARGETS, Target};
use super::{application, field};
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

/// Every object that carries our annotation, of the kinds that can be contained; or those of one
/// release.
///
/// # Errors
/// If the API server does not list one of the kinds; one that it does not know has no objects.
pub async fn marked(client: &Client, only: Option<&ReleaseId>) -> kube::Result<Vec<Marked>> {
    let mut found = Vec::new();
    for target in &TARGETS {
        let resource = resource(target);
        let api: Api<DynamicObject> = match only.filter(|only| !lies_anywhere(target, only)) {
            Some(only) => Api::namespaced_with(client.clone(), &only.namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let list = match within_deadline(api.list(&ListParams::default())).await {
            Ok(list) => list,
            Err(error) if is_unknown(&error) => continue,
            Err(error) => return Err(error),
        };
        let named = |object| named(object, &target.api_version(), target.kind);
        let objects = list.items.iter().map(named);
        found.extend(objects.filter_map(|live| carrying(live, target)));
    }
    found.retain(|one| only.is_none_or(|only| one.is_of(only)));
    Ok(found)
}

/// What an Argo CD Application deploys may lie in any namespace.
fn lies_anywhere(target: &Target, release: &ReleaseId) -> bool {
    target.is_workload() && application::may_be(release)
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
    fn is_of(&self, release: &ReleaseId) -> bool {
        if self.target.is_workload() {
            target::is_of_release(&self.live, release) || application::is_named(&self.live, release)
        } else {
            target::deploys(&self.live, self.target, release)
        }
    }

    /// Puts the object back as its annotation says, and gives back what we own of it. A field that
    /// others have changed since stays as it is. What has changed meanwhile is read again.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was written by the patch that failed, and another run goes on.
    pub async fn restore(&self, client: &Client) -> Result<(), WriteError> {
        let Some(mark) = &self.mark else {
            return Ok(());
        };
        let api = Api::namespaced_with(client.clone(), &self.namespace, &resource(self.target));
        let what = format!("{} {}", self.kind, self.name);
        let mut live = self.live.clone();
        for _ in 0..TRIES {
            let Some(operations) = self.next(&live, mark) else {
                return Ok(());
            };
            match change_by(&api, &self.name, &operations, what.clone()).await {
                Ok(changed) => live = changed,
                Err(WriteError::Changed(_)) => {
                    let Some(again) = read(&api, &self.name, &what).await? else {
                        return Ok(());
                    };
                    live = again;
                }
                Err(error) => return Err(error),
            }
        }
        Err(WriteError::Changed(what))
    }

    /// The next patch: value and annotation together, then who owns what.
    fn next(&self, live: &Value, mark: &Mark) -> Option<Vec<Value>> {
        match Mark::of(live) {
            Carried::Mark(carried) if *carried == *mark => {
                let original = if self.target.is_held(live) {
                    mark.original.clone()
                } else {
                    self.target.value(live).cloned()
                };
                Some(restoration(live, self.target, original))
            }
            Carried::Nothing => return_of_fields(live, self.target, &mark.owners),
            Carried::Mark(_) | Carried::Unreadable => None,
        }
    }
}

/// How often an object is read again that others write at the same time.
const TRIES: usize = 8;

async fn read(
    api: &Api<DynamicObject>,
    name: &str,
    what: &str,
) -> Result<Option<Value>, WriteError> {
    let found = within_deadline(api.get_opt(name)).await;
    let found = found.map_err(|source| WriteError::Api {
        what: format!("read {what}"),
        source,
    })?;
    Ok(found.map(|object| json_of(&object)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn web(replicas: u32, mark: &Mark) -> Value {
        json!({
            "metadata": {"namespace": "shop", "name": "web", "resourceVersion": "41",
                "annotations": {super::super::ANNOTATION: mark.text()}},
            "spec": {"replicas": replicas},
        })
    }

    fn mark(original: u32) -> Mark {
        Mark {
            incident: "manual/1".to_owned(),
            quarantine: "1".to_owned(),
            time: "2026-11-18T00:00:00Z".to_owned(),
            original: Some(json!(original)),
            owners: Vec::new(),
        }
    }

    fn next(listed: &Value, live: &Value) -> Option<Vec<Value>> {
        let target = Target::of("apps", "Deployment").unwrap();
        let marked = carrying(listed.clone(), target).unwrap();
        marked.next(live, marked.mark.as_ref().unwrap())
    }

    fn replicas(operations: &[Value]) -> Option<&Value> {
        let last = operations
            .iter()
            .rfind(|one| one["path"] == "/spec/replicas");
        last.map(|one| &one["value"])
    }

    #[test]
    fn what_is_still_stopped_gets_back_what_it_carries() {
        let live = web(0, &mark(3));
        let operations = next(&live, &live).unwrap();
        assert_eq!(replicas(&operations), Some(&json!(3)));
    }

    #[test]
    fn what_others_have_changed_stays() {
        let operations = next(&web(0, &mark(3)), &web(7, &mark(3))).unwrap();
        assert_eq!(replicas(&operations), Some(&json!(7)));
    }

    #[test]
    fn another_annotation_than_was_shown_restores_nothing() {
        assert_eq!(next(&web(0, &mark(3)), &web(0, &mark(9))), None);
    }
}
