//! What a quarantine leaves whose finalizer was removed by force, and what the next one makes of it.

use super::*;
use crate::api::quarantine::UncontainedObject;

const LATER: &str = "later-uid";

/// The Quarantine is gone without a restore, and there is another of that name.
fn forced(server: &mut Server) {
    server.finalizer = false;
    server.status = QuarantineStatus::default();
    LATER.clone_into(&mut server.uid);
    server.own_version += 1;
}

fn is_known_to_be_gone(server: &mut Server) {
    server.gone = BTreeSet::from([UID.to_owned()]);
}

/// What was there before any quarantine, and is changed by them.
fn of_the_release() -> impl Iterator<Item = Key> {
    let is_there = |key: &Key| key.0 != policies::KIND;
    changed().into_iter().filter(is_there)
}

fn annotation(server: &Server, key: &Key) -> Annotation {
    match Annotation::of(&server.objects[key]) {
        Carried::Annotation(annotation) => *annotation,
        other => panic!("{key:?} carries {other:?}"),
    }
}

#[test]
fn the_next_quarantine_takes_over_the_very_originals_wherever_either_stops() {
    let reference = Server::live_through(&[], None);
    let writes = reference.writes;
    for first in 0..=writes {
        // Each stop of either comes up, with a third of those of the other.
        let stops = (0..2 * writes).filter(|second| (first + second) % 3 == 0);
        for second in [None].into_iter().chain(stops.map(Some)) {
            let mut server = Server::new();
            // What the first one did before it was removed.
            server.run(&[Stop::Before(first)], None).ok();
            forced(&mut server);
            is_known_to_be_gone(&mut server);
            let stop: Vec<_> = second.map(Stop::After).into_iter().collect();
            server.run_through(&stop, None);
            assert_eq!(server.not_contained(), NOBODY, "{first:?} {second:?}");
            for key in changed() {
                assert_eq!(annotation(&server, &key).quarantine, LATER, "{key:?}");
            }
            assert_eq!(server.status.uncontained.len(), 1, "only the neighbour");
            server.end();
            server.run_through(&stop, None);
            assert!(!server.finalizer, "{first:?} {second:?}");
            assert_eq!(
                server.essence(),
                reference.essence(),
                "{first:?} {second:?}"
            );
        }
    }
}

#[test]
fn one_that_ends_before_it_has_taken_over_puts_back_what_was_left() {
    let reference = Server::live_through(&[], None);
    for at in 0..reference.writes {
        let mut server = Server::new();
        server.run_through(&[], None);
        forced(&mut server);
        is_known_to_be_gone(&mut server);
        server.run(&[Stop::Before(server.writes + at)], None).ok();
        let has_planned = server.status.incident.is_some();
        server.end();
        server.run_through(&[], None);
        assert!(!server.finalizer);
        if has_planned {
            let wanted = reference.essence();
            for key in of_the_release() {
                assert_eq!(server.essence()[&key], wanted[&key], "{at}");
            }
        }
    }
}

#[test]
fn what_may_be_of_a_living_quarantine_is_left_and_the_next_step_told() {
    let mut server = Server::new();
    server.run_through(&[], None);
    let before = server.essence();
    forced(&mut server);
    server.run_through(&[], None);
    server.end();
    server.run_through(&[], None);
    for key in of_the_release() {
        assert_eq!(server.essence()[&key], before[&key], "{key:?}");
        let is_it = |one: &&UncontainedObject| one.kind == key.0 && one.name == key.1;
        let told = server.told.uncontained.iter().find(is_it);
        let message = &told.unwrap().message;
        assert!(message.contains("charttrust restore shop/web"), "{message}");
    }
}

#[test]
fn an_annotation_that_nobody_can_read_is_left_and_the_next_step_told() {
    let web = key("Deployment", "web");
    let mut server = Server::new();
    server.run_through(&[], None);
    forced(&mut server);
    is_known_to_be_gone(&mut server);
    let broken = server.objects.get_mut(&web).unwrap();
    broken["metadata"]["annotations"][ANNOTATION] = json!("?");
    let before = server.essence()[&web].clone();
    server.run_through(&[], None);
    let told = server
        .status
        .uncontained
        .iter()
        .find(|one| one.name == "web");
    let message = &told.unwrap().message;
    assert!(message.contains("cannot be read"), "{message}");
    server.end();
    server.run_through(&[], None);
    assert_eq!(server.essence()[&web], before);
}

#[test]
fn what_a_person_scaled_since_is_the_original() {
    let web = key("Deployment", "web");
    for knows in [false, true] {
        let mut server = Server::new();
        server.run_through(&[], None);
        forced(&mut server);
        if knows {
            is_known_to_be_gone(&mut server);
            // It has planned, and not written any object yet.
            while server.status.incident.is_none() {
                server.run(&[Stop::After(server.writes)], None).ok();
            }
        }
        let live = server.objects[&web].clone();
        let scale = fields::set(&live, &["spec", "replicas"], json!(5));
        server.patch(&web, &[scale], "person").unwrap();
        server.wanted.insert(web.clone(), Some(json!(5)));
        server.transitions.insert(web.clone(), (0, 0));
        server.run_through(&[], None);
        assert_eq!(annotation(&server, &web).original, was(5), "{knows}");
        assert_eq!(value(&server.objects[&web]), Some(&json!(0)), "{knows}");
        server.end();
        server.run_through(&[], None);
        assert_eq!(value(&server.objects[&web]), Some(&json!(5)), "{knows}");
    }
}
