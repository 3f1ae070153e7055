//! What the operator may do, and what whoever asks may do. Asks the API server about rights, which it answers
//! and does not keep.

use futures::{StreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::Value;

use super::report::{Line, State};
use super::{Containment, said};
use crate::leader::Discovering;

/// One thing that may be allowed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Right {
    verb: String,
    group: String,
    resource: String,
    subresource: Option<String>,
    name: Option<String>,
    /// Everywhere, unless set.
    namespace: Option<String>,
}

/// The rights of the chart: this is what they are rendered to.
const REPORTING: &str = include_str!("../../../install/rbac.yaml");
/// What is added where the operator contains.
const CONTAINING: &str = include_str!("../../../install/quarantine/rbac.yaml");
/// The roles of the operator in them; the others are for people.
const ROLES: [&str; 2] = ["charttrust", "charttrust-quarantine"];

/// What the operator needs, whose own namespace this is.
pub(super) fn needed(
    namespace: &str,
    containment: Containment,
    discovering: &Discovering,
) -> Vec<Right> {
    let mut all = rights(REPORTING, namespace);
    all.retain(|right| discovering.unaccounted || !WORKLOADS.contains(&right.resource.as_str()));
    if containment == Containment::On {
        all.extend(rights(CONTAINING, namespace));
    }
    all.extend(discovering.reports.iter().flat_map(|kind| reports(kind)));
    if discovering.vsa {
        // Statements of which nothing can be stated any more.
        all.push(Right {
            verb: "delete".to_owned(),
            resource: "configmaps".to_owned(),
            namespace: Some(namespace.to_owned()),
            ..Right::default()
        });
    }
    if discovering.namespaces.is_empty() {
        return all;
    }
    let limited = all.into_iter().flat_map(|right| right.within(discovering));
    limited.chain(own_reads(namespace)).collect()
}

/// What it needs to report verdicts in a kind of others, `resource.group`.
fn reports(kind: &str) -> impl Iterator<Item = Right> {
    let (resource, group) = kind.split_once('.').unwrap_or((kind, ""));
    let verbs = ["get", "create", "update", "delete"].into_iter();
    verbs.map(move |verb| Right {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        ..Right::default()
    })
}

/// What it reads and writes in its own namespace, and needs no right to if it may do so everywhere.
fn own_reads(namespace: &str) -> impl Iterator<Item = Right> {
    let needs = [
        ("list", "", "secrets"),
        ("watch", "", "secrets"),
        ("list", "", "configmaps"),
        ("watch", "", "configmaps"),
        ("create", "events.k8s.io", "events"),
    ];
    needs.into_iter().map(|(verb, group, resource)| Right {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: Some(namespace.to_owned()),
        ..Right::default()
    })
}

/// What an operator that only reports reads to tell what has no record.
const WORKLOADS: [&str; 5] = [
    "cronjobs",
    "daemonsets",
    "deployments",
    "jobs",
    "statefulsets",
];

/// Kinds that lie in no namespace.
const CLUSTER_WIDE: [&str; 7] = [
    "apiservices",
    "charttrustpolicies",
    "customresourcedefinitions",
    "mutatingwebhookconfigurations",
    "trustedidentities",
    "trustedkeys",
    "validatingwebhookconfigurations",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

fn rights(manifest: &str, namespace: &str) -> Vec<Right> {
    // Invariant: both files are in the program, and a test reads them.
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap_or_default();
    let mut all = Vec::new();
    for document in documents {
        let is_ours = ROLES
            .iter()
            .any(|name| document["metadata"]["name"] == *name);
        let namespace = match document["kind"].as_str() {
            Some("ClusterRole") if is_ours => None,
            Some("Role") if is_ours => Some(namespace),
            _ => continue,
        };
        let rules: Vec<Rule> =
            serde_json::from_value(document["rules"].clone()).unwrap_or_default();
        all.extend(rules.iter().flat_map(|rule| of_rule(rule, namespace)));
    }
    all
}

fn of_rule(rule: &Rule, namespace: Option<&str>) -> Vec<Right> {
    let mut all = Vec::new();
    let names = rule.resource_names.iter().map(|name| Some(name.clone()));
    let names: Vec<_> = if rule.resource_names.is_empty() {
        vec![None]
    } else {
        names.collect()
    };
    for group in &rule.api_groups {
        for resource in &rule.resources {
            let (resource, subresource) = match resource.split_once('/') {
                Some((resource, sub)) => (resource, Some(sub)),
                None => (resource.as_str(), None),
            };
            for verb in &rule.verbs {
                all.extend(names.iter().map(|name| Right {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.to_owned(),
                    subresource: subresource.map(str::to_owned),
                    name: name.clone(),
                    namespace: namespace.map(str::to_owned),
                }));
            }
        }
    }
    all
}

/// Verb, group and resource.
type Need = (&'static str, &'static str, &'static str);

/// What a person does with rights, and which.
const OWN: [(&str, &[Need]); 4] = [
    (
        "read verdicts",
        &[
            ("list", OURS, "releasetrusts"),
            ("list", OURS, "charttrustpolicies"),
            ("list", OURS, "trustedkeys"),
            ("list", OURS, "trustedidentities"),
            ("list", OURS, "quarantines"),
        ],
    ),
    ("write policies", &[("patch", OURS, "charttrustpolicies")]),
    (
        "revoke keys and identities",
        &[
            ("patch", OURS, "trustedkeys"),
            ("patch", OURS, "trustedidentities"),
        ],
    ),
    (
        "contain and restore releases",
        &[
            ("create", OURS, "quarantines"),
            ("delete", OURS, "quarantines"),
        ],
    ),
];
const OURS: &str = "charttrust.io";

/// What is known of the rights of somebody.
pub(super) type Answers<T> = Result<Vec<(T, bool)>, String>;

/// What whoever asks may do.
pub(super) async fn own(client: &Client) -> Answers<&'static str> {
    let reviews = Api::<SelfSubjectAccessReview>::all(client.clone());
    let mut answers = Vec::new();
    for (ability, needs) in OWN {
        let mut may = true;
        for (verb, group, resource) in needs {
            let right = Right {
                verb: (*verb).to_owned(),
                group: (*group).to_owned(),
                resource: (*resource).to_owned(),
                ..Right::default()
            };
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(right.attributes()),
                    ..SelfSubjectAccessReviewSpec::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let answer = reviews.create(&PostParams::default(), &review).await;
            let answer = answer.map_err(|error| said(&error))?;
            may &= answer.status.is_some_and(|status| status.allowed);
        }
        answers.push((ability, may));
    }
    Ok(answers)
}

/// Which rights a `ServiceAccount` has.
pub(super) async fn of_operator(
    client: &Client,
    account: &str,
    needed: Vec<Right>,
) -> Answers<Right> {
    let reviews = Api::<SubjectAccessReview>::all(client.clone());
    let ask = |right: Right| {
        let (reviews, review) = (reviews.clone(), review(account, &right));
        async move {
            let answer = reviews.create(&PostParams::default(), &review).await?;
            Ok((right, answer.status.is_some_and(|status| status.allowed)))
        }
    };
    let answers = stream::iter(needed.into_iter().map(ask)).buffered(AT_ONCE);
    let answers: Vec<kube::Result<_>> = answers.collect().await;
    let answers: kube::Result<Vec<_>> = answers.into_iter().collect();
    answers.map_err(|error| said(&error))
}

/// Questions at a time.
const AT_ONCE: usize = 8;

fn review(account: &str, right: &Right) -> SubjectAccessReview {
    let namespace = account.split(':').nth(2).unwrap_or_default();
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(account.to_owned()),
            groups: Some(groups.into()),
            resource_attributes: Some(right.attributes()),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

impl Right {
    fn attributes(&self) -> ResourceAttributes {
        ResourceAttributes {
            verb: Some(self.verb.clone()),
            group: Some(self.group.clone()),
            resource: Some(self.resource.clone()),
            subresource: self.subresource.clone(),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            ..ResourceAttributes::default()
        }
    }

    /// The same where releases are looked for in some namespaces only.
    fn within(self, discovering: &Discovering) -> Vec<Self> {
        let is_elsewhere = CLUSTER_WIDE.contains(&self.resource.as_str());
        if self.namespace.is_some() || is_elsewhere {
            return vec![self];
        }
        let of = |namespace: &String| {
            if self.resource == "namespaces" {
                Self {
                    name: Some(namespace.clone()),
                    ..self.clone()
                }
            } else {
                Self {
                    namespace: Some(namespace.clone()),
                    ..self.clone()
                }
            }
        };
        discovering.namespaces.iter().map(of).collect()
    }

    /// As people say it.
    fn words(&self) -> String {
        let sub = self.subresource.as_ref();
        let sub = sub.map_or_else(String::new, |sub| format!("/{sub}"));
        format!("{} {}{sub}", self.verb, self.resource)
    }

    /// Where it is missing, if not everywhere.
    fn place(&self) -> String {
        let namespace = self.namespace.as_ref();
        namespace.map_or_else(String::new, |namespace| format!(" in {namespace}"))
    }
}

/// What is said of the rights of whoever asks: to have few is no fault.
pub(super) fn told_own(answers: &Answers<&'static str>) -> Line {
    const CHECK: &str = "your rights";
    let answers = match answers {
        Err(why) => return Line::unknown(CHECK, "what you may do", why),
        Ok(answers) => answers,
    };
    let which = |allowed: bool| {
        let all = answers.iter().filter(|(_, may)| *may == allowed);
        all.map(|(ability, _)| *ability).collect::<Vec<_>>()
    };
    let (may, may_not) = (which(true), which(false));
    match (may.is_empty(), may_not.is_empty()) {
        (_, true) => Line::ok(CHECK, format!("you may {}", may.join(", "))),
        (true, _) => Line::new(
            CHECK,
            State::Warning,
            format!("you may not {}", may_not.join(", ")),
            "ask for the role charttrust-view",
        ),
        (false, false) => Line::ok(
            CHECK,
            format!(
                "you may {}, and not {} (role charttrust-admin)",
                may.join(", "),
                may_not.join(", ")
            ),
        ),
    }
}

/// What is said of the rights of the operator.
pub(super) fn told_operators(answers: &Answers<Right>) -> Line {
    const CHECK: &str = "its rights";
    let answers = match answers {
        Err(why) => return Line::unknown(CHECK, "what the operator may do", why),
        Ok(answers) => answers,
    };
    let missing = answers.iter().filter(|(_, may)| !may);
    let missing = missing.map(|(right, _)| right.words() + &right.place());
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        let message = format!("the operator has all {} that it needs", answers.len());
        return Line::ok(CHECK, message);
    }
    Line::new(
        CHECK,
        State::Failed,
        format!("the operator may not {}", missing.join(", ")),
        "helm upgrade with rbac.create=true, or kubectl apply -f operator/install/rbac.yaml",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::Reports;

    /// The files are those that the chart is rendered to, and every rule of them is asked.
    #[test]
    fn every_right_of_the_chart_is_asked() {
        let all = needed("trust", Containment::Off, &Discovering::default());
        let words: Vec<_> = all.iter().map(Right::words).collect();
        for expected in [
            "list secrets",
            "watch configmaps",
            "update releasetrusts/status",
            "create events",
            "update leases",
        ] {
            assert!(
                words.iter().any(|one| one == expected),
                "{expected}: {words:?}"
            );
        }
        let more = needed("trust", Containment::On, &Discovering::default());
        assert!(all.len() > 25 && more.len() > all.len() + 25, "{words:?}");
        let is_lease = |right: &&Right| right.resource == "leases" && right.verb == "update";
        let lease = all.iter().find(is_lease).unwrap();
        assert_eq!(lease.namespace.as_deref(), Some("trust"));
        assert_eq!(lease.name.as_deref(), Some("charttrust"));
        let secrets = all
            .iter()
            .find(|right| right.resource == "secrets")
            .unwrap();
        assert_eq!(secrets.namespace, None);
        // Nothing of the roles for people.
        assert!(
            !words.contains(&"delete trustedkeys".to_owned()),
            "{words:?}"
        );
    }

    #[test]
    fn of_an_operator_that_looks_at_some_namespaces_nothing_is_asked_elsewhere() {
        let namespaces = ["bank", "shop"].map(str::to_owned).into();
        let discovering = Discovering {
            namespaces,
            unaccounted: true,
            reports: Reports::Auto.resources(),
            vsa: true,
        };
        let all = needed("trust", Containment::On, &discovering);
        for right in &all {
            let is_fine = match right.namespace.as_deref() {
                Some(namespace) => ["bank", "shop", "trust"].contains(&namespace),
                None if right.resource == "namespaces" => right.name.is_some(),
                None => CLUSTER_WIDE.contains(&right.resource.as_str()),
            };
            assert!(is_fine, "{right:?}");
        }
        for (resource, namespace) in [
            ("secrets", "bank"),
            ("secrets", "trust"),
            ("deployments", "shop"),
            ("policyreports", "shop"),
            ("reports", "bank"),
            ("configmaps", "trust"),
        ] {
            let is_one = |right: &&Right| {
                right.resource == resource && right.namespace.as_deref() == Some(namespace)
            };
            assert!(
                all.iter().any(|right| is_one(&right)),
                "{resource} {namespace}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let right = |verb: &str| Right {
            verb: verb.to_owned(),
            resource: "releasetrusts".to_owned(),
            subresource: Some("status".to_owned()),
            ..Right::default()
        };
        let some: Answers<Right> = Ok(vec![(right("update"), false), (right("list"), true)]);
        let line = told_operators(&some);
        assert_eq!(line.state, State::Failed);
        assert_eq!(
            line.message,
            "the operator may not update releasetrusts/status"
        );
        let all: Answers<Right> = Ok(vec![(right("update"), true)]);
        assert_eq!(told_operators(&all).state, State::Ok);
        let refused: Answers<Right> = Err("forbidden".to_owned());
        assert_eq!(told_operators(&refused).state, State::Unknown);
    }

    #[test]
    fn to_have_few_rights_is_no_fault() {
        for (answers, state, part) in [
            (
                vec![("read verdicts", true)],
                State::Ok,
                "you may read verdicts",
            ),
            (
                vec![("read verdicts", true), ("revoke keys", false)],
                State::Ok,
                "and not revoke keys",
            ),
            (
                vec![("read verdicts", false)],
                State::Warning,
                "you may not read verdicts",
            ),
        ] {
            let line = told_own(&Ok(answers));
            assert_eq!(line.state, state, "{line:?}");
            assert!(line.message.contains(part), "{line:?}");
        }
    }

    #[test]
    fn a_service_account_is_asked_about_with_its_groups() {
        let review = review("system:serviceaccount:trust:ct", &Right::default());
        let groups = review.spec.groups.unwrap();
        assert!(
            groups.contains(&"system:serviceaccounts:trust".to_owned()),
            "{groups:?}"
        );
    }
}
