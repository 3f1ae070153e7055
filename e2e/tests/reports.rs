//! Verdicts in the kinds that dashboards of others read, on the real server: which kind, when they are written,
//! and how large they are.

use std::collections::BTreeMap;

use charttrust::api::TrustedKey;
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::reports::Definer;
use charttrust_e2e::stage::{Power, SOON, Setting, Stage, Story, StoryKey};
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
