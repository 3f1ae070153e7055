//! From what a release is made of to the list of what will be changed, each with its original.

use std::borrow::Cow;
use std::collections::BTreeSet;

use charttrust_verify::release::ManifestObject;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::application::{self, Application};
use super::home::Home;
use super::mark::{Carried, Mark};
use super::network::{self, Labels};
use super::target::{self, Target};
use super::{field, owners};
use crate::api::bounds;
use crate::api::chart_trust_policy::QuarantineAction;
use crate::api::quarantine::{ContainedObject, ObjectState, UncontainedObject};
use crate::api::reasons::QuarantineReason;
use crate::inventory::ReleaseId;

/// What there is around a release when its quarantine is planned.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What its records list, or why that is not known.
    pub listed: Result<Listed, Unlisted>,
    /// The listed workloads, as they are.
    pub workloads: Vec<Value>,
    /// Every deployer of the cluster.
    pub deployers: Vec<Value>,
    /// The autoscalers of the namespace.
    pub autoscalers: Vec<Value>,
    /// The Pods of the namespace.
    pub pods: Vec<Value>,
    /// `ReplicaSets` and Jobs of the namespace, which stand between workloads and Pods.
    pub between: Vec<Value>,
    /// All other workloads of the namespace that make Pods, or will.
    pub makers: Vec<Value>,
    /// uids of Quarantines that are gone, and that objects still carry.
    pub gone: BTreeSet<String>,
}

/// What the records of a release list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The namespace it was installed into, as its records say.
    pub namespace: String,
    /// Its objects.
    pub objects: Vec<ManifestObject>,
    /// Documents that could not be read as objects.
    pub unread: usize,
    /// Its newest revision.
    pub revision: u64,
}

/// Why it is not known what a release consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// There is no such release.
    NotFound,
    /// Helm or Argo CD is at work on it: what it lists may not be there yet.
    Unfinished,
    /// A record cannot be read.
    Unreadable(String),
}

/// What will be changed, and what will not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of the changes.
    pub objects: Vec<ContainedObject>,
    /// What is left as it is.
    pub uncontained: Vec<UncontainedObject>,
    /// Why nothing, or only the deployer, can be contained.
    pub problem: Option<(QuarantineReason, String)>,
    /// Workloads that are not isolated, because their labels select Pods of others too.
    pub shared: Vec<String>,
}

/// Plans the quarantine of a release.
pub fn plan(release: &ReleaseId, actions: &[QuarantineAction], scene: &Scene) -> Plan {
    let mut plan = Plan::default();
    let wants = |action| actions.contains(&action);
    let home = scene.home(release);
    match scene.listed(&home) {
        Err(unlisted) => plan.problem(unlisted, release),
        Ok(listed) if listed.namespace != home.namespace() => plan.elsewhere(&listed, release),
        Ok(listed) => {
            plan.leave_others(&listed, release);
            plan.leave_missing(&listed, scene);
            if wants(QuarantineAction::IsolateNetwork) {
                plan.isolate(release, &home, scene);
            }
            if wants(QuarantineAction::ScaleToZero) {
                plan.scale(release, &home, scene);
            }
        }
    }
    plan.settle(home.namespace(), release);
    plan.deployers(release, scene, wants(QuarantineAction::PauseDeployer));
    plan.finish()
}

impl Scene {
    /// Where the workloads lie. An Application stands only for a release without a record.
    pub(super) fn home<'a>(&self, release: &'a ReleaseId) -> Home<'a> {
        let is_unrecorded = self.listed == Err(Unlisted::NotFound);
        let applications = self.applications();
        let found = applications
            .iter()
            .find(|one| application::is_of(one, release));
        match found.filter(|_| is_unrecorded) {
            Some(found) => Home::Application(Application::of(found, &applications)),
            None => Home::Record(release),
        }
    }

    /// What the release consists of.
    pub(super) fn listed(&self, home: &Home) -> Result<Cow<'_, Listed>, &Unlisted> {
        match home {
            Home::Application(application) => Ok(Cow::Owned(application.listed())),
            Home::Record(_) => self.listed.as_ref().map(Cow::Borrowed),
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

    /// What has to be known of an object to put it back, unless it is stopped without us; or why it
    /// is not contained.
    fn before(
        &self,
        object: &Value,
        target: &Target,
        release: &ReleaseId,
    ) -> Option<Result<Saved, String>> {
        let too_large = || "has a field too large to be saved".to_owned();
        if !target.is_held(object) {
            return Some(Saved::of(object, target).ok_or_else(too_large));
        }
        match Mark::of(object) {
            Carried::Mark(mark) if self.gone.contains(&mark.quarantine) => {
                Some(Saved::of_mark(&mark).ok_or_else(too_large))
            }
            Carried::Mark(_) => Some(Err(format!(
                "is held by another Quarantine; should that be gone, charttrust restore {release} \
                 puts it back"
            ))),
            Carried::Nothing => None,
            Carried::Unreadable => Some(Err(
                "is stopped, and its annotation charttrust.io/quarantine cannot be read; set it by \
                 hand to what it shall be, and remove the annotation"
                    .to_owned(),
            )),
        }
    }

    fn applications(&self) -> Vec<Value> {
        let is_one = |object: &&Value| field::text(object, &["kind"]) == Some("Application");
        self.deployers.iter().filter(is_one).cloned().collect()
    }

    /// How much of what a deployer deploys is this release.
    pub(super) fn share(&self, object: &Value, target: &Target, release: &ReleaseId) -> Share {
        if target::deploys(object, target, release) {
            return Share::Whole;
        }
        match &self.listed {
            Ok(listed) if target.kind == "Application" => {
                let application = Application::of(object, &self.applications());
                let is_both = |workload: &Value| {
                    target::is_of_release(workload, release) && application.owns(workload)
                };
                match self.workloads.iter().any(is_both) {
                    true if application.is_within(listed) => Share::Whole,
                    true => Share::Part,
                    false => Share::None,
                }
            }
            _ => Share::None,
        }
    }
}

/// How much of what a deployer deploys is one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// None of it.
    None,
    /// Some of it: it would be wrong to pause the rest.
    Part,
    /// All of it.
    Whole,
}

impl Plan {
    /// Leaves deployers in these namespaces to people.
    #[must_use]
    pub fn without_deployers_in(mut self, protected: &[String]) -> Self {
        let is_protected = |object: &ContainedObject| {
            let namespace = object.namespace.as_ref();
            namespace.is_some_and(|namespace| protected.contains(namespace))
        };
        let objects = std::mem::take(&mut self.objects);
        let (left, kept): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_protected);
        self.objects = kept;
        for object in left {
            let why = "lies in a protected namespace, and may undo the rest: pause it by hand";
            self.leave(&object.kind, object.namespace, &object.name, why);
        }
        self.finish()
    }

    fn problem(&mut self, unlisted: &Unlisted, release: &ReleaseId) {
        self.problem = Some(match unlisted {
            Unlisted::NotFound => {
                let message = format!(
                    "no release {} is recorded in namespace {}; name the Quarantine after a \
                     release that `helm list` shows there",
                    release.name, release.namespace
                );
                (QuarantineReason::ReleaseNotFound, message)
            }
            Unlisted::Unfinished => {
                let message = "Helm or Argo CD is at work on the release; the quarantine begins \
                               when it has ended, or after a minute";
                (QuarantineReason::ProgressingWithRetry, message.to_owned())
            }
            Unlisted::Unreadable(message) => (QuarantineReason::ReleaseUnreadable, message.clone()),
        });
    }

    fn elsewhere(&mut self, listed: &Listed, release: &ReleaseId) {
        let place = &listed.namespace;
        let message = format!(
            "the record in {} says that the release runs in {place}; a record is no proof of that, \
             so only its deployer is paused",
            release.namespace
        );
        for object in listed.objects.iter().filter(|object| runs_pods(object)) {
            let why = format!("runs in namespace {place}, the record lies elsewhere");
            self.leave(&object.kind, None, &object.name, &why);
        }
        self.problem = Some((QuarantineReason::OtherNamespace, message));
    }

    fn deployers(&mut self, release: &ReleaseId, scene: &Scene, wanted: bool) {
        let revision = scene.listed.as_ref().map_or(0, |listed| listed.revision);
        for object in &scene.deployers {
            let Some(target) = target_of(object).filter(|target| !target.is_workload()) else {
                continue;
            };
            let share = scene.share(object, target, release);
            if share == Share::None {
                continue;
            }
            let name = field::text(object, &["metadata", "name"]).unwrap_or_default();
            let namespace = field::text(object, &["metadata", "namespace"]).unwrap_or_default();
            let other = (namespace != release.namespace).then(|| namespace.to_owned());
            let deployed = target::deployed_revision(object);
            if share == Share::Part {
                if !target.is_held(object) {
                    let why =
                        "deploys other objects too, so it is not paused, and may undo the rest";
                    self.leave(target.kind, other, name, why);
                }
            } else if deployed.is_some_and(|deployed| deployed != revision) {
                let why = format!("says that it deployed revision {deployed:?}, not {revision}");
                self.leave(target.kind, other, name, &why);
            } else if wanted {
                let before = scene.before(object, target, release);
                self.hold(object, target, other, before);
            } else if !target.is_held(object) {
                let why = "is not paused, and may undo the rest; add PauseDeployer to the actions";
                self.leave(target.kind, other, name, why);
            }
        }
    }

    /// Tells of what is listed and is no workload we know how to contain.
    fn leave_others(&mut self, listed: &Listed, release: &ReleaseId) {
        for object in &listed.objects {
            let foreign = object
                .namespace
                .as_ref()
                .filter(|n| **n != listed.namespace);
            if let Some(namespace) = foreign {
                if runs_pods(object) {
                    let why = "lies in a namespace that is not the release's";
                    self.leave(&object.kind, Some(namespace.clone()), &object.name, why);
                }
            } else if object.generated && runs_pods(object) {
                self.leave(&object.kind, None, &object.name, "has a generated name");
            } else if object.api_version == "v1" && is_bare(&object.kind) {
                let why = "has no controller that could stop it and start it again";
                self.leave(&object.kind, None, &object.name, why);
            } else if is_custom(&object.api_version) {
                let why = "is of a kind that others define; what it runs is not known";
                self.leave(&object.kind, None, &object.name, why);
            }
        }
        if listed.unread > 0 {
            let why = format!("{} documents cannot be read as objects", listed.unread);
            self.leave("manifest", None, &release.name, &why);
        }
    }

    /// Tells of workloads that are listed and are not there.
    fn leave_missing(&mut self, listed: &Listed, scene: &Scene) {
        let is_there = |kind: &str, name: &str| {
            scene.workloads.iter().any(|object| {
                field::text(object, &["kind"]) == Some(kind)
                    && field::text(object, &["metadata", "name"]) == Some(name)
            })
        };
        for object in listed.objects.iter().filter(|object| !object.generated) {
            let is_missing = Target::of_manifest(object).is_some()
                && object
                    .namespace
                    .as_ref()
                    .is_none_or(|namespace| *namespace == listed.namespace)
                && !is_there(&object.kind, &object.name);
            if is_missing {
                let why = "is listed and not there; should it appear, it is not contained";
                self.leave(&object.kind, None, &object.name, why);
            }
        }
    }

    /// What was left open so far lies in the namespace of the workloads.
    fn settle(&mut self, namespace: &str, release: &ReleaseId) {
        if namespace == release.namespace {
            return;
        }
        let objects = self.objects.iter_mut().map(|one| &mut one.namespace);
        let left = self.uncontained.iter_mut().map(|one| &mut one.namespace);
        for open in objects.chain(left).filter(|open| open.is_none()) {
            *open = Some(bounds::fit(namespace, bounds::LABEL));
        }
    }

    /// Leaves everything but the deployer: nothing is changed in a protected namespace.
    #[must_use]
    pub(super) fn sparing(mut self, namespace: &str) -> Self {
        self.objects
            .retain(|object| object.action == QuarantineAction::PauseDeployer);
        self.shared.clear();
        let message = format!("namespace {namespace} is protected, so only the deployer is paused");
        self.problem = Some((QuarantineReason::Protected, message));
        self
    }

    fn scale(&mut self, release: &ReleaseId, home: &Home, scene: &Scene) {
        for object in &scene.workloads {
            let Some(target) = target_of(object).filter(|target| target.is_workload()) else {
                continue;
            };
            let before = scene.before(object, target, release);
            if before.is_none() || has_finished(object) {
                continue;
            }
            if let Some(why) = refusal(object, target, home) {
                let name = field::text(object, &["metadata", "name"]).unwrap_or_default();
                self.leave(target.kind, None, name, why);
            } else {
                self.hold(object, target, None, before);
                self.scaled_by(object, autoscaler(object, &scene.autoscalers));
            }
            self.leave_running(object, scene);
        }
    }

    /// Tells of Jobs that a `CronJob` has started and that go on without it.
    fn leave_running(&mut self, owner: &Value, scene: &Scene) {
        let uid = field::text(owner, &["metadata", "uid"]);
        let name = |object| field::text(object, &["metadata", "name"]).unwrap_or_default();
        let is_job = |object: &&Value| field::text(object, &["kind"]) == Some("Job");
        let jobs = scene.between.iter().filter(is_job);
        for job in jobs.filter(|job| controller(job) == uid && !has_finished(job)) {
            let why = format!(
                "was started by CronJob {} before, and is left to end",
                name(owner)
            );
            self.leave("Job", None, name(job), &why);
        }
    }

    /// Records an object, with what it was before.
    fn hold(
        &mut self,
        object: &Value,
        target: &Target,
        namespace: Option<String>,
        before: Option<Result<Saved, String>>,
    ) {
        let text = |path: &[&str]| field::text(object, path).map(str::to_owned);
        let name = text(&["metadata", "name"]).unwrap_or_default();
        let saved = match before {
            Some(Ok(saved)) => saved,
            Some(Err(why)) => return self.leave(target.kind, namespace, &name, &why),
            None => return,
        };
        self.objects.push(ContainedObject {
            action: target.action,
            api_version: target.api_version(),
            kind: target.kind.to_owned(),
            namespace,
            name,
            uid: text(&["metadata", "uid"]),
            original: saved.original,
            owners: saved.owners,
            left_by: saved.left_by,
            selector: None,
            autoscaler: None,
            state: ObjectState::Planned,
            message: None,
        });
    }

    /// Names the autoscaler of the workload that was recorded last.
    fn scaled_by(&mut self, object: &Value, autoscaler: Option<String>) {
        let uid = field::text(object, &["metadata", "uid"]);
        let last = self.objects.last_mut();
        if let Some(last) = last.filter(|last| last.uid.as_deref() == uid) {
            last.autoscaler = autoscaler;
        }
    }

    fn isolate(&mut self, release: &ReleaseId, home: &Home, scene: &Scene) {
        let ours: Vec<&Value> = scene
            .workloads
            .iter()
            .filter(|object| home.owns(object))
            .collect();
        let mut selectors: Vec<Value> = Vec::new();
        for object in ours.iter().filter(|object| !is_controlled(object)) {
            let kind = field::text(object, &["kind"]).unwrap_or_default();
            let name = field::text(object, &["metadata", "name"]).unwrap_or_default();
            let Some(selector) = selector_of(object) else {
                let why = "its Pods cannot be told from others by their labels, so they are not \
                           isolated";
                self.leave(kind, None, name, why);
                continue;
            };
            if let Some(other) = stranger(&selector, &ours, scene) {
                let why = format!(
                    "its labels select {other} of another owner too, so its Pods are not isolated"
                );
                self.leave(kind, None, name, &why);
                self.shared.push(format!("{kind} {name}"));
            } else if !selectors.contains(&selector) {
                selectors.push(selector);
            }
        }
        for (index, selector) in selectors.iter().enumerate() {
            self.objects.push(ContainedObject {
                action: QuarantineAction::IsolateNetwork,
                api_version: network::API_VERSION.to_owned(),
                kind: network::KIND.to_owned(),
                namespace: None,
                name: network::name(release, index),
                uid: None,
                original: None,
                owners: None,
                left_by: None,
                selector: Some(selector.to_string()),
                autoscaler: None,
                state: ObjectState::Planned,
                message: None,
            });
        }
    }

    fn leave(&mut self, kind: &str, namespace: Option<String>, name: &str, why: &str) {
        self.uncontained.push(UncontainedObject {
            kind: bounds::fit(kind, bounds::LABEL),
            namespace: namespace.map(|namespace| bounds::fit(&namespace, bounds::LABEL)),
            name: bounds::fit(name, bounds::NAME),
            message: bounds::fit(why, bounds::MESSAGE),
        });
    }

    /// Sorts, and keeps to the bounds of the schema: what does not fit is not contained, and said.
    fn finish(mut self) -> Self {
        self.objects
            .sort_by(|one, other| order(one).cmp(&order(other)));
        let fitting = self.objects.len().min(bounds::LONG_LIST);
        for object in self.objects.split_off(fitting) {
            let why = "does not fit into the list of contained objects";
            self.leave(&object.kind, object.namespace, &object.name, why);
        }
        self.uncontained.sort();
        self.uncontained.dedup();
        self.uncontained.truncate(bounds::LONG_LIST);
        self
    }
}

/// What has to be known of an object to put it back, as it is recorded.
pub(super) struct Saved {
    /// The value of the field.
    pub(super) original: Option<String>,
    /// Who owns it.
    pub(super) owners: Option<String>,
    /// uid of the Quarantine that is gone and has saved it.
    pub(super) left_by: Option<String>,
}

impl Saved {
    /// As the object is; `None` if that is too large.
    pub(super) fn of(object: &Value, target: &Target) -> Option<Self> {
        Self::fitting(target.value(object), owners::of(object, target.owned))
    }

    /// As an earlier quarantine has found it, and not as it has left it.
    fn of_mark(mark: &Mark) -> Option<Self> {
        let saved = Self::fitting(mark.original.as_ref(), mark.owners.clone())?;
        Some(Self {
            left_by: Some(bounds::fit(&mark.quarantine, bounds::LABEL)),
            ..saved
        })
    }

    fn fitting(value: Option<&Value>, owners: Vec<Value>) -> Option<Self> {
        let original = value.map(Value::to_string);
        let owners = (!owners.is_empty()).then(|| Value::Array(owners).to_string());
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let fits = length(&original).max(length(&owners)) <= bounds::SAVED;
        fits.then_some(Self {
            original,
            owners,
            left_by: None,
        })
    }
}

/// Deployers first, so that nothing is undone; then the network; then the workloads.
fn order(object: &ContainedObject) -> (u8, &str, &str) {
    let rank = match object.action {
        QuarantineAction::PauseDeployer => 0,
        QuarantineAction::IsolateNetwork => 1,
        QuarantineAction::ScaleToZero => 2,
    };
    (rank, &object.kind, &object.name)
}

fn target_of(object: &Value) -> Option<&'static Target> {
    let (group, _) = field::text(object, &["apiVersion"])?.split_once('/')?;
    Target::of(group, field::text(object, &["kind"])?)
}

/// Why a workload that is listed is not changed.
fn refusal(object: &Value, target: &Target, home: &Home) -> Option<&'static str> {
    if !home.owns(object) {
        return Some(home.missing());
    }
    if is_controlled(object) {
        return Some("is controlled by another object");
    }
    if field::value(object, &["metadata", "deletionTimestamp"]).is_some() {
        return Some("is being deleted");
    }
    (target.kind == "Job" && has_run(object)).then_some("has run already, and is left to end")
}

fn is_controlled(object: &Value) -> bool {
    controller(object).is_some()
}

/// uid of the object that controls this one.
fn controller(object: &Value) -> Option<&str> {
    let owners = field::value(object, &["metadata", "ownerReferences"])?.as_array()?;
    let is_controller = |owner: &&Value| owner.get("controller") == Some(&Value::Bool(true));
    field::text(owners.iter().find(is_controller)?, &["uid"])
}

fn has_finished(object: &Value) -> bool {
    let conditions = field::value(object, &["status", "conditions"]).and_then(Value::as_array);
    let is_end = |condition: &Value| {
        matches!(
            field::text(condition, &["type"]),
            Some("Complete" | "Failed")
        ) && field::text(condition, &["status"]) == Some("True")
    };
    let is_job = field::text(object, &["kind"]) == Some("Job");
    is_job && conditions.into_iter().flatten().any(is_end)
}

fn has_run(job: &Value) -> bool {
    ["active", "failed", "ready", "succeeded", "terminating"]
        .iter()
        .any(|count| {
            let count = field::value(job, &["status", count]).and_then(Value::as_u64);
            count.is_some_and(|count| count > 0)
        })
}

fn autoscaler(object: &Value, autoscalers: &[Value]) -> Option<String> {
    let is_of = |autoscaler: &&Value| {
        let aimed = |name: &str| field::text(autoscaler, &["spec", "scaleTargetRef", name]);
        aimed("kind") == field::text(object, &["kind"])
            && aimed("name") == field::text(object, &["metadata", "name"])
    };
    let found = autoscalers.iter().find(is_of)?;
    field::text(found, &["metadata", "name"]).map(str::to_owned)
}

/// What selects the Pods of a workload, if anything does.
fn selector_of(object: &Value) -> Option<Value> {
    let selector = field::value(object, &["spec", "selector"]);
    let of_template = || {
        let path = [
            "spec",
            "jobTemplate",
            "spec",
            "template",
            "metadata",
            "labels",
        ];
        let labels = field::value(object, &path)?;
        Some(serde_json::json!({ "matchLabels": labels }))
    };
    let selector = selector.cloned().or_else(of_template)?;
    let is_empty = selector
        .as_object()
        .is_none_or(|parts| parts.values().all(is_blank));
    (!is_empty && selector.to_string().len() <= bounds::SAVED).then_some(selector)
}

fn is_blank(part: &Value) -> bool {
    match part {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => true,
    }
}

/// A Pod that a selector selects and that belongs to none of these workloads; or, because a Pod comes
/// and goes, what will make such Pods.
pub(super) fn stranger(selector: &Value, ours: &[&Value], scene: &Scene) -> Option<String> {
    let ours: Vec<&str> = ours
        .iter()
        .filter_map(|object| field::text(object, &["metadata", "uid"]))
        .collect();
    let is_selected = |pod: &&Value| {
        let labels: Labels = network::labels(pod, &["metadata", "labels"]);
        network::selects(Some(selector), &labels)
    };
    let is_strange = |pod: &&Value| !line(pod, &scene.between).any(|uid| ours.contains(&uid));
    let name = |object| field::text(object, &["metadata", "name"]).unwrap_or_default();
    if let Some(pod) = scene.pods.iter().filter(is_selected).find(is_strange) {
        return Some(format!("Pod {}", name(pod)));
    }
    let makes_strangers = |object: &&Value| {
        let uid = field::text(object, &["metadata", "uid"]);
        let is_ours = uid.is_some_and(|uid| ours.contains(&uid));
        let is_on_its_own = !is_controlled(object) && !has_finished(object);
        is_on_its_own && !is_ours && makes(object, selector)
    };
    let mut all = scene.makers.iter().chain(&scene.between);
    let maker = all.find(makes_strangers)?;
    let kind = field::text(maker, &["kind"]).unwrap_or_default();
    Some(format!("the Pods of {kind} {}", name(maker)))
}

/// Whether the Pods that a workload makes are selected.
fn makes(workload: &Value, selector: &Value) -> bool {
    let of_job = ["spec", "jobTemplate", "spec", "template"];
    let template =
        field::value(workload, &of_job).or_else(|| field::value(workload, &["spec", "template"]));
    template.is_some_and(|template| {
        let labels = network::labels(template, &["metadata", "labels"]);
        network::selects(Some(selector), &labels)
    })
}

/// uids of those that control a Pod, its direct controller first.
fn line<'a>(pod: &'a Value, between: &'a [Value]) -> impl Iterator<Item = &'a str> {
    std::iter::successors(controller(pod), |uid| {
        let has_uid = |object: &&Value| field::text(object, &["metadata", "uid"]) == Some(*uid);
        controller(between.iter().find(has_uid)?)
    })
    .take(LONGEST_LINE)
}

/// `CronJob`, Job, Pod is the longest there is.
const LONGEST_LINE: usize = 4;

fn runs_pods(object: &ManifestObject) -> bool {
    Target::of_manifest(object).is_some()
        || (object.api_version == "v1" && is_bare(&object.kind))
        || is_custom(&object.api_version)
}

fn is_bare(kind: &str) -> bool {
    matches!(kind, "Pod" | "ReplicationController")
}

/// Kubernetes' own groups have no dot, or end in `.k8s.io`.
fn is_custom(api_version: &str) -> bool {
    let group = api_version.split_once('/').map(|(group, _)| group);
    group.is_some_and(|group| group.contains('.') && !group.ends_with(".k8s.io"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EVERYTHING: [QuarantineAction; 3] = [
        QuarantineAction::PauseDeployer,
        QuarantineAction::IsolateNetwork,
        QuarantineAction::ScaleToZero,
    ];

    fn web() -> ReleaseId {
        ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        }
    }

    fn listed(api_version: &str, kind: &str, name: &str) -> ManifestObject {
        ManifestObject {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: name.to_owned(),
            generated: false,
        }
    }

    fn deployment(name: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "namespace": "shop", "name": name, "uid": format!("uid-{name}"),
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {
                    "meta.helm.sh/release-name": "web",
                    "meta.helm.sh/release-namespace": "shop",
                },
            },
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}}},
        })
    }

    /// A Pod of a `ReplicaSet` that the Deployment of this uid controls.
    fn pod(name: &str, app: &str, replica_set: &str) -> Value {
        json!({"metadata": {
            "name": name, "labels": {"app": app},
            "ownerReferences": [{"controller": true, "uid": replica_set}],
        }})
    }

    fn scene() -> Scene {
        Scene {
            listed: Ok(Listed {
                namespace: "shop".to_owned(),
                objects: vec![listed("apps/v1", "Deployment", "web")],
                unread: 0,
                revision: 7,
            }),
            workloads: vec![deployment("web")],
            deployers: Vec::new(),
            gone: BTreeSet::new(),
            autoscalers: Vec::new(),
            pods: vec![pod("web-1", "web", "rs-web")],
            between: vec![json!({"metadata": {
                "uid": "rs-web",
                "ownerReferences": [{"controller": true, "uid": "uid-web"}],
            }})],
            makers: vec![deployment("web")],
        }
    }

    /// One good base, one change, and what is planned and left.
    fn planned(change: impl FnOnce(&mut Scene)) -> Plan {
        let mut scene = scene();
        change(&mut scene);
        plan(&web(), &EVERYTHING, &scene)
    }

    fn names(plan: &Plan) -> Vec<String> {
        let name = |object: &ContainedObject| format!("{} {}", object.kind, object.name);
        plan.objects.iter().map(name).collect()
    }

    fn left(plan: &Plan) -> Vec<&str> {
        plan.uncontained
            .iter()
            .map(|one| one.name.as_str())
            .collect()
    }

    #[test]
    fn a_release_is_isolated_and_then_stopped() {
        let plan = planned(|_| ());
        assert_eq!(
            names(&plan),
            ["NetworkPolicy charttrust-quarantine-web", "Deployment web"]
        );
        assert_eq!(plan.objects[1].original.as_deref(), Some("3"));
        assert_eq!(left(&plan), Vec::<&str>::new());
    }

    #[test]
    fn only_what_was_asked_for_is_planned() {
        let only = |action| names(&plan(&web(), &[action], &scene()));
        assert_eq!(only(QuarantineAction::ScaleToZero), ["Deployment web"]);
        assert_eq!(only(QuarantineAction::IsolateNetwork).len(), 1);
        assert_eq!(only(QuarantineAction::PauseDeployer), Vec::<String>::new());
    }

    #[test]
    fn a_workload_of_somebody_else_is_left() {
        let plan = planned(|scene| {
            let annotations = &mut scene.workloads[0]["metadata"]["annotations"];
            annotations["meta.helm.sh/release-name"] = json!("other");
        });
        assert_eq!(names(&plan), Vec::<String>::new());
        assert_eq!(left(&plan), ["web"]);
    }

    #[test]
    fn what_another_object_controls_is_left() {
        let plan = planned(|scene| {
            let owner = json!([{"controller": true, "uid": "any"}]);
            scene.workloads[0]["metadata"]["ownerReferences"] = owner;
        });
        assert_eq!(names(&plan), Vec::<String>::new());
        assert_eq!(left(&plan), ["web"]);
    }

    #[test]
    fn what_is_stopped_already_is_not_stopped() {
        let plan = planned(|scene| scene.workloads[0]["spec"]["replicas"] = json!(0));
        assert_eq!(names(&plan), ["NetworkPolicy charttrust-quarantine-web"]);
    }

    #[test]
    fn a_job_is_suspended_only_while_no_pod_of_it_has_run() {
        let job = |status: Value| {
            let mut job = deployment("web");
            job["apiVersion"] = json!("batch/v1");
            job["kind"] = json!("Job");
            job["spec"] = json!({"suspend": false});
            job["status"] = status;
            plan(
                &web(),
                &[QuarantineAction::ScaleToZero],
                &Scene {
                    listed: Ok(Listed {
                        namespace: "shop".to_owned(),
                        objects: vec![listed("batch/v1", "Job", "web")],
                        ..Listed::default()
                    }),
                    workloads: vec![job],
                    ..scene()
                },
            )
        };
        assert_eq!(names(&job(json!({}))), ["Job web"]);
        for status in ["active", "failed", "succeeded", "terminating", "ready"] {
            let plan = job(json!({ status: 1 }));
            assert_eq!(names(&plan), Vec::<String>::new(), "{status}");
            assert_eq!(left(&plan), ["web"], "{status}");
        }
        let complete = json!({"succeeded": 1,
            "conditions": [{"type": "Complete", "status": "True"}]});
        assert_eq!(left(&job(complete)), Vec::<&str>::new());
    }

    #[test]
    fn pods_of_others_with_the_same_labels_keep_their_network() {
        let plan = planned(|scene| scene.pods.push(pod("stranger", "web", "rs-other")));
        assert_eq!(names(&plan), ["Deployment web"]);
        assert_eq!(plan.shared, ["Deployment web"]);
        assert!(plan.uncontained[0].message.contains("stranger"));
        let apart = planned(|scene| scene.pods.push(pod("stranger", "other", "rs-other")));
        assert_eq!(apart.shared, Vec::<String>::new());
    }

    #[test]
    fn what_will_make_pods_with_the_same_labels_counts_before_it_has_any() {
        let template = json!({"metadata": {"labels": {"app": "web"}}});
        let maker = |kind: &str, spec: Value| json!({"kind": kind, "metadata": {"name": "stranger", "uid": "other"}, "spec": spec});
        let idle = maker("Deployment", json!({"replicas": 0, "template": template}));
        let nightly = maker(
            "CronJob",
            json!({"jobTemplate": {"spec": {"template": template}}}),
        );
        let told = |change: fn(&mut Scene, Value), maker: &Value| {
            planned(|scene| change(scene, maker.clone())).shared
        };
        let is_maker: fn(&mut Scene, Value) = |scene, maker| scene.makers.push(maker);
        let is_between: fn(&mut Scene, Value) = |scene, maker| scene.between.push(maker);
        assert_eq!(told(is_maker, &idle), ["Deployment web"]);
        assert_eq!(told(is_maker, &nightly), ["Deployment web"]);
        let job = maker("Job", json!({"template": template}));
        assert_eq!(told(is_between, &job), ["Deployment web"]);

        let mut ended = job.clone();
        ended["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        assert_eq!(told(is_between, &ended), Vec::<String>::new());
        // An old ReplicaSet makes no Pods by itself; what controls it is looked at.
        let mut old = job.clone();
        old["kind"] = json!("ReplicaSet");
        old["metadata"]["ownerReferences"] = json!([{"controller": true, "uid": "uid-web"}]);
        assert_eq!(told(is_between, &old), Vec::<String>::new());
        let apart = maker(
            "Deployment",
            json!({"template": {"metadata": {"labels": {"app": "x"}}}}),
        );
        assert_eq!(told(is_maker, &apart), Vec::<String>::new());
    }

    #[test]
    fn a_job_that_a_cron_job_has_started_is_told_until_it_ends() {
        let with = |status: Value| {
            planned(|scene| {
                let mut nightly = deployment("nightly");
                nightly["apiVersion"] = json!("batch/v1");
                nightly["kind"] = json!("CronJob");
                nightly["spec"] = json!({"suspend": false});
                scene.workloads.push(nightly);
                scene.between.push(json!({
                    "kind": "Job", "status": status,
                    "metadata": {"name": "nightly-1", "uid": "job", "ownerReferences": [
                        {"controller": true, "uid": "uid-nightly"},
                    ]},
                }));
            })
        };
        let told = |plan: &Plan| left(plan).contains(&"nightly-1");
        let running = with(json!({"active": 1}));
        assert!(names(&running).contains(&"CronJob nightly".to_owned()));
        assert!(told(&running));
        let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        assert!(!told(&with(complete)));
    }

    #[test]
    fn a_deployer_in_a_protected_namespace_is_left_and_told() {
        let mut scene = scene();
        scene.deployers.push(flux(7));
        let plan = plan(&web(), &EVERYTHING, &scene);
        let kept = plan
            .clone()
            .without_deployers_in(&["kube-system".to_owned()]);
        assert_eq!(kept, plan);
        let plan = plan.without_deployers_in(&["flux".to_owned()]);
        assert_eq!(
            names(&plan),
            ["NetworkPolicy charttrust-quarantine-web", "Deployment web"]
        );
        assert_eq!(left(&plan), ["web"]);
        assert_eq!(plan.uncontained[0].namespace.as_deref(), Some("flux"));
        assert!(plan.uncontained[0].message.contains("pause it by hand"));
    }

    #[test]
    fn a_workload_that_selects_everything_is_not_isolated() {
        let plan = planned(|scene| scene.workloads[0]["spec"]["selector"] = json!({}));
        assert_eq!(names(&plan), ["Deployment web"]);
        assert_eq!(left(&plan), ["web"]);
    }

    #[test]
    fn what_cannot_be_contained_is_told() {
        let plan = planned(|scene| {
            let objects = &mut scene.listed.as_mut().unwrap().objects;
            objects.push(listed("v1", "Pod", "bare"));
            objects.push(listed("v1", "ConfigMap", "settings"));
            objects.push(listed("kafka.strimzi.io/v1", "Kafka", "events"));
            objects.push(listed("networking.k8s.io/v1", "Ingress", "front"));
            let mut far = listed("apps/v1", "Deployment", "far");
            far.namespace = Some("bank".to_owned());
            objects.push(far);
            let mut made = listed("batch/v1", "Job", "made-");
            made.generated = true;
            objects.push(made);
        });
        assert_eq!(left(&plan), ["far", "made-", "events", "bare"]);
        assert_eq!(plan.uncontained[0].namespace.as_deref(), Some("bank"));
    }

    #[test]
    fn a_listed_workload_that_is_not_there_is_told() {
        let plan = planned(|scene| {
            let objects = &mut scene.listed.as_mut().unwrap().objects;
            objects.push(listed("apps/v1", "StatefulSet", "later"));
        });
        assert_eq!(left(&plan), ["later"]);
    }

    #[test]
    fn a_record_that_lies_elsewhere_contains_no_workload() {
        let plan = planned(|scene| {
            scene.listed.as_mut().unwrap().namespace = "bank".to_owned();
        });
        assert_eq!(names(&plan), Vec::<String>::new());
        assert_eq!(left(&plan), ["web"]);
        let (reason, _) = plan.problem.unwrap();
        assert_eq!(reason, QuarantineReason::OtherNamespace);
    }

    #[test]
    fn without_a_readable_record_nothing_is_planned() {
        for (unlisted, reason) in [
            (Unlisted::NotFound, QuarantineReason::ReleaseNotFound),
            (
                Unlisted::Unreadable("no gzip".to_owned()),
                QuarantineReason::ReleaseUnreadable,
            ),
            (Unlisted::Unfinished, QuarantineReason::ProgressingWithRetry),
        ] {
            let plan = planned(|scene| scene.listed = Err(unlisted));
            assert_eq!(names(&plan), Vec::<String>::new());
            assert_eq!(plan.problem.unwrap().0, reason);
        }
    }

    fn flux(version: u64) -> Value {
        json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"namespace": "flux", "name": "web", "uid": "flux-web"},
            "spec": {},
            "status": {"storageNamespace": "shop", "history": [{"name": "web", "version": version}]},
        })
    }

    #[test]
    fn a_deployer_is_paused_before_all_else_if_it_deployed_this_revision() {
        let plan = planned(|scene| scene.deployers.push(flux(7)));
        assert_eq!(plan.objects[0].kind, "HelmRelease");
        assert_eq!(plan.objects[0].namespace.as_deref(), Some("flux"));
        assert_eq!(plan.objects[0].original, None);
        let older = planned(|scene| scene.deployers.push(flux(6)));
        assert_eq!(older.objects[0].kind, "NetworkPolicy");
        assert_eq!(left(&older), ["web"]);
    }

    #[test]
    fn a_deployer_that_is_not_to_be_paused_is_told_and_one_that_is_paused_stays_so() {
        let told = |suspend: bool, actions: &[QuarantineAction]| {
            let mut scene = scene();
            scene.deployers.push(flux(7));
            scene.deployers[0]["spec"]["suspend"] = json!(suspend);
            plan(&web(), actions, &scene)
        };
        let stop = [QuarantineAction::ScaleToZero];
        assert_eq!(left(&told(false, &stop)), ["web"]);
        assert_eq!(left(&told(true, &stop)), Vec::<&str>::new());
        assert_eq!(names(&told(true, &EVERYTHING)).len(), 2);
    }

    #[test]
    fn an_autoscaler_is_recorded_and_not_changed() {
        let plan = planned(|scene| {
            scene.autoscalers.push(json!({
                "metadata": {"name": "web-hpa"},
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}},
            }));
        });
        assert_eq!(plan.objects[1].autoscaler.as_deref(), Some("web-hpa"));
        assert_eq!(names(&plan).len(), 2);
    }

    #[test]
    fn a_field_too_large_to_be_saved_is_left() {
        let plan = planned(|scene| {
            let owned = json!({"f:spec": {"f:replicas": {"x".repeat(bounds::SAVED): {}}}});
            scene.workloads[0]["metadata"]["managedFields"] =
                json!([{"manager": "a", "time": "now", "fieldsV1": owned}]);
        });
        assert_eq!(names(&plan).len(), 1);
        assert_eq!(left(&plan), ["web"]);
    }
}
