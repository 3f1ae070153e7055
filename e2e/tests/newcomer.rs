//! The first day, typed as the page has it: a cluster full of unsigned charts, and a policy that notices another
//! archive.

use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::page::{Desk, steps};
use charttrust_e2e::stage::{OPERATOR, Power, Setting, Stage, Story, path};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

const PAGE: &str = "docs/getting-started.md";
const CHAPTER: &str = "\n## Nothing is signed yet\n";
/// The repository of the page.
const CHARTS: &str = "https://charts.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn what_to_do_when_nothing_is_signed() {
    let binary = binary();
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    // As it is installed: commands learn from its Lease that it leads.
    let setting = Setting {
        more: Vec::new(),
        ..Setting::new(binary.clone(), Power::Reports)
    };
    let stage = Stage::set(cluster, setting).await;
    is_sound(&stage).await;
    let story = shop(&stage).await;
    let desk = Desk::new(stage.cluster.kubeconfig(), &binary);
    let desk = desk.with_name(CHARTS, &story.repository.url());

    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let chapter = page.split(CHAPTER).nth(1).unwrap();
    let chapter = chapter.split("\n## ").next().unwrap();
    let steps = steps(chapter);
    let is_upgrade = |command: &str| command.starts_with("helm upgrade ");
    let changed = steps.iter().position(|step| is_upgrade(&step.command));
    let (before, after) = steps.split_at(changed.expect("the upgrade of the page"));
    assert!(after.len() >= 3, "{steps:?}");
    // What is typed is the installation, as the stage has made it, and these; all others only look.
    let commands = chapter.split("```sh\n").nth(1).unwrap();
    let commands: Vec<_> = commands.split("```").next().unwrap().lines().collect();
    assert_eq!(commands.len(), 5, "{commands:?}");
    assert!(commands[0].starts_with("helm install charttrust "));
    let changes = before.iter().map(|step| step.command.as_str());
    let changes = changes.filter(|command| !command.starts_with("kubectl get "));
    let changes: Vec<_> = changes
        .map(|command| command.split(';').next().unwrap())
        .collect();
    assert_eq!(changes, commands[1..], "five commands, no more");
    desk.types_all(PAGE, before).await;
    let other = source("payments", "2.4.1").with_file("templates/more.yaml", "# more\n");
    story.publish(&other, None).await;
    desk.types_all(PAGE, after).await;
}

/// The doctor finds no fault, and finds one that is made.
async fn is_sound(stage: &Stage) {
    let (code, told) = doctor(stage, &[]).await;
    assert_eq!(code, 0, "{told}");
    for part in [
        "ok        server        Kubernetes v1.",
        "ok        clock         this machine's clock and the API server's agree",
        "ok        clock         the leader's clock and the API server's agree",
        "ok        kinds         5 definitions, as this program has them",
        "warning   operator      Deployment charttrust is scaled to zero",
        "leads, and renews its Lease",
        "ok        its rights    the operator has all ",
        "ok        fence         not needed: the operator contains nothing",
        "ok        your rights   you may read verdicts, write policies, revoke keys and identities, contain and",
        "warning   policies      there is none, so every verdict is NoPolicy",
    ] {
        assert!(told.contains(part), "{part:?} is missing in:\n{told}");
    }
    // The page shows the same checks in the same order.
    let page = std::fs::read_to_string(path("docs/cli.md")).unwrap();
    let shown = page.split("$ charttrust doctor\n").nth(1).unwrap();
    let shown = shown.split("```").next().unwrap();
    assert_eq!(checks(&told), checks(shown), "{told}");
    let (code, elsewhere) = doctor(stage, &["--operator-namespace", "default"]).await;
    assert_eq!(code, 3, "{elsewhere}");
    let way_on = "an operator leads in namespace charttrust-system";
    assert!(elsewhere.contains(way_on), "{elsewhere}");

    let roles = Api::<ClusterRole>::all(stage.cluster.client().await.unwrap());
    let before = roles.get(OPERATOR).await.unwrap();
    let fewer = before.rules.iter().flatten().filter(|rule| {
        let mut groups = rule.api_groups.iter().flatten();
        !groups.any(|group| group == "events.k8s.io")
    });
    let change = |rules: Vec<&PolicyRule>| Patch::Merge(json!({"rules": rules}));
    let params = PatchParams::default();
    let fewer = change(fewer.collect());
    roles.patch(OPERATOR, &params, &fewer).await.unwrap();
    let (code, told) = doctor(stage, &["-o", "json"]).await;
    let whole = change(before.rules.iter().flatten().collect());
    roles.patch(OPERATOR, &params, &whole).await.unwrap();
    assert_eq!(code, 1, "{told}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let mut lines = told["checks"].as_array().unwrap().iter();
    let rights = lines.find(|one| one["check"] == "its rights").unwrap();
    assert_eq!(rights["state"], "failed", "{told}");
    assert_eq!(rights["message"], "the operator may not create events");
}

/// What stands in the column CHECK.
fn checks(table: &str) -> Vec<&str> {
    let column = table
        .lines()
        .next()
        .and_then(|head| head.find("CHECK"))
        .unwrap();
    let end = table
        .lines()
        .next()
        .and_then(|head| head.find("FOUND"))
        .unwrap();
    let cells = table.lines().filter_map(|line| line.get(column..end));
    cells
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

async fn doctor(stage: &Stage, more: &[&str]) -> (i32, String) {
    let mut command = tokio::process::Command::new(binary());
    command
        .arg("doctor")
        .args(more)
        .env("KUBECONFIG", stage.cluster.kubeconfig());
    let output = command.output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), said)
}

/// The shop of the page: two releases are what is published, one was changed, one was never published.
async fn shop(stage: &Stage) -> Story {
    let story = Story::named(stage.cluster, "shop", Version::V4).await;
    for (name, version) in [("payments", "2.4.1"), ("web", "1.0.0")] {
        let chart = story.publish(&source(name, version), None).await;
        story.install(name, &chart).await;
    }
    let published = source("search", "2.0.0");
    let changed = published
        .clone()
        .with_file("templates/more.yaml", "# more\n");
    let changed = story.package(&changed, None).await;
    story.install("search", &changed).await;
    story.publish(&published, None).await;
    let folder = story.package(&source("forum", "0.7.0"), None).await;
    story.install("forum", &folder).await;
    for name in ["payments", "web", "search", "forum"] {
        story.expect(name, "NoPolicy").await;
    }
    story
}

fn source(name: &str, version: &str) -> Source {
    Source::new(name, version)
}
