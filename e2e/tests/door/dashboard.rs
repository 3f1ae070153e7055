//! The dashboard of the chart: each of its questions is asked of a real Prometheus that scrapes operator and webhook.

use std::collections::{BTreeMap, BTreeSet};

use charttrust::api::TrustedIdentity;
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::prometheus::{Server, metrics};
use charttrust_e2e::stage::{SOON, Story, apply, path};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::setup::{front, story};

/// A question of the dashboard.
#[derive(Debug)]
struct Query {
    panel: String,
    expression: String,
    legend: String,
    instant: bool,
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string(path("operator/chart/files/dashboard.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn queries(dashboard: &Value) -> Vec<Query> {
    let mut all = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = |name: &str| target[name].as_str().unwrap_or_default().to_owned();
            all.push(Query {
                panel: panel["title"].as_str().unwrap().to_owned(),
                expression: text("expr"),
                legend: text("legendFormat"),
                instant: target["instant"] == true,
            });
        }
    }
    all
}

/// As Grafana fills in its variables: this namespace, and what is chosen for all.
fn filled(expression: &str, namespace: &str) -> String {
    let filled = expression.replace("$__rate_interval", "1m");
    let filled = filled
        .replace("$policy", ".*")
        .replace("$namespace", namespace);
    assert!(
        !filled.contains('$'),
        "a variable that nobody fills in: {filled}"
    );
    filled
}

/// What Prometheus answers: each series with its labels.
async fn answer(server: &Server, query: &Query, namespace: &str) -> Result<Vec<Value>, String> {
    let expression = filled(&query.expression, namespace);
    let now = Timestamp::now();
    let (start, end) = (now - SignedDuration::from_secs(60), now);
    let (start, end) = (start.as_second().to_string(), end.as_second().to_string());
    let at = [
        ("query", &*expression),
        ("start", &start),
        ("end", &end),
        ("step", "1"),
    ];
    let data = if query.instant {
        server.ask("query", &at[..1]).await
    } else {
        server.ask("query_range", &at).await
    };
    Ok(data?["result"].as_array().cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_answers_every_question_of_the_dashboard() {
    let (story, door) = story("dashboard", Version::V4).await;
    let operator = front()
        .await
        .stage
        .operator(|operator| operator.metrics_url());
    let server = Server::start(&[operator, door.metrics_url()])
        .await
        .unwrap();
    populate(&story).await;

    let dashboard = dashboard();
    let all = queries(&dashboard);
    assert!(all.len() > 25, "{}", all.len());
    // Every source that was asked has answered, and no reconciliation failed.
    let quiet = ["charttrust_reconciliation_errors_total"];
    eventually(SOON, "every question has an answer", async || {
        let mut empty = Vec::new();
        for query in &all {
            let series = answer(&server, query, &story.namespace).await;
            let series = series.unwrap_or_else(|error| panic!("{query:?}: {error}"));
            let is_quiet = quiet.iter().any(|metric| query.expression.contains(metric));
            if series.is_empty() && !is_quiet {
                empty.push(format!("{}: {}", query.panel, query.expression));
            }
            labelled(query, &series);
        }
        if empty.is_empty() {
            Ok(())
        } else {
            Err(empty.join("\n"))
        }
    })
    .await;
    variables(&server, &dashboard, &story).await;
    for (panel, number) in [
        ("Trusted", "1"),
        ("Untrusted", "1"),
        ("Unknown", "0"),
        ("Replicas that lead", "1"),
    ] {
        let query = all.iter().find(|query| query.panel == panel).unwrap();
        eventually(SOON, panel, async || {
            let series = answer(&server, query, &story.namespace).await?;
            if series.len() == 1 && series[0]["value"][1] == number {
                Ok(())
            } else {
                Err(format!("{series:?}"))
            }
        })
        .await;
    }
    let wrong = server
        .ask("query", &[("query", "sum by (verdict (x)")])
        .await;
    assert!(
        wrong.unwrap_err().contains("parse error"),
        "a question that is none is told"
    );
}

/// The labels of a legend are those of its series.
fn labelled(query: &Query, series: &[Value]) {
    for label in query
        .legend
        .split("{{")
        .skip(1)
        .filter_map(|rest| rest.split("}}").next())
    {
        for one in series {
            assert!(
                one["metric"][label].is_string(),
                "{}: no {label} in {one}",
                query.panel
            );
        }
    }
}

/// A release that is trusted, one that is not, and whatever else is counted.
async fn populate(story: &Story) {
    let key = story.make_key("platform");
    story
        .declare(&key, json!({"notAfter": "2099-01-01T00:00:00Z"}))
        .await;
    let exception = json!({
        "name": "hotfix", "releases": ["elsewhere"], "reasons": ["Unsigned"],
        "expiresAt": "2099-01-01T00:00:00Z", "justification": "the signing job is broken",
    });
    story
        .policy(
            "policy",
            &[&key],
            json!({"mode": "Warn", "exceptions": [exception]}),
        )
        .await;
    for (chart, signer) in [("signed", Some(&key)), ("unsigned", None)] {
        let chart = story.publish(&Source::new(chart, "1.0.0"), signer).await;
        story.install(&chart.name, &chart).await;
    }
    let who = json!({
        "issuer": "https://issuer.example.com", "subject": {"exact": "release@example.com"},
        "notAfter": "2099-01-01T00:00:00Z",
    });
    story
        .apply::<TrustedIdentity>(&format!("{}-release", story.namespace), who)
        .await;
    let labels = json!({"app": "ghost"});
    let ghost = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "ghost", "namespace": story.namespace,
            "annotations": {
                "meta.helm.sh/release-name": "ghost", "meta.helm.sh/release-namespace": story.namespace,
            },
        },
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "one", "image": "registry.example.com/one:1"}]},
            },
        },
    });
    let made = apply(front().await.stage.cluster.kubeconfig(), &[ghost]).await;
    story.done("make a workload with marks", made);
}

/// Whoever opens the dashboard can choose this story's policy and namespace.
async fn variables(server: &Server, dashboard: &Value, story: &Story) {
    let mut named = BTreeSet::new();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        named.insert(name);
        let Some(query) = variable["query"]["query"].as_str() else {
            assert_eq!(
                (name, &variable["query"]),
                ("datasource", &json!("prometheus"))
            );
            continue;
        };
        let inside = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        let (metric, label) = inside.and_then(|inside| inside.split_once(", ")).unwrap();
        assert_eq!((label, &variable["allValue"]), (name, &json!(".*")));
        let values = server
            .ask(&format!("label/{label}/values"), &[("match[]", metric)])
            .await
            .unwrap();
        let values = values.as_array().unwrap();
        let ours = |value: &Value| value.as_str().unwrap().starts_with(&story.namespace);
        assert!(values.iter().any(ours), "{name}: {values:?}");
    }
    assert_eq!(named, BTreeSet::from(["datasource", "namespace", "policy"]));
}

/// What is counted and not shown, nobody looks at; what is shown and not counted is no metric.
#[test]
fn the_dashboard_shows_each_metric_that_is_documented_and_no_other() {
    let page = std::fs::read_to_string(path("docs/metrics.md")).unwrap();
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<_> = rows
        .filter(|name| name.starts_with("charttrust_"))
        .collect();
    let dashboard = dashboard();
    let text: Vec<_> = queries(&dashboard)
        .into_iter()
        .map(|query| query.expression)
        .collect();
    let shown = metrics(&text.join("\n"));
    let shown: BTreeSet<_> = shown
        .iter()
        .map(|name| name.trim_end_matches("_bucket"))
        .collect();
    assert_eq!(shown, documented);
}

#[test]
fn panels_have_names_a_place_of_their_own_and_say_what_they_show() {
    let dashboard = dashboard();
    let (mut ids, mut titles, mut taken) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let number = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(number("x") + number("w") <= 24, "{panel}");
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(
                    taken.insert((x, y)),
                    "{} lies on another panel",
                    panel["title"]
                );
            }
        }
        let title = panel["title"].as_str().unwrap().to_owned();
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            panel["description"].as_str().unwrap().ends_with('.'),
            "{title}"
        );
        assert_eq!(
            panel["datasource"],
            json!({"type": "prometheus", "uid": "${datasource}"})
        );
        *titles.entry(title).or_insert(0) += 1;
    }
    let twice: Vec<_> = titles.iter().filter(|(_, count)| **count > 1).collect();
    assert_eq!(
        twice,
        [(&"Contained".to_owned(), &2)],
        "one is a number, one its history"
    );
}
