//! What is remembered of incidents, in a ConfigMap of the operator's namespace.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, ObjectMeta, PostParams};

use super::world::Trust;
use super::{Context, Error, FIELD_MANAGER, containment};
use crate::api::Quarantine;
use crate::api::conditions::{QuarantineCondition, Status, find};
use crate::clock;
use crate::inventory::ReleaseId;
use crate::quarantine::incident::{Ledger, Revocation};
use crate::watch::within_deadline;

/// The ConfigMap.
pub(super) const CONFIG_MAP: &str = "charttrust-incidents";

/// The ledger as it was last read or written.
#[derive(Debug, Default)]
pub(super) struct Book {
    known: Option<(Ledger, Option<String>)>,
    /// uids of quarantines that we end: a mirror that lags still shows them Active.
    ending: BTreeSet<String>,
}

/// What is remembered.
pub(super) async fn read(context: &Context) -> Result<Ledger, Error> {
    let mut book = context.ledger.lock().await;
    Ok(known(context, &mut book).await?.0)
}

/// Changes what is remembered; writes only if something has changed.
pub(super) async fn change(context: &Context, change: impl Fn(&mut Ledger)) -> Result<(), Error> {
    change_in(context, |ledger, _| change(ledger)).await
}

/// The same, with the uids of the quarantines that we end at this moment.
async fn change_in(
    context: &Context,
    change: impl Fn(&mut Ledger, &BTreeSet<String>),
) -> Result<(), Error> {
    let mut book = context.ledger.lock().await;
    for _ in 0..TRIES {
        let (before, version) = known(context, &mut book).await?;
        let mut after = before.clone();
        change(&mut after, &book.ending);
        if after == before {
            return Ok(());
        }
        match write(context, &after, version).await {
            Ok(version) => {
                book.known = Some((after, version));
                return Ok(());
            }
            Err(error) => {
                // Another replica has written; what it wrote counts.
                book.known = None;
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

/// Notes that a quarantine is ended so that this installation can be removed.
pub(super) async fn note_uninstalled(
    context: &Context,
    id: &ReleaseId,
    incidents: &BTreeSet<Revocation>,
) -> Result<(), Error> {
    let own = installation(context).await?;
    change(context, |ledger: &mut Ledger| {
        let mut known = std::mem::take(ledger).read_by(own.clone());
        for incident in incidents {
            known.note_uninstalled(incident, id);
        }
        *ledger = known;
    })
    .await
}

/// The uid of our service account: one that is installed anew is another. `None` without one.
async fn installation(context: &Context) -> Result<Option<String>, Error> {
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

/// Notes that we end a quarantine, before anybody can see that it is gone.
pub(super) async fn note_ended(context: &Context, id: &ReleaseId, uid: &str) -> Result<(), Error> {
    context.ledger.lock().await.ending.insert(uid.to_owned());
    change(context, |ledger: &mut Ledger| ledger.note_ended(id)).await
}

/// Takes in which revocations are in force, and which quarantines.
pub(super) async fn reconcile(context: &Context) -> Result<(), Error> {
    if !context.may_contain() || context.world.is_changing() {
        return Ok(());
    }
    let trust = context.world.trust();
    let (in_force, readable) = in_force(&trust, clock::now());
    change_in(context, |ledger, ending| {
        ledger.observe(&in_force, &readable);
        for (revocation, id) in active(context, ending) {
            ledger.note_active(&revocation, &id);
        }
    })
    .await
}

/// Quarantines that are seen Active, with the revocations each is about: its own, or if a person has
/// begun it all that the release is bad by.
fn active(context: &Context, ending: &BTreeSet<String>) -> Vec<(Revocation, ReleaseId)> {
    let is_active = |object: &Quarantine| {
        let conditions = object.status.iter().flat_map(|status| &status.conditions);
        let conditions: Vec<_> = conditions.cloned().collect();
        let active = find(&conditions, QuarantineCondition::Active);
        object.metadata.deletion_timestamp.is_none()
            && object
                .metadata
                .uid
                .as_ref()
                .is_some_and(|uid| !ending.contains(uid))
            && active.is_some_and(|active| active.status == Status::True)
    };
    let all = context.mirrors.quarantines.all();
    let of = |(id, object): &(ReleaseId, _)| {
        let object: &Result<Quarantine, String> = std::sync::Arc::as_ref(object);
        let object = object.as_ref().ok().filter(|object| is_active(object))?;
        let status = object
            .status
            .as_ref()
            .filter(|status| status.ended_by.is_none())?;
        let incident = status.incident.as_deref()?;
        let revocations = match Ledger::revocation_of(incident) {
            Some(revocation) => BTreeSet::from([revocation]),
            None => containment::incidents_of(context, id),
        };
        Some((revocations, id.clone()))
    };
    let noted = all.iter().filter_map(of);
    noted
        .flat_map(|(revocations, id)| revocations.into_iter().map(move |one| (one, id.clone())))
        .collect()
}

/// Hard revocations in force, and the fingerprints whose keys could be read.
fn in_force(trust: &Trust, now: Timestamp) -> (BTreeSet<Revocation>, BTreeSet<String>) {
    let mut found = BTreeSet::new();
    for key in trust.keys.iter() {
        let fingerprint = key.fingerprint().as_str();
        let own = key.revocations.iter();
        found.extend(own.filter_map(|word| Revocation::own(fingerprint, word)));
        let summary = key.certificate.summary(now);
        let subkeys = summary.subkey_revocations.into_iter().map(|(_, one)| one);
        let inside = summary.revocation.into_iter().chain(subkeys);
        let hard = inside.filter(|one| one.hard);
        found.extend(hard.map(|one| Revocation::certificate(fingerprint, &one.digest)));
    }
    for unusable in trust.loaded.values().filter(|loaded| loaded.key.is_err()) {
        if let (Some(fingerprint), Some(word)) = (&unusable.fingerprint, &unusable.revocation) {
            found.extend(Revocation::own(fingerprint.as_str(), word));
        }
    }
    let readable = trust
        .keys
        .iter()
        .map(|key| key.fingerprint().as_str().to_owned());
    (found, readable.collect())
}

async fn known(context: &Context, book: &mut Book) -> Result<(Ledger, Option<String>), Error> {
    if let Some(known) = &book.known {
        return Ok(known.clone());
    }
    let params = ListParams::default().fields(&format!("metadata.name={CONFIG_MAP}"));
    let found = within_deadline(api(context).list(&params)).await;
    let found = found.map_err(|error| Error::Api("read what is remembered of incidents", error))?;
    let map = found.items.into_iter().next();
    let version = map
        .as_ref()
        .and_then(|map| map.metadata.resource_version.clone());
    let mut ledger = Ledger::read(&map.and_then(|map| map.data).unwrap_or_default());
    if ledger.needs_installation() {
        ledger = ledger.read_by(installation(context).await?);
    }
    book.known = Some((ledger.clone(), version.clone()));
    Ok((ledger, version))
}

async fn write(
    context: &Context,
    ledger: &Ledger,
    version: Option<String>,
) -> kube::Result<Option<String>> {
    let is_there = version.is_some();
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(CONFIG_MAP.to_owned()),
            resource_version: version,
            ..ObjectMeta::default()
        },
        data: Some(ledger.data()),
        ..ConfigMap::default()
    };
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    };
    let api = api(context);
    let written = if is_there {
        within_deadline(api.replace(CONFIG_MAP, &params, &map)).await?
    } else {
        within_deadline(api.create(&params, &map)).await?
    };
    Ok(written.metadata.resource_version)
}

fn api(context: &Context) -> Api<ConfigMap> {
    Api::namespaced(context.client.clone(), &context.namespace)
}

/// How often a write is tried against others.
const TRIES: usize = 4;
