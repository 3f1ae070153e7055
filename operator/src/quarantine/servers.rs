//! What the API server itself calls: webhooks that must answer, aggregated APIs, conversions. Whoever
//! stops the Pods behind one stops others, and may stop its own restore. Pure.
//!
//! # Caveats
//! Whoever writes a chart can write a webhook that is truly called, too. So this only keeps a policy
//! from stopping a workload alone: that is told, loudly, and a person decides.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use super::fields;
use super::policies::{self, Labels};
use super::reading::Forbidden;
use crate::inventory::ReleaseId;

/// What the API server calls in a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// The Services that it calls.
    pub(super) all: Vec<Server>,
    /// Kinds that may not be read, so that nobody can tell.
    pub(super) unread: Vec<Forbidden>,
}

/// A Service of the release that the API server calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Which object says so.
    pub(super) what: String,
    /// Whom the Service selects.
    pub(super) selector: Labels,
    /// The port that their containers must name, if the Service goes by names.
    pub(super) port: Option<String>,
}

/// That the API server calls a Service, as an object says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// Kind and name of the object.
    what: String,
    /// Name of the Service.
    pub(super) service: String,
    port: u64,
    /// Whether the object carries the marks of the release.
    is_marked: bool,
    /// What a webhook is asked about; everything else is always asked.
    pub(super) asked: Option<Asked>,
}

/// What a webhook is asked about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    rules: Vec<Value>,
    /// Which namespaces; absent is all.
    pub(super) namespaces: Option<Value>,
}

/// What the API server has that a webhook could be asked about.
#[derive(Clone, Debug, Default)]
pub(super) struct Offered {
    /// By group. One that is absent is not known, and may have anything.
    pub(super) groups: BTreeMap<String, Vec<Offer>>,
    /// The labels of every namespace, if that is known.
    pub(super) namespaces: Option<Vec<Labels>>,
}

/// A resource of one group.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) version: String,
    pub(super) resource: String,
    pub(super) is_namespaced: bool,
    /// Its subresources.
    pub(super) below: Vec<String>,
}

/// What is kept of an object that has Services called, for all who ask about it; `None` of one that has none called. A
/// certificate may be larger than all the rest.
pub(super) fn caller(mut object: Value) -> Option<Value> {
    let is_any = match fields::text(&object, &["kind"]) {
        Some("APIService") => fields::value(&object, &["spec", "service"]).is_some(),
        _ => !services_of_webhooks(&object).is_empty(),
    };
    let metadata = object
        .pointer_mut("/metadata")
        .and_then(Value::as_object_mut);
    metadata.and_then(|metadata| metadata.remove("managedFields"));
    let webhooks = object
        .pointer_mut("/webhooks")
        .and_then(Value::as_array_mut);
    let webhooks = webhooks.into_iter().flatten();
    let clients = webhooks.filter_map(|webhook| webhook.pointer_mut("/clientConfig"));
    for client in clients.filter_map(Value::as_object_mut) {
        client.remove("caBundle");
    }
    is_any.then_some(object)
}

/// The calls of Services in a namespace that an object asks for, and that block whoever waits for them.
pub(super) fn calls(
    object: &Value,
    release: &ReleaseId,
    namespace: &str,
    now: Timestamp,
) -> Vec<Call> {
    let text = |path: &[&str]| fields::text(object, path).unwrap_or_default();
    if fields::is_being_deleted(object) {
        return Vec::new();
    }
    let clients = match text(&["kind"]) {
        "APIService" => service_of_api(object, now).into_iter().collect(),
        "CustomResourceDefinition" => service_of_conversion(object).into_iter().collect(),
        _ => services_of_webhooks(object),
    };
    let is_here = |service: &Value| fields::text(service, &["namespace"]) == Some(namespace);
    let here = clients.into_iter().filter(|(service, _)| is_here(service));
    let call = |(service, asked): (&Value, Option<Asked>)| {
        let port = fields::value(service, &["port"]).and_then(Value::as_u64);
        Some(Call {
            what: format!("{} {}", text(&["kind"]), text(&["metadata", "name"])),
            service: fields::text(service, &["name"])?.to_owned(),
            port: port.unwrap_or(443),
            is_marked: is_marked(object, release),
            asked,
        })
    };
    here.filter_map(call).collect()
}

fn is_marked(object: &Value, release: &ReleaseId) -> bool {
    let annotation = |name: &str| fields::text(object, &["metadata", "annotations", name]);
    annotation("meta.helm.sh/release-name") == Some(&release.name)
        && annotation("meta.helm.sh/release-namespace") == Some(&release.namespace)
}

type Client<'a> = (&'a Value, Option<Asked>);

/// One that lets pass what it cannot ask blocks nobody, and so does one that is never asked.
fn services_of_webhooks(object: &Value) -> Vec<Client<'_>> {
    let webhooks = fields::value(object, &["webhooks"]).and_then(Value::as_array);
    let webhooks = webhooks.into_iter().flatten();
    let client = |webhook| {
        let asked = Asked::of(webhook)?;
        let service = fields::value(webhook, &["clientConfig", "service"])?;
        Some((service, Some(asked)))
    };
    webhooks.filter_map(client).collect()
}

/// One that has not answered for long blocks already whomever it blocks.
fn service_of_api(object: &Value, now: Timestamp) -> Option<Client<'_>> {
    let conditions = fields::value(object, &["status", "conditions"]).and_then(Value::as_array);
    let is_dead = |condition: &Value| {
        let since = fields::text(condition, &["lastTransitionTime"]);
        let since = since.and_then(|since| since.parse::<Timestamp>().ok());
        fields::text(condition, &["type"]) == Some("Available")
            && fields::text(condition, &["status"]) == Some("False")
            && since.is_some_and(|since| now.duration_since(since) > PASSING)
    };
    let is_dead = conditions.into_iter().flatten().any(is_dead);
    let service = fields::value(object, &["spec", "service"])?;
    (!is_dead).then_some((service, None))
}

/// What a new rollout may take.
const PASSING: SignedDuration = SignedDuration::from_mins(5);

/// Between one version and itself nothing is converted.
fn service_of_conversion(object: &Value) -> Option<Client<'_>> {
    let versions = fields::value(object, &["spec", "versions"]).and_then(Value::as_array);
    let path = ["spec", "conversion", "webhook", "clientConfig", "service"];
    let service = fields::value(object, &path)?;
    let strategy = fields::text(object, &["spec", "conversion", "strategy"]);
    let is_called = strategy == Some("Webhook") && versions.is_some_and(|all| all.len() > 1);
    is_called.then_some((service, None))
}

impl Asked {
    /// `None` if it may be left without an answer, or nothing can fit.
    fn of(webhook: &Value) -> Option<Self> {
        let conditions = fields::value(webhook, &["matchConditions"]).and_then(Value::as_array);
        let is_never = |condition: &Value| {
            let expression = fields::text(condition, &["expression"]);
            expression.is_some_and(|expression| expression.trim() == "false")
        };
        let is_never = conditions.into_iter().flatten().any(is_never);
        let may_fit = ["namespaceSelector", "objectSelector"]
            .iter()
            .all(|name| fields::value(webhook, &[name]).is_none_or(may_select));
        let is_ignored = fields::text(webhook, &["failurePolicy"]) == Some("Ignore");
        let rules = fields::value(webhook, &["rules"])?.as_array()?.clone();
        (!is_ignored && !is_never && may_fit && !rules.is_empty()).then(|| Self {
            rules,
            namespaces: fields::value(webhook, &["namespaceSelector"]).cloned(),
        })
    }

    /// The groups that its rules name.
    pub(super) fn groups(&self) -> BTreeSet<&str> {
        self.rules
            .iter()
            .flat_map(|rule| texts(rule, "apiGroups"))
            .filter(|group| *group != "*")
            .collect()
    }

    /// Whether there is something that it is asked about.
    pub(super) fn fits(&self, offered: &Offered) -> bool {
        self.rules.iter().any(|rule| {
            texts(rule, "apiGroups").any(|group| match offered.groups.get(group) {
                None => true,
                Some(offers) => offers
                    .iter()
                    .any(|offer| is_meant(rule, offer) && self.is_in_a_namespace(offer, offered)),
            })
        })
    }

    /// A webhook is asked about what lies in no namespace whatever it says of them.
    fn is_in_a_namespace(&self, offer: &Offer, offered: &Offered) -> bool {
        let selects = |labels: &Labels| policies::selects(self.namespaces.as_ref(), labels);
        let is_free = !offer.is_namespaced && offer.resource != "namespaces";
        let all = offered.namespaces.as_ref();
        is_free || all.is_none_or(|all| all.iter().any(selects))
    }
}

fn texts<'a>(rule: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    let all = rule.get(name).and_then(Value::as_array);
    all.into_iter().flatten().filter_map(Value::as_str)
}

/// Whether a rule is about a resource of a group that it names
/// (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules>).
fn is_meant(rule: &Value, offer: &Offer) -> bool {
    let is = |pattern: &str, name: &str| pattern == "*" || pattern == name;
    let is_resource = |pattern: &str| match pattern.split_once('/') {
        None => is(pattern, &offer.resource),
        Some((resource, "*")) => is(resource, &offer.resource),
        Some((resource, below)) => {
            is(resource, &offer.resource) && offer.below.iter().any(|one| one == below)
        }
    };
    let scope = if offer.is_namespaced {
        "Namespaced"
    } else {
        "Cluster"
    };
    texts(rule, "apiVersions").any(|version| is(version, &offer.version))
        && texts(rule, "resources").any(is_resource)
        && is(fields::text(rule, &["scope"]).unwrap_or("*"), scope)
}

/// Whether any labels at all fit a selector. One that cannot be read may fit all.
fn may_select(selector: &Value) -> bool {
    let Ok(selector) = serde_json::from_value::<LabelSelector>(selector.clone()) else {
        return true;
    };
    let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
    for (key, value) in selector.match_labels.unwrap_or_default() {
        wanted.entry(key).or_default().take("In", vec![value]);
    }
    for one in selector.match_expressions.unwrap_or_default() {
        let values = one.values.unwrap_or_default();
        wanted
            .entry(one.key)
            .or_default()
            .take(&one.operator, values);
    }
    wanted.values().all(Wanted::can_be)
}

/// What a selector wants of one label.
#[derive(Default)]
struct Wanted {
    is_present: bool,
    is_absent: bool,
    among: Option<BTreeSet<String>>,
    not: BTreeSet<String>,
}

impl Wanted {
    fn take(&mut self, operator: &str, values: Vec<String>) {
        let values: BTreeSet<String> = values.into_iter().collect();
        match operator {
            "DoesNotExist" => self.is_absent = true,
            "Exists" => self.is_present = true,
            "In" => {
                self.is_present = true;
                let both = |known: BTreeSet<_>| known.intersection(&values).cloned().collect();
                self.among = Some(self.among.take().map_or(values.clone(), both));
            }
            "NotIn" => self.not.extend(values),
            _ => (),
        }
    }

    fn can_be(&self) -> bool {
        let is_empty = |among: &BTreeSet<String>| among.difference(&self.not).next().is_none();
        !(self.among.as_ref().is_some_and(is_empty) || self.is_present && self.is_absent)
    }
}

impl Server {
    /// What is behind a call, if its Service leads there. It has to be the release's, or the object
    /// that asks for the call.
    pub(super) fn of(
        call: &Call,
        service: &Value,
        is_own: impl Fn(&Value) -> bool,
    ) -> Option<Self> {
        let selector = policies::labels(service, &["spec", "selector"]);
        let leads_out = fields::text(service, &["spec", "type"]) == Some("ExternalName");
        let is_ours = call.is_marked || is_own(service);
        let ports = fields::value(service, &["spec", "ports"])?.as_array()?;
        let number = |port: &&Value| fields::value(port, &["port"]).and_then(Value::as_u64);
        let port = ports.iter().find(|port| number(port) == Some(call.port))?;
        (is_ours && !leads_out && !selector.is_empty()).then(|| Self {
            what: call.what.clone(),
            selector,
            port: fields::text(port, &["targetPort"]).map(str::to_owned),
        })
    }

    pub(super) fn is_served_by(&self, workload: &Value) -> bool {
        let labels = policies::labels(workload, &["spec", "template", "metadata", "labels"]);
        let mut wanted = self.selector.iter();
        let has_port = |name: &String| port_names(workload).any(|port| port == name);
        wanted.all(|(key, value)| labels.get(key) == Some(value))
            && self.port.as_ref().is_none_or(has_port)
    }
}

fn port_names(workload: &Value) -> impl Iterator<Item = &str> {
    let path = ["spec", "template", "spec", "containers"];
    let containers = fields::value(workload, &path).and_then(Value::as_array);
    let ports = containers.into_iter().flatten().filter_map(|container| {
        let ports = fields::value(container, &["ports"])?;
        ports.as_array()
    });
    let ports = ports.flatten();
    ports.filter_map(|port| fields::text(port, &["name"]))
}

impl Servers {
    /// What a workload serves, if its Pods are behind one of the Services. What ends by itself serves
    /// nothing.
    pub(super) fn behind(&self, workload: &Value) -> Option<String> {
        let kind = fields::text(workload, &["kind"]).unwrap_or_default();
        if !matches!(
            kind,
            "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet"
        ) {
            return None;
        }
        let served = self.all.iter().filter(|one| one.is_served_by(workload));
        let served: BTreeSet<&str> = served.map(|one| one.what.as_str()).collect();
        let first = served.first()?;
        Some(match served.len() {
            1 => (*first).to_owned(),
            many => format!("{first} and {} more", many - 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn web() -> ReleaseId {
        ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        }
    }

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    fn marks() -> Value {
        json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"})
    }

    fn configuration() -> Value {
        json!({
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "guard", "annotations": marks()},
            "webhooks": [{
                "clientConfig": {"service": {"namespace": "shop", "name": "guard"}},
                "rules": [{
                    "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"],
                    "resources": ["deployments"],
                }],
            }],
        })
    }

    fn service() -> Value {
        json!({
            "kind": "Service", "metadata": {"name": "guard"},
            "spec": {"selector": {"app": "guard"}, "ports": [{"port": 443, "targetPort": 8443}]},
        })
    }

    fn offered() -> Offered {
        let offer = |resource: &str, is_namespaced| Offer {
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            is_namespaced,
            below: vec!["scale".to_owned()],
        };
        Offered {
            groups: [
                ("apps".to_owned(), vec![offer("deployments", true)]),
                ("nothing.example".to_owned(), Vec::new()),
                (
                    String::new(),
                    vec![offer("nodes", false), offer("namespaces", false)],
                ),
            ]
            .into(),
            namespaces: Some(vec![[("team".to_owned(), "a".to_owned())].into()]),
        }
    }

    /// How many calls block somebody, of what a configuration and the Service say.
    fn blocking(configuration: &Value, service: &Value) -> usize {
        let calls = calls(configuration, &web(), "shop", now());
        if configuration["kind"] != "CustomResourceDefinition" {
            let kept = caller(configuration.clone());
            let of_kept = kept.map(|kept| super::calls(&kept, &web(), "shop", now()));
            assert_eq!(
                of_kept.unwrap_or_default(),
                calls,
                "what is kept says the same"
            );
        }
        let leads = |call: &&Call| Server::of(call, service, |_| false).is_some();
        let is_asked = |call: &&Call| {
            let asked = call.asked.as_ref();
            asked.is_none_or(|asked| asked.fits(&offered()))
        };
        calls.iter().filter(leads).filter(is_asked).count()
    }

    fn webhook(more: &Value) -> usize {
        let mut object = configuration();
        for (name, value) in more.as_object().unwrap() {
            object["webhooks"][0][name] = value.clone();
        }
        blocking(&object, &service())
    }

    fn rule(more: &Value) -> usize {
        let mut object = configuration();
        let rule = &mut object["webhooks"][0]["rules"][0];
        for (name, value) in more.as_object().unwrap() {
            rule[name] = value.clone();
        }
        blocking(&object, &service())
    }

    #[test]
    fn a_webhook_that_must_answer_blocks_whoever_it_is_asked_about() {
        let is = |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        let expressions = |all: &[Value]| json!({"matchExpressions": all});
        let live = [
            json!({}),
            json!({"failurePolicy": "Fail"}),
            json!({"namespaceSelector": {}}),
            json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}),
            json!({"namespaceSelector": expressions(&[is("off", "NotIn", &["yes"])])}),
            json!({"objectSelector": {"matchLabels": {"inject": "yes"}}}),
            json!({"objectSelector": expressions(&[is("a", "In", &["b", "c"]), is("a", "NotIn", &["b"])])}),
            json!({"matchConditions": [{"name": "some", "expression": "object.spec.replicas > 1"}]}),
        ];
        for more in live {
            assert_eq!(webhook(&more), 1, "{more}");
        }
    }

    #[test]
    fn a_webhook_that_is_never_asked_or_never_waited_for_blocks_nobody() {
        let is = |operator: &str, values: &[&str]| json!({"key": "a", "operator": operator, "values": values});
        let expressions = |all: &[Value]| json!({"matchExpressions": all});
        let dummies = [
            json!({"failurePolicy": "Ignore"}),
            json!({"rules": []}),
            json!({"rules": null}),
            json!({"clientConfig": {"url": "https://far"}}),
            json!({"clientConfig": {"service": {"namespace": "bank", "name": "guard"}}}),
            json!({"clientConfig": {"service": {"namespace": "shop", "name": "guard", "port": 9}}}),
            json!({"matchConditions": [{"name": "never", "expression": " false "}]}),
            json!({"namespaceSelector": {"matchLabels": {"team": "nobody"}}}),
            json!({"objectSelector": expressions(&[is("Exists", &[]), is("DoesNotExist", &[])])}),
            json!({"objectSelector": expressions(&[is("In", &["b"]), is("NotIn", &["b"])])}),
            json!({"objectSelector": expressions(&[is("In", &["b"]), is("In", &["c"])])}),
            json!({"namespaceSelector": expressions(&[is("In", &["b"]), is("DoesNotExist", &[])])}),
        ];
        for more in dummies {
            assert_eq!(webhook(&more), 0, "{more}");
        }
    }

    #[test]
    fn a_rule_is_about_what_the_server_has() {
        let table = [
            (json!({"apiGroups": ["*"], "resources": ["nothings"]}), 1),
            (json!({"apiGroups": ["unknown.example"]}), 1),
            (json!({"apiVersions": ["*"], "resources": ["*"]}), 1),
            (json!({"resources": ["*/*"]}), 1),
            (json!({"resources": ["deployments/scale"]}), 1),
            (json!({"resources": ["deployments/*"]}), 1),
            (json!({"scope": "Namespaced"}), 1),
            (
                json!({"apiGroups": ["nothing.example"], "resources": ["*"]}),
                0,
            ),
            (json!({"resources": ["nothings"]}), 0),
            (json!({"resources": ["deployments/nothing"]}), 0),
            (json!({"apiVersions": ["v9"]}), 0),
            (json!({"scope": "Cluster"}), 0),
            (json!({"resources": []}), 0),
        ];
        for (more, blocking) in table {
            assert_eq!(rule(&more), blocking, "{more}");
        }
    }

    #[test]
    fn what_lies_in_no_namespace_is_asked_about_whatever_a_selector_says_of_them() {
        let nobody = json!({"matchLabels": {"team": "nobody"}});
        let about = |resource: &str| {
            let rules =
                json!([{"apiGroups": [""], "apiVersions": ["v1"], "resources": [resource]}]);
            webhook(&json!({"namespaceSelector": nobody, "rules": rules}))
        };
        assert_eq!(about("nodes"), 1);
        assert_eq!(about("namespaces"), 0);
    }

    #[test]
    fn what_is_not_known_of_the_cluster_may_be_there() {
        let rules = configuration()["webhooks"][0].clone();
        let asked = Asked::of(&rules).unwrap();
        assert!(asked.fits(&Offered::default()));
    }

    #[test]
    fn only_a_service_that_is_there_and_leads_to_pods_counts() {
        let with = |change: fn(&mut Value)| {
            let mut service = service();
            change(&mut service);
            blocking(&configuration(), &service)
        };
        assert_eq!(with(|_| ()), 1);
        let leads_nowhere: [fn(&mut Value); 4] = [
            |service| service["spec"]["selector"] = Value::Null,
            |service| service["spec"]["type"] = json!("ExternalName"),
            |service| service["spec"]["ports"] = json!([{"port": 80}]),
            |service| service["spec"]["ports"] = Value::Null,
        ];
        for change in leads_nowhere {
            assert_eq!(with(change), 0);
        }
    }

    #[test]
    fn a_configuration_counts_that_the_release_or_its_service_stands_behind() {
        let mut unmarked = configuration();
        unmarked["metadata"]["annotations"] = Value::Null;
        let calls = calls(&unmarked, &web(), "shop", now());
        let is_own = |own: bool| Server::of(&calls[0], &service(), |_| own).is_some();
        assert!(is_own(true), "what runs has registered it");
        assert!(!is_own(false), "it is somebody else's");
    }

    #[test]
    fn what_is_being_deleted_blocks_nobody_for_long() {
        let mut object = configuration();
        object["metadata"]["deletionTimestamp"] = json!("2026-11-28T11:59:00Z");
        assert_eq!(blocking(&object, &service()), 0);
    }

    fn of_kind(kind: &str, spec: &Value, status: &Value) -> usize {
        let object = json!({
            "kind": kind, "metadata": {"name": "guard", "annotations": marks()},
            "spec": spec, "status": status,
        });
        blocking(&object, &service())
    }

    #[test]
    fn an_aggregated_api_counts_unless_it_was_dead_already() {
        let available = |status: &str, since: &str| {
            let condition =
                json!({"type": "Available", "status": status, "lastTransitionTime": since});
            let service = json!({"service": {"namespace": "shop", "name": "guard"}});
            of_kind("APIService", &service, &json!({"conditions": [condition]}))
        };
        assert_eq!(available("True", "2026-11-28T10:00:00Z"), 1);
        assert_eq!(available("False", "2026-11-28T11:55:00Z"), 1, "a rollout");
        assert_eq!(available("False", "2026-11-28T11:54:59Z"), 0);
        let local = of_kind("APIService", &json!({"group": "apps"}), &json!({}));
        assert_eq!(local, 0, "the API server serves it itself");
    }

    #[test]
    fn a_conversion_counts_if_there_is_something_to_convert() {
        let conversion = |strategy: &str, versions: usize| {
            let service = json!({"namespace": "shop", "name": "guard"});
            let webhook = json!({"clientConfig": {"service": service}});
            let spec = json!({
                "conversion": {"strategy": strategy, "webhook": webhook},
                "versions": vec![json!({"name": "v"}); versions],
            });
            of_kind("CustomResourceDefinition", &spec, &json!({}))
        };
        assert_eq!(conversion("Webhook", 2), 1);
        assert_eq!(conversion("Webhook", 1), 0);
        assert_eq!(conversion("None", 2), 0);
    }

    #[test]
    fn only_what_keeps_running_serves() {
        let call = calls(&configuration(), &web(), "shop", now()).remove(0);
        let servers = Servers {
            all: vec![Server::of(&call, &service(), |_| false).unwrap()],
            unread: Vec::new(),
        };
        let behind = |kind: &str, app: &str| {
            let template = json!({"metadata": {"labels": {"app": app, "more": "x"}}});
            servers.behind(&json!({"kind": kind, "spec": {"template": template}}))
        };
        let served = Some("ValidatingWebhookConfiguration guard".to_owned());
        for kind in ["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"] {
            assert_eq!(behind(kind, "guard"), served);
            assert_eq!(behind(kind, "other"), None);
        }
        assert_eq!(behind("Job", "guard"), None);
    }

    #[test]
    fn a_port_by_name_is_served_by_who_has_it() {
        let server = Server {
            what: "APIService v1.guard".to_owned(),
            selector: [("app".to_owned(), "guard".to_owned())].into(),
            port: Some("webhook".to_owned()),
        };
        let with = |port: &str| {
            let container = json!({"ports": [{"name": port}]});
            server.is_served_by(&json!({"spec": {"template": {
                "metadata": {"labels": {"app": "guard"}}, "spec": {"containers": [container]},
            }}}))
        };
        assert!(with("webhook"));
        assert!(!with("http"));
    }
}
