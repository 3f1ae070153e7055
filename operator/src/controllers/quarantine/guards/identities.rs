//! Incidents of an identity: what begins and ends when its window is widened, narrowed, withdrawn and declared again,
//! and what a person's word is worth meanwhile.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::controllers::quarantine::{self, incident_of, incidents, start};
use crate::controllers::testing::{POLICY, Scene, id, quarantine_of};
use crate::controllers::windows::{
    archive_of, bad, declare, judged, moment, remove, seen, twenty, window,
};
use crate::inventory::ReleaseId;

/// Twenty releases that one identity has signed, an hour apart, and what contains them.
struct Company(Scene);

impl Company {
    async fn begin() -> Self {
        let scene = Box::pin(twenty()).await;
        scene.context.store.present.get_or_init(BTreeSet::new);
        Self(scene)
    }

    /// The identity is so; the releases that are contained when all has come to rest.
    async fn with(&self, spec: &Value) -> Vec<String> {
        declare(&self.0, spec);
        self.settled().await
    }

    async fn settled(&self) -> Vec<String> {
        seen(&self.0).await;
        judged(&self.0).await;
        for _ in 0..3 {
            self.turn().await;
        }
        let all = self.0.context.store.release_ids().into_iter();
        all.filter(|id| self.find(id).is_some())
            .map(|id| id.name)
            .collect()
    }

    async fn turn(&self) {
        let context = &self.0.context;
        incidents::reconcile(context, moment()).await.unwrap();
        start::reconcile(context, POLICY, moment()).await.unwrap();
        let bad = bad(&self.0);
        for id in context.store.release_ids() {
            self.show(&id);
            if self.find(&id).is_none() {
                continue;
            }
            if bad.contains(&id.name) {
                self.come_into_force(&id).await;
            } else {
                quarantine::reconcile(context, &id, moment(), crate::clock::tick())
                    .await
                    .unwrap();
            }
        }
    }

    fn find(&self, id: &ReleaseId) -> Option<Value> {
        self.0.cluster.find(&quarantine_of(id))
    }

    /// The watch shows the Quarantine as it is on the server.
    fn show(&self, id: &ReleaseId) {
        let object = self.find(id);
        let object = object.map(|it| serde_json::from_value(it).map_err(|e| e.to_string()));
        self.0.context.cache.quarantines.set(id.clone(), object);
    }

    /// Everything of the release is stopped.
    async fn come_into_force(&self, id: &ReleaseId) {
        let incident = incident_of(&self.0.context, id, POLICY).await.unwrap();
        let mut object = self.find(id).unwrap();
        object["status"] = json!({"incident": incident.unwrap().to_string(), "contained": 1, "conditions": [{
            "type": "Active", "status": "True", "reason": "Contained", "message": "",
            "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z",
        }]});
        self.0.cluster.put(&quarantine_of(id), object);
        self.show(id);
    }

    /// A person deletes the Quarantine of a release.
    async fn release(&self, name: &str) {
        let id = id("shop", name);
        incidents::reconcile(&self.0.context, moment())
            .await
            .unwrap();
        let mut object = self.find(&id).unwrap();
        object["metadata"]["deletionTimestamp"] = json!("2026-11-20T00:00:00Z");
        self.0.cluster.put(&quarantine_of(&id), object);
        self.show(&id);
        let context = &self.0.context;
        quarantine::reconcile(context, &id, moment(), crate::clock::tick())
            .await
            .unwrap();
        assert_eq!(self.find(&id), None, "it is free");
        self.show(&id);
    }
}

#[tokio::test]
async fn what_a_person_has_released_stays_so_however_the_window_is_corrected_and_not_in_the_next_incident()
 {
    let company = Company::begin().await;
    let stolen = window(5, Some(8));
    assert_eq!(company.with(&stolen).await, ["r05", "r06", "r07"]);
    company.release("r06").await;
    assert_eq!(company.with(&stolen).await, ["r05", "r07"], "as it was");
    let wider = company.with(&window(4, Some(9))).await;
    assert_eq!(wider, ["r04", "r05", "r07", "r08"]);
    let narrower = company.with(&window(5, Some(6))).await;
    assert_eq!(narrower, ["r05"], "trust returns to the others");
    assert_eq!(company.with(&stolen).await, ["r05", "r07"], "wider again");
    assert_eq!(company.with(&json!({})).await, [""; 0], "withdrawn");
    let again = company.with(&stolen).await;
    assert_eq!(again, ["r05", "r06", "r07"], "the word was about the first");
}

/// Never lose the way back: what was contained is given back when its archive or its window is named no more, and
/// is kept while nobody is there to give trust back.
#[tokio::test]
async fn what_is_contained_lasts_until_trust_returns_and_ends_then() {
    let company = Company::begin().await;
    let digests = json!({"revocation": {"reason": "Compromised", "digests": [archive_of(10)]}});
    assert_eq!(company.with(&digests).await, ["r10"]);
    let both = json!({"revocation": {"reason": "Compromised", "digests": [archive_of(10)],
        "windows": window(5, Some(6))["revocation"]["windows"]}});
    assert_eq!(company.with(&both).await, ["r05", "r10"]);
    remove(&company.0);
    let gone = company.settled().await;
    assert_eq!(gone, ["r05", "r10"], "nobody says that they may run again");
    assert_eq!(company.with(&both).await, ["r05", "r10"], "it is back");
    // It is of no use while it cannot be read, and what it voids stays void.
    let mut unusable = both.clone();
    unusable["notAfter"] = json!("soon");
    assert_eq!(company.with(&unusable).await, ["r05", "r10"]);
    assert_eq!(company.with(&json!({})).await, [""; 0]);
}
