//! The restore of the page about audits, typed as it stands there: a cluster is backed up, a new one is made of it, and
//! nothing is trusted or contained there that was not before. And what comes of it where the operator's namespace
//! was forgotten.

use std::path::Path;
use std::time::Duration;

use charttrust::api::{Quarantine, ReleaseTrust, TrustedKey};
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::gpg::Revocation;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::{Operator, binary};
use charttrust_e2e::page::{Desk, Step, steps};
use charttrust_e2e::repository::Repository;
use charttrust_e2e::stage::workloads::automatic;
use charttrust_e2e::stage::{Power, SOON, Setting, Stage, Story, StoryKey, kubectl, path, verdict};
use charttrust_e2e::{eventually, lasting};
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

const PAGE: &str = "docs/audit.md";
/// Each release, its verdict, and whether it is contained.
const RELEASES: [(&str, &str, bool); 5] = [
    ("api", "KeyCompromised", true),
    ("freed", "KeyCompromised", false),
    ("learned", "KeyCompromised", true),
    ("web", "SignatureVerified", false),
    ("witnessed", "Grandfathered", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_trusts_and_contains_what_the_old_one_did() {
    let old = cluster();
    let stage = Stage::set(old, setting()).await;
    let story = shop(&stage).await;
    stage.at_rest("shop").await;
    let backup = Desk::new(old.kubeconfig(), &binary());
    backup.types_all(PAGE, &chapter("What to back up")).await;
    stage.operator(Operator::stop);

    let restore = chapter("Restore");
    let starts = |step: &Step| step.command.starts_with("helm upgrade ");
    let started = restore.iter().position(starts).unwrap();
    let (restore, by_hand) = restore.split_at(started + 1);
    assert!(restore.len() >= 6 && by_hand.len() >= 3, "{restore:?}");
    let new = cluster();
    let desk = desk(new, backup.folder());
    desk.types_all(PAGE, restore).await;
    let stage = Stage::set(new, setting()).await;
    stays(&stage).await;
    is_told(&story, &new.client().await.unwrap()).await;
    desk.types_all(PAGE, by_hand).await;
    assert_eq!(replicas(&new.client().await.unwrap(), "api").await, 3);
    stage.operator(Operator::stop);

    careless(&story, restore, backup.folder()).await;
}

/// Who forgets the operator's namespace forgets what it had learned.
async fn careless(story: &Story, restore: &[Step], backup: &Path) {
    let cluster = cluster();
    let desk = desk(cluster, backup);
    for step in restore {
        if step.command.contains("secrets.yaml") {
            let file = backup.join("trust.yaml").to_string_lossy().into_owned();
            let apply = ["apply", "--server-side", "-f", &file];
            let applied = kubectl(cluster.kubeconfig(), &apply).await;
            story.done("apply keys and policies", applied);
        } else {
            desk.types_all(PAGE, std::slice::from_ref(step)).await;
        }
    }
    let _stage = Stage::set(cluster, setting()).await;
    let client = cluster.client().await.unwrap();
    is_judged(&client, "learned", "SignatureVerified").await;
    is_judged(&client, "witnessed", "KeyCompromised").await;
    let told = "what a person has put back is contained again";
    eventually(SOON, told, async || {
        match replicas(&client, "freed").await {
            0 => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

/// That nobody holds any more what is stopped, and that a person has put back one.
async fn is_told(story: &Story, client: &Client) {
    let quarantines = Api::<Quarantine>::namespaced(client.clone(), "shop");
    let trusts = Api::<ReleaseTrust>::namespaced(client.clone(), "shop");
    for release in ["api", "learned"] {
        let condition = "Active=False/ChangedByOthers";
        story
            .expect_condition(&quarantines, release, condition)
            .await;
        let condition = "Quarantined=False/NotContained";
        story.expect_condition(&trusts, release, condition).await;
    }
    let condition = "Quarantined=False/Released";
    story.expect_condition(&trusts, "freed", condition).await;
}

/// The commands of a chapter of the page.
fn chapter(name: &str) -> Vec<Step> {
    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {name}\n")).unwrap();
    steps(rest.split("\n## ").next().unwrap())
}

fn setting() -> Setting<'static> {
    Setting::new(binary(), Power::Contains)
}

/// One of its own, which ends with this process.
fn cluster() -> &'static Cluster {
    Box::leak(Box::new(
        Cluster::start(env!("CARGO_BIN_EXE_testbed")).unwrap(),
    ))
}

/// The cluster that is backed up.
async fn shop(stage: &Stage) -> Story {
    let story = Story::named(stage.cluster, "shop", Version::V4).await;
    let [good, stolen, witness, published] =
        ["good", "stolen", "witness", "published"].map(|name| story.make_key(name));
    let keys = [&good, &stolen, &witness, &published];
    for key in &keys[..3] {
        story.declare(key, json!({})).await;
    }
    let publisher = Repository::start_with_tls().unwrap();
    let url = format!("{}/published.asc", publisher.url());
    publish(&story, &published, &publisher);
    let refresh = json!({"refresh": {"interval": "1s", "url": url}});
    story.declare(&published, refresh).await;
    let more = json!({"quarantine": automatic()});
    story.policy("policy", &keys, more).await;
    for (release, key) in [
        ("api", &stolen),
        ("freed", &stolen),
        ("learned", &published),
        ("web", &good),
        ("witnessed", &witness),
    ] {
        let source = Source::new(release, "1.0.0").with_file("values.yaml", "replicas: 3\n");
        let chart = story.publish(&source, Some(key)).await;
        story.install(release, &chart).await;
        story.expect(release, "SignatureVerified").await;
    }
    let ended = (&stolen, &witness, &published);
    revoke_all(&story, ended, &publisher).await;
    put_back(stage, &story).await;
    story
}

/// Each key ends in another way.
async fn revoke_all(
    story: &Story,
    (stolen, witness, published): (&StoryKey, &StoryKey, &StoryKey),
    publisher: &Repository,
) {
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&stolen.name, revoke).await;
    let word = story
        .keyring
        .revocation(&published.key, Revocation::Compromised);
    let word = story.done("revoke a key", word);
    story.done("take it in", story.keyring.import(&word));
    publish(story, published, publisher);
    // Whole seconds are written.
    let since = charttrust::clock::now() + SignedDuration::from_secs(2);
    eventually(SOON, "what was verified is older", async || {
        if charttrust::clock::now() > since {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    let word = json!({
        "reason": "Compromised", "grandfather": "Witnessed",
        "since": since.strftime("%FT%TZ").to_string(),
    });
    let change = json!({"spec": {"revocation": word}});
    story.patch::<TrustedKey>(&witness.name, change).await;
    for (release, word, _) in RELEASES {
        story.expect(release, word).await;
    }
    let quarantines = Api::<Quarantine>::namespaced(story.client.clone(), "shop");
    for release in ["api", "freed", "learned"] {
        story
            .expect_condition(&quarantines, release, "Active=True/Contained")
            .await;
    }
}

/// A person puts one back.
async fn put_back(stage: &Stage, story: &Story) {
    let mut restore = tokio::process::Command::new(binary());
    restore
        .args(["restore", "shop/freed", "--yes"])
        .env("KUBECONFIG", stage.cluster.kubeconfig());
    let restored = story.done("restore a release", restore.output().await);
    assert!(restored.status.success(), "{restored:?}");
    story
        .expect_condition(&story.trusts(), "freed", "Quarantined=False/Released")
        .await;
}

fn publish(story: &Story, key: &StoryKey, publisher: &Repository) {
    story.done(
        "publish a key",
        publisher.put("published.asc", story.public(key)),
    );
}

/// Where a cluster is restored: with the files of the backup.
fn desk(cluster: &'static Cluster, backup: &Path) -> Desk {
    let desk = Desk::new(cluster.kubeconfig(), &binary());
    for file in [
        "secrets",
        "remembered",
        "trust",
        "shop",
        "quarantines",
        "verdicts",
    ] {
        let name = format!("{file}.yaml");
        std::fs::copy(backup.join(&name), desk.folder().join(&name)).unwrap();
    }
    std::os::unix::fs::symlink(path("operator"), desk.folder().join("operator")).unwrap();
    desk
}

async fn is_judged(client: &Client, release: &str, word: &str) {
    let trusts = Api::<ReleaseTrust>::namespaced(client.clone(), "shop");
    eventually(SOON, &format!("{release} is {word}"), async || {
        let found = trusts
            .get_opt(release)
            .await
            .map_err(|error| error.to_string())?;
        match found.as_ref().map(verdict) {
            Some(found) if found == word => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await;
}

/// All is judged as it was; nothing gains trust, and nothing is stopped or started, for a while.
async fn stays(stage: &Stage) {
    let client = stage.cluster.client().await.unwrap();
    for (release, word, _) in RELEASES {
        is_judged(&client, release, word).await;
    }
    stage.at_rest("shop").await;
    let trusts = Api::<ReleaseTrust>::namespaced(client.clone(), "shop");
    let stays = lasting(Duration::from_secs(5), async || {
        let all = trusts.list(&ListParams::default()).await;
        let all = all.map_err(|error| error.to_string())?;
        let found = all.iter().map(|one| (one.name_any(), verdict(one)));
        let found: Vec<_> = found.collect();
        let wanted = RELEASES.map(|(release, word, _)| (release.to_owned(), word.to_owned()));
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    });
    stays.await.unwrap();
    for (release, _, is_contained) in RELEASES {
        let wanted = if is_contained { 0 } else { 3 };
        assert_eq!(replicas(&client, release).await, wanted, "{release}");
    }
}

async fn replicas(client: &Client, release: &str) -> i32 {
    let api = Api::<Deployment>::namespaced(client.clone(), "shop");
    let found = api.get(release).await.unwrap();
    found.spec.and_then(|spec| spec.replicas).unwrap_or(1)
}
