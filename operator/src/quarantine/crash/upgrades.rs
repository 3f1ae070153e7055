//! What an upgrade says of a field while it is contained, with either Helm, and what a restore makes of
//! it: whoever sets the field means it, also if it is what the field is anyway.

use super::*;

/// How Helm writes.
#[derive(Clone, Copy, Debug)]
enum Helm {
    /// Three-way patches of Helm 3: only what is not so already is sent.
    Patches,
    /// Server-side apply of Helm 4, with `--force-conflicts`: the server keeps who said what.
    Applies,
}

/// What the chart of the new revision says.
#[derive(Clone, Copy, Debug)]
enum Says {
    Five,
    Nothing,
    Removed,
    Same,
    Zero,
}

impl Server {
    /// The next revision, which is as bad.
    fn upgrade(&mut self, helm: Helm, says: Says) {
        let web = key("Deployment", "web");
        self.again = Again::AnyRevision;
        self.revision += 1;
        let wanted = match (says, helm) {
            (Says::Five, _) => Some(5),
            (Says::Same, _) => Some(3),
            // The server's default.
            (Says::Removed, Helm::Patches) => Some(1),
            (Says::Zero, Helm::Applies) => Some(0),
            _ => None,
        };
        if let Some(replicas) = wanted {
            let live = self.objects[&web].clone();
            let scale = fields::set(&live, &["spec", "replicas"], json!(replicas));
            self.patch(&web, &[scale], "helm").unwrap();
            if replicas > 0 {
                self.wanted.insert(web.clone(), Some(json!(replicas)));
                self.transitions.insert(web.clone(), (0, 0));
            } else {
                let fields = json!({"f:spec": {"f:replicas": {}}});
                let entry = owned_by("helm", "Apply", fields)[0].clone();
                let live = self.objects.get_mut(&web).unwrap();
                let entries = live["metadata"]["managedFields"].as_array_mut().unwrap();
                entries.push(entry);
            }
        }
        if matches!(says, Says::Zero) {
            self.stopped = Some(web);
        }
    }
}

fn replicas(server: &Server) -> &Value {
    &server.objects[&key("Deployment", "web")]["spec"]["replicas"]
}

const TABLE: [(Says, Helm, u32); 10] = [
    (Says::Five, Helm::Patches, 5),
    (Says::Five, Helm::Applies, 5),
    (Says::Zero, Helm::Patches, 0),
    (Says::Zero, Helm::Applies, 0),
    (Says::Nothing, Helm::Patches, 3),
    (Says::Nothing, Helm::Applies, 3),
    (Says::Same, Helm::Patches, 3),
    (Says::Same, Helm::Applies, 3),
    (Says::Removed, Helm::Patches, 1),
    // The field is ours alone then, and what it was before is what is known of it.
    (Says::Removed, Helm::Applies, 3),
];

fn upgraded(says: Says, helm: Helm) -> Server {
    let mut server = Server::new();
    server.run_through(&[], None);
    server.upgrade(helm, says);
    server
}

#[test]
fn what_an_upgrade_says_is_what_comes_back() {
    for (says, helm, expected) in TABLE {
        let case = format!("{says:?} {helm:?}");
        let mut server = upgraded(says, helm);
        server.run_through(&[], None);
        assert_eq!(replicas(&server), 0, "{case}: contained");
        server.end();
        server.run_through(&[], None);
        assert_eq!(replicas(&server), expected, "{case}");
        assert!(!server.finalizer, "{case}");
        let web = server.objects[&key("Deployment", "web")].to_string();
        assert!(!web.contains("charttrust"), "{case}: {web}");
    }
}

/// Trust returns with the upgrade, and nothing looks at the release in between.
#[test]
fn what_an_upgrade_says_stands_though_the_quarantine_ends_at_once() {
    for (says, helm, expected) in TABLE {
        let mut server = upgraded(says, helm);
        server.end();
        server.run_through(&[], None);
        assert_eq!(replicas(&server), expected, "{says:?} {helm:?}");
        assert!(!server.finalizer);
    }
}

#[test]
fn wherever_a_restore_stops_what_an_upgrade_has_stopped_stays_so() {
    for helm in [Helm::Patches, Helm::Applies] {
        let mut reference = upgraded(Says::Zero, helm);
        reference.writes = 0;
        reference.end();
        reference.run_through(&[], None);
        for stop in every_stop(reference.writes + 1) {
            let mut server = upgraded(Says::Zero, helm);
            server.writes = 0;
            server.end();
            server.run_through(&[stop], None);
            assert_eq!(server.essence(), reference.essence(), "{helm:?} {stop:?}");
            assert_eq!(replicas(&server), 0, "{helm:?} {stop:?}");
        }
    }
}

#[test]
fn it_is_told_meanwhile_and_is_no_change_by_others() {
    let mut server = upgraded(Says::Zero, Helm::Patches);
    server.run_through(&[], None);
    let mut all = server.status.objects.iter();
    let web = all.find(|one| one.kind == "Deployment" && one.name == "web");
    let web = web.unwrap();
    assert_eq!(web.state, ObjectState::Contained);
    let message = web.message.as_deref().unwrap();
    assert!(message.contains("stays so"), "{message}");
}

#[test]
fn what_is_scaled_up_after_such_an_upgrade_is_told_and_stays() {
    let mut server = upgraded(Says::Zero, Helm::Patches);
    server.run_through(&[], None);
    server.scale("web", 4);
    server.run_through(&[], None);
    assert_eq!(replicas(&server), 4);
    server.end();
    server.run_through(&[], None);
    assert_eq!(replicas(&server), 4);
}
