//! Decides what a policy contains: which releases are due, and whether they fit its limit. Pure.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::check::PolicyVerdict;
use charttrust_verify::verdict::{Class, Verdict};
use tokio::time::{Duration, Instant};

use super::offer::{Offer, Offered};
use super::scope::revocations;
use crate::api::chart_trust_policy::Approval;
use crate::clock::Moment;
use crate::controllers::store::{Outcomes, Waiting};
use crate::inventory::ReleaseId;
use crate::parse::{LoadedPolicy, QuarantineTerms};
use crate::quarantine::incident::{Incidents, RevocationId};
use crate::quarantine::limit::{self, Admitted, Load};

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
    /// Who decides.
    pub(super) part: Part,
}

/// Who decides what of all that is due begins, where several replicas share the work.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// This one, also about what the others offer; nothing where nobody shares the work.
    First(Vec<Offer>),
    /// Another. Why it says that what is due has not begun, if it says so.
    Other(Option<Waiting>),
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
    pub(super) starts: Vec<(ReleaseId, String)>,
    /// What is due here, if another decides.
    pub(super) offer: Offer,
    /// When to decide again.
    pub(super) again: Option<Instant>,
    /// What becomes of the policy's quarantines if every start succeeds.
    pub(super) outcomes: Outcomes,
}

/// How soon to look again whether everything was judged.
pub(super) const AGAIN: Duration = Duration::from_millis(300);

/// How soon to look again whether workloads have appeared.
const APPEARING: Duration = Duration::from_secs(10);

/// Decides about every release that the policy applies to, all at once.
pub(super) fn decide(survey: &Survey, policy: &LoadedPolicy, moment: Moment) -> Decision {
    let mut decision = Decision::default();
    let offers = survey.offers();
    decision.outcomes.active =
        survey.active.len() + offers.iter().map(Offer::active).sum::<usize>();
    decision.offer.load = survey.load();
    let Some(terms) = &policy.quarantine else {
        return decision;
    };
    let since = |one: &Surveyed| (one.id.clone(), one.bad_since.unwrap_or(moment.tick));
    decision.bad_since = survey.bad(terms).map(since).collect();
    decision.outcomes.allowance = limit::allowance(&terms.limit, survey.matched());
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
    let waiting = offers.iter().map(|offer| offer.waiting);
    decision.outcomes.waiting = for_a_person + waiting.sum::<usize>();
    let due = decision.sort(&candidates, terms, moment);
    if survey.may_contain && !policy.policy.suspended {
        decision.open = due.open();
    }
    decision.fit(survey, policy, &due, moment);
    decision
}

impl Survey {
    /// What others have found due.
    fn offers(&self) -> &[Offer] {
        match &self.part {
            Part::First(offers) => offers,
            Part::Other(_) => &[],
        }
    }

    /// How many releases the policy applies to, with those of others.
    fn matched(&self) -> usize {
        let others = self.offers().iter().map(|offer| offer.load.matched);
        others.fold(self.matched.len(), usize::saturating_add)
    }

    /// What is in force here.
    fn load(&self) -> Load {
        let mut load = Load {
            matched: self.matched.len(),
            ..Load::default()
        };
        for place in self.active.values() {
            load.add_active(place);
        }
        load
    }

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
        let elsewhere = survey.offers().iter().map(|offer| offer.due.len());
        let count = due.now.len() + elsewhere.sum::<usize>();
        let Some(terms) = policy.quarantine.as_ref().filter(|_| count > 0) else {
            self.offer.load = due.load(survey);
            return;
        };
        let outcomes = &mut self.outcomes;
        if policy.policy.suspended || !survey.may_contain {
            outcomes.waiting += count;
            return;
        }
        self.offer.load = due.load(survey);
        if !survey.is_settled {
            outcomes.waiting += count;
            let soon = moment.tick + AGAIN;
            self.again = Some(self.again.map_or(soon, |again| again.min(soon)));
            return;
        }
        if let Part::Other(said) = survey.part {
            self.offer.due = due.now.iter().map(|one| Offered::of(one)).collect();
            let held = due
                .now
                .iter()
                .map(|one| one.id.clone())
                .zip(said.iter().cycle());
            self.waiting.extend(held.map(|(id, said)| (id, *said)));
            return;
        }
        let mut load = due.load(survey);
        survey
            .offers()
            .iter()
            .for_each(|offer| load.add(offer.load.clone()));
        let mut admitted = limit::admit(&terms.limit, &load);
        admitted.fits &= !survey.offers().iter().any(|offer| offer.overflows);
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
        let start = |one: &&Surveyed| (one.id.clone(), one.said.verdict.word().to_owned());
        self.starts = starting.map(start).collect();
        self.take_offers(survey, &admitted);
        self.outcomes.active += self.starts.len();
    }

    /// The same of what is due elsewhere.
    fn take_offers(&mut self, survey: &Survey, admitted: &Admitted) {
        for Offered { id, place, word } in survey.offers().iter().flat_map(|offer| &offer.due) {
            if admitted.crowded.contains(place) {
                self.outcomes.crowded.push(id.clone());
            } else if admitted.fits {
                self.starts.push((id.clone(), word.clone()));
            } else {
                self.outcomes.stopped.push(id.clone());
            }
        }
        self.outcomes.crowded.sort();
        self.outcomes.stopped.sort();
    }
}

impl Offered {
    fn of(one: &Surveyed) -> Self {
        Self {
            id: one.id.clone(),
            place: one.place.clone(),
            word: one.said.verdict.word().to_owned(),
        }
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
        let mut load = survey.load();
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
    use crate::parse;

    /// A policy that may contain so many in all, and in a namespace.
    fn policy(most: u32, in_one: u32) -> LoadedPolicy {
        let yaml = format!(
            "apiVersion: charttrust.io/v1alpha1
kind: ChartTrustPolicy
metadata: {{name: strict}}
spec:
  quarantine:
    onReasons: [KeyCompromised]
    approval: Automatic
    after: 0s
    actions: [ScaleToZero]
    limit: {{maxReleases: {most}, maxPercent: 100, maxPerNamespace: {in_one}}}
  rules:
    - name: all
      charts: ['*']
      sources: [{{url: 'https://charts.example.com'}}]
"
        );
        let loaded = parse::policy(&serde_saphyr::from_str(&yaml).unwrap());
        assert_eq!(loaded.problems, []);
        loaded
    }

    fn id(namespace: &str, name: &str) -> ReleaseId {
        ReleaseId {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// What another range says: all of it is due in its own namespace, of ten releases.
    fn offer(due: &[(&str, &str)]) -> Offer {
        let mut offer = Offer::default();
        offer.load.matched = 10;
        for (namespace, name) in due {
            offer.load.add_due(namespace);
            offer.due.push(Offered {
                id: id(namespace, name),
                place: (*namespace).to_owned(),
                word: "KeyCompromised".to_owned(),
            });
        }
        offer
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Settled {
        No,
        Yes,
    }

    fn decided(policy: &LoadedPolicy, offers: Vec<Offer>, settled: Settled) -> Decision {
        let survey = Survey {
            matched: Vec::new(),
            active: BTreeMap::new(),
            is_settled: settled == Settled::Yes,
            may_contain: true,
            remembered: Ok(Incidents::default()),
            gone: BTreeSet::new(),
            part: Part::First(offers),
        };
        decide(&survey, policy, Moment::now())
    }

    fn started(decision: &Decision) -> Vec<String> {
        decision
            .starts
            .iter()
            .map(|(id, _)| id.to_string())
            .collect()
    }

    #[test]
    fn what_is_due_in_all_ranges_begins_if_all_of_it_fits() {
        let offers = || vec![offer(&[("shop", "web")]), offer(&[("bank", "core")])];
        let decision = decided(&policy(2, 9), offers(), Settled::Yes);
        assert_eq!(started(&decision), ["shop/web", "bank/core"]);
        assert_eq!(decision.outcomes.active, 2);
        let decision = decided(&policy(1, 9), offers(), Settled::Yes);
        assert_eq!(started(&decision), [] as [String; 0]);
        assert_eq!(
            decision.outcomes.stopped,
            [id("bank", "core"), id("shop", "web")]
        );
        assert_eq!(decision.outcomes.due(), 2);
    }

    #[test]
    fn nothing_begins_while_a_range_has_not_said_what_is_so_now() {
        let decision = decided(&policy(9, 9), vec![offer(&[("shop", "web")])], Settled::No);
        assert_eq!(started(&decision), [] as [String; 0]);
        assert_eq!(decision.outcomes.waiting, 1);
        assert!(decision.again.is_some());
    }

    #[test]
    fn a_namespace_that_is_crowded_over_all_ranges_holds_up_itself_alone() {
        // Applications of two ranges have their workloads in one namespace.
        let mut elsewhere = offer(&[("argocd", "argocd.web")]);
        elsewhere.load.places.clear();
        elsewhere.load.add_due("shop");
        elsewhere.due[0].place = "shop".to_owned();
        let offers = vec![
            offer(&[("shop", "web")]),
            elsewhere,
            offer(&[("bank", "core")]),
        ];
        let decision = decided(&policy(9, 1), offers, Settled::Yes);
        assert_eq!(started(&decision), ["bank/core"]);
        let crowded = [id("argocd", "argocd.web"), id("shop", "web")];
        assert_eq!(decision.outcomes.crowded, crowded);
    }

    #[test]
    fn nothing_begins_where_more_is_due_than_can_be_told() {
        let offer = Offer {
            overflows: true,
            ..offer(&[("shop", "web")])
        };
        let decision = decided(&policy(9, 9), vec![offer], Settled::Yes);
        assert_eq!(started(&decision), [] as [String; 0]);
        assert_eq!(decision.outcomes.stopped, [id("shop", "web")]);
    }

    #[test]
    fn what_is_in_force_elsewhere_takes_room() {
        let mut full = offer(&[]);
        full.load.add_active("bank");
        let offers = vec![full, offer(&[("shop", "web")])];
        let decision = decided(&policy(1, 9), offers, Settled::Yes);
        assert_eq!(started(&decision), [] as [String; 0]);
        assert_eq!(
            (decision.outcomes.active, decision.outcomes.allowance),
            (1, 1)
        );
    }

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
