//! What a policy says of quarantines that are due and have not begun.

use std::collections::BTreeMap;

use super::super::door::State;
use crate::api::conditions::Status;
use crate::api::reasons::PolicyReason;
use crate::controllers::store::Outcomes;
use crate::inventory::ReleaseId;

/// That what is due does not fit: all of it by name, by namespace, and the way on.
pub(super) fn stopped(outcomes: &Outcomes) -> Option<State> {
    let in_all = (!outcomes.stopped.is_empty()).then(|| {
        format!(
            "{} are due, {} may be contained at a time and {} are, so none starts; {WAY_ON} Due: {}",
            outcomes.stopped.len(),
            outcomes.allowance,
            outcomes.active,
            by_namespace(&outcomes.stopped)
        )
    });
    let in_one = (!outcomes.crowded.is_empty()).then(|| {
        format!(
            "{} are due in namespaces in which only {} may be contained at a time, so none of those \
             starts; {WAY_ON} Due: {}",
            outcomes.crowded.len(),
            outcomes.per_namespace,
            by_namespace(&outcomes.crowded)
        )
    });
    let reason = if in_all.is_some() || in_one.is_some() {
        PolicyReason::LimitReached
    } else {
        PolicyReason::StartFailed
    };
    let told = [in_all, in_one, failed(outcomes)];
    let told: Vec<_> = told.into_iter().flatten().collect();
    (!told.is_empty()).then(|| ((Status::True, reason), told.join(". ")))
}

const WAY_ON: &str = "raise spec.quarantine.limit, or run charttrust quarantine --key NAME.";

/// That what is due could not be started: all of it by name, why, and the way on.
fn failed(outcomes: &Outcomes) -> Option<String> {
    let why = outcomes.failed.values().next()?;
    let ids: Vec<_> = outcomes.failed.keys().cloned().collect();
    Some(format!(
        "{} are due and could not be contained; it is tried again, or contain them with charttrust \
         quarantine; {why}. Due: {}",
        ids.len(),
        by_namespace(&ids)
    ))
}

/// `shop/a,b bank/c`: short, so that many fit into a message.
fn by_namespace(releases: &[ReleaseId]) -> String {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for release in releases {
        all.entry(&release.namespace)
            .or_default()
            .push(&release.name);
    }
    let one = |(namespace, names): (&str, Vec<&str>)| format!("{namespace}/{}", names.join(","));
    all.into_iter().map(one).collect::<Vec<_>>().join(" ")
}
