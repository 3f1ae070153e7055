//! When a policy begins a quarantine, and when it does not.

use std::collections::BTreeSet;
use std::time::Duration;

use charttrust_verify::verdict::{Cause, Reason, Verdict};
use serde_json::json;

use super::{
    Case, HOUR, LONG, NOTHING, START, TRUSTED, contained, decided, decided_after, forum,
    is_due_after, of_revocation, outcomes, remember, remembered, report_only, start,
};
use crate::clock::{Moment, tick};
use crate::controllers::context::QuarantineSettings;
use crate::controllers::store::{Outcomes, Waiting};
use crate::controllers::task::Task;
use crate::controllers::testing::{
    OPERATOR_NAMESPACE, POLICY, Scene, id, quarantine_of, said, stolen, web, workload_of,
};
use crate::inventory::helm::Driver;
use crate::leader::Leadership;
use crate::quarantine::FINALIZER;

#[tokio::test]
async fn what_is_bad_is_contained_as_the_policy_says() {
    let scene = Scene::automatic().await;
    assert_eq!(decided(&scene).await, [START]);
    let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
    let spec = json!({
        "actions": ["ScaleToZero"], "policy": POLICY, "reason": "KeyCompromised under policy strict",
    });
    assert_eq!(object["spec"], spec);
    let expected = Outcomes {
        active: 1,
        allowance: 1,
        per_namespace: 3,
        ..Outcomes::default()
    };
    assert_eq!(outcomes(&scene), expected);
}

/// Of a thousand that begin together each would list the same of the whole cluster.
#[tokio::test]
async fn what_was_shown_since_it_was_decided_counts_for_the_first_look() {
    for is_refused in [false, true] {
        let scene = Scene::automatic().await;
        if is_refused {
            let refusal = (500, "InternalError");
            scene.cluster.refuse("POST", "/quarantines", refusal);
        }
        let (before, due) = (tick(), tick() + HOUR);
        let started = start::reconcile(&scene.context, POLICY, Moment::now()).await;
        assert_eq!(started.is_err(), is_refused);
        let begun = &scene.context.store.begun;
        let since = begun.take(&web(), due);
        assert_eq!(before <= since && since < due, !is_refused, "{since:?}");
        assert_eq!(begun.take(&web(), due), due, "and for no other");
        begun.note([web()].iter(), due);
        assert_eq!(
            begun.take(&web(), before),
            before,
            "what comes later does not"
        );
    }
}

/// A watch may lag, and what is created has no earlier version that could refuse it.
#[tokio::test]
async fn nothing_begins_by_what_the_server_has_otherwise() {
    type Deed = fn(&Scene);
    const KEYS: &str = "/apis/charttrust.io/v1alpha1/trustedkeys/platform";
    const POLICIES: &str = "/apis/charttrust.io/v1alpha1/charttrustpolicies/strict";
    let key = json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
        "metadata": {"name": "platform", "uid": "one", "generation": 2},
        "spec": {"fingerprint": "0123456789ABCDEF0123456789ABCDEF01234567", "publicKey": {"inline": "x"},
            "revocation": {"reason": "Compromised"}},
    });
    let cases: [(&str, Deed); 6] = [
        ("TrustedKey platform", |scene| scene.cluster.remove(KEYS)),
        ("TrustedKey platform", |scene| {
            alter(scene, KEYS, &json!({"metadata": {"generation": 3}}));
        }),
        ("TrustedKey platform", |scene| {
            alter(scene, KEYS, &json!({"metadata": {"uid": "two"}}));
        }),
        ("ChartTrustPolicy strict", |scene| {
            scene.cluster.remove(POLICIES);
        }),
        ("ChartTrustPolicy strict", |scene| {
            alter(scene, POLICIES, &json!({"metadata": {"generation": 2}}));
        }),
        ("read what a quarantine would rest on", |scene| {
            scene
                .cluster
                .refuse("GET", "/trustedkeys", (500, "InternalError"));
        }),
    ];
    // Few are asked for by name, and many listed.
    let cases = cases.into_iter().flat_map(|case| [(case, 1), (case, 17)]);
    for ((named, change), count) in cases {
        let scene = Scene::automatic().await;
        known_keys(&scene, (KEYS, &key), count);
        let stored = (scene.cluster.find(KEYS), scene.cluster.find(POLICIES));
        change(&scene);
        let now = Moment::now();
        let failed = start::reconcile(&scene.context, POLICY, now)
            .await
            .unwrap_err();
        assert!(failed.to_string().contains(named), "{failed}");
        assert_eq!(scene.of_quarantines(), NOTHING, "{named}");
        // That it cannot be found out is told; that it has changed will be.
        let found = outcomes(&scene);
        let is_unread = named.starts_with("read");
        let expected = (0, usize::from(!is_unread), is_unread);
        let failed = found.failed.get(&web());
        let told = failed.is_some_and(|why| why.contains(named));
        assert_eq!((found.active, found.waiting, told), expected, "{named}");
        // Once it is as it was judged by, it begins.
        scene.cluster.allow();
        scene.cluster.put(KEYS, stored.0.unwrap());
        scene.cluster.put(POLICIES, stored.1.unwrap());
        assert_eq!(decided(&scene).await, [START], "{named}");
    }
}

/// So many keys are stored, and known as they are.
fn known_keys(scene: &Scene, (path, key): (&str, &serde_json::Value), count: usize) {
    for number in 1..=count {
        let name = match number {
            1 => "platform".to_owned(),
            _ => format!("other-{number}"),
        };
        let mut key = key.clone();
        key["metadata"]["name"] = json!(name);
        let path = path.replace("platform", &name);
        scene.cluster.put(&path, key.clone());
        let read = serde_json::from_value(key).unwrap();
        scene.context.cache.keys.set(name, Some(Ok(read)));
    }
}

fn alter(scene: &Scene, path: &str, change: &serde_json::Value) {
    let mut object = scene.cluster.find(path).unwrap();
    json_patch::merge(&mut object, change);
    scene.cluster.put(path, object);
}

/// Whoever may write records can copy one as often as it pleases: never harm without proof that
/// something is there, and never let it disarm.
#[tokio::test]
async fn copies_of_a_record_hold_nothing_and_count_nothing() {
    let scene = Scene::automatic().await;
    scene.declare(&json!({"limit": {"maxReleases": 1}}));
    for copy in 0..6 {
        let copy = id("shop", &format!("copy{copy}"));
        scene.record(&copy, Driver::Secret);
        scene.judge(&copy, vec![stolen()]);
    }
    assert_eq!(decided(&scene).await, [START]);
    let expected = Outcomes {
        active: 1,
        waiting: 6,
        allowance: 1,
        per_namespace: 3,
        ..Outcomes::default()
    };
    assert_eq!(outcomes(&scene), expected);
    let copy = scene.context.store.release(&id("shop", "copy0")).unwrap();
    assert_eq!(
        copy.decisions.get(POLICY),
        Some(&Some(Waiting::ForWorkloads))
    );
}

#[tokio::test]
async fn what_has_no_workloads_yet_is_looked_at_again_and_begins_when_it_has() {
    let scene = Scene::automatic().await;
    scene.cluster.remove(&workload_of(&web()));
    let before = tick();
    assert_eq!(decided(&scene).await, NOTHING);
    let again = Task::Decide(POLICY.to_owned());
    assert!(is_due_after(
        &scene,
        &again,
        before,
        Duration::from_secs(10)
    ));
    scene.install(&web(), Driver::Secret);
    assert_eq!(decided(&scene).await, [START]);
}

/// A right that is missing must not disarm; and a deployer is something to hold.
#[tokio::test]
async fn what_cannot_be_found_out_counts_as_something() {
    let scene = Scene::automatic().await;
    scene.cluster.remove(&workload_of(&web()));
    scene
        .cluster
        .refuse("GET", "/shop/statefulsets", (403, "Forbidden"));
    assert_eq!(decided(&scene).await, [START]);

    for (group, version, plural, deployer) in [(
        "helm.toolkit.fluxcd.io",
        "v2",
        "helmreleases",
        json!({"metadata": {"namespace": "shop", "name": "web"},
            "status": {"history": [{"name": "web", "version": 1}]}}),
    )] {
        let scene = Scene::automatic().await;
        scene.declare(&json!({"actions": ["PauseDeployer"]}));
        scene.cluster.remove(&workload_of(&web()));
        assert_eq!(decided(&scene).await, NOTHING);
        let path = format!("/apis/{group}/{version}/namespaces/shop/{plural}/web");
        scene.cluster.put(&path, deployer);
        assert_eq!(decided(&scene).await, [START], "{plural}");
    }
}

#[tokio::test]
async fn a_namespace_in_which_too_much_is_due_stops_only_itself() {
    let scene = Scene::automatic().await;
    scene.declare(&json!({"limit": {"maxReleases": 2}}));
    let tenants: Vec<_> = (0..4).map(|one| id("tenant", &format!("r{one}"))).collect();
    for one in &tenants {
        scene.install(one, Driver::Secret);
        scene.judge(one, vec![stolen()]);
    }
    assert_eq!(decided(&scene).await, [START]);
    assert_eq!(outcomes(&scene).crowded, tenants);
    assert_eq!(outcomes(&scene).stopped, []);

    // What is due there later counts there too, and what is in force.
    let scene = Scene::automatic().await;
    for one in &tenants {
        scene.install(one, Driver::Secret);
        scene.judge(one, vec![stolen()]);
    }
    scene.quarantine(&tenants[0], &json!({}));
    scene.context.store.update(&tenants[1], |release| {
        release.bad_since.insert(POLICY.to_owned(), tick() + HOUR);
    });
    assert_eq!(decided(&scene).await, [START]);
    assert_eq!(outcomes(&scene).crowded, tenants[1..]);
    assert_eq!(outcomes(&scene).waiting, 0);
}

#[tokio::test]
async fn nothing_starts_unless_everything_speaks_for_it() {
    for (why, change) in UNLESS {
        let scene = Scene::automatic().await;
        change(&scene);
        assert_eq!(decided(&scene).await, NOTHING, "{why}");
    }
}

const UNLESS: [Case; 15] = [
    ("no quarantine is asked for", |scene| {
        scene.declare_spec(&json!({}));
    }),
    ("a person has to approve", |scene| {
        scene.declare(&json!({"approval": "Manual"}));
    }),
    ("another reason is asked for", |scene| {
        scene.declare(&json!({"onReasons": ["KeyRevoked"]}));
    }),
    ("the policy is suspended", |scene| {
        scene.declare_spec(&json!({"suspend": true, "quarantine": {
            "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
            "actions": ["ScaleToZero"],
        }}));
    }),
    ("it is trusted", |scene| {
        scene.judge(&web(), vec![said(TRUSTED)]);
    }),
    ("nobody knows", |scene| {
        let unknown = Verdict::Unknown(Cause::SourceUnavailable);
        scene.judge(&web(), vec![said(unknown)]);
    }),
    ("another policy says so", |scene| {
        let mut other = stolen();
        other.policy = "other".to_owned();
        scene.judge(&web(), vec![said(TRUSTED), other]);
    }),
    ("no revocation explains it", |scene| {
        let bad = Verdict::Untrusted(Reason::KeyCompromised);
        scene.judge(&web(), vec![said(bad)]);
    }),
    ("it is contained", |scene| {
        scene.quarantine(&web(), &json!({}));
    }),
    (
        "only a ConfigMap says so, and a Secret something else",
        |scene| {
            let store = &scene.context.store;
            let policy = POLICY.to_owned();
            store.update(&web(), |release| release.contradicted.insert(policy));
        },
    ),
    ("nothing carries its marks", |scene| {
        scene.cluster.remove(&workload_of(&web()));
    }),
    ("it has not been bad for long enough", |scene| {
        scene.declare(&json!({"after": "1h"}));
    }),
    ("it is to be judged again", |scene| {
        let store = &scene.context.store;
        store.update(&web(), |release| release.judgings.ask());
    }),
    ("another was not judged yet", |scene| {
        scene.install(&forum(), Driver::Secret);
    }),
    ("another is known and was not judged yet", |scene| {
        scene.install(&forum(), Driver::Secret);
        scene.context.store.update(&forum(), |_| ());
    }),
];

#[tokio::test]
async fn only_proof_of_badness_is_a_reason_whatever_a_policy_names() {
    let scene = Scene::automatic().await;
    let trust = scene.context.store.trust();
    let mut loaded = trust.policies[POLICY].clone();
    let terms = loaded.quarantine.as_mut().unwrap();
    terms.reasons = BTreeSet::from([Reason::SignerNotTrusted, Reason::ContentMismatch]);
    for reason in [Reason::SignerNotTrusted, Reason::ContentMismatch] {
        let mut bad = stolen();
        bad.verdict = Verdict::Untrusted(reason);
        scene.judge(&web(), vec![bad]);
        let reading = trust.policy_readings[POLICY].clone();
        scene
            .context
            .store
            .set_policy(POLICY, Some((reading, loaded.clone())));
        decided(&scene).await;
        assert_eq!(scene.of_quarantines(), NOTHING, "{reason:?}");
    }
}

#[tokio::test]
async fn nothing_starts_while_a_key_or_policy_is_being_taken_in() {
    let scene = Scene::automatic().await;
    let change = scene.context.change(None, tick());
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(outcomes(&scene).waiting, 1);
    drop(change);
    assert_eq!(decided(&scene).await, [START]);
}

#[tokio::test]
async fn nothing_starts_where_nothing_may_be_changed() {
    let protected = QuarantineSettings {
        protected: vec!["shop".to_owned()],
    };
    for (settings, namespace) in [
        (protected, "shop"),
        (QuarantineSettings::default(), "kube-system"),
        (QuarantineSettings::default(), OPERATOR_NAMESPACE),
    ] {
        let scene = Scene::with(Some(settings), Leadership::Alone).await;
        scene.declare(&json!({}));
        let release = id(namespace, "web");
        scene.install(&release, Driver::Secret);
        scene.judge(&release, vec![stolen()]);
        assert_eq!(decided(&scene).await, NOTHING, "{namespace}");
    }
}

#[tokio::test]
async fn nothing_starts_and_nobody_has_ended_anything_without_the_switch() {
    let scene = report_only().await;
    remember(&scene, |incidents| {
        incidents.note_active(&of_revocation(), &forum());
    });
    scene.install(&forum(), Driver::Secret);
    scene.judge(&forum(), vec![stolen()]);
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(outcomes(&scene).waiting, 1);
    assert!(
        !remembered(&scene)
            .await
            .is_released(&of_revocation(), &forum())
    );
}

#[tokio::test]
async fn whoever_adds_a_record_each_moment_holds_nobody_up() {
    let scene = Scene::automatic().await;
    let present = BTreeSet::from([web()]);
    scene.context.store.present.get_or_init(|| present);
    scene.install(&forum(), Driver::Secret);
    assert_eq!(decided(&scene).await, [START], "it came later");

    // One that was there when a key changed is waited for, but not for ever.
    let scene = Scene::automatic().await;
    let present = BTreeSet::from([web()]);
    scene.context.store.present.get_or_init(|| present);
    scene.install(&forum(), Driver::Secret);
    drop(scene.context.change(None, tick()));
    assert_eq!(decided(&scene).await, NOTHING, "it was there");
    assert_eq!(
        decided_after(&scene, LONG).await,
        [START],
        "it was there for long"
    );
}

#[tokio::test]
async fn nothing_begins_by_what_was_said_before_a_change_however_long_ago() {
    let scene = Scene::automatic().await;
    let store = &scene.context.store;
    store.present.get_or_init(BTreeSet::new);
    drop(scene.context.change(None, tick()));
    store.update(&web(), |release| release.judgings.ask());
    assert_eq!(decided_after(&scene, LONG).await, NOTHING);
    assert_eq!(outcomes(&scene).waiting, 1);
}

#[tokio::test]
async fn releases_that_came_later_and_those_of_nobody_hold_nobody_up() {
    let scene = Scene::automatic().await;
    let present = BTreeSet::from([web()]);
    scene.context.store.present.get_or_init(|| present);
    scene.install(&forum(), Driver::Secret);
    let pending = Verdict::Unknown(Cause::Pending);
    scene.judge(&forum(), vec![said(pending)]);
    assert_eq!(decided(&scene).await, [START]);

    let scene = Scene::automatic().await;
    scene.install(&forum(), Driver::Secret);
    scene.judge(&forum(), vec![said(pending)]);
    let present = BTreeSet::from([web(), forum()]);
    scene.context.store.present.get_or_init(|| present);
    assert_eq!(decided(&scene).await, NOTHING, "it was there at the start");

    let scene = Scene::automatic().await;
    scene.declare_spec(
        &json!({"match": {"excludeNamespaces": ["elsewhere"]}, "quarantine": {
            "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
            "actions": ["ScaleToZero"],
        }}),
    );
    scene.install(&id("elsewhere", "forum"), Driver::Secret);
    assert_eq!(decided(&scene).await, [START]);
}

#[tokio::test]
async fn what_holds_nothing_and_never_will_takes_no_place() {
    let nothing_saved = json!({"status": {"objects": null}});
    let not_begun = json!({"status": {"incident": null, "objects": null}});
    let object = json!({
        "action": "ScaleToZero", "apiVersion": "apps/v1", "kind": "Deployment",
        "name": "forum", "state": "Planned",
    });
    let not_changed_yet = json!({"status": {"objects": [object]}});
    for (changes, active) in [(nothing_saved, 0), (not_begun, 1), (not_changed_yet, 1)] {
        let scene = Scene::automatic().await;
        scene.declare(&json!({"limit": {"maxReleases": 1}}));
        scene.install(&forum(), Driver::Secret);
        scene.judge(&forum(), vec![stolen()]);
        scene.quarantine(&forum(), &contained(&changes));
        let started = decided(&scene).await.len();
        assert_eq!(started, 1 - active, "{changes}");
        let stopped = outcomes(&scene).stopped.len();
        assert_eq!(stopped, active, "{changes}");
    }
}

#[tokio::test]
async fn what_is_in_force_and_what_is_due_later_count_against_the_limit() {
    let one = json!({"limit": {"maxReleases": 1}});
    let scene = Scene::automatic().await;
    scene.declare(&one);
    scene.install(&forum(), Driver::Secret);
    scene.judge(&forum(), vec![said(TRUSTED)]);
    scene.quarantine(&forum(), &json!({}));
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(outcomes(&scene).stopped, [web()]);
    assert_eq!(outcomes(&scene).active, 1);

    let scene = Scene::automatic().await;
    scene.declare(&one);
    scene.install(&forum(), Driver::Secret);
    scene.judge(&forum(), vec![said(TRUSTED)]);
    scene.quarantine(&forum(), &json!({"spec": {"policy": "other"}}));
    assert_eq!(
        decided(&scene).await,
        [START],
        "that of another policy does not count"
    );

    let scene = Scene::automatic().await;
    scene.declare(&one);
    scene.install(&forum(), Driver::Secret);
    scene.judge(&forum(), vec![stolen()]);
    scene.context.store.update(&forum(), |release| {
        let later = tick() + HOUR;
        release.bad_since.insert(POLICY.to_owned(), later);
    });
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(outcomes(&scene).stopped, [forum(), web()]);
    assert_eq!(outcomes(&scene).waiting, 0);
}
