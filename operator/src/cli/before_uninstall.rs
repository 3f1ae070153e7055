//! `charttrust before-uninstall`: what the chart's pre-delete hook runs.
//!
//! The operator still runs then. Tells which releases are contained, or notes in their Quarantines
//! that they end for the sake of the uninstall and deletes them, so that the operator restores them.
//! Changes nothing else.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions,
};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::screen::{note, tell};
use super::{INTERNAL, TRUSTED, UNTRUSTED, USAGE, complain};
use crate::api::quarantine::EndedBy;
use crate::api::{GROUP, VERSION};
use crate::quarantine::FINALIZER;
use crate::watch::{Reach, within_deadline};

/// Tells which releases are contained before the operator is removed.
///
/// Exit code 0: none is, 1: some are, 2: no cluster is configured, 4: charttrust failed.
#[derive(Args, Clone, Debug)]
pub struct BeforeUninstall {
    /// Restores them, with the help of the operator, instead of stopping.
    #[arg(long)]
    pub restore: bool,
    /// Looks in these namespaces only, as the operator does. Separated by commas, or repeated.
    #[arg(long, value_name = "NAMESPACE", value_delimiter = ',')]
    pub discover_namespaces: Vec<String>,
    /// The command that brings back the release of the operator itself, which Helm refuses to upgrade once
    /// it has begun to uninstall it.
    #[arg(long, value_name = "COMMAND")]
    pub way_back: Option<String>,
}

/// Why it could not be found out or done.
#[derive(Debug, thiserror::Error)]
enum UninstallError {
    /// The API server refused or did not answer.
    #[error("failed to {0}")]
    Api(&'static str, #[source] kube::Error),
    /// No cluster is configured.
    #[error("no cluster is configured: set KUBECONFIG, or run in a Pod with a service account")]
    NoCluster(#[source] kube::Error),
}

/// Runs the command and gives the exit code.
pub async fn main(arguments: BeforeUninstall) -> u8 {
    match look(&arguments).await {
        Ok(left) if left.is_empty() => {
            note("no release is contained\n");
            TRUSTED
        }
        Ok(left) => {
            tell(&advice(&left, arguments.way_back.as_deref()));
            UNTRUSTED
        }
        Err(error @ UninstallError::NoCluster(_)) => complain(&error, USAGE),
        Err(error) => complain(&error, INTERNAL),
    }
}

/// What is contained and stays so.
async fn look(arguments: &BeforeUninstall) -> Result<Vec<DynamicObject>, UninstallError> {
    let client = Client::try_default().await;
    let client = client.map_err(UninstallError::NoCluster)?;
    let reach = Reach::of(arguments.discover_namespaces.iter().cloned());
    let found = list(&client, &reach).await?;
    if !arguments.restore {
        return Ok(found);
    }
    let mut refused = None;
    for quarantine in &found {
        let ended = end(&client, quarantine).await;
        refused = refused.or(ended.err());
    }
    // One that cannot be ended keeps no other; there is nothing to wait for then.
    if let Some(error) = refused {
        return Err(error);
    }
    let deadline = crate::clock::tick() + PATIENCE;
    loop {
        let left = list(&client, &reach).await?;
        if left.is_empty() || crate::clock::tick() >= deadline {
            return Ok(left);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn list(client: &Client, reach: &Reach) -> Result<Vec<DynamicObject>, UninstallError> {
    let mut all = Vec::new();
    for part in reach.parts() {
        let api = part.api_with::<DynamicObject>(client, &resource());
        match within_deadline(api.list(&ListParams::default())).await {
            Ok(found) => all.extend(found.items.into_iter().filter(holds_something)),
            // The kind is not defined, so there is none: servers say so in plain text, so only the code
            // tells.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            Err(error) => return Err(UninstallError::Api("list Quarantines", error)),
        }
    }
    Ok(all)
}

/// Whether something may be contained by it. Where the operator only reports, or has refused it, a
/// Quarantine says so and holds nothing, unless it is from before. One that is over holds nothing either,
/// though somebody's finalizer keeps it: whoever may write one in one namespace holds up no uninstall.
fn holds_something(quarantine: &DynamicObject) -> bool {
    let status = quarantine.data.get("status");
    let says = |name: &str| status.and_then(|status| status.get(name));
    let state = says("state").and_then(Value::as_str);
    let is_idle = matches!(state, Some("Disabled" | "Refused"));
    let is_ours = quarantine.finalizers().iter().any(|one| one == FINALIZER);
    let is_over = quarantine.metadata.deletion_timestamp.is_some() && !is_ours;
    !is_over && (!is_idle || says("incident").is_some())
}

/// Without this it would count as a person's word about the incident, which holds for ever.
async fn note_why(client: &Client, quarantine: &DynamicObject) -> Result<(), UninstallError> {
    let namespace = quarantine.namespace().unwrap_or_default();
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &resource());
    let is_ending = quarantine.metadata.deletion_timestamp.is_some();
    if is_ending {
        return Ok(());
    }
    let change = Patch::Merge(json!({
        "metadata": {"uid": quarantine.uid()},
        "status": {"endedBy": EndedBy::Uninstall},
    }));
    let name = quarantine.name_any();
    match within_deadline(api.patch_status(&name, &PatchParams::default(), &change)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(UninstallError::Api("write why a Quarantine ends", error)),
    }
}

async fn end(client: &Client, quarantine: &DynamicObject) -> Result<(), UninstallError> {
    note_why(client, quarantine).await?;
    delete(client, quarantine).await
}

async fn delete(client: &Client, quarantine: &DynamicObject) -> Result<(), UninstallError> {
    let namespace = quarantine.namespace().unwrap_or_default();
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &resource());
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: quarantine.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match within_deadline(api.delete(&quarantine.name_any(), &parameters)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(UninstallError::Api("delete a Quarantine", error)),
    }
}

fn resource() -> ApiResource {
    let kind = GroupVersionKind::gvk(GROUP, VERSION, "Quarantine");
    ApiResource::from_gvk_with_plural(&kind, "quarantines")
}

/// Which releases are contained, and what can be done.
fn advice(left: &[DynamicObject], way_back: Option<&str>) -> String {
    let mut text = format!(
        "contained releases: {}. Without the operator they stay contained:\n",
        left.len()
    );
    for quarantine in left.iter().take(MOST_NAMED) {
        let namespace = quarantine.namespace().unwrap_or_default();
        // Invariant: writing to a String does not fail.
        let _ = writeln!(text, "  {namespace}/{}", quarantine.name_any());
    }
    if left.len() > MOST_NAMED {
        let _ = writeln!(text, "  and {} more", left.len() - MOST_NAMED);
    }
    text.push_str(
        "Restore one:    charttrust restore NAMESPACE/RELEASE\n\
         Restore all:    charttrust restore --all\n\
         Or, if the operator runs with --quarantine: kubectl delete quarantine --all --all-namespaces\n\
         Then uninstall again. To leave them contained: helm uninstall --no-hooks\n",
    );
    if let Some(command) = way_back {
        // Invariant: writing to a String does not fail.
        let _ = writeln!(text, "To keep the operator or upgrade it, first: {command}");
    }
    text
}

/// A Pod keeps only the end of what its container said.
const MOST_NAMED: usize = 20;
/// How long restoring may take; the chart's hook has a minute more.
const PATIENCE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn quarantine(name: &str) -> DynamicObject {
        DynamicObject::new(name, &resource()).within("shop")
    }

    #[test]
    fn contained_releases_are_named_with_the_next_step() {
        let text = advice(
            &[quarantine("search"), quarantine("payments")],
            Some("helm rollback charttrust 3"),
        );
        assert!(text.starts_with("contained releases: 2."), "{text}");
        assert!(
            text.contains("\n  shop/search\n  shop/payments\n"),
            "{text}"
        );
        assert!(text.contains("charttrust restore --all"), "{text}");
        assert!(
            text.ends_with("first: helm rollback charttrust 3\n"),
            "{text}"
        );
    }

    #[test]
    fn what_says_that_it_holds_nothing_stops_nothing() {
        let with = |status: Value| {
            let mut quarantine = quarantine("search");
            quarantine.data = json!({"spec": {}, "status": status});
            holds_something(&quarantine)
        };
        assert!(holds_something(&quarantine("new")));
        assert!(with(json!({})));
        assert!(with(json!({"state": "Active", "incident": "manual/1"})));
        assert!(with(json!({"state": "Disabled", "incident": "manual/1"})));
        assert!(with(json!({"state": "Refused", "incident": "manual/1"})));
        assert!(!with(json!({"state": "Disabled"})));
        assert!(!with(json!({"state": "Refused"})), "a claim of a policy");
    }

    #[test]
    fn what_is_over_and_kept_by_somebody_else_stops_nothing() {
        let kept_by = |finalizers: &[&str]| {
            let mut quarantine = quarantine("search");
            let finalizers = finalizers.iter().map(|&one| one.to_owned()).collect();
            quarantine.metadata.finalizers = Some(finalizers);
            quarantine.metadata.deletion_timestamp =
                Some(crate::api::time(jiff::Timestamp::UNIX_EPOCH));
            quarantine.data = json!({"status": {"state": "Active", "incident": "manual/1"}});
            holds_something(&quarantine)
        };
        assert!(kept_by(&["tenant.example.com/keep", FINALIZER]));
        assert!(!kept_by(&["tenant.example.com/keep"]));
    }

    #[test]
    fn of_many_releases_the_first_are_named_and_the_others_counted() {
        let told = |count: usize| {
            let names = (0..count).map(|n| quarantine(&format!("r{n}")));
            advice(&names.collect::<Vec<_>>(), None)
        };
        assert!(!told(MOST_NAMED).contains(" more"));
        let more = told(MOST_NAMED + 1);
        assert!(more.contains("\n  and 1 more\n"), "{more}");
        assert!(more.len() < 2048, "{}", more.len());
    }
}
