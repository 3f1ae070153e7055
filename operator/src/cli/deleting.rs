//! Deployers that delete a release to install it again: what is refused then was deleted before. Reads only.

use std::fmt;

use kube::Client;
use serde_json::Value;

use super::cluster::{chain, objects};
use crate::inventory::{ReleaseId, flux, k3s};
use crate::watch::{Kept as _, Kind, ObjectName};

/// One that deletes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deleting {
    kind: &'static str,
    object: ObjectName,
    /// What it deploys.
    pub(super) release: ReleaseId,
    /// The field that says so, and when it does.
    why: &'static str,
}

impl fmt::Display for Deleting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            object,
            release,
            why,
        } = self;
        write!(f, "{kind} {object} of release {release} ({why})")
    }
}

/// Those that there are, and what could not be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) deleting: Vec<Deleting>,
    pub(super) unread: Vec<String>,
}

/// Looks through all of them. A cluster may have none of these kinds.
pub(super) async fn look(client: &Client) -> Found {
    let mut found = Found::default();
    for kind in [flux::HELM_RELEASES, k3s::HELM_CHARTS] {
        match objects(client, kind).await {
            Ok(objects) => found
                .deleting
                .extend(objects.iter().filter_map(|one| deleting(kind, one))),
            Err(failure) => {
                let (plural, group) = (kind.plural, kind.group);
                found
                    .unread
                    .push(format!("{plural}.{group}: {}", chain(&failure)));
            }
        }
    }
    found
}

fn deleting(kind: Kind, object: &Value) -> Option<Deleting> {
    let (release, why) = if kind == k3s::HELM_CHARTS {
        let chart = k3s::HelmChart::of(object)?;
        (chart.release()?.clone(), of_k3s(object)?)
    } else {
        let release = flux::HelmRelease::of(object)?;
        (release.release()?, of_flux(object)?)
    };
    let said = |at: &str| object.pointer(at).and_then(Value::as_str);
    let object = ObjectName {
        namespace: said("/metadata/namespace")?.to_owned(),
        name: said("/metadata/name")?.to_owned(),
    };
    Some(Deleting {
        kind: kind.kind,
        object,
        release,
        why,
    })
}

/// k3s uninstalls a release whose last record is no `deployed` one, unless it is told otherwise.
/// <https://github.com/k3s-io/klipper-helm/blob/master/entry>
fn of_k3s(object: &Value) -> Option<&'static str> {
    match object
        .pointer("/spec/failurePolicy")
        .and_then(Value::as_str)
    {
        None | Some("" | "reinstall") => {
            Some("failurePolicy: reinstall, once an upgrade has failed")
        }
        Some(_) => None,
    }
}

/// Flux remedies a failed upgrade if it tries again, or is told to remedy the last one too.
/// <https://fluxcd.io/flux/components/helm/helmreleases/#upgrade-remediation>
fn of_flux(object: &Value) -> Option<&'static str> {
    let remediation = object.pointer("/spec/upgrade/remediation")?;
    let uninstalls = remediation.get("strategy").and_then(Value::as_str) == Some("uninstall");
    let retries = remediation.get("retries").and_then(Value::as_i64);
    let last = remediation.get("remediateLastFailure");
    let is_done = retries.is_some_and(|retries| retries != 0) || last == Some(&Value::Bool(true));
    (uninstalls && is_done)
        .then_some("upgrade.remediation.strategy: uninstall, when an upgrade fails")
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    fn helm_chart(spec: &Value) -> Option<Deleting> {
        let mut object = json!({"metadata": {"namespace": "kube-system", "name": "web"},
            "spec": {"chart": "web", "targetNamespace": "shop"}});
        json_patch::merge(&mut object["spec"], spec);
        deleting(k3s::HELM_CHARTS, &object)
    }

    fn helm_release(remediation: &Value) -> Option<Deleting> {
        deleting(
            flux::HELM_RELEASES,
            &json!({
                "metadata": {"namespace": "shop", "name": "web"},
                "spec": {"upgrade": {"remediation": remediation}},
                "status": {"storageNamespace": "shop", "history": [{"name": "web", "version": 1}]},
            }),
        )
    }

    /// One of each kind.
    pub(in super::super) fn both() -> Vec<Deleting> {
        let flux = helm_release(&json!({"strategy": "uninstall", "retries": 3}));
        [helm_chart(&json!({})), flux]
            .into_iter()
            .flatten()
            .collect()
    }

    #[test]
    fn who_deletes_first_is_told_with_the_field_that_says_so() {
        let told: Vec<_> = both().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "HelmChart kube-system/web of release shop/web (failurePolicy: reinstall, once an upgrade has failed)",
                "HelmRelease shop/web of release shop/web (upgrade.remediation.strategy: uninstall, when an upgrade \
                 fails)",
            ]
        );
        for other in ["abort", "retry"] {
            assert_eq!(helm_chart(&json!({"failurePolicy": other})), None);
        }
        assert!(helm_chart(&json!({"failurePolicy": "reinstall"})).is_some());
        let always = json!({"strategy": "uninstall", "remediateLastFailure": true});
        assert!(helm_release(&always).is_some());
        assert!(helm_release(&json!({"strategy": "uninstall", "retries": -1})).is_some());
        for never in [
            json!(null),
            json!({"retries": 3}),
            json!({"strategy": "rollback", "retries": 3}),
            json!({"strategy": "uninstall"}),
            json!({"strategy": "uninstall", "retries": 0}),
        ] {
            assert_eq!(helm_release(&never), None, "{never}");
        }
    }
}
