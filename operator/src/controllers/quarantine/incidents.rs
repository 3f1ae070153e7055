//! What is remembered of incidents, in a ConfigMap of the operator's namespace.

use std::collections::BTreeSet;

use charttrust_verify::openpgp::Fingerprint;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use super::made;
use super::scope::{is_in_force, revocations_of};
use crate::api::quarantine::QuarantineStatus;
use crate::api::{Quarantine, create_params};
use crate::clock::Moment;
use crate::controllers::context::Context;
use crate::controllers::error::Error;
use crate::controllers::own;
use crate::controllers::store::Trust;
use crate::controllers::store::incidents::{IncidentStore, Note};
use crate::controllers::task::Task;
use crate::inventory::ReleaseId;
use crate::quarantine::incident::{IncidentId, Incidents, RevocationId};
use crate::watch::within_deadline;

/// The ConfigMap.
pub(in crate::controllers) const CONFIG_MAP: &str = "charttrust-incidents";

/// What is remembered.
pub(in crate::controllers) async fn read(context: &Context) -> Result<Incidents, Error> {
    let mut store = context.store.incidents.lock().await;
    let mut known = known(context, &mut store).await?.0;
    store
        .unwritten
        .iter()
        .for_each(|note| note.apply(&mut known));
    Ok(known)
}

/// Changes what is remembered; writes only if something has changed.
pub(in crate::controllers) async fn change(
    context: &Context,
    change: impl Fn(&mut Incidents),
) -> Result<(), Error> {
    change_in(context, |incidents, _| change(incidents)).await
}

/// The same, with the uids of the quarantines that we end at this moment.
async fn change_in(
    context: &Context,
    change: impl Fn(&mut Incidents, &BTreeSet<String>),
) -> Result<(), Error> {
    let mut store = context.store.incidents.lock().await;
    for _ in 0..TRIES {
        let (before, version) = known(context, &mut store).await?;
        let mut after = before.clone();
        store
            .unwritten
            .iter()
            .for_each(|note| note.apply(&mut after));
        change(&mut after, &store.ending);
        if after == before {
            store.unwritten.clear();
            return Ok(());
        }
        match write(context, &after, version).await {
            Ok(version) => {
                store.known = Some((after, version));
                store.unwritten.clear();
                return Ok(());
            }
            Err(error) => {
                // Another replica has written; what it wrote counts.
                store.known = None;
                let is_conflict = matches!(&error, kube::Error::Api(s) if s.code == 409);
                if !is_conflict {
                    return Err(Error::Api("remember an incident", error));
                }
            }
        }
    }
    Err(Error::Quarantine(format!(
        "ConfigMap {CONFIG_MAP} changes all the time"
    )))
}

/// Remembers that a quarantine has ended, before anybody can see that it is gone. What cannot be
/// written counts in this process and is tried again: a ConfigMap that cannot be written must not keep
/// a workload stopped.
pub(in crate::controllers) async fn note(context: &Context, note: Note) {
    context.store.incidents.lock().await.unwritten.push(note);
    if let Err(error) = change(context, |_| ()).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "will retry to remember who ended a quarantine"
        );
        context.queues.tasks.add(Task::Incidents);
    }
}

/// The uid of our service account: one that is installed anew is another. `None` without one.
pub(super) async fn installation(context: &Context) -> Result<Option<String>, Error> {
    let api = Api::<SelfSubjectReview>::all(context.client.clone());
    let asked = SelfSubjectReview::default();
    match within_deadline(api.create(&PostParams::default(), &asked)).await {
        Ok(answer) => Ok(answer
            .status
            .and_then(|status| status.user_info?.uid)
            .filter(|uid| !uid.is_empty())),
        Err(kube::Error::Api(status)) if status.code < 500 => Ok(None),
        Err(error) => Err(Error::Api("ask who we are", error)),
    }
}

/// Whether there is, or was, such a revocation. A status is foreign text: whoever may write it would fill
/// what is remembered with what never was.
pub(super) async fn is_any(context: &Context, revocation: &RevocationId, now: Timestamp) -> bool {
    let (in_force, _) = in_force(&context.store.trust(), now);
    // What cannot be read may know it: a person's word is not lost for that.
    in_force.contains(revocation)
        || read(context)
            .await
            .map_or(true, |known| known.knows(revocation))
}

/// Remembers that we end a quarantine.
pub(in crate::controllers) async fn note_ended(context: &Context, id: &ReleaseId, uid: &str) {
    let incidents = &context.store.incidents;
    incidents.lock().await.ending.insert(uid.to_owned());
    note(context, Note::Ended(id.clone())).await;
}

/// Takes in which revocations are in force, and which quarantines.
pub(in crate::controllers) async fn reconcile(
    context: &Context,
    moment: Moment,
) -> Result<(), Error> {
    if !context.may_contain() || context.store.is_changing() {
        return change(context, |_| ()).await;
    }
    let trust = context.store.trust();
    let (in_force, readable) = in_force(&trust, moment.date);
    change_in(context, |incidents, ending| {
        incidents.observe(&in_force, &readable);
        for (revocation, id) in active(context, ending) {
            let is_known = in_force.contains(&revocation) || incidents.knows(&revocation);
            if is_known || revocations_of(context, &id).contains(&revocation) {
                incidents.note_active(&revocation, &id);
            }
        }
    })
    .await
}

/// Quarantines that are in force, in part too, with the revocations each is about: its own, or if a
/// person has begun it all that the release is bad by.
fn active(context: &Context, ending: &BTreeSet<String>) -> Vec<(RevocationId, ReleaseId)> {
    let is_active = |object: &Quarantine| {
        let uid = object.metadata.uid.as_ref();
        object.metadata.deletion_timestamp.is_none()
            && uid.is_some_and(|uid| !ending.contains(uid))
            && (is_in_force(object) || has_begun(object))
    };
    let all = context.cache.quarantines.all();
    let of = |(id, object): &(ReleaseId, _)| {
        let object: &Result<Quarantine, String> = std::sync::Arc::as_ref(object);
        let object = object.as_ref().ok().filter(|object| is_active(object))?;
        let about = (id, object.metadata.uid.as_deref().unwrap_or_default());
        let is_over =
            |status: &QuarantineStatus| made::is_our_end(context.store.seal(), about, status);
        let status = object.status.as_ref().filter(|status| !is_over(status))?;
        let incident = status.incident.as_deref()?;
        let revocations = match incident.parse() {
            Ok(IncidentId::Revoked(revocation, _)) => BTreeSet::from([revocation]),
            Ok(IncidentId::Manual(_)) | Err(_) => revocations_of(context, id),
        };
        Some((revocations, id.clone()))
    };
    let noted = all.iter().filter_map(of);
    noted
        .flat_map(|(revocations, id)| revocations.into_iter().map(move |one| (one, id.clone())))
        .collect()
}

/// Whether something may have been changed for it: a run that was stopped says so at the next.
fn has_begun(object: &Quarantine) -> bool {
    let status = object.status.as_ref();
    status.is_some_and(|status| status.incident.is_some() && !status.objects.is_empty())
}

/// Hard revocations in force, and the fingerprints whose keys could be read.
fn in_force(trust: &Trust, now: Timestamp) -> (BTreeSet<RevocationId>, BTreeSet<Fingerprint>) {
    let mut found = BTreeSet::new();
    for key in trust.keys.iter() {
        let fingerprint = key.fingerprint();
        let own = key.revocations.iter();
        found.extend(own.filter_map(|word| RevocationId::declared(fingerprint, word)));
        let summary = key.certificate.summary(now);
        let subkeys = summary.subkey_revocations.into_iter().map(|(_, one)| one);
        let inside = summary.revocation.into_iter().chain(subkeys);
        let hard = inside.filter(|one| one.hard);
        found.extend(hard.map(|one| RevocationId::certificate(fingerprint, &one.digest)));
    }
    for unusable in trust.loaded.values().filter(|loaded| loaded.key.is_err()) {
        if let (Some(fingerprint), Some(word)) = (&unusable.fingerprint, &unusable.revocation) {
            found.extend(RevocationId::declared(fingerprint, word));
        }
    }
    let readable = trust.keys.iter().filter(|key| key.unusable.is_none());
    let readable = readable.map(|key| key.fingerprint().clone());
    let mut readable: BTreeSet<_> = readable.collect();
    for key in &trust.sigstore.keys {
        let fingerprint = Fingerprint::of_digest(&key.trusted.fingerprint);
        let declared = key.trusted.revocations.iter();
        found.extend(declared.filter_map(|word| RevocationId::declared(&fingerprint, word)));
        readable.extend(key.unusable.is_none().then_some(fingerprint));
    }
    for identity in &trust.sigstore.identities {
        let revocation = identity.hard_revocation();
        found.extend(revocation.as_ref().and_then(RevocationId::of));
        let is_readable = identity.unusable.is_none();
        readable.extend(is_readable.then(|| identity.signer_id()));
    }
    (found, readable)
}

async fn known(
    context: &Context,
    store: &mut IncidentStore,
) -> Result<(Incidents, Option<String>), Error> {
    if let Some(known) = &store.known {
        return Ok(known.clone());
    }
    let map = own::find::<ConfigMap>(context, CONFIG_MAP).await;
    let map = map.map_err(|error| Error::Api("read what is remembered of incidents", error))?;
    let version = map
        .as_ref()
        .and_then(|map| map.metadata.resource_version.clone());
    let mut incidents = Incidents::read(&map.and_then(|map| map.data).unwrap_or_default());
    if incidents.needs_installation() {
        incidents = incidents.read_by(installation(context).await?);
    }
    store.known = Some((incidents.clone(), version.clone()));
    Ok((incidents, version))
}

async fn write(
    context: &Context,
    incidents: &Incidents,
    version: Option<String>,
) -> kube::Result<Option<String>> {
    let is_there = version.is_some();
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(CONFIG_MAP.to_owned()),
            resource_version: version,
            ..ObjectMeta::default()
        },
        data: Some(incidents.data()),
        ..ConfigMap::default()
    };
    let (params, api) = (create_params(), own::api(context));
    let written = if is_there {
        within_deadline(api.replace(CONFIG_MAP, &params, &map)).await?
    } else {
        within_deadline(api.create(&params, &map)).await?
    };
    Ok(written.metadata.resource_version)
}

/// How often a write is tried against others.
const TRIES: usize = 4;
