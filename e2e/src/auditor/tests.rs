use serde_json::json;

use jiff::SignedDuration;

use super::*;

const US: &str = "system:serviceaccount:charttrust-system:charttrust";

fn event(user: &str, verb: &str, path: &str, response: Value) -> Event {
    let mut parts = path.split('/').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    Event {
        time: "2026-11-22T00:00:00Z".parse().unwrap(),
        answered: "2026-11-22T00:00:00Z".parse().unwrap(),
        user: user.to_owned(),
        verb: verb.to_owned(),
        resource: next(),
        namespace: next(),
        name: next(),
        subresource: next(),
        code: 200,
        user_agent: String::new(),
        request: None,
        response: Some(response),
    }
}

fn quarantine() -> Event {
    event(
        "ann",
        "create",
        "quarantines/shop/web",
        json!({"metadata": {"name": "web"}}),
    )
}

fn web(mark: Option<Value>) -> Value {
    let mut annotations = json!({
        "meta.helm.sh/release-name": "web",
        "meta.helm.sh/release-namespace": "shop",
    });
    if let Some(mark) = mark {
        annotations[MARK] = Value::String(mark.to_string());
    }
    json!({"metadata": {"annotations": annotations}})
}

fn mark(incident: &str, original: u32) -> Value {
    json!({"incident": incident, "quarantine": "uid", "original": original})
}

fn change(object: Value) -> Event {
    event(US, "patch", "deployments/shop/web", object)
}

fn breaches(events: Vec<Event>) -> Vec<String> {
    let found = check(&Events::from(events), &[US], "charttrust-system");
    found
        .breaches
        .iter()
        .map(|breach| breach.invariant.to_owned())
        .collect()
}

#[test]
fn a_quarantine_and_its_restore_breach_nothing() {
    let told = vec![
        quarantine(),
        event(US, "update", "quarantines/shop/web/status", json!({})),
        change(web(Some(mark("a", 3)))),
        change(web(None)),
        event(
            US,
            "create",
            "networkpolicies/shop/charttrust-quarantine-web",
            json!({}),
        ),
        event(
            US,
            "delete",
            "networkpolicies/shop/charttrust-quarantine-web",
            json!({}),
        ),
        event(
            US,
            "create",
            "networkpolicies/shop/charttrust-quarantine--2-web",
            json!({}),
        ),
        event(US, "create", "events/shop/web.1", json!({})),
        event(
            US,
            "update",
            "secrets/charttrust-system/charttrust-evidence",
            json!({}),
        ),
    ];
    let found = check(&Events::from(told), &[US], "charttrust-system");
    assert_eq!(found.checked, 5);
    assert_eq!(found.breaches, Vec::new());
}

/// Each story of writes breaks these invariants, and no others.
fn breaks<const N: usize>(stories: [(&str, Vec<Event>, &[&str]); N]) {
    for (what, events, expected) in stories {
        assert_eq!(breaches(events), expected, "{what}");
    }
}

#[test]
fn a_change_of_a_workload_that_breaks_a_rule_is_found() {
    let elsewhere = json!({"metadata": {"annotations": {
        "meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "other",
    }}});
    let garbled = json!({"metadata": {"annotations": {
        "meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop", MARK: "{",
    }}});
    let held = |original| change(web(Some(mark("a", original))));
    let once = [held(3), change(web(None))];
    let twice = [once.clone(), once].concat();
    breaks([
        ("no Quarantine", vec![held(3)], &["I4"]),
        (
            "another namespace",
            vec![quarantine(), change(elsewhere)],
            &["I5"],
        ),
        (
            "a garbled mark",
            vec![quarantine(), change(garbled)],
            &["I1"],
        ),
        (
            "another original",
            vec![quarantine(), held(3), held(1)],
            &["I2"],
        ),
        ("our own zero", vec![quarantine(), held(0)], &["I2"]),
        (
            "contained twice",
            [vec![quarantine()], twice].concat(),
            &["I3", "I3"],
        ),
    ]);
}

#[test]
fn a_write_of_what_may_not_be_written_is_found() {
    let write = |user, verb, path| event(user, verb, path, json!({}));
    let secret = write(US, "update", "secrets/shop/db");
    let workload = write(US, "delete", "deployments/shop/web");
    let policy = write(US, "delete", "networkpolicies/shop/deny");
    let by_another_hand = write("ann", "delete", "deployments/shop/web");
    breaks([
        ("a Secret of somebody", vec![secret], &["I5"]),
        ("a deleted workload", vec![quarantine(), workload], &["I5"]),
        ("a foreign policy", vec![quarantine(), policy], &["I5"]),
        ("by another hand", vec![by_another_hand], &[]),
    ]);
}

const PEER: &str = "system:serviceaccount:charttrust-system:twin";

/// The same, so many seconds later.
fn later(seconds: i64, event: Event) -> Event {
    Event {
        time: event.time + SignedDuration::from_secs(seconds),
        ..event
    }
}

fn policy(approval: &str) -> Event {
    let spec = json!({"quarantine": {"approval": approval}});
    let object = json!({"metadata": {"name": "p"}, "spec": spec});
    event("ann", "patch", "charttrustpolicies//p", object)
}

fn key(revocation: &Value) -> Event {
    let object = json!({"metadata": {"name": "k"}, "spec": {"revocation": revocation}});
    event("ann", "patch", "trustedkeys//k", object)
}

fn revoked() -> Event {
    key(&json!({"reason": "Compromised"}))
}

/// What the operator makes by itself.
fn automatic() -> Event {
    let object = json!({"metadata": {"name": "web"}, "spec": {"policy": "p"}});
    event(US, "create", "quarantines/shop/", object)
}

#[test]
fn a_quarantine_needs_a_cause() {
    let learned = json!({"metadata": {"name": "k"}, "spec": {},
        "status": {"conditions": [{"type": "Revoked", "status": "True"}]}});
    let learned = event(US, "update", "trustedkeys//k/status", learned);
    let begun = |before: &[Event]| [before, &[automatic()]].concat();
    let in_force = key(&Value::Null);
    breaks([
        (
            "a revoked key",
            begun(&[policy("Automatic"), revoked()]),
            &[],
        ),
        (
            "a learned revocation",
            begun(&[policy("Automatic"), learned]),
            &[],
        ),
        ("no policy", begun(&[revoked()]), &["I4"]),
        (
            "a manual policy",
            begun(&[policy("Manual"), revoked()]),
            &["I4"],
        ),
        ("no key", begun(&[policy("Automatic")]), &["I4"]),
        (
            "a key in force",
            begun(&[policy("Automatic"), in_force]),
            &["I4"],
        ),
    ]);
}

#[test]
fn a_cause_must_stand() {
    let gone = |path: &str| later(1, event("ann", "delete", path, json!({})));
    let withdrawn = || later(1, key(&Value::Null));
    let after = |change: Event, seconds: i64| {
        vec![
            policy("Automatic"),
            revoked(),
            change,
            later(seconds, automatic()),
        ]
    };
    let contained = || change(web(Some(mark("a", 3))));
    let ended = || gone("quarantines/shop/web");
    let restored = later(99, change(web(None)));
    breaks([
        ("a word withdrawn just now", after(withdrawn(), 9), &[]),
        ("a word withdrawn long ago", after(withdrawn(), 99), &["I4"]),
        (
            "a key deleted long ago",
            after(gone("trustedkeys//k"), 99),
            &["I4"],
        ),
        (
            "a policy deleted long ago",
            after(gone("charttrustpolicies//p"), 99),
            &["I4"],
        ),
        (
            "contained long after the Quarantine was deleted",
            vec![quarantine(), ended(), later(99, contained())],
            &["I4"],
        ),
        (
            "restored long after the Quarantine was deleted",
            vec![quarantine(), contained(), ended(), restored],
            &[],
        ),
    ]);
}

fn status(generation: i64, observed: i64, condition: Value) -> Event {
    let mut condition = condition;
    condition["observedGeneration"] = json!(observed);
    let object = json!({"metadata": {"name": "web", "uid": "u", "generation": generation},
        "status": {"conditions": [condition]}});
    event(US, "update", "releasetrusts/shop/web/status", object)
}

fn condition(type_: &str, status: &str, at: &str) -> Value {
    json!({"type": type_, "status": status, "lastTransitionTime": at})
}

#[test]
fn a_status_is_of_today_and_its_time_moves_with_it() {
    let ready = |at| condition("Ready", "True", at);
    let trusted = |at| condition("Trusted", "False", at);
    for (what, events, expected) in [
        ("up to date", vec![status(2, 2, ready("a"))], vec![]),
        (
            "from the future",
            vec![status(2, 3, trusted("a"))],
            vec!["I8"],
        ),
        (
            "Ready by old inputs",
            vec![status(3, 2, ready("a"))],
            vec!["I8"],
        ),
        (
            "another by old inputs",
            vec![status(3, 2, trusted("a"))],
            vec![],
        ),
        (
            "the time alone",
            vec![status(2, 2, ready("a")), status(2, 2, ready("b"))],
            vec!["I8"],
        ),
        (
            "time and status",
            vec![
                status(2, 2, ready("a")),
                status(2, 2, condition("Ready", "False", "b")),
            ],
            vec![],
        ),
    ] {
        assert_eq!(breaches(events), expected, "{what}");
    }
}

/// An event about the release.
fn told() -> Event {
    let regarding = json!({"regarding": {"namespace": "shop", "name": "web"}});
    event(US, "create", "events/shop/", regarding)
}

#[test]
fn an_event_needs_something_to_tell() {
    let news = || status(1, 1, condition("Trusted", "False", "a"));
    assert_eq!(breaches(vec![news(), told()]), Vec::<String>::new());
    assert_eq!(breaches(vec![news(), told(), told()]), ["I10"]);
    assert_eq!(
        breaches(vec![news(), news(), told(), told()]),
        ["I10"],
        "nothing is new"
    );
}

/// What is told is told before it is written, and not again where somebody else had written meanwhile.
#[test]
fn what_could_not_be_written_was_told_all_the_same_and_once() {
    let good = || status(1, 1, condition("Trusted", "True", "a"));
    let bad = || status(1, 1, condition("Trusted", "False", "a"));
    let refused = |of: Event| Event {
        code: 409,
        request: of.response.clone(),
        response: None,
        ..of
    };
    let taken_back = || vec![good(), told(), told(), refused(bad()), told(), good()];
    assert_eq!(breaches(taken_back()), Vec::<String>::new());
    let mut again = taken_back();
    again.push(told());
    assert_eq!(breaches(again), ["I10"]);
    let tried = vec![
        good(),
        told(),
        told(),
        refused(bad()),
        refused(bad()),
        bad(),
    ];
    assert_eq!(breaches(tried.clone()), Vec::<String>::new());
    let again = [tried, vec![told()]].concat();
    assert_eq!(breaches(again), ["I10"], "told at each try");
    let by_others = |of: Event| Event {
        user: "ann".to_owned(),
        ..of
    };
    let others = vec![good(), told(), by_others(refused(bad())), told()];
    assert_eq!(breaches(others), ["I10"], "the operator did not say that");
}

#[test]
fn a_deposed_replica_writes_nothing() {
    let lease = |user| {
        event(
            user,
            "update",
            "leases/charttrust-system/charttrust",
            json!({}),
        )
    };
    let write = |user| event(user, "update", "releasetrusts/shop/web/status", json!({}));
    let of = |events: Vec<Event>| {
        let found = check(&Events::from(events), &[US, PEER], "charttrust-system");
        found
            .breaches
            .iter()
            .map(|breach| breach.invariant)
            .collect::<Vec<_>>()
    };
    let took = || vec![lease(US), later(20, lease(PEER))];
    let and = |more: Event| [took(), vec![more]].concat();
    assert_eq!(of(and(later(21, write(PEER)))), [""; 0]);
    assert_eq!(of(and(later(21, write(US)))), ["I9"]);
    assert_eq!(of(and(later(19, write(US)))), [""; 0], "it was on its way");
    let refused = Event {
        code: 409,
        ..later(21, write(US))
    };
    assert_eq!(of(and(refused)), [""; 0]);
}

#[test]
fn what_is_at_rest_writes_nothing() {
    let since = quarantine().time;
    let events = |event| Events::from(vec![event]);
    let loud = |event| quiet(&events(event), &[US], since).len();
    assert_eq!(loud(change(web(None))), 1);
    assert_eq!(loud(later(-1, change(web(None)))), 0);
    assert_eq!(
        loud(event(
            US,
            "update",
            "leases/charttrust-system/charttrust",
            json!({})
        )),
        0
    );
    assert_eq!(loud(event(US, "get", "deployments/shop/web", json!({}))), 0);
    assert_eq!(loud(quarantine()), 0, "somebody else");
}

#[test]
fn ends_are_equal_but_for_chance() {
    let object = |uid: &str, replicas: u32| {
        json!({"metadata": {"name": "web", "uid": uid}, "spec": {"replicas": replicas},
            "status": {"conditions": [{"lastTransitionTime": "2026-11-22T00:00:00Z"}]}})
    };
    let end = |uid, replicas| ends(&Events::from(vec![change(object(uid, replicas))]));
    assert_eq!(end("one", 3), end("other", 3));
    assert_ne!(end("one", 3), end("one", 1));
    let ending = json!({"metadata": {"name": "web", "deletionTimestamp": "2026-11-22T00:00:00Z"}});
    let gone = event(US, "patch", "quarantines/shop/web", ending);
    assert_eq!(ends(&Events::from(vec![quarantine(), gone])).len(), 0);
    let deleted = event(US, "delete", "quarantines/shop/web", Value::Null);
    assert_eq!(ends(&Events::from(vec![quarantine(), deleted])).len(), 0);
    assert_eq!(ends(&Events::from(vec![quarantine()])).len(), 1);
}

#[test]
fn requests_keep_to_a_budget() {
    let asks = |count: i64, apart: i64| {
        let one = |number: i64| {
            let get = event(US, "get", "deployments/shop/web", json!({}));
            Event {
                time: get.time + SignedDuration::from_millis(number * apart),
                ..get
            }
        };
        let events = Events::from((0..count).map(one).collect::<Vec<_>>());
        within_budget(&events, US, 10).len()
    };
    assert_eq!(asks(100, 10), 0, "a burst");
    assert_eq!(asks(101, 10), 1);
    assert_eq!(asks(1000, 101), 0);
}

#[test]
fn a_secret_is_found_wherever_it_is_told() {
    let sent = |text: &str| Event {
        request: Some(json!({"note": text})),
        ..event(US, "create", "events/shop/", json!({}))
    };
    let found = |event: Event, log: &str| {
        leaks(
            &Events::from(vec![event]),
            &[US],
            &[("log", log)],
            &["canary-1"],
        )
        .len()
    };
    assert_eq!(found(sent("nothing"), "nothing"), 0);
    assert_eq!(found(sent("the canary-1 sings"), "nothing"), 1);
    assert_eq!(found(sent("Y2FuYXJ5LTE="), "nothing"), 1, "in base64");
    assert_eq!(found(sent("nothing"), "it is canary-1"), 1);
}

#[test]
fn a_panic_is_found() {
    assert_eq!(panics("all is well\n"), []);
    assert_eq!(panics("well\nthread 'main' panicked at x\n").len(), 1);
}
