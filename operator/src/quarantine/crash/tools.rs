//! Tools that put back what is contained: nobody has decided that, so it is contained again, after pauses
//! that grow; and what a person does stays.

use jiff::SignedDuration;

use super::*;

const FLUX: &str = "helm-controller";
const GIT: &str = "kustomize-controller";

fn deployer() -> Key {
    key("HelmRelease", "web")
}

fn web() -> Key {
    key("Deployment", "web")
}

impl Server {
    /// Somebody puts back a field; a template of Argo CD takes our annotation away with it.
    fn put_back(&mut self, key: &Key, new: Value, manager: &str) {
        let live = self.objects[key].clone();
        let operations = vec![fields::set(
            &live,
            target(&live).unwrap().field,
            new.clone(),
        )];
        self.patch(key, &operations, manager).unwrap();
        self.wanted.insert(key.clone(), Some(new));
        self.transitions.insert(key.clone(), (0, 0));
    }

    fn unmark(&mut self, key: &Key, manager: &str) {
        let live = self.objects[key].clone();
        let operations: Vec<_> = fields::unset(&live, &super::super::annotation::PATH)
            .into_iter()
            .collect();
        self.patch(key, &operations, manager).unwrap();
    }

    fn later(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.run_through(&[], None);
    }

    fn is_held(&self, key: &Key) -> bool {
        let object = &self.objects[key];
        target(object).unwrap().is_held(object)
    }

    fn record(&self, key: &Key) -> &ContainedObject {
        let mut all = self.status.objects.iter();
        all.find(|one| is(Some(key), one)).unwrap()
    }

    fn says(&self, type_: QuarantineCondition) -> Option<String> {
        let said = find(&self.status.conditions, type_)?;
        Some(format!("{:?}/{}", said.status, said.reason))
    }
}

fn contained() -> Server {
    let mut server = Server::new();
    server.run_through(&[], None);
    assert!(server.is_held(&deployer()) && server.is_held(&web()));
    server
}

/// Puts everything back, and compares that with what was wanted last.
fn ended(mut server: Server) {
    server.end();
    server.run_through(&[], None);
    assert!(!server.finalizer, "{:#?}", server.status);
    for (key, wanted) in &server.wanted {
        assert_eq!(value(&server.objects[key]), wanted.as_ref(), "{key:?}");
    }
    let left = server
        .objects
        .values()
        .find(|one| one.to_string().contains("charttrust"));
    assert_eq!(left, None);
}

#[test]
fn what_a_tool_resumes_is_paused_again_and_told_and_comes_back_as_the_tool_had_it() {
    for marked in [true, false] {
        let mut server = contained();
        server.put_back(&deployer(), json!(false), GIT);
        if !marked {
            server.unmark(&deployer(), GIT);
        }
        server.later(30);
        assert!(server.is_held(&deployer()), "{marked}");
        let contested = server.says(QuarantineCondition::Contested);
        assert_eq!(contested.as_deref(), Some("True/Undone"));
        let told = find(&server.status.conditions, QuarantineCondition::Contested).unwrap();
        let named = "HelmRelease web by kustomize-controller (1 times)";
        assert!(told.message.contains(named), "{}", told.message);
        assert_eq!(server.record(&deployer()).state, ObjectState::Contained);
        ended(server);
    }
}

#[test]
fn what_a_person_resumes_stays_whatever_tools_make_of_it_later() {
    for person in ["person", "flux", "kubectl-edit", "argocd-server"] {
        let mut server = contained();
        server.put_back(&deployer(), json!(false), person);
        server.later(30);
        assert!(!server.is_held(&deployer()), "{person}");
        // Git says the same by now.
        server.put_back(&deployer(), json!(false), GIT);
        server.put_back(&web(), json!(3), FLUX);
        server.later(30);
        assert!(!server.is_held(&deployer()) && !server.is_held(&web()));
        let contested = server.says(QuarantineCondition::Contested);
        assert_eq!(contested.as_deref(), Some("True/ChangedByOthers"));
        ended(server);
    }
}

/// Two controllers must not fight, and the patient one must not win.
#[test]
fn a_tool_that_never_rests_is_met_after_pauses_that_grow_to_an_hour() {
    let mut server = contained();
    let (mut met, mut pauses) = (Vec::new(), Vec::new());
    let begin = server.now;
    for _ in 0..(6 * 120) {
        server.put_back_if_held(&deployer());
        server.later(30);
        if server.is_held(&deployer()) {
            met.push(server.now);
        } else {
            let active = server.says(QuarantineCondition::Active);
            assert_eq!(active.as_deref(), Some("False/Undone"));
        }
    }
    for pair in met.windows(2) {
        pauses.push(pair[1].duration_since(pair[0]).as_secs());
    }
    assert_eq!(met[0].duration_since(begin).as_secs(), 30);
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert!(pauses[0] >= 60 && pauses[0] <= 120, "{pauses:?}");
    assert!((3600..=3660).contains(pauses.last().unwrap()), "{pauses:?}");
    assert!(met.len() < 16, "{pauses:?}");
    ended(server);
}

impl Server {
    fn put_back_if_held(&mut self, key: &Key) {
        if self.is_held(key) {
            self.put_back(key, json!(false), GIT);
        }
    }
}

#[test]
fn what_the_deployer_has_put_back_meanwhile_is_contained_again_with_it_and_not_before() {
    let mut server = contained();
    for times in [1, 2] {
        server.put_back(&deployer(), json!(false), GIT);
        server.put_back(&web(), json!(3), FLUX);
        server.later(30);
        let is_met = times == 1;
        assert_eq!(server.is_held(&deployer()), is_met, "{times}");
        assert_eq!(server.is_held(&web()), is_met, "{times}");
    }
    server.later(30);
    server.later(30);
    assert!(server.is_held(&deployer()) && server.is_held(&web()));
    // An hour later it is forgotten.
    server.later(3700);
    assert_eq!(server.says(QuarantineCondition::Contested), None);
    let active = server.says(QuarantineCondition::Active);
    assert_eq!(active.as_deref(), Some("False/PartlyContained"));
    ended(server);
}

/// A deployer that was not to be paused does its work, and is not fought.
#[test]
fn a_deployer_that_rests_by_itself_is_no_reason_to_fight_a_tool() {
    let mut server = Server::new();
    server.put_back(&deployer(), json!(true), "person");
    server.run_through(&[], None);
    server.put_back(&web(), json!(3), FLUX);
    server.later(30);
    assert!(!server.is_held(&web()));
    assert_eq!(server.record(&web()).state, ObjectState::Kept);
    let contested = server.says(QuarantineCondition::Contested);
    assert_eq!(contested.as_deref(), Some("True/ChangedByOthers"));
}

/// A tool that undoes it may come at any moment, and so may a crash.
#[test]
fn wherever_it_stops_what_a_tool_has_put_back_is_contained_and_comes_back() {
    let undone = || {
        let mut server = contained();
        server.put_back(&deployer(), json!(false), GIT);
        server.put_back(&web(), json!(3), FLUX);
        server.now += SignedDuration::from_secs(30);
        server
    };
    let mut whole = undone();
    let before = whole.writes;
    whole.run_through(&[], None);
    let writes = whole.writes - before;
    assert!(writes >= 4, "{writes}");
    for stop in every_stop(writes) {
        let stop = match stop {
            Stop::Before(number) => Stop::Before(before + number),
            Stop::After(number) => Stop::After(before + number),
        };
        let mut server = undone();
        server.run_through(&[stop], None);
        assert!(
            server.is_held(&deployer()) && server.is_held(&web()),
            "{stop:?}"
        );
        assert_eq!(server.record(&web()).undone.as_ref().unwrap().times, 1);
        ended(server);
    }
}
