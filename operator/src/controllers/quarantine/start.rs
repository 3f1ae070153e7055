//! Has a policy decide about its quarantines, remembers what was decided, and begins what is due.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use charttrust_verify::check::PolicyVerdict;
use futures::StreamExt as _;
use kube::api::ObjectMeta;
use kube::{Api, ResourceExt as _};

use super::decide::{self, AGAIN, Decision, decide};
use super::{incidents, made, scope, stands, survey};
use crate::api::conditions::{ReleaseCondition, find};
use crate::api::quarantine::QuarantineSpec;
use crate::api::quarantine_words::QuarantineAction;
use crate::api::{Quarantine, create_params};
use crate::clock::Moment;
use crate::controllers::context::Context;
use crate::controllers::error::{Error, chain};
use crate::controllers::shares::signers;
use crate::controllers::store::seal::Seal;
use crate::controllers::store::shares::Surveyed;
use crate::controllers::store::{Outcomes, Release, Waiting};
use crate::controllers::task::Task;
use crate::inventory::ReleaseId;
use crate::parse::{LoadedPolicy, QuarantineTerms};
use crate::quarantine::FINALIZER;
use crate::quarantine::incident::Incidents;
use crate::watch::within_deadline;

/// Decides about every release that the policy applies to, and starts what is due and fits the limit.
/// Whatever fails, what became of it is counted and shown in the policy's status.
pub(in crate::controllers) async fn reconcile(
    context: &Context,
    name: &str,
    moment: Moment,
) -> Result<(), Error> {
    let trust = context.store.trust();
    let result = match trust.policies.get(name) {
        Some(loaded) => Box::pin(decide_for(context, name, loaded, moment)).await,
        None => Ok(()),
    };
    context
        .queues
        .tasks
        .add(Task::PolicyStatus(name.to_owned()));
    result
}

async fn decide_for(
    context: &Context,
    name: &str,
    loaded: &LoadedPolicy,
    moment: Moment,
) -> Result<(), Error> {
    // Before anything is looked at: what changes meanwhile makes it another.
    let signers = context.share.as_ref().map(|_| signers(context));
    let survey = survey::gather(context, name, loaded, moment).await;
    let decision = decide(&survey, loaded, moment);
    // A set: each of ten thousand releases is looked for in it.
    let matched: BTreeSet<_> = survey.matched.into_iter().map(|one| one.id).collect();
    note(context, name, &matched, &decision);
    let is_settled = survey.is_settled && survey.remembered.is_ok();
    offer(
        context,
        (name, loaded),
        (is_settled, signers),
        &decision,
        moment,
    );
    let mut outcomes = decision.outcomes.clone();
    let remembered = remember(context, &decision).await;
    let started = match &loaded.quarantine {
        Some(terms) if !decision.starts.is_empty() => {
            let (begun, ids) = (&context.store.begun, || {
                decision.starts.iter().map(|(id, _)| id)
            });
            begun.note(ids(), moment.tick);
            let started = start_confirmed(context, name, (loaded, terms), &decision, &mut outcomes);
            let started = started.await;
            if started.is_err() {
                begun.forget(ids());
            }
            started
        }
        Some(_) | None => Ok(()),
    };
    note_refused(context, name, &outcomes);
    let failure = outcomes.failed.values().next().cloned();
    context.store.set_outcomes(name, outcomes);
    remembered.and(started)?;
    // Nothing could be decided: it is tried again.
    survey
        .remembered
        .map(drop)
        .map_err(|why| Error::Quarantine(failure.unwrap_or(why)))
}

/// Keeps what is due here for whoever decides, where several replicas share the work. Until everything is judged it
/// is looked at again.
fn offer(
    context: &Context,
    (name, loaded): (&str, &LoadedPolicy),
    (is_settled, by): (bool, Option<String>),
    decision: &Decision,
    moment: Moment,
) {
    let Some(by) = by else { return };
    let is_settled = is_settled && by == signers(context);
    let shares = &context.store.shares;
    let since = shares.surveyed(name).unsettled_since.unwrap_or(moment.tick);
    let surveyed = Surveyed {
        generation: loaded.generation,
        signers: by,
        is_settled,
        unsettled_since: (!is_settled).then_some(since),
        due: decision.offer.told(decision.outcomes.waiting),
    };
    shares.note(name, surveyed);
    if !is_settled {
        let task = Task::Decide(name.to_owned());
        context.queues.tasks.add_at(task, moment.tick + AGAIN);
    }
}

/// Begins what is due, unless what was decided by is not what the API server has: it is decided again once that is
/// known. That nobody can find it out is told.
async fn start_confirmed(
    context: &Context,
    name: &str,
    (loaded, terms): (&LoadedPolicy, &QuarantineTerms),
    decision: &Decision,
    outcomes: &mut Outcomes,
) -> Result<(), Error> {
    let error = match stands::changed(context, name, loaded).await {
        Ok(None) => return start_all(context, name, terms, decision, outcomes).await,
        Ok(Some(other)) => {
            outcomes.waiting += decision.starts.len();
            Error::Quarantine(format!(
                "nothing begins: {other} has changed, and the watch has not told it yet"
            ))
        }
        Err(error) => {
            let why = chain(&error);
            let ids = decision.starts.iter().map(|(id, _)| id.clone());
            outcomes.failed.extend(ids.map(|id| (id, why.clone())));
            error
        }
    };
    outcomes.active = outcomes.active.saturating_sub(decision.starts.len());
    Err(error)
}

/// Keeps what was decided. Releases for which that has changed are shown anew.
fn note(context: &Context, name: &str, matched: &BTreeSet<ReleaseId>, decision: &Decision) {
    let Outcomes {
        stopped, crowded, ..
    } = &decision.outcomes;
    if !stopped.is_empty() || !crowded.is_empty() {
        tracing::warn!(
            policy = name,
            due = ?stopped, in_crowded_namespaces = ?crowded,
            "what is due does not fit the limit"
        );
    }
    if let Some(again) = decision.again {
        let task = Task::Decide(name.to_owned());
        context.queues.tasks.add_at(task, again);
    }
    let mut news = Vec::new();
    context.store.update_each(|id, release| {
        let part = id;
        let id = &whole_of(context, part);
        let since = decision.bad_since.get(id).copied();
        release.bad_since.remove(name);
        release
            .bad_since
            .extend(since.map(|since| (name.to_owned(), since)));
        if matched.contains(id) {
            let before = release.decisions.get(name).copied();
            let held = before.flatten().filter(|before| stands(*before));
            let held = held.filter(|_| decision.open.contains(id));
            let waiting = decision.waiting.get(id).copied().or(held);
            release.decisions.insert(name.to_owned(), waiting);
            if before != Some(waiting) {
                news.push((part.clone(), before.is_none() && waiting.is_none()));
            }
        } else {
            release.decisions.remove(name);
        }
    });
    for (id, is_nothing) in news {
        if !is_nothing || says_quarantined(context, &id) {
            context.queues.tasks.add(Task::Release(id));
        }
    }
}

/// As what a release is contained: what was decided about an Application is so for each of its charts.
fn whole_of(context: &Context, id: &ReleaseId) -> ReleaseId {
    let mut wholes = context.cache.records.wholes(id).into_iter();
    wholes.next().unwrap_or_else(|| id.clone())
}

/// Whether what was said of a release stands until it is known whether its quarantine begins: one that
/// is refused at each attempt would be written anew at each otherwise.
fn stands(before: Waiting) -> bool {
    match before {
        Waiting::ForRoom | Waiting::Refused => true,
        Waiting::ForApproval | Waiting::ForWorkloads | Waiting::Released(_) => false,
    }
}

/// Has it shown that a quarantine was due and could not be started. Only those are written: what begins
/// says so itself, and costs no write for having begun.
fn note_refused(context: &Context, name: &str, outcomes: &Outcomes) {
    let refused = Some(Waiting::Refused);
    let mut news = Vec::new();
    context.store.update_each(|id, release| {
        if outcomes.failed.contains_key(&whole_of(context, id)) {
            let before = release.decisions.insert(name.to_owned(), refused);
            if before != Some(refused) {
                news.push(id.clone());
            }
        }
    });
    for id in news {
        context.queues.tasks.add(Task::Release(id));
    }
}

fn says_quarantined(context: &Context, id: &ReleaseId) -> bool {
    let object = context.cache.trust(id).and_then(Result::ok);
    let status = object.and_then(|object| object.status);
    status.is_some_and(|s| find(&s.conditions, ReleaseCondition::Quarantined).is_some())
}

/// It was seen Active, it is not there, and we have not ended it: somebody did.
async fn remember(context: &Context, decision: &Decision) -> Result<(), Error> {
    if decision.released.is_empty() {
        return Ok(());
    }
    let released = &decision.released;
    incidents::change(context, |incidents: &mut Incidents| {
        for (revocation, id) in released {
            incidents.note_released(revocation, id);
            if let Some(revision) = scope::newest_revision(context, id) {
                incidents.note_revision(revocation, id, revision);
            }
        }
    })
    .await
}

/// Begins what is due. One that is refused holds nobody else up, and is told.
async fn start_all(
    context: &Context,
    name: &str,
    terms: &QuarantineTerms,
    decision: &Decision,
    outcomes: &mut Outcomes,
) -> Result<(), Error> {
    let begin = async |(id, word): &(ReleaseId, String)| {
        let spec = QuarantineSpec {
            actions: terms.actions.clone(),
            reason: format!("{word} under policy {name}"),
            policy: Some(name.to_owned()),
        };
        tracing::warn!(release = %id, policy = name, word, "a quarantine starts");
        (id.clone(), start(context, id, spec).await)
    };
    let starts = futures::stream::iter(&decision.starts).map(begin);
    let mut starts = pin!(starts.buffered(AT_A_TIME));
    let mut result = Ok(());
    while let Some((id, started)) = starts.next().await {
        if let Err(error) = started {
            outcomes.active = outcomes.active.saturating_sub(1);
            outcomes.failed.insert(id, chain(&error));
            result = Err(error);
        }
    }
    result
}

/// How many begin at a time. One after the other, the last of a thousand would wait for seconds.
const AT_A_TIME: usize = 8;

/// Creates the Quarantine, with our finalizer on it from the first moment.
async fn start(context: &Context, id: &ReleaseId, spec: QuarantineSpec) -> Result<(), Error> {
    let tag = made::tag(context.store.seal(), id, &spec);
    let object = Quarantine {
        metadata: ObjectMeta {
            name: Some(id.name.clone()),
            namespace: Some(id.namespace.clone()),
            annotations: Some(BTreeMap::from([(made::MADE.to_owned(), tag)])),
            finalizers: Some(vec![FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    };
    let api = Api::<Quarantine>::namespaced(context.client.clone(), &id.namespace);
    match within_deadline(api.create(&create_params(), &object)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            still_there(&api, context.store.seal(), (id, &object.spec.actions)).await
        }
        Err(error) => Err(Error::Api("create a Quarantine", error)),
    }
}

/// Another replica has made it; or one that is over is kept by somebody, or one that only claims to be a policy's
/// or does less is there, and stands in the way.
async fn still_there(
    api: &Api<Quarantine>,
    seal: &Seal,
    (id, actions): (&ReleaseId, &[QuarantineAction]),
) -> Result<(), Error> {
    let object = match within_deadline(api.get_opt(&id.name)).await {
        Ok(Some(object)) => object,
        // What cannot be read says itself what is wrong with it.
        Ok(None) | Err(kube::Error::SerdeError(_)) => return Ok(()),
        Err(error) => return Err(Error::Api("read a Quarantine", error)),
    };
    let ReleaseId { namespace, name } = id;
    let command = format!("kubectl delete quarantine {name} --namespace {namespace}");
    let why = if made::is_over(&object.metadata) {
        let finalizers = object.finalizers().join(", ");
        format!("is over and stands in the way: remove its finalizers ({finalizers})")
    } else if made::is_claim(seal, &object) {
        format!("names a policy, was not made by the operator, and stands in the way: {command}")
    } else if made::does_less(&object, actions) {
        format!(
            "is of no policy, does less than the policy asks for, and stands in the way; the policy begins its own \
             after: {command}"
        )
    } else {
        return Ok(());
    };
    Err(Error::Quarantine(format!("Quarantine {id} {why}")))
}

/// Whether a policy contains a release by itself, by what it says of it.
pub(in crate::controllers) fn is_asked(context: &Context, id: &ReleaseId) -> bool {
    let trust = context.store.trust();
    let asks = |said: &PolicyVerdict| {
        let loaded = trust.policies.get(&said.policy);
        loaded.is_some_and(|loaded| !decide::asked(loaded, said).is_empty())
    };
    let is_asked = |release: Option<&Release>| {
        let judgement = release.and_then(|release| release.judgement.as_ref());
        judgement.is_some_and(|judgement| judgement.policies.iter().any(asks))
    };
    context.may_contain() && context.store.inspect(id, is_asked)
}
