//! Judges one release from what is known, and writes its `ReleaseTrust`.

mod bundled;
pub mod contradiction;
mod counted;
pub(in crate::controllers) mod credentials;
pub(in crate::controllers) mod events;
pub(in crate::controllers) mod evidence;
mod fetch;
pub(in crate::controllers) mod first;
mod judge;
pub(in crate::controllers) mod poll;
pub(in crate::controllers) mod read;
mod rules;
pub mod seal;
mod status;
mod waiting;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use charttrust_verify::check::Judgement;
use charttrust_verify::evidence::Outcome;
use charttrust_verify::openpgp::VerifiedSignature;
use charttrust_verify::verdict::{Cause, Verdict};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{DeleteParams, ObjectMeta, Preconditions};
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use self::judge::{Stored, evaluate};
use self::status::Judged;
use super::events as announce;
use super::quarantine::{scope, start};
use crate::api::release_trust::{ReleaseTrustSpec, ReleaseTrustStatus};
use crate::api::{REQUESTED_AT, ReleaseTrust, bounds, create_params};
use crate::clock::Moment;
use crate::controllers::cache::Ours;
use crate::controllers::context::Context;
use crate::controllers::error::Error;
use crate::controllers::queue::LONGEST_WAIT;
use crate::controllers::statements;
use crate::controllers::store::shown::Shown;
use crate::controllers::store::written::Written;
use crate::controllers::store::{Release, Told, Trust};
use crate::controllers::task::Task;
use crate::inventory::{Deployed, Missing, RecordId, ReleaseId};
use crate::watch::within_deadline;

/// Brings the `ReleaseTrust` of a release in line with what is known. Of one that a policy contains by itself it is
/// written after those are contained that have to be, by [`show`].
pub(in crate::controllers) async fn reconcile(
    context: &Context,
    id: &ReleaseId,
    moment: Moment,
) -> Result<(), Error> {
    judge(context, id, moment, Turn::Judged).await
}

/// The same, whatever is to be done about it.
pub(in crate::controllers) async fn show(
    context: &Context,
    id: &ReleaseId,
    moment: Moment,
) -> Result<(), Error> {
    judge(context, id, moment, Turn::Shown).await
}

/// Which turn a release has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Before anything is contained by what is found out.
    Judged,
    /// After that.
    Shown,
}

async fn judge(context: &Context, id: &ReleaseId, moment: Moment, turn: Turn) -> Result<(), Error> {
    let found = context.cache.trust(id);
    let existing = found.as_ref().and_then(|object| object.as_ref().ok());
    let records = &context.cache.records;
    // What cannot be read at this moment need not be gone.
    let may_be_there = found.is_some() && records.applications.may_have(id);
    if records.has_none(id) && !may_be_there {
        return without_records(context, id, found.as_ref()).await;
    }
    let release = context.store.release(id).unwrap_or_default();
    note_request(context, id, &release, existing);
    let trust = context.store.trust();
    let stored = gathered(context, id, &release);
    let (release, judged) = settled(context, &stored, release, &trust, moment);
    schedule(context, id, &release, moment);
    let old = before(&release, found.as_ref());
    let old = old.as_deref();
    let has_verdict = old.is_some_and(|old| Told::by(old).verdict.is_some());
    let stands = has_verdict && !is_of_others(&release, existing);
    let seen = Seen {
        id,
        release: &release,
        existing,
        old,
    };
    let since = waiting::since(context, id, &judged, moment.tick);
    if let Some(since) = since.filter(|since| stands && waiting::is_short(*since, moment.tick)) {
        return show_waiting(context, &seen, since, moment).await;
    }
    if waiting::is_unsettled(context, id, &judged, (old, moment.tick)) {
        return Ok(());
    }
    let known = status::Known {
        id,
        release: &release,
        judged: &judged,
        containment: &scope::containment(context, id),
        trust: &trust,
        seal: context.store.seal(),
    };
    let status = status::conclude(old, &known, moment);
    counted::note_judgement(context, id, &judged, release.judgings);
    statements::note(context, id, &status);
    if is_left_out(context, &seen, found.as_ref(), &judged).await || old == Some(&status) {
        return Ok(());
    }
    let first = since.filter(|_| !has_verdict && !seen.release.was_deleted);
    if first.is_some_and(|since| waiting::comes_soon(context, id, since, moment.tick)) {
        return Ok(());
    }
    if turn == Turn::Judged && start::is_asked(context, id) {
        context.queues.tasks.add(Task::Show(id.clone()));
        return Ok(());
    }
    tell_and_write(context, &seen, (&judged.judgement, &trust), status).await
}

/// A release of which no record is seen.
async fn without_records(
    context: &Context,
    id: &ReleaseId,
    found: Option<&Ours<ReleaseTrust>>,
) -> Result<(), Error> {
    if context.cache.records.are_refused(&id.namespace) {
        // Nobody knows whether there is a record: what is said of the release stands.
        return Ok(());
    }
    // An object that somebody made unreadable has no uid that we know, and goes as well.
    let this = found.map(|object| Preconditions {
        uid: object.as_ref().ok().and_then(ReleaseTrust::uid),
        resource_version: None,
    });
    remove(context, id, this).await
}

/// What the watches say of a release.
fn gathered<'a>(context: &Context, id: &'a ReleaseId, release: &Release) -> Stored<'a> {
    let records = &context.cache.records;
    Stored {
        placed: context.cache.placed(id),
        judged: records.judged(id),
        omitted: records.omitted(id).collect(),
        deployed: deployed(context, id, release),
        applications: records.applications.claimed(id),
    }
}

/// What deploys each revision. A record that was not read since the start may have to be read for that.
fn deployed(context: &Context, id: &ReleaseId, release: &Release) -> BTreeMap<RecordId, Deployed> {
    let revisions = release.revisions.iter();
    let deployed: BTreeMap<_, _> = revisions
        .map(|(record, revision)| {
            let deployed = context.cache.deployed(id, (*record, &revision.mark));
            (*record, deployed)
        })
        .collect();
    let is_outdated = |(record, one): &(&RecordId, &Deployed)| {
        one.missing == Some(Missing::Record) || is_called_otherwise(release, **record, one)
    };
    for (record, _) in deployed.iter().filter(is_outdated) {
        context
            .store
            .update(id, |release| release.forget_reading(*record));
        context.queues.records.add(id.clone());
    }
    deployed
}

/// Whether Flux has said since, by what it has done with the chart, what the publisher calls the version.
fn is_called_otherwise(release: &Release, record: RecordId, deployed: &Deployed) -> bool {
    let revision = release.revisions.get(&record);
    let content = revision.and_then(|revision| revision.content.as_ref().ok());
    content.is_some_and(|content| content.is_called_otherwise(&deployed.traces))
}

/// A release and its object, as a reconcile has found them.
struct Seen<'a> {
    id: &'a ReleaseId,
    release: &'a Release,
    existing: Option<&'a ReleaseTrust>,
    /// What was last written.
    old: Option<&'a ReleaseTrustStatus>,
}

/// Whether the release gets no `ReleaseTrust`, because no record of it could be read and there are too many
/// such in its namespace. It is judged and counted all the same, and one that there is always says what
/// is so.
async fn is_left_out(
    context: &Context,
    seen: &Seen<'_>,
    found: Option<&Ours<ReleaseTrust>>,
    judged: &Judged,
) -> bool {
    let (id, junk) = (seen.id, &context.store.junk);
    if seen.release.contents().next().is_some() {
        show_next(context, id);
        return false;
    }
    // One that was deleted is missed by somebody.
    if found.is_some() || seen.release.was_deleted {
        junk.show(id);
    } else if !junk.admits(id) {
        // Whoever was not read yet may be honest.
        let is_unreadable = judged.judgement.verdict == Verdict::Unknown(Cause::ReleaseUnreadable);
        if is_unreadable && junk.is_news(&id.namespace) {
            tracing::warn!(namespace = id.namespace, "too many records cannot be read");
            let told = events::of_too_many_unreadable(&id.namespace);
            announce::publish(context, Some(told)).await;
        }
        return true;
    }
    false
}

/// A record of the release could be read, or it is gone: another takes its place.
fn show_next(context: &Context, id: &ReleaseId) {
    if let Some(next) = context.store.junk.settle(id) {
        context.queues.tasks.add(Task::Release(next));
    }
}

/// What was told last: of what somebody else has written since, nothing was.
fn told(seen: &Seen<'_>) -> Option<Told> {
    let told = seen.release.told.clone();
    let told = told.filter(|_| !is_of_others(seen.release, seen.existing));
    told.or_else(|| seen.old.map(Told::by))
}

/// Announces what is new before it is written: what a replica has told that dies in between is not told
/// again, where what it had only written would never be told.
async fn tell_and_write(
    context: &Context,
    seen: &Seen<'_>,
    (judgement, trust): (&Judgement, &Trust),
    status: ReleaseTrustStatus,
) -> Result<(), Error> {
    let told = told(seen);
    let known = events::Known {
        told: told.as_ref(),
        old: seen.old,
        judgement,
        trust,
    };
    let object = writable(context, seen).await?;
    let about = ObjectReference {
        resource_version: object.resource_version(),
        ..announce::reference(seen.id, object.uid())
    };
    announce::publish(context, events::of_release(&known, &status, &about)).await;
    let quarantined = events::of_quarantined(known.told, &status, &about);
    announce::publish(context, quarantined).await;
    context
        .store
        .update(seen.id, |release| release.told = Some(Told::by(&status)));
    write(context, seen.id, object, status).await?;
    report_meddling(context, seen, &about).await;
    Ok(())
}

/// Says so if somebody has deleted the object, or has written evidence into it that is not ours.
async fn report_meddling(context: &Context, seen: &Seen<'_>, about: &ObjectReference) {
    let Seen {
        id,
        release,
        existing,
        ..
    } = *seen;
    if release.was_deleted {
        tracing::warn!(release = %id, "its ReleaseTrust was deleted, and is written again");
        let deletions = &context.store.deletions;
        announce::publish_few(context, deletions, events::of_deletion(about)).await;
        context
            .store
            .update(id, |release| release.was_deleted = false);
    }
    let status = existing.and_then(|object| object.status.as_ref());
    let Some(status) = status.filter(|_| is_of_others(release, existing)) else {
        return;
    };
    if let Some(Err(rejected)) = evidence::restore(id, status, context.store.seal()) {
        tracing::warn!(release = %id, %rejected, "somebody else has written its evidence");
        let rejection = events::of_rejection(about, &rejected.to_string());
        announce::publish(context, Some(rejection)).await;
    }
}

/// Whether somebody else has written the status since we did.
fn is_of_others(release: &Release, existing: Option<&ReleaseTrust>) -> bool {
    let Some((written, object)) = release.written.as_ref().zip(existing) else {
        return false;
    };
    let watched = object.resource_version();
    written.is_older_than(watched.as_deref()) && object.status != status_of(written)
}

/// The judgement, and the release with a note of the archives on which trust rests: from now on they
/// count whatever sources leave unsaid, for all policies, so a new note has the release judged again.
fn settled(
    context: &Context,
    stored: &Stored<'_>,
    mut release: Release,
    trust: &Trust,
    moment: Moment,
) -> (Release, Judged) {
    let judged = evaluate(stored, &release, trust, moment.date);
    if !release.settle(&judged.of_each) {
        return (release, judged);
    }
    let id = stored.placed.id;
    context
        .store
        .update(id, |release| release.settle(&judged.of_each));
    let judged = evaluate(stored, &release, trust, moment.date);
    (release, judged)
}

/// Has the release judged again when a signature begins or ends: nothing else may happen then.
fn schedule(context: &Context, id: &ReleaseId, release: &Release, moment: Moment) {
    if let Some(turn) = next_turn(release, moment.date) {
        let wait = turn
            .duration_since(moment.date)
            .unsigned_abs()
            .min(LONGEST_WAIT);
        let task = Task::Release(id.clone());
        context.queues.tasks.add_at(task, moment.tick + wait);
    }
}

fn next_turn(release: &Release, now: Timestamp) -> Option<Timestamp> {
    let contents = release.contents();
    let signed = contents.flat_map(|content| content.evidence.statements());
    let signatures = signed.flat_map(|signed| &signed.signatures);
    let verified = signatures.filter_map(|signature| match &signature.outcome {
        Outcome::Verified(verified) => Some(verified),
        Outcome::Fault(..) | Outcome::Nobodys(_) | Outcome::UnknownIssuer => None,
    });
    let turns = verified.flat_map(VerifiedSignature::turns);
    turns.filter(|turn| *turn > now).min()
}

/// Says that a look is under way, if that takes long: most are over at once, and every word is a write.
async fn show_waiting(
    context: &Context,
    seen: &Seen<'_>,
    since: Instant,
    moment: Moment,
) -> Result<(), Error> {
    let status = seen.old.map(|old| status::waiting(old, moment));
    let news = status.filter(|status| seen.old != Some(status));
    let Some(status) = news.filter(|_| !waiting::is_new(since, moment.tick)) else {
        return Ok(());
    };
    let object = writable(context, seen).await?;
    write(context, seen.id, object, status).await
}

/// What was last written: our own memory is newer than a watch that lags, unless somebody else has
/// written since. What cannot be read was written by somebody else.
fn before<'a>(
    release: &'a Release,
    existing: Option<&'a Ours<ReleaseTrust>>,
) -> Option<Cow<'a, ReleaseTrustStatus>> {
    let object = match existing {
        Some(Ok(object)) => Some(object),
        Some(Err(_)) => return None,
        None => None,
    };
    let watched = object.and_then(|object| object.status.as_ref());
    let watched = watched.map(Cow::Borrowed);
    match (&release.written, object) {
        (Some(written), Some(object))
            if written.is_older_than(object.resource_version().as_deref()) =>
        {
            watched
        }
        (Some(written), _) => status_of(written).map(Cow::Owned),
        (None, _) => watched,
    }
}

/// The status that was written.
fn status_of(written: &Written<Arc<Shown>>) -> Option<ReleaseTrustStatus> {
    written.status.open().ok()?.status
}

/// A changed annotation asks for a look at once.
fn note_request(
    context: &Context,
    id: &ReleaseId,
    release: &Release,
    existing: Option<&ReleaseTrust>,
) {
    let Some(asked) = existing.and_then(|object| object.annotations().get(REQUESTED_AT)) else {
        return;
    };
    let answered = existing
        .and_then(|object| object.status.as_ref())
        .and_then(|status| status.last_handled_reconcile_at.as_ref());
    // The answer is cut to what the schema allows.
    let is_answered = || answered == Some(&bounds::fit(asked, bounds::VERSION));
    let is_known = release.requested_at.as_ref();
    if !is_known.map_or_else(is_answered, |known| known == asked) {
        context.store.update(id, |release| {
            release.requested_at = Some(asked.clone());
            release.request(crate::clock::tick());
        });
        context.queues.records.add(id.clone());
    }
}

/// The object to write to, created if it is not there, with the resource version that the status was
/// concluded from.
async fn writable(context: &Context, seen: &Seen<'_>) -> Result<ReleaseTrust, Error> {
    let Seen {
        id,
        release,
        existing,
        ..
    } = *seen;
    let api = Api::<ReleaseTrust>::namespaced(context.client.clone(), &id.namespace);
    let mut object = match existing {
        Some(existing) => existing.clone(),
        None => create(&api, id).await?,
    };
    let watched = object.resource_version();
    if let Some(ours) = release
        .written
        .as_ref()
        .filter(|w| !w.is_older_than(watched.as_deref()))
    {
        object.metadata.resource_version = Some(ours.resource_version.clone());
    }
    object.metadata.managed_fields = None;
    Ok(object)
}

/// Writes the status, if nobody has written since what it was concluded from.
async fn write(
    context: &Context,
    id: &ReleaseId,
    mut object: ReleaseTrust,
    status: ReleaseTrustStatus,
) -> Result<(), Error> {
    let api = Api::<ReleaseTrust>::namespaced(context.client.clone(), &id.namespace);
    object.status = Some(status);
    let written = within_deadline(api.replace_status(&id.name, &create_params(), &object)).await;
    let written = written.map_err(|error| Error::Api("write the status of a release", error));
    if written.is_err() {
        // What the server has is not what we remember.
        context.store.update(id, |release| release.written = None);
    }
    let written = written?;
    let resource_version = written.resource_version().unwrap_or_default();
    let status = Arc::new(Shown::of(Ok(written)));
    context.store.update(id, |release| {
        release.written = Some(Written {
            resource_version,
            status,
        });
    });
    // The watch may have been quicker.
    if let Some(shown) = context.cache.trusts.find(id) {
        context.store.note_shown(id, &shown);
    }
    Ok(())
}

/// Creates the object, or takes the one that is there already, of which only the metadata count:
/// somebody may have written a status that cannot be read.
async fn create(api: &Api<ReleaseTrust>, id: &ReleaseId) -> Result<ReleaseTrust, Error> {
    let metadata = ObjectMeta {
        name: Some(id.name.clone()),
        namespace: Some(id.namespace.clone()),
        ..ObjectMeta::default()
    };
    let object = ReleaseTrust {
        metadata,
        status: None,
        spec: ReleaseTrustSpec::default(),
    };
    match within_deadline(api.create(&create_params(), &object)).await {
        Ok(created) => Ok(created),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let found = within_deadline(api.get_metadata(&id.name)).await;
            let found = found.map_err(|error| Error::Api("read a ReleaseTrust", error))?;
            Ok(ReleaseTrust {
                metadata: found.metadata,
                ..object
            })
        }
        Err(error) => Err(Error::Api("create a ReleaseTrust", error)),
    }
}

/// The last record is gone, so the release is.
async fn remove(
    context: &Context,
    id: &ReleaseId,
    existing: Option<Preconditions>,
) -> Result<(), Error> {
    let known = context.store.release(id);
    if existing.is_some() {
        let api = Api::<ReleaseTrust>::namespaced(context.client.clone(), &id.namespace);
        let parameters = DeleteParams {
            preconditions: existing,
            ..Default::default()
        };
        match within_deadline(api.delete(&id.name, &parameters)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(Error::Api("remove a ReleaseTrust", error)),
        }
    }
    context.store.forget(id);
    show_next(context, id);
    context.queue_quarantine(id);
    let policies = known
        .and_then(|release| release.judgement)
        .map(|judgement| judgement.policies);
    for policy in policies.unwrap_or_default() {
        context.queues.tasks.add(Task::Decide(policy.policy));
    }
    counted::count_all(context);
    Ok(())
}

impl Judged {
    /// Whether nothing can be said yet, only because sources were not asked.
    fn is_pending(&self) -> bool {
        self.judgement.verdict == Verdict::Unknown(Cause::Pending)
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::digest::Sha256Digest;
    use charttrust_verify::evidence::Answer;
    use charttrust_verify::openpgp::Fingerprint;
    use charttrust_verify::witness::FirstVerification;
    use serde_json::json;

    use super::*;
    use crate::controllers::store::Store;
    use crate::controllers::testing::signed_revision;
    use crate::fake_cluster::FakeCluster;
    use crate::inventory::RecordId;
    use crate::inventory::helm::Driver;

    const FIRST: RecordId = RecordId::Helm {
        driver: Driver::Secret,
        revision: 1,
    };

    /// A release with an archive whose signatures end then.
    fn signed_until(ends: &[Option<&str>]) -> Release {
        let key: Fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
        let mut release = Release::default();
        release.revisions.insert(FIRST, signed_revision(&key, ends));
        release
    }

    #[test]
    fn a_release_is_judged_again_when_the_next_of_its_signatures_begins_or_ends() {
        let (early, late) = ("2026-11-20T00:00:00Z", "2026-11-30T00:00:00Z");
        let release = signed_until(&[Some(late), None, Some(early)]);
        let next = |now: &str| {
            let turn = next_turn(&release, now.parse().unwrap());
            turn.map(|turn| turn.to_string())
        };
        let dated_ahead = next("2026-11-17T00:00:00Z");
        assert_eq!(dated_ahead.as_deref(), Some("2026-11-17T23:55:00Z"));
        assert_eq!(next("2026-11-19T00:00:00Z").as_deref(), Some(early));
        assert_eq!(next(early).as_deref(), Some(late));
        assert_eq!(next(late), None);
    }

    /// When the archive of a release was first verified, as far as is known.
    fn first_verified(release: &Release) -> Option<String> {
        let mut archives = release
            .contents()
            .flat_map(|content| content.evidence.archives());
        let (_, facts) = archives.next().unwrap();
        facts.first_verified.map(|first| first.to_string())
    }

    fn date(release: &mut Release, first: Option<&str>) {
        let revision = release.revisions.get_mut(&FIRST).unwrap();
        let answers = &mut revision.content.as_mut().unwrap().evidence.answers;
        for answer in answers.values_mut() {
            if let Answer::Archive(facts) = answer {
                facts.first_verified = first.map(|first| first.parse().unwrap());
            }
        }
    }

    #[test]
    fn what_was_verified_before_a_restart_is_not_verified_for_the_first_time() {
        let store = Store::default();
        let id = ReleaseId {
            namespace: "shop".into(),
            name: "web".into(),
        };
        let (before, now) = ("2026-09-01T00:00:00Z", "2026-11-20T00:00:00Z");
        let mut seen = signed_until(&[None]);
        date(&mut seen, Some(before));
        let told = seen.witnesses_beside(None);
        assert_eq!(told.len(), 1);
        let content = seen.contents().next();
        assert!(
            seen.witnesses_beside(content).is_empty(),
            "it is told there"
        );

        let look = |first: Option<&str>, witnesses: &[FirstVerification]| {
            store.update(&id, |release| {
                *release = signed_until(&[None]);
                release.witnesses = witnesses.to_vec();
                date(release, first);
            });
            first_verified(&store.release(&id).unwrap())
        };
        assert_eq!(look(Some(now), &told).as_deref(), Some(before));
        assert_eq!(look(None, &told), None, "not verified by any key of now");
        assert_eq!(look(Some(now), &[]).as_deref(), Some(now));
        let of_thief = Sha256Digest::of(b"signed again by a thief");
        let archive = Sha256Digest::of(b"archive");
        let other = FirstVerification::new(&archive, &of_thief, before.parse().unwrap());
        assert_eq!(look(Some(now), &[other]).as_deref(), Some(now));
    }

    #[test]
    fn what_we_wrote_does_not_stand_for_what_nobody_can_read() {
        let written = Written {
            resource_version: "7".into(),
            status: Arc::new(Shown::of(Ok(ReleaseTrust {
                status: Some(ReleaseTrustStatus::default()),
                ..ReleaseTrust::default()
            }))),
        };
        let release = Release {
            written: Some(written),
            ..Release::default()
        };
        assert!(before(&release, None).is_some());
        assert!(before(&release, Some(&Ok(ReleaseTrust::default()))).is_none());
        assert!(before(&release, Some(&Err("a forged time".into()))).is_none());
    }

    /// A time that the schema allows, and that no program can read.
    #[tokio::test]
    async fn a_status_that_nobody_can_read_is_written_over() {
        let cluster = FakeCluster::default();
        let forged = json!({
            "apiVersion": "charttrust.io/v1alpha1",
            "kind": "ReleaseTrust",
            "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "7"},
            "status": {"conditions": [{
                "type": "Trusted", "status": "True", "reason": "SignatureVerified",
                "observedGeneration": 1, "lastTransitionTime": "2026-11-18T00:00:00+99:99",
            }]},
        });
        let path = "/apis/charttrust.io/v1alpha1/namespaces/shop/releasetrusts/web";
        cluster.hold(path, forged);
        let (_server, client) = cluster.start().await;
        let api = Api::<ReleaseTrust>::namespaced(client, "shop");
        let id = ReleaseId {
            namespace: "shop".into(),
            name: "web".into(),
        };
        let found = create(&api, &id).await.expect("the object that is there");
        assert_eq!(found.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(found.status, None);
    }
}
