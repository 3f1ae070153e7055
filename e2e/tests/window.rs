//! The identity of a pipeline was stolen for three hours: of twenty releases that it has signed an hour apart, exactly
//! the three that were signed in these hours are void, with the source gone; and all of it back.

#[path = "../../operator/verify/tests/sigstore/der.rs"]
#[allow(dead_code, reason = "the tests of the engine use the rest")]
mod der;
#[path = "../../operator/verify/tests/sigstore/forge.rs"]
#[allow(dead_code, reason = "the tests of the engine use the rest")]
mod forge;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use charttrust::api::{Quarantine, TrustedIdentity};
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, Power, SOON, Setting, Stage, Story, verdict};
use forge::{Log, Shape, World};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

const RELEASES: i64 = 20;
/// The hours in which somebody else could sign.
const STOLEN: std::ops::Range<i64> = 7..10;
/// Twenty releases on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Twenty releases, and whose pipeline has signed them.
struct Company {
    story: Story,
    identity: String,
    /// When the first was signed.
    begin: Timestamp,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_three_hours_voids_what_was_signed_in_it_and_nothing_else() {
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    let stage = Stage::set(cluster, Setting::new(binary(), Power::Contains)).await;
    let mut scene = Company::set(&stage).await;
    scene.are("SignatureVerified", 0..RELEASES).await;
    let before = scene.replicas().await;
    assert!(
        before.iter().all(|(_, replicas)| *replicas == 1),
        "{before:?}"
    );
    // From here on only evidence is left.
    scene.story.repository.stop();

    let start = Instant::now();
    scene.stolen(STOLEN).await;
    scene.are("KeyCompromised", STOLEN).await;
    let took = start.elapsed().as_millis();
    writeln!(
        std::io::stderr(),
        "three of twenty are KeyCompromised after {took} ms"
    )
    .unwrap();
    scene
        .are(
            "SignatureVerified",
            (0..STOLEN.start).chain(STOLEN.end..RELEASES),
        )
        .await;
    scene.contained(STOLEN).await;

    // It was one hour only; no, three; and what a person has released in between stays so.
    let one = STOLEN.start..STOLEN.start + 1;
    scene.stolen(one.clone()).await;
    scene.are("KeyCompromised", one.clone()).await;
    scene.contained(one).await;
    scene.stolen(STOLEN).await;
    scene.contained(STOLEN).await;
    scene.release_from_quarantine(STOLEN.start + 1).await;
    scene.stolen(STOLEN.start..STOLEN.end + 1).await;
    let left = (STOLEN.start..=STOLEN.end).filter(|hour| *hour != STOLEN.start + 1);
    scene.contained(left).await;

    scene.revoke(Value::Null).await;
    scene.are("SignatureVerified", 0..RELEASES).await;
    scene.contained([]).await;
    assert_eq!(scene.replicas().await, before);
    // Declared again it is another incident, in which nobody has released anything.
    scene.stolen(STOLEN).await;
    scene.contained(STOLEN).await;
    scene.revoke(Value::Null).await;
    scene.contained([]).await;
    assert_eq!(scene.replicas().await, before);
}

impl Company {
    async fn set(stage: &Stage) -> Self {
        let story = Story::begin(stage.cluster, "window", Version::V4).await;
        let begin = Timestamp::now() - SignedDuration::from_hours(2 * RELEASES);
        let begin = Timestamp::from_second(begin.as_second()).unwrap();
        let world = World::called("window");
        let identity = format!("{}-release", story.namespace);
        let scene = Self {
            story,
            identity,
            begin,
        };
        scene.declare(&world).await;
        for hour in 0..RELEASES {
            scene.release(&world, hour).await;
        }
        scene
    }

    /// The identity with its trusted root, and a policy that contains what is bad.
    async fn declare(&self, world: &World) {
        let name = format!("{}-root", self.story.namespace);
        let maps: Api<ConfigMap> = Api::namespaced(self.story.client.clone(), OPERATOR_NAMESPACE);
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"trusted_root.json": world.root_json().to_string()},
        });
        let applied = maps
            .patch(&name, &PatchParams::apply("story"), &Patch::Apply(&map))
            .await;
        self.story.done("apply the trusted root", applied);
        let spec = json!({
            "issuer": forge::ISSUER, "subject": {"exact": forge::SUBJECT},
            "trustedRootRef": {"configMap": {"name": name, "key": "trusted_root.json"}},
        });
        self.story
            .apply::<TrustedIdentity>(&self.identity, spec)
            .await;
        let rule = json!({
            "name": "all", "charts": ["*"],
            "sources": [{"url": self.story.repository.url()}],
            "verify": {"signers": {"identities": [self.identity]}},
        });
        let limit = json!({"maxReleases": 5, "maxPercent": 50, "maxPerNamespace": 5});
        let quarantine = json!({
            "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
            "actions": ["ScaleToZero"], "limit": limit,
        });
        let spec = json!({"rules": [rule], "quarantine": quarantine});
        self.story.policy("policy", &[], spec).await;
    }

    /// One version of the chart, signed at an hour, and its release.
    async fn release(&self, world: &World, hour: i64) {
        let source = Source::new("shop", &format!("1.0.{hour}"));
        let chart = self.story.package(&source, None).await;
        let at = self.begin + SignedDuration::from_hours(hour);
        let shape = Shape {
            artifact: std::fs::read(&chart.archive).unwrap(),
            at,
            logged_at: at + SignedDuration::from_secs(4),
            stamped_at: (hour % 2 == 0).then_some(at + SignedDuration::from_secs(2)),
            log: if hour % 2 == 0 { Log::V2 } else { Log::V1 },
            ..world.good()
        };
        let file = format!("shop-1.0.{hour}.tgz.sigstore.json");
        let put = self.story.repository.put(&file, shape.bundle().to_string());
        self.story.done("publish a bundle", put);
        self.story.offer(&chart).await;
        self.story.install(&release(hour), &chart).await;
    }

    fn window(&self, hours: std::ops::Range<i64>) -> Value {
        let at = |hour: i64| self.begin + SignedDuration::from_hours(hour);
        json!({"from": at(hours.start).to_string(), "until": at(hours.end).to_string()})
    }

    /// Somebody else could sign in these hours.
    async fn stolen(&self, hours: std::ops::Range<i64>) {
        let windows = [self.window(hours)];
        let revocation = json!({"reason": "Compromised", "windows": windows});
        self.revoke(revocation).await;
    }

    /// A person deletes the Quarantine of a release.
    async fn release_from_quarantine(&self, hour: i64) {
        let (client, namespace) = (self.story.client.clone(), &self.story.namespace);
        let quarantines: Api<Quarantine> = Api::namespaced(client, namespace);
        let deleted = quarantines
            .delete(&release(hour), &DeleteParams::default())
            .await;
        self.story.done("delete a Quarantine", deleted);
    }

    async fn revoke(&self, revocation: Value) {
        let change = json!({"spec": {"revocation": revocation}});
        self.story
            .patch::<TrustedIdentity>(&self.identity, change)
            .await;
    }

    /// Waits until these releases, and no other, have this word as verdict.
    async fn are(&self, word: &str, hours: impl IntoIterator<Item = i64>) {
        let expected: BTreeSet<String> = hours.into_iter().map(release).collect();
        eventually(PATIENCE, &format!("{expected:?} are {word}"), async || {
            let all = self.story.trusts().list(&ListParams::default()).await;
            let all = all.map_err(|error| error.to_string())?.items;
            let told = all.iter().map(|trust| (trust.name_any(), verdict(trust)));
            let told: Vec<_> = told.collect();
            let found = told.iter().filter(|(_, said)| said == word);
            let found: BTreeSet<String> = found.map(|(name, _)| name.clone()).collect();
            if found == expected {
                Ok(())
            } else {
                Err(format!("{told:?}"))
            }
        })
        .await;
    }

    async fn replicas(&self) -> Vec<(String, i32)> {
        let (client, namespace) = (self.story.client.clone(), &self.story.namespace);
        let api: Api<Deployment> = Api::namespaced(client, namespace);
        let all = api.list(&ListParams::default()).await.unwrap().items;
        let replicas = |one: &Deployment| one.spec.as_ref().unwrap().replicas.unwrap();
        let mut all: Vec<_> = all
            .iter()
            .map(|one| (one.name_any(), replicas(one)))
            .collect();
        all.sort();
        all
    }

    /// Waits until the workloads of these releases, and no others, stand at zero.
    async fn contained(&self, hours: impl IntoIterator<Item = i64>) {
        let expected: BTreeSet<String> = hours.into_iter().map(release).collect();
        eventually(
            PATIENCE,
            &format!("{expected:?} stand at zero"),
            async || {
                let all = self.replicas().await;
                let found = all.iter().filter(|(_, replicas)| *replicas == 0);
                let found: BTreeSet<String> = found.map(|(name, _)| name.clone()).collect();
                if found == expected {
                    Ok(())
                } else {
                    Err(format!("{all:?}"))
                }
            },
        )
        .await;
        let (client, namespace) = (self.story.client.clone(), &self.story.namespace);
        let quarantines: Api<Quarantine> = Api::namespaced(client, namespace);
        eventually(SOON, "nothing else has a Quarantine", async || {
            let all = quarantines.list(&ListParams::default()).await;
            let all = all.map_err(|error| error.to_string())?.items;
            let found: BTreeSet<String> = all.iter().map(ResourceExt::name_any).collect();
            if found == expected {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await;
    }
}

fn release(hour: i64) -> String {
    format!("shop-{hour:02}")
}
