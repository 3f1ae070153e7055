//! Brings a `Quarantine` into force, and restores what it holds when it ends.

use std::time::Duration;

use charttrust_verify::verdict::Verdict;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::core::PartialObjectMeta;
use tokio::time::Instant;

use super::{Context, Error, Task, containment, events, examine, ledger, release};
use crate::api::Quarantine;
use crate::api::conditions::{QuarantineCondition, Status, find};
use crate::api::quarantine::{EndedBy, QuarantineStatus};
use crate::api::reasons::QuarantineReason;
use crate::clock;
use crate::inventory::ReleaseId;
use crate::inventory::helm::RecordKey;
use crate::quarantine::apply::apply;
use crate::quarantine::incident::Ledger;
use crate::quarantine::{PROTECTED, View, Write, drive, refused};
use crate::watch::within_deadline;

impl Context {
    /// Whether containment is switched on.
    pub(super) fn may_contain(&self) -> bool {
        self.containment.is_some()
    }

    /// Whether objects of others may be written at this moment. Asked before each single write.
    pub(super) fn may_write(&self) -> bool {
        self.may_contain() && self.mandate.is_held()
    }
}

/// Whether nothing is ever changed in a namespace.
pub(super) fn is_protected(context: &Context, namespace: &str) -> bool {
    protected(context).any(|name| name == namespace)
}

fn protected(context: &Context) -> impl Iterator<Item = &str> {
    let settings = context.containment.iter();
    let named = settings.flat_map(|settings| settings.protected.iter().map(String::as_str));
    named.chain([PROTECTED, &context.namespace])
}

/// How many releases are contained.
pub(super) fn active(context: &Context) -> usize {
    let all = context.mirrors.quarantines.all();
    let readable = all.iter().filter_map(|(_, object)| {
        let object: &Result<Quarantine, String> = object;
        object.as_ref().ok()
    });
    readable.filter(|object| is_in_force(object)).count()
}

/// Whether a quarantine of a release is in force.
pub(super) fn is_active(context: &Context, id: &ReleaseId) -> bool {
    let object = context.mirrors.quarantines.find(id);
    let object = object.as_deref().and_then(|object| object.as_ref().ok());
    object.is_some_and(is_in_force)
}

fn is_in_force(object: &Quarantine) -> bool {
    let status = object.status.as_ref();
    let conditions = status
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    find(conditions, QuarantineCondition::Active)
        .is_some_and(|active| active.status == Status::True)
}

/// Brings a quarantine one look further.
pub(super) async fn reconcile(context: &Context, id: &ReleaseId) -> Result<(), Error> {
    if context.mirrors.quarantines.find(id).is_none() {
        return Ok(());
    }
    let api = Api::<Quarantine>::namespaced(context.client.clone(), &id.namespace);
    let found = within_deadline(api.get_opt(&id.name)).await;
    let found = found.map_err(|error| Error::Api("read a Quarantine", error))?;
    let Some(object) = found else {
        return Ok(());
    };
    let view = View {
        protected: protected(context).map(str::to_owned).collect(),
        ..View::of(id, &object, clock::now())
    };
    if view.is_ending {
        return end(context, view).await;
    }
    if !context.may_contain() {
        return tell(context, view, QuarantineReason::Disabled, DISABLED).await;
    }
    if let Some(ended) = ended_by(context, &view).await? {
        return finish(context, view, ended).await;
    }
    if is_protected(context, &view.release.namespace) {
        look_again(context, &view, LOOK_AGAIN);
        let message = format!("namespace {} is protected", view.release.namespace);
        return tell(context, view, QuarantineReason::Protected, &message).await;
    }
    begin(context, view).await
}

const DISABLED: &str = "the operator runs without --quarantine: nothing is changed; what was \
                        changed before is put back by charttrust restore";

/// Why an automatic quarantine is over: its policy trusts the release again, or there is none. One
/// that has changed nothing is also over if its policy asks for it no more. What cannot be found out
/// ends nothing.
async fn ended_by(context: &Context, view: &View) -> Result<Option<EndedBy>, Error> {
    let Some(policy) = view.spec.policy.as_deref() else {
        return Ok(None);
    };
    if let Some(ended) = view.status.ended_by {
        return Ok(Some(ended));
    }
    if release::has_no_record(context, &view.release) {
        return Ok(Some(EndedBy::ReleaseGone));
    }
    if !is_judged(context, &view.release) {
        return Ok(None);
    }
    let release = context.world.release(&view.release).unwrap_or_default();
    let verdict = containment::said_by(&release, policy).map(|said| said.verdict);
    if verdict.is_some_and(Verdict::is_trusted) {
        return Ok(Some(EndedBy::TrustReturned));
    }
    if view.status.incident.is_some() {
        return Ok(None);
    }
    let incident = containment::incident_of(context, &view.release, policy).await?;
    Ok(incident.is_none().then_some(EndedBy::Withdrawn))
}

/// Whether a release was judged by the keys and policies of this moment.
fn is_judged(context: &Context, id: &ReleaseId) -> bool {
    let is_judged = context.world.look_at(id, |release| {
        release.is_some_and(|known| known.judgement.is_some() && !known.judgings.are_open())
    });
    is_judged && !context.world.is_changing()
}

/// Says why it ends, then deletes it; the finalizer restores.
async fn finish(context: &Context, mut view: View, ended: EndedBy) -> Result<(), Error> {
    if view.status.ended_by.is_none() {
        let status = QuarantineStatus {
            ended_by: Some(ended),
            ..view.status.clone()
        };
        write(context, &mut view, Write::Status(Box::new(status))).await?;
    }
    ledger::note_ended(context, &view.release, &view.uid).await?;
    let api = Api::<Quarantine>::namespaced(context.client.clone(), &view.release.namespace);
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(view.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    tracing::info!(release = %view.release, ?ended, "a quarantine ends");
    match within_deadline(api.delete(&view.release.name, &params)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::Api("delete a Quarantine", error)),
    }
}

/// Contains what is not contained yet, and tells how the rest stands.
async fn begin(context: &Context, mut view: View) -> Result<(), Error> {
    if let (Some(policy), None) = (&view.spec.policy, &view.status.incident) {
        let incident = if is_judged(context, &view.release) {
            containment::incident_of(context, &view.release, policy).await?
        } else {
            None
        };
        let Some(incident) = incident else {
            // Nobody says at this moment that the release is bad, so nothing is begun.
            look_again(context, &view, WAITING);
            return Ok(());
        };
        view.incident = incident;
    }
    let before = view.status.clone();
    let view = advance(context, view).await?;
    let told = events::of_quarantine(&view.release, &before, &view.status);
    for announcement in told {
        events::publish(context, Some(announcement)).await;
    }
    if view.status.incident.is_some() {
        context
            .queue
            .add_at(Task::Ledger, Instant::now() + GATHERING);
    }
    look_again(context, &view, LOOK_AGAIN);
    Ok(())
}

/// Puts everything back; then the finalizer goes.
async fn end(context: &Context, mut view: View) -> Result<(), Error> {
    if !view.has_finalizer {
        return Ok(());
    }
    if is_terminating(context, &view.release.namespace).await? {
        // It goes with its namespace: nobody has spoken about the incident.
        ledger::note_ended(context, &view.release, &view.uid).await?;
        return leave(context, view).await;
    }
    if !context.may_contain() {
        if view.status.incident.is_none() {
            return write(context, &mut view, Write::RemoveFinalizer).await;
        }
        let (reason, message) = (QuarantineReason::Disabled, STRANDED);
        return tell(context, view, reason, message).await;
    }
    note_end(context, &view).await?;
    let before = view.status.clone();
    let view = advance(context, view).await?;
    if view.has_finalizer {
        let told = events::of_quarantine(&view.release, &before, &view.status);
        for announcement in told {
            events::publish(context, Some(announcement)).await;
        }
        look_again(context, &view, LOOK_AGAIN);
        return Ok(());
    }
    let told = events::of_restore(&view.release, &view.status);
    events::publish(context, Some(told)).await;
    Ok(())
}

/// The namespace goes, and takes with it what lies in it; deployers elsewhere go on.
async fn leave(context: &Context, mut view: View) -> Result<(), Error> {
    if !context.may_contain() {
        return write(context, &mut view, Write::RemoveFinalizer).await;
    }
    view.is_going = true;
    let view = advance(context, view).await?;
    for (index, trouble) in &view.troubles {
        let object = view.status.objects.get(*index);
        if let Some(object) = object.filter(|object| object.namespace.is_some()) {
            tracing::warn!(
                release = %view.release, object = object.name, why = trouble.why,
                "not put back: charttrust restore --all finds it"
            );
        }
    }
    Ok(())
}

const STRANDED: &str = "the operator runs without --quarantine and cannot put back what was changed: \
                        start it with --quarantine, or run charttrust restore";

/// Before anything is put back, it is remembered who ended it: a person's word holds for the whole
/// incident.
async fn note_end(context: &Context, view: &View) -> Result<(), Error> {
    let (id, uid) = (&view.release, &view.uid);
    let ended = view.status.ended_by;
    if ended.is_some_and(|ended| ended != EndedBy::Uninstall) {
        return ledger::note_ended(context, id, uid).await;
    }
    let of_status = view
        .status
        .incident
        .as_deref()
        .and_then(Ledger::revocation_of);
    let mut incidents = containment::incidents_of(context, id);
    incidents.extend(of_status);
    if ended == Some(EndedBy::Uninstall) {
        return ledger::note_uninstalled(context, id, &incidents).await;
    }
    ledger::change(context, |ledger: &mut Ledger| {
        for incident in &incidents {
            ledger.note_released(incident, id);
        }
    })
    .await
}

async fn is_terminating(context: &Context, name: &str) -> Result<bool, Error> {
    let api = Api::<PartialObjectMeta<Namespace>>::all(context.client.clone());
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = within_deadline(api.list_metadata(&params)).await;
    let found = found.map_err(|error| Error::Api("read a Namespace", error))?;
    let is_ending = |meta: &PartialObjectMeta<_>| meta.metadata.deletion_timestamp.is_some();
    Ok(found.items.iter().any(is_ending))
}

async fn advance(context: &Context, view: View) -> Result<View, Error> {
    let records = records(context, &view.release);
    let driven = drive::advance(&context.client, view, &records, || context.may_write()).await;
    let view = driven.map_err(|error| failed(&error))?;
    if view.is_hindered() {
        look_again(context, &view, WAITING);
    }
    Ok(view)
}

/// One write of our own kinds, outside the steps.
async fn write(context: &Context, view: &mut View, step: Write) -> Result<(), Error> {
    let answer = apply(&context.client, view, &step).await;
    let answer = answer.map_err(|error| failed(&error))?;
    view.absorb(&step, answer);
    Ok(())
}

fn failed(error: &dyn std::error::Error) -> Error {
    let cause = error.source().map(ToString::to_string);
    Error::Quarantine(format!("{error}: {}", cause.unwrap_or_default()))
}

fn records(context: &Context, id: &ReleaseId) -> Vec<RecordKey> {
    let judged = examine::judged(context, id).into_keys();
    judged
        .map(|(driver, revision)| RecordKey {
            release: id.clone(),
            driver,
            revision,
        })
        .collect()
}

/// Says why nothing is done.
async fn tell(
    context: &Context,
    mut view: View,
    reason: QuarantineReason,
    message: &str,
) -> Result<(), Error> {
    let status = refused(&view, reason, message);
    if status == view.status {
        return Ok(());
    }
    write(context, &mut view, Write::Status(Box::new(status))).await
}

/// What others do to contained objects is noticed by looking.
fn look_again(context: &Context, view: &View, after: Duration) {
    let task = Task::Quarantine(view.release.clone());
    context.queue.add_at(task, Instant::now() + after);
}

const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Until the verdict that an automatic quarantine rests on is known after a start, or the API server
/// can do what it could not.
const WAITING: Duration = Duration::from_secs(2);
/// Quarantines that become Active together are remembered in one write.
const GATHERING: Duration = Duration::from_secs(1);
