//! How a quarantine ends, and what it tells then.

use super::*;

#[test]
fn a_namespace_that_goes_leaves_no_deployer_paused() {
    let flux = key("HelmRelease", "web");
    let before = Server::new().essence()[&flux].clone();
    let reference = Server::live_through(&[], None);
    for stop in every_stop(reference.writes) {
        let mut server = Server::new();
        server.run_through(&[stop], None);
        server.end();
        server.end = End::Namespace;
        server.run_through(&[stop], None);
        assert!(!server.finalizer, "{stop:?}");
        assert_eq!(server.essence()[&flux], before, "{stop:?}");
        let web = &server.objects[&key("Deployment", "web")];
        assert_eq!(value(web), Some(&json!(0)), "{stop:?}");
    }
}

#[test]
fn a_namespace_that_goes_is_not_held_up_by_what_a_person_has_to_mend() {
    for refused in changed() {
        let mut server = Server::new();
        server.run_through(&[], None);
        server.refuses = Some((refused, Refusing::Always));
        server.end();
        server.end = End::Namespace;
        server.run_through(&[], None);
        assert!(!server.finalizer);
    }
}

#[test]
fn an_object_that_was_made_again_with_our_mark_is_contested() {
    let web = key("Deployment", "web");
    let mut server = Server::new();
    server.run_through(&[], None);
    server.objects.get_mut(&web).unwrap()["metadata"]["uid"] = json!("made-again");
    server.end();
    server.run_through(&[], None);
    assert!(server.finalizer);
    let contested = find(&server.status.conditions, QuarantineCondition::Contested).unwrap();
    assert!(
        contested.message.contains("Deployment web"),
        "{contested:?}"
    );
    assert!(contested.message.contains("we recorded 3"), "{contested:?}");

    // The way out that it tells.
    let object = server.objects.get_mut(&web).unwrap();
    object["spec"]["replicas"] = json!(3);
    object["metadata"]["annotations"] = json!({});
    server.run_through(&[], None);
    assert!(!server.finalizer);
}

#[test]
fn the_end_tells_what_was_put_back_and_what_was_kept() {
    let web = key("Deployment", "web");
    let mut server = Server::new();
    server.run_through(&[], None);
    let live = server.objects[&web].clone();
    let scale = fields::set(&live, &["spec", "replicas"], json!(5));
    server.patch(&web, &[scale], "person").unwrap();
    server.end();
    server.run_through(&[], None);
    assert!(!server.finalizer);
    for record in &server.told.objects {
        let expected = if record.kind == "Deployment" {
            ObjectState::Kept
        } else {
            ObjectState::Restored
        };
        assert_eq!(record.state, expected, "{record:?}");
    }
    let kept = server
        .told
        .objects
        .iter()
        .find(|one| one.kind == "Deployment");
    let message = kept.unwrap().message.as_deref();
    assert_eq!(message, Some("was set to 5 by person, and stays so"));
}

#[test]
fn a_forged_list_of_objects_reaches_no_neighbour() {
    let mut server = Server::new();
    server.run_through(&[], None);
    let web = server
        .status
        .objects
        .iter()
        .find(|one| one.kind == "Deployment");
    let mut forged = web.unwrap().clone();
    forged.name = "neighbour".to_owned();
    forged.uid = Some("Deployment-neighbour".to_owned());
    forged.original = Some("2".to_owned());
    forged.state = ObjectState::Planned;
    server.status.objects.push(forged);
    let before = server.objects[&key("Deployment", "neighbour")].clone();
    server.run_through(&[], None);
    server.end();
    server.run_through(&[], None);
    assert_eq!(server.objects[&key("Deployment", "neighbour")], before);
    assert!(!server.finalizer);
}
