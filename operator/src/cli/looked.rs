//! When what a verdict rests on was last looked at, as the leader tells by policy in its Lease. Reads only.

use jiff::Timestamp;
use kube::Client;

use super::leading::Operator;
use crate::api::ReleaseTrust;
use crate::leader;

/// What is known of the looks at sources.
#[derive(Clone, Debug)]
pub(super) struct Looks(Result<leader::Looked, String>);

impl Looks {
    /// What the leader has told.
    pub(super) async fn told(client: &Client, operator: &Operator) -> Self {
        let lease = operator.lease(client).await;
        Self(lease.map(|lease| leader::looked(&lease.metadata)))
    }

    /// Since when each source of its policies was asked about a release; why that is not known.
    pub(super) fn at(&self, trust: &ReleaseTrust) -> Result<Timestamp, String> {
        let all = self.0.as_ref().map_err(Clone::clone)?;
        let policies = trust.status.iter().flat_map(|status| &status.policies);
        let looks = policies.filter_map(|policy| all.get(&policy.policy));
        let looks: Vec<_> = looks.map(|look| look.since).collect();
        let oldest = looks.iter().min().copied();
        match oldest {
            Some(Some(since)) => Ok(since),
            Some(None) => Err("not every source was asked yet about every release".to_owned()),
            None => Err("the operator tells of no look at a source of its policies".to_owned()),
        }
    }

    /// How long ago that was, as kubectl writes ages.
    pub(super) fn age(&self, trust: &ReleaseTrust, now: Timestamp) -> String {
        self.at(trust)
            .map_or_else(|_| "-".to_owned(), |since| age(since, now))
    }

    /// The same in a sentence.
    pub(super) fn sentence(&self, trust: &ReleaseTrust) -> String {
        match self.at(trust) {
            Ok(since) => format!("every source of its policies was asked at {since} or later"),
            Err(why) => format!("not known: {why}"),
        }
    }
}

fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::super::status::tests::trust;
    use super::*;
    use crate::api::release_trust::{PolicyVerdict, Verdict};
    use crate::leader::Look;

    /// What a leader has told of these policies.
    pub(in super::super) fn looks(told: &[(&str, Option<&str>)]) -> Looks {
        let look = |since: Option<&str>| Look {
            generation: 1,
            since: since.map(|since| since.parse().unwrap()),
        };
        let told = told
            .iter()
            .map(|(policy, since)| ((*policy).to_owned(), look(*since)));
        Looks(Ok(told.collect::<BTreeMap<_, _>>()))
    }

    fn release(policies: &[&str]) -> ReleaseTrust {
        let mut trust = trust("web", "SignatureVerified");
        let of = |policy: &&str| PolicyVerdict {
            policy: (*policy).to_owned(),
            rule: Some("all".to_owned()),
            verdict: Verdict::Trusted,
            reason: "SignatureVerified".to_owned(),
            exception: None,
        };
        trust.status.as_mut().unwrap().policies = policies.iter().map(of).collect();
        trust
    }

    #[test]
    fn the_policy_that_waits_longest_counts() {
        let told = looks(&[
            ("a", Some("2026-11-29T10:00:00Z")),
            ("b", Some("2026-11-29T09:00:00Z")),
            ("fresh", None),
        ]);
        let now = "2026-11-29T10:05:00Z".parse().unwrap();
        for (policies, expected) in [
            (&["a"][..], "5m"),
            (&["a", "b"], "65m"),
            (&["a", "unmanaged"], "5m"),
            (&["a", "fresh"], "-"),
            (&["unmanaged"], "-"),
            (&[], "-"),
        ] {
            assert_eq!(told.age(&release(policies), now), expected, "{policies:?}");
        }
        let unknown = Looks(Err("forbidden".to_owned()));
        assert_eq!(unknown.age(&release(&["a"]), now), "-");
        assert_eq!(unknown.sentence(&release(&["a"])), "not known: forbidden");
        assert_eq!(
            told.sentence(&release(&["b"])),
            "every source of its policies was asked at 2026-11-29T09:00:00Z or later"
        );
    }

    #[test]
    fn ages_are_those_of_kubectl() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-29T12:00:00Z");
        for (since, expected) in [
            ("2026-11-29T12:00:01Z", "0s"),
            ("2026-11-29T11:58:01Z", "119s"),
            ("2026-11-29T11:58:00Z", "2m"),
            ("2026-11-29T10:00:00Z", "2h"),
            ("2026-11-27T12:00:00Z", "2d"),
        ] {
            assert_eq!(age(at(since), now), expected, "{since}");
        }
    }
}
