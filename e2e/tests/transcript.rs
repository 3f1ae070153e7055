//! The page about a stolen key, typed as it stands there, on a real control plane.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{Power, Setting, Stage, Story, path};
use charttrust_e2e::tools::{self, Tool};
use charttrust_e2e::within;
use serde_json::json;

const PAGE: &str = "docs/incident-key-stolen.md";

#[tokio::test(flavor = "multi_thread")]
async fn what_to_do_when_a_key_was_stolen() {
    let binary = binary();
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    // As it is installed: commands learn from its Lease how it runs.
    let setting = Setting {
        more: Vec::new(),
        ..Setting::new(binary.clone(), Power::Contains)
    };
    let stage = Stage::set(cluster, setting).await;
    let story = shop(&stage).await;
    let desk = Desk::of(&stage, &story, &binary).await;

    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let steps = steps(&page);
    assert!(steps.len() > 10, "{} commands", steps.len());
    let mut transcript = Vec::new();
    let mut wrong = Vec::new();
    for step in &steps {
        let said = desk.types(step).await;
        if !step.expects(&said) {
            wrong.push(step.command.as_str());
        }
        transcript.push(format!("$ {}\n{said}", step.command));
    }
    assert!(
        wrong.is_empty(),
        "these commands print something else than {PAGE}: {wrong:#?}\nin all:\n{}",
        transcript.concat()
    );
}

/// The shop of the page: two releases signed by the key that is stolen, one by another team's.
async fn shop(stage: &Stage) -> Story {
    let story = Story::named(stage.cluster, "shop", Version::V4).await;
    let key = story.trusted_key("2026").await;
    let other = story.trusted_key("payroll").await;
    let keys = [&key, &other];
    story.policy("charts", &keys, json!({})).await;
    for (name, version, key) in [
        ("payments", "2.4.1", &key),
        ("search", "2.0.0", &key),
        ("payroll", "0.9.3", &other),
    ] {
        let chart = story.publish(&source(name, version), Some(key)).await;
        story.install(name, &chart).await;
        story.expect(name, "SignatureVerified").await;
    }
    story
}

fn source(name: &str, version: &str) -> Source {
    Source::new(name, version).with_file("values.yaml", "replicas: 3\n")
}

/// Where the commands are typed: a folder with the new key and the charts that it signed.
struct Desk {
    folder: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Desk {
    async fn of(stage: &Stage, story: &Story, binary: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join("bin");
        std::fs::create_dir(&programs).unwrap();
        for (name, program) in [
            ("charttrust", binary.to_owned()),
            ("kubectl", tools::path(Tool::Kubectl).unwrap()),
            ("helm", tools::path(Tool::Helm4).unwrap()),
        ] {
            symlink(program, programs.join(name)).unwrap();
        }
        let key = story.make_key("2027");
        let armored = story.keyring.public_armored(&key.key).unwrap();
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
            "metadata": {"name": key.name},
            "spec": {"fingerprint": key.key.fingerprint, "publicKey": {"inline": armored}},
        });
        std::fs::write(folder.path().join("shop-2027.yaml"), object.to_string()).unwrap();
        for (name, version) in [("payments", "2.4.2"), ("search", "2.0.1")] {
            let signed: Chart = story.publish(&source(name, version), Some(&key)).await;
            let name = signed.archive.file_name().unwrap();
            std::fs::copy(&signed.archive, folder.path().join(name)).unwrap();
        }
        Self {
            folder,
            kubeconfig: stage.cluster.kubeconfig().to_owned(),
        }
    }

    /// Types a command. Who only looks looks again until it is there.
    async fn types(&self, step: &Step) -> String {
        let only_looks = step.command.starts_with("kubectl get ");
        let typed = within(Duration::from_secs(30), async || {
            let said = self.run(&step.command).await;
            if !only_looks || step.expects(&said) {
                Ok(said)
            } else {
                Err(said)
            }
        });
        typed.await.unwrap_or_else(|said| said)
    }

    async fn run(&self, line: &str) -> String {
        let home = self.folder.path();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{line} 2>&1")])
            .current_dir(home)
            .env("PATH", format!("{}:{path}", home.join("bin").display()))
            .env("HOME", home)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            said
        } else {
            format!("{said}(failed: {})\n", output.status)
        }
    }
}

/// A command and what it prints.
struct Step {
    command: String,
    output: Vec<String>,
}

impl Step {
    /// Line by line, whatever the widths of columns. `…` stands for any lines.
    fn expects(&self, said: &str) -> bool {
        let said: Vec<_> = said.lines().map(essence).collect();
        matches(&self.output, &said)
    }
}

fn matches(expected: &[String], said: &[Vec<String>]) -> bool {
    match expected.split_first() {
        None => said.is_empty(),
        Some((any, rest)) if any == "…" => {
            (0..=said.len()).any(|skipped| matches(rest, &said[skipped..]))
        }
        Some((line, rest)) => said.first() == Some(&essence(line)) && matches(rest, &said[1..]),
    }
}

/// The words of a line; what differs between two runs is only named.
fn essence(line: &str) -> Vec<String> {
    line.split_whitespace().map(kind).collect()
}

fn kind(word: &str) -> String {
    let bare = word.trim_matches(['(', ')', ',', '.', ':']);
    let is_digest = bare.len() >= 8 && bare.chars().all(|c| c.is_ascii_hexdigit() || c == '…');
    let begins_as_date =
        bare.len() >= 10 && bare.starts_with("20") && bare[..10].matches('-').count() == 2;
    let is_time = bare.starts_with(|c: char| c.is_ascii_digit())
        && bare.ends_with(['s', 'm', 'h', 'd'])
        && bare
            .chars()
            .all(|c| c.is_ascii_digit() || "smhd.".contains(c));
    let is_measured = bare.contains('.') && bare.parse::<f64>().is_ok();
    match (is_digest, begins_as_date, is_time || is_measured) {
        (true, ..) => "a digest".to_owned(),
        (_, true, _) => "a date".to_owned(),
        (.., true) => "some time".to_owned(),
        _ => word.to_owned(),
    }
}

/// What stands in its blocks of commands.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_inside) {
            steps.push(Step {
                command: command.to_owned(),
                output: Vec::new(),
            });
        } else if let Some(step) = steps.last_mut().filter(|_| is_inside) {
            step.output.push(line.to_owned());
        }
    }
    steps
}

#[test]
fn only_what_differs_between_two_runs_is_left_open() {
    let step = |output: &str| Step {
        command: String::new(),
        output: output.lines().map(ToOwned::to_owned).collect(),
    };
    let expected = step("payments  2.4.1  AAAA11112222…  311d\n…\ndone in 0.4s");
    assert!(expected.expects("payments 2.4.1 0123456789AB 5s\nmore\ndone in 1.25s\n"));
    assert!(expected.expects("payments 2.4.1 0123456789AB 5s\ndone in 1s\n"));
    assert!(!expected.expects("payments 2.4.2 0123456789AB 5s\ndone in 1s\n"));
    assert!(!expected.expects("payments 2.4.1 0123456789AB 5s\n"));
    assert!(!expected.expects("payments 2.4.1 0123456789AB 5s\ndone in 1s\nfailed\n"));
}
