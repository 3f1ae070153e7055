//! `charttrust quarantine`: contains releases by hand, and shows first what that would change.
//!
//! Reads the cluster and creates Quarantines; the operator does the rest.

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _};

use clap::{Args, ValueEnum};
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};

use super::{TRUSTED, UNKNOWN, USAGE, complain, run};
use crate::api::chart_trust_policy::QuarantineAction;
use crate::api::quarantine::{ContainedObject, QuarantineSpec};
use crate::api::{FIELD_MANAGER, Quarantine, ReleaseTrust, TrustedKey};
use crate::inventory::{ReleaseId, helm};
use crate::quarantine::{Plan, gather, plan};
use crate::{clock, parse};

/// Contains releases: creates a Quarantine for each, which the operator brings into force.
///
/// Exit code 0: done, or shown; 2: the arguments cannot be used; 3: the cluster gave no answer.
#[derive(Args, Clone, Debug)]
pub struct Contain {
    /// The release, by the namespace of its record and its name.
    #[arg(value_name = "NAMESPACE/RELEASE", required_unless_present = "key")]
    pub release: Option<String>,
    /// Every release that has a good signature by this TrustedKey instead.
    #[arg(long, value_name = "NAME", conflicts_with = "release")]
    pub key: Option<String>,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// What to do. Repeatable; all of them if none is given.
    #[arg(long, value_enum, value_name = "ACTION")]
    pub action: Vec<Action>,
    /// Shows what would be changed, and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Prints the objects instead of creating them, for Git.
    #[arg(short, long, value_enum)]
    pub output: Option<Output>,
    /// Does not ask.
    #[arg(long)]
    pub yes: bool,
}

/// What a quarantine does.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Action {
    /// Denies traffic to the release's pods.
    IsolateNetwork,
    /// Suspends the deployer that would undo the rest.
    PauseDeployer,
    /// Sets the replicas of the release's workloads to zero.
    ScaleToZero,
}

/// How objects are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Output {
    /// As YAML documents.
    Yaml,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The arguments cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The cluster did not answer.
    #[error("failed to {0}")]
    Api(&'static str, #[source] kube::Error),
    /// Something about a quarantine failed.
    #[error("{0}")]
    Quarantine(String),
    /// There is no cluster.
    #[error(transparent)]
    Cluster(#[from] run::RunError),
}

impl Failure {
    /// Tells it, and gives the exit code.
    pub(super) fn tell(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Cluster(run::RunError::NoCluster(_)) => complain(self, USAGE),
            Self::Api(..) | Self::Quarantine(_) | Self::Cluster(_) => complain(self, UNKNOWN),
        }
    }
}

/// Runs the command.
pub(super) async fn main(arguments: &Contain) -> u8 {
    match contain(arguments).await {
        Ok(()) => TRUSTED,
        Err(failure) => failure.tell(),
    }
}

async fn contain(arguments: &Contain) -> Result<(), Failure> {
    let client = run::client().await?;
    let releases = releases(&client, arguments).await?;
    let objects: Vec<_> = releases.iter().map(|id| object(id, arguments)).collect();
    if let Some(problem) = objects.iter().flat_map(parse::quarantine_problems).next() {
        return Err(Failure::Usage(problem.to_string()));
    }
    if arguments.output.is_some() {
        return print_yaml(&objects);
    }
    for (id, object) in releases.iter().zip(&objects) {
        print!("{}", preview(&client, id, object).await?);
    }
    if arguments.dry_run {
        return Ok(());
    }
    if !arguments.yes && !agrees("Create them? [y/N] ")? {
        return Err(Failure::Usage("nothing was created".to_owned()));
    }
    for (id, object) in releases.iter().zip(&objects) {
        create(&client, id, object).await?;
    }
    Ok(())
}

async fn releases(client: &Client, arguments: &Contain) -> Result<Vec<ReleaseId>, Failure> {
    if let Some(text) = &arguments.release {
        return Ok(vec![release(text)?]);
    }
    let name = arguments.key.as_deref().unwrap_or_default();
    let keys = Api::<TrustedKey>::all(client.clone());
    let key = keys.get_opt(name).await;
    let key = key.map_err(|error| Failure::Api("read the TrustedKey", error))?;
    let key = key.ok_or_else(|| Failure::Usage(format!("TrustedKey {name} does not exist")))?;
    let trusts = Api::<ReleaseTrust>::all(client.clone());
    let trusts = trusts.list(&ListParams::default()).await;
    let trusts = trusts.map_err(|error| Failure::Api("list the releases", error))?;
    let rests_on = |trust: &ReleaseTrust| {
        let signers = trust.status.iter().flat_map(|status| &status.signers);
        signers.clone().any(|signer| {
            signer.verified
                && signer
                    .fingerprint
                    .eq_ignore_ascii_case(&key.spec.fingerprint)
        })
    };
    let found: Vec<_> = trusts
        .items
        .iter()
        .filter(|trust| rests_on(trust))
        .map(|trust| ReleaseId {
            namespace: trust.namespace().unwrap_or_default(),
            name: trust.name_any(),
        })
        .collect();
    if found.is_empty() {
        let message = format!("no release has a good signature by TrustedKey {name}");
        return Err(Failure::Usage(message));
    }
    Ok(found)
}

/// A release from `NAMESPACE/RELEASE`.
pub(super) fn release(text: &str) -> Result<ReleaseId, Failure> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(ReleaseId {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }),
        _ => Err(Failure::Usage(format!(
            "{text:?} names no release, write NAMESPACE/RELEASE"
        ))),
    }
}

fn object(id: &ReleaseId, arguments: &Contain) -> Quarantine {
    let mut actions: Vec<_> = arguments
        .action
        .iter()
        .map(|action| match action {
            Action::IsolateNetwork => QuarantineAction::IsolateNetwork,
            Action::PauseDeployer => QuarantineAction::PauseDeployer,
            Action::ScaleToZero => QuarantineAction::ScaleToZero,
        })
        .collect();
    if actions.is_empty() {
        actions = vec![
            QuarantineAction::PauseDeployer,
            QuarantineAction::IsolateNetwork,
            QuarantineAction::ScaleToZero,
        ];
    }
    actions.sort_unstable();
    actions.dedup();
    Quarantine {
        metadata: ObjectMeta {
            name: Some(id.name.clone()),
            namespace: Some(id.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: QuarantineSpec {
            actions,
            reason: arguments.reason.clone(),
            policy: None,
        },
        status: None,
    }
}

fn print_yaml(objects: &[Quarantine]) -> Result<(), Failure> {
    for object in objects {
        let text = serde_saphyr::to_string(object);
        let text = text.map_err(|error| Failure::Quarantine(error.to_string()))?;
        print!("---\n{text}");
    }
    Ok(())
}

/// What the quarantine would change, by the very plan that the operator makes.
async fn preview(client: &Client, id: &ReleaseId, object: &Quarantine) -> Result<String, Failure> {
    let records = helm::find(client, id).await;
    let records = records.map_err(|error| Failure::Api("list the release records", error))?;
    let actions = &object.spec.actions;
    let scene = gather::scene(client, id, &records, actions, clock::now()).await;
    let scene = scene.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        Failure::Quarantine(format!("{error}: {}", cause.unwrap_or_default()))
    })?;
    Ok(told(id, &plan(id, actions, &scene)))
}

fn told(id: &ReleaseId, plan: &Plan) -> String {
    let mut text = format!("Quarantine {id}\n");
    // Invariant: writing to a String does not fail.
    if let Some((reason, message)) = &plan.problem {
        let _ = writeln!(text, "  {reason}: {}", plain(message));
    }
    for object in &plan.objects {
        let _ = writeln!(text, "  {}", change(object, id));
    }
    for left in &plan.uncontained {
        let message = plain(&left.message);
        let _ = writeln!(
            text,
            "  left alone: {} {}: {message}",
            left.kind,
            plain(&left.name)
        );
    }
    let _ = writeln!(
        text,
        "  Nothing else is touched: no deletion, no PVCs, Secrets or Services\n  \
         Undo: kubectl delete quarantine -n {} {}",
        id.namespace, id.name
    );
    text
}

fn change(object: &ContainedObject, id: &ReleaseId) -> String {
    let namespace = object.namespace.as_deref().unwrap_or(&id.namespace);
    let name = format!("{} {namespace}/{}", object.kind, plain(&object.name));
    let before = object.original.as_deref().unwrap_or("absent");
    match object.action {
        QuarantineAction::IsolateNetwork => {
            let selector = plain(object.selector.as_deref().unwrap_or_default());
            format!("{name}: deny all traffic of the pods {selector}")
        }
        QuarantineAction::PauseDeployer => format!("{name}: paused (before: {})", plain(before)),
        QuarantineAction::ScaleToZero => format!("{name}: stopped (before: {})", plain(before)),
    }
}

/// Foreign text without characters that steer a terminal.
pub(super) fn plain(text: &str) -> String {
    let shown = |letter: char| {
        if letter.is_control() {
            '\u{fffd}'
        } else {
            letter
        }
    };
    text.chars().map(shown).collect()
}

/// Asks, if there is somebody to ask.
pub(super) fn agrees(question: &str) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let message = "nobody can be asked here, say --yes (or --dry-run to look only)";
        return Err(Failure::Usage(message.to_owned()));
    }
    eprint!("{question}");
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn create(client: &Client, id: &ReleaseId, object: &Quarantine) -> Result<(), Failure> {
    let api = Api::<Quarantine>::namespaced(client.clone(), &id.namespace);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    };
    match api.create(&params, object).await {
        Ok(_) => println!(
            "quarantine.charttrust.io/{} created in {}",
            id.name, id.namespace
        ),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            println!("{id} is in quarantine already");
        }
        Err(error) => return Err(Failure::Api("create a Quarantine", error)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_a_namespace_and_a_name() {
        let id = release("shop/web").unwrap();
        assert_eq!((id.namespace.as_str(), id.name.as_str()), ("shop", "web"));
        for text in ["web", "/web", "shop/", ""] {
            assert!(release(text).is_err(), "{text}");
        }
    }

    #[test]
    fn text_of_others_does_not_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
    }
}
