//! What the operator makes, ends and keeps by name, and where it does nothing at all.

use charttrust_e2e::charts::Source;
use charttrust_e2e::stage::OPERATOR_NAMESPACE;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::yard::{
    CONFIG_MAP, DEPLOYMENT, LEASE, POLICY, POLICY_REPORT, QUARANTINE, REPORT, SECRET, Yard,
    annotation, judge, marked, of, set,
};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_in_a_protected_namespace() {
    let yard = Yard::enter("fence-protected").await;
    let source = Source::new("protected", "1.0.0");
    let chart = yard.story.package(&source, None).await;
    let archive = chart.archive.to_string_lossy();
    for namespace in ["kube-system", OPERATOR_NAMESPACE] {
        let installed = yard
            .story
            .helm
            .install(namespace, "protected", &archive, &[]);
        yard.story.done("install", installed.await);
        let contain = json!([
            marked(annotation("", r#","original":3"#)),
            set("/spec/replicas", json!(0)),
        ]);
        let answer = yard.patch_in(namespace, DEPLOYMENT, "protected", contain);
        let refused = Some("nothing is changed in the protected namespace");
        judge(namespace, refused, answer.await);
        let denial = (
            "a denial",
            refused,
            denial("charttrust-quarantine-a", json!({})),
        );
        yard.creates(namespace, POLICY, &[denial]).await;
    }
}

/// A denial of the operator, with more in its spec.
fn denial(name: &str, more: Value) -> Value {
    let mut spec = json!({"podSelector": {}, "policyTypes": ["Egress", "Ingress"]});
    if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
        spec.extend(more);
    }
    let annotations = json!({"charttrust.io/quarantine": "{}"});
    json!({"metadata": {"name": name, "annotations": annotations}, "spec": spec})
}

#[tokio::test(flavor = "multi_thread")]
async fn its_network_policies_deny_and_carry_its_name() {
    let yard = Yard::enter("fence-network").await;
    let ours = "charttrust-quarantine-web";
    let (named, denies) = (
        Some("only NetworkPolicies charttrust-quarantine-"),
        Some("lets nothing through"),
    );
    let mut bare = denial(ours, json!({}));
    bare["metadata"]["annotations"] = Value::Null;
    yard.creates(
        &yard.story.namespace,
        POLICY,
        &[
            ("a denial", None, denial(ours, json!({}))),
            (
                "of one way only",
                None,
                denial(ours, json!({"policyTypes": ["Egress"]})),
            ),
            ("another name", named, denial("web", json!({}))),
            ("without a mark", named, bare),
            (
                "what lets in",
                denies,
                denial(ours, json!({"ingress": [{}]})),
            ),
            (
                "what lets out",
                denies,
                denial(ours, json!({"egress": [{}]})),
            ),
            (
                "what lets out, and says nothing of what comes in",
                denies,
                denial(ours, json!({"egress": [{}], "policyTypes": ["Egress"]})),
            ),
        ],
    )
    .await;
    let policies = of(&yard.story.client, POLICY, &yard.story.namespace);
    for name in ["theirs", ours] {
        let mut object = denial(name, json!({}));
        object["apiVersion"] = json!("networking.k8s.io/v1");
        object["kind"] = json!("NetworkPolicy");
        let object = serde_json::from_value(object).unwrap();
        let made = policies.create(&PostParams::default(), &object).await;
        yard.story.done("make a NetworkPolicy", made);
    }
    yard.deletes(POLICY, "theirs", named).await;
    yard.deletes(POLICY, ours, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_reports_have_its_name() {
    let yard = Yard::enter("fence-reports").await;
    let named = Some("only reports with the name charttrust");
    let report = |name: &str| json!({"metadata": {"name": name}, "results": []});
    for kind in [POLICY_REPORT, REPORT] {
        yard.creates(
            &yard.story.namespace,
            kind,
            &[
                ("its first", None, report("charttrust")),
                ("its second", None, report("charttrust-2")),
                ("of somebody else", named, report("cpol-require-labels")),
                ("almost its own", named, report("charttrust-a")),
                ("below its own", named, report("my-charttrust")),
            ],
        )
        .await;
        let reports = of(&yard.story.client, kind, &yard.story.namespace);
        for name in ["theirs", "charttrust-3"] {
            let mut object = report(name);
            object["apiVersion"] = json!(format!("{}/{}", kind.0, kind.1));
            object["kind"] = json!(kind.2);
            let object = serde_json::from_value(object).unwrap();
            let made = reports.create(&PostParams::default(), &object).await;
            yard.story.done("make a report", made);
        }
        yard.deletes(kind, "theirs", named).await;
        yard.deletes(kind, "charttrust-3", None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_quarantines_are_of_a_policy_and_end_with_a_reason() {
    let yard = Yard::enter("fence-quarantines").await;
    let quarantine = |spec: Value| json!({"metadata": {"name": "web"}, "spec": spec});
    let automatic = json!({"reason": "a", "policy": "p", "actions": ["ScaleToZero"]});
    let manual = json!({"reason": "a", "actions": ["ScaleToZero"]});
    let named = Some("names the policy");
    yard.creates(
        &yard.story.namespace,
        QUARANTINE,
        &[
            ("of a policy", None, quarantine(automatic)),
            ("of nobody", named, quarantine(manual.clone())),
        ],
    )
    .await;
    yard.make(json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
        "metadata": {"name": "web", "namespace": yard.story.namespace, "labels": {"a": "b"}},
        "spec": manual,
    }))
    .await;
    yard.deletes(QUARANTINE, "web", Some("status.endedBy"))
        .await;
    let finalizers = || set("/metadata/finalizers", json!(["charttrust.io/restore"]));
    let label = set("/metadata/labels/a", json!("c"));
    let both = json!(["charttrust.io/restore", "a/b"]);
    let foreign = set("/metadata/finalizers", both);
    yard.answers(
        QUARANTINE,
        "web",
        &[
            ("its finalizer", None, json!([finalizers()])),
            (
                "a label",
                Some("only the finalizers"),
                json!([finalizers(), label]),
            ),
            (
                "another finalizer",
                Some("the only finalizer of the operator"),
                json!([foreign]),
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_keeps_is_kept_by_name() {
    let yard = Yard::enter("fence-keeps").await;
    let named = |name: &str| json!({"metadata": {"name": name}});
    let seal = "charttrust-evidence";
    let typed = |kind: &str| {
        let account = json!({"kubernetes.io/service-account.name": "default"});
        json!({"metadata": {"name": seal, "annotations": account}, "type": kind})
    };
    let (secrets, maps) = (
        Some("the only Secret"),
        Some("the ConfigMaps of the operator are"),
    );
    yard.creates(
        OPERATOR_NAMESPACE,
        SECRET,
        &[
            (
                "the key of the seal",
                None,
                typed("charttrust.io/evidence-key"),
            ),
            ("another Secret", secrets, named("other")),
            (
                "a token",
                secrets,
                typed("kubernetes.io/service-account-token"),
            ),
        ],
    )
    .await;
    yard.creates(
        OPERATOR_NAMESPACE,
        CONFIG_MAP,
        &[
            ("incidents", None, named("charttrust-incidents")),
            ("what was learned", None, named("charttrust-learned-0")),
            ("the key of statements", None, named("charttrust-vsa")),
            ("statements", None, named("charttrust-vsa-shop")),
            ("another ConfigMap", maps, named("other")),
            ("no statements", maps, named("charttrust-vsax")),
        ],
    )
    .await;
    let leases = [
        ("the lease", None, named("charttrust")),
        ("another lease", Some("the only Lease"), named("other")),
    ];
    yard.creates(OPERATOR_NAMESPACE, LEASE, &leases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_keep_beside_it_is_theirs() {
    let yard = Yard::enter("fence-theirs").await;
    let maps = Some("the ConfigMaps of the operator are");
    yard.make(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "theirs", "namespace": OPERATOR_NAMESPACE}, "data": {"a": "b"},
    }))
    .await;
    let theirs = of(&yard.story.client, CONFIG_MAP, OPERATOR_NAMESPACE);
    let object = yard
        .story
        .done("read a ConfigMap", theirs.get("theirs").await);
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let api = yard.api(CONFIG_MAP, OPERATOR_NAMESPACE);
    judge(
        "theirs",
        maps,
        api.replace("theirs", &params, &object).await,
    );
    // Of what it has made itself it deletes statements, and nothing that it has to remember.
    let none = Some("deletes nothing of it but statements");
    for (name, refused) in [
        ("theirs", none),
        ("charttrust-learned-gone", none),
        ("charttrust-vsa-gone", None),
    ] {
        if name != "theirs" {
            yard.make(json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": OPERATOR_NAMESPACE}, "data": {},
            }))
            .await;
        }
        let params = DeleteParams::default().dry_run();
        judge(name, refused, api.delete(name, &params).await);
    }
}
