//! Tells in the Lease how recent the looks at sources are. Reads the Lease once; the election writes it, when
//! it is renewed anyway.

use std::time::Duration;

use jiff::Unit;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use tokio::sync::watch;

use super::context::Context;
use super::numbers::{AskedSince, Polls};
use crate::api::rounded_down;
use crate::clock::Moment;
use crate::inventory::workloads::Claimed;
use crate::leader::{
    LOOKED, Look, Looked, Told, UNACCOUNTED, Unaccounted, lease_of, looked, looked_text,
};
use crate::watch::within_deadline;

/// How often it is found out anew. It is told by the minute.
const EVERY: Duration = Duration::from_secs(30);
/// Most policies that are told, the first by their names: the Lease is written every two seconds.
const MOST_TOLD: usize = 100;

impl Context {
    /// Keeps what this replica tells up to date while it leads, for ever.
    pub async fn tell_for_ever(&self, told: watch::Sender<Told>) {
        self.leadership.granted().await;
        let mut before = self.told_before().await;
        loop {
            let text = looked_text(&self.looked(&mut before, Moment::now()));
            let unaccounted = self.told_unaccounted();
            told.send_if_modified(|told| {
                let before = told.clone();
                told.insert(LOOKED, text);
                told.extend(unaccounted.map(|unaccounted| (UNACCOUNTED, unaccounted.text())));
                *told != before
            });
            tokio::time::sleep(EVERY).await;
        }
    }

    /// How much runs without a record, if that is looked for. Else nothing is known of it.
    fn told_unaccounted(&self) -> Option<Unaccounted> {
        let all = self.store.unaccounted.all();
        self.settings.unaccounted.then(|| Unaccounted {
            releases: all.iter().map(Claimed::releases).sum(),
            workloads: all.iter().map(|one| one.workloads).sum(),
        })
    }

    /// What the leader before this one has told.
    async fn told_before(&self) -> Looked {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &self.settings.namespace);
        let name = lease_of(self.share.as_ref().map_or(0, |share| share.range));
        match within_deadline(leases.get_opt(&name)).await {
            Ok(Some(lease)) => looked(&lease.metadata),
            Ok(None) => Looked::new(),
            Err(error) => {
                // What was told before is missed until everything was looked at once.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "failed to read the lease"
                );
                Looked::new()
            }
        }
    }

    /// Until each source was asked by this process, what was told `before` of the same policy still holds.
    /// From then on it is forgotten: it knows nothing of a release that comes later.
    fn looked(&self, before: &mut Looked, moment: Moment) -> Looked {
        let trust = self.store.trust();
        let mut polls = Polls::of(&trust);
        self.store
            .polls(|judgement, states| polls.add(judgement, states));
        let mut looks = Looked::new();
        for (name, reading) in trust.policy_readings.iter().take(MOST_TOLD) {
            let generation = reading.generation;
            before.retain(|other, look| other != name || look.generation == generation);
            let asked = polls.asked_since(name, moment);
            if let AskedSince::Date(_) = asked {
                before.remove(name);
            }
            let told = before.get(name).and_then(|look| look.since);
            let since = match asked {
                AskedSince::Date(since) => Some(rounded_down(since, Unit::Minute)),
                AskedSince::NotYet | AskedSince::Nothing => told,
            };
            // What asks no source tells nothing.
            if asked != AskedSince::Nothing || since.is_some() {
                looks.insert(name.clone(), Look { generation, since });
            }
        }
        looks
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::clock;
    use crate::controllers::store::PollState;
    use crate::controllers::testing::{POLICY, Scene, web};

    const SOURCE: &str = "https://charts.example.com";

    fn asked(scene: &Scene, ago: u64) {
        let at = clock::tick().checked_sub(Duration::from_secs(ago)).unwrap();
        let poll = PollState {
            last_asked: at,
            answering_since: at,
            every: Duration::from_secs(3600),
            failures: 0,
            retry_after: None,
            requests: 0,
        };
        let source = charttrust_verify::policy::Source::at(SOURCE);
        scene
            .context
            .store
            .update(&web(), |release| release.note_poll(&source, poll));
    }

    /// Since when the policy of the scene was looked at, as it is told.
    fn told(scene: &Scene, before: &mut Looked) -> Option<Timestamp> {
        let moment = Moment {
            date: "2026-11-29T12:00:30Z".parse().unwrap(),
            tick: clock::tick(),
        };
        scene.context.looked(before, moment)[POLICY].since
    }

    fn before(generation: i64) -> Looked {
        let since = "2026-11-29T09:00:00Z".parse().ok();
        Looked::from([(POLICY.to_owned(), Look { generation, since })])
    }

    #[tokio::test]
    async fn what_was_told_of_the_same_policy_holds_until_all_was_asked_anew() {
        let scene = Scene::automatic().await;
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let mut before_it = before(1);
        assert_eq!(told(&scene, &mut Looked::new()), None);
        assert_eq!(told(&scene, &mut before_it), at("2026-11-29T09:00:00Z"));
        assert_eq!(told(&scene, &mut before(2)), None, "of other sources");
        asked(&scene, 120);
        assert_eq!(told(&scene, &mut before_it), at("2026-11-29T11:58:00Z"));
        assert_eq!(
            before_it,
            Looked::new(),
            "nothing known of what comes later"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_writes_nothing_and_is_told_with_the_next_renewal() {
        let scene = Scene::automatic().await;
        let (sender, mut receiver) = watch::channel(Told::new());
        let telling = scene.context.tell_for_ever(sender);
        let heard = async {
            receiver.changed().await.unwrap();
            let first = receiver.borrow_and_update()[LOOKED].clone();
            assert_eq!(first, json!({POLICY: {"generation": 1}}).to_string());
            asked(&scene, 0);
            receiver.changed().await.unwrap();
            let second = receiver.borrow_and_update()[LOOKED].clone();
            assert!(second.contains("since"), "{second}");
        };
        tokio::select! {
            () = telling => {}
            () = heard => {}
        }
        assert!(scene.cluster.writes().is_empty());
    }
}
