//! Gathers what a policy decides by. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use charttrust_verify::policy::Policy;
use charttrust_verify::verdict::{Cause, Class, Verdict};
use kube::Api;
use tokio::time::Instant;

use super::decide::{Holds, Part, Room, Survey, Surveyed, is_long};
use super::incidents;
use super::made;
use super::offer::Offer;
use super::scope::{self, is_protected, verdict_by};
use crate::api::Quarantine;
use crate::api::chart_trust_policy::{Approval, ChartTrustPolicyStatus};
use crate::api::conditions::{PolicyCondition, find};
use crate::api::reasons::PolicyReason;
use crate::clock::Moment;
use crate::controllers::cache::Ours;
use crate::controllers::context::Context;
use crate::controllers::error::{Error, chain};
use crate::controllers::policy::shared;
use crate::controllers::store::{Release, Revision, Waiting};
use crate::inventory::ReleaseId;
use crate::parse::{LoadedPolicy, QuarantineTerms};
use crate::quarantine::holds;
use crate::quarantine::incident::{Incidents, RevocationId};
use crate::watch::within_deadline;

/// What is known of every release that the policy applies to.
pub(super) async fn gather(
    context: &Context,
    name: &str,
    loaded: &LoadedPolicy,
    moment: Moment,
) -> Survey {
    let mut survey = Survey {
        matched: matched(context, name, loaded.quarantine.as_ref()),
        active: active(context, name),
        is_settled: false,
        may_contain: context.may_contain(),
        remembered: Ok(Incidents::default()),
        gone: BTreeSet::new(),
        part: Part::First(Vec::new()),
    };
    let is_shared = context.share.is_some();
    let is_missing = is_shared && share(context, (name, loaded), &mut survey) > 0;
    if is_shared {
        survey.is_settled = is_settled(context, loaded, moment) && !is_missing;
    }
    let Some(terms) = &loaded.quarantine else {
        return survey;
    };
    if survey.bad(terms).next().is_none() {
        return survey;
    }
    survey.is_settled = is_settled(context, loaded, moment) && !is_missing;
    // Once more, because the first may have missed who was judged meanwhile.
    survey.matched = matched(context, name, Some(terms));
    look_for_workloads(context, &mut survey, terms).await;
    match remembered(context, &survey, terms).await {
        Ok((remembered, gone)) => {
            survey.remembered = Ok(remembered);
            survey.gone = gone;
        }
        Err(error) => survey.remembered = Err(chain(&error)),
    }
    survey
}

/// Whether everything here is judged by what is known now.
fn is_settled(context: &Context, loaded: &LoadedPolicy, moment: Moment) -> bool {
    !context.store.is_changing() && is_all_judged(context, &loaded.policy, moment.tick)
}

/// Takes in what the others say, where several replicas share the work; how many do not say what is so now.
fn share(context: &Context, (name, loaded): (&str, &LoadedPolicy), survey: &mut Survey) -> usize {
    let object = context.cache.policies.find(&name.to_owned());
    let object = object
        .as_ref()
        .and_then(|object| object.as_ref().as_ref().ok());
    let status = object.and_then(|object| context.store.policy_statuses.known(object));
    if !context.is_first() {
        survey.part = Part::Other(status.as_ref().and_then(stopped));
        return 0;
    }
    let others = shared::others(context, loaded, status.as_ref());
    let offers = others.told.iter();
    let offers = offers.map(|one| Offer::of(one.releases.total, &one.quarantine));
    survey.part = Part::First(offers.collect());
    others.missing()
}

/// Why what is due has not begun, by the word of whoever decides.
fn stopped(status: &ChartTrustPolicyStatus) -> Option<Waiting> {
    let stopped = find(&status.conditions, PolicyCondition::QuarantineStopped)?;
    Some(if stopped.reason == PolicyReason::LimitReached.word() {
        Waiting::ForRoom
    } else {
        Waiting::Refused
    })
}

fn matched(context: &Context, name: &str, terms: Option<&QuarantineTerms>) -> Vec<Surveyed> {
    let mut matched = Vec::new();
    context.store.each_release(|id, release| {
        if let Some(said) = verdict_by(release, name) {
            matched.push(Surveyed {
                id: id.clone(),
                said: said.clone(),
                bad_since: release.bad_since.get(name).copied(),
                room: Room::Taken,
                is_open: release.judgings.are_open(),
                is_contradicted: release.contradicted.contains(name),
                newest: None,
                holds: Holds::Something,
                place: String::new(),
            });
        }
    });
    let mut matched = of_wholes(context, name, matched);
    for one in &mut matched {
        one.place = scope::place(context, &one.id);
        let places = [&one.id.namespace, &one.place];
        let is_protected = places.iter().any(|place| is_protected(context, place));
        if !is_protected {
            one.room = room(context, &one.id, terms);
        }
        one.newest = scope::newest_revision(context, &one.id);
    }
    matched
}

/// All charts of an Application are contained together, so they are one.
fn of_wholes(context: &Context, name: &str, parts: Vec<Surveyed>) -> Vec<Surveyed> {
    let mut matched = Vec::new();
    let mut wholes = BTreeMap::<ReleaseId, Surveyed>::new();
    for part in parts {
        let records = &context.cache.records;
        if records.applications.claimed(&part.id).is_empty() {
            matched.push(part);
            continue;
        }
        for id in records.wholes(&part.id) {
            let since = |release: Option<&Release>| release?.bad_since.get(name).copied();
            let one = Surveyed {
                bad_since: context.store.inspect(&id, since),
                id: id.clone(),
                ..part.clone()
            };
            let known = wholes.remove(&id);
            wholes.insert(id, known.map_or(one.clone(), |known| together(known, one)));
        }
    }
    matched.extend(wholes.into_values());
    matched
}

fn together(one: Surveyed, other: Surveyed) -> Surveyed {
    let is_bad = |part: &Surveyed| part.said.verdict.class() == Class::Badness;
    // Of what is not bad nobody asks whether it is contradicted.
    let is_believed = |part: &Surveyed| is_bad(part) && !part.is_contradicted;
    Surveyed {
        is_contradicted: !is_believed(&one) && !is_believed(&other),
        is_open: one.is_open || other.is_open,
        said: scope::worse(one.said.clone(), other.said),
        ..one
    }
}

fn room(context: &Context, id: &ReleaseId, terms: Option<&QuarantineTerms>) -> Room {
    let Some(object) = scope::quarantine(context, id) else {
        return Room::Free;
    };
    let terms = terms.filter(|terms| terms.approval == Approval::Automatic);
    match object.as_ref().as_ref() {
        Ok(object) if made::is_claim(context.store.seal(), object) => Room::Free,
        Ok(object) if terms.is_some_and(|terms| made::does_less(object, &terms.actions)) => {
            Room::Hindered
        }
        Ok(_) | Err(_) => Room::Taken,
    }
}

/// Finds out which of the releases that could be contained have anything to contain. What cannot be
/// found out is taken for something: a right that is missing must not disarm.
async fn look_for_workloads(context: &Context, survey: &mut Survey, terms: &QuarantineTerms) {
    if !survey.may_contain || terms.approval == Approval::Manual {
        return;
    }
    let free = survey.free(terms);
    let is_recorded = |id: &ReleaseId| context.cache.records.has_record(id);
    let (recorded, other): (BTreeSet<_>, BTreeSet<_>) =
        free.map(|one| one.id.clone()).partition(is_recorded);
    let all = &context.neighbourhoods;
    let mut empty = holds::empty(all, &recorded, &terms.actions).await;
    empty.extend(holds::empty_applications(all, &other).await);
    for one in &mut survey.matched {
        if empty.contains(&one.id) {
            one.holds = Holds::Nothing;
        }
    }
}

/// Quarantines that the policy has started and that are in force or on their way. One that only says so
/// counts for nothing: a person's, or another tenant's. One that was begun for what the policy calls bad
/// counts without our tag too: an earlier version has begun it, or the seal is another.
fn active(context: &Context, name: &str) -> BTreeMap<ReleaseId, String> {
    let all = scope::quarantines(context);
    let counts = |id: &ReleaseId, object: &Quarantine| {
        object.spec.policy.as_deref() == Some(name)
            && !contains_nothing(object)
            && (made::is_ours(context.store.seal(), object)
                || made::has_begun(object) && is_bad(context, id, name))
    };
    let is_one = |(id, object): &(ReleaseId, Arc<Ours<Quarantine>>)| {
        let readable = object.as_ref().as_ref();
        readable.is_ok_and(|object| counts(id, object))
    };
    let ids = all.into_iter().filter(is_one).map(|(id, _)| id);
    ids.map(|id| (id.clone(), scope::place(context, &id)))
        .collect()
}

/// Whether a policy has proof of badness of a release.
fn is_bad(context: &Context, id: &ReleaseId, policy: &str) -> bool {
    let said = scope::said(context, id, policy);
    said.is_some_and(|said| said.verdict.class() == Class::Badness)
}

/// Whether a quarantine holds nothing and never will: what it is to change was saved, and that is
/// nothing.
fn contains_nothing(object: &Quarantine) -> bool {
    let status = object.status.as_ref();
    made::has_begun(object) && status.is_some_and(|status| status.objects.is_empty())
}

type Gone = BTreeSet<(RevocationId, ReleaseId)>;

/// What is remembered of incidents; and of the bad releases without a quarantine those that were seen
/// Active. We have not ended them, so somebody did. Asked of the server, because a watch that lags does
/// not show what another replica has made.
async fn remembered(
    context: &Context,
    survey: &Survey,
    terms: &QuarantineTerms,
) -> Result<(Incidents, Gone), Error> {
    let free: Vec<_> = survey.free(terms).collect();
    if free.is_empty() {
        return Ok((Incidents::default(), Gone::new()));
    }
    let known = incidents::read(context).await?;
    let mut gone = Gone::new();
    for one in free {
        let mut revocations = scope::revocations(&one.said);
        revocations.retain(|revocation| known.was_active(revocation, &one.id));
        if revocations.is_empty() || is_there(context, &one.id).await? {
            continue;
        }
        gone.extend(
            revocations
                .into_iter()
                .map(|revocation| (revocation, one.id.clone())),
        );
    }
    Ok((known, gone))
}

async fn is_there(context: &Context, id: &ReleaseId) -> Result<bool, Error> {
    let api = Api::<Quarantine>::namespaced(context.client.clone(), &id.namespace);
    let found = within_deadline(api.get_opt(&id.name)).await;
    let found = found.map_err(|error| Error::Api("read a Quarantine", error))?;
    Ok(found.is_some_and(|object| !made::is_over(&object.metadata)))
}

/// Whether every release that the policy selects was judged by the keys and policies of today.
fn is_all_judged(context: &Context, policy: &Policy, now: Instant) -> bool {
    context.cache.records.releases().into_iter().all(|id| {
        let placed = context.cache.placed(&id);
        if !policy.selection.selects(&placed.reference()) {
            return true;
        }
        let arrival = Arrival::of(context, &id);
        context
            .store
            .inspect(&id, |release| is_judged(release, arrival, now))
    })
}

/// When a release came. Whoever may write records in one namespace adds another each moment, so that there
/// is always one that is not judged: only those are waited for that were there before.
#[derive(Clone, Copy, PartialEq)]
enum Arrival {
    /// This replica began to judge when it was there.
    AtStart,
    /// A key or policy has changed since it came: the last one at this time.
    Before(Instant),
    /// Nothing has changed since.
    Later,
}

impl Arrival {
    fn of(context: &Context, id: &ReleaseId) -> Self {
        let present = context.store.present.get();
        if present.is_none_or(|all| all.contains(id)) {
            return Self::AtStart;
        }
        let since = context.store.awaited_since(id);
        since.map_or(Self::Later, Self::Before)
    }
}

/// Whether all that is judged says that nothing was deployed: it may stay so for ever.
fn has_deployed_nothing(release: &Release) -> bool {
    let mut revisions = release.revisions.values();
    let says_so = |revision: &Revision| matches!(revision.content, Err((Cause::Pending, _)));
    !release.revisions.is_empty() && revisions.all(says_so)
}

/// Whether a release holds nobody up (any more): a record that cannot be fetched is `Pending` as long as
/// that lasts.
fn is_judged(release: Option<&Release>, arrival: Arrival, now: Instant) -> bool {
    let is_today_s =
        |release: &&Release| release.judgement.is_some() && !release.judgings.are_open();
    let judged = release.filter(is_today_s);
    match arrival {
        Arrival::Later => true,
        Arrival::Before(since) => judged.is_some() || is_long(since, now),
        Arrival::AtStart => judged.is_some_and(|release| {
            let since = release.pending_since;
            let is_given_up = since.is_some_and(|since| is_long(since, now));
            let pending = Verdict::Unknown(Cause::Pending);
            let judgement = release.judgement.as_ref();
            let is_told = judgement.is_some_and(|judgement| judgement.verdict != pending);
            is_given_up || is_told || has_deployed_nothing(release)
        }),
    }
}
