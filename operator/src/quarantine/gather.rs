//! Reads what a quarantine is about. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::release::{Record, Status};
use futures::{FutureExt as _, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::time::Instant;

use super::annotation::{Annotation, Carried};
use super::apply::api_of;
use super::listed::{Listed, Unlisted};
use super::neighbourhood::{Neighbourhood, Neighbourhoods};
use super::object_error::ObjectError;
use super::observed::{Need, Observed};
use super::placement::Placement;
use super::pod::Pod;
use super::policies::{self, Labels};
use super::reading::{GatherError, find, list, select, unless_forbidden};
use super::resources::{self, is_missing, is_unknown, named};
use super::surroundings::{Surroundings, is_seen};
use super::target::{self, TARGETS, Target};
use super::view::View;
use super::{actions, application, fields, holds, pods, serving};
use crate::api::Quarantine;
use crate::api::quarantine::ContainedObject;
use crate::api::quarantine_words::QuarantineAction;
use crate::inventory::ReleaseId;
use crate::inventory::helm::{self, ReadError, RecordKey, SeenRecord, Writer};
use crate::watch::{Part, Reach, within_deadline};

/// Reads the recorded objects, as they are. What there is around the release shows which of them may be its
/// own, so that is read before.
///
/// # Errors
/// If the API server does not answer; what it says about one object is no error.
pub async fn live(client: &Client, view: &mut View) -> Result<(), GatherError> {
    let mut all = Vec::new();
    for index in 0..view.status.objects.len() {
        all.push(one(client, view, index).await?);
    }
    view.take_in(all);
    Ok(())
}

/// One recorded object, as it is, if it is there and concerns this quarantine; or why nobody can tell.
///
/// # Errors
/// If the API server does not answer.
pub async fn one(
    client: &Client,
    view: &View,
    index: usize,
) -> Result<Result<Option<Value>, ObjectError>, GatherError> {
    let Some(record) = view.status.objects.get(index) else {
        return Ok(Ok(None));
    };
    let Some(api) = api_of(client, view, record) else {
        return Ok(Err(ObjectError::unread(UNKNOWN.to_owned())));
    };
    let error = match within_deadline(api.get(&record.name)).await {
        Ok(object) => {
            let found = actions::resource(record).map(|kind| named(&object, &kind));
            // Else the status would tell whoever has forged it what other namespaces hold.
            let concerns = |live: &Value| actions::concerns(view, index, live);
            return Ok(Ok(found.filter(concerns)));
        }
        Err(error) if is_missing(&error) => return Ok(Ok(None)),
        Err(error) if is_unknown(&error) => {
            let (version, kind) = (&record.api_version, &record.kind);
            let why = format!("the cluster does not serve {version} {kind}{WAY_OUT}");
            return Ok(Err(ObjectError::unread(why)));
        }
        Err(error) => error,
    };
    let what = || format!("{} {}", record.kind, record.name);
    let of_object = ObjectError::of_read(&error);
    of_object.map(Err).ok_or_else(|| GatherError {
        what: what(),
        source: error,
    })
}

const UNKNOWN: &str = "is of a kind that this version of charttrust does not contain; run the version \
                       that did";

/// What is gone with its kind cannot come back, but nobody can tell from here.
const WAY_OUT: &str =
    "; if it is gone for good, remove the finalizer charttrust.io/restore by hand";

/// Reads what is around our NetworkPolicies: others that allow what ours deny, and Pods of others that
/// ours select.
///
/// # Errors
/// If the API server does not answer.
pub async fn around(client: &Client, view: &mut View) -> Result<(), GatherError> {
    view.allowing = Vec::new();
    view.foreign_pods = BTreeMap::new();
    let denials = denials(view);
    let Some(observed) = view.observed.as_ref().filter(|_| !denials.is_empty()) else {
        return Ok(());
    };
    // Never where a record says: who may write the status of a Quarantine could name any namespace.
    let placement = view.placement();
    let all = list(client, &resources::policy(), Some(placement.namespace())).await?;
    let mut labels: Vec<Labels> = denials
        .iter()
        .map(|(_, selector)| policies::labels(selector, &["matchLabels"]))
        .collect();
    let is_selected = |pod: &&Pod| {
        let mut all = denials.iter();
        all.any(|(_, one)| policies::selects(Some(one), &pod.labels))
    };
    let selected = observed.neighbours.pods.iter().filter(is_selected);
    let selected: BTreeSet<&Labels> = selected.map(|pod| &pod.labels).collect();
    let is_any = !selected.is_empty();
    labels.extend(selected.into_iter().cloned());
    let foreign = is_any.then(|| foreign_pods(&placement, &denials, observed));
    let recorded = denials
        .iter()
        .filter_map(|(index, _)| view.status.objects.get(*index));
    let recorded: Vec<_> = recorded.map(|record| record.name.as_str()).collect();
    view.allowing = policies::allowing(&all, &labels, &recorded);
    view.foreign_pods = foreign.unwrap_or_default();
    Ok(())
}

/// The places of our recorded policies, and whom they select.
fn denials(view: &View) -> Vec<(usize, Value)> {
    let records = view.status.objects.iter().enumerate();
    let denials = records.filter_map(|(index, record)| {
        let selector = serde_json::from_str(record.selector.as_deref()?).ok()?;
        Some((index, selector))
    });
    denials.collect()
}

/// Pods of others that our policies select, by the place of the policy.
fn foreign_pods(
    placement: &Placement,
    denials: &[(usize, Value)],
    observed: &Observed,
) -> BTreeMap<usize, String> {
    let neighbours = &observed.neighbours;
    let all = neighbours
        .pod_owners
        .iter()
        .chain(&neighbours.intermediates);
    let all = all.chain(&observed.workloads);
    let ours: Vec<_> = all.filter(|object| placement.owns(object)).collect();
    let found = denials.iter().filter_map(|(index, selector)| {
        let foreign = pods::foreign(selector, &ours, observed)?;
        Some((*index, foreign))
    });
    found.collect()
}

/// What there is around a release, for the plan. `records` are its judged revisions; what was listed of the whole cluster
/// for others is taken if that began no earlier than the instant.
///
/// # Errors
/// If the API server does not answer; a kind that does not exist is no error.
pub async fn observed(
    neighbourhoods: &Neighbourhoods,
    release: &ReleaseId,
    records: &[SeenRecord],
    actions: &[QuarantineAction],
    (unfinished, since): (Unfinished, Instant),
) -> Result<Observed, GatherError> {
    let client = neighbourhoods.client();
    let mut observed = Observed::of(listed(client, records, unfinished).await?);
    // By what the records say now: a workload that is listed here was made before. The rest together, since an API
    // server takes up to a tenth of a second to know that what it has in memory is what there is.
    let own = async {
        let own = release.namespace.as_str();
        if application::may_be(release) || !is_seen(neighbourhoods, own) {
            return Ok(None);
        }
        let own = Surroundings::of(neighbourhoods, own, actions, since).await;
        own.map(Some)
    };
    let found = deployers(neighbourhoods, release, since, &mut observed);
    let ((), own) = futures::try_join!(found.boxed(), own.boxed())?;
    deployers_elsewhere(neighbourhoods.reach(), &mut observed);
    if let Unfinished::WaitedFor(now) = unfinished
        && observed.is_syncing(release, now, PATIENCE)
    {
        observed.listed = Err(Unlisted::Unfinished);
    }
    let placement = observed.placement(release);
    let namespace = placement.namespace();
    // An Application says itself where it deploys to, and may say anything there.
    if !is_seen(neighbourhoods, namespace) {
        observed.is_unseen = true;
        observed.gone = gone(neighbourhoods, observed.deployers.iter()).await?;
        return Ok(observed);
    }
    let around = match own.filter(|_| namespace == release.namespace) {
        Some(own) => own,
        None => Box::pin(Surroundings::of(neighbourhoods, namespace, actions, since)).await?,
    };
    let known = actions::needs(actions)(Need::Neighbours).then_some(around.neighbours.as_ref());
    (observed.workloads, observed.brought) = match observed.listed(&placement) {
        Ok(listed) if listed.namespace == namespace => (
            workloads(client, &listed, known).await?,
            brought(neighbourhoods, &listed).await?,
        ),
        _ => (Vec::new(), Vec::new()),
    };
    observed.neighbours = around.neighbours;
    observed.autoscalers = unless_forbidden(around.autoscalers, &mut observed.unlisted_kinds)?;
    let asked = (around.callers.as_ref(), unfinished.now());
    let servers = serving::servers(client, &placement, release, &observed, asked);
    observed.servers = Box::pin(servers).await?;
    let carriers = observed.workloads.iter().chain(&observed.deployers);
    observed.gone = gone(neighbourhoods, carriers).await?;
    Ok(observed)
}

/// What the records list, for the end of a quarantine: an upgrade may have set what is to be put back.
/// A record that cannot be read holds up no restore.
pub async fn recorded(client: &Client, records: &[SeenRecord], now: Timestamp) -> Observed {
    let found = listed(client, records, Unfinished::WaitedFor(now)).await;
    Observed::of(found.unwrap_or(Err(Unlisted::NotFound)))
}

/// Whether workloads of a release are there, whose record may be gone: some carry its marks, or are
/// what its quarantine has recorded, by uid. Whoever may delete a record may take a label too.
///
/// # Errors
/// If the API server does not answer.
pub async fn has_workloads(
    neighbourhoods: &Neighbourhoods,
    release: &ReleaseId,
    recorded: &[ContainedObject],
) -> Result<bool, GatherError> {
    let stopped = || {
        let recorded = recorded.iter();
        recorded.filter(|one| one.action == QuarantineAction::ScaleToZero)
    };
    let uids: BTreeSet<&str> = stopped().filter_map(|one| one.uid.as_deref()).collect();
    // What an Application has deployed lies elsewhere. Nothing but whether it is there is told.
    let elsewhere = stopped().filter(|_| application::may_be(release));
    let elsewhere = elsewhere.filter_map(|one| one.namespace.as_deref());
    let mut places: BTreeSet<&str> = elsewhere.chain([release.namespace.as_str()]).collect();
    places.retain(|place| neighbourhoods.reach().covers(place));
    let is_recorded = |object: &&Value| {
        let uid = fields::text(object, &["metadata", "uid"]);
        uid.is_some_and(|uid| uids.contains(uid)) && !fields::is_being_deleted(object)
    };
    for place in places {
        let found = neighbourhoods.of(place).await?;
        let all = || found.pod_owners.iter().chain(&found.intermediates);
        let is_own = place == release.namespace && holds::owns_any(all(), release);
        if is_own || all().any(|object| is_recorded(&object)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// uids of Quarantines that objects carry and that are gone. Whoever may not list all of them cannot
/// tell.
async fn gone(
    neighbourhoods: &Neighbourhoods,
    objects: impl Iterator<Item = &Value>,
) -> Result<BTreeSet<String>, GatherError> {
    let mut carried: BTreeSet<String> = objects
        .filter_map(|object| match Annotation::of(object) {
            Carried::Annotation(annotation) => Some(annotation.quarantine),
            Carried::Nothing | Carried::Unreadable => None,
        })
        .collect();
    if carried.is_empty() {
        return Ok(carried);
    }
    for part in neighbourhoods.reach().parts() {
        let all = part.api::<PartialObjectMeta<Quarantine>>(neighbourhoods.client());
        match within_deadline(all.list_metadata(&ListParams::default())).await {
            Ok(all) => {
                for living in all.items.iter().filter_map(ResourceExt::uid) {
                    carried.remove(&living);
                }
            }
            // A tenant who restores their own namespace may not list Quarantines elsewhere: then none
            // counts as gone, and nothing is overwritten.
            Err(kube::Error::Api(status)) if status.is_forbidden() => return Ok(BTreeSet::new()),
            Err(source) => {
                let what = "the list of Quarantines".to_owned();
                return Err(GatherError { what, source });
            }
        }
    }
    Ok(carried)
}

/// What the judged revisions of a release list, together. One that cannot be read hides no other: who
/// may write one record need not be who may write the next.
async fn listed(
    client: &Client,
    records: &[SeenRecord],
    unfinished: Unfinished,
) -> Result<Result<Listed, Unlisted>, GatherError> {
    let (mut taken, mut unreadable, mut brought) = (Vec::new(), Vec::new(), 0_usize);
    for seen in records {
        let key = &seen.key;
        let number = key.revision;
        let read = helm::read(client, seen, move |record| Recorded::of(record, number)).await;
        let record = match read {
            Ok(read) if read.writer == Writer::Chart => {
                unreadable.push(format!("{} was brought by a chart", key.place()));
                brought = brought.saturating_add(1);
                match read.taken.believed(key) {
                    Some(record) => record,
                    None => continue,
                }
            }
            Ok(read) => read.taken,
            Err(ReadError::Gone) => continue,
            Err(ReadError::Api(source)) => {
                let what = format!("the release record {}", key.object_name());
                return Err(GatherError { what, source });
            }
            Err(error @ (ReadError::NoPayload | ReadError::Record(_))) => {
                unreadable.push(format!("{}: {error}", key.place()));
                continue;
            }
        };
        // Copied under another name, it would have us contain what that release runs.
        if record.name != key.release.name {
            let why = "is a record of another release";
            unreadable.push(format!("{} {why}", key.place()));
            continue;
        }
        if unfinished.is_waited_for(&record) {
            return Ok(Err(Unlisted::Unfinished));
        }
        taken.push((key, record.listed));
    }
    // What Helm's own record in its place would list may run on.
    Ok(together(taken, unreadable).map(|mut listed| {
        listed.unread = listed.unread.saturating_add(brought);
        listed
    }))
}

/// What is taken from a record.
struct Recorded {
    name: String,
    status: Status,
    last_deployed: Option<Timestamp>,
    listed: Listed,
}

impl Recorded {
    fn of(mut record: Record, revision: u64) -> Self {
        Self {
            name: std::mem::take(&mut record.name),
            status: record.status,
            last_deployed: record.last_deployed,
            listed: Listed::of(record, revision),
        }
    }

    /// What a record lists that a chart has brought, unless it could keep others from being read: changed
    /// is only what carries the marks of the release.
    fn believed(mut self, key: &RecordKey) -> Option<Self> {
        self.status = Status::Deployed;
        let release = &key.release;
        let is_own = self.name == release.name && self.listed.namespace == release.namespace;
        is_own.then_some(self)
    }
}

/// What is listed for the namespace of the records is the release's own; others are looked at only where
/// no record is.
fn together(
    read: Vec<(&RecordKey, Listed)>,
    mut unreadable: Vec<String>,
) -> Result<Listed, Unlisted> {
    let is_own = |(key, listed): &(&RecordKey, Listed)| listed.namespace == key.release.namespace;
    let (own, other): (Vec<_>, Vec<_>) = read.into_iter().partition(is_own);
    let taken = if own.is_empty() {
        other
    } else {
        let elsewhere = other
            .iter()
            .map(|(key, listed)| format!("{} is of namespace {}", key.place(), listed.namespace));
        unreadable.extend(elsewhere);
        own
    };
    let mut all: Option<Listed> = None;
    for (_, listed) in taken {
        let known = all.get_or_insert_with(|| Listed {
            namespace: listed.namespace.clone(),
            ..Listed::default()
        });
        if known.namespace != listed.namespace {
            let message = "its revisions name different namespaces".to_owned();
            return Err(Unlisted::Unreadable(message));
        }
        known.add(listed);
    }
    match all {
        Some(mut all) => {
            all.unreadable_records = unreadable;
            Ok(all)
        }
        None if unreadable.is_empty() => Err(Unlisted::NotFound),
        None => Err(Unlisted::Unreadable(unreadable.join("; "))),
    }
}

/// Whether Helm may be making what the record lists at this moment. It writes the record first, and
/// one that was killed leaves it so for ever: that is waited for only so long.
fn is_at_work(record: &Recorded, now: Timestamp) -> bool {
    let age = record.last_deployed.map(|since| now.duration_since(since));
    record.status.is_pending()
        && age.is_some_and(|age| (SignedDuration::ZERO..PATIENCE).contains(&age))
}

// Helm writes the record, then applies: an ordinary install has made its workloads within a minute.
// A hook that waits for longer is planned again when the record changes.
pub(super) const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// What becomes of a release at which Helm or Argo CD says to be at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// It is taken as it is: it says so for too long.
    Taken(Timestamp),
    /// It is waited for, as far as it has begun not long before this instant.
    WaitedFor(Timestamp),
}

impl Unfinished {
    /// Nobody keeps a quarantine from beginning for more than a minute by writing a record again and
    /// again.
    pub(super) fn of(view: &View) -> Self {
        let is_begun = view.status.incident.is_some();
        let age = view.created.map(|since| view.now.duration_since(since));
        match age {
            Some(age) if !is_begun && age > PATIENCE => Self::Taken(view.now),
            _ => Self::WaitedFor(view.now),
        }
    }

    fn now(self) -> Timestamp {
        match self {
            Self::Taken(now) | Self::WaitedFor(now) => now,
        }
    }

    fn is_waited_for(self, record: &Recorded) -> bool {
        match self {
            Self::Taken(_) => false,
            Self::WaitedFor(now) => is_at_work(record, now),
        }
    }
}

/// The listed workloads of the listed namespace. Whatever is listed is only looked at, and what is not known
/// to be there is not asked for: a record may list twenty thousand names.
async fn workloads(
    client: &Client,
    listed: &Listed,
    known: Option<&Neighbourhood>,
) -> Result<Vec<Value>, GatherError> {
    let there = known.map(Neighbourhood::workloads);
    let may_be_there = |target: &Target, name: &str| {
        there
            .as_ref()
            .is_none_or(|there| there.contains(&(target.kind, name)))
    };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let all = listed.objects.iter().chain(&listed.hooks);
    // Of a `generateName` nobody knows what the server made of it.
    for object in all.filter(|object| !object.generated) {
        // A record may list anything of any namespace; only where Helm installed are its workloads
        // looked for.
        let is_here = object
            .namespace
            .as_ref()
            .is_none_or(|n| *n == listed.namespace);
        let Some(target) = Target::of_manifest(object).filter(|_| is_here) else {
            continue;
        };
        if !may_be_there(target, &object.name) || !seen.insert((target.kind, &object.name)) {
            continue;
        }
        let resource = resources::of(target);
        let namespace = Some(listed.namespace.as_str());
        found.extend(find(client, &resource, namespace, &object.name).await?);
    }
    Ok(found)
}

/// The deployers that the release brings itself, where anybody looks. That a kind may not be listed is told of
/// those that deploy the release.
async fn brought(
    neighbourhoods: &Neighbourhoods,
    listed: &Listed,
) -> Result<Vec<Value>, GatherError> {
    let mut found = Vec::new();
    for target in TARGETS.iter().filter(|target| target.is_deployer()) {
        let named = listed.named(target.group, target.kind);
        if named.is_empty() {
            continue;
        }
        let is_named = |object: &Value| {
            let text = |name: &str| fields::text(object, &["metadata", name]);
            let place = text("namespace").zip(text("name"));
            place.is_some_and(|place| named.contains(&place))
        };
        let needed = |object: Value| Some(object).filter(is_named).into_iter().collect();
        for part in neighbourhoods.reach().parts() {
            let resource = resources::of(target);
            let all = select(neighbourhoods.client(), &resource, part.namespace(), needed).await;
            found.extend(unless_forbidden(all, &mut Vec::new())?);
        }
    }
    Ok(found)
}

/// The deployers that deploy the release, or may. Which Application does is told by all of them; every
/// other deployer says so itself, and a cluster has more of them than fit beside each other.
async fn deployers(
    neighbourhoods: &Neighbourhoods,
    release: &ReleaseId,
    since: Instant,
    observed: &mut Observed,
) -> Result<(), GatherError> {
    let targets = TARGETS.iter().filter(|target| target.is_deployer());
    let parts = neighbourhoods.reach().parts();
    let lists = targets.flat_map(|target| parts.iter().map(move |part| (target, part)));
    let lists = lists
        .map(|(target, part)| those_of(neighbourhoods, release, since, (target, part)).boxed());
    let lists: Vec<_> = lists.collect();
    // Together: an API server takes up to a tenth of a second to know that what it has in memory is what there is.
    let found = futures::stream::iter(lists).buffered(LISTS_AT_A_TIME);
    let found: Vec<_> = found.collect().await;
    for found in found {
        let found = unless_forbidden(found, &mut observed.unlisted_kinds)?;
        observed.deployers.extend(found);
    }
    Ok(())
}

/// Those of a kind, in one part of what is looked at.
async fn those_of(
    neighbourhoods: &Neighbourhoods,
    release: &ReleaseId,
    since: Instant,
    (target, part): (&Target, &Part),
) -> Result<Vec<Value>, GatherError> {
    let concerns =
        |object: &Value| target.kind == "Application" || target::deploys(object, target, release);
    let resource = resources::of(target);
    let place = part.namespace();
    neighbourhoods
        .rare((&resource, place), since, concerns)
        .await
}

/// As many as there are kinds of deployers.
const LISTS_AT_A_TIME: usize = 8;

/// What deploys the release from where nobody looks would undo the rest, and is told.
fn deployers_elsewhere(reach: &Reach, observed: &mut Observed) {
    let Ok(listed) = &observed.listed else {
        return;
    };
    let all = listed.helm_releases.iter();
    for name in all.filter(|name| !reach.covers(&name.namespace)) {
        let why = format!("{name} deploys the release, {OUTSIDE}");
        observed
            .unlisted_kinds
            .push(("HelmRelease".to_owned(), why));
    }
}

const OUTSIDE: &str =
    "and lies in a namespace that the operator does not look at: suspend it by hand";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Quarantine;
    use crate::fake_cluster::FakeCluster;
    use crate::inventory::helm::Driver;

    fn key(driver: Driver, revision: u64) -> RecordKey {
        let release = ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        };
        RecordKey {
            release,
            driver,
            revision,
        }
    }

    fn listed(namespace: &str, revision: u64) -> Listed {
        Listed {
            namespace: namespace.to_owned(),
            revision,
            revisions: BTreeSet::from([revision]),
            ..Listed::default()
        }
    }

    /// Whoever may write another record of the release must not have its objects pass for unlisted.
    #[test]
    fn what_one_record_lists_is_hidden_by_no_other() {
        let (own, forged) = (key(Driver::Secret, 1), key(Driver::ConfigMap, 9));
        let garbage = vec!["ConfigMap web: no release".to_owned()];
        let found = together(vec![(&own, listed("shop", 1))], garbage.clone()).unwrap();
        assert_eq!((found.revision, &found.unreadable_records), (1, &garbage));

        let elsewhere = vec![(&forged, listed("bank", 9)), (&own, listed("shop", 1))];
        let found = together(elsewhere, Vec::new()).unwrap();
        assert_eq!((found.namespace.as_str(), found.revision), ("shop", 1));
        assert!(found.unreadable_records[0].contains("namespace bank"));

        let newer = vec![(&own, listed("shop", 1)), (&forged, listed("shop", 9))];
        let found = together(newer, Vec::new()).unwrap();
        assert_eq!(found.revisions, BTreeSet::from([1, 9]));

        let far = vec![(&own, listed("bank", 1)), (&forged, listed("farm", 9))];
        assert!(matches!(
            together(far, Vec::new()),
            Err(Unlisted::Unreadable(_))
        ));
        let nothing = together(Vec::new(), garbage);
        assert!(matches!(nothing, Err(Unlisted::Unreadable(_))));
        assert_eq!(together(Vec::new(), Vec::new()), Err(Unlisted::NotFound));
    }

    /// An operator of some namespaces asks for nothing elsewhere, and knows that it has not looked there.
    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "nothing is judged by it")]
    async fn of_an_application_that_deploys_elsewhere_nothing_but_itself_is_read() {
        let cluster = FakeCluster::default();
        let path = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop";
        let application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"namespace": "argocd", "name": "shop"},
            "spec": {"destination": {"namespace": "web"}},
            "status": {"controllerNamespace": "argocd"},
        });
        cluster.put(path, application);
        let shop = ReleaseId {
            namespace: "argocd".to_owned(),
            name: "argocd.shop".to_owned(),
        };
        let now = "2026-11-18T10:00:00Z".parse().unwrap();
        for (named, is_unseen) in [(&["argocd"][..], true), (&["argocd", "web"], false)] {
            let (server, client) = cluster.clone().start().await;
            let reach = Reach::of(named.iter().map(ToString::to_string));
            let neighbourhoods =
                Neighbourhoods::new(client, tokio::time::Instant::now).within(reach);
            let actions = [QuarantineAction::PauseDeployer];
            let unfinished = (Unfinished::Taken(now), tokio::time::Instant::now());
            let observed = observed(&neighbourhoods, &shop, &[], &actions, unfinished);
            let observed = observed.await.unwrap();
            assert_eq!(observed.is_unseen, is_unseen, "{named:?}");
            assert_eq!(observed.deployers.len(), 1);
            let asked = server.received_requests().await.unwrap();
            let elsewhere = asked
                .iter()
                .filter(|one| one.url.path().contains("/namespaces/web/"));
            assert_eq!(elsewhere.count() == 0, is_unseen, "{named:?}");
        }
    }

    #[test]
    fn nobody_who_writes_records_keeps_a_quarantine_waiting_for_ever() {
        let now: Timestamp = "2026-11-18T10:01:01Z".parse().unwrap();
        for (created, incident, expected) in [
            ("2026-11-18T10:00:01Z", None, Unfinished::WaitedFor(now)),
            ("2026-11-18T10:00:00Z", None, Unfinished::Taken(now)),
            (
                "2026-11-18T10:00:00Z",
                Some("manual/1"),
                Unfinished::WaitedFor(now),
            ),
        ] {
            let object: Quarantine = serde_json::from_value(json!({
                "metadata": {"namespace": "shop", "name": "web", "creationTimestamp": created},
                "spec": {"actions": ["ScaleToZero"], "reason": "a test"},
                "status": {"incident": incident},
            }))
            .unwrap();
            let view = View::of(&key(Driver::Secret, 1).release, &object, now);
            assert_eq!(Unfinished::of(&view), expected, "{created} {incident:?}");
        }
    }
}
