//! Policies of ours, and policies of others that have their names.

use super::*;

#[test]
fn what_an_earlier_quarantine_left_makes_room() {
    let mut earlier = Server::new();
    earlier.run_through(&[], None);
    for meddled in [false, true] {
        let mut server = Server::new();
        for name in denials(&earlier) {
            let mut policy = earlier.objects[&name].clone();
            let annotation = policy["metadata"]["annotations"][ANNOTATION]
                .as_str()
                .unwrap();
            let annotation = annotation.replace(UID, "earlier-uid");
            policy["metadata"]["annotations"][ANNOTATION] = json!(annotation);
            if meddled {
                policy["spec"]["podSelector"] = json!({"matchLabels": {"app": "db"}});
            }
            server.objects.insert(name, policy);
        }
        server.run_through(&[], None);
        assert_eq!(server.status.state, Some(IN_FORCE));
        assert_eq!(server.not_contained(), NOBODY);
        server.end();
        server.run_through(&[], None);
        assert!(!server.finalizer);
        assert_eq!(denials(&server), Vec::<Key>::new());
    }
}

#[test]
fn a_policy_that_we_never_made_is_not_touched_and_holds_nothing_up() {
    let reference = Server::live_through(&[], None);
    let name = key(policies::KIND, "charttrust-quarantine-web");
    let foreign = |annotations: Value| {
        json!({
            "apiVersion": policies::API_VERSION, "kind": policies::KIND,
            "metadata": {"namespace": NAMESPACE, "name": name.1, "uid": "theirs",
                "resourceVersion": "1", "annotations": annotations},
            "spec": {"podSelector": {}, "ingress": [{}]},
        })
    };
    let annotation = "{\"incident\":\"x\",\"quarantine\":\"y\",\"time\":\"z\"}";
    for annotations in [
        json!({}),
        json!({ ANNOTATION: annotation }),
        json!({ ANNOTATION: "?" }),
    ] {
        let mut server = Server::new();
        let policy = foreign(annotations);
        server.objects.insert(name.clone(), policy.clone());
        server.run_through(&[], None);
        assert_eq!(server.not_contained(), [name.1.as_str()]);
        let isolated = find(&server.status.conditions, QuarantineCondition::Isolated).unwrap();
        assert_eq!(isolated.reason, "ChangedByOthers");
        assert_eq!(server.objects[&name], policy);
        server.end();
        server.run_through(&[], None);
        assert!(!server.finalizer);
        assert_eq!(server.objects.remove(&name), Some(policy));
        assert_eq!(server.essence(), reference.essence());
    }
}

#[test]
fn a_policy_of_ours_that_does_not_say_so_any_more_is_for_a_person_to_delete() {
    let name = key(policies::KIND, "charttrust-quarantine-web");
    let mut server = Server::new();
    server.run_through(&[], None);
    let policy = server.objects.get_mut(&name).unwrap();
    policy["metadata"]["annotations"] = json!({});
    server.end();
    server.run_through(&[], None);
    assert!(server.finalizer);
    let contested = find(&server.status.conditions, QuarantineCondition::Contested).unwrap();
    assert!(
        contested.message.contains("delete it by hand"),
        "{contested:?}"
    );
    server.objects.remove(&name);
    server.run_through(&[], None);
    assert!(!server.finalizer);
}

#[test]
fn a_policy_that_selects_pods_of_others_is_withdrawn_until_they_are_gone() {
    let name = key(policies::KIND, "charttrust-quarantine-web");
    let reference = Server::live_through(&[], None);
    let mut server = Server::new();
    server.run_through(&[], None);
    assert!(server.objects.contains_key(&name));
    server.shares = Some(name.clone());
    server.run_through(&[], None);
    assert!(!server.objects.contains_key(&name));
    let isolated = find(&server.status.conditions, QuarantineCondition::Isolated).unwrap();
    assert_eq!(isolated.reason, "SelectorShared");
    assert!(isolated.message.contains("Pod stranger"), "{isolated:?}");
    assert_eq!(server.not_contained(), [name.1.as_str()]);
    for shares in [Some(name.clone()), None, Some(name.clone()), None] {
        server.shares.clone_from(&shares);
        server.run_through(&[], None);
        assert_eq!(server.objects.contains_key(&name), shares.is_none());
    }
    assert_eq!(server.not_contained(), NOBODY);
    server.end();
    server.run_through(&[], None);
    assert!(!server.finalizer);
    assert_eq!(server.essence(), reference.essence());
}
