//! What the parts of the work say of the releases of a policy, where several replicas share it.

use std::time::Duration;

use crate::api::chart_trust_policy::{ChartTrustPolicyStatus, PolicyShard};
use crate::api::{ChartTrustPolicy, bounds};
use crate::clock::Moment;
use crate::controllers::context::Context;
use crate::controllers::error::Error;
use crate::controllers::shares;
use crate::parse::LoadedPolicy;

use super::status::Counted;

/// What others say who hold the other ranges, for whoever decides for all.
#[derive(Clone, Debug, Default)]
pub(in crate::controllers) struct Others {
    /// Their entries, as far as the ranges are cut so now.
    pub(in crate::controllers) told: Vec<PolicyShard>,
    /// Ranges that nobody holds.
    unheld: Vec<usize>,
    /// How many ranges have a holder who has not said yet what it judges by the policy and the signers of now.
    unjudged: usize,
    /// How many ranges there are in all.
    of: usize,
}

/// What the status of a policy says of the other ranges; nothing where nobody shares the work.
pub(in crate::controllers) fn others(
    context: &Context,
    loaded: &LoadedPolicy,
    status: Option<&ChartTrustPolicyStatus>,
) -> Others {
    let Some(share) = context.share.as_ref().filter(|share| share.range == 0) else {
        return Others::default();
    };
    let told = status
        .map(|status| status.shards.as_slice())
        .unwrap_or_default();
    let told = told.iter().filter(|one| shares::is_of(share, one.range));
    let told: Vec<_> = told.cloned().collect();
    let (holders, signers) = (share.holders.borrow().clone(), shares::signers(context));
    let (mut unheld, mut unjudged) = (Vec::new(), 0);
    for range in 1..share.of {
        let entry = told.iter().find(|one| one.range == shares::number(range));
        match (holders.get(&range), entry) {
            (None, _) => unheld.push(range),
            (Some(holder), Some(entry)) if is_current(entry, holder, loaded, &signers) => {}
            (Some(_), _) => unjudged += 1,
        }
    }
    Others {
        told,
        unheld,
        unjudged,
        of: share.of,
    }
}

/// Whether an entry is by whoever holds the range now, by this policy and these signers, and of all its releases.
fn is_current(entry: &PolicyShard, holder: &str, loaded: &LoadedPolicy, signers: &str) -> bool {
    entry.judged
        && entry.holder == holder
        && entry.observed_generation == loaded.generation
        && entry.signers == signers
}

impl Others {
    /// How many ranges do not say how their releases stand now.
    pub(in crate::controllers) fn missing(&self) -> usize {
        self.unheld.len() + self.unjudged
    }

    /// The ranges that nobody looks after, if there are any.
    pub(super) fn unheld(&self) -> Option<String> {
        let ranges: Vec<_> = self.unheld.iter().map(ToString::to_string).collect();
        let said = || {
            format!(
                "no replica holds the namespaces of range {} of {}",
                ranges.join(", "),
                self.of
            )
        };
        (!ranges.is_empty()).then(said)
    }

    /// What cannot be seen, because nobody looks or because whoever looks may not.
    pub(super) fn unseen(&self) -> Vec<String> {
        let one = |range: &usize| {
            let of = self.of;
            format!("the namespaces of range {range} of {of}, which no replica holds")
        };
        let unheld = self.unheld.iter().map(one);
        let unseen = self.told.iter().flat_map(|one| &one.unseen).cloned();
        unheld.chain(unseen).collect()
    }

    /// Whether all the others have answered the annotation that asks for looks.
    pub(super) fn have_handled(&self, asked: &str) -> bool {
        let is_handled =
            |one: &PolicyShard| one.last_handled_reconcile_at.as_deref() == Some(asked);
        self.of.saturating_sub(1) <= self.told.iter().filter(|one| is_handled(one)).count()
    }
}

/// What this part of the work has to tell.
pub(super) struct Part {
    pub(super) counted: Counted,
    pub(super) unseen: Vec<String>,
    pub(super) handled: Option<String>,
}

/// Tells whoever holds the first range how the releases of a policy stand here. What was told before stands while
/// they are judged anew, as it says by what it was judged, but not for ever.
pub(super) async fn tell(
    context: &Context,
    (object, loaded): (&ChartTrustPolicy, &LoadedPolicy),
    part: Part,
    moment: Moment,
) -> Result<(), Error> {
    let Some(share) = &context.share else {
        return Ok(());
    };
    let name = &loaded.policy.name;
    let entries = &context.store.shares.policies;
    let range = shares::number(share.range);
    let status = object.status.as_ref();
    let shown = status.and_then(|it| it.shards.iter().find(|one| one.range == range));
    let surveyed = context.store.shares.surveyed(name);
    let signers = shares::signers(context);
    let is_same = surveyed.generation == loaded.generation && surveyed.signers == signers;
    let judged = surveyed.is_settled && is_same;
    let is_patient =
        !is_same || (surveyed.unsettled_since).is_some_and(|since| moment.tick < since + PATIENCE);
    let before = shown.map_or(0, |shown| shown.releases.untrusted);
    let is_worse = part.counted.told().releases.untrusted > before;
    if !judged && !is_worse && is_patient {
        return Ok(());
    }
    let unseen = part.unseen.iter().take(bounds::SHORT_LIST);
    let handled_before = shown.and_then(|shown| shown.last_handled_reconcile_at.clone());
    let entry = PolicyShard {
        range,
        holder: share.identity.clone(),
        observed_generation: loaded.generation,
        signers,
        judged,
        unseen: unseen
            .map(|what| bounds::fit(what, bounds::MESSAGE))
            .collect(),
        last_handled_reconcile_at: part.handled.or(handled_before),
        quarantine: surveyed.due,
        ..part.counted.told()
    };
    shares::tell(context, object, (shown.cloned(), entry), entries).await
}

/// How long what was told before may stand while releases are judged anew.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_counts_only_by_its_holder_and_by_what_is_judged_by_now() {
        let loaded = LoadedPolicy {
            generation: 3,
            ..crate::parse::unreadable_policy("strict", "")
        };
        let good = PolicyShard {
            range: 1,
            holder: "b".to_owned(),
            observed_generation: 3,
            signers: "sha256:1".to_owned(),
            judged: true,
            ..PolicyShard::default()
        };
        let is_good = |change: fn(&mut PolicyShard)| {
            let mut entry = good.clone();
            change(&mut entry);
            is_current(&entry, "b", &loaded, "sha256:1")
        };
        assert!(is_good(|_| ()));
        assert!(!is_good(|entry| entry.judged = false));
        assert!(!is_good(|entry| entry.holder = "a".to_owned()));
        assert!(!is_good(|entry| entry.observed_generation = 2));
        assert!(!is_good(|entry| entry.signers.clear()));
    }

    #[test]
    fn what_nobody_holds_is_named() {
        let others = Others {
            unheld: vec![1, 3],
            of: 4,
            ..Others::default()
        };
        assert_eq!(
            others.unseen(),
            [
                "the namespaces of range 1 of 4, which no replica holds",
                "the namespaces of range 3 of 4, which no replica holds"
            ]
        );
        assert_eq!(others.missing(), 2);
        let said = "no replica holds the namespaces of range 1, 3 of 4";
        assert_eq!(others.unheld().as_deref(), Some(said));
        assert_eq!(Others::default().unheld(), None);
    }
}
