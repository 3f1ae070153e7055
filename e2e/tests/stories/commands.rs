//! The commands that ask the cluster, as people run them: the real binary, a kubeconfig, exit codes.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use charttrust::api::{Quarantine, TrustedKey};
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Identity;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{SOON, Story, StoryKey, kubectl};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;

use crate::setup::{declare_at, keep_in_secret, stage, story};

const TRUSTED: i32 = 0;
const UNTRUSTED: i32 = 1;
const USAGE: i32 = 2;
const UNKNOWN: i32 = 3;

/// What a command printed, and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) text: String,
    pub(crate) errors: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let said = Self {
            code: output.status.code().unwrap(),
            text: text(&output.stdout),
            errors: text(&output.stderr),
        };
        let all = format!("{}{}", said.text, said.errors);
        let is_harmless = |c: char| c == '\n' || !c.is_control();
        assert!(all.chars().all(is_harmless), "{all:?}");
        said
    }

    #[track_caller]
    pub(crate) fn with(self, code: i32, parts: &[&str]) -> Self {
        let all = format!("{}\n{}", self.text, self.errors);
        assert_eq!(self.code, code, "{all}");
        for part in parts {
            assert!(all.contains(part), "{part:?} is missing in:\n{all}");
        }
        self
    }

    /// The line of a release in a table.
    #[track_caller]
    fn line(&self, name: &str) -> &str {
        let is_of = |line: &&str| line.split_whitespace().nth(1) == Some(name);
        let line = self.text.lines().find(is_of);
        line.unwrap_or_else(|| panic!("no {name} in:\n{}", self.text))
    }
}

/// Runs `charttrust` as the administrator, without a terminal.
pub(crate) async fn charttrust(arguments: &[&str]) -> Said {
    let kubeconfig = stage().await.cluster.kubeconfig();
    run(Path::new(&binary()), kubeconfig, arguments).await
}

async fn run(program: &Path, kubeconfig: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    Said::of(&output.await.unwrap())
}

/// A policy by which one key vouches for `web` and `api`, and nobody for `forum`.
async fn shop(prefix: &str) -> (Story, StoryKey) {
    let story = story(prefix, Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    for (name, signed) in [("web", true), ("api", true), ("forum", false)] {
        let source = Source::new(name, "1.0.0");
        let chart = story.publish(&source, signed.then_some(&key)).await;
        story.install(name, &chart).await;
    }
    story.expect("web", "SignatureVerified").await;
    story.expect("api", "SignatureVerified").await;
    story.expect("forum", "Unsigned").await;
    (story, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_shown_before_it_is_made_and_comes_out_as_shown() {
    let (story, key) = shop("cmd-revoke").await;
    let base = [
        "revoke",
        &key.name,
        "--reason",
        "Compromised",
        "--since",
        "2026-11-18T00:00Z",
    ];
    let with = |more: &[&'static str]| [&base[..], more].concat();
    let before = story.keys().get(&key.name).await.unwrap();
    let dry = charttrust(&with(&["--dry-run"])).await;
    let namespace = story.namespace.as_str();
    let dry = dry.with(
        TRUSTED,
        &[
            "used by 1 policy, 2 releases in 1 namespace",
            "No workload will be stopped.",
            "Signature dates are not believed",
            "--since 2026-11-18T00:00:00Z --yes",
        ],
    );
    for name in ["web", "api"] {
        let line = dry.line(name);
        assert!(line.starts_with(namespace), "{line}");
        assert!(
            line.contains("SignatureVerified   Untrusted/KeyCompromised"),
            "{line}"
        );
        assert!(
            line.contains("(AFTER)") && line.contains("<- look here first"),
            "{line}"
        );
    }
    assert!(!dry.text.contains("forum"), "{}", dry.text);
    charttrust(&base).await.with(
        USAGE,
        &["there is no terminal to ask on", "nothing was changed"],
    );
    let after = story.keys().get(&key.name).await.unwrap();
    assert_eq!(after.spec, before.spec, "nothing was written");

    charttrust(&with(&["--yes"])).await.with(
        TRUSTED,
        &[
            "revoked (generation 2)",
            "2 verdicts have changed as shown, in ",
        ],
    );
    story.expect("web", "KeyCompromised").await;
    charttrust(&with(&["--dry-run"])).await.with(
        TRUSTED,
        &["It is revoked already, as Compromised", "KeyCompromised"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_object_is_what_kubectl_applies() {
    let (story, key) = shop("cmd-yaml").await;
    let soft = ["revoke", &key.name, "--reason", "superseded"];
    charttrust(&soft)
        .await
        .with(USAGE, &["--since: is required"]);
    let only = ["--since", "2024-01-15T00:00Z", "-o", "yaml"];
    let printed = charttrust(&[&soft[..], &only].concat()).await;
    let printed = printed.with(TRUSTED, &[]);
    let before = story.keys().get(&key.name).await.unwrap();
    assert_eq!(before.spec.revocation, None, "it was only printed");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.yaml");
    std::fs::write(&file, &printed.text).unwrap();
    let kubeconfig = stage().await.cluster.kubeconfig();
    let file = file.to_string_lossy();
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", &file];
    kubectl(kubeconfig, &apply).await.unwrap();
    story.expect("web", "KeyRetired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_revocation_does_not_change_is_shown_as_well() {
    let (story, key) = shop("cmd-two").await;
    let second = story.trusted_key("second").await;
    let rule = story.rule("*", &[&key, &second], json!({}));
    story.rules("policy", &[rule]).await;
    let source = Source::new("both", "1.0.0");
    let chart = story.publish_signed(&source, &[&key, &second], &[]).await;
    story.install("both", &chart).await;
    story.expect("both", "SignatureVerified").await;
    let witnessed = [
        "revoke",
        &key.name,
        "--reason",
        "unspecified",
        "--since",
        "2099-01-01T00:00Z",
        "--grandfather",
        "Witnessed",
        "--yes",
    ];
    let said = charttrust(&witnessed)
        .await
        .with(TRUSTED, &["3 releases", "2 verdicts have changed as shown"]);
    assert!(
        said.line("both").ends_with("Trusted/SignatureVerified"),
        "{}",
        said.text
    );
    assert!(
        said.line("web").ends_with("Trusted/Grandfathered"),
        "{}",
        said.text
    );
    assert!(said.line("web").contains("(before)"), "{}", said.text);
    story.expect("web", "Grandfathered").await;
    story.expect("both", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_tells_the_chain_and_status_the_verdicts() {
    let (story, key) = shop("cmd-why").await;
    let name = |release: &str| format!("{}/{release}", story.namespace);
    let url = story.repository.url();
    let fingerprint = format!("{} ({})", key.key.fingerprint, key.name);
    let good = charttrust(&["why", &name("web")]).await;
    good.with(
        TRUSTED,
        &[
            "chart web 1.0.0",
            &format!("3 source    {url}: has the archive"),
            "equals index digest: yes, first verified: 20",
            "5 content   the running release is made of this archive",
            &fingerprint,
            "the archive is the same",
            &format!("8 key       {}: Active, ends never", key.name),
            "Trusted=True, SignatureVerified, since 20",
            ": content as signed",
        ],
    );
    let bad = charttrust(&["why", &name("forum")]).await;
    bad.with(
        UNTRUSTED,
        &["has no .prov   <-- Unsigned", "charttrust.io/requestedAt="],
    );
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, revoke).await;
    story.expect("web", "KeyCompromised").await;
    story.expect("api", "KeyCompromised").await;
    let stolen = charttrust(&["why", &name("web")]).await;
    stolen.with(UNTRUSTED, &["<-- KeyCompromised", ": holds"]);

    let one = charttrust(&["status", &name("web")]).await;
    one.with(
        UNTRUSTED,
        &[
            "Verdict:  Untrusted/KeyCompromised since 20",
            &format!("Signed:   by {}, first verified 20", key.key.fingerprint),
            "Policy:   ",
        ],
    );
    let all = charttrust(&["status", "-n", &story.namespace])
        .await
        .with(UNTRUSTED, &["REASON"]);
    assert!(all.line("forum").contains("Unsigned"));
    assert!(all.text.contains("0 of 3, 3 not trusted"), "{}", all.text);
    assert_eq!(all.text.lines().count(), 6, "{}", all.text);
    let untrusted = ["status", "-n", &story.namespace, "--untrusted"];
    let untrusted = charttrust(&untrusted)
        .await
        .with(UNTRUSTED, &["KeyCompromised"]);
    assert_eq!(untrusted.text.lines().count(), 6, "all three");
    programs_read_the_same(&story).await;
}

/// What people read in tables, as JSON and YAML.
async fn programs_read_the_same(story: &Story) {
    let name = |release: &str| format!("{}/{release}", story.namespace);
    let listed = ["status", "-n", &story.namespace, "-o", "json"];
    let listed = charttrust(&listed).await.with(UNTRUSTED, &[]);
    let listed: serde_json::Value = serde_json::from_str(&listed.text).unwrap();
    let trust = story.trusts().get("api").await.unwrap();
    let status = serde_json::to_value(&trust.status).unwrap();
    assert_eq!(listed["items"][0]["status"], status, "{listed}");
    let chain = ["why", &name("forum"), "-o", "json"];
    let chain = charttrust(&chain).await.with(UNTRUSTED, &[]);
    let chain: serde_json::Value = serde_json::from_str(&chain.text).unwrap();
    assert_eq!(chain["trusted"]["reason"], "Unsigned", "{chain}");
    assert_eq!(chain["links"][5]["reasons"], json!(["Unsigned"]), "{chain}");
    let yaml = ["status", &name("forum"), "-o", "yaml"];
    charttrust(&yaml).await.with(
        UNTRUSTED,
        &["kind: ReleaseTrust", "reason: Unsigned", "name: forum"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_says_so_by_its_exit_code() {
    let (story, key) = shop("cmd-codes").await;
    let missing = format!("{}/nothing", story.namespace);
    charttrust(&["why", &missing])
        .await
        .with(USAGE, &["there is no ReleaseTrust nothing"]);
    charttrust(&["status", &missing])
        .await
        .with(USAGE, &["whether the operator runs"]);
    charttrust(&["why", "web"])
        .await
        .with(USAGE, &["NAMESPACE/RELEASE"]);
    charttrust(&["status", "-n", "no-such-namespace"])
        .await
        .with(USAGE, &["there is no namespace no-such-namespace"]);
    charttrust(&["status", "-n", "kube-public"])
        .await
        .with(TRUSTED, &[]);
    charttrust(&["revoke", "no\u{1b}[2Jthing", "--reason", "Retired"])
        .await
        .with(USAGE, &["there is no TrustedKey no\\u{1b}[2Jthing"]);
    charttrust(&["revoke", &key.name, "--reason", "Lost"])
        .await
        .with(USAGE, &["Compromised"]);
    let folder = tempfile::tempdir().unwrap();
    let binary = binary();
    let nowhere = folder.path().join("kubeconfig");
    run(Path::new(&binary), &nowhere, &["status"])
        .await
        .with(USAGE, &["set KUBECONFIG, or name a file with --kubeconfig"]);
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&nowhere, config.to_string()).unwrap();
    run(Path::new(&binary), &nowhere, &["status"])
        .await
        .with(UNKNOWN, &["failed to list the ReleaseTrusts"]);
    let cluster = stage()
        .await
        .cluster
        .kubeconfig()
        .to_string_lossy()
        .into_owned();
    let explicit = ["status", "--kubeconfig", &cluster, "-n", &story.namespace];
    run(Path::new(&binary), &nowhere, &explicit)
        .await
        .with(UNTRUSTED, &["forum"]);
    let explicit = [&explicit[..], &["--context", "nobody"]].concat();
    run(Path::new(&binary), &nowhere, &explicit)
        .await
        .with(USAGE, &["no usable cluster"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_contains_a_release_is_told_what_became_of_it() {
    let (story, _) = shop("cmd-contain").await;
    let missing = format!("{}/nothing", story.namespace);
    let because = ["--reason", "a story", "--yes"];
    charttrust(&[&["quarantine", &missing], &because[..]].concat())
        .await
        .with(USAGE, &["no release nothing is recorded", "helm list"]);
    let quarantines = Api::<Quarantine>::namespaced(story.client.clone(), &story.namespace);
    let all = quarantines.list(&ListParams::default()).await.unwrap();
    assert_eq!(
        all.items.len(),
        0,
        "nothing is created for what is not there"
    );
    let web = format!("{}/web", story.namespace);
    charttrust(&[&["quarantine", &web], &because[..]].concat())
        .await
        .with(
            UNTRUSTED,
            &[
                "web created in",
                "web is Disabled: the operator runs without --quarantine",
            ],
        );
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_plugin_it_shows_what_people_type() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-charttrust");
    std::os::unix::fs::symlink(binary(), &plugin).unwrap();
    let kubeconfig = stage().await.cluster.kubeconfig();
    let help = run(&plugin, kubeconfig, &["why", "--help"]).await;
    help.with(TRUSTED, &["Usage: kubectl charttrust why"]);
    let (_, key) = shop("cmd-plugin").await;
    let dry = ["revoke", &key.name, "--reason", "Compromised", "--dry-run"];
    let said = run(&plugin, kubeconfig, &dry).await;
    let command = format!(
        "kubectl charttrust revoke {} --reason Compromised",
        key.name
    );
    said.with(
        TRUSTED,
        &[&format!("{command} --yes"), &format!("{command} -o yaml")],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_guessed_for_those_who_may_not_read_everything() {
    let story = story("cmd-blind", Version::V4).await;
    let key = story.make_key("platform");
    keep_in_secret(&story, &key).await;
    declare_at(&story, &key, "secretRef").await;
    story.policy("policy", &[&key], json!({})).await;
    let source = Source::new("web", "1.0.0");
    let chart = story.publish(&source, Some(&key)).await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;

    let reader = reader(&story).await;
    let base = ["revoke", &key.name, "--reason", "Compromised"];
    let binary = binary();
    let binary = Path::new(&binary);
    let dry = [&base[..], &["--dry-run"]].concat();
    let seen = run(binary, &reader.kubeconfig(), &dry).await;
    let seen = seen.with(
        TRUSTED,
        &["? the operator judges by more than can be read here"],
    );
    assert!(
        seen.line("web").ends_with("SignatureVerified   ?"),
        "{}",
        seen.text
    );
    let known = charttrust(&dry).await.with(TRUSTED, &[]);
    assert!(known.line("web").contains("Untrusted/KeyCompromised"));
    let write = [&base[..], &["--yes"]].concat();
    let refused = run(binary, &reader.kubeconfig(), &write).await;
    refused.with(UNKNOWN, &["failed to write spec.revocation", "forbidden"]);
}

/// Somebody who may read our kinds and nothing else.
async fn reader(story: &Story) -> Identity {
    let identity = stage().await.cluster.identity(&story.namespace, "reader");
    let name = format!("{}-reader", story.namespace);
    let rule =
        json!({"apiGroups": ["charttrust.io"], "resources": ["*"], "verbs": ["get", "list"]});
    let role = json!({"metadata": {"name": name}, "rules": [rule]});
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": story.namespace}],
    });
    let params = PostParams::default();
    let role = serde_json::from_value(role).unwrap();
    let roles = Api::<ClusterRole>::all(story.client.clone());
    roles.create(&params, &role).await.unwrap();
    let binding = serde_json::from_value(binding).unwrap();
    let bindings = Api::<ClusterRoleBinding>::all(story.client.clone());
    bindings.create(&params, &binding).await.unwrap();
    identity.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_that_nobody_keeps_up_to_date_are_no_answer() {
    let story = story("cmd-leading", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;
    let namespace = story.namespace.as_str();
    let status = [
        "status",
        "web",
        "-n",
        namespace,
        "--operator-namespace",
        namespace,
    ];
    let why = [
        "why",
        "web",
        "-n",
        namespace,
        "--operator-namespace",
        namespace,
    ];

    let without = charttrust(&status).await;
    without.with(
        TRUSTED,
        &["not checked whether an operator leads", "there is no Lease"],
    );

    let leases = Api::<Lease>::namespaced(story.trusts().into_client(), namespace);
    let lease = |renewed: &str| {
        let spec =
            json!({"holderIdentity": "gone", "renewTime": renewed, "leaseDurationSeconds": 15});
        serde_json::from_value(json!({"metadata": {"name": "charttrust"}, "spec": spec})).unwrap()
    };
    let old = lease("2026-01-02T03:04:05.000000Z");
    leases.create(&PostParams::default(), &old).await.unwrap();
    let told = [
        "no operator has led since 2026-01-02T03:04:05Z",
        "SignatureVerified",
    ];
    charttrust(&status).await.with(UNKNOWN, &told);
    charttrust(&why).await.with(UNKNOWN, &told);

    // Held by somebody whose clock is ahead of ours.
    leases
        .delete("charttrust", &DeleteParams::default())
        .await
        .unwrap();
    let held = lease("2099-01-02T03:04:05.000000Z");
    leases.create(&PostParams::default(), &held).await.unwrap();
    let led = charttrust(&status)
        .await
        .with(TRUSTED, &["SignatureVerified"]);
    assert!(!led.errors.contains("operator"), "{}", led.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_a_key_is_listed() {
    let (story, key) = shop("cmd-key").await;
    let namespace = story.namespace.as_str();
    let listed = charttrust(&["status", "-n", namespace, "--key", &key.name]).await;
    let listed = listed.with(TRUSTED, &["web", "api"]);
    assert!(!listed.text.contains("forum"), "{}", listed.text);
    let nobody = charttrust(&["status", "--key", "nobody"]).await;
    nobody.with(USAGE, &["there is no TrustedKey nobody"]);
}

/// A file of a story, and what is in it.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.to_string_lossy().into_owned();
    (folder, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_comes_out_as_it_was_previewed() {
    let (story, key) = shop("cmd-preview").await;
    let name = format!("{}-policy", story.namespace);
    let policy = |keys: &[&str]| {
        let rule = story.rule("*", &[], json!({"verify": {"signers": {"keys": keys}}}));
        let spec =
            json!({"match": {"releases": [format!("{}/*", story.namespace)]}, "rules": [rule]});
        let object = json!({"apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": name}, "spec": spec});
        file("policy.yaml", &object.to_string())
    };
    let (_same, same) = policy(&[&key.name]);
    let unchanged = charttrust(&["policy", "preview", "-f", &same]).await;
    unchanged.with(
        TRUSTED,
        &["changes: 0 verdicts", "No workload will be stopped."],
    );
    let (_nobody, nobody) = policy(&[]);
    let preview = ["policy", "preview", "-f", &nobody];
    let seen = charttrust(&preview)
        .await
        .with(UNTRUSTED, &["2 verdicts in 1 namespace"]);
    for name in ["web", "api"] {
        let line = seen.line(name);
        assert!(
            line.contains("SignatureVerified   Untrusted/SignerNotTrusted"),
            "{line}"
        );
    }
    assert!(!seen.text.contains("forum"), "{}", seen.text);
    let json = charttrust(&[&preview[..], &["-o", "json"]].concat())
        .await
        .with(UNTRUSTED, &[]);
    let json: serde_json::Value = serde_json::from_str(&json.text).unwrap();
    assert_eq!(
        json["releases"][0]["after"], "Untrusted/SignerNotTrusted",
        "{json}"
    );
    story.expect("web", "SignatureVerified").await;
    let kubeconfig = stage().await.cluster.kubeconfig();
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", &nobody];
    kubectl(kubeconfig, &apply).await.unwrap();
    story.expect("web", "SignerNotTrusted").await;
    story.expect("api", "SignerNotTrusted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_drafted_from_what_runs() {
    let story = story("cmd-init", Version::V4).await;
    let key = story.trusted_key("platform").await;
    for (name, signed) in [("web", true), ("forum", false)] {
        let source = Source::new(name, "1.0.0");
        let chart = story.publish(&source, signed.then_some(&key)).await;
        story.install(name, &chart).await;
        story.expect(name, "NoPolicy").await;
    }
    let namespace = story.namespace.as_str();
    let url = story.repository.url();
    let base = ["policy", "init", "-n", namespace, "--name", namespace];
    let kubeconfig = stage().await.cluster.kubeconfig();
    let apply = async |text: &str| {
        let (_folder, file) = file("policy.yaml", text);
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", &file];
        kubectl(kubeconfig, &apply).await.unwrap();
    };
    let first = charttrust(&[&base[..], &["--source", &url]].concat()).await;
    let first = first.with(TRUSTED, &["name: unproven", &url]);
    apply(&first.text).await;
    story.expect("forum", "Unsigned").await;
    story.expect("web", "SignerNotTrusted").await;
    let second = charttrust(&base)
        .await
        .with(TRUSTED, &["name: signed", "name: pinned", &key.name]);
    apply(&second.text).await;
    story.expect("forum", "DigestPinned").await;
    story.expect("web", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_missing_is_named_imported_and_handed_on() {
    let story = story("cmd-import", Version::V4).await;
    let key = story.make_key("platform");
    story.policy("policy", &[&key], json!({})).await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.install("web", &chart).await;
    story.expect("web", "SignerNotTrusted").await;
    let namespace = story.namespace.as_str();
    let fingerprint = key.key.fingerprint.as_str();
    let web = format!("{namespace}/web");
    let listed = charttrust(&["status", "-n", namespace]).await;
    listed.with(
        UNTRUSTED,
        &[
            "MISSING KEY",
            fingerprint,
            &web,
            "key import FILE --fingerprint",
        ],
    );

    let (_folder, public) = file("key.asc", &story.public(&key));
    charttrust(&["key", "show", &public])
        .await
        .with(TRUSTED, &[fingerprint, "could vouch"]);
    let other = "0".repeat(40);
    charttrust(&["key", "import", &public, "--fingerprint", &other])
        .await
        .with(
            USAGE,
            &["none of the keys has the primary fingerprint", fingerprint],
        );
    let import = [
        "key",
        "import",
        &public,
        "--fingerprint",
        fingerprint,
        "--name",
        &key.name,
    ];
    let imported = charttrust(&import)
        .await
        .with(TRUSTED, &["kind: TrustedKey"]);
    let (_folder, object) = file("key.yaml", &imported.text);
    let kubeconfig = stage().await.cluster.kubeconfig();
    kubectl(kubeconfig, &["apply", "--server-side", "-f", &object])
        .await
        .unwrap();
    story.expect("web", "SignatureVerified").await;
    let listed = charttrust(&["status", "-n", namespace])
        .await
        .with(TRUSTED, &["web"]);
    assert!(!listed.text.contains("MISSING KEY"), "{}", listed.text);

    let status = charttrust(&["key", "status", &key.name]).await;
    status.with(
        TRUSTED,
        &[
            "State:    Active, ends never",
            "1 by this key only, 0 by others too",
        ],
    );
    let (_ring, ring) = export(kubeconfig, &key.name);
    let archive = chart.archive.to_string_lossy().into_owned();
    for version in [Version::V3, Version::V4] {
        let helm = story.done("start Helm", Helm::new(version));
        let verified = helm.verify(Path::new(&archive), Path::new(&ring)).await;
        story.done("verify with the exported keyring", verified);
    }

    // It hands over to another, which no rule lists yet.
    let successor = story.trusted_key("successor").await;
    let rotate = ["key", "rotate", &key.name, "--to", &successor.name];
    let rotated = charttrust(&rotate).await;
    let told = format!("successor: {}", successor.name);
    let rotated = rotated.with(UNTRUSTED, &["kind: TrustedKey", &told, "notAfter: "]);
    let (_folder, object) = file("retiring.yaml", &rotated.text);
    kubectl(kubeconfig, &["apply", "--server-side", "-f", &object])
        .await
        .unwrap();
    let status = async || {
        let said = charttrust(&["key", "status", &key.name]).await;
        if said.text.contains("State:    Retiring") {
            Ok(())
        } else {
            Err(said.text)
        }
    };
    eventually(SOON, "the key is said to hand over", status).await;
    story.expect("web", "SignatureVerified").await;
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, revoke).await;
    story.expect("web", "KeyCompromised").await;
    charttrust(&["key", "export", "--helm", &key.name])
        .await
        .with(UNTRUSTED, &["is left out: ", "revokes it as Compromised"]);
    charttrust(&["key", "status", &key.name])
        .await
        .with(UNTRUSTED, &["State:    Compromised"]);
}

/// The keyring of a key, in a file.
fn export(kubeconfig: &Path, name: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring.gpg");
    let mut command = Command::new(binary());
    command.args(["key", "export", "--helm", name]);
    command.env("KUBECONFIG", kubeconfig);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(&path, output.stdout).unwrap();
    let path = path.to_string_lossy().into_owned();
    (folder, path)
}
