//! The pipelines of `docs/pipelines`: what their steps type is run here, with real gpg, real Helm 4 and a real
//! registry. Of GitHub and GitLab there is what they set; chart-releaser is stood in for.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use charttrust_e2e::charts::Source;
use charttrust_e2e::gpg::{Algorithm, Keyring};
use charttrust_e2e::operator::binary;
use charttrust_e2e::page::Desk;
use charttrust_e2e::registry::{Kind, Registry};
use charttrust_e2e::repository::Repository;
use charttrust_e2e::stage::path;
use serde_json::{Value, json};

use crate::publishing::over_plain_http;

const PASSPHRASE: &str = "pipe line $1 'x'";
/// The subkey of the pages.
const FINGERPRINT: &str = "25A7B3F4F8A3B69751015A5838DBD9C2C442E92A";

/// A checkout with two charts and the TrustedKey of the key whose subkey signs; what the pipeline keeps secret.
struct Checkout {
    desk: Desk,
    variables: BTreeMap<String, String>,
}

impl Checkout {
    fn new() -> Self {
        let keyring = Keyring::guarded(PASSPHRASE).unwrap();
        let (key, subkey) = keyring
            .key_with_subkey("platform-2026", Algorithm::Ed25519)
            .unwrap();
        // Nothing of the cluster is asked.
        let desk = Desk::new(Path::new("/nonexistent"), &binary());
        let here = |name: &str| desk.folder().join(name);
        for name in ["payments", "search"] {
            let chart = Source::new(name, "2.4.1");
            chart.write(&here("charts").join(name)).unwrap();
        }
        let armored = keyring.public_armored(&key).unwrap();
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
            "metadata": {"name": "platform-2026"},
            "spec": {"fingerprint": key.fingerprint, "publicKey": {"inline": armored}},
        });
        std::fs::create_dir(here("keys")).unwrap();
        std::fs::write(here("keys/platform-2026.yaml"), object.to_string()).unwrap();
        let export = ["--armor", "--export-secret-subkeys", &subkey];
        let secret = String::from_utf8(keyring.gpg(&export).unwrap()).unwrap();
        std::fs::write(here("github.env"), "").unwrap();
        let kept = here("github.env").to_string_lossy().into_owned();
        let variables = [
            ("SIGNING_KEY", secret.as_str()),
            ("SIGNING_PASSPHRASE", PASSPHRASE),
            ("FINGERPRINT", &subkey),
            ("GITHUB_ENV", &kept),
            ("GITHUB_TOKEN", "secret"),
            ("GITHUB_REPOSITORY", "example/charts"),
            ("github.actor", "ann"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            variables: variables.into(),
            desk,
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// What a variable of the pipeline is here; one that it takes from elsewhere has to be known.
    fn value(&self, name: &str, text: &str) -> String {
        let taken = text.strip_prefix("${{ ");
        let taken = taken.map(|text| text.trim_end_matches(" }}").trim_start_matches("secrets."));
        let known = self.variables.get(taken.unwrap_or(name));
        match (taken, known) {
            (_, Some(known)) => known.clone(),
            (None, None) => text.to_owned(),
            (Some(taken), None) => panic!("nobody sets {taken}"),
        }
    }

    /// Runs what is typed in one shell, and tells what it printed.
    fn types(&self, shell: &[&str], script: &str, variables: &[(String, String)]) -> String {
        let folder = self.desk.folder();
        let programs = std::env::var("PATH").unwrap_or_default();
        let programs = format!("{}:{programs}", folder.join("bin").display());
        let always = ["GITHUB_ENV", "GITHUB_REPOSITORY"].map(|name| (name, self.value(name, "")));
        let mut command = Command::new(shell[0]);
        command
            .args(&shell[1..])
            .args(["-c", script])
            .current_dir(folder)
            .env("HOME", folder)
            .env("PATH", programs)
            .env_remove("GNUPGHOME")
            .envs(always)
            .envs(variables.iter().cloned());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{script}\n{output:#?}");
        let said = format!("{output:?}");
        assert!(!said.contains(PASSPHRASE), "{said}");
        said
    }

    /// Runs the steps of the one job of a workflow, as GitHub does with `shell: bash`.
    fn workflow(&self, page: &str) -> Vec<String> {
        let workflow = read(page);
        let jobs = workflow["jobs"].as_object().unwrap();
        let (_, job) = jobs.iter().next().unwrap();
        let variables = |of: &Value| -> Vec<(String, String)> {
            let pairs = of["env"].as_object().into_iter().flatten();
            pairs
                .map(|(name, value)| (name.clone(), self.value(name, value.as_str().unwrap())))
                .collect()
        };
        let mut said = Vec::new();
        for step in job["steps"].as_array().unwrap() {
            let Some(script) = step["run"].as_str() else {
                assert!(step["uses"].is_string(), "{step}");
                continue;
            };
            let script = format!("set -a; . \"$GITHUB_ENV\"; set +a\n{script}");
            let bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail"];
            let all = [variables(job), variables(step)].concat();
            said.push(self.types(&bash, &script, &all));
        }
        let kept = std::fs::read_to_string(self.desk.folder().join("github.env")).unwrap();
        let home = kept.trim().strip_prefix("GNUPGHOME=").unwrap().to_owned();
        assert!(!Path::new(&home).exists(), "the key is forgotten");
        said
    }
}

fn read(page: &str) -> Value {
    let text = std::fs::read_to_string(path(page)).unwrap();
    assert!(text.contains(FINGERPRINT));
    serde_saphyr::from_str(&text).unwrap()
}

/// What was pushed is believed, by the keys of the checkout.
fn is_served(checkout: &Checkout, place: &str) {
    for chart in ["payments", "search"] {
        let verify = format!("charttrust verify {place}/{chart}:2.4.1 --key keys");
        let said = checkout.types(&["sh", "-e"], &verify, &[]);
        assert!(said.contains("trusted/ArchiveVerified"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_actions_sign_and_push_is_believed() {
    let registry = Registry::start(Kind::DistributionWithLogin).await.unwrap();
    let mut checkout = Checkout::new();
    over_plain_http(checkout.desk.folder(), &registry.host());
    let place = registry.url();
    checkout.set("REGISTRY", place.strip_prefix("oci://").unwrap());
    let (user, password) = charttrust_e2e::registry::LOGIN;
    checkout.set("github.actor", user);
    checkout.set("GITHUB_TOKEN", password);
    let said = checkout.workflow("docs/pipelines/github-actions.yaml");
    assert_eq!(said.len(), 5, "{said:?}");
    let signed = checkout.value("FINGERPRINT", "");
    assert_eq!(
        said[1].matches(&format!("signed by {signed}")).count(),
        2,
        "{said:?}"
    );
    assert_eq!(
        said[2].matches("trusted/ArchiveVerified").count(),
        2,
        "{said:?}"
    );
    is_served(&checkout, &place);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_signs_and_pushes_is_believed() {
    let registry = Registry::start(Kind::DistributionWithLogin).await.unwrap();
    let checkout = Checkout::new();
    over_plain_http(checkout.desk.folder(), &registry.host());
    // A variable of type File.
    let file = checkout.desk.folder().join("signing-key");
    std::fs::write(&file, checkout.value("SIGNING_KEY", "")).unwrap();
    let job = read("docs/pipelines/gitlab-ci.yaml")["publish-charts"].clone();
    let lines = ["before_script", "script"].map(|part| job[part].as_array().unwrap().clone());
    let lines = lines.concat();
    let lines: Vec<_> = lines.iter().map(|line| line.as_str().unwrap()).collect();
    let (user, password) = charttrust_e2e::registry::LOGIN;
    let place = registry.url();
    let image = place
        .trim_start_matches("oci://")
        .trim_end_matches("/charts");
    let known = [
        ("SIGNING_KEY", file.to_string_lossy().into_owned()),
        ("SIGNING_PASSPHRASE", PASSPHRASE.to_owned()),
        ("FINGERPRINT", checkout.value("FINGERPRINT", "")),
        ("CI_REGISTRY", registry.host()),
        ("CI_REGISTRY_IMAGE", image.to_owned()),
        ("CI_REGISTRY_USER", user.to_owned()),
        ("CI_REGISTRY_PASSWORD", password.to_owned()),
    ];
    let known = known.map(|(name, value)| (name.to_owned(), value));
    let shell = ["bash", "-eo", "pipefail"];
    let said = checkout.types(&shell, &lines.join("\n"), &known);
    assert_eq!(said.matches("trusted/ArchiveVerified").count(), 2, "{said}");
    is_served(&checkout, &place);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_chart_releaser_gets_is_signed() {
    let site = Repository::start().unwrap();
    let checkout = Checkout::new();
    let folder = checkout.desk.folder();
    std::os::unix::fs::symlink(site.dir(), folder.join("site")).unwrap();
    let program = folder.join("bin/cr");
    std::fs::write(&program, CHART_RELEASER).unwrap();
    let executable = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(program, executable).unwrap();
    let said = checkout.workflow("docs/pipelines/chart-releaser.yaml");
    assert_eq!(said.len(), 5, "{said:?}");
    let url = site.url();
    let host = url.trim_start_matches("http://");
    let verify = format!("charttrust verify --repo {url} --allow-host {host} --key keys");
    let said = checkout.types(&["sh", "-e"], &verify, &[]);
    assert!(said.contains("2 chart versions: 2 trusted"), "{said}");
}

/// What of chart-releaser the page needs: it packages as Helm does, uploads a `.prov` that lies beside an archive
/// (`pkg/releaser/releaser.go`, `CreateReleases`), and writes an index.
const CHART_RELEASER: &str = r#"#!/bin/sh
set -eu
command=$1
case $command in
package) chart=$2 ;;
esac
while [ $# -gt 0 ]; do
  case $1 in --package-path) packages=$2 ;; esac
  shift
done
case $command in
package) helm package "$chart" --destination "$packages" ;;
upload)
  test -n "$CR_TOKEN"
  for archive in "$packages"/*.tgz; do
    cp "$archive" site
    if [ -e "$archive.prov" ]; then cp "$archive.prov" site; fi
  done
  ;;
index) helm repo index site ;;
esac
"#;
