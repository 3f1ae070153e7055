//! What the operator's metrics say, evaluated by real Prometheus with the chart's own rules.

use std::collections::{BTreeMap, BTreeSet};

use charttrust::api::{TrustedIdentity, TrustedKey};
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::prometheus::{self, metrics, rules, samples};
use charttrust_e2e::stage::{SOON, Story, apply};
use serde_json::{Value, json};

use crate::setup::{stage, story};
use crate::unaccounted::marked;

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_raises_its_alert_with_the_key_and_the_number_of_releases() {
    let story = story("alerts", Version::V4).await;
    let key = story.make_key("platform");
    story
        .declare(&key, json!({"notAfter": "2099-01-01T00:00:00Z"}))
        .await;
    let exception = json!({
        "name": "hotfix", "releases": ["elsewhere"], "reasons": ["Unsigned"],
        "expiresAt": "2099-01-01T00:00:00Z", "justification": "the signing job is broken",
    });
    let policy = story
        .policy(
            "policy",
            &[&key],
            json!({"exceptions": [exception], "mode": "Warn"}),
        )
        .await;
    for chart in ["a", "b"] {
        let chart = story
            .publish(&Source::new(chart, "1.0.0"), Some(&key))
            .await;
        story.install(&chart.name, &chart).await;
    }
    let ghost = marked(("apps/v1", "Deployment"), "ghost", &story, "ghost");
    let made = apply(stage().await.cluster.kubeconfig(), &[ghost]).await;
    story.done("make a workload with marks", made);
    let identity = format!("{}-release", story.namespace);
    let who = json!({
        "issuer": "https://issuer.example.com", "subject": {"exact": "release@example.com"},
        "notAfter": "2099-01-01T00:00:00Z",
    });
    story.apply::<TrustedIdentity>(&identity, who).await;
    let trusted = [
        format!("charttrust_trusted_identity_releases{{identity=\"{identity}\"}} 0"),
        format!(
            "charttrust_unaccounted_workloads{{namespace=\"{}\"}} 1",
            story.namespace
        ),
        // There is no webhook here.
        format!("charttrust_policy_webhook_ready{{policy=\"{policy}\"}} 0"),
        format!("charttrust_trusted_key_releases{{key=\"{}\"}} 2", key.name),
        releases(&story, &policy, "trusted", "SignatureVerified"),
    ];
    let before = scraped(&trusted).await;
    let there = metrics(&before);
    let named = metrics(&std::fs::read_to_string(rules()).unwrap());
    // The webhook is a process of its own, and counts what it is asked itself.
    let missing = named.difference(&there);
    let missing: BTreeSet<_> = missing
        .filter(|name| !name.starts_with("charttrust_admission_"))
        .collect();
    assert!(
        missing.is_empty(),
        "the rules name metrics that are not there: {missing:?}"
    );

    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, revoke).await;
    let revoked = [
        format!(
            "charttrust_trusted_key_state{{key=\"{}\",state=\"Compromised\"}} 1",
            key.name
        ),
        releases(&story, &policy, "untrusted", "KeyCompromised"),
    ];
    let after = scraped(&revoked).await;
    let series = series(&story, &before, &after);
    let expected = |number: u32| expectations(&series, &story, &key.name, &policy, number);
    evaluate(&expected(2)).await.unwrap();
    let wrong = evaluate(&expected(3)).await.unwrap_err();
    assert!(
        wrong.contains("2 releases rest on the compromised key"),
        "{wrong}"
    );
}

fn releases(story: &Story, policy: &str, verdict: &str, reason: &str) -> String {
    format!(
        "charttrust_releases{{policy=\"{policy}\",namespace=\"{}\",\
         verdict=\"{verdict}\",reason=\"{reason}\"}} 2",
        story.namespace
    )
}

/// What `/metrics` says once it has these lines.
async fn scraped(lines: &[String]) -> String {
    eventually(SOON, "the metrics say so", async || {
        let url = stage().await.operator(|operator| operator.metrics_url());
        let text = async { reqwest::get(url).await?.text().await };
        let text = text.await.map_err(|error| error.to_string())?;
        let has = |wanted: &String| text.lines().any(|line| line == wanted);
        if lines.iter().all(has) {
            Ok(text)
        } else {
            Err(text)
        }
    })
    .await
}

/// The story's own series, a minute before the revocation and for an hour after it.
fn series(story: &Story, before: &str, after: &str) -> Vec<Value> {
    let ours = |series: &str| {
        series == "charttrust_leader" || series.contains(&format!("=\"{}", story.namespace))
    };
    let read = |text: &str| -> BTreeMap<String, String> {
        let ours = samples(text).into_iter().filter(|s| ours(&s.series));
        ours.map(|sample| (sample.series, sample.value)).collect()
    };
    let (before, after) = (read(before), read(after));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let values = |name: &String| {
        let first = before.get(name).map_or("_", String::as_str);
        let then = after.get(name);
        let then = then.map_or("stale".to_owned(), |value| format!("{value}x60"));
        json!({"series": name, "values": format!("{first} {then}")})
    };
    names.into_iter().map(values).collect()
}

/// What is to be alerted: nothing before, afterwards the key and its releases, and nothing else.
fn expectations(series: &[Value], story: &Story, key: &str, policy: &str, number: u32) -> Value {
    let namespace = &story.namespace;
    let compromised = json!({
        "exp_labels": {"severity": "critical", "key": key},
        "exp_annotations": {
            "summary": format!("{number} releases rest on the compromised key {key}"),
            "description": format!(
                "TrustedKey {key} is revoked as compromised, and {number} releases carry a signature by \
                 it. Nothing that it signed can be believed, whatever its date."
            ),
            "runbook": "operator/chart/runbooks/key-compromised.md",
        },
    });
    let untrusted = json!({
        "exp_labels": {
            "severity": "critical", "policy": policy, "namespace": namespace,
            "reason": "KeyCompromised",
        },
        "exp_annotations": {
            "summary": format!("{number} releases in {namespace} are KeyCompromised"),
            "description": format!(
                "Policy {policy}: {number} releases in namespace {namespace} are untrusted because of \
                 KeyCompromised, which is proof of badness."
            ),
            "runbook": "operator/chart/runbooks/release-untrusted.md",
        },
    });
    let unaccounted = json!({
        "exp_labels": {"severity": "info", "namespace": namespace},
        "exp_annotations": {
            "summary": format!("1 workloads in {namespace} are of no release that can be judged"),
            "description": format!(
                "For 15 minutes there has been no record of the releases that 1 workloads in namespace \
                 {namespace} say to be of, or they are Applications that deploy no chart: nobody can tell what \
                 they are made of."
            ),
            "runbook": "operator/chart/runbooks/unaccounted.md",
        },
    });
    let unready = unready(policy);
    let at = |time: &str, alert: &str, alerts: &[&Value]| json!({"alertname": alert, "eval_time": time, "exp_alerts": alerts});
    json!({
        "rule_files": [rules()],
        "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m",
            "input_series": series,
            "alert_rule_test": [
                at("0m", "ChartTrustKeyCompromised", &[]),
                at("0m", "ChartTrustReleaseUntrusted", &[]),
                at("1m", "ChartTrustKeyCompromised", &[&compromised]),
                at("1m", "ChartTrustReleaseUntrusted", &[&untrusted]),
                at("60m", "ChartTrustKeyCompromised", &[&compromised]),
                at("60m", "ChartTrustUnaccounted", &[&unaccounted]),
                at("4m", "ChartTrustWebhookNotReady", &[]),
                at("60m", "ChartTrustWebhookNotReady", &[&unready]),
                at("60m", "ChartTrustSourceUnavailable", &[]),
                at("60m", "ChartTrustControllerDown", &[]),
            ],
        }],
    })
}

/// What is alerted of a policy whose mode needs a webhook.
fn unready(policy: &str) -> Value {
    json!({
        "exp_labels": {"severity": "warning", "policy": policy},
        "exp_annotations": {
            "summary": format!("Nobody does at the door what policy {policy} says"),
            "description": format!(
                "Policy {policy} warns or refuses, and for five minutes the webhook was not installed, did not \
                 answer, or was told to let everything in. What is installed meanwhile goes in unchecked, or waits \
                 with failurePolicy Fail. The policy's condition WebhookReady says which."
            ),
            "runbook": "operator/chart/runbooks/webhook-not-ready.md",
        },
    })
}

async fn evaluate(tests: &Value) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    // YAML includes JSON.
    let file = folder.path().join("tests.yaml");
    std::fs::write(&file, tests.to_string()).unwrap();
    let done = prometheus::test(&file).await;
    done.map_err(|error| error.to_string())
}
