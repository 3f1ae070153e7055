//! What there is around a release when its quarantine is planned: read, not judged.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::application::{self, Application};
use super::fields;
use super::listed::{Listed, Unlisted};
use super::neighbourhood::Neighbourhood;
use super::placement::Placement;
use super::servers::Servers;
use crate::api::quarantine_words::QuarantineAction;
use crate::inventory::ReleaseId;

/// What there is around a release.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What its records list, or why that is not known.
    pub listed: Result<Listed, Unlisted>,
    /// The listed workloads, as they are.
    pub workloads: Vec<Value>,
    /// The deployers that deploy the release, or may.
    pub deployers: Vec<Value>,
    /// Deployers that the release brings itself, as they are.
    pub brought: Vec<Value>,
    /// The autoscalers of the namespace.
    pub autoscalers: Vec<Value>,
    /// What else lives in the namespace.
    pub neighbours: Arc<Neighbourhood>,
    /// uids of Quarantines that are gone, and that objects still carry.
    pub gone: BTreeSet<String>,
    /// What the API server calls in the release.
    pub servers: Servers,
    /// Kinds that may not be listed, with what the server says.
    pub unlisted_kinds: Vec<(String, String)>,
    /// Whether the workloads lie in a namespace that is not looked at.
    pub is_unseen: bool,
}

/// Which Quarantine a plan is for.
#[derive(Clone, Copy, Debug)]
pub struct Plans<'a> {
    /// What becomes of what it holds already.
    pub held: Held<'a>,
    /// Who starts it.
    pub by: Starter,
}

/// What becomes of what a Quarantine of this uid holds already.
#[derive(Clone, Copy, Debug)]
pub enum Held<'a> {
    /// It knows of nothing that it holds: that is taken over.
    Anew(&'a str),
    /// It knows what it holds: that is left as it is.
    Again(&'a str),
    /// There is none yet.
    Nothing,
}

/// Who starts a quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starter {
    /// A person, who has seen what it would change; or a policy, and a person has approved all of it.
    Person,
    /// A policy alone.
    Policy,
}

impl Plans<'_> {
    /// What a person would start.
    pub fn of_a_person() -> Self {
        Self {
            held: Held::Nothing,
            by: Starter::Person,
        }
    }
}

/// What of the namespace an action has to know; the rest is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// [`Observed::neighbours`].
    Neighbours,
}

/// One release to plan for, and what is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) release: &'a ReleaseId,
    pub(super) actions: &'a [QuarantineAction],
    pub(super) placement: &'a Placement<'a>,
    pub(super) observed: &'a Observed,
    pub(super) plans: Plans<'a>,
}

impl Case<'_> {
    /// What a workload serves to the API server, if a policy alone has decided to stop it: a cluster in
    /// which nothing can be written helps nobody, so that waits for a person.
    pub(super) fn waits_for(&self, workload: &Value) -> Option<String> {
        let by_policy = self.plans.by == Starter::Policy;
        by_policy.then(|| self.observed.servers.behind(workload))?
    }

    /// The revision that is planned for.
    pub(super) fn revision(&self) -> u64 {
        let listed = self.observed.listed.as_ref();
        listed.map_or(0, |listed| listed.revision)
    }

    /// The newest revision of it that is applied whole.
    pub(super) fn in_force(&self) -> u64 {
        let listed = self.observed.listed.as_ref();
        listed.map_or(0, Listed::in_force)
    }
}

impl Observed {
    /// Nothing but what the records list.
    pub(super) fn of(listed: Result<Listed, Unlisted>) -> Self {
        Self {
            listed,
            workloads: Vec::new(),
            deployers: Vec::new(),
            brought: Vec::new(),
            autoscalers: Vec::new(),
            neighbours: Arc::default(),
            gone: BTreeSet::new(),
            servers: Servers::default(),
            unlisted_kinds: Vec::new(),
            is_unseen: false,
        }
    }

    /// Where the workloads lie. An Application stands only for a release without a record.
    pub(super) fn placement<'a>(&self, release: &'a ReleaseId) -> Placement<'a> {
        let is_unrecorded = self.listed == Err(Unlisted::NotFound);
        let applications = self.applications();
        let found = applications
            .iter()
            .find(|one| application::is_of(one, release));
        match found.filter(|_| is_unrecorded) {
            Some(found) => Placement::Application(Application::of(found, &applications)),
            None => Placement::Record(release),
        }
    }

    /// What the release consists of.
    pub(super) fn listed(&self, placement: &Placement) -> Result<Cow<'_, Listed>, &Unlisted> {
        match placement {
            Placement::Application(application) => Ok(Cow::Owned(application.listed())),
            Placement::Record(_) => self.listed.as_ref().map(Cow::Borrowed),
        }
    }

    /// Whether Argo CD is at work on a release without a record.
    pub(super) fn is_syncing(
        &self,
        release: &ReleaseId,
        now: Timestamp,
        patience: SignedDuration,
    ) -> bool {
        let applications = self.applications();
        let found = applications
            .iter()
            .find(|one| application::is_of(one, release));
        self.listed == Err(Unlisted::NotFound)
            && found.is_some_and(|found| application::is_at_work(found, now, patience))
    }

    /// The Applications among the deployers.
    pub(super) fn applications(&self) -> Vec<Value> {
        let is_one = |object: &&Value| fields::text(object, &["kind"]) == Some("Application");
        self.deployers.iter().filter(is_one).cloned().collect()
    }
}
