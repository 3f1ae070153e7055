//! A `StatefulSet` that would lose its volumes: what keeps them goes back to what it was, whoever has put
//! back the replicas alone meanwhile, and stays what others say of it.

use jiff::SignedDuration;

use super::*;

const TOOL: &str = "helm-controller";
const GUARD: [&str; 3] = ["spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"];

fn db() -> Key {
    key("StatefulSet", "db")
}

/// What puts back the replicas and says nothing of the volumes.
#[derive(Clone, Copy, Debug)]
enum Started {
    /// A tool, and it is contained again, so often.
    ByTool(u32),
    /// A person: it stays so.
    ByPerson,
    /// The next revision, which is as bad.
    ByUpgrade,
    /// A tool, after the Quarantine was removed by force and before the next one.
    BetweenQuarantines,
}

const STARTED: [Started; 6] = [
    Started::ByTool(0),
    Started::ByTool(1),
    Started::ByTool(3),
    Started::ByPerson,
    Started::ByUpgrade,
    Started::BetweenQuarantines,
];

impl Server {
    fn sets(&mut self, key: &Key, path: &[&str], new: Value, manager: &str) {
        let live = self.objects[key].clone();
        let operations = [fields::set(&live, path, new)];
        self.patch(key, &operations, manager).unwrap();
        self.transitions.insert(key.clone(), (0, 0));
    }

    fn starts(&mut self, replicas: u32, manager: &str) {
        self.sets(&db(), &["spec", "replicas"], json!(replicas), manager);
        self.wanted.insert(db(), Some(json!(replicas)));
    }

    fn resumes(&mut self, manager: &str) {
        let deployer = key("HelmRelease", "web");
        self.sets(&deployer, &["spec", "suspend"], json!(false), manager);
        self.wanted.insert(deployer, Some(json!(false)));
    }

    fn happens(&mut self, started: Started) {
        match started {
            Started::ByTool(times) => {
                for _ in 0..times {
                    self.resumes(TOOL);
                    self.starts(2, TOOL);
                    self.run_through(&[], None);
                    // Longer than any pause.
                    self.now += SignedDuration::from_hours(2);
                    self.run_through(&[], None);
                    assert!(is_stopped(self), "{:#?}", self.status);
                }
            }
            Started::ByPerson => self.starts(4, "person"),
            Started::ByUpgrade => {
                self.again = Again::AnyRevision;
                self.revision += 1;
                self.starts(3, "helm");
            }
            Started::BetweenQuarantines => {
                self.finalizer = false;
                self.status = QuarantineStatus::default();
                self.gone = BTreeSet::from([self.uid.clone()]);
                "later-uid".clone_into(&mut self.uid);
                self.own_version += 1;
                self.starts(2, TOOL);
            }
        }
    }

    fn ends(&mut self, stops: &[Stop]) {
        self.end();
        self.run_through(stops, None);
        assert!(!self.finalizer, "{:#?}", self.status);
        let own = self.objects[&db()].to_string().contains("charttrust");
        assert!(!own, "{}", self.objects[&db()]);
        assert_eq!(value(&self.objects[&db()]), self.wanted[&db()].as_ref());
    }
}

fn is_stopped(server: &Server) -> bool {
    target(&server.objects[&db()])
        .unwrap()
        .is_held(&server.objects[&db()])
}

fn when_scaled(server: &Server) -> &str {
    fields::text(&server.objects[&db()], &GUARD).unwrap()
}

/// Who owns it, for the next `helm upgrade`.
fn owners(server: &Server) -> Vec<String> {
    super::super::owners::others(&server.objects[&db()], &GUARD)
}

fn contained() -> Server {
    let mut server = Server::new();
    server.run_through(&[], None);
    assert!(is_stopped(&server));
    assert_eq!(when_scaled(&server), "Retain");
    server
}

#[test]
fn what_keeps_volumes_goes_back_to_what_it_was_whoever_has_started_the_set() {
    for started in STARTED {
        let mut server = contained();
        server.happens(started);
        server.run_through(&[], None);
        server.ends(&[]);
        assert_eq!(when_scaled(&server), "Delete", "{started:?}");
        assert_eq!(owners(&server), ["helm"], "{started:?}");
    }
}

#[test]
fn wherever_a_run_stops_meanwhile_it_goes_back_too() {
    for started in STARTED {
        let live = |stops: &dyn Fn(usize) -> Vec<Stop>| {
            let mut server = contained();
            server.happens(started);
            let stops = stops(server.writes);
            server.run_through(&stops, None);
            server.ends(&stops);
            server
        };
        let mut before = contained();
        before.happens(started);
        let writes = live(&|_| Vec::new()).writes - before.writes;
        for stop in every_stop(writes) {
            let server = live(&|before| {
                vec![match stop {
                    Stop::Before(number) => Stop::Before(before + number),
                    Stop::After(number) => Stop::After(before + number),
                }]
            });
            assert_eq!(when_scaled(&server), "Delete", "{started:?} {stop:?}");
            assert_eq!(owners(&server), ["helm"], "{started:?} {stop:?}");
        }
    }
}

/// By server-side apply a tool owns what it says, also if it is so already.
#[test]
fn a_tool_that_says_itself_that_volumes_are_kept_is_not_undone() {
    for started in STARTED {
        let mut server = contained();
        server.happens(started);
        let path =
            json!({"f:spec": {"f:persistentVolumeClaimRetentionPolicy": {"f:whenScaled": {}}}});
        let entry = owned_by("kustomize-controller", "Apply", path)[0].clone();
        let live = server.objects.get_mut(&db()).unwrap();
        live["metadata"]["managedFields"]
            .as_array_mut()
            .unwrap()
            .push(entry);
        server.run_through(&[], None);
        server.ends(&[]);
        assert_eq!(when_scaled(&server), "Retain", "{started:?}");
    }
}

/// The API server lets nobody of us set it without the annotation that says what it was.
#[test]
fn one_whose_annotation_was_taken_away_is_told_with_what_it_was() {
    for started in STARTED {
        let mut server = contained();
        server.happens(started);
        let live = server.objects[&db()].clone();
        let unmark = fields::unset(&live, &super::super::annotation::PATH);
        let unmark: Vec<_> = unmark.into_iter().collect();
        server.patch(&db(), &unmark, "person").unwrap();
        if is_stopped(&server) {
            // Whose field it is tells that it is ours: a person has to say what it shall be.
            continue;
        }
        server.run_through(&[], None);
        server.ends(&[]);
        assert_eq!(when_scaled(&server), "Retain", "{started:?}");
        let mut told = server.told.objects.iter();
        let told = told.find(|one| is(Some(&db()), one)).unwrap();
        if matches!(started, Started::BetweenQuarantines) {
            // Nothing is known of it any more.
            continue;
        }
        let message = told.message.as_deref().unwrap_or_default();
        assert!(
            message.contains("was Delete before"),
            "{started:?} {told:?}"
        );
    }
}
