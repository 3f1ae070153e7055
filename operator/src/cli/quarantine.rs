//! `charttrust quarantine`: contains releases by hand, and shows first what that would change.
//!
//! Reads the cluster and creates Quarantines; the operator does the rest.

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};

use super::cluster::{self, Connection, Failure};
use super::screen::{plain, say};
use super::{TRUSTED, UNTRUSTED};
use crate::api::chart_trust_policy::QuarantineAction;
use crate::api::conditions::{Condition, QuarantineCondition, Status, find};
use crate::api::quarantine::{ContainedObject, QuarantineSpec};
use crate::api::reasons::QuarantineReason;
use crate::api::{FIELD_MANAGER, Quarantine, ReleaseTrust, TrustedKey};
use crate::inventory::{ReleaseId, helm};
use crate::quarantine::{PROTECTED, Plan, gather, plan};
use crate::{clock, parse};

/// Contains releases: creates a Quarantine for each, which the operator brings into force.
///
/// Exit code 0: all of them are contained, or were shown; 1: created, but the operator has not contained
/// all of them; 2: the arguments cannot be used; 3: the cluster or the operator gave no answer.
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
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
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

/// Runs the command.
pub(super) async fn run(arguments: &Contain) -> Result<u8, Failure> {
    let client = arguments.connection.client().await?;
    let releases = releases(&client, arguments).await?;
    let objects: Vec<_> = releases.iter().map(|id| object(id, arguments)).collect();
    if let Some(problem) = objects.iter().flat_map(parse::quarantine_problems).next() {
        return Err(Failure::Asked(problem.to_string()));
    }
    if arguments.output.is_some() {
        return print_yaml(&objects);
    }
    for (id, object) in releases.iter().zip(&objects) {
        let plan = preview(&client, id, object).await?;
        if let Some((QuarantineReason::ReleaseNotFound, message)) = &plan.problem {
            return Err(Failure::Asked(message.clone()));
        }
        say(&told(id, &plan))?;
    }
    if arguments.dry_run {
        return Ok(TRUSTED);
    }
    if !arguments.yes && !agrees("Create them? [y/N] ")? {
        return Err(Failure::Asked("nothing was created".to_owned()));
    }
    for (id, object) in releases.iter().zip(&objects) {
        create(&client, id, object).await?;
    }
    follow(&client, &releases).await
}

/// Tells what the operator makes of each, as soon as it has said so.
async fn follow(client: &Client, releases: &[ReleaseId]) -> Result<u8, Failure> {
    let started = Instant::now();
    let mut code = TRUSTED;
    for id in releases {
        let answer = loop {
            let answer = answer(client, id).await?;
            let is_last = started.elapsed() > PATIENCE;
            if is_last || answer.as_ref().is_some_and(is_settled) {
                break answer;
            }
            tokio::time::sleep(POLL).await;
        };
        let Some(active) = answer else {
            return Err(Failure::Unanswered(format!(
                "the operator has said nothing about Quarantine {id} in {} s: check that it runs; the \
                 object stays, and is brought into force when it does",
                PATIENCE.as_secs()
            )));
        };
        let message = plain(&active.message);
        say(&format!("{id} is {}: {message}\n", active.reason))?;
        if active.status != Status::True {
            code = UNTRUSTED;
        }
    }
    Ok(code)
}

/// What the operator says of a Quarantine, if it has said anything of it as it is now.
async fn answer(client: &Client, id: &ReleaseId) -> Result<Option<Condition>, Failure> {
    let api = Api::<Quarantine>::namespaced(client.clone(), &id.namespace);
    let found = api.get_opt(&id.name).await;
    let found = found.map_err(Failure::api("read a Quarantine"))?;
    let found =
        found.ok_or_else(|| Failure::Asked(format!("Quarantine {id} was deleted meanwhile")))?;
    let conditions = found.status.map(|status| status.conditions);
    let active = find(&conditions.unwrap_or_default(), QuarantineCondition::Active).cloned();
    let generation = found.metadata.generation;
    Ok(active.filter(|active| Some(active.observed_generation) == generation))
}

/// Whether nothing more is to be expected soon.
fn is_settled(active: &Condition) -> bool {
    let passing = [
        QuarantineReason::Containing,
        QuarantineReason::ProgressingWithRetry,
    ];
    passing.iter().all(|reason| reason.word() != active.reason)
}

/// How long the operator may take to say something.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked.
const POLL: Duration = Duration::from_millis(200);

async fn releases(client: &Client, arguments: &Contain) -> Result<Vec<ReleaseId>, Failure> {
    if let Some(text) = &arguments.release {
        return Ok(vec![release(text)?]);
    }
    let name = arguments.key.as_deref().unwrap_or_default();
    let keys = Api::<TrustedKey>::all(client.clone());
    let key = keys.get_opt(name).await;
    let key = key.map_err(Failure::api("read the TrustedKey"))?;
    let key = key.ok_or_else(|| Failure::Asked(format!("TrustedKey {name} does not exist")))?;
    let trusts = Api::<ReleaseTrust>::all(client.clone());
    let trusts = trusts.list(&ListParams::default()).await;
    let trusts = trusts.map_err(Failure::api("list the releases"))?;
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
        return Err(Failure::Asked(message));
    }
    Ok(found)
}

/// A release from `NAMESPACE/RELEASE`.
pub(super) fn release(text: &str) -> Result<ReleaseId, Failure> {
    let (namespace, name) = cluster::release(text).map_err(Failure::Asked)?;
    Ok(ReleaseId { namespace, name })
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

fn print_yaml(objects: &[Quarantine]) -> Result<u8, Failure> {
    for object in objects {
        let text = serde_saphyr::to_string(object);
        let text = text.map_err(|error| Failure::Unanswered(error.to_string()))?;
        say(&format!("---\n{text}"))?;
    }
    Ok(TRUSTED)
}

/// What the quarantine would change, by the very plan that the operator makes.
async fn preview(client: &Client, id: &ReleaseId, object: &Quarantine) -> Result<Plan, Failure> {
    let records = helm::find(client, id).await;
    let records = records.map_err(Failure::api("list the release records"))?;
    let actions = &object.spec.actions;
    let scene = gather::scene(client, id, &records, actions, clock::now()).await;
    let scene = scene.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        Failure::Unanswered(format!("{error}: {}", cause.unwrap_or_default()))
    })?;
    Ok(plan(id, actions, &scene).without_deployers_in(&[PROTECTED.to_owned()]))
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

/// Asks, if there is somebody to ask.
pub(super) fn agrees(question: &str) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let message = "nobody can be asked here, say --yes (or --dry-run to look only)";
        return Err(Failure::Asked(message.to_owned()));
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
        Ok(_) => say(&format!(
            "quarantine.charttrust.io/{} created in {}\n",
            id.name, id.namespace
        ))?,
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            say(&format!("{id} is in quarantine already\n"))?;
        }
        Err(error) => return Err(Failure::api("create a Quarantine")(error)),
    }
    Ok(())
}
