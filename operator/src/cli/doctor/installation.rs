//! Who runs the operator, and who leads: its Deployment, and the Leases of its name.

use clap::ValueEnum as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Container;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::report::{Line, State};
use super::server::{self, UNNOTICED};
use super::{Containment, said};
use crate::cli::leading::{Operator, RENEWAL, holder};
use crate::controllers::Reports;
use crate::leader::{Containing, Discovering, LEASE};

/// The Deployments of the operator's namespace that run an operator.
pub(super) async fn deployments(
    client: &Client,
    operator: &Operator,
) -> Result<Vec<Deployment>, String> {
    let api = Api::<Deployment>::namespaced(client.clone(), &operator.operator_namespace);
    // By how it is started, not by labels, which values of the chart change.
    let all = api.list(&ListParams::default()).await;
    let all = all.map_err(|error| said(&error))?;
    let all = all.items.into_iter();
    Ok(all.filter(|one| container(one).is_some()).collect())
}

/// The container that runs the operator, as the chart starts it.
fn container(deployment: &Deployment) -> Option<&Container> {
    let spec = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let mut all = spec.containers.iter();
    all.find(|one| {
        let arguments = one.args.iter().flatten().collect::<Vec<_>>();
        let is_run = arguments.first().is_some_and(|first| *first == "run");
        is_run && arguments.iter().any(|one| one.starts_with("--namespace="))
    })
}

/// The `ServiceAccount` that a Deployment runs under, as the API server calls it.
pub(super) fn account(deployment: &Deployment) -> String {
    let spec = deployment.spec.as_ref();
    let pod = spec.and_then(|spec| spec.template.spec.as_ref());
    let name = pod.and_then(|pod| pod.service_account_name.as_deref());
    let namespace = deployment.namespace().unwrap_or_default();
    let name = name.unwrap_or("default");
    format!("system:serviceaccount:{namespace}:{name}")
}

/// Whether the operator contains, as its leader tells, or else as it is started.
pub(super) fn containment(
    lease: Option<&Lease>,
    deployments: &Result<Vec<Deployment>, String>,
) -> Containment {
    let of = |enabled| {
        if enabled {
            Containment::On
        } else {
            Containment::Off
        }
    };
    if let Some(told) = lease.and_then(|lease| Containing::of(&lease.metadata)) {
        return of(told.enabled);
    }
    let deployment = deployments.as_ref().ok().and_then(|all| all.first());
    let arguments = deployment.and_then(container).map(|one| one.args.iter());
    arguments.map_or(Containment::Unknown, |arguments| {
        of(arguments.flatten().any(|one| one == "--quarantine"))
    })
}

/// Where the operator looks for releases, as its leader tells, or else as it is started.
pub(super) fn discovering(
    lease: Option<&Lease>,
    deployments: &Result<Vec<Deployment>, String>,
) -> Discovering {
    if let Some(told) = lease.and_then(|lease| Discovering::of(&lease.metadata)) {
        return told;
    }
    let deployment = deployments.as_ref().ok().and_then(|all| all.first());
    let arguments = deployment
        .and_then(container)
        .and_then(|one| one.args.as_ref());
    let arguments = || arguments.into_iter().flatten();
    let named = arguments().filter_map(|one| one.strip_prefix("--discover-namespaces="));
    Discovering {
        unaccounted: arguments().any(|one| one == "--discover-unaccounted"),
        namespaces: named
            .flat_map(|names| names.split(','))
            .map(str::to_owned)
            .collect(),
        reports: arguments()
            .filter_map(|one| one.strip_prefix("--reports="))
            .filter_map(|kind| Reports::from_str(kind, true).ok())
            .flat_map(Reports::resources)
            .collect(),
        vsa: arguments().any(|one| one == "--vsa"),
    }
}

/// What is said of an operator that has no Deployment, which is no fault: it is run by hand, if its Lease tells
/// of it. Of a namespace in which nothing does, nothing is known.
pub(super) fn by_hand(check: &'static str, how: &str, looks: &Looks, operator: &Operator) -> Line {
    let namespace = &operator.operator_namespace;
    if let Ok(Some(_)) = looks.first.own {
        let message = format!("no Deployment in namespace {namespace}: it is run by hand, {how}");
        return Line::ok(check, message);
    }
    Line::new(
        check,
        State::Unknown,
        format!(
            "not checked: no Deployment and no Lease tells of an operator in namespace {namespace}"
        ),
        "name its namespace with --operator-namespace",
    )
}

/// What is said of the Deployments.
pub(super) fn running(
    found: &Result<Vec<Deployment>, String>,
    looks: &Looks,
    operator: &Operator,
) -> Line {
    const CHECK: &str = "operator";
    let namespace = &operator.operator_namespace;
    let all = match found {
        Err(why) => return Line::unknown(CHECK, "the operator's Deployment", why),
        Ok(all) => all,
    };
    let [deployment] = all.as_slice() else {
        if all.is_empty() {
            return by_hand(CHECK, "and its log tells how it is", looks, operator);
        }
        let names: Vec<_> = all.iter().map(ResourceExt::name_any).collect();
        return Line::new(
            CHECK,
            State::Failed,
            format!(
                "several installations in namespace {namespace}: {}",
                names.join(", ")
            ),
            "helm list shows them; remove all but one",
        );
    };
    let name = deployment.name_any();
    let (wanted, ready) = replicas(deployment);
    let message = format!("Deployment {name}: {ready} of {wanted} replicas are ready");
    let next = format!("kubectl describe deployment -n {namespace} {name}, and its Pods");
    match ready {
        // Somebody may run one by hand meanwhile, which the Lease tells.
        _ if wanted == 0 => Line::new(
            CHECK,
            State::Warning,
            format!("Deployment {name} is scaled to zero"),
            format!("kubectl scale deployment -n {namespace} {name} --replicas 2"),
        ),
        0 => Line::new(CHECK, State::Failed, message, next),
        ready if ready < wanted => Line::new(CHECK, State::Warning, message, next),
        _ => Line::ok(CHECK, message),
    }
}

/// How many replicas are asked for.
pub(super) fn wanted(deployments: &Result<Vec<Deployment>, String>) -> Option<i32> {
    let first = deployments.as_ref().ok()?.first()?;
    Some(replicas(first).0)
}

/// How many replicas are asked for, and how many are ready.
fn replicas(deployment: &Deployment) -> (i32, i32) {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let status = deployment.status.as_ref();
    let ready = status.and_then(|status| status.ready_replicas);
    (wanted.unwrap_or(1), ready.unwrap_or(0))
}

/// The Leases of the operator's name.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    /// That of the operator's namespace.
    pub(super) own: Result<Option<Lease>, String>,
    /// Those of other namespaces.
    elsewhere: Result<Vec<Lease>, String>,
}

/// Reads the Leases of all namespaces, or at least the operator's own.
pub(super) async fn leases(client: &Client, operator: &Operator) -> Leases {
    let namespace = &operator.operator_namespace;
    let named = ListParams::default().fields(&format!("metadata.name={LEASE}"));
    let all = Api::<Lease>::all(client.clone()).list(&named).await;
    match all {
        Ok(all) => {
            let named = all.items.into_iter().filter(|one| one.name_any() == LEASE);
            let is_own = |one: &Lease| one.namespace().as_ref() == Some(namespace);
            let (mut own, elsewhere): (Vec<_>, Vec<_>) = named.partition(is_own);
            Leases {
                own: Ok(own.pop()),
                elsewhere: Ok(elsewhere),
            }
        }
        Err(error) => {
            let own = Api::<Lease>::namespaced(client.clone(), namespace);
            let own = own.get_opt(LEASE).await;
            Leases {
                own: own.map_err(|error| self::said(&error)),
                elsewhere: Err(said(&error)),
            }
        }
    }
}

/// How long to wait until a leader must have renewed its Lease.
pub(super) async fn renewal() {
    tokio::time::sleep(RENEWAL).await;
}

/// What a Lease shows of its holder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Holding {
    /// Nobody holds it.
    Nobody(Option<Timestamp>),
    /// Its holder renews it; by how many seconds its clock is ahead.
    Renewed { holder: String, ahead: i64 },
    /// Nobody has seen it being renewed.
    Unclear {
        holder: String,
        renewed: Option<Timestamp>,
    },
}

/// By two looks at it, the second one if there was any: two clocks may disagree, and what is renewed is
/// held, whatever its date. `now` is the time of the API server at the last look.
pub(super) fn holding(first: &Lease, second: Option<&Lease>, now: Timestamp) -> Holding {
    let last = second.unwrap_or(first);
    let renewed = last.spec.as_ref();
    let renewed = renewed.and_then(|spec| spec.renew_time.as_ref());
    let renewed = renewed.map(|at| at.0);
    let Some(holder) = holder(last).map(str::to_owned) else {
        return Holding::Nobody(renewed);
    };
    let ahead = renewed.map(|at| at.duration_since(now).as_secs());
    let is_changed = second
        .is_some_and(|second| second.metadata.resource_version != first.metadata.resource_version);
    match ahead {
        Some(ahead) if is_changed || ahead.abs() <= UNNOTICED => Holding::Renewed { holder, ahead },
        _ => Holding::Unclear { holder, renewed },
    }
}

impl Leases {
    /// Whether a second look would tell more.
    pub(super) fn are_unclear(&self, now: Timestamp) -> bool {
        let own = self.own.iter().flatten();
        let elsewhere = self.elsewhere.iter().flatten();
        let mut all = own.chain(elsewhere);
        all.any(|one| matches!(holding(one, None, now), Holding::Unclear { .. }))
    }

    fn find(&self, like: &Lease) -> Option<&Lease> {
        let own = self.own.iter().flatten();
        let elsewhere = self.elsewhere.iter().flatten();
        let mut all = own.chain(elsewhere);
        all.find(|one| one.namespace() == like.namespace())
    }
}

/// Two looks at the Leases, the second if the first was unclear, and the API server's time then.
#[derive(Debug)]
pub(super) struct Looks {
    pub(super) first: Leases,
    pub(super) second: Option<Leases>,
    pub(super) now: Timestamp,
}

impl Looks {
    fn holding(&self, lease: &Lease) -> Holding {
        let second = self.second.as_ref();
        let again = second.and_then(|second| second.find(lease));
        holding(lease, again, self.now)
    }
}

/// What is said of who leads, and of its clock.
pub(super) fn leading(
    looks: &Looks,
    deployments: &Result<Vec<Deployment>, String>,
    operator: &Operator,
) -> Vec<Line> {
    const CHECK: &str = "leader";
    let namespace = &operator.operator_namespace;
    let lease = match &looks.first.own {
        Err(why) => return vec![Line::unknown(CHECK, "who leads", why)],
        Ok(None) => return vec![unled(deployments, namespace)],
        Ok(Some(lease)) => lease,
    };
    let log = format!("kubectl get pods -n {namespace}, and the log of the operator");
    let failed = |message| vec![Line::new(CHECK, State::Failed, message, log.clone())];
    let since = |at: Option<Timestamp>| at.map_or_else(String::new, |at| format!(" since {at}"));
    match looks.holding(lease) {
        Holding::Nobody(at) => failed(format!(
            "no operator has led{}: verdicts are those of then",
            since(at)
        )),
        Holding::Unclear { holder, renewed } => failed(format!(
            "{holder} holds the Lease and has not renewed it{}: verdicts are those of then",
            since(renewed)
        )),
        Holding::Renewed { holder, ahead } => vec![
            Line::ok(CHECK, format!("{holder} leads, and renews its Lease")),
            server::off("clock", "the leader's clock", ahead),
        ],
    }
}

/// What is said where there is no Lease.
fn unled(deployments: &Result<Vec<Deployment>, String>, namespace: &str) -> Line {
    const CHECK: &str = "leader";
    let all = deployments.as_deref().unwrap_or_default();
    let ready = |one: &&Deployment| replicas(one).1 > 0;
    let (alone, electing): (Vec<_>, Vec<_>) =
        all.iter().filter(ready).partition(|one| is_alone(one));
    let log = format!("kubectl get pods -n {namespace}, and the log of the operator");
    match (alone.as_slice(), electing.as_slice()) {
        ([], []) => Line::new(
            CHECK,
            State::Unknown,
            format!(
                "not checked whether an operator runs: there is no Lease {LEASE} in namespace {namespace}"
            ),
            "name its namespace with --operator-namespace; one that runs with --no-leader-election tells \
             in its log how it is",
        ),
        ([one], []) if replicas(one).1 == 1 => Line::ok(
            CHECK,
            "it runs with --no-leader-election: no Lease tells that it works, its log does",
        ),
        (_, []) => Line::new(
            CHECK,
            State::Failed,
            "several replicas run with --no-leader-election: all of them write",
            "run one, or leave out the flag",
        ),
        (_, _) => Line::new(
            CHECK,
            State::Failed,
            format!("there is no Lease {LEASE} in namespace {namespace}: no operator has ever led"),
            log,
        ),
    }
}

/// Whether its operators ask for no Lease.
fn is_alone(deployment: &Deployment) -> bool {
    let arguments = container(deployment).and_then(|one| one.args.as_ref());
    let mut arguments = arguments.into_iter().flatten();
    arguments.any(|one| one == "--no-leader-election")
}

/// What is said of other installations, which would write what this one writes.
pub(super) fn others(looks: &Looks) -> Line {
    const CHECK: &str = "others";
    let all = match &looks.first.elsewhere {
        Err(why) => return Line::unknown(CHECK, "whether another operator runs", why),
        Ok(all) => all,
    };
    let leads = |lease: &&Lease| matches!(looks.holding(lease), Holding::Renewed { .. });
    let leading = all.iter().filter(leads);
    let namespaces: Vec<_> = leading.filter_map(ResourceExt::namespace).collect();
    if namespaces.is_empty() {
        return Line::ok(CHECK, "no other operator leads in this cluster");
    }
    if matches!(looks.first.own, Ok(None)) {
        return Line::new(
            CHECK,
            State::Unknown,
            format!("an operator leads in namespace {}", namespaces.join(", ")),
            "name its namespace with --operator-namespace",
        );
    }
    Line::new(
        CHECK,
        State::Failed,
        format!(
            "another operator leads in namespace {}: both write the statuses of the same keys and policies, \
             wherever they look for releases",
            namespaces.join(", ")
        ),
        "remove one of them: helm list -A",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-11-29T12:00:00Z";

    fn operator() -> Operator {
        Operator {
            operator_namespace: "charttrust-system".to_owned(),
        }
    }

    fn deployment(wanted: i32, ready: i32, more: &[&str]) -> Deployment {
        let arguments = [&["run", "--namespace=charttrust-system"], more].concat();
        serde_json::from_value(json!({
            "metadata": {"name": "charttrust", "namespace": "charttrust-system"},
            "spec": {"replicas": wanted, "selector": {}, "template": {"spec": {
                "serviceAccountName": "ct", "containers": [{"name": "operator", "args": arguments}]}}},
            "status": {"readyReplicas": ready},
        }))
        .unwrap()
    }

    fn lease(namespace: &str, holder: &str, renewed: &str, version: &str) -> Lease {
        serde_json::from_value(json!({
            "metadata": {"name": LEASE, "namespace": namespace, "resourceVersion": version},
            "spec": {"holderIdentity": holder, "renewTime": renewed},
        }))
        .unwrap()
    }

    #[test]
    fn replicas_that_are_missing_are_told() {
        let led = looks(
            lease("charttrust-system", "a", "2026-11-29T12:00:00.000000Z", "1"),
            None,
        );
        let state = |found| running(&found, &led, &operator()).state;
        assert_eq!(state(Ok(vec![deployment(2, 2, &[])])), State::Ok);
        assert_eq!(state(Ok(vec![deployment(2, 1, &[])])), State::Warning);
        assert_eq!(state(Ok(vec![deployment(2, 0, &[])])), State::Failed);
        assert_eq!(state(Ok(vec![deployment(0, 0, &[])])), State::Warning);
        let two = vec![deployment(2, 2, &[]), deployment(2, 2, &[])];
        assert_eq!(state(Ok(two)), State::Failed);
        // Run by hand: no fault.
        assert_eq!(state(Ok(Vec::new())), State::Ok);
        assert_eq!(state(Err("forbidden".to_owned())), State::Unknown);
        let account = account(&deployment(1, 1, &[]));
        assert_eq!(account, "system:serviceaccount:charttrust-system:ct");
    }

    /// A namespace that is only misspelt is no operator that is run by hand.
    #[test]
    fn only_a_lease_tells_that_one_is_run_by_hand() {
        let mut looks = looks(
            lease("charttrust-system", "a", "2026-11-29T12:00:00.000000Z", "1"),
            None,
        );
        let mut state = |own| {
            looks.first.own = own;
            let running = running(&Ok(Vec::new()), &looks, &operator()).state;
            let rights = by_hand("its rights", "as you", &looks, &operator()).state;
            assert_eq!(running, rights);
            running
        };
        let own = lease("charttrust-system", "a", "2026-11-29T12:00:00.000000Z", "1");
        assert_eq!(state(Ok(Some(own))), State::Ok);
        assert_eq!(state(Ok(None)), State::Unknown);
        assert_eq!(state(Err("forbidden".to_owned())), State::Unknown);
    }

    #[test]
    fn whether_it_contains_is_told_by_its_leader_or_its_arguments() {
        let on = Ok(vec![deployment(1, 1, &["--quarantine"])]);
        let off = Ok(vec![deployment(1, 1, &[])]);
        let by_hand = Ok(Vec::new());
        let mut told = lease("charttrust-system", "a", "2026-11-29T12:00:00.000000Z", "1");
        let annotation = json!({"enabled": true, "protected": []}).to_string();
        told.annotations_mut()
            .insert(crate::leader::QUARANTINE.to_owned(), annotation);
        for (lease, deployments, expected) in [
            (Some(&told), &off, Containment::On),
            (None, &on, Containment::On),
            (None, &off, Containment::Off),
            (None, &by_hand, Containment::Unknown),
        ] {
            assert_eq!(containment(lease, deployments), expected);
        }
    }

    #[test]
    fn where_it_looks_is_told_by_its_leader_or_its_arguments() {
        let two = || BTreeSet::from(["bank", "shop"].map(str::to_owned));
        let limited = Ok(vec![deployment(1, 1, &["--discover-namespaces=bank,shop"])]);
        let by_hand = Ok(Vec::new());
        let mut told = lease("charttrust-system", "a", "2026-11-29T12:00:00.000000Z", "1");
        let namespaces = two();
        let by_leader = Discovering {
            namespaces,
            unaccounted: true,
            reports: BTreeSet::new(),
            vsa: false,
        };
        let annotation = by_leader.text();
        let name = crate::leader::DISCOVERY.to_owned();
        told.annotations_mut().insert(name, annotation);
        for (lease, deployments, expected) in [
            (Some(&told), &by_hand, two()),
            (None, &limited, two()),
            (None, &by_hand, BTreeSet::new()),
        ] {
            assert_eq!(discovering(lease, deployments).namespaces, expected);
        }
    }

    fn looks(first: Lease, second: Option<Lease>) -> Looks {
        let of = |lease| Leases {
            own: Ok(Some(lease)),
            elsewhere: Ok(Vec::new()),
        };
        Looks {
            first: of(first),
            second: second.map(of),
            now: NOW.parse().unwrap(),
        }
    }

    #[test]
    fn who_renews_leads_whatever_its_clock_says() {
        let own = |holder, renewed, version| lease("charttrust-system", holder, renewed, version);
        let fresh = || own("a", "2026-11-29T11:59:58.000000Z", "1");
        let old = |version| own("a", "2026-11-29T11:00:00.000000Z", version);
        let ahead = |version| own("a", "2026-11-29T12:01:00.000000Z", version);
        for (first, second, states) in [
            (fresh(), None, vec![State::Ok, State::Ok]),
            (old("1"), Some(old("1")), vec![State::Failed]),
            (old("1"), Some(old("2")), vec![State::Ok, State::Failed]),
            (
                ahead("1"),
                Some(ahead("2")),
                vec![State::Ok, State::Warning],
            ),
            // Whose clock is ahead may be gone as well.
            (ahead("1"), Some(ahead("1")), vec![State::Failed]),
            (
                own("", "2026-11-29T11:59:58.000000Z", "1"),
                None,
                vec![State::Failed],
            ),
        ] {
            let looks = looks(first, second);
            let lines = leading(&looks, &Ok(Vec::new()), &operator());
            let found: Vec<_> = lines.iter().map(|line| line.state).collect();
            assert_eq!(found, states, "{looks:?}");
        }
        let now = NOW.parse().unwrap();
        assert!(!looks(fresh(), None).first.are_unclear(now));
        assert!(looks(old("1"), None).first.are_unclear(now));
    }

    #[test]
    fn without_a_lease_a_deployment_decides_whether_that_is_a_fault() {
        let none = Looks {
            first: Leases {
                own: Ok(None),
                elsewhere: Err("forbidden".to_owned()),
            },
            second: None,
            now: NOW.parse().unwrap(),
        };
        let state = |found: &[Deployment]| {
            let found = Ok(found.to_vec());
            leading(&none, &found, &operator())[0].state
        };
        let alone = |ready| deployment(ready, ready, &["--no-leader-election"]);
        assert_eq!(state(&[deployment(1, 1, &[])]), State::Failed);
        assert_eq!(state(&[]), State::Unknown);
        // Nobody is ready, which the line about the Deployment tells: one may run by hand.
        assert_eq!(state(&[deployment(0, 0, &[])]), State::Unknown);
        assert_eq!(state(&[alone(1)]), State::Ok);
        assert_eq!(state(&[alone(2)]), State::Failed);
        assert_eq!(others(&none).state, State::Unknown);
    }

    #[test]
    fn a_second_operator_is_a_fault_while_it_leads() {
        let other = |renewed| lease("elsewhere", "b", renewed, "1");
        let own = lease("charttrust-system", "a", "2026-11-29T11:59:59.000000Z", "1");
        let of = |lease| Looks {
            first: Leases {
                own: Ok(Some(own.clone())),
                elsewhere: Ok(vec![lease]),
            },
            second: None,
            now: NOW.parse().unwrap(),
        };
        let mut alone = of(other("2026-11-29T11:59:59.000000Z"));
        alone.first.own = Ok(None);
        let alone = others(&alone);
        assert_eq!(alone.state, State::Unknown, "{alone:?}");
        let fresh = others(&of(other("2026-11-29T11:59:59.000000Z")));
        assert_eq!(fresh.state, State::Failed);
        assert!(fresh.message.contains("namespace elsewhere"), "{fresh:?}");
        let left = others(&of(other("2026-11-01T00:00:00.000000Z")));
        assert_eq!(left.state, State::Ok);
    }
}
