//! What deployers and workloads have in common: one field of an object of others is changed, and the
//! annotation of the same patch says what it was.

use json_patch::PatchOperation;
use serde_json::Value;

use super::super::annotation::{self, Annotation, Carried};
use super::super::drift::Drift;
use super::super::observed::{Case, Held};
use super::super::original::Original;
use super::super::planned::{Plan, Runs};
use super::super::saved::{self, Saved};
use super::super::target::Target;
use super::super::view::View;
use super::super::write::Write;
use super::super::{fields, owners, undone};
use crate::api::quarantine::{ContainedObject, ObjectState};

/// What has to be known of an object to put it back, unless it is stopped without us; or why it is
/// not contained.
pub(super) fn before(
    case: &Case,
    object: &Value,
    target: &Target,
) -> Option<Result<Saved, String>> {
    let too_large = || "has a field too large to be saved".to_owned();
    if !target.is_held(object) {
        return Some(Saved::of(object, target).ok_or_else(too_large));
    }
    match Annotation::left_on(object) {
        Carried::Annotation(annotation) if is_held_already(case, &annotation) => None,
        Carried::Annotation(annotation) if is_own(case, &annotation) => {
            Some(Saved::of_annotation(&annotation).ok_or_else(too_large))
        }
        Carried::Annotation(annotation) if case.observed.gone.contains(&annotation.quarantine) => {
            Some(Saved::of_annotation(&annotation).ok_or_else(too_large))
        }
        Carried::Annotation(_) => Some(Err(format!(
            "is held by another Quarantine; should that be gone, charttrust restore {} puts it back",
            case.release
        ))),
        Carried::Nothing => None,
        Carried::Unreadable => Some(Err(
            "is stopped, and its annotation charttrust.io/quarantine cannot be read; set it by \
             hand to what it shall be, and remove the annotation"
                .to_owned(),
        )),
    }
}

fn is_held_already(case: &Case, annotation: &Annotation) -> bool {
    matches!(case.plans.held, Held::Again(own) if own == annotation.quarantine)
}

fn is_own(case: &Case, annotation: &Annotation) -> bool {
    matches!(case.plans.held, Held::Anew(own) if own == annotation.quarantine)
}

/// Records an object, with what it was before.
pub(super) fn record(
    plan: &mut Plan,
    object: &Value,
    target: &Target,
    namespace: Option<&str>,
    before: Option<Result<Saved, String>>,
) {
    let text = |path: &[&str]| fields::text(object, path).map(str::to_owned);
    let name = text(&["metadata", "name"]).unwrap_or_default();
    let saved = match before {
        Some(Ok(saved)) => saved,
        Some(Err(why)) => {
            plan.leave(target.kind, namespace, &name, &why);
            if target.is_workload() && !target.is_held(object) {
                plan.last_runs(Runs::Pods);
            }
            return;
        }
        None => return,
    };
    let mut record = ContainedObject {
        action: target.action,
        api_version: target.api_version(),
        kind: target.kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name,
        uid: text(&["metadata", "uid"]),
        original: None,
        owners: None,
        when_scaled: None,
        left_by: None,
        selector: None,
        autoscaler: None,
        undone: None,
        revision: Some(plan.in_force),
        state: ObjectState::Planned,
        message: None,
    };
    saved.write(&mut record);
    plan.objects.push(record);
}

/// How a recorded object stands; `quarantine` is the uid of the Quarantine that recorded it.
pub(super) fn drift(
    record: &ContainedObject,
    live: Option<&Value>,
    target: &Target,
    quarantine: &str,
) -> Drift {
    let Some(live) = live else {
        return Drift::Gone;
    };
    let is_same = fields::text(live, &["metadata", "uid"]) == record.uid.as_deref();
    if is_same && record.uid.is_some() {
        of_change(record, live, target, quarantine)
    } else {
        of_another(record, live, target, quarantine)
    }
}

/// Another object of that name is none of ours, unless it was made from ours while that was
/// contained: then it is stopped by our change, and nobody else puts it back.
fn of_another(record: &ContainedObject, live: &Value, target: &Target, quarantine: &str) -> Drift {
    match Annotation::carried(live) {
        Carried::Annotation(annotation)
            if annotation.quarantine == quarantine && target.is_held(live) =>
        {
            Drift::Contested(format!(
                "was made again while it was contained, with our annotation; we recorded {}",
                saved::original(record)
            ))
        }
        _ => Drift::Gone,
    }
}

fn of_change(record: &ContainedObject, live: &Value, target: &Target, quarantine: &str) -> Drift {
    if target.is_held(live) {
        return of_held(record, live, target, quarantine);
    }
    let original = saved::original(record);
    let is_value = original.is(target.value(live));
    let guarded = target.guarded(live);
    let is_original = is_value && (guarded.is_none() || record.when_scaled == guarded);
    let annotation = match Annotation::of(live) {
        Carried::Annotation(annotation) if is_of(record, &annotation, quarantine) => {
            Some(annotation)
        }
        Carried::Annotation(_) | Carried::Nothing
            if record.state == ObjectState::Planned && !is_original =>
        {
            let value = Original::of(target.value(live));
            return Drift::ChangedBefore(format!("is {value} by now"));
        }
        _ => None,
    };
    if annotation.is_some() {
        return Drift::Kept(changed_to(live, target), annotation);
    }
    match (is_value, left_guarded(record, live, target)) {
        (true, None) => Drift::Untouched,
        (true, Some(left)) => Drift::Kept(left, None),
        (false, None) => Drift::Kept(changed_to(live, target), None),
        (false, Some(left)) => Drift::Kept(format!("{}; {left}", changed_to(live, target)), None),
    }
}

/// What is to be said of a field that only its annotation could have put back: others have taken that
/// away, or mean what is there.
fn left_guarded(record: &ContainedObject, live: &Value, target: &Target) -> Option<String> {
    let before = record.when_scaled.as_deref();
    let was_changed = record.state != ObjectState::Planned;
    was_changed.then(|| target.is_still_guarded(live, before))?
}

/// Whether this record was contained already. One that a later revision has set again, or that a tool has
/// put back, and that waits to be contained anew, still carries what was written the first time.
fn is_of(record: &ContainedObject, annotation: &Annotation, quarantine: &str) -> bool {
    let is_older = record.state == ObjectState::Planned
        && (annotation.revision != record.revision || undone::is_before(record, &annotation.time));
    annotation.quarantine == quarantine && !is_older
}

/// An object that is as we would set it.
fn of_held(record: &ContainedObject, live: &Value, target: &Target, quarantine: &str) -> Drift {
    let original = saved::original(record);
    match Annotation::of(live) {
        Carried::Annotation(annotation)
            if is_left(record, &annotation) && annotation.original == original =>
        {
            Drift::Adopted(annotation)
        }
        Carried::Annotation(annotation) if annotation.quarantine != quarantine => {
            let message = "carries the mark of another Quarantine; should that be gone, charttrust \
                           restore puts it back as it was before";
            Drift::Contested(message.to_owned())
        }
        Carried::Annotation(annotation) if annotation.original == original => {
            Drift::Contained(annotation)
        }
        Carried::Annotation(annotation) => Drift::Contested(format!(
            "its annotation says that it was {}, we recorded {original}",
            annotation.original
        )),
        Carried::Unreadable => Drift::Contested(format!(
            "its annotation cannot be read; we recorded {original}"
        )),
        Carried::Nothing if owners::is_with_us(live, target.owned) => Drift::Contested(format!(
            "somebody has removed its annotation; we recorded {original}"
        )),
        Carried::Nothing => Drift::Kept(changed_to(live, target), None),
    }
}

/// Whether what an object carries is of the Quarantine from which its original was taken over.
fn is_left(record: &ContainedObject, annotation: &Annotation) -> bool {
    record.state == ObjectState::Planned && record.left_by.as_ref() == Some(&annotation.quarantine)
}

fn changed_to(live: &Value, target: &Target) -> String {
    let value = Original::of(target.value(live));
    let by: Vec<_> = owners::others(live, target.owned);
    if by.is_empty() {
        return format!("is now {value}, and stays so");
    }
    format!("was set to {value} by {}, and stays so", by.join(", "))
}

/// Whether an object is still the release's, where it may be changed.
pub(super) fn is_owned(view: &View, live: &Value, record: &ContainedObject) -> bool {
    let placement = view.placement();
    view.is_at(&placement, record) && placement.owns(live)
}

/// Changes an object that is as it was recorded; one that was changed since is recorded anew first.
pub(super) fn contain(view: &View, index: usize, target: &Target, drift: &Drift) -> Option<Write> {
    let record = view.status.objects.get(index)?;
    if record.state != ObjectState::Planned {
        return None;
    }
    let live = view.live(index)?;
    match drift {
        Drift::Adopted(_) | Drift::Untouched => {
            let operations = operations(view, record, live, target);
            Some(Write::Change(index, operations))
        }
        Drift::ChangedBefore(_) => save_again(view, index, live, target),
        _ => None,
    }
}

/// What an object is now is what it was before we do anything.
fn save_again(view: &View, index: usize, live: &Value, target: &Target) -> Option<Write> {
    let mut status = view.status.clone();
    Saved::of(live, target)?.write(status.objects.get_mut(index)?);
    Some(Write::Status(Box::new(status)))
}

fn operations(
    view: &View,
    record: &ContainedObject,
    live: &Value,
    target: &Target,
) -> Vec<PatchOperation> {
    // The API server compares it with the object, or with what a stopped one carries.
    let when_scaled = if target.is_held(live) {
        record.when_scaled.clone()
    } else {
        target.guarded(live)
    };
    let annotation = Annotation {
        uid: record.uid.clone(),
        revision: record.revision,
        original: saved::original(record),
        when_scaled,
        owners: saved::owners_of(record),
        ..view.annotation()
    };
    let mut operations = vec![
        fields::of_this_version(live),
        fields::set(live, &annotation::PATH, annotation.text()),
    ];
    // The annotation above may have made the place that the field is in.
    let mut marked = live.clone();
    json_patch::patch(&mut marked, &operations).ok();
    operations.extend(target.change(&marked, target.held()));
    operations.extend(target.guarding(&marked));
    operations
}

/// Puts an object back, takes away what is left of us, and then gives back what we own of it.
pub(super) fn restore(view: &View, index: usize, target: &Target, drift: &Drift) -> Option<Write> {
    let record = view.status.objects.get(index)?;
    let live = view.live(index)?;
    let operations = match drift {
        Drift::Contained(annotation) if stays(view, record, live, target, annotation) => {
            setting_free(live, target, annotation)
        }
        Drift::Contained(annotation) | Drift::Adopted(annotation) => {
            let original = annotation.original.clone().into_value();
            restoration(live, target, annotation, original)
        }
        Drift::Kept(_, Some(annotation)) => {
            // The value stays with whoever has changed it.
            unmarking(live, target, annotation)
        }
        Drift::Kept(_, None) | Drift::ChangedBefore(_) | Drift::Untouched => {
            return_of_fields(live, target, &saved::owners_of(record))?
        }
        Drift::Contested(_) | Drift::Gone | Drift::Undone(_) | Drift::Unmade => return None,
    };
    Some(Write::Change(index, operations))
}

/// The first patch of a restore: value and annotation together, if they are still as we left them.
pub(in super::super) fn restoration(
    live: &Value,
    target: &Target,
    annotation: &Annotation,
    value: Option<Value>,
) -> Vec<PatchOperation> {
    let mut operations = unchanged(live);
    operations.extend(target.change(live, value));
    operations.extend(target.unguarding(live, annotation.when_scaled.as_deref()));
    operations.extend(fields::unset(live, &annotation::PATH));
    operations
}

/// Why an object that is contained is not to be put back, for people.
pub(super) fn told(view: &View, index: usize, target: &Target, drift: &Drift) -> Option<String> {
    let Drift::Contained(annotation) = drift else {
        return None;
    };
    let record = view.status.objects.get(index)?;
    let live = view.live(index)?;
    let held = target.held()?;
    stays(view, record, live, target, annotation)
        .then(|| format!("was set to {held} by others too, so it stays so"))
}

/// Whether the field was set by others since, to what it is now anyway: an upgrade that stops a
/// workload means it. The server keeps who applies a field (Helm 4, Flux, Argo CD); Helm 3 sends
/// nothing for a value that is there already, so there the newest record tells.
pub(super) fn stays(
    view: &View,
    record: &ContainedObject,
    live: &Value,
    target: &Target,
    annotation: &Annotation,
) -> bool {
    let listed = view
        .observed
        .as_ref()
        .and_then(|one| one.listed.as_ref().ok());
    let is_stopped = |since| {
        target.is_workload()
            && listed.is_some_and(|listed| listed.stops(&record.kind, &record.name, since))
    };
    is_applied(live, target) || annotation.revision.is_some_and(is_stopped)
}

/// What we set has no other owner, unless somebody else has set the same since.
pub(in super::super) fn is_applied(live: &Value, target: &Target) -> bool {
    target.is_value() && !owners::others(live, target.owned).is_empty()
}

/// Takes away what is left of us, and our part of the field too: its value stays.
fn setting_free(live: &Value, target: &Target, annotation: &Annotation) -> Vec<PatchOperation> {
    let mut operations = unmarking(live, target, annotation);
    let entries = owners::without_us(live, target.owned, &annotation.owners);
    let path = ["metadata", "managedFields"];
    operations.extend(entries.map(|entries| fields::set(live, &path, entries)));
    operations
}

/// Takes away what is left of us, and does not name the field: an audit log would say that we set it.
fn unmarking(live: &Value, target: &Target, annotation: &Annotation) -> Vec<PatchOperation> {
    let mut operations = unchanged(live);
    operations.extend(target.unguarding(live, annotation.when_scaled.as_deref()));
    operations.extend(fields::unset(live, &annotation::PATH));
    operations
}

/// The second patch of a restore: only who owns what.
pub(in super::super) fn return_of_fields(
    live: &Value,
    target: &Target,
    former: &[Value],
) -> Option<Vec<PatchOperation>> {
    let entries = owners::without_us(live, target.owned, former)?;
    let path = ["metadata", "managedFields"];
    Some(vec![
        fields::of_this_version(live),
        fields::set(live, &path, entries),
    ])
}

/// This version, and that very text of the annotation.
fn unchanged(live: &Value) -> Vec<PatchOperation> {
    let carried = fields::value(live, &annotation::PATH).cloned();
    vec![
        fields::of_this_version(live),
        fields::test(&annotation::PATH, carried.unwrap_or_default()),
    ]
}
