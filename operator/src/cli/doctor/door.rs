//! The webhook, and what upgrades of frozen releases are refused by: whether they are there, and as policies need
//! them. Reads only.

use charttrust_verify::finding::bounded;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicyBinding, ValidatingWebhook,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::report::{Line, State};
use super::server::{FENCED, Server};
use super::{refused, said};
use crate::api::chart_trust_policy::Mode;
use crate::api::quarantine_words::QuarantineAction;
use crate::api::{BREAK_GLASS, ChartTrustPolicy, Quarantine};
use crate::certificates;
use crate::cli::cluster::all;
use crate::cli::deleting::{self, Found};
use crate::cli::gate::Gate;
use crate::cli::leading::Operator;
use crate::clock;
use crate::controllers::webhook::SHOWN;
use crate::parse::{self, Glass};

/// Everything that there is about it.
pub(super) struct Door {
    gate: Gate,
    policies: Result<Vec<ChartTrustPolicy>, String>,
    quarantines: Result<Vec<Quarantine>, String>,
    bindings: Result<Vec<ValidatingAdmissionPolicyBinding>, String>,
    /// The Secret of what is shown, and the certificate in it, PEM.
    shown: Result<(String, Option<String>), String>,
    glass: Result<Glass, String>,
    deleting: Found,
}

impl Door {
    /// Reads it.
    pub(super) async fn read(client: &Client, operator: &Operator) -> Self {
        let policies = Api::<ChartTrustPolicy>::all(client.clone());
        let quarantines = Api::<Quarantine>::all(client.clone());
        let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
        Self {
            gate: Gate::look(client).await,
            policies: all(&policies, "ChartTrustPolicies")
                .await
                .map_err(|failure| refused(&failure)),
            quarantines: all(&quarantines, "Quarantines")
                .await
                .map_err(|failure| refused(&failure)),
            bindings: all(&bindings, "ValidatingAdmissionPolicyBindings")
                .await
                .map_err(|failure| refused(&failure)),
            shown: shown(client, operator).await,
            glass: glass(client, operator).await,
            deleting: deleting::look(client).await,
        }
    }

    /// What is said of it.
    pub(super) fn told(&self, server: &Server) -> Vec<Line> {
        let mut lines = vec![self.webhook(server)];
        if let Gate::Asked(name, webhook) = &self.gate {
            lines.push(self.certificate(name, webhook));
        }
        lines.extend(self.glass());
        lines.extend(self.freeze(server));
        lines.extend(self.deleting());
        lines
    }

    /// The names of the policies that do more than to report, by their mode.
    fn acting(&self, modes: &[Mode]) -> Vec<String> {
        let all = self.policies.iter().flatten();
        let acting = all.filter(|one| modes.contains(&parse::policy(one).mode()));
        acting.map(ResourceExt::name_any).collect()
    }

    fn webhook(&self, server: &Server) -> Line {
        const CHECK: &str = "webhook";
        if let Err(why) = &self.policies {
            return Line::unknown(CHECK, "whether a policy needs the webhook", why);
        }
        let acting = self.acting(&[Mode::Warn, Mode::Enforce]);
        match (&self.gate, acting.is_empty()) {
            (Gate::Unknown(why), _) => {
                Line::unknown(CHECK, "whether API servers ask a webhook", why)
            }
            (Gate::Asked(name, webhook), _) => {
                let fails = webhook.failure_policy.as_deref() == Some("Fail");
                let without = if fails {
                    "nothing goes in"
                } else {
                    "everything goes in"
                };
                Line::ok(
                    CHECK,
                    format!("API servers ask it ({name}); while it does not answer, {without}"),
                )
            }
            (Gate::Absent, true) if is_old(server) => Line::ok(
                CHECK,
                format!(
                    "not installed: policies only report; this server is too old for it (1.{FENCED})"
                ),
            ),
            (Gate::Absent, true) => Line::ok(CHECK, "not installed: policies only report"),
            (Gate::Absent, false) if is_old(server) => Line::new(
                CHECK,
                State::Failed,
                format!(
                    "Kubernetes {} is too old for the webhook, which needs 1.{FENCED}, and without it these policies \
                     neither warn nor refuse: {}",
                    server.version,
                    some(&acting)
                ),
                "upgrade the cluster, or set mode: Audit",
            ),
            (Gate::Absent, false) => Line::new(
                CHECK,
                State::Failed,
                format!(
                    "no webhook is installed, and without it these policies neither warn nor refuse: {}",
                    some(&acting)
                ),
                "helm upgrade with admission.enabled=true",
            ),
        }
    }

    /// Whether API servers believe what is shown, and until when.
    fn certificate(&self, name: &str, webhook: &ValidatingWebhook) -> Line {
        const CHECK: &str = "its certificate";
        let config = &webhook.client_config;
        let bundle = config.ca_bundle.as_ref().map(|bundle| bundle.0.as_slice());
        let Some(bundle) = bundle.filter(|bundle| !bundle.is_empty()) else {
            return Line::new(
                CHECK,
                State::Failed,
                format!("{name} has no caBundle, so that no API server believes the webhook"),
                "see the log of the operator, or of who makes its certificate",
            );
        };
        let (secret, shown) = match &self.shown {
            Ok((secret, Some(shown))) => (secret, shown),
            Ok((secret, None)) => {
                return Line::new(
                    CHECK,
                    State::Unknown,
                    format!("not checked: there is no Secret {secret} with tls.crt"),
                    "where somebody else makes the certificate, ask him when it ends; else see the operator's log",
                );
            }
            Err(why) => return Line::unknown(CHECK, "whether API servers believe it", why),
        };
        let service = config.service.as_ref();
        let called = service.map(|it| format!("{}.{}.svc", it.name, it.namespace));
        let now = clock::now();
        match certificates::believed((bundle, shown), called.as_deref(), now) {
            Err(why) => Line::new(
                CHECK,
                State::Failed,
                format!("API servers do not believe what the webhook shows: {why}"),
                if secret == SHOWN {
                    format!(
                        "kubectl delete secret {SHOWN} in the operator's namespace: it is made anew"
                    )
                } else {
                    format!(
                        "have who makes Secret {secret} mend it, or admission.tls.caBundle of the chart"
                    )
                },
            ),
            Ok(until) if until.duration_since(now) < RENEWED => Line::new(
                CHECK,
                State::Warning,
                format!("it ends on {until}, and was not renewed"),
                "see the log of the operator, or of who makes its certificate",
            ),
            Ok(until) => Line::ok(CHECK, format!("API servers believe it, until {until}")),
        }
    }

    fn glass(&self) -> Option<Line> {
        const CHECK: &str = "break-glass";
        match &self.glass {
            Err(why) => Some(Line::unknown(CHECK, "whether everything is let in", why)),
            Ok(Glass::Whole) => None,
            Ok(Glass::Broken(until)) => Some(Line::new(
                CHECK,
                State::Warning,
                format!("everything is let in unchecked until {until}"),
                format!(
                    "take the annotation {BREAK_GLASS} from the operator's namespace when it is over"
                ),
            )),
            Ok(Glass::Ignored(why)) => Some(Line::new(
                CHECK,
                State::Warning,
                format!("the annotation {BREAK_GLASS} is ignored: it {why}"),
                "write it anew, or take it away",
            )),
        }
    }

    /// Who asks that upgrades are refused.
    fn freezing(&self) -> Vec<String> {
        let freezes =
            |actions: &[QuarantineAction]| actions.contains(&QuarantineAction::FreezeUpgrades);
        let policies = self.policies.iter().flatten();
        let policies = policies.filter(|one| {
            let terms = one.spec.quarantine.as_ref();
            terms.is_some_and(|terms| freezes(&terms.actions))
        });
        let quarantines = self.quarantines.iter().flatten();
        let quarantines = quarantines.filter(|one| freezes(&one.spec.actions));
        let quarantines = quarantines.map(|one| {
            let namespace = one.namespace().unwrap_or_default();
            format!("Quarantine {namespace}/{}", one.name_any())
        });
        let policies = policies.map(|one| format!("ChartTrustPolicy {}", one.name_any()));
        policies.chain(quarantines).collect()
    }

    /// What is said of freezing; nothing where nobody asks for it.
    fn freeze(&self, server: &Server) -> Option<Line> {
        const CHECK: &str = "freeze";
        let asking = self.freezing();
        if asking.is_empty() {
            return None;
        }
        let bindings = match &self.bindings {
            Err(why) => return Some(Line::unknown(CHECK, "whether upgrades can be refused", why)),
            Ok(bindings) => bindings,
        };
        let is_ours = |one: &&ValidatingAdmissionPolicyBinding| {
            let actions = one
                .spec
                .as_ref()
                .and_then(|spec| spec.validation_actions.as_ref());
            let denies = actions.is_some_and(|all| all.iter().any(|action| action == "Deny"));
            one.name_any().ends_with("-freeze") && denies
        };
        Some(match bindings.iter().find(is_ours) {
            Some(binding) => Line::ok(
                CHECK,
                format!(
                    "upgrades of frozen releases are refused ({})",
                    binding.name_any()
                ),
            ),
            None if is_old(server) => Line::new(
                CHECK,
                State::Failed,
                format!(
                    "Kubernetes {} is too old for FreezeUpgrades, which needs 1.{FENCED}; asked for by: {}",
                    server.version,
                    some(&asking)
                ),
                "upgrade the cluster, or leave the action out",
            ),
            None => Line::new(
                CHECK,
                State::Failed,
                format!(
                    "nothing refuses upgrades; FreezeUpgrades is asked for by: {}",
                    some(&asking)
                ),
                "helm upgrade with admission.freeze=true",
            ),
        })
    }

    /// What is refused after it was deleted leaves nothing: told where something is refused.
    fn deleting(&self) -> Vec<Line> {
        const CHECK: &str = "deployers";
        if self.acting(&[Mode::Enforce]).is_empty() {
            return Vec::new();
        }
        let unread = self.deleting.unread.iter();
        let mut lines: Vec<_> = unread
            .map(|why| {
                Line::unknown(
                    CHECK,
                    "whether deployers delete what they install anew",
                    why,
                )
            })
            .collect();
        let all: Vec<_> = self
            .deleting
            .deleting
            .iter()
            .map(ToString::to_string)
            .collect();
        if !all.is_empty() {
            lines.push(Line::new(
                CHECK,
                State::Warning,
                format!(
                    "these delete what runs before they install it anew, and a policy of mode Enforce may refuse that: \
                     {}",
                    some(&all)
                ),
                "set failurePolicy: abort of the HelmChart, remediation.strategy: rollback of the HelmRelease",
            ));
        }
        lines
    }
}

/// A month before its end it is renewed, and alerted ten days later.
const RENEWED: jiff::SignedDuration = jiff::SignedDuration::from_hours(20 * 24);

fn is_old(server: &Server) -> bool {
    server.minor.as_ref().is_ok_and(|minor| *minor < FENCED)
}

/// The first few, and how many more.
fn some(all: &[String]) -> String {
    const NAMED: usize = 5;
    let named: Vec<_> = all.iter().take(NAMED).map(|one| bounded(one)).collect();
    let named = named.join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

async fn shown(client: &Client, operator: &Operator) -> Result<(String, Option<String>), String> {
    let namespace = &operator.operator_namespace;
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let all = deployments.list(&ListParams::default()).await;
    let all = all.map_err(|error| said(&error))?;
    let named = all.items.iter().find_map(secret_of);
    let secret = named.unwrap_or(SHOWN).to_owned();
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let found = secrets.get_opt(&secret).await;
    let found = found.map_err(|error| said(&error))?;
    let certificate = found.and_then(|found| found.data?.remove("tls.crt"));
    let certificate = certificate.and_then(|bytes| String::from_utf8(bytes.0).ok());
    Ok((secret, certificate))
}

/// The Secret that a Deployment of the webhook is told to show. By how it is started, not by labels, which values
/// of the chart change.
fn secret_of(deployment: &Deployment) -> Option<&str> {
    let spec = deployment.spec.as_ref()?.template.spec.as_ref()?;
    spec.containers.iter().find_map(|one| {
        let arguments = one.args.as_deref().unwrap_or_default();
        let (first, others) = arguments.split_first()?;
        let mut others = others.iter().filter(|_| first == "webhook");
        others.find_map(|one| one.strip_prefix("--tls-secret="))
    })
}

async fn glass(client: &Client, operator: &Operator) -> Result<Glass, String> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let found = namespaces
        .get_metadata_opt(&operator.operator_namespace)
        .await;
    let found = found.map_err(|error| said(&error))?;
    let written = found.and_then(|found| found.metadata.annotations?.remove(BREAK_GLASS));
    Ok(Glass::of(written.as_deref(), clock::now()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_secret_is_the_one_that_the_webhook_is_started_with() {
        let of = |arguments: &[&str]| {
            let container = json!({"name": "webhook", "args": arguments});
            let template = json!({"spec": {"containers": [{"name": "other"}, container]}});
            let deployment: Deployment =
                serde_json::from_value(json!({"spec": {"selector": {}, "template": template}}))
                    .unwrap();
            secret_of(&deployment).map(str::to_owned)
        };
        let named = "--tls-secret=from-elsewhere";
        assert_eq!(
            of(&["webhook", "--namespace=a", named]).as_deref(),
            Some("from-elsewhere")
        );
        assert_eq!(of(&["run", named]), None);
        assert_eq!(of(&["webhook"]), None);
        assert_eq!(of(&[]), None);
    }
}
