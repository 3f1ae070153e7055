//! Decides what a policy contains: which releases are due, and whether they fit its limit. Pure.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::check::PolicyVerdict;
use charttrust_verify::verdict::{Class, Verdict};
use tokio::time::{Duration, Instant};

use super::scope::revocations;
use crate::api::chart_trust_policy::Approval;
use crate::clock::Moment;
use crate::controllers::store::{Outcomes, Waiting};
use crate::inventory::ReleaseId;
use crate::parse::{LoadedPolicy, QuarantineTerms};
use crate::quarantine::incident::{Incidents, RevocationId};
use crate::quarantine::limit::{self, Load};

/// What is known when a policy decides.
#[derive(Debug)]
pub(super) struct Survey {
    /// The releases that the policy applies to.
    pub(super) matched: Vec<Surveyed>,
    /// Quarantines that the policy has started and that are in force or on their way.
    /// Each with where its workloads lie.
    pub(super) active: BTreeMap<ReleaseId, String>,
    /// Everything that the policy applies to has been judged by the keys and policies of today.
    pub(super) is_settled: bool,
    /// Whether quarantine is switched on.
    pub(super) may_contain: bool,
    /// What is remembered of incidents, or why that is not known. Read where something is bad.
    pub(super) remembered: Result<Incidents, String>,
    /// Quarantines that were seen Active and that the server does not have.
    pub(super) gone: BTreeSet<(RevocationId, ReleaseId)>,
}

/// A release that the policy applies to, or an Application with all its charts.
#[derive(Clone, Debug)]
pub(super) struct Surveyed {
    pub(super) id: ReleaseId,
    /// What the policy says of it.
    pub(super) said: PolicyVerdict,
    /// Since when that is proof of badness, if it was before.
    pub(super) bad_since: Option<Instant>,
    /// Whether a quarantine may begin there.
    pub(super) room: Room,
    /// Whether it is to be judged by a key or policy that has changed: nothing begins by what was said
    /// before, however long that takes.
    pub(super) is_open: bool,
    /// Whether only ConfigMaps are proof of it, though Secrets hold records of it too: whoever may
    /// write the former need not be who may write the latter.
    pub(super) is_contradicted: bool,
    /// The newest of its revisions.
    pub(super) newest: Option<u64>,
    /// Whether there is anything that its quarantine would hold: without it nothing begins, and
    /// nothing counts. Anybody who may write records can copy one.
    pub(super) holds: Holds,
    /// Where its workloads lie.
    pub(super) place: String,
}

/// Whether a quarantine may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is none, or one that only claims to be a policy's: that the policy's own is due, and cannot begin, is
    /// told.
    Free,
    /// One of no policy goes on that does less than the policy would do. That is told too: what was in force is
    /// that one, and nobody has ended it.
    Hindered,
    /// There is one, or the namespace is protected.
    Taken,
}

/// Whether a release has workloads of its own, or a deployer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// None carries its marks.
    Nothing,
    /// Some do, or that could not be found out.
    Something,
}

/// What a policy has decided.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// Since when each bad release is.
    pub(super) bad_since: BTreeMap<ReleaseId, Instant>,
    /// Why releases that may be contained are not.
    pub(super) waiting: BTreeMap<ReleaseId, Waiting>,
    /// What is due, and of which only the attempt shows whether it can begin: what was said of it last
    /// stands until then.
    pub(super) open: BTreeSet<ReleaseId>,
    /// What a person has ended.
    pub(super) released: BTreeSet<(RevocationId, ReleaseId)>,
    /// Quarantines to begin, each with the word for why.
    pub(super) starts: Vec<(ReleaseId, &'static str)>,
    /// When to decide again.
    pub(super) again: Option<Instant>,
    /// What becomes of the policy's quarantines if every start succeeds.
    pub(super) outcomes: Outcomes,
}

/// How soon to look again whether everything was judged.
const AGAIN: Duration = Duration::from_millis(300);

/// How soon to look again whether workloads have appeared.
const APPEARING: Duration = Duration::from_secs(10);

/// Decides about every release that the policy applies to, all at once.
pub(super) fn decide(survey: &Survey, policy: &LoadedPolicy, moment: Moment) -> Decision {
    let mut decision = Decision::default();
    decision.outcomes.active = survey.active.len();
    let Some(terms) = &policy.quarantine else {
        return decision;
    };
    let since = |one: &Surveyed| (one.id.clone(), one.bad_since.unwrap_or(moment.tick));
    decision.bad_since = survey.bad(terms).map(since).collect();
    decision.outcomes.allowance = limit::allowance(&terms.limit, survey.matched.len());
    decision.outcomes.per_namespace = terms.limit.max_per_namespace;
    let free = survey.free(terms);
    let remembered = match &survey.remembered {
        Ok(remembered) => remembered,
        Err(why) => {
            // What a person has ended is not known, so nothing may begin.
            let failed = free.map(|one| (one.id.clone(), why.clone()));
            decision.outcomes.failed = failed.collect();
            let refused = decision.outcomes.failed.keys().cloned();
            decision.waiting = refused.map(|id| (id, Waiting::Refused)).collect();
            return decision;
        }
    };
    let candidates = free.filter_map(|one| candidate(one, terms, remembered));
    let candidates: Vec<_> = candidates.collect();
    decision.waiting = waiting(&candidates);
    if survey.may_contain {
        decision.released.clone_from(&survey.gone);
    }
    let for_a_person = candidates.iter().filter(|one| one.needs_approval).count();
    decision.outcomes.waiting = for_a_person;
    let due = decision.sort(&candidates, terms, moment);
    if survey.may_contain && !policy.policy.suspended {
        decision.open = due.open();
    }
    decision.fit(survey, policy, &due, moment);
    decision
}

impl Survey {
    /// The releases whose verdict leads to a quarantine.
    pub(super) fn bad(&self, terms: &QuarantineTerms) -> impl Iterator<Item = &Surveyed> {
        let matched = self.matched.iter();
        matched.filter(|one| is_reason(terms, one.said.verdict))
    }

    /// Those of them for which a quarantine could begin.
    pub(super) fn free(&self, terms: &QuarantineTerms) -> impl Iterator<Item = &Surveyed> {
        self.bad(terms).filter(|one| one.room != Room::Taken)
    }
}

/// Whether a verdict leads to a quarantine: proof of badness that the policy names.
fn is_reason(terms: &QuarantineTerms, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Untrusted(reason) => {
            reason.class() == Class::Badness && terms.reasons.contains(&reason)
        }
        Verdict::Trusted(_) | Verdict::Unknown(_) => false,
    }
}

/// A release that may be contained.
struct Candidate<'a> {
    release: &'a Surveyed,
    /// Every incident it is in was ended by a person.
    is_released: bool,
    /// The revision that it had then.
    released_at: Option<u64>,
    /// A person has to say so.
    needs_approval: bool,
    /// There is nothing to contain.
    is_empty: bool,
}

impl Candidate<'_> {
    fn is_due(&self) -> bool {
        !self.is_released && !self.needs_approval && !self.is_empty
    }
}

/// A bad release without a quarantine, if its revocation can be named.
fn candidate<'a>(
    release: &'a Surveyed,
    terms: &QuarantineTerms,
    remembered: &Incidents,
) -> Option<Candidate<'a>> {
    let (id, revocations) = (&release.id, revocations(&release.said));
    if revocations.is_empty() {
        return None;
    }
    let was_active = |revocation: &RevocationId| {
        release.room == Room::Free && remembered.was_active(revocation, id)
    };
    let is_over = |revocation: &RevocationId| {
        remembered.is_released(revocation, id) || was_active(revocation)
    };
    let is_released = revocations.iter().all(is_over);
    let at = |revocation: &RevocationId| {
        // What was in force, and is not there, is ended by a person at this moment.
        let is_news = was_active(revocation);
        let newest = release.newest.filter(|_| is_news);
        remembered.released_at(revocation, id).or(newest)
    };
    let needs_approval = terms.approval == Approval::Manual || release.is_contradicted;
    Some(Candidate {
        release,
        is_released,
        released_at: revocations.iter().filter_map(at).max(),
        needs_approval: needs_approval && !is_released,
        is_empty: release.holds == Holds::Nothing,
    })
}

fn waiting(candidates: &[Candidate<'_>]) -> BTreeMap<ReleaseId, Waiting> {
    let waiting = |candidate: &Candidate<'_>| {
        let id = candidate.release.id.clone();
        match candidate {
            one if one.is_released => Some((id, Waiting::Released(one.released_at))),
            one if one.needs_approval => Some((id, Waiting::ForApproval)),
            one if one.is_empty => Some((id, Waiting::ForWorkloads)),
            _ => None,
        }
    };
    candidates.iter().filter_map(waiting).collect()
}

/// What is due now, and what will be when it has been bad for long enough.
struct Due<'a> {
    now: Vec<&'a Surveyed>,
    later: Vec<&'a Surveyed>,
}

impl Decision {
    fn sort<'a>(
        &mut self,
        candidates: &[Candidate<'a>],
        terms: &QuarantineTerms,
        moment: Moment,
    ) -> Due<'a> {
        let due = candidates.iter().filter(|one| one.is_due());
        let due = due.map(|one| one.release);
        let soon = |one: &Surveyed| moment.tick + if one.is_open { AGAIN } else { Duration::ZERO };
        let at = |one: &Surveyed| {
            let ripe = one.bad_since.unwrap_or(moment.tick) + terms.after;
            ripe.max(soon(one))
        };
        let (later, now): (Vec<_>, _) = due.partition(|one| at(one) > moment.tick);
        let is_empty = |waiting: &Waiting| *waiting == Waiting::ForWorkloads;
        let empty = self.waiting.values().filter(|one| is_empty(one)).count();
        let appearing = (empty > 0).then(|| moment.tick + APPEARING);
        self.again = later.iter().map(|one| at(one)).chain(appearing).min();
        self.outcomes.waiting += later.len() + empty;
        Due { now, later }
    }

    fn fit(&mut self, survey: &Survey, policy: &LoadedPolicy, due: &Due<'_>, moment: Moment) {
        let Some(terms) = policy.quarantine.as_ref().filter(|_| !due.now.is_empty()) else {
            return;
        };
        let outcomes = &mut self.outcomes;
        if policy.policy.suspended || !survey.may_contain {
            outcomes.waiting += due.now.len();
            return;
        }
        if !survey.is_settled {
            outcomes.waiting += due.now.len();
            let soon = moment.tick + AGAIN;
            self.again = Some(self.again.map_or(soon, |again| again.min(soon)));
            return;
        }
        let admitted = limit::admit(&terms.limit, &due.load(survey));
        let is_crowded = |one: &&Surveyed| admitted.crowded.contains(&one.place);
        let is_stopped = |one: &&Surveyed| is_crowded(one) || !admitted.fits;
        outcomes.waiting -= due.later.iter().filter(|one| is_stopped(one)).count();
        let stopped = due.now.iter().chain(&due.later);
        let stopped: Vec<_> = stopped.filter(|one| is_stopped(one)).collect();
        let (crowded, stopped): (Vec<_>, Vec<_>) =
            stopped.into_iter().partition(|one| is_crowded(one));
        outcomes.crowded = ids(&crowded);
        outcomes.stopped = ids(&stopped);
        let held = crowded.iter().chain(&stopped).map(|one| one.id.clone());
        self.waiting.extend(held.map(|id| (id, Waiting::ForRoom)));
        let starting = due.now.iter().filter(|one| !is_stopped(one));
        let start = |one: &&Surveyed| (one.id.clone(), one.said.verdict.word());
        self.starts = starting.map(start).collect();
        outcomes.active += self.starts.len();
    }
}

impl Due<'_> {
    /// What may begin as soon as it is judged by a key that has changed, too.
    fn open(&self) -> BTreeSet<ReleaseId> {
        let later = self.later.iter().filter(|one| one.is_open);
        let all = self.now.iter().chain(later);
        all.map(|one| one.id.clone()).collect()
    }

    /// What counts against the limit. What is bad but not due yet counts too, or many would start a few
    /// at a time.
    fn load(&self, survey: &Survey) -> Load {
        let mut load = Load {
            matched: survey.matched.len(),
            ..Load::default()
        };
        for place in survey.active.values() {
            load.add_active(place);
        }
        for one in self.now.iter().chain(&self.later) {
            load.add_due(&one.place);
        }
        load
    }
}

fn ids(releases: &[&&Surveyed]) -> Vec<ReleaseId> {
    let mut ids: Vec<_> = releases.iter().map(|one| one.id.clone()).collect();
    ids.sort();
    ids
}

/// The revocations that a new quarantine of a release would be about, if the policy as it is now
/// contains by itself what it says this of.
pub(super) fn asked(policy: &LoadedPolicy, said: &PolicyVerdict) -> BTreeSet<RevocationId> {
    let asks = |terms: &QuarantineTerms| {
        terms.approval == Approval::Automatic && is_reason(terms, said.verdict)
    };
    if !policy.policy.suspended && policy.quarantine.as_ref().is_some_and(asks) {
        revocations(said)
    } else {
        BTreeSet::new()
    }
}

/// Whether a release has been `Pending` for so long that nobody waits for it any more.
pub(super) fn is_long(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= LONGEST_HOLD_UP
}

/// How long one release may keep others from being contained.
const LONGEST_HOLD_UP: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_others_up_for_ever() {
        let now = crate::clock::tick();
        let second = Duration::from_secs(1);
        assert!(!is_long(now, now));
        assert!(!is_long(now, now + LONGEST_HOLD_UP - second));
        assert!(is_long(now, now + LONGEST_HOLD_UP));
        assert!(!is_long(now + second, now));
    }
}
