//! Workloads: one field, and the annotation that says what it was.

use serde_json::{Value, json};

use crate::yard::{
    BACK, CRON_JOB, DAEMON_SET, DEPLOYMENT, FIELDS, Kind, REPLICA_SET, STATEFUL_SET, TOGETHER,
    TRULY, Yard, annotation, marked, set, unmark,
};

const META: Option<&str> = Some("no labels, owners or finalizers");
const NODES: Option<&str> = Some("only the node selector charttrust.io/quarantined");
const ANNOTATION: Option<&str> = Some("no annotation but its own");

#[tokio::test(flavor = "multi_thread")]
async fn of_a_deployment_it_changes_only_what_contains_it() {
    let yard = Yard::enter("fence-deployment").await;
    let mark = yard.mark(DEPLOYMENT, "web", r#","original":3"#).await;
    let mark = || mark.clone();
    let zero = || replicas(0);
    let image = "/spec/template/spec/containers/0/image";
    let privileged = "/spec/template/spec/hostPID";
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"}]);
    yard.answers(DEPLOYMENT, "web", &[
        ("it is contained", None, json!([mark(), zero()])),
        ("stopped without a mark", TOGETHER, json!([zero()])),
        ("started", TOGETHER, json!([mark(), set("/spec/replicas", json!(50))])),
        ("another image", FIELDS, json!([mark(), zero(), set(image, json!("evil"))])),
        ("on the host", FIELDS, json!([mark(), zero(), set(privileged, json!(true))])),
        ("paused", FIELDS, json!([mark(), set("/spec/paused", json!(true))])),
        ("a label", META, json!([set("/metadata/labels/a", json!("b"))])),
        ("a finalizer", META, json!([set("/metadata/finalizers", json!(["a/b"]))])),
        ("an owner", META, json!([set("/metadata/ownerReferences", owner)])),
        ("an annotation", ANNOTATION, json!([set("/metadata/annotations/a", json!("b"))])),
        (
            "an annotation of Helm",
            ANNOTATION,
            json!([{"op": "remove", "path": "/metadata/annotations/meta.helm.sh~1release-name"}]),
        ),
    ])
    .await;
}

fn replicas(number: u32) -> Value {
    set("/spec/replicas", json!(number))
}

/// Two writes, each as containment needs it, would set any value, if the first could lie.
#[tokio::test(flavor = "multi_thread")]
async fn the_annotation_says_truly_what_the_object_was() {
    let yard = Yard::enter("fence-truly").await;
    let lies = [
        ("another number", r#","original":50"#),
        ("a number that begins so", r#","original":30"#),
        ("no number", ""),
        ("no number, and owners", r#","owners":[]"#),
        ("a text", r#","original":"3""#),
        ("two", r#","original":3,"original":50"#),
        (
            "another behind it",
            r#","original":3,"owners":[],"original":50,"owners":[]"#,
        ),
        ("one behind the owners", r#","owners":[],"original":50"#),
        (
            "one in other letters",
            r#","original":3,"owners":[],"\u006friginal":50,"x":[]"#,
        ),
        ("one behind a space", r#", "original":50"#),
        (
            "volumes that it has not",
            r#","original":3,"whenScaled":"Delete""#,
        ),
        ("more", r#","original":3,"image":"evil""#),
        (
            "volumes behind a space",
            r#","original":3,"owners":[],"whenScaled" :"Delete","x":[]"#,
        ),
    ];
    for (what, saved) in lies {
        let mark = yard.mark(DEPLOYMENT, "web", saved).await;
        let patch = json!([mark, replicas(0)]);
        yard.answers(DEPLOYMENT, "web", &[(what, TRULY, patch)])
            .await;
    }
    let true_one = yard.mark(DEPLOYMENT, "web", r#","original":3"#).await;
    let of_another = marked(annotation("another", r#","original":3"#));
    yard.answers(
        DEPLOYMENT,
        "web",
        &[
            ("of another object", TRULY, json!([of_another, replicas(0)])),
            ("of what goes on", TRULY, json!([true_one])),
            ("nothing", TRULY, json!([marked(json!("{}")), replicas(0)])),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_contained_is_put_back_to_what_its_annotation_says() {
    let yard = Yard::enter("fence-restore").await;
    let saved = r#","original":3,"owners":[{"manager":"helm"}]"#;
    let mark = yard.mark(DEPLOYMENT, "web", saved).await;
    yard.change(DEPLOYMENT, "web", json!([mark, replicas(0)]))
        .await;
    let again = yard.mark(DEPLOYMENT, "web", r#","original":3"#).await;
    let other = yard.mark(DEPLOYMENT, "web", r#","original":50"#).await;
    let zero = yard.mark(DEPLOYMENT, "web", r#","original":0"#).await;
    let fields = json!({"op": "remove", "path": "/metadata/managedFields"});
    yard.answers(
        DEPLOYMENT,
        "web",
        &[
            ("it is put back", None, json!([unmark(), replicas(3)])),
            ("its fields are given back", None, json!([fields])),
            ("held by another quarantine", None, json!([again])),
            ("started and still marked", TOGETHER, json!([replicas(3)])),
            ("more than it was", BACK, json!([unmark(), replicas(50)])),
            ("less than it was", BACK, json!([unmark(), replicas(1)])),
            ("an upgrade has stopped it too", None, json!([unmark()])),
            ("marked anew with more", TRULY, json!([other])),
            ("marked anew with nothing", TRULY, json!([zero])),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_annotation_puts_nothing_back() {
    let yard = Yard::enter("fence-copy").await;
    let copy = marked(annotation("another", r#","original":3"#));
    yard.change(DEPLOYMENT, "web", json!([copy, replicas(0)]))
        .await;
    let anew = yard.mark(DEPLOYMENT, "web", r#","original":3"#).await;
    yard.answers(
        DEPLOYMENT,
        "web",
        &[
            ("started", BACK, json!([unmark(), replicas(3)])),
            ("taken over", TRULY, json!([anew])),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_scaled_stays_so() {
    let yard = Yard::enter("fence-person").await;
    let mark = yard.mark(DEPLOYMENT, "web", r#","original":3"#).await;
    let seven = replicas(7);
    yard.change(DEPLOYMENT, "web", json!([mark, seven])).await;
    let same = json!([replicas(0)]);
    let anew = yard
        .mark(DEPLOYMENT, "web", r#","original":3,"owners":[]"#)
        .await;
    let now = yard
        .mark(DEPLOYMENT, "web", r#","original":7,"owners":[]"#)
        .await;
    yard.answers(
        DEPLOYMENT,
        "web",
        &[
            ("the mark goes", None, json!([unmark()])),
            ("contained anew", None, json!([now, replicas(0)])),
            ("put back", BACK, json!([unmark(), replicas(3)])),
            ("stopped by the old mark", TRULY, same),
            (
                "stopped with what it was",
                TRULY,
                json!([anew, replicas(0)]),
            ),
        ],
    )
    .await;
}

/// What an administrator sets for volumes; absent for `None`.
fn volumes(scaled: &str, deleted: &str) -> Value {
    let policy = json!({"whenScaled": scaled, "whenDeleted": deleted});
    set("/spec/persistentVolumeClaimRetentionPolicy", policy)
}

const SET: (Kind, &str) = (STATEFUL_SET, "web-db");
const KEPT: Option<&str> = Some("volumes are kept");
const VOLUMES: Option<&str> = Some("keeps the volumes of a StatefulSet");

#[tokio::test(flavor = "multi_thread")]
async fn of_a_stateful_set_it_changes_only_what_contains_it() {
    let yard = Yard::enter("fence-set").await;
    let (kind, name) = SET;
    let mark = || yard.mark(kind, name, r#","original":2"#);
    let lost = json!([mark().await, replicas(0), volumes("Delete", "Retain")]);
    let deleted = json!([mark().await, replicas(0), volumes("Retain", "Delete")]);
    let update = json!([set("/spec/minReadySeconds", json!(9))]);
    yard.answers(
        kind,
        name,
        &[
            ("it is contained", None, json!([mark().await, replicas(0)])),
            ("its volumes are lost", VOLUMES, lost),
            ("its volumes go with it", VOLUMES, deleted),
            (
                "its volumes alone",
                VOLUMES,
                json!([volumes("Delete", "Retain")]),
            ),
            ("another service", FIELDS, update),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_that_would_be_deleted_are_kept_and_put_back() {
    let yard = Yard::enter("fence-volumes").await;
    let (kind, name) = SET;
    yard.change(kind, name, json!([volumes("Delete", "Retain")]))
        .await;
    let mark = |saved| yard.mark(kind, name, saved);
    let path = r#"["spec","persistentVolumeClaimRetentionPolicy","whenScaled"]"#;
    let saved = format!(
        r#","original":2,"whenScaled":"Delete","owners":[{{"manager":"helm","path":{path}}}]"#
    );
    let saved = saved.as_str();
    let silent = r#","original":2"#;
    let retain = || volumes("Retain", "Retain");
    let contained = json!([mark(saved).await, replicas(0), retain()]);
    yard.answers(
        kind,
        name,
        &[
            ("it is contained", None, contained.clone()),
            (
                "its volumes go",
                KEPT,
                json!([mark(saved).await, replicas(0)]),
            ),
            (
                "not a word",
                TRULY,
                json!([mark(silent).await, replicas(0), retain()]),
            ),
            ("kept by nobody", VOLUMES, json!([retain()])),
        ],
    )
    .await;
    yard.change(kind, name, contained).await;
    let delete = || volumes("Delete", "Retain");
    yard.answers(
        kind,
        name,
        &[
            (
                "it is put back",
                None,
                json!([unmark(), replicas(2), delete()]),
            ),
            (
                "others have set volumes",
                None,
                json!([unmark(), replicas(2)]),
            ),
            (
                "its volumes go while it is stopped",
                VOLUMES,
                json!([delete()]),
            ),
            ("more of it", BACK, json!([unmark(), replicas(9), delete()])),
        ],
    )
    .await;
    // A tool that knows nothing of volumes has started it again.
    yard.change(kind, name, json!([replicas(2)])).await;
    let carried = r#","original":2,"whenScaled":"Delete","owners":[]"#;
    let other = r#","original":9,"whenScaled":"Delete","owners":[]"#;
    yard.answers(
        kind,
        name,
        &[
            (
                "it says on what became of them",
                None,
                json!([mark(carried).await, replicas(0)]),
            ),
            ("or not", None, json!([mark(silent).await, replicas(0)])),
            (
                "and nothing else",
                TRULY,
                json!([mark(other).await, replicas(0)]),
            ),
            ("it goes on", TRULY, json!([mark(carried).await])),
        ],
    )
    .await;
    yard.change(kind, name, json!([mark(carried).await, replicas(0)]))
        .await;
    let back = json!([unmark(), replicas(2), delete()]);
    yard.answers(kind, name, &[("it is put back then", None, back)])
        .await;
    yard.change(kind, name, json!([unmark(), replicas(2), retain()]))
        .await;
    let mark = yard.mark(kind, name, silent).await;
    yard.change(kind, name, json!([mark, replicas(0)])).await;
    let lost = json!([unmark(), replicas(2), delete()]);
    yard.answers(kind, name, &[("what was never so", VOLUMES, lost)])
        .await;
}

/// Deployments write their annotations on their `ReplicaSets`, the old ones at 0.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_set_of_old_is_not_started() {
    let yard = Yard::enter("fence-old").await;
    let labels = json!({"app": "old"});
    yard.make(json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "old", "namespace": yard.story.namespace, "annotations":
            {"charttrust.io/quarantine": annotation("its-deployment", r#","original":3"#)}},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "a", "image": "evil"}]},
        }},
    }))
    .await;
    let start = json!([unmark(), replicas(3)]);
    yard.answers(REPLICA_SET, "old", &[("started", BACK, start)])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_daemon_set_it_changes_only_what_contains_it() {
    let yard = Yard::enter("fence-daemon").await;
    let mark = yard.mark(DAEMON_SET, "web-agent", "").await;
    let mark = || mark.clone();
    let false_one = yard
        .mark(DAEMON_SET, "web-agent", r#","original":"true""#)
        .await;
    let nodes = |labels: Value| set("/spec/template/spec/nodeSelector", labels);
    let nowhere = || nodes(json!({"charttrust.io/quarantined": "true"}));
    let elsewhere = nodes(json!({"charttrust.io/quarantined": "true", "a": "b"}));
    let image = set("/spec/template/spec/containers/0/image", json!("evil"));
    let label = set("/spec/template/metadata/labels/a", json!("b"));
    let host = set("/spec/template/spec/hostNetwork", json!(true));
    yard.answers(
        DAEMON_SET,
        "web-agent",
        &[
            ("it is contained", None, json!([mark(), nowhere()])),
            ("stopped without a mark", TOGETHER, json!([nowhere()])),
            ("it was elsewhere", TRULY, json!([false_one, nowhere()])),
            ("elsewhere", NODES, json!([mark(), elsewhere])),
            ("another image", NODES, json!([mark(), nowhere(), image])),
            ("another label", NODES, json!([mark(), nowhere(), label])),
            ("on the host", NODES, json!([mark(), nowhere(), host])),
            (
                "its update",
                FIELDS,
                json!([mark(), set("/spec/minReadySeconds", json!(9))]),
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_cron_job_it_changes_only_what_contains_it() {
    let yard = Yard::enter("fence-cron").await;
    let mark = yard
        .mark(CRON_JOB, "web-nightly", r#","original":false"#)
        .await;
    let mark = || mark.clone();
    let false_one = yard
        .mark(CRON_JOB, "web-nightly", r#","original":true"#)
        .await;
    let suspend = || set("/spec/suspend", json!(true));
    let hourly = set("/spec/schedule", json!("0 * * * *"));
    yard.answers(
        CRON_JOB,
        "web-nightly",
        &[
            ("it is contained", None, json!([mark(), suspend()])),
            ("stopped without a mark", TOGETHER, json!([suspend()])),
            ("it stood still", TRULY, json!([false_one, suspend()])),
            (
                "at another time",
                FIELDS,
                json!([mark(), suspend(), hourly]),
            ),
        ],
    )
    .await;
}
