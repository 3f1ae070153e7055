//! The webhook as API servers know it: whether there is one, and what it is asked about. Reads only.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingWebhook, ValidatingWebhookConfiguration,
};
use kube::{Api, Client, ResourceExt as _};

use super::cluster::{all, chain};
use crate::controllers::webhook::WEBHOOK;
use crate::parse;
use crate::quarantine::PROTECTED;

/// Whether API servers ask a webhook, and which one.
#[derive(Clone, Debug)]
pub(super) enum Gate {
    /// They ask this one of the configuration of this name.
    Asked(String, Box<ValidatingWebhook>),
    /// They ask none.
    Absent,
    /// It is not known; why.
    Unknown(String),
}

impl Gate {
    /// Looks through all configurations, whatever the chart calls them.
    pub(super) async fn look(client: &Client) -> Self {
        let configurations = Api::<ValidatingWebhookConfiguration>::all(client.clone());
        match all(&configurations, "ValidatingWebhookConfigurations").await {
            Ok(found) => Self::of(found),
            Err(failure) => Self::Unknown(chain(&failure)),
        }
    }

    fn of(configurations: Vec<ValidatingWebhookConfiguration>) -> Self {
        let ours = configurations.into_iter().find_map(|one| {
            let name = one.name_any();
            let mut webhooks = one.webhooks.into_iter().flatten();
            let ours = webhooks.find(|webhook| webhook.name == WEBHOOK)?;
            Some(Self::Asked(name, Box::new(ours)))
        });
        ours.unwrap_or(Self::Absent)
    }

    /// Whether it is asked about records of a namespace, as far as that is known. What is never asked about is
    /// not, whatever is configured.
    pub(super) fn asks(
        &self,
        (namespace, operator): (&str, &str),
        labels: Option<&BTreeMap<String, String>>,
    ) -> bool {
        if [PROTECTED, operator].contains(&namespace) {
            return false;
        }
        let Self::Asked(_, webhook) = self else {
            return true;
        };
        let Some(selector) = &webhook.namespace_selector else {
            return true;
        };
        // The API server puts this label on every namespace.
        let mut labels = labels.cloned().unwrap_or_default();
        labels.insert(NAME_LABEL.to_owned(), namespace.to_owned());
        parse::label_selector(selector).is_none_or(|selector| selector.matches(&labels))
    }
}

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// One that asks as the chart has it, without these namespaces.
    pub(in super::super) fn gate(exempt: &[&str], change: &Value) -> Gate {
        let mut webhook = json!({
            "name": WEBHOOK, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Ignore",
            "clientConfig": {"service": {"name": "charttrust-webhook", "namespace": "charttrust-system"}},
            "namespaceSelector": {"matchExpressions": [
                {"key": NAME_LABEL, "operator": "NotIn", "values": exempt},
            ]},
        });
        json_patch::merge(&mut webhook, change);
        let others = json!({"metadata": {"name": "others"}, "webhooks": [
            {"name": "other.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": {}},
        ]});
        let ours = json!({"metadata": {"name": "door"}, "webhooks": [webhook]});
        let all = [others, ours].map(|one| serde_json::from_value(one).unwrap());
        Gate::of(all.into())
    }

    #[test]
    fn what_is_asked_about_is_read_from_the_configuration() {
        let gate = gate(&["bank"], &json!({}));
        assert!(matches!(&gate, Gate::Asked(name, _) if name == "door"));
        let asks = |gate: &Gate, namespace| gate.asks((namespace, "ours"), None);
        for (namespace, asked) in [
            ("shop", true),
            ("bank", false),
            ("ours", false),
            ("kube-system", false),
        ] {
            assert_eq!(asks(&gate, namespace), asked, "{namespace}");
        }
        for gate in [Gate::Absent, Gate::Unknown("forbidden".to_owned())] {
            assert!(asks(&gate, "bank") && !asks(&gate, "kube-system"));
        }
        assert!(matches!(Gate::of(Vec::new()), Gate::Absent));
    }
}
