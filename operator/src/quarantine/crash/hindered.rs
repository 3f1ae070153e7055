//! Objects that the server does not let be read or written.

use super::*;

#[test]
fn one_object_that_is_refused_holds_up_no_other() {
    for refused in changed() {
        let mut server = Server::refusing(&refused, Refusing::Always);
        server.run_through(&[], None);
        for record in &server.status.objects {
            let is_refused = key(&record.kind, &record.name) == refused;
            let state = if is_refused {
                ObjectState::Planned
            } else {
                ObjectState::Contained
            };
            assert_eq!(record.state, state, "{refused:?} {record:?}");
            assert_eq!(record.message.is_some(), is_refused, "{record:?}");
        }
        server.is_told(&refused, QuarantineCondition::Active);
        server.is_told(&refused, QuarantineCondition::Contested);
        let writes = server.writes;
        server.run_through(&[], None);
        assert_eq!(
            server.writes,
            writes + 1,
            "one try, and nothing new to tell"
        );

        server.refuses = None;
        server.run_through(&[], None);
        assert_eq!(server.status.state, Some(IN_FORCE), "{refused:?}");
        assert_eq!(server.not_contained(), NOBODY);
    }
}

#[test]
fn one_object_that_cannot_be_put_back_keeps_the_finalizer_and_no_other_object() {
    let reference = Server::live_through(&[], None);
    for refused in changed() {
        let mut server = Server::new();
        server.run_through(&[], None);
        server.refuses = Some((refused.clone(), Refusing::Always));
        server.end();
        server.run_through(&[], None);
        assert!(server.finalizer, "{refused:?}");
        for (key, object) in server.objects.iter() {
            let carries = object.to_string().contains(ANNOTATION);
            assert_eq!(carries, *key == refused, "{refused:?} {key:?}");
        }
        server.is_told(&refused, QuarantineCondition::Active);
        server.is_told(&refused, QuarantineCondition::Contested);

        server.refuses = None;
        server.run_through(&[], None);
        assert!(!server.finalizer, "{refused:?}");
        assert_eq!(server.essence(), reference.essence(), "{refused:?}");
    }
}

#[test]
fn a_refusal_that_passes_is_made_good_wherever_a_run_stops() {
    let reference = Server::live_through(&[], None);
    for refused in changed() {
        for stop in every_stop(reference.writes + 2) {
            let mut server = Server::refusing(&refused, Refusing::Once);
            server.run_through(&[stop], None);
            server.run_through(&[stop], None);
            server.refuses = Some((refused.clone(), Refusing::Once));
            server.end();
            server.run_through(&[stop], None);
            server.run_through(&[stop], None);
            assert!(!server.finalizer, "{refused:?} {stop:?}");
            assert_eq!(
                server.essence(),
                reference.essence(),
                "{refused:?} {stop:?}"
            );
        }
    }
}

#[test]
fn an_object_that_others_write_each_time_holds_up_no_other() {
    let mut server = Server::new();
    server.run_through(&[], None);
    server.end();
    let mut view = server.view();
    let web = view
        .status
        .objects
        .iter()
        .position(|one| one.kind == "Deployment");
    let web = web.unwrap();
    for number in 0..100 {
        let touched = json!({"metadata": {"uid": "x", "resourceVersion": number.to_string()}});
        view.note_conflict(web, Ok(Some(touched)), object_error(Denied::Changed));
        if view.errors.contains_key(&web) {
            assert!(number > 1, "one that changes once is tried again at once");
            return;
        }
    }
    panic!("tried for ever");
}

#[test]
fn one_object_that_cannot_be_read_is_not_gone() {
    let reference = Server::live_through(&[], None);
    for hidden in changed() {
        let mut server = Server::new();
        server.run_through(&[], None);
        server.hides = Some(hidden.clone());
        server.end();
        server.run_through(&[], None);
        assert!(server.finalizer, "{hidden:?}");
        for (key, object) in server.objects.iter() {
            let carries = object.to_string().contains(ANNOTATION);
            assert_eq!(carries, *key == hidden, "{hidden:?} {key:?}");
        }
        let contested = find(&server.status.conditions, QuarantineCondition::Contested).unwrap();
        let name = format!("{} {}", hidden.0, hidden.1);
        assert!(contested.message.contains(&name), "{contested:?}");
        server.hides = None;
        server.run_through(&[], None);
        assert!(!server.finalizer, "{hidden:?}");
        assert_eq!(server.essence(), reference.essence(), "{hidden:?}");
    }
}

#[test]
fn a_record_of_a_kind_that_nobody_knows_is_never_gone() {
    let mut server = Server::new();
    server.run_through(&[], None);
    let mut view = server.view();
    view.is_ending = true;
    let web = view
        .status
        .objects
        .iter_mut()
        .find(|one| one.kind == "Deployment");
    web.unwrap().kind = "Rollout".to_owned();
    view.live = vec![None; view.status.objects.len()];
    let Some(Write::Status(status)) = next(&view) else {
        panic!("the finalizer stays, and that is told");
    };
    assert_eq!(status.state, Some(QuarantineState::Contested));
}
