//! `charttrust quarantine`: contains releases by hand, and shows first what that would change.
//!
//! Reads the cluster and creates Quarantines; the operator does the rest.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use clap::{Args, ValueEnum};
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::time::Instant;

use super::cluster::{self, Connection, Failure, chain};
use super::leading::{self, Operator};
use super::screen::{note, plain, say, tell};
use super::site::Site;
use super::{TRUSTED, UNKNOWN, UNTRUSTED, signers};
use crate::api::conditions::{Condition, Status, find};
use crate::api::quarantine::{ContainedObject, QuarantineSpec, QuarantineState};
use crate::api::quarantine_words::{QuarantineAction, QuarantineCondition, QuarantineReason};
use crate::api::{FIELD_MANAGER, Quarantine, ReleaseTrust, create_params};
use crate::inventory::{ReleaseId, helm};
use crate::quarantine::gather::{self, Unfinished};
use crate::quarantine::orphan::whole_of;
use crate::quarantine::{APPROVED, Held, Neighbourhoods, Plan, Plans, plan};
use crate::{clock, parse, quarantine};

/// Contains releases: creates a Quarantine for each, which the operator brings into force.
///
/// Exit code 0: all of them are contained, or would be; 1: the operator has not contained all of them, or
/// would not; 2: the arguments cannot be used; 3: the cluster or the operator gave no answer.
#[derive(Args, Clone, Debug)]
pub struct Contain {
    /// The release, `NAMESPACE/RELEASE` of its record, or its name with `-n`.
    #[arg(value_name = "RELEASE", required_unless_present_any = ["key", "identity"])]
    pub release: Option<String>,
    /// The namespace of the release.
    #[arg(short, long, requires = "release")]
    pub namespace: Option<String>,
    /// Every release that has a good signature by this TrustedKey instead.
    #[arg(long, value_name = "NAME", conflicts_with = "release")]
    pub key: Option<String>,
    /// Every release that has a verified signature by this TrustedIdentity instead.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["release", "key"])]
    pub identity: Option<String>,
    /// Why, for people.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// What to do. Repeatable; all of them but `FreezeUpgrades` if none is given.
    #[arg(long, value_enum, value_name = "ACTION")]
    pub action: Vec<QuarantineAction>,
    /// Shows what would be changed, and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Prints the objects instead of creating them, for Git.
    #[arg(short, long, value_enum)]
    pub output: Option<Output>,
    /// Does not ask.
    #[arg(long)]
    pub yes: bool,
    /// How long the operator may take to say what became of them, such as `30s` or `5m`.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = super::patience)]
    pub timeout: Duration,
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
    /// Where the operator is.
    #[command(flatten)]
    pub operator: Operator,
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
    // All are checked before the first is created: a typo in an action stops all of them or none.
    let objects: Vec<_> = releases.iter().map(|id| object(id, arguments)).collect();
    if let Some(problem) = objects.iter().flat_map(parse::quarantine_problems).next() {
        return Err(Failure::Asked(problem.to_string()));
    }
    if arguments.output.is_some() {
        return print_yaml(&objects);
    }
    let site = Site::of(&client, &arguments.operator).await;
    let is_alone = releases.len() == 1;
    let mut shown = Vec::new();
    let mut promised = 0;
    for (id, object) in releases.iter().zip(&objects) {
        match show(&client, &site, id, object).await {
            Ok(plan) => {
                promised += usize::from(plan.problem.is_none() && !site.is_disabled());
                shown.push((id, object));
            }
            Err(failure) if is_alone => return Err(failure),
            Err(failure) => refused(id, &failure),
        }
    }
    if let Some(caveat) = site.caveat() {
        say(&format!("{}\n", plain(&caveat)))?;
    }
    let whole = |count: usize| {
        if count == releases.len() {
            TRUSTED
        } else {
            UNTRUSTED
        }
    };
    if arguments.dry_run {
        return Ok(whole(promised));
    }
    if !arguments.yes && !agrees("Create them? [y/N] ")? {
        return Err(Failure::Asked("nothing was created".to_owned()));
    }
    let mut created = Vec::new();
    for (id, object) in shown {
        match create(&client, id, object).await {
            Ok(Made::AsAsked) => created.push(id.clone()),
            Ok(Made::Otherwise) => (),
            Err(failure) if is_alone => return Err(failure),
            Err(failure) => refused(id, &failure),
        }
    }
    let code = follow(&client, &created, arguments).await;
    Ok(code.max(whole(created.len())))
}

/// One of several that could not be contained: the others are.
fn refused(id: &ReleaseId, failure: &Failure) {
    tell(&format!("{id}: {}\n", plain(&chain(failure))));
}

/// What the quarantine of one release would change.
async fn show(
    client: &Client,
    site: &Site,
    id: &ReleaseId,
    object: &Quarantine,
) -> Result<Plan, Failure> {
    // The operator refuses all of it, deployers included.
    if site.protects(&id.namespace) {
        return Err(Failure::Asked(format!(
            "namespace {} is protected: the operator changes nothing there",
            id.namespace
        )));
    }
    let plan = preview(client, site, id, object).await?;
    if let Some((QuarantineReason::ReleaseNotFound, message)) = &plan.problem {
        return Err(Failure::Asked(message.clone()));
    }
    say(&describe(id, &plan))?;
    Ok(plan)
}

/// Tells what the operator makes of each, as soon as it has said so.
async fn follow(client: &Client, releases: &[ReleaseId], arguments: &Contain) -> u8 {
    let until = clock::tick() + arguments.timeout;
    let mut code = TRUSTED;
    let mut silent = Vec::new();
    for id in releases {
        match answer_until(client, id, until).await {
            Ok(Some(active)) => {
                let message = plain(&active.message);
                note(&format!("{id} is {}: {message}\n", active.reason));
                if active.status != Status::True {
                    code = code.max(UNTRUSTED);
                }
            }
            Ok(None) => silent.push(id.to_string()),
            Err(failure) => {
                refused(id, &failure);
                code = UNKNOWN;
            }
        }
    }
    if silent.is_empty() {
        return code;
    }
    let advice = leading::advice(client, &arguments.operator).await;
    tell(&format!(
        "the operator has said nothing about Quarantine {} in {} s; the object stays, and is brought into \
         force when it does: {}\n",
        silent.join(", "),
        arguments.timeout.as_secs(),
        plain(&advice)
    ));
    UNKNOWN
}

/// What the operator says of a Quarantine, once it is settled or time is up.
async fn answer_until(
    client: &Client,
    id: &ReleaseId,
    until: Instant,
) -> Result<Option<Condition>, Failure> {
    loop {
        let answer = answer(client, id).await?;
        if answer.as_ref().is_some_and(is_settled) || clock::tick() >= until {
            return Ok(answer);
        }
        tokio::time::sleep(POLL).await;
    }
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
        // It was approved just now.
        QuarantineReason::AwaitingApproval,
        QuarantineReason::Containing,
        QuarantineReason::ProgressingWithRetry,
    ];
    passing.iter().all(|reason| reason.word() != active.reason)
}

/// How often it is asked.
const POLL: Duration = Duration::from_millis(200);

async fn releases(client: &Client, arguments: &Contain) -> Result<Vec<ReleaseId>, Failure> {
    if let Some(text) = &arguments.release {
        let named = release(text, arguments.namespace.as_deref())?;
        return Ok(vec![whole(client, &named).await?]);
    }
    let trusts = Api::<ReleaseTrust>::all(client.clone());
    let trusts = trusts.list(&ListParams::default()).await;
    let trusts = trusts.map_err(Failure::api("list the releases"))?;
    let (who, signed) = signed_by(client, arguments, &trusts.items).await?;
    let mut found = BTreeSet::new();
    for trust in signed {
        let id = ReleaseId {
            namespace: trust.namespace().unwrap_or_default(),
            name: trust.name_any(),
        };
        found.insert(whole(client, &id).await?);
    }
    if found.is_empty() {
        let message = format!("no release has a good signature by {who}");
        return Err(Failure::Asked(message));
    }
    Ok(found.into_iter().collect())
}

/// The releases that a key or an identity has signed, and who that is.
async fn signed_by<'a>(
    client: &Client,
    arguments: &Contain,
    trusts: &'a [ReleaseTrust],
) -> Result<(String, Vec<&'a ReleaseTrust>), Failure> {
    if let Some(name) = &arguments.identity {
        let identity = cluster::known_identity(client, name).await?;
        let signed = trusts.iter();
        let signed = signed.filter(|trust| signers::has_signed(trust, &identity));
        return Ok((format!("TrustedIdentity {name}"), signed.collect()));
    }
    let name = arguments.key.as_deref().unwrap_or_default();
    let key = cluster::key(client, name).await?;
    let fingerprint = &key.spec.fingerprint;
    let rests_on = |trust: &&ReleaseTrust| {
        let mut signers = trust.status.iter().flat_map(|status| &status.signers);
        signers.any(|one| one.verified && one.fingerprint.eq_ignore_ascii_case(fingerprint))
    };
    let signed = trusts.iter().filter(rests_on);
    Ok((format!("TrustedKey {name}"), signed.collect()))
}

/// An Application is contained as a whole, whichever of its charts is named.
async fn whole(client: &Client, id: &ReleaseId) -> Result<ReleaseId, Failure> {
    match whole_of(client, id).await {
        Ok(whole) => Ok(whole),
        // Whoever may not read Applications contains what he names.
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(id.clone()),
        Err(error) => Err(Failure::api("read an Application")(error)),
    }
}

/// A release from `NAMESPACE/RELEASE`, or from its name and the flag `-n`.
pub(super) fn release(text: &str, namespace: Option<&str>) -> Result<ReleaseId, Failure> {
    let (namespace, name) = cluster::named(text, namespace)?;
    Ok(ReleaseId { namespace, name })
}

fn object(id: &ReleaseId, arguments: &Contain) -> Quarantine {
    let mut actions = arguments.action.clone();
    if actions.is_empty() {
        actions = QuarantineAction::usual();
    }
    // Two ways of asking for the same make the same object, which Git then shows as unchanged.
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
async fn preview(
    client: &Client,
    site: &Site,
    id: &ReleaseId,
    object: &Quarantine,
) -> Result<Plan, Failure> {
    let records = helm::find(client, id).await;
    let records = records.map_err(|error| unseen(id, error))?;
    let actions = &object.spec.actions;
    let neighbourhoods = Neighbourhoods::new(client.clone(), clock::tick);
    let unfinished = (Unfinished::WaitedFor(clock::now()), clock::tick());
    let observed = gather::observed(&neighbourhoods, id, &records, actions, unfinished).await;
    let observed = observed.map_err(|error| Failure::Unanswered(chain(&error)))?;
    // Of one that is in force, only what it would contain beside what it holds.
    let there = there(client, id).await?;
    let there = there.and_then(|there| there.uid());
    let plans = Plans {
        held: there.as_deref().map_or(Held::Nothing, Held::Again),
        ..Plans::of_a_person()
    };
    Ok(plan(id, actions, &observed, &site.protected, plans))
}

/// No role of charttrust may read Secrets, where Helm keeps its records: who may create a Quarantine need not
/// be able to see what it would change.
fn unseen(id: &ReleaseId, error: kube::Error) -> Failure {
    let what = "list the release records";
    match error {
        kube::Error::Api(said) if said.code == 403 => Failure::Refused(
            what.to_owned(),
            format!(
                "{}; what would be changed is read from Helm's records and the workloads: ask for the right to \
                 list them in namespace {}, or create the object unseen, which -o yaml prints",
                said.message, id.namespace
            ),
        ),
        error => Failure::api(what)(error),
    }
}

async fn there(client: &Client, id: &ReleaseId) -> Result<Option<Quarantine>, Failure> {
    let api = Api::<Quarantine>::namespaced(client.clone(), &id.namespace);
    let found = api.get_opt(&id.name).await;
    found.map_err(Failure::api("read a Quarantine"))
}

fn describe(id: &ReleaseId, plan: &Plan) -> String {
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
        "  Nothing else is touched: no deletion, no PVCs, Secrets or Services; what Pods keep in emptyDir\n  \
         or ephemeral volumes ends with them\n  \
         Undo: kubectl delete quarantine -n {} {}\n  \
         or, so that no policy contains it again: charttrust restore {id}",
        id.namespace, id.name
    );
    text
}

fn change(object: &ContainedObject, id: &ReleaseId) -> String {
    let namespace = object.namespace.as_deref().unwrap_or(&id.namespace);
    let name = format!("{} {namespace}/{}", object.kind, plain(&object.name));
    format!("{name}: {}", plain(&quarantine::preview(object)))
}

/// Asks, if there is somebody to ask.
pub(super) fn agrees(question: &str) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    // Piped input is no consent: the next line of a script would be read as the answer.
    if !stdin.is_terminal() {
        let message = "nobody can be asked here, say --yes (or --dry-run to look only)";
        return Err(Failure::Asked(message.to_owned()));
    }
    // To stderr, so that it is seen when stdout goes to a file or a pager.
    tell(question);
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Whether a release is in a quarantine of what was asked for.
enum Made {
    AsAsked,
    Otherwise,
}

async fn create(client: &Client, id: &ReleaseId, object: &Quarantine) -> Result<Made, Failure> {
    let api = Api::<Quarantine>::namespaced(client.clone(), &id.namespace);
    match api.create(&create_params(), object).await {
        Ok(_) => {
            let ReleaseId { namespace, name } = id;
            note(&format!(
                "quarantine.charttrust.io/{name} created in {namespace}\n"
            ));
            Ok(Made::AsAsked)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let there = api.get(&id.name).await;
            let there = there.map_err(Failure::api("read a Quarantine"))?;
            if awaits(&there) {
                approve(&api, id, &object.spec.reason).await?;
            }
            Ok(already(id, object, &there))
        }
        Err(error) => Err(Failure::api("create a Quarantine")(error)),
    }
}

/// Whether something of it runs on until a person approves that it is stopped.
fn awaits(there: &Quarantine) -> bool {
    let left = there.status.iter().flat_map(|status| &status.uncontained);
    there.spec.policy.is_some() && left.clone().any(|left| left.waits_for.is_some())
}

async fn approve(api: &Api<Quarantine>, id: &ReleaseId, reason: &str) -> Result<(), Failure> {
    let change = json!({"metadata": {"annotations": {APPROVED: reason}}});
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    let patched = api.patch(&id.name, &params, &Patch::Merge(change)).await;
    patched.map_err(Failure::api("approve a Quarantine"))?;
    note(&format!("{id}: approved, what waited is stopped too\n"));
    Ok(())
}

/// Why nothing is done for a Quarantine, if it was refused.
fn why_refused(there: &Quarantine) -> Option<String> {
    let status = there.status.as_ref()?;
    let is_refused = status.state == Some(QuarantineState::Refused);
    let active = find(&status.conditions, QuarantineCondition::Active).filter(|_| is_refused)?;
    Some(plain(&format!("{}: {}", active.reason, active.message)))
}

/// A Quarantine cannot be changed: one that does less than was asked for is said.
fn already(id: &ReleaseId, asked: &Quarantine, there: &Quarantine) -> Made {
    if let Some(why) = why_refused(there) {
        tell(&format!(
            "there is a Quarantine of {id}, and it contains nothing: {why}\n"
        ));
        return Made::Otherwise;
    }
    let lacks = |action: &&QuarantineAction| !there.spec.actions.contains(action);
    let lacking: Vec<_> = asked.spec.actions.iter().filter(lacks).collect();
    if lacking.is_empty() {
        note(&format!("{id} is in quarantine already\n"));
        return Made::AsAsked;
    }
    let lacking: Vec<_> = lacking.into_iter().map(|action| action.word()).collect();
    tell(&format!(
        "{id} is in quarantine already, without {}: nothing of that is done; delete that Quarantine, which \
         restores, and create it again\n",
        lacking.join(", ")
    ));
    Made::Otherwise
}
