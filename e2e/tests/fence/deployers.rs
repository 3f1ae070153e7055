//! Deployers: what pauses them, and the annotation.

use serde_json::{Value, json};

use crate::yard::{
    APPLICATION, BACK, FIELDS, HELM_CHART, HELM_RELEASE, Kind, TOGETHER, TRULY, Yard, set, unmark,
};

const BESIDE: Option<&str> = Some("beside metadata and spec");

/// A yard with a deployer `web`.
async fn with(prefix: &str, kind: Kind, spec: Value) -> Yard {
    let yard = Yard::enter(prefix).await;
    let (group, version, kind, _) = kind;
    let namespace = &yard.story.namespace;
    let mut deployer = json!({
        "apiVersion": format!("{group}/{version}"), "kind": kind,
        "metadata": {"name": "web", "namespace": namespace, "annotations": {"a": "b"}},
    });
    deployer["spec"] = spec;
    yard.make(deployer).await;
    yard
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_helm_release_it_changes_only_what_pauses_it() {
    let spec = json!({"interval": "1h"});
    let yard = with("fence-flux", HELM_RELEASE, spec).await;
    let mark = yard.mark(HELM_RELEASE, "web", "").await;
    let mark = || mark.clone();
    let false_one = yard.mark(HELM_RELEASE, "web", r#","original":false"#).await;
    let suspend = || set("/spec/suspend", json!(true));
    yard.answers(
        HELM_RELEASE,
        "web",
        &[
            ("it is paused", None, json!([mark(), suspend()])),
            ("paused without a mark", TOGETHER, json!([suspend()])),
            ("another word", TRULY, json!([false_one, suspend()])),
            (
                "another spec",
                FIELDS,
                json!([set("/spec/interval", json!("1s"))]),
            ),
            ("a status", BESIDE, json!([set("/status", json!({}))])),
        ],
    )
    .await;
    yard.change(HELM_RELEASE, "web", json!([mark(), suspend()]))
        .await;
    let absent = json!({"op": "remove", "path": "/spec/suspend"});
    let resumed = set("/spec/suspend", json!(false));
    yard.answers(
        HELM_RELEASE,
        "web",
        &[
            ("it is put back", None, json!([unmark(), absent])),
            ("to another word", BACK, json!([unmark(), resumed])),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_application_it_changes_only_what_pauses_it() {
    let automated = json!({"selfHeal": true, "prune": false});
    let spec = json!({"project": "a", "syncPolicy": {"automated": automated, "retry": {}}});
    let yard = with("fence-argo", APPLICATION, spec).await;
    let saved = r#","original":{"prune":false,"selfHeal":true}"#;
    let mark = yard.mark(APPLICATION, "web", saved).await;
    let mark = || mark.clone();
    let pruning = r#","original":{"prune":true,"selfHeal":true}"#;
    let pruning = yard.mark(APPLICATION, "web", pruning).await;
    let manual = || json!({"op": "remove", "path": "/spec/syncPolicy/automated"});
    let retry = json!({"op": "remove", "path": "/spec/syncPolicy/retry"});
    let sync = set("/operation", json!({"sync": {"revision": "1"}}));
    let sync_policy = Some("only spec.syncPolicy.automated");
    yard.answers(
        APPLICATION,
        "web",
        &[
            ("it is paused", None, json!([mark(), manual()])),
            ("paused without a mark", TOGETHER, json!([manual()])),
            ("as if it had pruned", TRULY, json!([pruning, manual()])),
            (
                "another retry",
                sync_policy,
                json!([mark(), manual(), retry]),
            ),
            (
                "another project",
                FIELDS,
                json!([set("/spec/project", json!("b"))]),
            ),
            ("a sync", BESIDE, json!([sync])),
        ],
    )
    .await;
    yard.change(APPLICATION, "web", json!([mark(), manual()]))
        .await;
    let back = |automated: Value| {
        let automated = set("/spec/syncPolicy/automated", automated);
        json!([unmark(), automated])
    };
    yard.answers(
        APPLICATION,
        "web",
        &[
            ("it is put back", None, back(automated)),
            (
                "and prunes",
                BACK,
                back(json!({"prune": true, "selfHeal": true})),
            ),
            (
                "and more",
                BACK,
                back(json!({"prune": false, "selfHeal": true, "more": 1})),
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_helm_chart_it_changes_only_what_pauses_it() {
    let spec = json!({"chart": "a"});
    let yard = with("fence-k3s", HELM_CHART, spec).await;
    let mark = yard.mark(HELM_CHART, "web", "").await;
    let mark = || mark.clone();
    let unmanaged = "/metadata/annotations/helmcharts.helm.cattle.io~1unmanaged";
    let unmanaged = || set(unmanaged, json!("true"));
    yard.answers(
        HELM_CHART,
        "web",
        &[
            ("it is paused", None, json!([mark(), unmanaged()])),
            ("paused without a mark", TOGETHER, json!([unmanaged()])),
            (
                "another chart",
                FIELDS,
                json!([set("/spec/chart", json!("evil"))]),
            ),
        ],
    )
    .await;
}
