//! F20 and M14: each right of the operator is taken away in turn. What it cannot do then is told, nothing is left
//! half done, and once the right is back so is everything.

use std::time::Duration;

use charttrust::api::ChartTrustPolicy;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{
    OPERATOR, OPERATOR_NAMESPACE, Opening, SOON, Scene, workloads::automatic,
};
use charttrust_e2e::within;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;

use crate::{Failing, alone, audited, failing, say, taken};

/// With so many shards a run of one takes two minutes.
const SHARDS: usize = 10;

/// One verb on one resource, of one of the operator's roles.
#[derive(Clone, Debug)]
struct Right {
    role: &'static str,
    verb: String,
    resource: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_right_is_missing_nothing_is_half_done_and_it_is_told() {
    let failing = alone().await;
    let roles = Roles::of(&failing).await;
    let start = failing.stage.cluster.mark();
    let scene = Opening::of_every_kind("rights")
        .with_quarantine(automatic())
        .trusted(failing.stage.cluster)
        .await;
    let before = scene.workloads().await;
    let all = roles.all();
    assert!(all.len() > 60, "{} rights", all.len());
    let (mut held_up, mut untold) = (Vec::new(), Vec::new());
    for right in &taken(all, SHARDS) {
        roles.without(right).await;
        // What was open stays so until it ends.
        failing.proxy.cut_watches();
        scene.revoke().await;
        let waited = within(PATIENCE, || is_contained(&scene)).await;
        if waited.is_err() {
            held_up.push(format!("{} {}", right.verb, right.resource));
            // Where nothing can be written, only the doctor tells, and the log.
            if (right.verb.as_str(), right.resource.as_str()) != UNTOLD {
                untold.extend(is_told(&scene, right).await.err());
            }
        }
        named_by_the_doctor(&failing, right).await;
        roles.restore().await;
        scene.contained("web").await;
        scene.incident_is_remembered("web").await;
        scene.withdraw().await;
        scene.no_quarantine("web").await;
        scene.expect("web", "SignatureVerified").await;
        assert_eq!(scene.workloads().await, before, "{right:?}");
    }
    say(&format!(
        "nothing is contained, and that is told, without: {held_up:?}"
    ));
    assert!(untold.is_empty(), "{untold:#?}");
    audited(&failing.stage, start);
}

/// M14. What it asks for is what the chart gives it: nothing is asked for in vain.
#[tokio::test(flavor = "multi_thread")]
async fn with_its_rights_nothing_is_refused() {
    let failing = failing().await;
    let start = failing.stage.cluster.mark();
    failing.stage.restart().await;
    let scene = Opening::of_every_kind("allowed")
        .with_quarantine(automatic())
        .trusted(failing.stage.cluster)
        .await;
    scene.revoke().await;
    scene.contained("web").await;
    scene.incident_is_remembered("web").await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    scene.expect("web", "SignatureVerified").await;
    let asked = failing
        .stage
        .cluster
        .asked_since(start)
        .by(failing.stage.identity.user());
    assert!(asked.len() > 50, "{} requests", asked.len());
    let refused = asked.only(|event| event.code == 403);
    assert!(refused.is_empty(), "{refused:?}");
}

/// Without it no Quarantine begins, as what was there before could not be kept, and it cannot say so itself.
const UNTOLD: (&str, &str) = ("update", "quarantines/status");

/// Far longer than it takes to contain with all rights.
const PATIENCE: Duration = Duration::from_secs(10);

async fn is_contained(scene: &Scene) -> Result<(), String> {
    let found = scene.quarantines().get_opt("web").await;
    let found = found.map_err(|error| error.to_string())?;
    let found = serde_json::to_value(found).map_err(|error| error.to_string())?;
    let conditions = found["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let is_contained = |one: &Value| one["type"] == "Active" && one["reason"] == "Contained";
    if conditions.iter().any(is_contained) {
        Ok(())
    } else {
        Err(found.to_string())
    }
}

/// Somewhere in the cluster it is told that something is refused or not seen.
async fn is_told(scene: &Scene, right: &Right) -> Result<(), String> {
    let told = within(SOON, async || {
        let told = told_of(scene).await;
        let words = ["forbidden", "may not", "403", "refuse", "cannot"];
        if words.iter().any(|word| told.contains(word)) {
            Ok(())
        } else {
            Err(told)
        }
    });
    let named = |told| format!("{} {}: {told}", right.verb, right.resource);
    told.await.map_err(named)
}

/// What policy, release, quarantine and events say.
async fn told_of(scene: &Scene) -> String {
    let policy = scene.policies().get(&scene.policy).await.ok();
    let trust = scene.trusts().get("web").await.ok();
    let quarantine = scene.quarantines().get_opt("web").await.ok().flatten();
    let events = scene.api::<Event>().list(&ListParams::default()).await;
    let events = events.map(|all| all.items).unwrap_or_default();
    let policy = policy.and_then(|policy: ChartTrustPolicy| policy.status);
    let notes: Vec<_> = events.into_iter().filter_map(|event| event.note).collect();
    let objects = serde_json::json!([
        policy,
        trust.and_then(|trust| trust.status),
        quarantine.and_then(|one| one.status),
        notes
    ]);
    objects.to_string()
}

/// `charttrust doctor` names each right that is missing.
async fn named_by_the_doctor(failing: &Failing, right: &Right) {
    let mut command = tokio::process::Command::new(binary());
    command
        .args(["doctor", "-o", "json"])
        .env("KUBECONFIG", failing.stage.cluster.kubeconfig())
        .stdin(std::process::Stdio::null());
    let output = command.output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = format!("{} {}", right.verb, right.resource);
    assert!(told.contains(&words), "{words}: {told}");
}

/// The operator's roles, as the chart has made them.
struct Roles {
    cluster: Api<ClusterRole>,
    own: Api<Role>,
    of_cluster: Vec<ClusterRole>,
    of_own: Vec<Role>,
}

const NAMES: [&str; 2] = [OPERATOR, "charttrust-quarantine"];

impl Roles {
    async fn of(failing: &Failing) -> Self {
        let client: Client = failing.stage.cluster.client().await.unwrap();
        let cluster = Api::<ClusterRole>::all(client.clone());
        let own = Api::<Role>::namespaced(client, OPERATOR_NAMESPACE);
        let (mut of_cluster, mut of_own) = (Vec::new(), Vec::new());
        for name in NAMES {
            of_cluster.push(cluster.get(name).await.unwrap());
            of_own.push(own.get(name).await.unwrap());
        }
        Self {
            cluster,
            own,
            of_cluster,
            of_own,
        }
    }

    /// Each verb on each resource of each role.
    fn all(&self) -> Vec<Right> {
        let rules = |index: usize| {
            let of_cluster = self.of_cluster[index].rules.iter().flatten();
            of_cluster.chain(self.of_own[index].rules.iter().flatten())
        };
        let mut all = Vec::new();
        for (index, role) in NAMES.into_iter().enumerate() {
            for rule in rules(index) {
                for resource in rule.resources.iter().flatten() {
                    all.extend(rule.verbs.iter().map(|verb| Right {
                        role,
                        verb: verb.clone(),
                        resource: resource.clone(),
                    }));
                }
            }
        }
        // The lease is of those who are several, and this one runs alone.
        all.retain(|right| right.resource != "leases");
        let key = |right: &Right| (right.role, right.resource.clone(), right.verb.clone());
        all.sort_by_key(key);
        all.dedup_by_key(|right| key(right));
        all
    }

    /// Takes one right away, from whichever roles give it: another rule may give it too.
    async fn without(&self, right: &Right) {
        for role in &self.of_cluster {
            let mut role = role.clone();
            role.rules = role.rules.map(|rules| {
                rules
                    .into_iter()
                    .flat_map(|rule| less(&rule, right))
                    .collect()
            });
            put(&self.cluster, role).await;
        }
        for role in &self.of_own {
            let mut role = role.clone();
            role.rules = role.rules.map(|rules| {
                rules
                    .into_iter()
                    .flat_map(|rule| less(&rule, right))
                    .collect()
            });
            put(&self.own, role).await;
        }
    }

    async fn restore(&self) {
        for role in &self.of_cluster {
            put(&self.cluster, role.clone()).await;
        }
        for role in &self.of_own {
            put(&self.own, role.clone()).await;
        }
    }
}

async fn put<K>(api: &Api<K>, mut role: K)
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    role.meta_mut().resource_version = None;
    role.meta_mut().managed_fields = None;
    let name = role.meta().name.clone().unwrap();
    api.replace(&name, &PostParams::default(), &role)
        .await
        .unwrap();
}

/// A rule without one verb on one resource: the verb stays for the other resources of the rule.
fn less(rule: &PolicyRule, right: &Right) -> Vec<PolicyRule> {
    let (taken, others): (Vec<_>, Vec<_>) = rule
        .resources
        .clone()
        .unwrap_or_default()
        .into_iter()
        .partition(|resource| *resource == right.resource);
    let verbs: Vec<_> = rule
        .verbs
        .iter()
        .filter(|verb| **verb != right.verb)
        .cloned()
        .collect();
    let of = |resources: Vec<String>, verbs: Vec<String>| {
        let is_empty = resources.is_empty() || verbs.is_empty();
        (!is_empty).then(|| PolicyRule {
            resources: Some(resources),
            verbs,
            ..rule.clone()
        })
    };
    [of(others, rule.verbs.clone()), of(taken, verbs)]
        .into_iter()
        .flatten()
        .collect()
}
