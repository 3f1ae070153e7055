//! A Quarantine and everything it is about, as last read: what is so, not what to do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::Value;
use tokio::time::Instant;

use super::annotation::Annotation;
use super::fields;
use super::incident::IncidentId;
use super::object_error::ObjectError;
use super::observed::{Held, Observed, Plans, Starter};
use super::original::Original;
use super::placement::Placement;
use super::planned::Plan;
use super::policies::Allowing;
use super::write::Precondition;
use crate::api::Quarantine;
use crate::api::conditions::Status;
use crate::api::quarantine::{ContainedObject, QuarantineSpec, QuarantineStatus};
use crate::api::quarantine_words::QuarantineReason;
use crate::inventory::ReleaseId;

/// The finalizer of a Quarantine: it goes when everything was put back.
pub const FINALIZER: &str = "charttrust.io/restore";

/// By this a person lets an automatic Quarantine also stop what a policy alone does not.
pub const APPROVED: &str = "charttrust.io/approved";

/// By this `charttrust restore` says that a person ends the incident, and not only this Quarantine.
pub const RELEASED: &str = "charttrust.io/released";

fn starter(object: &Quarantine) -> Starter {
    let is_approved = object.annotations().contains_key(APPROVED);
    match object.spec.policy {
        Some(_) if !is_approved => Starter::Policy,
        _ => Starter::Person,
    }
}

/// What a person says who ends a Quarantine that a person has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The incident is over.
    IncidentOver,
    /// Nothing about the incident.
    Nothing,
}

fn word(object: &Quarantine) -> Word {
    if object.annotations().contains_key(RELEASED) {
        Word::IncidentOver
    } else {
        Word::Nothing
    }
}

/// The namespace in which nothing is ever changed, whatever is configured.
pub const PROTECTED: &str = "kube-system";

/// How often an object is read again that others write at the same time, before it has to wait.
const CONFLICT_LIMIT: usize = 6;

/// What a condition says: its status and reason, and the message.
pub(super) type Saying = ((Status, QuarantineReason), String);

/// The Quarantine, and everything it is about, as last read.
#[derive(Clone, Debug)]
pub struct View {
    /// The release, which is also the name of the Quarantine.
    pub release: ReleaseId,
    /// uid of the Quarantine.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Its resource version.
    pub resource_version: String,
    /// Whether it carries our finalizer.
    pub has_finalizer: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub is_ending: bool,
    /// What a person says by its end, if one does.
    pub word: Word,
    /// What is asked for.
    pub spec: QuarantineSpec,
    /// Who has started it, and all of it.
    pub by: Starter,
    /// What was written about it.
    pub status: QuarantineStatus,
    /// What it is about: stands in the status once the originals were saved.
    pub incident: IncidentId,
    /// What there is around the release; needed until the originals were saved, and until then for
    /// every deployer and workload of Argo CD.
    pub observed: Option<Observed>,
    /// What is to be contained of that.
    pub plan: Option<Plan>,
    /// Which revisions may be contained that came after this quarantine was planned.
    pub again: Again,
    /// The recorded objects, as they are, in their order.
    pub live: Vec<Option<Value>>,
    /// Recorded objects that the server does not let be read or written, by their place.
    pub errors: BTreeMap<usize, ObjectError>,
    /// How often each was written by others before we did.
    pub conflicts: BTreeMap<usize, usize>,
    /// Other NetworkPolicies that allow traffic which ours deny.
    pub allowing: Vec<Allowing>,
    /// Pods of others that our NetworkPolicies select, by the place of the policy.
    pub foreign_pods: BTreeMap<usize, String>,
    /// Namespaces in which nothing is ever changed.
    pub protected: Vec<String>,
    /// Whether the API server refuses what a frozen release would become.
    pub freeze: Freeze,
    /// What others have listed of the cluster may be taken if they began no earlier; `None`: nothing is.
    pub since: Option<Instant>,
    /// Whether the namespace of the release is being deleted, with all that is in it.
    pub is_going: bool,
    /// The present instant.
    pub now: Timestamp,
}

/// Whether the API server refuses new records of a release whose Quarantine asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Freeze {
    /// It does: policy and binding are there.
    InForce,
    /// It does not, and what is missing.
    Missing(String),
    /// It was not looked at yet.
    #[default]
    Unseen,
}

/// Which revisions of a release a quarantine contains beside the one that it was planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Every one: the release is proven bad at this moment.
    AnyRevision,
    /// None: nobody says that a later one is bad.
    SameRevision,
}

impl View {
    /// A view of a Quarantine, before anything that it is about was read.
    pub fn of(id: &ReleaseId, object: &Quarantine, now: Timestamp) -> Self {
        Self {
            release: id.clone(),
            uid: object.uid().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
            has_finalizer: object.finalizers().iter().any(|name| name == FINALIZER),
            created: object.creation_timestamp().map(|time| time.0),
            is_ending: object.metadata.deletion_timestamp.is_some(),
            word: word(object),
            spec: object.spec.clone(),
            by: starter(object),
            status: object.status.clone().unwrap_or_default(),
            incident: IncidentId::Manual(object.uid().unwrap_or_default()),
            observed: None,
            plan: None,
            again: Again::SameRevision,
            live: Vec::new(),
            errors: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            allowing: Vec::new(),
            foreign_pods: BTreeMap::new(),
            protected: vec![PROTECTED.to_owned()],
            freeze: Freeze::default(),
            is_going: false,
            since: None,
            now,
        }
    }

    /// What an object is to carry that we change or make at this moment.
    pub(super) fn annotation(&self) -> Annotation {
        Annotation {
            incident: self.status.incident.clone().unwrap_or_default(),
            quarantine: self.uid.clone(),
            uid: None,
            revision: None,
            time: crate::api::time(self.now).0.to_string(),
            original: Original::default(),
            when_scaled: None,
            owners: Vec::new(),
        }
    }

    /// What a plan is made for.
    pub(super) fn plans(&self) -> Plans<'_> {
        Plans {
            held: match self.status.incident {
                Some(_) => Held::Again(&self.uid),
                None => Held::Anew(&self.uid),
            },
            by: self.by,
        }
    }

    /// Where a recorded object lies.
    pub(super) fn namespace_of<'a>(&'a self, record: &'a ContainedObject) -> &'a str {
        record.namespace.as_ref().unwrap_or(&self.release.namespace)
    }

    pub(super) fn protects(&self, namespace: &str) -> bool {
        self.protected.iter().any(|one| one == namespace)
    }

    /// Where the workloads lie, as far as that is known.
    pub(super) fn placement(&self) -> Placement<'_> {
        let observed = self.observed.as_ref();
        observed.map_or(Placement::Record(&self.release), |observed| {
            observed.placement(&self.release)
        })
    }

    /// Whether a record lies where the workloads of the release may be changed.
    pub(super) fn is_at(&self, placement: &Placement, record: &ContainedObject) -> bool {
        let namespace = self.namespace_of(record);
        namespace == placement.namespace() && !self.protects(namespace)
    }

    pub(super) fn live(&self, index: usize) -> Option<&Value> {
        self.live.get(index)?.as_ref()
    }

    /// Whether an object goes with the namespace of the release.
    pub(super) fn goes(&self, record: &ContainedObject) -> bool {
        self.is_going && record.namespace.is_none()
    }

    /// What was read for the plan is what the objects are like that were recorded from it; all others
    /// are as they were read.
    pub(super) fn take_in_records(&mut self, status: QuarantineStatus) {
        let before = std::mem::replace(&mut self.status, status);
        let mut live = std::mem::take(&mut self.live);
        live.resize(before.objects.len(), None);
        let mut known: Vec<_> = before.objects.into_iter().zip(live).collect();
        let is_same = |one: &ContainedObject, other: &ContainedObject| {
            one.kind == other.kind
                && one.name == other.name
                && one.namespace == other.namespace
                && one.uid == other.uid
        };
        let records = self.status.objects.iter();
        let live =
            records.map(
                |record| match known.iter_mut().find(|(one, _)| is_same(one, record)) {
                    Some((_, live)) => live.take(),
                    None => self.as_observed(record),
                },
            );
        self.live = live.collect();
    }

    fn as_observed(&self, record: &ContainedObject) -> Option<Value> {
        let observed = self.observed.as_ref()?;
        let mut all = observed.workloads.iter().chain(&observed.deployers);
        let is_it = |object: &&Value| {
            let text = |path: &[&str]| fields::text(object, path);
            text(&["kind"]) == Some(&record.kind)
                && text(&["metadata", "name"]) == Some(&record.name)
                && text(&["metadata", "namespace"]) == Some(self.namespace_of(record))
        };
        all.find(is_it).cloned()
    }

    /// Takes in the recorded objects as they are, or why nobody can tell.
    pub fn take_in(&mut self, all: Vec<Result<Option<Value>, ObjectError>>) {
        self.errors.retain(|_, error| !error.is_unread);
        self.live = Vec::new();
        for (index, one) in all.into_iter().enumerate() {
            let live = one.unwrap_or_else(|error| {
                self.errors.insert(index, error);
                None
            });
            self.live.push(live);
        }
    }

    /// Whether it may help to go on soon.
    pub fn is_hindered(&self) -> bool {
        self.errors.values().any(|error| error.is_passing)
    }

    /// Takes in that the server did not write a recorded object, which is `live` now. If it is as
    /// it was, every precondition held, and the server would not write it all the same.
    pub fn note_conflict(
        &mut self,
        index: usize,
        live: Result<Option<Value>, ObjectError>,
        why: ObjectError,
    ) {
        let live = match live {
            Ok(live) => live,
            Err(unread) => {
                self.errors.insert(index, unread);
                return;
            }
        };
        let conflicts = self.conflicts.entry(index).or_default();
        *conflicts = conflicts.saturating_add(1);
        let is_at_limit = *conflicts >= CONFLICT_LIMIT;
        if self.live(index).map(Precondition::of) == live.as_ref().map(Precondition::of) {
            self.errors.insert(index, why);
        } else if is_at_limit {
            self.errors.insert(index, ObjectError::conflict_limit());
        }
        if let Some(place) = self.live.get_mut(index) {
            *place = live;
        }
    }
}
