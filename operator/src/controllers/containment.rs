//! Decides what a policy contains: which releases are due, and whether they fit its limit.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::check::PolicyVerdict;
use charttrust_verify::policy::{Policy, ReleaseRef};
use charttrust_verify::verdict::{Cause, Class, Verdict};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::time::{Duration, Instant};

use super::world::{Outcomes, Release, Waiting};
use super::{Context, Error, FIELD_MANAGER, Task, ledger, quarantine, release};
use crate::api::Quarantine;
use crate::api::chart_trust_policy::Approval;
use crate::api::conditions::{ReleaseCondition, find};
use crate::api::quarantine::QuarantineSpec;
use crate::inventory::ReleaseId;
use crate::parse::{Containment, LoadedPolicy};
use crate::quarantine::incident::{Ledger, Revocation};
use crate::quarantine::{FINALIZER, limit};
use crate::watch::within_deadline;

/// Decides about every release that the policy applies to, all at once, and starts what is due and
/// fits the limit.
pub(super) async fn decide(
    context: &Context,
    name: &str,
    loaded: &LoadedPolicy,
) -> Result<(), Error> {
    let mut survey = take_survey(context, name, loaded);
    let is_settled = !survey.bad.is_empty()
        && !context.world.is_changing()
        && is_all_judged(context, &loaded.policy);
    if is_settled {
        // Once more, because the first may have missed who was judged meanwhile.
        survey = take_survey(context, name, loaded);
    }
    let mut outcomes = Outcomes {
        active: active(context, name),
        ..Outcomes::default()
    };
    let Some(containment) = &loaded.containment else {
        settle(context, name, &survey, &BTreeMap::new());
        context.world.set_outcomes(name, outcomes);
        return Ok(());
    };
    let candidates = candidates(context, name, containment, &survey).await?;
    let [due, later] = sort(context, name, containment, &candidates);
    let for_a_person = candidates.iter().filter(|one| one.needs_approval).count();
    outcomes.waiting = later.len() + for_a_person;
    settle(context, name, &survey, &waiting(&candidates));
    outcomes.allowance = limit::allowance(&containment.limit, survey.matched.len());
    let decision = Decision {
        due,
        later,
        is_settled,
    };
    let result = act(context, name, loaded, &survey, decision, &mut outcomes).await;
    context.world.set_outcomes(name, outcomes);
    result
}

/// The releases that a policy applies to.
#[derive(Debug, Default)]
struct Survey {
    matched: Vec<ReleaseId>,
    /// Those with a verdict that leads to a quarantine.
    bad: Vec<(ReleaseId, PolicyVerdict)>,
}

/// A release that may be contained.
struct Candidate {
    id: ReleaseId,
    /// Every incident it is in was ended by a person.
    is_released: bool,
    /// A person has to say so: the policy wants it, or two drivers hold records of the release, and
    /// whoever may write the one need not be who may write the other.
    needs_approval: bool,
}

fn take_survey(context: &Context, name: &str, loaded: &LoadedPolicy) -> Survey {
    let mut survey = Survey::default();
    context.world.each_release(|id, release| {
        let Some(said) = said_by(release, name).cloned() else {
            release.bad_since.remove(name);
            release.decisions.remove(name);
            return;
        };
        survey.matched.push(id.clone());
        let containment = loaded.containment.as_ref();
        if containment.is_some_and(|containment| is_reason(containment, said.verdict)) {
            let policy = name.to_owned();
            release.bad_since.entry(policy).or_insert_with(Instant::now);
            survey.bad.push((id.clone(), said));
        } else {
            release.bad_since.remove(name);
        }
    });
    survey
}

/// Whether a verdict leads to a quarantine: proof of badness that the policy names.
fn is_reason(containment: &Containment, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Untrusted(reason) => {
            reason.class() == Class::Badness && containment.reasons.contains(&reason)
        }
        Verdict::Trusted(_) | Verdict::Unknown(_) => false,
    }
}

/// Quarantines that the policy has started and that are in force or on their way.
fn active(context: &Context, name: &str) -> usize {
    let all = context.mirrors.quarantines.all();
    let counts = |object: &Quarantine| {
        object.spec.policy.as_deref() == Some(name) && !contains_nothing(object)
    };
    all.iter()
        .filter(|(_, object)| object.as_ref().as_ref().is_ok_and(counts))
        .count()
}

/// Whether a quarantine holds nothing and never will: what it is to change was saved, and that is
/// nothing.
fn contains_nothing(object: &Quarantine) -> bool {
    let status = object.status.as_ref();
    status.is_some_and(|status| status.incident.is_some() && status.objects.is_empty())
}

/// Bad releases without a quarantine whose revocation can be named.
async fn candidates(
    context: &Context,
    name: &str,
    containment: &Containment,
    survey: &Survey,
) -> Result<Vec<Candidate>, Error> {
    let free = |id: &ReleaseId| {
        context.mirrors.quarantines.find(id).is_none()
            && !quarantine::is_protected(context, &id.namespace)
    };
    let bad: Vec<_> = survey.bad.iter().filter(|(id, ..)| free(id)).collect();
    if bad.is_empty() {
        return Ok(Vec::new());
    }
    let known = ledger::read(context).await?;
    let mut vanished = Vec::new();
    let mut candidates = Vec::new();
    for (id, said) in bad {
        let incidents = incidents(said);
        if incidents.is_empty() {
            tracing::warn!(release = %id, policy = name, "no revocation explains the verdict");
            continue;
        }
        let gone = incidents
            .iter()
            .filter(|incident| known.was_active(incident, id));
        vanished.extend(gone.map(|incident| (incident.clone(), id.clone())));
        let is_over = |incident: &Revocation| {
            known.is_released(incident, id) || known.was_active(incident, id)
        };
        let is_released = incidents.iter().all(is_over);
        let needs_approval =
            containment.approval == Approval::Manual || release::has_two_records(context, id);
        candidates.push(Candidate {
            id: id.clone(),
            is_released,
            needs_approval: needs_approval && !is_released,
        });
    }
    note_vanished(context, vanished).await?;
    Ok(candidates)
}

/// It was seen Active, it is not there, and we have not ended it: somebody did. Asked of the server,
/// because a watch that lags does not show what another replica has made.
async fn note_vanished(
    context: &Context,
    vanished: Vec<(Revocation, ReleaseId)>,
) -> Result<(), Error> {
    if vanished.is_empty() || !context.may_contain() {
        return Ok(());
    }
    let mut gone = Vec::new();
    for (incident, id) in vanished {
        let api = Api::<Quarantine>::namespaced(context.client.clone(), &id.namespace);
        let found = within_deadline(api.get_opt(&id.name)).await;
        let found = found.map_err(|error| Error::Api("read a Quarantine", error))?;
        gone.extend(found.is_none().then_some((incident, id)));
    }
    ledger::change(context, |ledger: &mut Ledger| {
        for (incident, id) in &gone {
            ledger.note_released(incident, id);
        }
    })
    .await
}

/// Whether a policy, as it is now, contains by itself what it says this of.
fn contains(loaded: &LoadedPolicy, said: &PolicyVerdict) -> bool {
    let asks = |containment: &Containment| {
        containment.approval == Approval::Automatic && is_reason(containment, said.verdict)
    };
    !loaded.policy.suspended && loaded.containment.as_ref().is_some_and(asks)
}

/// The incident that a new quarantine of a release is about, if its policy asks for one: one that
/// nobody has ended.
pub(super) async fn incident_of(
    context: &Context,
    id: &ReleaseId,
    policy: &str,
) -> Result<Option<String>, Error> {
    let trust = context.world.trust();
    let release = context.world.release(id).unwrap_or_default();
    let said = said_by(&release, policy);
    let asking = trust.policies.get(policy).zip(said);
    let asking = asking.filter(|(loaded, said)| {
        contains(loaded, said) && !quarantine::is_protected(context, &id.namespace)
    });
    let incidents = asking.map(|(_, said)| incidents(said)).unwrap_or_default();
    if incidents.is_empty() {
        return Ok(None);
    }
    let known = ledger::read(context).await?;
    let open = incidents.iter().find(|one| !known.is_released(one, id));
    Ok(open.map(|one| known.incident(one)))
}

/// Every incident that a release is in, under any policy.
pub(super) fn incidents_of(context: &Context, id: &ReleaseId) -> BTreeSet<Revocation> {
    let release = context.world.release(id).unwrap_or_default();
    let judgement = release.judgement.iter();
    let policies = judgement.flat_map(|judgement| &judgement.policies);
    policies.flat_map(incidents).collect()
}

/// The revocations that a verdict of badness rests on.
fn incidents(said: &PolicyVerdict) -> BTreeSet<Revocation> {
    said.revocations.iter().filter_map(Revocation::of).collect()
}

/// What a policy says of a release.
pub(super) fn said_by<'a>(release: &'a Release, policy: &str) -> Option<&'a PolicyVerdict> {
    let mut said = release.judgement.as_ref()?.policies.iter();
    said.find(|said| said.policy == policy)
}

/// The candidates that are due, and those that will be.
fn sort(
    context: &Context,
    name: &str,
    containment: &Containment,
    candidates: &[Candidate],
) -> [Vec<ReleaseId>; 2] {
    let [mut due, mut later] = [Vec::new(), Vec::new()];
    let automatic = |one: &&Candidate| !one.is_released && !one.needs_approval;
    for candidate in candidates.iter().filter(automatic) {
        let since = context.world.look_at(&candidate.id, |release| {
            release.and_then(|release| release.bad_since.get(name).copied())
        });
        let at = since.unwrap_or_else(Instant::now) + containment.after;
        if at > Instant::now() {
            later.push(candidate.id.clone());
            context
                .queue
                .add_at(Task::PolicyStatus(name.to_owned()), at);
        } else {
            due.push(candidate.id.clone());
        }
    }
    [due, later]
}

fn waiting(candidates: &[Candidate]) -> BTreeMap<ReleaseId, Waiting> {
    let waiting = |candidate: &Candidate| match (candidate.is_released, candidate.needs_approval) {
        (true, _) => Some((candidate.id.clone(), Waiting::Released)),
        (false, true) => Some((candidate.id.clone(), Waiting::ForApproval)),
        (false, false) => None,
    };
    candidates.iter().filter_map(waiting).collect()
}

/// Tells the releases what was decided; those for which it has changed are shown anew.
fn settle(context: &Context, name: &str, survey: &Survey, waiting: &BTreeMap<ReleaseId, Waiting>) {
    for id in &survey.matched {
        let decision = waiting.get(id).copied();
        let before = context.world.update(id, |release| {
            release.decisions.insert(name.to_owned(), decision)
        });
        let is_news = match before {
            Some(before) => before != decision,
            None => decision.is_some() || says_quarantined(context, id),
        };
        if is_news {
            context.queue.add(Task::Release(id.clone()));
        }
    }
}

fn says_quarantined(context: &Context, id: &ReleaseId) -> bool {
    let object = context.mirrors.trusts.find(id);
    let object = object.as_deref().and_then(|object| object.as_ref().ok());
    let status = object.and_then(|object| object.status.as_ref());
    status.is_some_and(|s| find(&s.conditions, ReleaseCondition::Quarantined).is_some())
}

/// What there is to do for a policy.
struct Decision {
    due: Vec<ReleaseId>,
    /// What will be due when it has been bad for long enough.
    later: Vec<ReleaseId>,
    /// Everything that the policy applies to has been judged by the keys and policies of today.
    is_settled: bool,
}

async fn act(
    context: &Context,
    name: &str,
    loaded: &LoadedPolicy,
    survey: &Survey,
    decision: Decision,
    outcomes: &mut Outcomes,
) -> Result<(), Error> {
    let Decision {
        due,
        later,
        is_settled,
    } = decision;
    let Some(containment) = loaded.containment.as_ref().filter(|_| !due.is_empty()) else {
        return Ok(());
    };
    if loaded.policy.suspended || !context.may_contain() {
        outcomes.waiting += due.len();
        return Ok(());
    }
    if !is_settled {
        outcomes.waiting += due.len();
        let again = Instant::now() + LOOK_AGAIN;
        context
            .queue
            .add_at(Task::PolicyStatus(name.to_owned()), again);
        return Ok(());
    }
    // What is bad but not due yet counts too, or many would start a few at a time.
    let (matched, wanted) = (survey.matched.len(), due.len() + later.len());
    if !limit::fits(&containment.limit, matched, outcomes.active, wanted) {
        outcomes.waiting -= later.len();
        outcomes.stopped = due.into_iter().chain(later).collect();
        outcomes.stopped.sort();
        tracing::warn!(policy = name, due = ?outcomes.stopped, "what is due does not fit the limit");
        return Ok(());
    }
    outcomes.active += due.len();
    let mut result = Ok(());
    for id in due {
        let said = survey.bad.iter().find(|(bad, _)| *bad == id);
        let word = said.map_or("", |(_, said)| said.verdict.word());
        if let Err(error) = start(context, &id, name, word, containment).await {
            result = Err(error);
        }
    }
    result
}

/// How soon to look again whether everything was judged.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Whether every release that the policy selects was judged by the keys and policies of today. Those
/// that came after the start hold nobody up while their first look is under way, and none does for ever:
/// a record that cannot be fetched is `Pending` as long as that lasts.
fn is_all_judged(context: &Context, policy: &Policy) -> bool {
    context.recorded().into_iter().all(|id| {
        let labels = context.namespace_labels(&id.namespace);
        let reference = ReleaseRef {
            namespace: &id.namespace,
            namespace_labels: labels.as_deref(),
            name: &id.name,
        };
        if !policy.selection.selects(&reference) {
            return true;
        }
        let pending = Verdict::Unknown(Cause::Pending);
        let is_new = context.present.get().is_some_and(|all| !all.contains(&id));
        context.world.look_at(&id, |release| {
            let judgement = release.and_then(|release| release.judgement.as_ref());
            let since = release.and_then(|release| release.pending_since);
            let is_given_up = since.is_some_and(|since| is_long(since, Instant::now()));
            let is_passed_over = is_new || is_given_up;
            let is_judged = judgement.is_some_and(|j| is_passed_over || j.verdict != pending);
            is_judged && release.is_some_and(|release| !release.judgings.are_open())
        })
    })
}

/// Whether a release has been `Pending` for so long that nobody waits for it any more.
fn is_long(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= LONGEST_HOLD_UP
}

/// How long one release may keep others from being contained.
const LONGEST_HOLD_UP: Duration = Duration::from_secs(300);

/// Creates the Quarantine, with our finalizer on it from the first moment.
async fn start(
    context: &Context,
    id: &ReleaseId,
    policy: &str,
    word: &str,
    containment: &Containment,
) -> Result<(), Error> {
    let spec = QuarantineSpec {
        actions: containment.actions.clone(),
        reason: format!("{word} under policy {policy}"),
        policy: Some(policy.to_owned()),
    };
    let object = Quarantine {
        metadata: ObjectMeta {
            name: Some(id.name.clone()),
            namespace: Some(id.namespace.clone()),
            finalizers: Some(vec![FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    };
    let api = Api::<Quarantine>::namespaced(context.client.clone(), &id.namespace);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    };
    tracing::warn!(release = %id, policy, word, "a quarantine starts");
    match within_deadline(api.create(&params, &object)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(Error::Api("create a Quarantine", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_others_up_for_ever() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert!(!is_long(now, now));
        assert!(!is_long(now, now + LONGEST_HOLD_UP - second));
        assert!(is_long(now, now + LONGEST_HOLD_UP));
        assert!(!is_long(now + second, now));
    }
}
