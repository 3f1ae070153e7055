//! What a `Quarantine` says of itself: pure, from what was recorded and what is there.

use std::fmt::Write as _;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::drift::Drift;
use super::planned::{NO_ROOM, Plan};
use super::pod::Pod;
use super::view::{Saying, View};
use super::{actions, again, fields, freeze, pods, undone};
use crate::api::bounds;
use crate::api::conditions::{Condition, Status, find, merge};
use crate::api::quarantine::{
    ContainedObject, ObjectState, QuarantineState, QuarantineStatus, UncontainedObject, Undone,
};
use crate::api::quarantine_words::{QuarantineAction, QuarantineCondition, QuarantineReason};

/// The status that saves the originals, before anything is changed.
///
/// Without a readable record nothing is saved, so that the quarantine is planned again.
pub(super) fn planned(view: &View, plan: &Plan) -> QuarantineStatus {
    if let Some((reason, message)) = plan.problem.as_ref().filter(|_| again::is_unknown(plan)) {
        let release_missing_at = missing_at(view, *reason);
        // Helm at work on a new release must not wipe out that there was none.
        let reason = match release_missing_at {
            Some(_) => QuarantineReason::ReleaseNotFound,
            None => *reason,
        };
        return QuarantineStatus {
            release_missing_at,
            ..refused(view, reason, message)
        };
    }
    if let Some(message) = came_later(view) {
        return refused(view, QuarantineReason::ReleaseNotFound, &message);
    }
    let nothing = || {
        let mut message = "the release has nothing that these actions could contain".to_owned();
        if plan.left_out > 0 {
            message.push_str("; ");
            message.push_str(&left_out(plan.left_out, &plan.uncontained));
        }
        ((Status::False, QuarantineReason::NothingToContain), message)
    };
    let nothing = || {
        if plan.left_out > 0 || !freeze::holds(view) {
            return nothing();
        }
        let message = "its upgrades are refused, and it has nothing else to contain".to_owned();
        ((Status::True, QuarantineReason::Contained), message)
    };
    let active = match &plan.problem {
        Some((reason, message)) => ((Status::False, *reason), message.clone()),
        None if plan.objects.is_empty() => match awaiting(view, &plan.uncontained) {
            Some(waiting) => ((Status::False, QuarantineReason::AwaitingApproval), waiting),
            None => nothing(),
        },
        None => containing(&plan.objects),
    };
    let mut said = vec![(QuarantineCondition::Active, active)];
    said.extend(actions::planned_conditions(view, plan));
    let status = QuarantineStatus {
        incident: Some(bounds::fit(&view.incident.to_string(), bounds::LONG_LIST)),
        objects: plan.objects.clone(),
        uncontained: plan.uncontained.clone(),
        left_out: number(plan.left_out),
        ..view.status.clone()
    };
    finished(view, status, said)
}

/// A person's word is about the release that was there when it was given, and no later one of that
/// name.
fn came_later(view: &View) -> Option<String> {
    let listed = view.observed.as_ref()?.listed.as_ref().ok()?;
    let (installed, created) = (listed.installed?, view.created?);
    let tolerance = match view.status.release_missing_at {
        Some(_) => SignedDuration::ZERO,
        None => TOLERANCE,
    };
    let is_later = installed > created.checked_add(tolerance).ok()?;
    (is_later && view.spec.policy.is_none()).then(|| {
        format!(
            "release {} was installed at {installed}, after this Quarantine was made; delete this \
             object and create it again to contain that one",
            view.release
        )
    })
}

/// When a person asked for this and there was no release. Once known it stays known.
fn missing_at(view: &View, reason: QuarantineReason) -> Option<Time> {
    let is_missing = view.spec.policy.is_none() && reason == QuarantineReason::ReleaseNotFound;
    let now = is_missing.then(|| crate::api::time(view.now));
    view.status.release_missing_at.clone().or(now)
}

/// Whoever installs has another clock than the API server.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// The status after the changes.
pub(super) fn concluded(view: &View) -> QuarantineStatus {
    let objects = view.status.objects.iter().enumerate();
    let objects: Vec<_> = objects
        .map(|(index, record)| with_state(view, index, record))
        .collect();
    let status = QuarantineStatus {
        objects,
        ..left_as_it_is(view)
    };
    let mut said = vec![(QuarantineCondition::Active, active(view, &status))];
    said.extend(actions::conditions(view, &status.objects));
    said.extend(
        contested(view, &status.objects).map(|said| (QuarantineCondition::Contested, said)),
    );
    finished(view, status, said)
}

/// What is left out, by the newest plan; what was said of it before, where there is none.
fn left_as_it_is(view: &View) -> QuarantineStatus {
    let status = view.status.clone();
    let Some(plan) = view.plan.as_ref().filter(|plan| !again::is_unknown(plan)) else {
        return status;
    };
    let running = running(view).len();
    if again::is_later(view, plan) {
        return QuarantineStatus {
            running: number(running),
            ..later(view, plan, status)
        };
    }
    let mut uncontained = plan.uncontained.clone();
    let over: Vec<_> = again::unrecorded(view, plan).collect();
    let room = bounds::LONG_LIST.saturating_sub(over.len().min(NAMED));
    uncontained.truncate(room);
    uncontained.extend(over.iter().take(NAMED).map(|one| UncontainedObject {
        kind: one.kind.clone(),
        namespace: one.namespace.clone(),
        name: one.name.clone(),
        message: NO_ROOM.to_owned(),
        runs: true,
        waits_for: None,
    }));
    QuarantineStatus {
        uncontained,
        left_out: number(plan.left_out.saturating_add(over.len())),
        running: number(running),
        ..status
    }
}

/// A later revision that nobody says is bad is not contained, and that is said.
fn later(view: &View, plan: &Plan, status: QuarantineStatus) -> QuarantineStatus {
    let left = UncontainedObject {
        kind: "Release".to_owned(),
        namespace: None,
        name: bounds::fit(&view.release.name, bounds::NAME),
        message: format!(
            "revision {} came after this quarantine and is not contained; create it again to contain \
             that one too",
            plan.revision
        ),
        runs: true,
        waits_for: None,
    };
    let mut uncontained = status.uncontained;
    uncontained.retain(|one| one.kind != left.kind);
    uncontained.truncate(bounds::LONG_LIST - 1);
    uncontained.push(left);
    QuarantineStatus {
        left_out: number(uncontained.iter().filter(|one| one.runs).count()),
        uncontained,
        ..status
    }
}

/// Pods of the release that go on though its workloads are stopped.
fn running(view: &View) -> Vec<&Pod> {
    let stops = view.spec.actions.contains(&QuarantineAction::ScaleToZero);
    let Some(observed) = view.observed.as_ref().filter(|_| stops) else {
        return Vec::new();
    };
    let placement = view.placement();
    let listed = observed.listed(&placement);
    listed.map_or(Vec::new(), |listed| pods::running(&listed, observed))
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The status of a quarantine that is not begun, or not looked after.
pub fn refused(view: &View, reason: QuarantineReason, message: &str) -> QuarantineStatus {
    let active = ((Status::False, reason), message.to_owned());
    finished(
        view,
        view.status.clone(),
        vec![(QuarantineCondition::Active, active)],
    )
}

/// Whether the finalizer has to stay for an object. A namespace that goes is not held up by what
/// only a person can mend: what lies elsewhere carries its original, and `charttrust restore`
/// finds it.
pub(super) fn holds(view: &View, index: usize) -> bool {
    let error = view.errors.get(&index);
    if view.is_going {
        let record = view.status.objects.get(index);
        let is_elsewhere = record.is_some_and(|record| !view.goes(record));
        return is_elsewhere && error.is_some_and(|error| error.is_passing);
    }
    error.is_some() || matches!(actions::drift(view, index), Drift::Contested(_))
}

/// Whether we have put back what we had changed.
fn is_put_back(view: &View, record: &ContainedObject, drift: &Drift) -> bool {
    let was_ours = matches!(
        record.state,
        ObjectState::Contained | ObjectState::Contested | ObjectState::Restored
    );
    view.is_ending && was_ours && drift.is_put_back()
}

fn with_state(view: &View, index: usize, record: &ContainedObject) -> ContainedObject {
    let drift = actions::drift(view, index);
    let error = view.errors.get(&index);
    let withdrawn = view
        .foreign_pods
        .get(&index)
        .map(|other| format!("its labels select {other} of another owner too, so it is withdrawn"));
    let message = error
        .map(|error| error.why.clone())
        .or_else(|| withdrawn.clone())
        .or_else(|| drift.message())
        .or_else(|| actions::told(view, index, &drift))
        .or_else(|| waiting(view, record, &drift));
    let is_unread = error.is_some_and(|error| {
        error.is_unread && (error.is_passing || record.state == ObjectState::Planned)
    });
    let is_over = record.state == ObjectState::Restored && drift.is_absent();
    let state = if is_unread || is_over {
        // What was put back and is gone since was put back.
        record.state
    } else if is_put_back(view, record, &drift) {
        ObjectState::Restored
    } else if withdrawn.is_some() && drift.is_absent() || is_going(view, index) {
        // It is made again when none is left.
        ObjectState::Planned
    } else {
        drift.state(record)
    };
    ContainedObject {
        state,
        undone: undone::of(record, &drift, view.now),
        message: message.map(|message| bounds::fit(&message, bounds::MESSAGE)),
        ..record.clone()
    }
}

/// Whether we have withdrawn a policy, and somebody still keeps it.
fn is_going(view: &View, index: usize) -> bool {
    let record = view.status.objects.get(index);
    let is_withdrawn = record.is_some_and(|record| {
        let is_planned = record.state == ObjectState::Planned;
        record.selector.is_some() && (is_planned || view.foreign_pods.contains_key(&index))
    });
    is_withdrawn && view.live(index).is_some_and(fields::is_being_deleted)
}

/// What is odd about an object that is as it was recorded.
fn waiting(view: &View, record: &ContainedObject, drift: &Drift) -> Option<String> {
    if view.is_ending || *drift != Drift::Untouched {
        return None;
    }
    let message = match record.state {
        ObjectState::Planned => "does not carry the marks of this release any more, left alone",
        _ => "was put back by others, and stays so",
    };
    Some(message.to_owned())
}

fn active(view: &View, status: &QuarantineStatus) -> Saying {
    let objects = status.objects.as_slice();
    if view.is_ending {
        return (
            (Status::False, QuarantineReason::Restoring),
            restoring(view, objects),
        );
    }
    if let Some(lasting) = lasting(view, objects) {
        return lasting;
    }
    let of = |state| move |object: &&ContainedObject| object.state == state;
    let count = |state| objects.iter().filter(of(state)).count();
    if count(ObjectState::Planned) > 0 {
        return containing(objects);
    }
    let contained = count(ObjectState::Contained);
    let so_far = format!("{contained} of {} objects are contained", objects.len());
    if let Some(tools) = put_back_by_tools(objects, |one| one.state == ObjectState::Kept) {
        let message = format!("{so_far}; put back by tools: {tools}; contained again in a while");
        return ((Status::False, QuarantineReason::Undone), message);
    }
    let is_at_work = |object: &ContainedObject| {
        object.state == ObjectState::Kept && object.action == QuarantineAction::ScaleToZero
    };
    if contained == 0 && !objects.is_empty() {
        let message = "nothing is as we left it; see status.objects".to_owned();
        return ((Status::False, QuarantineReason::ChangedByOthers), message);
    }
    if objects.iter().any(is_at_work) {
        let message = format!(
            "{so_far}; others run again: {}",
            some_of(objects, is_at_work)
        );
        return ((Status::False, QuarantineReason::ChangedByOthers), message);
    }
    if let Some(waiting) = awaiting(view, &status.uncontained) {
        let message = format!("{so_far}; {waiting}");
        return ((Status::False, QuarantineReason::AwaitingApproval), message);
    }
    if let Ok(left @ 1..) = usize::try_from(status.left_out) {
        let message = format!("{so_far}; {}", left_out(left, &status.uncontained));
        return ((Status::False, QuarantineReason::PartlyContained), message);
    }
    if status.running > 0 {
        let message = format!(
            "{so_far}; {} Pods still run or end: {}",
            status.running,
            some_pods(view)
        );
        return ((Status::False, QuarantineReason::Containing), message);
    }
    let message = format!("{so_far}; delete this object to restore them");
    ((Status::True, QuarantineReason::Contained), message)
}

/// What was said before and stays so: nothing could be contained at all.
fn lasting(view: &View, objects: &[ContainedObject]) -> Option<Saying> {
    let before = find(&view.status.conditions, QuarantineCondition::Active)?;
    let reasons = [
        QuarantineReason::NothingToContain,
        QuarantineReason::OtherNamespace,
        QuarantineReason::Protected,
    ];
    // What appears later is contained too, so that only lasts while there is nothing.
    let is_over = |reason| reason == QuarantineReason::NothingToContain && !objects.is_empty();
    let said = |reason: &QuarantineReason| before.reason == reason.word() && !is_over(*reason);
    let reason = reasons.into_iter().find(said)?;
    Some(((Status::False, reason), before.message.clone()))
}

/// What waits for a person, and how one says it.
fn awaiting(view: &View, uncontained: &[UncontainedObject]) -> Option<String> {
    let one = |left: &UncontainedObject| {
        let served = left.waits_for.as_ref()?;
        Some(format!("{} {} serves {served}", left.kind, left.name))
    };
    let all: Vec<_> = uncontained.iter().filter_map(one).collect();
    let named: Vec<_> = all.iter().take(NAMED).map(String::as_str).collect();
    (!all.is_empty()).then(|| {
        format!(
            "{} run on, because they block others while they do not answer: {}; charttrust quarantine \
             {} --reason TEXT approves that they are stopped too",
            all.len(),
            named.join(", "),
            view.release
        )
    })
}

fn left_out(number: usize, uncontained: &[UncontainedObject]) -> String {
    let running = uncontained.iter().filter(|one| one.runs);
    let named: Vec<_> = running
        .take(NAMED)
        .map(|one| format!("{} {}", one.kind, one.name))
        .collect();
    let named = named.join(", ");
    format!("{number} left out that run or may run: {named}; see status.uncontained")
}

fn some_pods(view: &View) -> String {
    let running = running(view).into_iter().take(NAMED);
    let named: Vec<_> = running.map(|pod| pod.name.as_str()).collect();
    named.join(", ")
}

fn restoring(view: &View, objects: &[ContainedObject]) -> String {
    let held: Vec<_> = objects
        .iter()
        .enumerate()
        .filter(|(index, object)| {
            view.errors.contains_key(index) || object.state == ObjectState::Contested
        })
        .map(|(_, object)| object.clone())
        .collect();
    if held.is_empty() {
        return "what was recorded is put back".to_owned();
    }
    format!("still to be put back: {}", some_of(&held, |_| true))
}

fn containing(objects: &[ContainedObject]) -> Saying {
    let left = some_of(objects, |object| object.state == ObjectState::Planned);
    let message = format!("still to be contained: {left}");
    ((Status::False, QuarantineReason::Containing), message)
}

fn contested(view: &View, objects: &[ContainedObject]) -> Option<Saying> {
    let is = |wanted| move |object: &ContainedObject| object.state == wanted;
    let (hindered, free) = apart(view, objects);
    if free.iter().any(is(ObjectState::Contested)) {
        let message = format!(
            "not touched: {}; set the field to the value it shall have and remove the annotation \
             charttrust.io/quarantine",
            some_of(&free, is(ObjectState::Contested))
        );
        return Some(((Status::True, QuarantineReason::OriginalsDisagree), message));
    }
    if !hindered.is_empty() {
        let verb = if view.is_ending {
            "put back"
        } else {
            "contained"
        };
        let message = format!(
            "cannot be {verb}, and is tried again: {}",
            some_of(&hindered, |_| true)
        );
        return Some(((Status::True, QuarantineReason::ObjectRefused), message));
    }
    let is_kept = |one: &ContainedObject| one.state == ObjectState::Kept && one.undone.is_none();
    let kept = objects.iter().any(is_kept).then(|| {
        let kept = some_of(objects, is_kept);
        format!("changed by others, kept: {kept}")
    });
    let Some(tools) = put_back_by_tools(objects, |_| true) else {
        return kept.map(|kept| ((Status::True, QuarantineReason::ChangedByOthers), kept));
    };
    let tools = format!(
        "put back by tools, which nobody has decided, and contained again after a longer pause each time: \
         {tools}; suspend those tools, or end this quarantine by charttrust restore {}",
        view.release
    );
    let message = kept.map_or_else(|| tools.clone(), |kept| format!("{tools}; {kept}"));
    Some(((Status::True, QuarantineReason::Undone), message))
}

/// What tools have put back, each with how often.
fn put_back_by_tools(
    objects: &[ContainedObject],
    wanted: impl Fn(&ContainedObject) -> bool,
) -> Option<String> {
    let told = objects.iter().filter(|one| wanted(one)).filter_map(|one| {
        let Undone { by, times, .. } = one.undone.as_ref()?;
        let ContainedObject { kind, name, .. } = one;
        Some(format!("{kind} {name} by {by} ({times} times)"))
    });
    let told: Vec<_> = told.collect();
    let named: Vec<_> = told.iter().take(NAMED).map(String::as_str).collect();
    let more = match told.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!told.is_empty()).then(|| format!("{}{more}", named.join(", ")))
}

/// The objects that the server will not let be read or written, and all others.
fn apart(view: &View, objects: &[ContainedObject]) -> (Vec<ContainedObject>, Vec<ContainedObject>) {
    let is_hindered = |index: usize| {
        let error = view.errors.get(&index);
        error.is_some_and(|error| !error.is_passing)
    };
    let all = objects.iter().cloned().enumerate();
    let (hindered, free): (Vec<_>, Vec<_>) = all.partition(|(index, _)| is_hindered(*index));
    let objects =
        |all: Vec<(usize, ContainedObject)>| all.into_iter().map(|(_, one)| one).collect();
    (objects(hindered), objects(free))
}

/// How many objects a message names.
const NAMED: usize = 4;

fn some_of(objects: &[ContainedObject], wanted: impl Fn(&ContainedObject) -> bool) -> String {
    let found: Vec<_> = objects.iter().filter(|object| wanted(object)).collect();
    let mut text = String::new();
    for object in found.iter().take(NAMED) {
        let comma = if text.is_empty() { "" } else { ", " };
        // Invariant: writing to a String does not fail.
        let _ = write!(text, "{comma}{} {}", object.kind, object.name);
        if let Some(message) = &object.message {
            let _ = write!(text, " ({message})");
        }
    }
    if found.len() > NAMED {
        let _ = write!(text, " and {} more", found.len() - NAMED);
    }
    text
}

/// Adds what follows from the rest: conditions that sum up, the state in a word, the count.
fn finished(
    view: &View,
    status: QuarantineStatus,
    mut said: Vec<(QuarantineCondition, Saying)>,
) -> QuarantineStatus {
    let active = said.first().map(|(_, saying)| saying.clone());
    let hindrance = active.as_ref().and_then(hindrance);
    said.extend(hindrance);
    said.extend(freeze::said(view));
    said.extend(active.map(|saying| (QuarantineCondition::Ready, saying)));
    let condition = |(type_, (state, message)): (QuarantineCondition, Saying)| {
        Condition::new(type_, state, message, view.generation, view.now)
    };
    let conditions = merge(
        &view.status.conditions,
        said.into_iter().map(condition).collect(),
    );
    let contained = status
        .objects
        .iter()
        .filter(|object| object.state == ObjectState::Contained)
        .count();
    QuarantineStatus {
        observed_generation: Some(view.generation),
        state: state(&conditions),
        actions: Some(bounds::fit(&in_words(&view.spec.actions), bounds::NAME)),
        contained: u32::try_from(contained).unwrap_or(u32::MAX),
        conditions,
        ..status
    }
}

fn in_words(actions: &[QuarantineAction]) -> String {
    let mut actions = actions.to_vec();
    // As they are done, however they were asked for.
    actions.sort_unstable();
    let words: Vec<_> = actions.iter().map(|action| action.word()).collect();
    words.join(", ")
}

/// What is abnormal about a quarantine that is not in force: it is on its way, or a person is wanted.
fn hindrance(((status, reason), message): &Saying) -> Option<(QuarantineCondition, Saying)> {
    let goes_on = [
        QuarantineReason::Containing,
        QuarantineReason::ProgressingWithRetry,
        QuarantineReason::Restoring,
        QuarantineReason::Undone,
    ];
    let type_ = match reason {
        _ if *status == Status::True => return None,
        reason if goes_on.contains(reason) => QuarantineCondition::Reconciling,
        _ => QuarantineCondition::Stalled,
    };
    Some((type_, ((Status::True, *reason), message.clone())))
}

fn state(conditions: &[Condition]) -> Option<QuarantineState> {
    let active = find(conditions, QuarantineCondition::Active)?;
    let reason = active.reason.parse().ok()?;
    if find(conditions, QuarantineCondition::Contested).is_some() {
        return Some(QuarantineState::Contested);
    }
    Some(match reason {
        QuarantineReason::Contained => QuarantineState::Active,
        QuarantineReason::AwaitingApproval | QuarantineReason::PartlyContained => {
            QuarantineState::Partial
        }
        QuarantineReason::Disabled => QuarantineState::Disabled,
        QuarantineReason::Restoring => QuarantineState::Restoring,
        QuarantineReason::MadeByOthers
        | QuarantineReason::NothingToContain
        | QuarantineReason::OtherNamespace
        | QuarantineReason::Protected
        | QuarantineReason::ReleaseNotFound
        | QuarantineReason::ReleaseUnreadable => QuarantineState::Refused,
        _ => QuarantineState::Pending,
    })
}
