//! Who holds the ranges of the namespaces, where several replicas share the work, and whether each has told its part.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::installation::{Holding, Looks, holding, renewal};
use super::report::{Line, State};
use super::said;
use crate::api::ChartTrustPolicy;
use crate::cli::leading::Operator;
use crate::leader::{Cut, lease_of};

/// What the Leases of all ranges show.
#[derive(Debug)]
pub(super) struct Ranges {
    cut: Cut,
    /// By the names of their Leases.
    held: Result<BTreeMap<String, Holding>, String>,
}

/// Reads them, a second time if the first look leaves open who holds one. Nothing where nobody shares the work.
pub(super) async fn look(client: &Client, operator: &Operator, looks: &Looks) -> Option<Ranges> {
    let own = looks.first.own.as_ref().ok()?.as_ref()?;
    let cut = Cut::of(&own.metadata)?;
    let held = match leases(client, operator).await {
        Err(why) => Err(why),
        Ok(first) => {
            let mut held = told(&first, None, looks);
            let is_unclear = |one: &Holding| matches!(one, Holding::Unclear { .. });
            if held.values().any(is_unclear) {
                renewal().await;
                let second = leases(client, operator).await.unwrap_or_default();
                held = told(&first, Some(&second), looks);
            }
            Ok(held)
        }
    };
    Some(Ranges { cut, held })
}

async fn leases(client: &Client, operator: &Operator) -> Result<Vec<Lease>, String> {
    let api = Api::<Lease>::namespaced(client.clone(), &operator.operator_namespace);
    let all = api.list(&ListParams::default()).await;
    all.map(|all| all.items).map_err(|error| said(&error))
}

fn told(first: &[Lease], second: Option<&[Lease]>, looks: &Looks) -> BTreeMap<String, Holding> {
    let of_range = (1..=MOST).map(lease_of).chain([lease_of(0)]);
    let of_range: BTreeSet<_> = of_range.collect();
    let named = first.iter().map(|lease| (lease.name_any(), lease));
    let named = named.filter(|(name, _)| of_range.contains(name));
    let told = named.map(|(name, lease)| {
        let mut again = second.into_iter().flatten();
        let again = again.find(|one| one.name_any() == name);
        let held = holding(lease, again, looks.now);
        (name, held)
    });
    told.collect()
}

/// The highest number that a range has: `--shards` goes to 64.
const MOST: usize = 63;

impl Ranges {
    /// What is said of them, with so many replicas, and of what they have told of these policies.
    pub(super) fn told(
        &self,
        (replicas, operator): (Option<i32>, &Operator),
        policies: Option<&[ChartTrustPolicy]>,
    ) -> Vec<Line> {
        const CHECK: &str = "ranges";
        let of = match self.cut {
            Cut::Changes => {
                let message = "the number of ranges changes: no quarantine begins and no verdict changes meanwhile";
                let next = "run it again in half a minute";
                return vec![Line::new(CHECK, State::Warning, message, next)];
            }
            Cut::Into(of) => of,
        };
        let held = match &self.held {
            Err(why) => return vec![Line::unknown(CHECK, "who holds the ranges", why)],
            Ok(held) => held,
        };
        let namespace = &operator.operator_namespace;
        let leases = format!("kubectl get leases -n {namespace}, and the logs of the operator");
        let mut lines = Vec::new();
        let faults = unheld(of, held);
        if !faults.is_empty() {
            let message = format!(
                "{}: verdicts of their namespaces are those of then, and no policy begins a quarantine",
                few(&faults)
            );
            lines.push(Line::new(CHECK, State::Failed, message, leases.clone()));
        }
        let others = beyond(of, held);
        if !others.is_empty() {
            let message = format!("there are {of} ranges, and {} renewed too", few(&others));
            let next = "give all replicas the same --shards";
            lines.push(Line::new(CHECK, State::Failed, message, next));
        }
        if lines.is_empty() {
            lines.push(shared(of, held, replicas));
        }
        lines.extend(policies.map(|policies| heard(of, held, (policies, &leases))));
        lines
    }
}

/// Ranges after the first that nobody renews: that of the first is told as the leader's.
fn unheld(of: usize, held: &BTreeMap<String, Holding>) -> Vec<String> {
    let since = |at: &Option<_>| {
        at.as_ref()
            .map_or_else(String::new, |at| format!(" since {at}"))
    };
    let fault = |range: usize| match held.get(&lease_of(range)) {
        Some(Holding::Renewed { .. }) => None,
        Some(Holding::Unclear { holder, renewed }) => Some(format!(
            "{holder} holds range {range} of {of} and has not renewed it{}",
            since(renewed)
        )),
        Some(Holding::Nobody(at)) => Some(format!(
            "no replica has held range {range} of {of}{}",
            since(at)
        )),
        None => Some(format!("no replica has ever held range {range} of {of}")),
    };
    (1..of).filter_map(fault).collect()
}

/// Ranges that are held though nobody else counts so far.
fn beyond(of: usize, held: &BTreeMap<String, Holding>) -> Vec<String> {
    let fault = |range: usize| match held.get(&lease_of(range)) {
        Some(Holding::Renewed { holder, .. }) => Some(format!("range {range} by {holder}")),
        Some(Holding::Nobody(_) | Holding::Unclear { .. }) | None => None,
    };
    (of..=MOST).filter_map(fault).collect()
}

/// Who shares them.
fn shared(of: usize, held: &BTreeMap<String, Holding>, replicas: Option<i32>) -> Line {
    const CHECK: &str = "ranges";
    let mut holders: BTreeMap<&str, usize> = BTreeMap::new();
    for range in 0..of {
        if let Some(Holding::Renewed { holder, .. }) = held.get(&lease_of(range)) {
            *holders.entry(holder).or_default() += 1;
        }
    }
    let each = |(holder, count): (&&str, &usize)| format!("{holder} {count}");
    let each: Vec<_> = holders.iter().map(each).collect();
    let idle = replicas.filter(|replicas| usize::try_from(*replicas).is_ok_and(|all| all > of));
    if let Some(replicas) = idle {
        let message =
            format!("{replicas} replicas are asked for, and there are {of} ranges: some have none");
        return Line::new(
            CHECK,
            State::Warning,
            message,
            "set shards to as many as replicas, or a multiple",
        );
    }
    if holders.len() == 1 && of > 1 {
        let message = format!("one replica holds all {of} ranges: nothing is shared");
        let next = "have more replicas, or set shards to 1";
        return Line::new(CHECK, State::Warning, message, next);
    }
    Line::ok(CHECK, format!("{of} ranges are held: {}", few(&each)))
}

/// What ranges have told of policies, by their present holders.
fn heard(
    of: usize,
    held: &BTreeMap<String, Holding>,
    (policies, leases): (&[ChartTrustPolicy], &str),
) -> Line {
    const CHECK: &str = "shares";
    let missing = policies.iter().flat_map(|policy| {
        let name = policy.name_any();
        let generation = policy.metadata.generation.unwrap_or_default();
        let status = policy.status.as_ref();
        let told = status.map(|status| status.shards.as_slice());
        let told = told.unwrap_or_default();
        (1..of).filter_map(move |range| {
            // Of one that nobody holds it is told above.
            let Some(Holding::Renewed { holder, .. }) = held.get(&lease_of(range)) else {
                return None;
            };
            let mut entries = told.iter();
            let entry = entries.find(|one| usize::try_from(one.range) == Ok(range));
            let why = match entry {
                None => "has told nothing of it".to_owned(),
                Some(entry) if entry.holder != *holder => {
                    format!("has told nothing of it since {holder} holds it")
                }
                Some(entry) if entry.observed_generation < generation => {
                    "has not read its last change".to_owned()
                }
                Some(entry) if !entry.judged => "has releases that are not judged yet".to_owned(),
                Some(_) => return None,
            };
            Some(format!("policy {name}: range {range} of {of} {why}"))
        })
    });
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return Line::ok(CHECK, "every range that is held has told of every policy");
    }
    let message = format!(
        "{}: no quarantine of these policies begins until then",
        few(&missing)
    );
    Line::new(CHECK, State::Warning, message, leases)
}

/// The first of some, and how many more there are.
fn few(all: &[String]) -> String {
    let shown: Vec<_> = all.iter().take(SHOWN).map(String::as_str).collect();
    let more = all.len().saturating_sub(shown.len());
    let more = if more == 0 {
        String::new()
    } else {
        format!(", and {more} more")
    };
    format!("{}{more}", shown.join(", "))
}

const SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn renewed(holder: &str) -> Holding {
        Holding::Renewed {
            holder: holder.to_owned(),
            ahead: 0,
        }
    }

    fn of(cut: Cut, held: &[(usize, Holding)]) -> Ranges {
        let held = held
            .iter()
            .map(|(range, one)| (lease_of(*range), one.clone()));
        Ranges {
            cut,
            held: Ok(held.collect()),
        }
    }

    fn policy(generation: i64, shards: &Value) -> ChartTrustPolicy {
        serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": "strict", "generation": generation},
            "spec": {"rules": []}, "status": {"shards": shards},
        }))
        .unwrap()
    }

    /// State and words of each line.
    fn told(
        ranges: &Ranges,
        replicas: i32,
        policies: Option<&[ChartTrustPolicy]>,
    ) -> Vec<(State, String)> {
        let operator = Operator {
            operator_namespace: "charttrust-system".to_owned(),
        };
        let lines = ranges.told((Some(replicas), &operator), policies);
        let told = lines.into_iter().map(|line| {
            assert_eq!(line.next.is_none(), line.state == State::Ok);
            (line.state, line.message)
        });
        told.collect()
    }

    /// What is told of ranges, and of so many replicas.
    fn tells(cases: &[(Ranges, i32, State, &str)]) {
        for (ranges, replicas, state, message) in cases {
            let told = told(ranges, *replicas, None);
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(told[0].0, *state, "{told:?}");
            assert!(told[0].1.contains(message), "{told:?}");
        }
    }

    fn two() -> Vec<(usize, Holding)> {
        vec![(0, renewed("a")), (1, renewed("b"))]
    }

    #[test]
    fn who_holds_the_ranges_is_told() {
        let alone = [(0, renewed("a")), (1, renewed("a"))];
        tells(&[
            (
                of(Cut::Into(2), &two()),
                2,
                State::Ok,
                "2 ranges are held: a 1, b 1",
            ),
            (
                of(Cut::Into(2), &two()),
                3,
                State::Warning,
                "3 replicas are asked for, and there are 2 ranges",
            ),
            (
                of(Cut::Into(2), &alone),
                1,
                State::Warning,
                "one replica holds all 2 ranges",
            ),
            (
                of(Cut::Changes, &two()),
                2,
                State::Warning,
                "the number of ranges changes",
            ),
        ]);
        let unseen = Ranges {
            cut: Cut::Into(3),
            held: Err("forbidden".to_owned()),
        };
        assert_eq!(told(&unseen, 2, None)[0].0, State::Unknown);
    }

    #[test]
    fn what_nobody_holds_and_what_is_left_is_told() {
        let at = "2026-11-29T11:00:00Z".parse().unwrap();
        let unclear = Holding::Unclear {
            holder: "c".to_owned(),
            renewed: Some(at),
        };
        let with = |range, holding| [two(), vec![(range, holding)]].concat();
        let left = with(2, Holding::Nobody(Some(at)));
        tells(&[
            (
                of(Cut::Into(3), &two()),
                2,
                State::Failed,
                "no replica has ever held range 2 of 3: ",
            ),
            (
                of(Cut::Into(3), &left),
                2,
                State::Failed,
                "no replica has held range 2 of 3 since 2026-11-29T11:00:00Z: ",
            ),
            (
                of(Cut::Into(3), &with(2, unclear.clone())),
                2,
                State::Failed,
                "c holds range 2 of 3 and has not renewed it since 2026-11-29T11:00:00Z: ",
            ),
            // What was left by a greater number is nobody's; what is renewed is somebody's.
            (
                of(Cut::Into(2), &with(2, unclear)),
                2,
                State::Ok,
                "2 ranges are held",
            ),
            (
                of(Cut::Into(2), &with(63, renewed("d"))),
                2,
                State::Failed,
                "there are 2 ranges, and range 63 by d renewed too",
            ),
        ]);
    }

    #[test]
    fn what_a_range_has_not_told_of_a_policy_is_told() {
        let ranges = of(Cut::Into(2), &[(0, renewed("a")), (1, renewed("b"))]);
        let entry = json!({"range": 1, "holder": "b", "observedGeneration": 3, "judged": true});
        let with = |field: &str, value: Value| {
            let mut entry = entry.clone();
            entry[field] = value;
            json!([entry])
        };
        for (shards, state, message) in [
            (json!([entry]), State::Ok, "every range"),
            (
                json!([]),
                State::Warning,
                "range 1 of 2 has told nothing of it",
            ),
            (
                with("range", json!(2)),
                State::Warning,
                "has told nothing of it",
            ),
            (
                with("holder", json!("c")),
                State::Warning,
                "nothing of it since b holds it",
            ),
            (
                with("observedGeneration", json!(2)),
                State::Warning,
                "has not read its last change",
            ),
            (
                with("judged", json!(false)),
                State::Warning,
                "not judged yet",
            ),
        ] {
            let told = told(&ranges, 2, Some(&[policy(3, &shards)]));
            assert_eq!(told.len(), 2);
            assert_eq!(told[1].0, state, "{told:?}");
            assert!(told[1].1.contains(message), "{told:?}");
        }
        // Of a range that nobody holds the line of ranges tells.
        let unheld = of(Cut::Into(2), &[(0, renewed("a"))]);
        let told = told(&unheld, 2, Some(&[policy(3, &json!([]))]));
        let states: Vec<_> = told.iter().map(|(state, _)| *state).collect();
        assert_eq!(states, [State::Failed, State::Ok]);
    }
}
