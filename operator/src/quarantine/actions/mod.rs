//! The actions of a quarantine, one file each: what it has to know, plans, contains, restores and says.
//! Here is only which file does it.
//!
//! A new action is a file of its own, a row of [`QuarantineAction`] and its arms below; unless it denies traffic,
//! the rights and the fence in the chart too.

mod denial;
mod deployer;
mod field;
mod network;
mod workload;

use kube::api::ApiResource;
use serde_json::Value;

use self::denial::Denial;
use super::annotation::{Annotation, Carried};
use super::drift::Drift;
use super::observed::{Case, Need};
use super::planned::Plan;
use super::target::Target;
use super::view::{Saying, View};
use super::write::Write;
use super::{application, fields, policies, resources, undone};
use crate::api::quarantine::{ContainedObject, Undone};
use crate::api::quarantine_words::{QuarantineAction, QuarantineCondition};

pub(super) use self::field::{is_applied, restoration, return_of_fields};

/// What a record is about.
enum Hold {
    /// One field of an object of others.
    Field(&'static Target),
    /// A `NetworkPolicy` that we make.
    Policy(&'static Denial),
}

impl Hold {
    /// `None` if this version knows no such kind, or not for that action.
    fn of(record: &ContainedObject) -> Option<Self> {
        match record.action {
            QuarantineAction::IsolateNetwork => Some(Self::Policy(&network::DENIAL)),
            QuarantineAction::PauseDeployer | QuarantineAction::ScaleToZero => {
                Target::of_record(record).map(Self::Field)
            }
            QuarantineAction::FreezeUpgrades => None,
        }
    }
}

/// What has to be read for a plan.
pub(super) fn needs(actions: &[QuarantineAction]) -> impl Fn(Need) -> bool {
    let needs = actions.iter().flat_map(|action| match action {
        QuarantineAction::IsolateNetwork => denial::NEEDS,
        QuarantineAction::FreezeUpgrades | QuarantineAction::PauseDeployer => &[],
        QuarantineAction::ScaleToZero => workload::NEEDS,
    });
    let needs: Vec<Need> = needs.copied().collect();
    move |need| needs.contains(&need)
}

/// Plans what is asked for in the namespace of the workloads.
pub(super) fn plan_within(plan: &mut Plan, case: &Case) {
    // In the order of the list, however they were asked for: it numbers the policies.
    let is_asked = |action: &&QuarantineAction| case.actions.contains(action);
    for action in QuarantineAction::ALL.iter().filter(is_asked) {
        match action {
            QuarantineAction::IsolateNetwork => network::DENIAL.plan(plan, case),
            // The one is done by the API server; deployers may lie anywhere, and are told of even if they are not to
            // be paused.
            QuarantineAction::FreezeUpgrades | QuarantineAction::PauseDeployer => (),
            QuarantineAction::ScaleToZero => workload::plan(plan, case),
        }
    }
}

/// Plans what is asked for of the deployers, and tells of those that may undo the rest.
pub(super) fn plan_deployers(plan: &mut Plan, case: &Case) {
    deployer::plan(plan, case);
}

/// The kind of a recorded object, if it is one that may be recorded.
pub(super) fn resource(record: &ContainedObject) -> Option<ApiResource> {
    Some(match Hold::of(record)? {
        Hold::Field(target) => resources::of(target),
        Hold::Policy(_) => resources::policy(),
    })
}

/// How a recorded object stands.
pub(super) fn drift(view: &View, index: usize) -> Drift {
    if let Some(error) = view.errors.get(&index).filter(|one| one.is_unread) {
        return Drift::Contested(error.why.clone());
    }
    let Some(record) = view.status.objects.get(index) else {
        return Drift::Gone;
    };
    let live = view.live(index);
    match Hold::of(record) {
        Some(Hold::Field(target)) => {
            let drift = field::drift(record, live, target, &view.uid);
            or_undone(view, index, target, drift)
        }
        Some(Hold::Policy(denial)) => denial.drift(record, live, &view.release, &view.uid),
        None => {
            let message = "is of a kind that this version does not contain";
            Drift::Contested(message.to_owned())
        }
    }
}

/// The same of an object that a tool has put back: nobody has decided that. The tool that deploys the
/// release goes on rightly where it was not to be paused, or as long as a person lets it.
fn or_undone(view: &View, index: usize, target: &Target, drift: Drift) -> Drift {
    let found = view.status.objects.get(index).zip(view.live(index));
    let Some((record, live)) = found.filter(|_| !view.is_ending) else {
        return drift;
    };
    match undone::by(record, live, target, &drift) {
        Some(tool) if target.is_deployer() || is_paused_for_all(view) => Drift::Undone(tool),
        Some(_) | None => drift,
    }
}

/// Whether what deploys the release was paused, and no person has let any of it go on.
fn is_paused_for_all(view: &View) -> bool {
    let mut deployers = deployers(view).peekable();
    deployers.peek().is_some()
        && deployers
            .all(|index| matches!(drift(view, index), Drift::Contained(_) | Drift::Undone(_)))
}

/// The places of the recorded deployers.
fn deployers(view: &View) -> impl Iterator<Item = usize> {
    let all = view.status.objects.iter().enumerate();
    let is_one = |record: &ContainedObject| record.action == QuarantineAction::PauseDeployer;
    all.filter(move |(_, record)| is_one(record))
        .map(|(index, _)| index)
}

/// What is to be noted of an object that a tool has put back, if it is time to contain it again. What its
/// deployer would put back at once waits for that.
pub(super) fn is_to_be_contained_again(view: &View, index: usize) -> Option<Undone> {
    let due = |index: usize| {
        let record = view.status.objects.get(index)?;
        let Drift::Undone(tool) = drift(view, index) else {
            return None;
        };
        let noted = undone::noted(record, &tool, view.now);
        Some((undone::is_due(&noted, view.now), noted))
    };
    let (is_due, noted) = due(index)?;
    let waits = |index: usize| due(index).is_some_and(|(is_due, _)| !is_due);
    (is_due && !deployers(view).any(waits)).then_some(noted)
}

/// Whether a recorded object is this quarantine's to look at. Whoever may write the status of a Quarantine
/// can name any object there; beyond the namespace of the release, only those count that are its own, or
/// carry what this quarantine has written.
pub(super) fn concerns(view: &View, index: usize, live: &Value) -> bool {
    let Some(record) = view.status.objects.get(index) else {
        return false;
    };
    let namespace = view.namespace_of(record);
    if namespace == view.release.namespace {
        return true;
    }
    let is_its_own = match Hold::of(record) {
        Some(Hold::Field(target)) if target.is_deployer() => {
            deployer::is_owned(view, live, target, record)
        }
        Some(Hold::Field(_)) => {
            field::is_owned(view, live, record) || application::is_named(live, &view.release)
        }
        Some(Hold::Policy(_)) => {
            policies::is_of(live, &view.release) || namespace == view.placement().namespace()
        }
        None => false,
    };
    is_its_own || carries_ours(view, live) || is_known(view, index, live)
}

/// Whether an object carries what this quarantine has written.
fn carries_ours(view: &View, live: &Value) -> bool {
    match Annotation::carried(live) {
        Carried::Annotation(annotation) => annotation.quarantine == view.uid,
        Carried::Nothing | Carried::Unreadable => false,
    }
}

/// Whether it is the object that this run has begun to put back, which carries nothing of us any more.
fn is_known(view: &View, index: usize, live: &Value) -> bool {
    let uid = |object| fields::text(object, &["metadata", "uid"]);
    view.live(index)
        .is_some_and(|known| uid(known) == uid(live))
}

/// Contains an object that was recorded and not changed yet.
pub(super) fn contain(view: &View, index: usize) -> Option<Write> {
    let record = view.status.objects.get(index)?;
    if view.errors.contains_key(&index) {
        return None;
    }
    let drift = drift(view, index);
    match Hold::of(record)? {
        Hold::Field(target) => {
            let live = view.live(index)?;
            let is_owned = match record.action {
                QuarantineAction::FreezeUpgrades | QuarantineAction::IsolateNetwork => false,
                QuarantineAction::PauseDeployer => deployer::is_owned(view, live, target, record),
                QuarantineAction::ScaleToZero => field::is_owned(view, live, record),
            };
            is_owned.then(|| field::contain(view, index, target, &drift))?
        }
        Hold::Policy(denial) => denial.contain(view, index, &drift),
    }
}

/// Puts an object back, takes away what is left of us, and then gives back what we own of it.
pub(super) fn restore(view: &View, index: usize) -> Option<Write> {
    let record = view.status.objects.get(index)?;
    if view.errors.contains_key(&index) || view.goes(record) {
        return None;
    }
    let drift = drift(view, index);
    match Hold::of(record)? {
        Hold::Field(target) => field::restore(view, index, target, &drift),
        Hold::Policy(_) => denial::withdraw(view, index, &drift),
    }
}

/// What is to be said of an object that is as we left it.
pub(super) fn told(view: &View, index: usize, drift: &Drift) -> Option<String> {
    match Hold::of(view.status.objects.get(index)?)? {
        Hold::Field(target) => {
            let told = field::told(view, index, target, drift);
            let is_held = matches!(drift, Drift::Contained(_)) && !view.is_ending;
            let live = view.live(index).filter(|_| is_held);
            told.or_else(|| live.and_then(|live| target.on_return(live).map(str::to_owned)))
        }
        Hold::Policy(_) => None,
    }
}

/// What the actions say beyond how many objects are contained: as planned.
pub(super) fn planned_conditions(view: &View, plan: &Plan) -> Vec<(QuarantineCondition, Saying)> {
    let actions = view.spec.actions.iter();
    let said = actions.filter_map(|action| match action {
        QuarantineAction::IsolateNetwork => network::DENIAL.planned_condition(plan),
        QuarantineAction::FreezeUpgrades
        | QuarantineAction::PauseDeployer
        | QuarantineAction::ScaleToZero => None,
    });
    said.collect()
}

/// The same, after the changes.
pub(super) fn conditions(
    view: &View,
    objects: &[ContainedObject],
) -> Vec<(QuarantineCondition, Saying)> {
    let actions = view.spec.actions.iter();
    let said = actions.filter_map(|action| match action {
        QuarantineAction::IsolateNetwork => network::DENIAL.condition(view, objects),
        QuarantineAction::FreezeUpgrades
        | QuarantineAction::PauseDeployer
        | QuarantineAction::ScaleToZero => None,
    });
    said.collect()
}

/// What will be done to a recorded object, for people.
pub fn preview(record: &ContainedObject) -> String {
    match record.action {
        QuarantineAction::IsolateNetwork => network::DENIAL.preview(record),
        QuarantineAction::FreezeUpgrades => String::new(),
        QuarantineAction::PauseDeployer => deployer::preview(record),
        QuarantineAction::ScaleToZero => workload::preview(record),
    }
}
