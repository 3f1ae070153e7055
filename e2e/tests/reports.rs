//! Verdicts in the kinds that dashboards of others read, on the real server: which kind, when they are written,
//! and how large they are.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use charttrust::api::TrustedKey;
use charttrust::controllers::statements::{self, Envelope, of_pem};
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::reports::Definer;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, Power, SOON, Setting, Stage, Story, StoryKey};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

/// What lies in a namespace: the result of each release.
type Told = BTreeMap<String, String>;

struct Company {
    stage: Stage,
    stories: Vec<(Story, StoryKey)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_reported_when_they_change_and_only_then() {
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    let mut setting = Setting::new(binary(), Power::Reports);
    setting.more.push("--reports=auto".to_owned());
    setting.values.push("reports=auto".to_owned());
    setting.more.push("--vsa".to_owned());
    setting.values.push("vsa.enabled=true".to_owned());
    let stage = Stage::set(cluster, setting).await;
    let mut stories = Vec::new();
    for prefix in ["reports-a", "reports-b", "reports-c"] {
        stories.push(opened(cluster, prefix).await);
    }
    let company = Company { stage, stories };
    let old = resource("wgpolicyk8s.io/v1alpha2", "PolicyReport", "policyreports");
    let new = resource("openreports.io/v1alpha1", "Report", "reports");

    // Nobody knows a kind yet; then one comes.
    Definer::WorkingGroup
        .install(cluster.kubeconfig())
        .await
        .unwrap();
    let good = [("web", "pass"), ("forum", "fail")];
    for (story, _) in &company.stories {
        expect(story, &old, &good).await;
        states(story, &[("web", "PASSED"), ("forum", "FAILED")]).await;
    }
    company.nothing_is_written_where_nothing_changes().await;
    company.a_revoked_key_is_one_write(&old).await;
    company
        .what_a_tenant_writes_stands_until_the_next_change(&old)
        .await;

    // Both kinds are there when it starts: the other one is written, and in this nothing is left.
    Definer::OpenReports
        .install(cluster.kubeconfig())
        .await
        .unwrap();
    let signed = statements(&company.stories[0].0).await;
    company.stage.restart().await;
    for (story, _) in &company.stories {
        eventually(SOON, "the report is of the other kind", async || {
            let moved = (told(story, &old).await, told(story, &new).await);
            if moved.0.is_none() && moved.1.is_some() {
                Ok(())
            } else {
                Err(format!("{moved:?}"))
            }
        })
        .await;
    }
    company.a_report_is_small(&new).await;
    states(
        &company.stories[0].0,
        &[("web", "FAILED"), ("forum", "FAILED")],
    )
    .await;
    assert_eq!(
        statements(&company.stories[0].0).await,
        signed,
        "nothing is signed anew by a start"
    );
    company.others_find_the_signatures_good(&binary());
}

/// What is signed about releases of a namespace, as it lies there.
async fn statements(story: &Story) -> BTreeMap<String, String> {
    let maps = Api::<ConfigMap>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let name = statements::name(&story.namespace, 1);
    let found = maps.get_opt(&name).await.unwrap();
    found.and_then(|map| map.data).unwrap_or_default()
}

/// What others read there, by the key that is written beside it.
async fn states(story: &Story, expected: &[(&str, &str)]) {
    let maps = Api::<ConfigMap>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let expected = expected
        .iter()
        .map(|(name, result)| ((*name).to_owned(), (*result).to_owned()));
    let expected: Told = expected.collect();
    eventually(SOON, "it is signed", async || {
        let key = maps
            .get_opt(statements::KEY)
            .await
            .unwrap()
            .ok_or("no key")?;
        let key = of_pem(&key.data.unwrap_or_default()[statements::KEY_ENTRY]).unwrap();
        let said = statements(story).await.into_iter().map(|(name, text)| {
            let envelope: Envelope = serde_json::from_str(&text).unwrap();
            let said = serde_json::to_value(envelope.opened(&key).unwrap()).unwrap();
            let result = said["predicate"]["verificationResult"]
                .as_str()
                .unwrap()
                .to_owned();
            (name, result)
        });
        let said: Told = said.collect();
        if said == expected {
            Ok(())
        } else {
            Err(format!("{} says {said:?}", story.namespace))
        }
    })
    .await;
}

/// A namespace with a release that is trusted, and one that is not; sources are asked each second.
async fn opened(cluster: &Cluster, prefix: &str) -> (Story, StoryKey) {
    let story = Story::begin(cluster, prefix, Version::V4).await;
    let key = story.trusted_key("platform").await;
    story
        .policy("policy", &[&key], json!({"interval": "1s"}))
        .await;
    for (name, signer) in [("web", Some(&key)), ("forum", None)] {
        let chart = story.publish(&Source::new(name, "1.0.0"), signer).await;
        story.install(name, &chart).await;
    }
    story.expect("web", "SignatureVerified").await;
    story.expect("forum", "Unsigned").await;
    (story, key)
}

fn resource(version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = version.split_once('/').unwrap();
    let kind = GroupVersionKind::gvk(group, version, kind);
    ApiResource::from_gvk_with_plural(&kind, plural)
}

fn reports(story: &Story, resource: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(story.client.clone(), &story.namespace, resource)
}

/// What the report of a namespace says, if there is one.
async fn told(story: &Story, resource: &ApiResource) -> Option<Told> {
    let found = reports(story, resource)
        .get_opt("charttrust")
        .await
        .unwrap()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = found.data["results"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let rows = rows
        .iter()
        .map(|row| (text(&row["resources"][0]["name"]), text(&row["result"])));
    Some(rows.collect())
}

async fn expect(story: &Story, resource: &ApiResource, expected: &[(&str, &str)]) {
    let expected = expected
        .iter()
        .map(|(name, result)| ((*name).to_owned(), (*result).to_owned()));
    let expected: Told = expected.collect();
    eventually(SOON, "the report says so", async || {
        match told(story, resource).await {
            Some(found) if found == expected => Ok(()),
            other => Err(format!("{} says {other:?}", story.namespace)),
        }
    })
    .await;
}

impl Company {
    /// Through many looks at every source.
    async fn nothing_is_written_where_nothing_changes(&self) {
        for (story, _) in &self.stories {
            self.stage.at_rest(&story.namespace).await;
        }
        let mark = self.stage.cluster.mark();
        let looks = |story: &Story| story.repository.count("/forum-1.0.0.tgz.prov");
        let before: Vec<_> = self.stories.iter().map(|(story, _)| looks(story)).collect();
        eventually(SOON, "each source is looked at ten times", async || {
            let mut all = self.stories.iter().zip(&before);
            if all.all(|((story, _), before)| looks(story) >= before + 10) {
                Ok(())
            } else {
                Err("not yet")
            }
        })
        .await;
        let asked = self
            .stage
            .cluster
            .asked_since(mark)
            .by(self.stage.identity.user());
        let of_reports = asked.only(|event| event.resource == "policyreports" || event.is_write());
        let of_reports: Vec<_> = of_reports
            .iter()
            .map(|event| format!("{} {}", event.verb, event.resource))
            .collect();
        assert!(of_reports.is_empty(), "{of_reports:?}");
    }

    /// One namespace has a new verdict; the reports of the others stay as they are.
    async fn a_revoked_key_is_one_write(&self, resource: &ApiResource) {
        let mark = self.stage.cluster.mark();
        let (story, key) = &self.stories[0];
        let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
        story.patch::<TrustedKey>(&key.name, revoke).await;
        expect(story, resource, &[("web", "fail"), ("forum", "fail")]).await;
        let report = reports(story, resource).get("charttrust").await.unwrap();
        let rows = report.data["results"].as_array().unwrap();
        let web = rows
            .iter()
            .find(|row| row["resources"][0]["name"] == "web")
            .unwrap();
        assert_eq!(
            (&web["severity"], &web["source"]),
            (&json!("critical"), &json!("charttrust"))
        );
        assert!(
            web["message"]
                .as_str()
                .unwrap()
                .starts_with("KeyCompromised: "),
            "{web}"
        );
        assert_eq!(report.data["summary"]["fail"], 2);
        let written = self
            .stage
            .cluster
            .asked_since(mark)
            .by(self.stage.identity.user())
            .writes();
        let written = written.of("policyreports");
        let places: Vec<_> = written
            .iter()
            .map(|event| (event.verb.as_str(), event.namespace.as_str()))
            .collect();
        assert_eq!(places, [("update", story.namespace.as_str())]);
    }

    async fn what_a_tenant_writes_stands_until_the_next_change(&self, resource: &ApiResource) {
        let (story, _) = &self.stories[1];
        let all = reports(story, resource);
        let lie = json!({"results": [], "summary": {"pass": 99}});
        let patched = all
            .patch("charttrust", &PatchParams::default(), &Patch::Merge(lie))
            .await;
        story.done("write a report", patched);
        let removed = story
            .helm
            .run(&["uninstall", "forum", "--namespace", &story.namespace])
            .await;
        story.done("uninstall", removed);
        expect(story, resource, &[("web", "pass")]).await;
        let report = all.get("charttrust").await.unwrap();
        assert_eq!(report.data["summary"]["pass"], 1);
        states(story, &[("web", "PASSED")]).await;
    }

    /// By `openssl` alone, of what people print.
    fn others_find_the_signatures_good(&self, binary: &Path) {
        let said = |arguments: &[&str]| {
            let mut command = Command::new(binary);
            command
                .args(arguments)
                .env("KUBECONFIG", self.stage.cluster.kubeconfig());
            command.args(["--operator-namespace", OPERATOR_NAMESPACE]);
            command.output().unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let key = said(&["report", "key"]);
        assert!(key.status.success(), "{key:?}");
        let key = file("key.pem", &key.stdout);
        let mut seen = 0;
        for (story, _) in &self.stories {
            let printed = said(&["report", "vsa", "-n", &story.namespace]);
            let text = String::from_utf8(printed.stdout).unwrap();
            for line in text.lines() {
                let envelope: Value = serde_json::from_str(line).unwrap();
                let bytes =
                    |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
                let payload = bytes(&envelope["payload"]);
                let mut signed =
                    format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len())
                        .into_bytes();
                signed.extend(&payload);
                let signature = file("signature", &bytes(&envelope["signatures"][0]["sig"]));
                let mut openssl = Command::new("openssl");
                openssl.args(["dgst", "-sha256", "-verify"]).arg(&key);
                openssl
                    .arg("-signature")
                    .arg(signature)
                    .arg(file("signed", &signed));
                let Ok(verified) = openssl.output() else {
                    println!("NOT RUN: openssl is not installed");
                    return;
                };
                assert!(verified.status.success(), "{verified:?} of {line}");
                seen += 1;
            }
        }
        assert_eq!(
            seen, 5,
            "two releases in each of three namespaces, but one that is gone"
        );
    }

    /// As etcd keeps it: with all that the server adds.
    async fn a_report_is_small(&self, resource: &ApiResource) {
        let mut sizes = Vec::new();
        for (story, _) in &self.stories {
            let found = reports(story, resource)
                .list(&ListParams::default())
                .await
                .unwrap();
            for report in found {
                let rows = report.data["results"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let longest = rows
                    .iter()
                    .map(|row| row.to_string().len())
                    .max()
                    .unwrap_or_default();
                let whole = serde_json::to_string(&report).unwrap().len();
                sizes.push((rows.len(), longest, whole));
            }
        }
        println!("releases, longest result and whole object in bytes: {sizes:?}");
        assert_eq!(sizes.len(), self.stories.len());
        for (releases, longest, whole) in sizes {
            assert!(longest <= 600, "a result of {longest} bytes");
            assert!(
                whole <= 1000 + 600 * releases,
                "{whole} bytes for {releases} releases"
            );
        }
    }
}
