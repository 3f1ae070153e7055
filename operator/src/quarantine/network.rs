//! NetworkPolicies: ours, which denies, and others, which may allow the same traffic.

use std::collections::BTreeMap;

use charttrust_verify::policy::{LabelSelector, Requirement};
use serde_json::{Value, json};

use super::field;
use super::mark::{ANNOTATION, Carried, Mark};
use crate::inventory::ReleaseId;

/// Group and version of a `NetworkPolicy`.
pub(super) const API_VERSION: &str = "networking.k8s.io/v1";
/// Its kind.
pub(super) const KIND: &str = "NetworkPolicy";

/// Labels of an object, or what a template gives to Pods.
pub(super) type Labels = BTreeMap<String, String>;

/// Name of the policy for the `index`th selector of a release; most have one. No name of a release
/// begins with a hyphen, so no two releases share a name.
pub(super) fn name(release: &ReleaseId, index: usize) -> String {
    match index {
        0 => format!("charttrust-quarantine-{}", release.name),
        _ => format!("charttrust-quarantine--{}-{}", index + 1, release.name),
    }
}

/// Says on a policy for which release it was made, which is all that is known once its Quarantine is
/// gone.
const RELEASE: &str = "charttrust.io/release";

/// A policy that denies all traffic of the Pods of a namespace that `selector` selects.
pub(super) fn denial(
    release: &ReleaseId,
    namespace: &str,
    name: &str,
    selector: &Value,
    mark: &Mark,
) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "charttrust"},
            "annotations": {ANNOTATION: mark.text(), RELEASE: release.to_string()},
        },
        "spec": {"podSelector": selector, "policyTypes": ["Egress", "Ingress"]},
    })
}

/// Whether a policy was made by us for this quarantine.
pub(super) fn is_ours(policy: &Value, quarantine: &str) -> bool {
    matches!(Mark::of(policy), Carried::Mark(mark) if mark.quarantine == quarantine)
}

/// Whether a policy says that it was made for this release.
pub(super) fn is_of(policy: &Value, release: &ReleaseId) -> bool {
    let said = field::text(policy, &["metadata", "annotations", RELEASE]);
    said == Some(&release.to_string())
}

/// Names of other policies that select one of these Pods and allow something.
pub(super) fn allowing(policies: &[Value], pods: &[Labels], quarantine: &str) -> Vec<String> {
    let selects = |policy: &Value| {
        let selector = field::value(policy, &["spec", "podSelector"]);
        pods.iter().any(|labels| selects(selector, labels))
    };
    let allows = |policy: &Value| {
        ["ingress", "egress"].iter().any(|way| {
            let rules = field::value(policy, &["spec", way]).and_then(Value::as_array);
            rules.is_some_and(|rules| !rules.is_empty())
        })
    };
    let others = policies
        .iter()
        .filter(|policy| !is_ours(policy, quarantine) && allows(policy) && selects(policy));
    let mut names: Vec<_> = others
        .filter_map(|policy| field::text(policy, &["metadata", "name"]))
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

/// Whether a Kubernetes label selector selects these labels. An absent or empty one selects all;
/// one that cannot be read too, because then somebody else may be meant.
pub(super) fn selects(selector: Option<&Value>, labels: &Labels) -> bool {
    selector.is_none_or(|selector| requirements(selector).is_none_or(|all| all.matches(labels)))
}

fn requirements(selector: &Value) -> Option<LabelSelector> {
    let mut all = Vec::new();
    if let Some(exact) = field::value(selector, &["matchLabels"]) {
        for (key, value) in exact.as_object()? {
            let value = value.as_str()?.to_owned();
            all.push(Requirement::In(key.clone(), [value].into()));
        }
    }
    if let Some(expressions) = field::value(selector, &["matchExpressions"]) {
        for expression in expressions.as_array()? {
            all.push(requirement(expression)?);
        }
    }
    Some(LabelSelector(all))
}

fn requirement(expression: &Value) -> Option<Requirement> {
    let key = field::text(expression, &["key"])?.to_owned();
    let values = field::value(expression, &["values"]).and_then(Value::as_array);
    let values = values
        .into_iter()
        .flatten()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect();
    Some(match field::text(expression, &["operator"])? {
        "DoesNotExist" => Requirement::DoesNotExist(key),
        "Exists" => Requirement::Exists(key),
        "In" => Requirement::In(key, values),
        "NotIn" => Requirement::NotIn(key, values),
        _ => return None,
    })
}

/// The labels at a path.
pub(super) fn labels(object: &Value, path: &[&str]) -> Labels {
    let labels = field::value(object, path).and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    labels.into_iter().flatten().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> Labels {
        Labels::from([("app".to_owned(), "web".to_owned())])
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers pass what json! makes"
    )]
    fn policy(spec: Value) -> Value {
        json!({"metadata": {"name": "other"}, "spec": spec})
    }

    fn release(name: &str) -> ReleaseId {
        ReleaseId {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn no_two_releases_share_the_name_of_a_policy() {
        let of = |name| (0..30).map(move |index| super::name(&release(name), index));
        let all = ["web", "web-2", "2-web", "web-2-2", "2-2-web", "0", "2"];
        let names: Vec<_> = all.into_iter().flat_map(of).collect();
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert_eq!(names[0], "charttrust-quarantine-web");
    }

    #[test]
    fn a_policy_of_others_allows_if_it_selects_and_has_a_rule() {
        let allows = |spec: Value| !allowing(&[policy(spec)], &[web()], "uid").is_empty();
        assert!(allows(json!({"podSelector": {}, "ingress": [{}]})));
        assert!(allows(
            json!({"podSelector": {"matchLabels": {"app": "web"}}, "egress": [{}]})
        ));
        assert!(!allows(
            json!({"podSelector": {"matchLabels": {"app": "db"}}, "egress": [{}]})
        ));
        assert!(!allows(json!({"podSelector": {}, "ingress": []})));
        assert!(!allows(json!({"podSelector": {}})));
    }

    #[test]
    fn our_own_policy_allows_nothing() {
        let mark = Mark {
            incident: "manual/uid".to_owned(),
            quarantine: "uid".to_owned(),
            time: String::new(),
            original: None,
            owners: Vec::new(),
        };
        let ours = denial(&release("web"), "shop", "x", &json!({}), &mark);
        assert!(is_of(&ours, &release("web")));
        assert!(!is_of(&ours, &release("web-2")));
        assert!(is_ours(&ours, "uid"));
        assert!(!is_ours(&ours, "another"));
        assert_eq!(allowing(&[ours], &[web()], "uid"), Vec::<String>::new());
    }

    #[test]
    fn selectors_are_read_as_kubernetes_reads_them() {
        let expression = |operator: &str, values: Value| {
            let one = json!({"key": "app", "operator": operator, "values": values});
            selects(Some(&json!({"matchExpressions": [one]})), &web())
        };
        assert!(expression("In", json!(["web", "db"])));
        assert!(!expression("NotIn", json!(["web"])));
        assert!(expression("Exists", json!([])));
        assert!(!expression("DoesNotExist", json!([])));
        assert!(
            expression("Near", json!([])),
            "what cannot be read may mean anybody"
        );
        assert!(selects(Some(&json!({})), &web()));
        assert!(!selects(
            Some(&json!({"matchLabels": {"app": "db"}})),
            &web()
        ));
    }
}
