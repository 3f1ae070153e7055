//! What a release gets after its quarantine was planned, and what of that is contained too.

use super::super::{planned, servers};
use super::*;
use crate::api::bounds;

fn replicas<'a>(server: &'a Server, name: &str) -> &'a Value {
    &server.objects[&key("Deployment", name)]["spec"]["replicas"]
}

/// Contained, and nothing of others is listed.
fn contained() -> Server {
    let mut server = Server::new();
    server.objects.remove(&key("Deployment", "neighbour"));
    server.run_through(&[], None);
    assert_eq!(server.status.state, Some(QuarantineState::Active));
    server
}

fn reason(server: &Server) -> String {
    let active = find(&server.status.conditions, QuarantineCondition::Active);
    active.unwrap().reason.clone()
}

#[test]
fn what_appears_later_is_contained_and_comes_back_with_the_rest() {
    let mut server = contained();
    let before = denials(&server).len();
    server.add(&deployment("late", 4));
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "late"), 0);
    assert_eq!(server.status.state, Some(QuarantineState::Active));
    assert_eq!(server.not_contained(), NOBODY);
    assert!(denials(&server).len() > before, "with its policy");
    server.end();
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "late"), 4);
    assert!(!server.finalizer);
}

#[test]
fn what_stood_at_zero_is_contained_when_it_is_scaled_up() {
    let mut server = Server::new();
    server.add(&deployment("idle", 0));
    server.run_through(&[], None);
    let recorded = |server: &Server| {
        let mut all = server.status.objects.iter();
        all.any(|one| one.kind == "Deployment" && one.name == "idle")
    };
    assert!(!recorded(&server));
    server.scale("idle", 4);
    server.run_through(&[], None);
    assert!(recorded(&server));
    assert_eq!(replicas(&server, "idle"), 0);
    // Once: after that, whoever scales it is left, and it is told.
    server.scale("idle", 5);
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "idle"), 5);
    assert_eq!(reason(&server), "ChangedByOthers");
}

#[test]
fn an_object_made_again_is_contained_anew() {
    let mut server = contained();
    let web: Key = key("Deployment", "web");
    let mut again = deployment("web", 2);
    again["metadata"]["uid"] = json!("made-again");
    server.objects.insert(web.clone(), again);
    server.wanted.insert(web.clone(), Some(json!(2)));
    server.transitions.remove(&web);
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "web"), 0);
    server.end();
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "web"), 2);
}

#[test]
fn a_later_revision_is_contained_anew_once_and_only_if_it_is_bad() {
    for (again, expected) in [(Again::AnyRevision, 0), (Again::SameRevision, 6)] {
        let mut server = contained();
        server.again = again;
        server.revision = 8;
        server.scale("web", 6);
        server.run_through(&[], None);
        assert_eq!(*replicas(&server, "web"), expected, "{again:?}");
        if again == Again::SameRevision {
            assert!(server.status.left_out > 0);
            let left = server.status.uncontained.iter();
            assert!(
                left.map(|one| &one.message)
                    .any(|why| why.contains("revision 8"))
            );
            continue;
        }
        server.scale("web", 7);
        server.run_through(&[], None);
        assert_eq!(replicas(&server, "web"), 7, "a person's later change stays");
    }
}

#[test]
fn an_upgrade_that_leaves_the_field_makes_a_later_change_no_newer() {
    let mut server = contained();
    server.again = Again::AnyRevision;
    server.revision = 8;
    server.run_through(&[], None);
    server.scale("web", 7);
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "web"), 7);
}

#[test]
fn a_deployer_that_a_person_has_resumed_is_not_paused_again_by_a_later_revision() {
    let mut server = contained();
    let flux = key("HelmRelease", "web");
    server.resume(&flux);
    server.again = Again::AnyRevision;
    server.revision = 8;
    server.objects.get_mut(&flux).unwrap()["status"]["history"][0]["version"] = json!(8);
    server.run_through(&[], None);
    assert_eq!(server.objects[&flux]["spec"]["suspend"], false);
    let record = server
        .status
        .objects
        .iter()
        .find(|one| one.kind == "HelmRelease");
    assert_eq!(record.unwrap().state, ObjectState::Kept);
}

/// The Deployment `web` serves a webhook.
fn serving() -> Server {
    let mut server = Server::new();
    let web = server.objects.get_mut(&key("Deployment", "web")).unwrap();
    web["spec"]["template"] = json!({"metadata": {"labels": {"app": "web"}}});
    server.servers.all.push(servers::Server {
        what: "ValidatingWebhookConfiguration guard".to_owned(),
        selector: [("app".to_owned(), "web".to_owned())].into(),
        port: None,
    });
    server.by = Starter::Policy;
    server
}

#[test]
fn what_the_api_server_calls_runs_until_a_person_approves_and_comes_back_wherever_a_run_stops() {
    let mut whole = serving();
    whole.run_through(&[], None);
    assert_eq!(replicas(&whole, "web"), 3);
    assert_eq!(reason(&whole), "AwaitingApproval");
    assert_eq!(whole.status.state, Some(QuarantineState::Partial));
    assert!(whole.status.contained > 0, "all else is contained");
    let writes = whole.writes;
    whole.by = Starter::Person;
    whole.run_through(&[], None);
    assert_eq!(replicas(&whole, "web"), 0);
    let more = whole.writes - writes;
    assert!(more >= 3, "saved, changed and told: {more}");

    for stop in (0..more).flat_map(|n| [Stop::Before(n), Stop::After(n)]) {
        let mut server = serving();
        server.run_through(&[], None);
        server.by = Starter::Person;
        server.writes = 0;
        server.run_through(&[stop], None);
        assert_eq!(replicas(&server, "web"), 0, "{stop:?}");
        server.end();
        server.run_through(&[], None);
        assert_eq!(replicas(&server, "web"), 3, "{stop:?}");
        assert!(!server.finalizer, "{stop:?}");
    }
}

#[test]
fn what_the_api_server_calls_no_more_is_stopped_as_the_rest() {
    let mut server = serving();
    server.run_through(&[], None);
    server.servers = Servers::default();
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "web"), 0);
}

#[test]
fn what_was_stopped_already_stays_so_when_it_serves_later() {
    let mut server = serving();
    let servers = std::mem::take(&mut server.servers);
    server.run_through(&[], None);
    server.servers = servers;
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "web"), 0);
}

#[test]
fn what_is_left_out_and_runs_is_never_called_contained() {
    let mut server = Server::new();
    server.run_through(&[], None);
    assert_eq!(reason(&server), "PartlyContained");
    assert_eq!(server.status.left_out, 1);
    let active = find(&server.status.conditions, QuarantineCondition::Active);
    let message = &active.unwrap().message;
    assert!(message.contains("Deployment neighbour"), "{message}");
}

#[test]
fn pods_that_go_on_are_counted_and_not_called_contained() {
    let mut server = contained();
    server.pods = vec![
        pod("web-1", "web", "Running"),
        pod("web-2", "web", "Succeeded"),
    ];
    server.run_through(&[], None);
    assert_eq!(reason(&server), "Containing");
    assert_eq!(server.status.running, 1);
    let active = find(&server.status.conditions, QuarantineCondition::Active);
    assert!(active.unwrap().message.contains("web-1"), "{active:?}");
    server.pods.clear();
    server.run_through(&[], None);
    assert_eq!(reason(&server), "Contained");
    assert_eq!(server.status.running, 0);
}

#[test]
fn a_claimed_owner_saves_nothing_from_being_stopped() {
    let mut server = Server::new();
    let mut claims = deployment("claims", 3);
    claims["metadata"]["ownerReferences"] =
        json!([{"controller": true, "kind": "Namespace", "name": "kube-system", "uid": "ns"}]);
    server.add(&claims);
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "claims"), 0);
}

#[test]
fn many_workloads_are_all_stopped_by_few_policies() {
    let mut server = Server::new();
    for number in 0..151 {
        server.add(&deployment(&format!("many-{number}"), 1));
    }
    server.run_through(&[], None);
    let is_stopped = |number: u32| *replicas(&server, &format!("many-{number}")) == json!(0);
    assert!((0..151).all(is_stopped));
    let policies = server
        .status
        .objects
        .iter()
        .filter(|one| one.selector.is_some());
    assert!(policies.count() < 10);
}

/// Helm writes the record of a revision first, and applies what that lists when its hooks have ended.
#[test]
fn what_helm_applies_long_after_it_has_begun_is_contained_anew() {
    let mut server = contained();
    server.again = Again::AnyRevision;
    (server.settled, server.revision) = (7, 8);
    server.run_through(&[], None);
    server.scale("web", 6);
    server.run_through(&[], None);
    server.settled = 8;
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "web"), 0);
    server.scale("web", 7);
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "web"), 7, "a person's later change stays");
}

/// Helm counts from 1 again.
#[test]
fn what_outlives_its_release_is_contained_anew_with_the_next_of_that_name() {
    let mut server = contained();
    server.again = Again::AnyRevision;
    server.revision = 1;
    server.scale("web", 6);
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "web"), 0);
}

/// As many records as a status holds, of objects that are gone.
fn fill(server: &mut Server, like: &str) {
    let objects = &mut server.status.objects;
    let one = objects.iter().find(|one| one.kind == like).unwrap().clone();
    let mut taken: usize = objects.iter().map(planned::size).sum();
    for number in objects.len()..bounds::OBJECTS {
        let gone = ContainedObject {
            name: format!("gone-{number}"),
            uid: Some(format!("gone-{number}")),
            state: ObjectState::Gone,
            original: None,
            ..one.clone()
        };
        taken += planned::size(&gone);
        if taken > bounds::OBJECTS_SIZE {
            break;
        }
        objects.push(gone);
    }
}

#[test]
fn what_is_gone_takes_no_room_from_what_is_there() {
    let mut server = contained();
    fill(&mut server, "Deployment");
    server.add(&deployment("late", 4));
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "late"), 0);
}

#[test]
fn what_finds_no_room_is_never_called_contained() {
    let mut server = contained();
    fill(&mut server, "HelmRelease");
    server.add(&deployment("late", 4));
    server.run_through(&[], None);
    assert_eq!(replicas(&server, "late"), 4);
    assert_eq!(reason(&server), "PartlyContained");
    let mut left = server.status.uncontained.iter();
    assert!(left.any(|one| one.name == "late" && one.runs));
}
