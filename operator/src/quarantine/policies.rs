//! NetworkPolicies: ours, which denies, and others, which may allow the same traffic.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use serde::Serialize;
use serde_json::{Value, json};

use super::annotation::{ANNOTATION, Annotation, Carried};
use super::fields;
use crate::api::bounds;
use crate::inventory::ReleaseId;
use crate::names;

/// Group and version of a `NetworkPolicy`.
pub(super) const API_VERSION: &str = "networking.k8s.io/v1";
/// Its kind.
pub(super) const KIND: &str = "NetworkPolicy";

/// Labels of an object, or what a template gives to Pods.
pub(super) type Labels = BTreeMap<String, String>;

/// Name of the policy for the `index`th selector of a release; most have one. No name of a release
/// begins with a hyphen, so no two releases share a name.
pub(super) fn name(release: &ReleaseId, index: usize) -> String {
    let before = match index {
        0 => NAMED.to_owned(),
        _ => format!("{NAMED}-{}-", index + 1),
    };
    names::derived(&before, &release.name, "")
}

/// What the name of each of ours begins with.
const NAMED: &str = "charttrust-quarantine-";

/// Whether a policy of this release may have this name.
pub(super) fn is_name(release: &ReleaseId, text: &str) -> bool {
    let number = text.strip_prefix(NAMED).and_then(|rest| {
        let (number, _) = rest.strip_prefix('-')?.split_once('-')?;
        number.parse::<usize>().ok()?.checked_sub(1)
    });
    let index = number.unwrap_or_default();
    index <= bounds::OBJECTS && name(release, index) == text
}

/// Says on a policy for which release it was made, which is all that is known once its Quarantine is
/// gone.
const RELEASE: &str = "charttrust.io/release";

/// A policy of ours that says this.
pub(super) fn ours(
    release: &ReleaseId,
    namespace: &str,
    name: &str,
    annotation: &Annotation,
    spec: &Value,
) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "charttrust"},
            "annotations": {ANNOTATION: annotation.text(), RELEASE: release.to_string()},
        },
        "spec": spec,
    })
}

/// What a policy says that denies these ways of traffic to the Pods that `selector` selects.
pub(super) fn denial(selector: &Value, ways: &[Way]) -> Value {
    json!({"podSelector": selector, "policyTypes": ways})
}

/// Whether a policy says that it was made for this release.
pub(super) fn is_of(policy: &Value, release: &ReleaseId) -> bool {
    let said = fields::text(policy, &["metadata", "annotations", RELEASE]);
    said == Some(&release.to_string())
}

/// What a policy carries that we have made. By its name it is of the release that it was made for, and it
/// lets nothing through: whoever writes our annotation on another has it deleted by nobody.
pub(super) fn made(policy: &Value) -> Carried {
    let text = |path: &[&str]| fields::text(policy, path);
    let release = text(&["metadata", "annotations", RELEASE]).and_then(|said| {
        let (namespace, name) = said.split_once('/')?;
        Some(ReleaseId {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    });
    let named = text(&["metadata", "name"]).zip(release);
    let is_made =
        named.is_some_and(|(name, release)| is_name(&release, name)) && allowed(policy).is_empty();
    match Annotation::of(policy) {
        Carried::Annotation(_) if !is_made => Carried::Unreadable,
        carried => carried,
    }
}

/// A way of traffic, as `policyTypes` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) enum Way {
    /// From the Pods.
    Egress,
    /// To the Pods.
    Ingress,
}

impl Way {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Egress, Self::Ingress];

    fn word(self) -> &'static str {
        match self {
            Self::Egress => "Egress",
            Self::Ingress => "Ingress",
        }
    }

    /// The field with its rules.
    fn field(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }
}

/// The ways for which a policy has a rule: any lets something through.
fn allowed(policy: &Value) -> Vec<Way> {
    let has_rule = |way: &Way| {
        let rules = fields::value(policy, &["spec", way.field()]).and_then(Value::as_array);
        rules.is_some_and(|rules| !rules.is_empty())
    };
    Way::ALL.into_iter().filter(has_rule).collect()
}

/// Whether a policy denies just these ways, and lets nothing through. Of a way that it does not name it says
/// nothing (<https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-resource>).
pub(super) fn denies(policy: &Value, ways: &[Way]) -> bool {
    let types = fields::value(policy, &["spec", "policyTypes"]).and_then(Value::as_array);
    let names = |way: Way| types.is_some_and(|types| types.iter().any(|one| one == way.word()));
    let is_alike = |way: Way| names(way) == ways.contains(&way);
    allowed(policy).is_empty() && Way::ALL.into_iter().all(is_alike)
}

/// A policy of others that allows traffic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowing {
    name: String,
    ways: Vec<Way>,
}

/// Those that allow one of these ways, for people. `None` if none does.
pub(super) fn told(allowing: &[Allowing], ways: &[Way]) -> Option<String> {
    let one = |one: &Allowing| {
        let of = one.ways.iter().filter(|way| ways.contains(way));
        let words: Vec<_> = of.map(|way| way.word()).collect();
        (!words.is_empty()).then(|| format!("{} ({})", one.name, words.join(" and ")))
    };
    let all: Vec<_> = allowing.iter().filter_map(one).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Policies that select one of these Pods and allow something, but for those that are `recorded`: how one
/// of ours stands that allows something is told of it.
pub(super) fn allowing(policies: &[Value], pods: &[Labels], recorded: &[&str]) -> Vec<Allowing> {
    let selects = |policy: &Value| {
        let selector = fields::value(policy, &["spec", "podSelector"]);
        pods.iter().any(|labels| selects(selector, labels))
    };
    let found = policies.iter().filter(|policy| selects(policy));
    let allowing = found.filter_map(|policy| {
        let name = fields::text(policy, &["metadata", "name"])?.to_owned();
        let ways = allowed(policy);
        Some(Allowing { name, ways })
    });
    let counts = |one: &Allowing| !one.ways.is_empty() && !recorded.contains(&one.name.as_str());
    let mut allowing: Vec<_> = allowing.filter(counts).collect();
    allowing.sort();
    allowing
}

/// The same Pods by fewer selectors: those that name the same labels and differ in the value of one.
/// Many workloads of one release do, and each policy is an object more to write and to restore.
pub(super) fn grouped(selectors: Vec<Value>) -> Vec<Value> {
    let mut groups: Vec<Group> = Vec::new();
    for selector in selectors {
        let labels = exact(&selector);
        let is_taken = labels
            .as_ref()
            .is_some_and(|labels| groups.iter_mut().any(|group| group.take(labels).is_some()));
        if !is_taken {
            groups.push(Group {
                selector,
                first: labels,
                key: None,
                values: BTreeSet::new(),
            });
        }
    }
    groups.into_iter().map(|group| group.selector).collect()
}

/// Selectors that became one.
struct Group {
    selector: Value,
    /// The labels of the first, if labels are all that it asks for.
    first: Option<Labels>,
    /// The label in which they differ, once there are two.
    key: Option<String>,
    values: BTreeSet<String>,
}

impl Group {
    /// Takes labels in, if they fit.
    fn take(&mut self, labels: &Labels) -> Option<()> {
        let first = self.first.as_ref()?;
        let key = differing(first, labels)?;
        if self.key.as_ref().is_some_and(|own| own != key) {
            return None;
        }
        let mut values = self.values.clone();
        values.extend([first.get(key)?.clone(), labels.get(key)?.clone()]);
        let joined = any_of(first, key, &values);
        if joined.to_string().len() > bounds::SAVED {
            return None;
        }
        self.key = Some(key.to_owned());
        self.values = values;
        self.selector = joined;
        Some(())
    }
}

/// Labels that are all a selector asks for.
fn exact(selector: &Value) -> Option<Labels> {
    let parts = selector.as_object()?;
    let is_only = parts.keys().all(|part| part == "matchLabels");
    is_only.then(|| labels(selector, &["matchLabels"]))
}

/// The one label in whose value two sets differ.
fn differing<'a>(one: &'a Labels, other: &Labels) -> Option<&'a str> {
    if !one.keys().eq(other.keys()) {
        return None;
    }
    let mut different = one
        .iter()
        .filter(|(key, value)| other.get(*key) != Some(value));
    let (key, _) = different.next()?;
    different.next().is_none().then_some(key.as_str())
}

fn any_of(labels: &Labels, key: &str, values: &BTreeSet<String>) -> Value {
    let others: Labels = labels
        .clone()
        .into_iter()
        .filter(|(one, _)| one != key)
        .collect();
    let values: Vec<_> = values.iter().collect();
    let expression = json!([{"key": key, "operator": "In", "values": values}]);
    if others.is_empty() {
        return json!({"matchExpressions": expression});
    }
    json!({"matchExpressions": expression, "matchLabels": others})
}

/// Whether a Kubernetes label selector selects these labels. An absent or empty one selects all;
/// one that cannot be read too, because then somebody else may be meant.
pub(super) fn selects(selector: Option<&Value>, labels: &Labels) -> bool {
    selector.is_none_or(|selector| readable(selector).is_none_or(|all| all.matches(labels)))
}

fn readable(selector: &Value) -> Option<Selector> {
    let selector = serde_json::from_value::<LabelSelector>(selector.clone()).ok()?;
    Selector::try_from(selector).ok()
}

/// The labels at a path.
pub(super) fn labels(object: &Value, path: &[&str]) -> Labels {
    let labels = fields::value(object, path).and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    labels.into_iter().flatten().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::super::original::Original;
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
        let allows = |spec: Value, ways: &[Way]| {
            told(&allowing(&[policy(spec)], &[web()], &[]), ways).unwrap_or_default()
        };
        let web = json!({"matchLabels": {"app": "web"}});
        let other = json!({"matchLabels": {"app": "db"}});
        for (spec, expected) in [
            (
                json!({"podSelector": {}, "ingress": [{}]}),
                "other (Ingress)",
            ),
            (
                json!({"podSelector": web, "egress": [{}]}),
                "other (Egress)",
            ),
            (
                json!({"podSelector": web, "egress": [{}], "ingress": [{}]}),
                "other (Egress and Ingress)",
            ),
            (json!({"podSelector": other, "egress": [{}]}), ""),
            (json!({"podSelector": {}, "ingress": []}), ""),
            (json!({"podSelector": {}}), ""),
        ] {
            assert_eq!(allows(spec.clone(), &Way::ALL), expected, "{spec}");
            for way in Way::ALL {
                let is_told = !allows(spec.clone(), &[way]).is_empty();
                assert_eq!(is_told, expected.contains(way.word()), "{spec}");
            }
        }
    }

    fn annotation() -> Annotation {
        Annotation {
            incident: "manual/uid".to_owned(),
            quarantine: "uid".to_owned(),
            uid: None,
            when_scaled: None,
            revision: None,
            time: String::new(),
            original: Original::default(),
            owners: Vec::new(),
        }
    }

    #[test]
    fn our_own_policy_allows_nothing() {
        let spec = denial(&json!({}), &Way::ALL);
        let ours = ours(&release("web"), "shop", "x", &annotation(), &spec);
        assert!(is_of(&ours, &release("web")));
        assert!(!is_of(&ours, &release("web-2")));
        assert_eq!(allowing(&[ours], &[web()], &[]), []);
    }

    /// Whoever may write a policy may write our annotation on it too, with the uid of the Quarantine.
    #[test]
    fn an_annotation_alone_makes_no_policy_ours() {
        let of = |name: &str, change: Value| {
            let spec = denial(&json!({}), &Way::ALL);
            let mut policy = ours(&release("web"), "shop", name, &annotation(), &spec);
            json_patch::merge(&mut policy, &change);
            policy
        };
        let name = name(&release("web"), 0);
        let is_made = |policy: &Value| matches!(made(policy), Carried::Annotation(_));
        assert!(is_made(&of(&name, json!({}))));
        assert!(is_made(&of("charttrust-quarantine--2-web", json!({}))));
        for forged in [
            of("database", json!({})),
            of("charttrust-quarantine-bank", json!({})),
            of("charttrust-quarantine--x-web", json!({})),
            of(&name, json!({"spec": {"ingress": [{}]}})),
            of(
                &name,
                json!({"metadata": {"annotations": {RELEASE: "shop/bank"}}}),
            ),
            of(&name, json!({"metadata": {"annotations": {RELEASE: null}}})),
        ] {
            assert_eq!(made(&forged), Carried::Unreadable, "{forged}");
        }
        let open = of(&name, json!({"spec": {"ingress": [{}]}}));
        let allowing = |recorded: &[&str]| {
            let all = super::allowing(std::slice::from_ref(&open), &[web()], recorded);
            told(&all, &Way::ALL).unwrap_or_default()
        };
        assert_eq!(allowing(&[]), format!("{name} (Ingress)"));
        assert_eq!(allowing(&[&name]), "");
        assert_eq!(
            made(&json!({"metadata": {"name": "database"}})),
            Carried::Nothing
        );
    }

    #[test]
    fn every_name_of_a_policy_is_known_as_that_of_its_release() {
        for length in 1..=231 {
            let (web, other) = (release(&"a".repeat(length)), release(&"b".repeat(length)));
            for index in [0, 1, 9, 99, bounds::OBJECTS] {
                let name = super::name(&web, index);
                assert!(name.len() <= bounds::NAME, "{length} {index}");
                assert!(is_name(&web, &name) && !is_name(&other, &name), "{name}");
            }
        }
        let far = super::name(&release("web"), bounds::OBJECTS + 1);
        assert!(!is_name(&release("web"), &far));
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

    #[test]
    fn selectors_that_differ_in_one_label_become_one() {
        let of = |name: &str| json!({"matchLabels": {"app": name, "of": "web"}});
        let all: Vec<_> = (0..60).map(|n| of(&format!("a{n}"))).collect();
        let grouped = super::grouped(all.clone());
        assert_eq!(grouped.len(), 1, "{grouped:?}");
        for one in &all {
            let selected = labels(one, &["matchLabels"]);
            assert!(selects(Some(&grouped[0]), &selected), "{one}");
        }
        let mut other = labels(&of("a1"), &["matchLabels"]);
        other.insert("of".to_owned(), "bank".to_owned());
        assert!(!selects(Some(&grouped[0]), &other));
        other.insert("of".to_owned(), "web".to_owned());
        other.insert("app".to_owned(), "b".to_owned());
        assert!(!selects(Some(&grouped[0]), &other));
    }

    #[test]
    fn what_differs_otherwise_keeps_its_own_selector() {
        let alone = [
            json!({"matchLabels": {"app": "web"}}),
            json!({"matchLabels": {"app": "web", "tier": "a"}}),
            json!({"matchLabels": {"tier": "b", "zone": "c"}}),
            json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
        ];
        assert_eq!(super::grouped(alone.to_vec()), alone);
        let long = |n: u32| json!({"matchLabels": {"app": format!("{n:060}")}});
        let many = super::grouped((0..200).map(long).collect());
        assert!(many.len() > 1);
        assert!(
            many.iter()
                .all(|one| one.to_string().len() <= bounds::SAVED)
        );
    }
}
