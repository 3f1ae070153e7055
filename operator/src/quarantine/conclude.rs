//! What a `Quarantine` says of itself: pure, from what was recorded and what is there.

use std::fmt::Write as _;

use super::plan::Plan;
use super::standing::Standing;
use super::step::View;
use crate::api::bounds;
use crate::api::chart_trust_policy::QuarantineAction;
use crate::api::conditions::{Condition, QuarantineCondition, Status, find, merge};
use crate::api::quarantine::{ContainedObject, ObjectState, QuarantineState, QuarantineStatus};
use crate::api::reasons::QuarantineReason;

type Saying = ((Status, QuarantineReason), String);

/// The status that saves the originals, before anything is changed.
///
/// Without a readable record nothing is saved, so that the quarantine is planned again.
pub(super) fn planned(view: &View, plan: &Plan) -> QuarantineStatus {
    let must_wait = |reason| {
        matches!(
            reason,
            QuarantineReason::ProgressingWithRetry
                | QuarantineReason::ReleaseNotFound
                | QuarantineReason::ReleaseUnreadable
        )
    };
    if let Some((reason, message)) = plan
        .problem
        .as_ref()
        .filter(|(reason, _)| must_wait(*reason))
    {
        return refused(view, *reason, message);
    }
    let nothing = || {
        let message = "the release has nothing that these actions could contain".to_owned();
        ((Status::False, QuarantineReason::NothingToContain), message)
    };
    let active = match &plan.problem {
        Some((reason, message)) => ((Status::False, *reason), message.clone()),
        None if plan.objects.is_empty() => nothing(),
        None => containing(&plan.objects),
    };
    let mut said = vec![(QuarantineCondition::Active, active)];
    if !plan.shared.is_empty() {
        let message = format!(
            "Pods of others have the same labels: {}",
            plan.shared.join(", ")
        );
        let shared = ((Status::False, QuarantineReason::SelectorShared), message);
        said.push((QuarantineCondition::Isolated, shared));
    }
    let status = QuarantineStatus {
        incident: Some(bounds::fit(&view.incident, bounds::LONG_LIST)),
        objects: plan.objects.clone(),
        uncontained: plan.uncontained.clone(),
        ..view.status.clone()
    };
    finished(view, status, said)
}

/// The status after the changes.
pub(super) fn concluded(view: &View) -> QuarantineStatus {
    let objects = view.status.objects.iter().enumerate();
    let objects: Vec<_> = objects
        .map(|(index, record)| told(view, index, record))
        .collect();
    let mut said = vec![(QuarantineCondition::Active, active(view, &objects))];
    if view
        .spec
        .actions
        .contains(&QuarantineAction::IsolateNetwork)
    {
        said.extend(isolated(view, &objects).map(|said| (QuarantineCondition::Isolated, said)));
    }
    said.extend(contested(&objects).map(|said| (QuarantineCondition::Contested, said)));
    let status = QuarantineStatus {
        objects,
        ..view.status.clone()
    };
    finished(view, status, said)
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

fn told(view: &View, index: usize, record: &ContainedObject) -> ContainedObject {
    let standing = view.standing(index);
    let message = standing
        .message()
        .or_else(|| waiting(view, record, &standing));
    ContainedObject {
        state: standing.state(record),
        message: message.map(|message| bounds::fit(&message, bounds::MESSAGE)),
        ..record.clone()
    }
}

/// What is odd about an object that is as it was recorded.
fn waiting(view: &View, record: &ContainedObject, standing: &Standing) -> Option<String> {
    if view.is_ending || *standing != Standing::Untouched {
        return None;
    }
    let message = match record.state {
        ObjectState::Planned => "does not carry the marks of this release any more, left alone",
        _ => "was put back by others, and stays so",
    };
    Some(message.to_owned())
}

fn active(view: &View, objects: &[ContainedObject]) -> Saying {
    if view.is_ending {
        let message = "what was recorded is put back".to_owned();
        return ((Status::False, QuarantineReason::Restoring), message);
    }
    let before = find(&view.status.conditions, QuarantineCondition::Active);
    let lasting = [
        QuarantineReason::NothingToContain,
        QuarantineReason::OtherNamespace,
        QuarantineReason::Protected,
    ];
    for reason in lasting {
        if let Some(before) = before.filter(|before| before.reason == reason.word()) {
            return ((Status::False, reason), before.message.clone());
        }
    }
    let count = |state| {
        objects
            .iter()
            .filter(|object| object.state == state)
            .count()
    };
    if count(ObjectState::Planned) > 0 {
        return containing(objects);
    }
    match count(ObjectState::Contained) {
        0 => {
            let message = "nothing is as we left it; see status.objects".to_owned();
            ((Status::False, QuarantineReason::ChangedByOthers), message)
        }
        contained => {
            let message = format!(
                "{contained} of {} objects are contained; delete this object to restore them",
                objects.len()
            );
            ((Status::True, QuarantineReason::Contained), message)
        }
    }
}

fn containing(objects: &[ContainedObject]) -> Saying {
    let left = some_of(objects, |object| object.state == ObjectState::Planned);
    let message = format!("still to be contained: {left}");
    ((Status::False, QuarantineReason::Containing), message)
}

fn isolated(view: &View, objects: &[ContainedObject]) -> Option<Saying> {
    let before = find(&view.status.conditions, QuarantineCondition::Isolated);
    let shared = QuarantineReason::SelectorShared;
    if let Some(before) = before.filter(|before| before.reason == shared.word()) {
        return Some(((Status::False, shared), before.message.clone()));
    }
    let denials = || {
        objects
            .iter()
            .filter(|object| object.action == QuarantineAction::IsolateNetwork)
    };
    denials().next()?;
    if !view.allowing.is_empty() {
        let message = format!(
            "NetworkPolicies add up, and these allow traffic to the same Pods: {}",
            view.allowing.join(", ")
        );
        return Some((
            (Status::False, QuarantineReason::OtherPoliciesAllow),
            message,
        ));
    }
    if denials().any(|object| object.state != ObjectState::Contained) {
        let message = "a NetworkPolicy of ours is not there, or was changed".to_owned();
        return Some(((Status::False, QuarantineReason::ChangedByOthers), message));
    }
    let message = "whether the network plugin obeys NetworkPolicies was not checked".to_owned();
    Some(((Status::True, QuarantineReason::TrafficDenied), message))
}

fn contested(objects: &[ContainedObject]) -> Option<Saying> {
    let is = |wanted| move |object: &ContainedObject| object.state == wanted;
    if objects.iter().any(is(ObjectState::Contested)) {
        let message = format!(
            "not touched: {}; set the field to the value it shall have and remove the annotation \
             charttrust.io/quarantine",
            some_of(objects, is(ObjectState::Contested))
        );
        return Some(((Status::True, QuarantineReason::OriginalsDisagree), message));
    }
    if objects.iter().any(is(ObjectState::Kept)) {
        let message = format!(
            "changed by others, kept: {}",
            some_of(objects, is(ObjectState::Kept))
        );
        return Some(((Status::True, QuarantineReason::ChangedByOthers), message));
    }
    None
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
    let ready = said.first().map(|(_, saying)| saying.clone());
    said.extend(ready.map(|saying| (QuarantineCondition::Ready, saying)));
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
        contained: u32::try_from(contained).unwrap_or(u32::MAX),
        conditions,
        ..status
    }
}

fn state(conditions: &[Condition]) -> Option<QuarantineState> {
    let active = find(conditions, QuarantineCondition::Active)?;
    let reason = active.reason.parse().ok()?;
    if find(conditions, QuarantineCondition::Contested).is_some() {
        return Some(QuarantineState::Contested);
    }
    Some(match reason {
        QuarantineReason::Contained => QuarantineState::Active,
        QuarantineReason::Disabled => QuarantineState::Disabled,
        QuarantineReason::Restoring => QuarantineState::Restoring,
        QuarantineReason::NothingToContain
        | QuarantineReason::OtherNamespace
        | QuarantineReason::Protected
        | QuarantineReason::ReleaseNotFound
        | QuarantineReason::ReleaseUnreadable => QuarantineState::Refused,
        _ => QuarantineState::Pending,
    })
}
