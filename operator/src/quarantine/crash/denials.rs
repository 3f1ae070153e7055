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

/// Whoever may write the status of a Quarantine can record anything there.
fn recorded(server: &mut Server, name: &str, selector: &str, state: ObjectState) {
    let mut all = server.status.objects.iter();
    let made = all.find(|one| one.selector.is_some()).unwrap().clone();
    server.status.objects.push(ContainedObject {
        name: name.to_owned(),
        selector: Some(selector.to_owned()),
        state,
        ..made
    });
    server.own_version += 1;
}

#[test]
fn a_forged_record_makes_no_policy() {
    let ours = policies::name(&release(), 5);
    let neighbour = json!({"matchLabels": {"app": "neighbour"}}).to_string();
    for (name, selector) in [
        (ours.as_str(), "{}"),
        (ours.as_str(), neighbour.as_str()),
        ("database", "{}"),
        ("charttrust-quarantine-bank", "{}"),
    ] {
        let mut server = Server::new();
        server.run_through(&[], None);
        let before = denials(&server);
        recorded(&mut server, name, selector, ObjectState::Planned);
        server.run_through(&[], None);
        assert_eq!(denials(&server), before, "{name} {selector}");
        server.end();
        server.run_through(&[], None);
        assert!(!server.finalizer, "{name} {selector}");
    }
}

#[test]
fn a_policy_of_others_is_not_deleted_though_it_is_recorded_and_carries_our_annotation() {
    for name in ["database", "charttrust-quarantine-bank"] {
        let mut server = Server::new();
        server.run_through(&[], None);
        let ours = key(policies::KIND, &policies::name(&release(), 0));
        let mut theirs = server.objects[&ours].clone();
        theirs["metadata"]["name"] = json!(name);
        theirs["metadata"]["uid"] = json!("theirs");
        let theirs = server.objects.put(key(policies::KIND, name), theirs);
        let selector = theirs["spec"]["podSelector"].to_string();
        recorded(&mut server, name, &selector, ObjectState::Contained);
        server.end();
        server.run_through(&[], None);
        assert!(!server.finalizer, "{name}");
        assert_eq!(denials(&server), [key(policies::KIND, name)]);
        assert_eq!(server.objects[&key(policies::KIND, name)], theirs);
    }
}

#[test]
fn a_policy_that_somebody_keeps_is_deleted_once_and_made_again_when_it_is_gone() {
    let name = key(policies::KIND, "charttrust-quarantine-web");
    let mut server = Server::new();
    server.run_through(&[], None);
    let policy = server.objects.get_mut(&name).unwrap();
    policy["metadata"]["finalizers"] = json!(["tenant.example.com/keep"]);
    server.shares = Some(name.clone());
    server.run_through(&[], None);
    server.run_through(&[], None);
    let writes = server.writes;
    server.run_through(&[], None);
    assert_eq!(server.writes, writes, "it is on its way");
    assert_eq!(server.not_contained(), [name.1.as_str()]);
    server.shares = None;
    server.run_through(&[], None);
    server.objects.remove(&name);
    server.run_through(&[], None);
    assert!(server.objects.contains_key(&name));
    assert_eq!(server.not_contained(), NOBODY);
    // Nor does it hold up the end.
    let policy = server.objects.get_mut(&name).unwrap();
    policy["metadata"]["finalizers"] = json!(["tenant.example.com/keep"]);
    server.end();
    server.run_through(&[], None);
    assert!(!server.finalizer);
}
