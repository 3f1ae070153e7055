//! What commands say where something is named that they cannot use: what it is, where it stands, and what to
//! do, each once.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::world::{Ends, Said, World};

async fn run(world: &World, line: &str) -> Said {
    let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    world.run(&arguments, Ends::Open).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nobody_asks_is_told_with_those_that_are_asked() {
    let world = World::new().await;
    world.lay_chart();
    let fingerprint = "5E615389B53CA37F0EE60BD3843BBF981FC18762";
    for address in [
        "ftp://charts.example.com",
        "files+https://a.example",
        "x://y",
    ] {
        for line in [
            format!("policy init --source {address}"),
            format!("verify hashtest-1.2.3.tgz --key key.gpg --source {address}"),
            format!("key import {address} --fingerprint {fingerprint}"),
        ] {
            let said = run(&world, &line).await;
            assert_eq!(said.code, Some(2), "{line}: {said:?}");
            for part in [address, "https://"] {
                assert!(said.errors.contains(part), "{line}: {part}: {said:?}");
            }
            assert!(!said.errors.contains("spec."), "{line}: {said:?}");
        }
    }
    assert_eq!(world.cluster.requests(), 0);
}

/// The same words twice in a line of causes are one cause.
#[test]
fn a_cluster_that_cannot_be_found_has_each_cause_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let (gone, odd) = (folder.path().join("gone"), folder.path().join("odd"));
    std::fs::write(&odd, "no: [kubeconfig").unwrap();
    for command in [
        "status",
        "why shop/web",
        "doctor",
        "pin",
        "key status platform",
        "key rotate a --to b",
        "policy init",
        "policy preview platform",
        "report html",
        "report key",
        "report vsa",
        "revoke platform --dry-run",
        "restore --all",
        "run",
    ] {
        for (file, part) in [
            (&gone, "No such file"),
            (&odd, "failed to parse kubeconfig"),
        ] {
            let mut program = Command::new(env!("CARGO_BIN_EXE_charttrust"));
            program
                .args(command.split_whitespace())
                .stdin(Stdio::null());
            let output = program.env("KUBECONFIG", file).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{command}: {errors}");
            let line = errors
                .lines()
                .find(|line| line.contains("error: "))
                .unwrap();
            assert_eq!(line.matches(part).count(), 1, "{command}: {line}");
        }
    }
}

/// Nothing is in order where nothing is.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_calls_no_line_ok_about_an_operator_that_nothing_tells_of() {
    let world = World::new().await;
    world.installed();
    let said = run(&world, "doctor --operator-namespace nope -o json").await;
    assert_eq!(said.code, Some(3), "{said:?}");
    let told: Value = serde_json::from_str(&said.text).unwrap();
    for check in ["operator", "leader", "its rights", "fence"] {
        let mut lines = told["checks"].as_array().unwrap().iter();
        let line = lines.find(|line| line["check"] == check).unwrap();
        assert_eq!(line["state"], "unknown", "{line}");
    }
    for part in [
        "tells of an operator in namespace nope",
        "--operator-namespace",
    ] {
        assert!(said.text.contains(part), "{part}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_about_another_archive_lets_nothing_rest_on_a_key() {
    let world = World::new().await;
    let path = "/apis/charttrust.io/v1alpha1/namespaces/shop/releasetrusts/web";
    let mut trust = world.cluster.find(path).unwrap();
    let other = json!(format!("sha256:{}", "c".repeat(64)));
    trust["status"]["evidence"]["sources"][0]["signedArchive"] = other;
    world.cluster.put(path, trust);
    for line in ["key status platform", "status --key platform"] {
        let said = run(&world, line).await;
        assert!(
            said.text.contains("ledger") && !said.text.contains("web"),
            "{said:?}"
        );
    }
}

/// Whoever has several files must see which is meant.
#[tokio::test(flavor = "multi_thread")]
async fn key_material_that_cannot_be_used_is_named_by_its_file() {
    let world = World::new().await;
    world.lay_chart();
    let lay = |name: &str, bytes: &[u8]| {
        std::fs::write(world.folder.path().join(name), bytes).unwrap();
    };
    let key = std::fs::read(world.folder.path().join("key.gpg")).unwrap();
    let armor =
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDM=\n-----END PGP PUBLIC KEY BLOCK-----\n";
    lay("mixed.gpg", &[&key, &armor[..]].concat());
    lay("page.gpg", b"<html>");
    lay("empty.gpg", b"");
    let fingerprint = "5E615389B53CA37F0EE60BD3843BBF981FC18762";
    for file in ["mixed.gpg", "page.gpg", "empty.gpg"] {
        for line in [
            format!("key show {file}"),
            format!("key import {file} --fingerprint {fingerprint}"),
            format!("verify hashtest-1.2.3.tgz --key key.gpg --key {file}"),
        ] {
            let said = run(&world, &line).await;
            assert_eq!(said.code, Some(2), "{line}: {said:?}");
            assert!(said.errors.contains(file), "{line}: {said:?}");
        }
    }
    let other = "0".repeat(40);
    let said = run(&world, &format!("key import key.gpg --fingerprint {other}")).await;
    assert!(
        said.errors.contains("key.gpg: none of the keys"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_handed_over_with_what_is_left_to_do() {
    let world = World::new().await;
    world.next_key();
    let said = run(
        &world,
        "key rotate platform --to next --not-after 2027-03-31",
    )
    .await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let object: Value = serde_saphyr::from_str(&said.text).unwrap();
    assert_eq!(object["metadata"]["name"], "platform");
    assert_eq!(object["spec"]["successor"], "next");
    assert_eq!(object["spec"]["notAfter"], "2027-03-31T00:00:00Z");
    for part in [
        "platform ends 2027-03-31T00:00:00Z, and next takes over",
        "policy/all lists platform and not next: list it",
        "2 releases rest on platform alone:",
        "shop        web       web-1.0.0",
    ] {
        assert!(said.errors.contains(part), "{part}: {said:?}");
    }
    for (line, part) in [
        ("key rotate platform --to platform", "are the same key"),
        ("key rotate next --to typo", "there is no TrustedKey typo"),
    ] {
        let refused = run(&world, line).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(
            refused.text.is_empty() && refused.errors.contains(part),
            "{refused:?}"
        );
    }
    assert!(world.cluster.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_the_cluster_is_previewed_by_its_name() {
    let world = World::new().await;
    let seen = run(&world, "policy preview policy").await;
    assert_eq!(seen.code, Some(0), "{seen:?}");
    assert!(
        seen.text.contains("Policy policy as it stands: 0 verdicts"),
        "{seen:?}"
    );
    assert!(!seen.text.contains("Apply with"), "{seen:?}");
    let both = run(&world, "policy preview policy -f policy.yaml").await;
    assert_eq!(both.code, Some(2), "{both:?}");
    let none = run(&world, "policy preview").await;
    assert_eq!(none.code, Some(2), "{none:?}");
}

/// One policy and several are told by the same words.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_whom_a_missing_webhook_leaves_without_effect() {
    let world = World::new().await;
    world.installed();
    let path = "/apis/charttrust.io/v1alpha1/charttrustpolicies";
    for (number, mode) in ["Enforce", "Warn"].into_iter().enumerate() {
        let name = format!("pilot-{number}");
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": name, "generation": 1},
            "spec": {"mode": mode, "rules": [{"name": "all", "charts": ["*"], "verify": {"level": "None"}}],
                "quarantine": {"onReasons": ["KeyCompromised"], "actions": ["FreezeUpgrades"]}},
            "status": {"observedGeneration": 1},
        });
        world.cluster.put(&format!("{path}/{name}"), object);
        let said = run(&world, "doctor -o json").await;
        let told: Value = serde_json::from_str(&said.text).unwrap();
        let line = |check: &str| {
            let mut lines = told["checks"].as_array().unwrap().iter();
            lines.find(|line| line["check"] == check).unwrap().clone()
        };
        let names = ["pilot-0", "pilot-0, pilot-1"][number];
        let webhook = line("webhook");
        assert_eq!(webhook["state"], "failed", "{webhook}");
        assert_eq!(
            webhook["message"],
            format!(
                "no webhook is installed, and without it these policies neither warn nor refuse: {names}"
            )
        );
        let freeze = line("freeze")["message"].as_str().unwrap().to_owned();
        let start =
            "nothing refuses upgrades; FreezeUpgrades is asked for by: ChartTrustPolicy pilot-0";
        assert!(freeze.starts_with(start), "{freeze}");
    }
}

/// A warning about a stolen key names its fingerprint.
#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_a_key_is_told_by_its_fingerprint_too() {
    let world = World::new().await;
    let fingerprint = world.cluster.find(crate::world::KEY).unwrap()["spec"]["fingerprint"].clone();
    let fingerprint = fingerprint.as_str().unwrap();
    for command in ["key status", "status --key"] {
        let named = run(&world, &format!("{command} platform")).await;
        assert!(named.text.contains("ledger"), "{named:?}");
        for text in [fingerprint.to_lowercase(), fingerprint.to_uppercase()] {
            let said = run(&world, &format!("{command} {text}")).await;
            assert_eq!((said.code, &said.text), (named.code, &named.text), "{text}");
        }
        let other = "0".repeat(40);
        let said = run(&world, &format!("{command} {other}")).await;
        assert_eq!(said.code, Some(2), "{said:?}");
        let part = format!("there is no TrustedKey with the fingerprint {other}");
        assert!(said.errors.contains(&part), "{said:?}");
    }
}
