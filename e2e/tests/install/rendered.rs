//! The chart as Helm renders it.

use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::stage::{CHART, OPERATOR, OPERATOR_NAMESPACE, path};
use serde_json::Value;

/// Both Helms.
pub(crate) const HELMS: [Version; 2] = [Version::V3, Version::V4];

/// The rendered objects, hooks too.
pub(crate) async fn render(version: Version, more: &[&str]) -> Vec<Value> {
    objects(&try_render(version, more).await.unwrap())
}

/// The objects that Helm printed.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n").map(|document| {
        serde_saphyr::from_str::<Value>(document)
            .unwrap_or_else(|error| panic!("{error}\n{document}"))
    });
    documents.filter(|document| !document.is_null()).collect()
}

/// What Helm prints, or why it refuses.
pub(crate) async fn try_render(version: Version, more: &[&str]) -> Result<String, String> {
    let chart = path(CHART);
    let fixed = [
        "template",
        OPERATOR,
        &chart,
        "--namespace",
        OPERATOR_NAMESPACE,
        // The test bed's Helm 3 does not know what its released builds know.
        "--kube-version",
        SERVER,
        "--set",
        "image.registry=registry.example.com",
    ];
    let helm = Helm::new(version).unwrap();
    let rendered = helm.run(&[&fixed, more].concat()).await;
    rendered.map_err(|error| error.to_string())
}

/// The server that a chart is rendered for, unless said otherwise.
pub(crate) const SERVER: &str = "1.36.3";

/// A values file of `operator/chart/ci`.
pub(crate) fn values(name: &str) -> String {
    path(&format!("{CHART}/ci/{name}-values.yaml"))
}

/// The names of all values files.
pub(crate) const VALUES: [&str; 3] = ["default", "everything", "quarantine"];

/// The objects of a kind.
pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let found = objects.iter().filter(|object| object["kind"] == kind);
    found.collect()
}

/// The only object of a kind with this name.
pub(crate) fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = of_kind(objects, kind);
    found.retain(|object| object["metadata"]["name"] == name);
    assert_eq!(found.len(), 1, "{kind} {name}");
    found[0]
}

/// The texts of a list.
pub(crate) fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts
        .map(|text| text.as_str().unwrap_or_default().to_owned())
        .collect()
}
