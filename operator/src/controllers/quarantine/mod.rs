//! Brings a `Quarantine` into force, and restores what it holds when it ends.

mod decide;
mod events;
#[cfg(test)]
mod guards;
pub(in crate::controllers) mod incidents;
pub(in crate::controllers) mod made;
mod offer;
pub(in crate::controllers) mod scope;
mod stands;
pub(in crate::controllers) mod start;
mod survey;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::core::PartialObjectMeta;
use tokio::time::Instant;

use self::scope::{is_protected, protected};
use crate::api::Quarantine;
use crate::api::conditions::find;
use crate::api::quarantine::{EndedBy, QuarantineStatus};
use crate::api::quarantine_words::{QuarantineCondition, QuarantineReason};
use crate::clock::Moment;
use crate::controllers::context::Context;
use crate::controllers::error::{Error, chain};
use crate::controllers::events as announce;
use crate::controllers::store::incidents::Note;
use crate::controllers::task::Task;
use crate::inventory::helm::SeenRecord;
use crate::inventory::{Item, ReleaseId};
use crate::quarantine::apply::apply;
use crate::quarantine::incident::IncidentId;
use crate::quarantine::{Again, View, Word, Write, failed_look, gather, refused, run};
use crate::watch::within_deadline;

/// Has a Quarantine looked at that was changed, unless that was what the last look has written itself: each look asks the
/// API server a dozen questions.
pub(in crate::controllers) fn look_unless_ours(context: &Context, id: &ReleaseId) {
    let shown = context.cache.quarantines.find(id);
    let object = shown.as_deref().and_then(|object| object.as_ref().ok());
    let version = object.and_then(|object| object.metadata.resource_version.as_deref());
    if !context.store.at_rest.is_still(id, version) {
        context.queues.tasks.add(Task::Quarantine(id.clone()));
    }
}

/// Brings a quarantine one look further, by what the cluster has since that was asked for or later.
pub(in crate::controllers) async fn reconcile(
    context: &Context,
    id: &ReleaseId,
    moment: Moment,
    since: Instant,
) -> Result<(), Error> {
    let Some(shown) = context.cache.quarantines.find(id) else {
        return Ok(());
    };
    let since = context.store.begun.take(id, since);
    let looked = Box::pin(look(context, id, moment, since)).await;
    if let (Err(error), Ok(shown)) = (&looked, shown.as_ref()) {
        tell(context, view_of(context, id, shown, moment), error).await;
    }
    looked
}

/// A look that failed is told where people look. What it stands on is as the watch has shown it: that nothing can be read
/// is one of the reasons. One that is refused, as something newer is there, is told after the next look.
async fn tell(context: &Context, view: View, error: &Error) {
    if !context.may_write() {
        return;
    }
    let status = failed_look(&view, &chain(error));
    if let Err(error) = say(context, view, status).await {
        tracing::debug!(%error, "that a look failed is not told yet");
    }
}

async fn look(
    context: &Context,
    id: &ReleaseId,
    moment: Moment,
    since: Instant,
) -> Result<(), Error> {
    let api = Api::<Quarantine>::namespaced(context.client.clone(), &id.namespace);
    let found = within_deadline(api.get_opt(&id.name)).await;
    let found = found.map_err(|error| Error::Api("read a Quarantine", error))?;
    let Some(object) = found else {
        return Ok(());
    };
    let mut view = View {
        since: Some(since),
        ..view_of(context, id, &object, moment)
    };
    let is_claimed = made::is_claim(context.store.seal(), &object);
    drop(object);
    forget_forged(context, &mut view).await?;
    if view.is_ending {
        let by = if is_claimed { Began::Others } else { Began::Us };
        return end(context, view, moment, by).await;
    }
    if !context.may_contain() {
        return report(context, view, QuarantineReason::Disabled, DISABLED).await;
    }
    if is_claimed {
        return report(context, view, QuarantineReason::MadeByOthers, CLAIMED).await;
    }
    if let Some(ended) = ended_by(context, &view).await? {
        return finish(context, view, ended).await;
    }
    if is_protected(context, &view.release.namespace) {
        queue_again(context, &view, moment.tick + AGAIN);
        let message = format!("namespace {} is protected", view.release.namespace);
        return report(context, view, QuarantineReason::Protected, &message).await;
    }
    begin(context, view, moment).await
}

fn view_of(context: &Context, id: &ReleaseId, object: &Quarantine, moment: Moment) -> View {
    View {
        protected: protected(context).map(str::to_owned).collect(),
        freeze: context.store.gate.seen().freeze,
        ..View::of(id, object, moment.date)
    }
}

const DISABLED: &str = "the operator runs without --quarantine: nothing is changed; what was \
                        changed before is put back by charttrust restore";

/// Why it ends counts if we have written that: whoever may write a status could end it otherwise. So it is found
/// out anew, and what was forged goes.
async fn forget_forged(context: &Context, view: &mut View) -> Result<(), Error> {
    let is_said = view.status.ended_by.is_some() || view.status.ended_tag.is_some();
    if !is_said || is_believed(context, view) {
        return Ok(());
    }
    let status = QuarantineStatus {
        ended_by: None,
        ended_tag: None,
        ..view.status.clone()
    };
    if view.is_ending {
        view.status = status;
        return Ok(());
    }
    tracing::warn!(release = %view.release, "somebody else has written status.endedBy: it counts for nothing");
    write(context, view, Write::Status(Box::new(status))).await
}

fn is_believed(context: &Context, view: &View) -> bool {
    let about = (&view.release, view.uid.as_str());
    match view.status.ended_by {
        // Who says so before an uninstallation has no seal, and deletes the object too.
        Some(EndedBy::Uninstall) => true,
        _ if made::is_our_end(context.store.seal(), about, &view.status) => true,
        // An earlier version has written no tag.
        Some(EndedBy::TrustReturned) => view.is_ending && trusts(context, view),
        Some(EndedBy::ReleaseGone | EndedBy::Withdrawn) | None => false,
    }
}

/// Whether the policy that has begun it trusts the release now.
fn trusts(context: &Context, view: &View) -> bool {
    let Some(policy) = view.spec.policy.as_deref() else {
        return false;
    };
    let said = scope::said(context, &view.release, policy);
    said.is_some_and(|said| said.verdict.is_trusted())
}

/// Who has begun a quarantine that names a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Began {
    /// We, for that policy, or a person who names none.
    Us,
    /// Somebody who only says so.
    Others,
}

const CLAIMED: &str = "it names a policy, and the operator has not made it, or under a seal that is lost, or in \
                       a version that knew none: delete it (kubectl delete quarantine), and that policy begins \
                       one by itself where it is due; a person who contains the release leaves spec.policy out";

/// Why an automatic quarantine is over: its policy trusts the release again, or there is none. One
/// that has changed nothing is also over if its policy asks for it no more. What cannot be found out
/// ends nothing.
async fn ended_by(context: &Context, view: &View) -> Result<Option<EndedBy>, Error> {
    let Some(policy) = view.spec.policy.as_deref() else {
        return Ok(None);
    };
    let said = view.status.ended_by;
    if said.is_some_and(|ended| ended != EndedBy::Uninstall) {
        return Ok(said);
    }
    let records = &context.cache.records;
    if records.applications.may_have(&view.release) && !records.has_record(&view.release) {
        return Ok(None);
    }
    if records.has_none(&view.release) {
        if records.are_refused(&view.release.namespace) {
            return Ok(None);
        }
        // Whoever may delete a record could start its workloads otherwise.
        let (all, recorded) = (&context.neighbourhoods, &view.status.objects);
        let is_left = gather::has_workloads(all, &view.release, recorded).await;
        let is_left = is_left.map_err(|error| failed(&error))?;
        return Ok((!is_left).then_some(EndedBy::ReleaseGone));
    }
    if !is_judged(context, &view.release) {
        return Ok(None);
    }
    if trusts(context, view) {
        return Ok(Some(EndedBy::TrustReturned));
    }
    if view.status.incident.is_some() {
        return Ok(None);
    }
    let incident = incident_of(context, &view.release, policy).await?;
    Ok(incident.is_none().then_some(EndedBy::Withdrawn))
}

/// The incident that a new quarantine of a release is about, if its policy asks for one: one that
/// nobody has ended.
async fn incident_of(
    context: &Context,
    id: &ReleaseId,
    policy: &str,
) -> Result<Option<IncidentId>, Error> {
    let trust = context.store.trust();
    let said = scope::said(context, id, policy);
    let asking = trust.policies.get(policy).zip(said);
    let asking = asking.filter(|_| !is_protected(context, &id.namespace));
    let incidents = asking.map(|(loaded, said)| decide::asked(loaded, &said));
    let incidents = incidents.unwrap_or_default();
    if incidents.is_empty() {
        return Ok(None);
    }
    let known = incidents::read(context).await?;
    let open = incidents.iter().find(|one| !known.is_released(one, id));
    Ok(open.map(|one| known.id_of(one)))
}

/// Whether a release, and all that is contained with it, was judged by the keys and policies of this moment.
fn is_judged(context: &Context, id: &ReleaseId) -> bool {
    let is_judged = |part: &ReleaseId| {
        context.store.inspect(part, |release| {
            release.is_some_and(|known| known.judgement.is_some() && !known.judgings.are_open())
        })
    };
    let parts = context.cache.records.parts(id);
    parts.iter().all(is_judged) && !context.store.is_changing()
}

/// Says why it ends, then deletes it; the finalizer restores.
async fn finish(context: &Context, mut view: View, ended: EndedBy) -> Result<(), Error> {
    if view.status.ended_by != Some(ended) {
        let about = (&view.release, view.uid.as_str());
        let status = QuarantineStatus {
            ended_by: Some(ended),
            ended_tag: Some(made::end_tag(context.store.seal(), about, ended)),
            ..view.status.clone()
        };
        write(context, &mut view, Write::Status(Box::new(status))).await?;
    }
    incidents::note_ended(context, &view.release, &view.uid).await;
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
async fn begin(context: &Context, mut view: View, moment: Moment) -> Result<(), Error> {
    if let (Some(policy), None) = (&view.spec.policy, &view.status.incident) {
        let incident = if is_judged(context, &view.release) {
            incident_of(context, &view.release, policy).await?
        } else {
            None
        };
        let Some(incident) = incident else {
            // Nobody says at this moment that the release is bad, so nothing is begun.
            queue_again(context, &view, moment.tick + WAITING);
            return Ok(());
        };
        view.incident = incident;
    }
    view.again = again(context, &view).await?;
    let before = view.status.clone();
    let view = run_steps(context, view, moment).await?;
    if view.status.running > 0 {
        let wait = until_pods_end(&view.status, moment.date);
        queue_again(context, &view, moment.tick + wait);
    }
    let told = events::of_quarantine(&about(context, &view), &before, &view.status);
    for announcement in told {
        announce::publish(context, Some(announcement)).await;
    }
    if view.status.incident.is_some() {
        context
            .queues
            .tasks
            .add_at(Task::Incidents, moment.tick + GATHERING);
    }
    queue_again(context, &view, moment.tick + AGAIN);
    Ok(())
}

/// When to look whether Pods have ended that still run. They are not watched (a cluster has too many), and
/// most end within seconds; one that a finalizer keeps for days is looked after as anything else.
fn until_pods_end(status: &QuarantineStatus, now: Timestamp) -> Duration {
    let active = find(&status.conditions, QuarantineCondition::Active);
    let since = active.map_or(now, |active| active.last_transition_time.0);
    let age = now.duration_since(since).max(SignedDuration::ZERO);
    (age.unsigned_abs() / 8).clamp(WAITING, AGAIN)
}

/// A revision that came later is contained too if the release is proven bad at this moment.
async fn again(context: &Context, view: &View) -> Result<Again, Error> {
    let is_bad = match &view.spec.policy {
        _ if !is_judged(context, &view.release) => false,
        Some(policy) => incident_of(context, &view.release, policy).await?.is_some(),
        None => !scope::revocations_of(context, &view.release).is_empty(),
    };
    Ok(if is_bad {
        Again::AnyRevision
    } else {
        Again::SameRevision
    })
}

fn about(context: &Context, view: &View) -> events::About {
    let trust = context.cache.trust(&view.release).and_then(Result::ok);
    let uid = trust.and_then(|trust| trust.metadata.uid);
    events::About::of(&view.release, &view.uid, uid)
}

/// Puts everything back; then the finalizer goes.
async fn end(context: &Context, mut view: View, moment: Moment, by: Began) -> Result<(), Error> {
    if !view.has_finalizer {
        return Ok(());
    }
    if is_terminating(context, &view.release.namespace).await? {
        // It goes with its namespace: nobody has spoken about the incident.
        incidents::note_ended(context, &view.release, &view.uid).await;
        return leave(context, view, moment).await;
    }
    if !context.may_contain() {
        if view.status.incident.is_none() {
            return write(context, &mut view, Write::RemoveFinalizer).await;
        }
        let (reason, message) = (QuarantineReason::Disabled, STRANDED);
        return report(context, view, reason, message).await;
    }
    // Who deletes what was refused does what we have told them: no word about the release.
    if by == Began::Us || !says_nothing(&view) {
        note_end(context, &view).await;
    }
    let before = view.status.clone();
    let view = run_steps(context, view, moment).await?;
    if view.has_finalizer {
        let told = events::of_quarantine(&about(context, &view), &before, &view.status);
        for announcement in told {
            announce::publish(context, Some(announcement)).await;
        }
        queue_again(context, &view, moment.tick + AGAIN);
        return Ok(());
    }
    let told = events::of_restore(&about(context, &view), &view.status);
    announce::publish(context, Some(told)).await;
    Ok(())
}

/// The namespace goes, and takes with it what lies in it; deployers elsewhere go on.
async fn leave(context: &Context, mut view: View, moment: Moment) -> Result<(), Error> {
    if !context.may_contain() {
        return write(context, &mut view, Write::RemoveFinalizer).await;
    }
    view.is_going = true;
    let view = run_steps(context, view, moment).await?;
    for (index, error) in &view.errors {
        let object = view.status.objects.get(*index);
        if let Some(object) = object.filter(|object| object.namespace.is_some()) {
            tracing::warn!(
                release = %view.release, object = object.name, why = error.why,
                "not put back: charttrust restore --all finds it"
            );
        }
    }
    Ok(())
}

const STRANDED: &str = "the operator runs without --quarantine and cannot put back what was changed: \
                        start it with --quarantine, or run charttrust restore";

/// It is remembered who ended it: a person's word holds for the whole incident.
async fn note_end(context: &Context, view: &View) {
    let (id, uid) = (&view.release, &view.uid);
    let ended = view.status.ended_by;
    let is_ours = ended.is_some_and(|ended| ended != EndedBy::Uninstall);
    if is_ours || is_taken_back(view) {
        return incidents::note_ended(context, id, uid).await;
    }
    let of_status = view.status.incident.as_deref();
    let of_status = of_status.and_then(|text| text.parse::<IncidentId>().ok());
    let mut about = scope::revocations_of(context, id);
    if let Some(revocation) = of_status.and_then(IncidentId::revocation)
        && incidents::is_any(context, &revocation, view.now).await
    {
        about.insert(revocation);
    }
    let note = if ended == Some(EndedBy::Uninstall) {
        // Without an answer it is nobody's, and another installation reads it as that of a person.
        let installation = incidents::installation(context).await.unwrap_or_default();
        Note::Uninstalled(id.clone(), about, installation)
    } else {
        Note::Released(id.clone(), about, scope::newest_revision(context, id))
    };
    incidents::note(context, note).await;
}

/// Whether a person only takes back what a person has begun: a policy that would contain the release
/// by itself still does.
fn is_taken_back(view: &View) -> bool {
    view.spec.policy.is_none() && says_nothing(view)
}

/// Whether it was deleted, and nobody has said more.
fn says_nothing(view: &View) -> bool {
    view.status.ended_by.is_none() && view.word == Word::Nothing
}

async fn is_terminating(context: &Context, name: &str) -> Result<bool, Error> {
    let api = Api::<PartialObjectMeta<Namespace>>::all(context.client.clone());
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = within_deadline(api.list_metadata(&params)).await;
    let found = found.map_err(|error| Error::Api("read a Namespace", error))?;
    let is_ending = |meta: &PartialObjectMeta<_>| meta.metadata.deletion_timestamp.is_some();
    Ok(found.items.iter().any(is_ending))
}

async fn run_steps(context: &Context, view: View, moment: Moment) -> Result<View, Error> {
    let records = seen_records(context, &view.release);
    let was_ending = view.is_ending;
    let may = || context.may_write();
    let driven = run::to_rest(&context.neighbourhoods, view, &records, may);
    let driven = Box::pin(driven).await;
    let view = driven.map_err(|error| failed(&error))?;
    // One that was deleted meanwhile is handed back as it was read, and not looked after yet.
    if view.is_ending == was_ending {
        note_rest(context, &view);
    }
    if view.is_hindered() {
        queue_again(context, &view, moment.tick + WAITING);
    }
    Ok(view)
}

/// One write of our own kinds, outside the steps.
async fn write(context: &Context, view: &mut View, step: Write) -> Result<(), Error> {
    let answer = apply(&context.client, view, &step).await;
    let answer = answer.map_err(|error| failed(&error))?;
    view.take_result(&step, answer);
    note_rest(context, view);
    Ok(())
}

fn note_rest(context: &Context, view: &View) {
    let at_rest = &context.store.at_rest;
    at_rest.note(&view.release, &view.resource_version);
}

fn failed(error: &dyn std::error::Error) -> Error {
    Error::Quarantine(chain(error))
}

fn seen_records(context: &Context, id: &ReleaseId) -> Vec<SeenRecord> {
    let item = |record| Item {
        id: id.clone(),
        record,
    };
    let judged = context.cache.records.judged(id).into_iter();
    let seen = judged.filter_map(|(record, meta)| item(record).seen(&meta.resource_version));
    seen.collect()
}

/// Says why nothing is done.
async fn report(
    context: &Context,
    view: View,
    reason: QuarantineReason,
    message: &str,
) -> Result<(), Error> {
    let status = refused(&view, reason, message);
    say(context, view, status).await
}

/// Writes a status that says anything new.
async fn say(context: &Context, mut view: View, status: QuarantineStatus) -> Result<(), Error> {
    if status == view.status {
        return Ok(());
    }
    write(context, &mut view, Write::Status(Box::new(status))).await
}

/// What others do to contained objects is noticed by looking.
fn queue_again(context: &Context, view: &View, at: Instant) {
    let task = Task::Quarantine(view.release.clone());
    context.queues.tasks.add_at(task, at);
}

const AGAIN: Duration = Duration::from_secs(30);
/// Until the verdict that an automatic quarantine rests on is known after a start, or the API server
/// can do what it could not.
const WAITING: Duration = Duration::from_secs(2);
/// Quarantines that become Active together are remembered in one write.
const GATHERING: Duration = Duration::from_secs(1);
