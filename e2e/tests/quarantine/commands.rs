//! The commands that begin and end quarantines.

use charttrust::api::quarantine::Quarantine;
use charttrust_e2e::stage::Opening;
use serde_json::Value;

use crate::{ALL, charttrust, stage, stage_alone};

#[tokio::test(flavor = "multi_thread")]
async fn restore_needs_no_operator_and_no_quarantine() {
    let stage = stage_alone().await;
    let scene = Opening::of_every_kind("restore")
        .trusted(stage.cluster)
        .await;
    let orphaned = Opening::of_every_kind("restore-orphan")
        .trusted(stage.cluster)
        .await;
    let before = [scene.workloads().await, orphaned.workloads().await];
    for scene in [&scene, &orphaned] {
        scene.contain("web", &ALL).await;
        scene.quarantine_has("web", "Active=True/Contained").await;
    }
    stage.operator(charttrust_e2e::operator::Operator::kill);

    orphaned.force_quarantine_away().await;
    assert_eq!(orphaned.replicas().await, 0);
    assert!(!orphaned.policies_of_network().await.is_empty());

    let name = format!("{}/web", scene.namespace);
    let (code, said) = charttrust(&stage, &["restore", &name, "--dry-run"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Deployment web: 3"), "{said}");
    assert_eq!(scene.replicas().await, 0);
    let (code, said) = charttrust(&stage, &["restore", &name]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--yes"), "{said}");
    let (code, said) = charttrust(&stage, &["restore", &name, "--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    scene.no_quarantine("web").await;
    let orphan = format!("{}/web", orphaned.namespace);
    let (code, said) = charttrust(&stage, &["restore", &orphan, "--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("whose Quarantine is gone"), "{said}");
    let denial = "charttrust-quarantine-web, whose Quarantine is gone: made for it, to be deleted";
    assert!(said.contains(denial), "{said}");
    for scene in [&scene, &orphaned] {
        assert_eq!(scene.policies_of_network().await, Vec::<String>::new());
    }
    assert_eq!(
        [scene.workloads().await, orphaned.workloads().await],
        before
    );
    let (code, said) = charttrust(&stage, &["restore", &orphan, "--yes"]).await;
    assert_eq!((code, said.trim()), (Some(0), "nothing is contained"));
    stage.restart().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_first_and_then_creates() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("command")
        .trusted(stage.cluster)
        .await;
    let name = format!("{}/web", scene.namespace);
    let arguments = ["quarantine", &name, "--reason", "a story", "--dry-run"];
    let (code, said) = charttrust(&stage, &arguments).await;
    assert_eq!(code, Some(0), "{said}");
    for told in [
        "web: stopped (before: 3)",
        "charttrust-quarantine-web: deny all traffic",
        "Undo: kubectl delete quarantine",
    ] {
        assert!(said.contains(told), "{told} in {said}");
    }
    let quarantines = scene.api::<Quarantine>();
    assert!(quarantines.get_opt("web").await.unwrap().is_none());
    let git = ["quarantine", &name, "--reason", "a story", "-o", "yaml"];
    let (code, yaml) = charttrust(&stage, &git).await;
    assert_eq!(code, Some(0), "{yaml}");
    let documents: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
    assert_eq!(documents[0]["kind"], "Quarantine");

    let key = scene.key.name.clone();
    let arguments = ["quarantine", "--key", &key, "--reason", "a story"];
    let more = ["--action", "ScaleToZero", "--yes"];
    let (code, said) = charttrust(&stage, &[&arguments[..], &more].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    let object = scene.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(object.spec.reason, "a story");
    assert_eq!(scene.replicas().await, 0);
    let (code, said) = charttrust(&stage, &["quarantine", "web", "--reason", "x"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("NAMESPACE/RELEASE"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_say_what_was_not_done() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("not-done")
        .trusted(stage.cluster)
        .await;
    scene.contain("web", &["IsolateNetwork"]).await;
    let name = format!("{}/web", scene.namespace);
    let more = [
        "quarantine",
        &name,
        "--reason",
        "a story",
        "--action",
        "ScaleToZero",
        "--yes",
    ];
    let (code, said) = charttrust(&stage, &more).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("without ScaleToZero"), "{said}");
    assert_eq!(scene.replicas().await, 3);

    let nobody = format!("{}/typo", scene.namespace);
    let (code, said) = charttrust(&stage, &["restore", &nobody, "--yes"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no release typo is recorded"), "{said}");

    // Whoever stops reading stops no restore.
    let mut restore = tokio::process::Command::new(crate::binary());
    restore
        .args(["restore", &name, "--yes"])
        .env("KUBECONFIG", stage.cluster.kubeconfig())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped());
    let mut running = restore.spawn().unwrap();
    drop(running.stdout.take());
    assert_eq!(running.wait().await.unwrap().code(), Some(0));
    scene.no_quarantine("web").await;
    assert_eq!(scene.policies_of_network().await, Vec::<String>::new());
}

/// Of an operator that contains, every right of the chart is there, and the fence is in force.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_the_fence_and_every_right_that_containing_needs() {
    let stage = stage().await;
    let (_, told) = charttrust(&stage, &["doctor", "-o", "json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let state = |check: &str| {
        let mut all = told["checks"].as_array().unwrap().iter();
        let found = all.find(|one| one["check"] == check);
        found.unwrap_or_else(|| panic!("no {check} in {told}"))["state"].clone()
    };
    for check in ["kinds", "its rights", "fence", "your rights"] {
        assert_eq!(state(check), "ok", "{check}: {told}");
    }
    // It runs by hand and without a Lease here, so that nobody can say whether it runs.
    assert_eq!(state("leader"), "unknown", "{told}");
}
