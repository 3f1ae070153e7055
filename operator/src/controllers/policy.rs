//! Reads a `ChartTrustPolicy`, has the releases judged that it concerns, and writes its status.

use charttrust_verify::policy::ReleaseRef;
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use super::{Context, Error, FIELD_MANAGER, Task, policy_status};
use crate::api::{ChartTrustPolicy, REQUESTED_AT};
use crate::clock;
use crate::inventory::ReleaseId;
use crate::parse::{self, LoadedPolicy};
use crate::watch::within_deadline;

/// Takes the object into what is known, and has every release judged that it selects or selected.
pub(super) fn read(context: &Context, name: &str) {
    let object = context.mirrors.policies.find(&name.to_owned());
    let loaded = match object.as_deref() {
        None => None,
        Some(Err(problem)) => Some(parse::unreadable_policy(name, problem)),
        Some(Ok(object)) => Some(parse::policy(object)),
    };
    let requested = object.as_deref().and_then(|object| object.as_ref().ok()).is_some_and(asks);
    let next = loaded.as_ref().and_then(next_exception_end);
    let after = loaded.clone();
    let before = context.world.set_policy(name, loaded);
    for id in context.world.release_ids() {
        if selects(context, before.as_ref(), &id) || selects(context, after.as_ref(), &id) {
            if requested {
                context.world.update(&id, |release| release.forced = true);
            }
            context.examinations.add(id.clone());
            context.queue.add(Task::Release(id));
        }
    }
    context.queue.add(Task::PolicyStatus(name.to_owned()));
    if let Some(at) = next {
        context.queue.add_at(Task::Policy(name.to_owned()), at);
    }
}

/// Whether the annotation asks for a look that was not answered yet.
fn asks(object: &ChartTrustPolicy) -> bool {
    let asked = object.annotations().get(REQUESTED_AT);
    let status = object.status.as_ref();
    asked.is_some() && asked != status.and_then(|status| status.last_handled_reconcile_at.as_ref())
}

fn selects(context: &Context, loaded: Option<&LoadedPolicy>, id: &ReleaseId) -> bool {
    let labels = context.namespace_labels(&id.namespace);
    let release = ReleaseRef {
        namespace: &id.namespace,
        namespace_labels: labels.as_deref(),
        name: &id.name,
    };
    loaded.is_some_and(|loaded| loaded.policy.selection.selects(&release))
}

/// When the next exception ends.
fn next_exception_end(loaded: &LoadedPolicy) -> Option<Instant> {
    let now = clock::now();
    let ends = loaded.policy.exceptions.iter().map(|exception| exception.expires_at);
    let next = ends.filter(|end| *end > now).min()?;
    let wait = next.duration_since(now).unsigned_abs();
    Some(Instant::now() + wait.min(std::time::Duration::from_hours(1)))
}

/// Writes the status if anything but the time has changed.
pub(super) async fn write_status(context: &Context, name: &str) -> Result<(), Error> {
    let object = context.mirrors.policies.find(&name.to_owned());
    let Some(Ok(object)) = object.as_deref() else { return Ok(()) };
    let trust = context.world.trust();
    let Some(loaded) = trust.policies.get(name) else { return Ok(()) };
    let counted = policy_status::count(context, name);
    let old = object.status.as_ref();
    let asked = object.annotations().get(REQUESTED_AT).cloned();
    let status = policy_status::conclude(old, loaded, &trust, &counted, asked, clock::now());
    if old == Some(&status) {
        return Ok(());
    }
    let api = Api::<ChartTrustPolicy>::all(context.client.clone());
    let mut changed = object.clone();
    changed.status = Some(status);
    changed.metadata.managed_fields = None;
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
    match within_deadline(api.replace_status(&object.name_any(), &params, &changed)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::Api("write the status of a ChartTrustPolicy", error)),
    }
}
