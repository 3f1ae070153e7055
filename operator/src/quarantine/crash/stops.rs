//! Wherever a run stops, and whatever others do before a write.

use super::*;

#[test]
fn a_quarantine_contains_and_its_end_restores_everything() {
    let mut server = Server::new();
    let before = server.essence();
    server.run_through(&[], None);
    assert_eq!(server.status.state, Some(IN_FORCE));
    assert_eq!(server.not_contained(), NOBODY);
    let contained = |kind: &str, name: &str| {
        let object = &server.objects[&key(kind, name)];
        target(object).unwrap().is_held(object)
    };
    assert!(contained("Deployment", "web"));
    assert!(contained("DaemonSet", "agent"));
    assert!(contained("CronJob", "nightly"));
    assert!(contained("StatefulSet", "db"));
    let db = &server.objects[&key("StatefulSet", "db")];
    let policy = &db["spec"]["persistentVolumeClaimRetentionPolicy"];
    assert_eq!(
        policy,
        &json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
    );
    assert!(contained("HelmRelease", "web"));
    assert!(!contained("Deployment", "neighbour"));
    let left: Vec<_> = server
        .status
        .uncontained
        .iter()
        .map(|one| &one.name)
        .collect();
    assert_eq!(left, ["neighbour"]);
    assert!(!denials(&server).is_empty());

    server.end();
    server.run_through(&[], None);
    assert!(!server.finalizer);
    assert_eq!(server.essence(), before);
}

#[test]
fn a_second_run_writes_nothing() {
    let mut server = Server::new();
    server.run_through(&[], None);
    let writes = server.writes;
    server.run_through(&[], None);
    assert_eq!(server.writes, writes);
}

#[test]
fn wherever_one_run_or_two_stop_the_end_is_the_same() {
    let reference = Server::live_through(&[], None);
    let stops = every_stop(reference.writes + 2);
    let mut runs = 0;
    for first in &stops {
        let server = Server::live_through(&[*first], None);
        assert_eq!(server.essence(), reference.essence(), "{first:?}");
        runs += 1;
    }
    for first in &stops {
        for second in stops.iter().filter(|second| *second > first) {
            let server = Server::live_through(&[*first, *second], None);
            assert_eq!(
                server.essence(),
                reference.essence(),
                "{first:?} {second:?}"
            );
            assert!(!server.finalizer);
            runs += 1;
        }
    }
    say(&format!(
        "{} writes, {} points, {runs} runs with one or two stops",
        reference.writes,
        stops.len()
    ));
}

#[test]
fn others_may_act_before_any_write_and_a_stop_after_it() {
    let reference = Server::live_through(&[], None);
    let mut runs = 0;
    for at in 0..reference.writes + 4 {
        for meddling in [
            Meddling::Scale,
            Meddling::Touch,
            Meddling::RemoveMark,
            Meddling::EditOriginal,
        ] {
            for stop in [
                Stop::Before(0),
                Stop::After(at),
                Stop::Before(at + 1),
                Stop::After(at + 1),
            ] {
                let server = Server::live_through(&[stop], Some((at, meddling)));
                judge(&server, &reference, (at, meddling, stop));
                runs += 1;
            }
        }
    }
    say(&format!(
        "{runs} runs with one stop and one act of somebody else"
    ));
}

#[test]
fn what_changes_between_plan_and_patch_is_saved_anew_and_contained() {
    let web = key("Deployment", "web");
    let mut scaled = 0;
    for at in 0..Server::live_through(&[], None).writes {
        let mut server = Server::new();
        server.run_through(&[], Some((at, Meddling::Scale)));
        if server.wanted[&web] != Some(json!(5)) {
            continue;
        }
        scaled += 1;
        assert_eq!(server.status.state, Some(IN_FORCE), "{at}");
        let Carried::Annotation(annotation) = Annotation::of(&server.objects[&web]) else {
            panic!("it is contained");
        };
        assert_eq!(annotation.original, was(5));
        assert_eq!(value(&server.objects[&web]), Some(&json!(0)));
    }
    assert!(scaled > 0);
}

#[test]
fn without_preconditions_the_change_of_somebody_else_would_be_lost() {
    let lost = |ignores_preconditions: bool| {
        let mut lost = 0;
        for at in 0..Server::live_through(&[], None).writes {
            let mut server = Server::new();
            server.ignores_preconditions = ignores_preconditions;
            // Whoever reads the panics below finds which invariant noticed it.
            let run = std::panic::AssertUnwindSafe(|| {
                server.run_through(&[], Some((at, Meddling::Scale)));
            });
            let noticed = std::panic::catch_unwind(run).is_err();
            let web = key("Deployment", "web");
            let scaled = server.wanted[&web] == Some(json!(5));
            let is_saved = match Annotation::of(&server.objects[&web]) {
                Carried::Annotation(annotation) => annotation.original == was(5),
                Carried::Nothing | Carried::Unreadable => false,
            };
            let is_kept = is_saved || value(&server.objects[&web]) == Some(&json!(5));
            lost += usize::from(noticed || (scaled && !is_kept));
        }
        lost
    };
    assert_eq!(lost(false), 0);
    assert!(lost(true) > 0);
}

/// What must be true at the end, whatever others did.
fn judge(server: &Server, reference: &Server, what: (usize, Meddling, Stop)) {
    let web = &server.objects[&key("Deployment", "web")];
    let scaled = server.wanted[&key("Deployment", "web")] == Some(json!(5));
    if scaled {
        assert_eq!(
            value(web),
            Some(&json!(5)),
            "a newer change is kept: {what:?}"
        );
    }
    let is_contested = server.status.state == Some(QuarantineState::Contested);
    assert_eq!(
        server.finalizer,
        is_contested && server.finalizer,
        "{what:?}"
    );
    for (key, object) in server.objects.iter() {
        let Some(target) = target(object) else {
            continue;
        };
        let is_held = target.is_held(object);
        if is_held {
            assert!(server.finalizer, "nothing is left behind: {key:?} {what:?}");
        } else {
            assert_eq!(
                value(object),
                server.wanted[key].as_ref(),
                "{key:?} {what:?}"
            );
            assert_eq!(
                fields::value(object, &super::super::annotation::PATH),
                None,
                "{key:?} {what:?}"
            );
        }
    }
    if what.1 == Meddling::Touch && !server.objects.values().any(has_label) {
        assert_eq!(server.essence(), reference.essence(), "{what:?}");
    }
    for object in server.objects.values() {
        let ours = object
            .to_string()
            .contains(&format!("\"manager\":\"{FIELD_MANAGER}\""));
        assert!(
            !ours || server.finalizer,
            "we own nothing at the end: {what:?}"
        );
    }
    assert!(
        !server
            .objects
            .values()
            .any(|o| o.to_string().contains(ANNOTATION))
            || server.finalizer
    );
}

fn has_label(object: &Value) -> bool {
    fields::value(object, &["metadata", "labels", "seen"]).is_some()
}

/// Straight to the terminal: the harness swallows what is printed.
fn say(text: &str) {
    writeln!(std::io::stderr(), "crashes in process: {text}").unwrap();
}
