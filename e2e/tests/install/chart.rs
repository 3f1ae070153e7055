//! The chart by itself: linted and rendered by real Helm 3 and 4; its alerts evaluated by promtool.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{CHART, path};
use charttrust_e2e::{manifests, prometheus};
use serde_json::Value;

use crate::rendered::{
    HELMS, SERVER, VALUES, named, objects, of_kind, render, texts, try_render, values,
};

#[tokio::test]
async fn both_helms_lint_it_with_every_values_file() {
    for version in HELMS {
        let helm = Helm::new(version).unwrap();
        for name in VALUES {
            let served = ["--kube-version", SERVER];
            let arguments = ["lint", "--strict", &path(CHART), "--values", &values(name)];
            let arguments = [&arguments[..], &served].concat();
            helm.run(&arguments).await.unwrap();
        }
    }
}

#[tokio::test]
async fn both_helms_render_the_same() {
    for name in VALUES {
        let mut rendered = Vec::new();
        for version in HELMS {
            let mut objects = render(version, &["--values", &values(name)]).await;
            objects.sort_by_key(ToString::to_string);
            rendered.push(objects);
        }
        assert!(rendered[0].len() > 10, "{name}");
        assert_eq!(rendered[0], rendered[1], "{name}");
    }
}

#[tokio::test]
async fn values_that_cannot_work_are_refused_by_name() {
    for (value, named) in [
        ("replicas=-1", "replicas"),
        ("replicas=two", "replicas"),
        ("quarantine.onUninstall=Maybe", "onUninstall"),
        ("quarantine.enabled=perhaps", "enabled"),
        ("logFormat=xml", "logFormat"),
        ("image.digest=latest", "digest"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("image.registry=", "image.registry is empty"),
        ("quarantines.enabled=true", "quarantines"),
        ("crds.keeep=false", "keeep"),
        ("discovery.namespaces={Team}", "namespaces"),
        ("discovery.namespaces={a,a}", "namespaces"),
        ("discovery.unaccounted=perhaps", "unaccounted"),
        (
            "prometheusRule.runbookBaseUrl=operator/chart/runbooks",
            "runbookBaseUrl",
        ),
    ] {
        for version in HELMS {
            let refused = try_render(version, &["--set", value]).await;
            let said = refused.expect_err(value);
            assert!(said.contains(named), "{value}: {said}");
        }
    }
}

#[test]
fn every_value_has_a_schema_and_no_schema_is_left_over() {
    let read = |file: &str| std::fs::read_to_string(path(&format!("{CHART}/{file}"))).unwrap();
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    same_keys("", &values, &schema);
}

/// An object of the values has the keys of its schema; free-form ones have none there.
fn same_keys(at: &str, values: &Value, schema: &Value) {
    let (Some(values), Some(properties)) = (values.as_object(), schema["properties"].as_object())
    else {
        return;
    };
    assert_eq!(schema["additionalProperties"], false, "{at} takes anything");
    let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
    let mut known = keys(properties);
    // Helm gives every chart one, for those that have subcharts.
    known.remove("global");
    assert_eq!(keys(values), known, "at {at}");
    for (key, value) in values {
        same_keys(&format!("{at}.{key}"), value, &properties[key]);
    }
}

#[tokio::test]
async fn the_plain_manifests_are_those_of_the_chart() {
    let rendered = manifests::render(&Helm::new(Version::V4).unwrap()).await;
    for manifest in rendered.unwrap() {
        let committed = std::fs::read_to_string(path(manifest.path)).unwrap_or_default();
        assert!(
            committed == manifest.text,
            "{} is out of date; run `make manifests`",
            manifest.path
        );
    }
}

#[tokio::test]
async fn the_definitions_are_left_when_the_release_goes_unless_asked() {
    let annotation = |object: &Value| object["metadata"]["annotations"].clone();
    let kept = render(Version::V4, &[]).await;
    let definitions = of_kind(&kept, "CustomResourceDefinition");
    assert_eq!(definitions.len(), charttrust::api::definitions().len());
    for definition in definitions {
        assert_eq!(annotation(definition)["helm.sh/resource-policy"], "keep");
    }
    let dropped = render(Version::V4, &["--set", "crds.keep=false"]).await;
    for definition in of_kind(&dropped, "CustomResourceDefinition") {
        assert_eq!(annotation(definition), Value::Null);
    }
    let none = render(Version::V4, &["--set", "crds.enabled=false"]).await;
    assert!(of_kind(&none, "CustomResourceDefinition").is_empty());
}

/// Helm reads the definitions and prints them again; nothing may be lost on the way.
#[tokio::test]
async fn the_definitions_are_those_of_the_operator() {
    let objects = render(Version::V3, &[]).await;
    for (_, document) in charttrust::cli::crds::files() {
        let expected: Value = serde_saphyr::from_str(&document).unwrap();
        let name = expected["metadata"]["name"].as_str().unwrap();
        let rendered = named(&objects, "CustomResourceDefinition", name);
        let same = alike(&rendered["spec"], &expected["spec"]);
        assert!(same, "{name}: {}", rendered["spec"]);
    }
}

/// Equal, where 100 and 100.0 are one number, as they are to the API server.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| alike(a, b))
        }
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, a): (&String, &Value)| other.get(key).is_some_and(|b| alike(a, b));
            one.len() == other.len() && one.iter().all(same)
        }
        (one, other) => one == other,
    }
}

#[tokio::test]
async fn the_operator_knows_every_argument_that_it_is_started_with() {
    for name in VALUES {
        let objects = render(Version::V4, &["--values", &values(name)]).await;
        let deployment = named(&objects, "Deployment", "charttrust");
        let pod = &deployment["spec"]["template"]["spec"];
        let arguments = texts(&pod["containers"][0]["args"]);
        assert!(arguments.len() >= 5, "{arguments:?}");
        let mut command = Command::new(binary());
        // An unknown argument is refused before help is given.
        let output = command.args(&arguments).arg("--help").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn a_digest_pins_the_image_and_a_registry_precedes_it() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let pinned = format!("image.registry=registry.example.com,image.tag=v1,image.digest={digest}");
    for (set, image) in [
        (
            "replicas=2",
            "registry.example.com/charttrust:0.1.0".to_owned(),
        ),
        (
            "image.registry=,image.pullPolicy=Never",
            "charttrust:0.1.0".to_owned(),
        ),
        (
            "image.registry=,image.repository=ghcr.io/me/charttrust",
            "ghcr.io/me/charttrust:0.1.0".to_owned(),
        ),
        (
            &*pinned,
            format!("registry.example.com/charttrust:v1@{digest}"),
        ),
    ] {
        let objects = render(Version::V4, &["--set", set]).await;
        let deployment = named(&objects, "Deployment", "charttrust");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], *image);
    }
}

#[tokio::test]
async fn without_its_fence_nothing_is_contained_unless_somebody_says_so() {
    let fence = |objects: &[Value]| of_kind(objects, "ValidatingAdmissionPolicy").len();
    let contain = "quarantine.enabled=true";
    for (version, server, set, policies) in [
        (Version::V3, "1.30.0", contain, Some(3)),
        (Version::V4, "1.30.0", contain, Some(3)),
        (Version::V4, "1.30.0", "replicas=2", Some(3)),
        (Version::V4, "1.29.14", "replicas=2", Some(0)),
        (Version::V3, "1.29.14", contain, None),
        (Version::V4, "1.29.14", contain, None),
        (
            Version::V4,
            "1.29.14",
            "quarantine.enabled=true,fence.enabled=false",
            Some(0),
        ),
    ] {
        let rendered = try_render(version, &["--kube-version", server, "--set", set]).await;
        match (rendered, policies) {
            (Ok(text), Some(policies)) => assert_eq!(fence(&objects(&text)), policies, "{set}"),
            (Err(said), None) => assert!(said.contains("set fence.enabled=false"), "{said}"),
            (rendered, _) => panic!("{server} {set}: {rendered:?}"),
        }
    }
}

/// What the operator can write of others in Rust is what the fence lets pass.
#[tokio::test]
async fn the_fence_knows_every_field_that_can_be_changed() {
    let objects = render(Version::V4, &["--set", "quarantine.enabled=true"]).await;
    let fence = named(
        &objects,
        "ValidatingAdmissionPolicy",
        "charttrust-fence-changes",
    );
    let rules = fence["spec"]["matchConstraints"]["resourceRules"].as_array();
    let fenced = rules.into_iter().flatten().flat_map(|rule| {
        let group = rule["apiGroups"][0].as_str().unwrap().to_owned();
        let resources = texts(&rule["resources"]).into_iter();
        resources.map(move |resource| (group.clone(), resource))
    });
    let targets = charttrust::quarantine::TARGETS.iter();
    let targets = targets.map(|target| (target.group.to_owned(), target.plural.to_owned()));
    assert_eq!(fenced.collect::<BTreeSet<_>>(), targets.collect());
    let variables = fence["spec"]["variables"].as_array().unwrap().iter();
    let hold = variables
        .filter(|one| ["field", "unmanaged", "holdAfter"].contains(&one["name"].as_str().unwrap()))
        .map(|one| one["expression"].as_str().unwrap())
        .collect::<String>();
    for target in &charttrust::quarantine::TARGETS {
        // By the last name of the field: above it, the fence compares whole objects.
        let field = target.field.last().unwrap();
        assert!(
            hold.contains(&format!("'{field}'")) || hold.contains(&format!(".{field}")),
            "the fence lets nobody change `{field}` of a {}",
            target.kind
        );
    }
}

#[tokio::test]
async fn the_network_policy_lets_out_to_the_hosts_that_are_allowed() {
    let hosts =
        r"allowHosts={charts.example.com:8000,plain.example.com,127.0.0.1:443,[fd00::1]:8081}";
    for (version, set, expected) in [
        (Version::V3, "replicas=2", vec![80, 443, 6443, 8443, 16443]),
        (Version::V4, "networkPolicy.egressPorts={6443}", vec![6443]),
        (
            Version::V3,
            hosts,
            vec![80, 443, 6443, 8443, 16443, 8000, 8081],
        ),
        (
            Version::V4,
            hosts,
            vec![80, 443, 6443, 8443, 16443, 8000, 8081],
        ),
    ] {
        let objects = render(version, &["--set", set]).await;
        let policy = named(&objects, "NetworkPolicy", "charttrust");
        let ports = policy["spec"]["egress"][1]["ports"].as_array().unwrap();
        let ports: Vec<_> = ports.iter().map(|one| one["port"].clone()).collect();
        assert_eq!(ports, expected, "{set}");
    }
    let off = render(Version::V4, &["--set", "networkPolicy.enabled=false"]).await;
    assert!(of_kind(&off, "NetworkPolicy").is_empty());
}

#[tokio::test]
async fn one_replica_has_no_disruption_budget() {
    let two = render(Version::V4, &[]).await;
    assert_eq!(of_kind(&two, "PodDisruptionBudget").len(), 1);
    let one = render(Version::V4, &["--set", "replicas=1"]).await;
    assert!(of_kind(&one, "PodDisruptionBudget").is_empty());
}

#[tokio::test]
async fn prometheus_accepts_the_alerts_and_they_fire_as_they_say() {
    prometheus::check(&prometheus::rules()).await.unwrap();
    for tests in TESTS {
        let tests = path(&format!("{CHART}/{tests}"));
        prometheus::test(Path::new(&tests)).await.unwrap();
    }
}

#[tokio::test]
async fn every_alert_is_tested_and_has_a_runbook_and_no_runbook_is_left_over() {
    let read = |file: &str| std::fs::read_to_string(path(&format!("{CHART}/{file}"))).unwrap();
    let rules: Value = serde_saphyr::from_str(&read("files/alerts.yaml")).unwrap();
    let tests = TESTS.map(read).concat();
    let mut named = BTreeSet::new();
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let alert = rule["alert"].as_str().unwrap();
        let file = rule["annotations"]["runbook"].as_str().unwrap();
        let page = std::fs::read_to_string(path(file)).unwrap_or_else(|_| panic!("no {file}"));
        assert!(page.starts_with(&format!("# {alert}\n")), "{file}");
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert}");
        named.insert(file.rsplit('/').next().unwrap().to_owned());
    }
    let pages = std::fs::read_dir(path(&format!("{CHART}/runbooks"))).unwrap();
    let pages = pages.map(|page| page.unwrap().file_name().into_string().unwrap());
    assert_eq!(pages.collect::<BTreeSet<_>>(), named);
}

/// Alertmanager links only what is a URL.
#[tokio::test]
async fn the_rules_in_the_cluster_are_those_that_are_tested() {
    let text = std::fs::read_to_string(prometheus::rules()).unwrap();
    let linked = text.replace(
        "runbook: operator/chart/runbooks/",
        "runbook_url: https://wiki.example.com/books/",
    );
    let base = "prometheusRule.runbookBaseUrl=https://wiki.example.com/books";
    for (more, expected) in [
        (vec![], &text),
        (vec!["--set".to_owned(), base.to_owned()], &linked),
        (vec!["--set".to_owned(), format!("{base}/")], &linked),
    ] {
        let on = ["--set", "prometheusRule.enabled=true"];
        let more: Vec<_> = more.iter().map(String::as_str).chain(on).collect();
        for version in HELMS {
            let objects = render(version, &more).await;
            let rendered = named(&objects, "PrometheusRule", "charttrust");
            let expected: Value = serde_saphyr::from_str(expected).unwrap();
            assert_eq!(rendered["spec"], expected);
        }
    }
}

/// The sidecar of Grafana's chart looks for the label, and takes each file of what it finds.
#[tokio::test]
async fn the_dashboard_is_there_for_grafana_where_it_is_asked_for() {
    let off = render(Version::V4, &[]).await;
    assert!(of_kind(&off, "ConfigMap").is_empty());
    let file = std::fs::read_to_string(path(&format!("{CHART}/files/dashboard.json"))).unwrap();
    let on = [
        "--set",
        "dashboard.enabled=true,dashboard.labels.team=platform,dashboard.annotations.grafana_folder=Security",
    ];
    for version in HELMS {
        let objects = render(version, &on).await;
        let map = named(&objects, "ConfigMap", "charttrust-dashboard");
        let metadata = &map["metadata"];
        assert_eq!(metadata["labels"]["grafana_dashboard"], "1");
        assert_eq!(metadata["labels"]["team"], "platform");
        assert_eq!(metadata["annotations"]["grafana_folder"], "Security");
        assert_eq!(map["data"], serde_json::json!({"charttrust.json": file}));
    }
}

/// Unit tests of the alerts, by how long they look.
const TESTS: [&str; 2] = ["tests/alerts.yaml", "tests/alerts-of-days.yaml"];
