//! `charttrust restore`: puts back what quarantines hold, without the operator.
//!
//! Runs the steps of the operator's finalizer. With an operator running too, every write of either
//! carries a precondition, so that both together do each step once.

use std::collections::BTreeSet;

use clap::Args;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::cluster::{Connection, Failure, chain};
use super::quarantine::{agrees, release};
use super::screen::{self, plain};
use super::{TRUSTED, UNTRUSTED};
use crate::api::Quarantine;
use crate::api::quarantine::ObjectState;
use crate::clock;
use crate::inventory::{ReleaseId, helm};
use crate::quarantine::Neighbourhoods;
use crate::quarantine::orphan::{Marked, application_of, has_application, marked, unserved};
use crate::quarantine::{RELEASED, View, run};

/// Prints a line. Nobody who stops reading stops a restore.
macro_rules! note {
    ($($part:tt)*) => { screen::note(&format!("{}\n", format_args!($($part)*))) };
}

/// Says what was not done.
macro_rules! tell {
    ($($part:tt)*) => { screen::tell(&format!("{}\n", format_args!($($part)*))) };
}

/// Ends quarantines and puts back what they hold; needs no operator.
///
/// Exit code 0: everything is back; 1: something is not, which is said, and all else is; 2: the
/// arguments cannot be used; 3: the cluster gave no answer.
#[derive(Args, Clone, Debug)]
pub struct Restore {
    /// The release, `NAMESPACE/RELEASE` of its record, or its name with `-n`.
    #[arg(value_name = "RELEASE", required_unless_present = "all")]
    pub release: Option<String>,
    /// The namespace of the release.
    #[arg(short, long, requires = "release")]
    pub namespace: Option<String>,
    /// Every quarantine of the cluster, and every object whose Quarantine is gone.
    #[arg(long, conflicts_with = "release")]
    pub all: bool,
    /// Shows what would be put back, and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Does not ask.
    #[arg(long)]
    pub yes: bool,
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
}

/// Runs the command.
pub(super) async fn run(arguments: &Restore) -> Result<u8, Failure> {
    let is_whole = restore(arguments).await?;
    Ok(if is_whole { TRUSTED } else { UNTRUSTED })
}

/// Whether everything is back.
async fn restore(arguments: &Restore) -> Result<bool, Failure> {
    let client = arguments.connection.client().await?;
    let namespace = arguments.namespace.as_deref();
    let only = arguments.release.as_deref();
    let only = only.map(|text| release(text, namespace)).transpose()?;
    let quarantines = quarantines(&client, only.as_ref()).await?;
    // Read before anything is changed: what a Quarantine that ends meanwhile leaves is its
    // finalizer's business.
    let orphans = orphans(&client, only.as_ref(), &quarantines).await?;
    let quarantines = quarantines.into_iter().map(named);
    let is_meant = |id: &ReleaseId| only.as_ref().is_none_or(|only| only == id);
    let quarantines: Vec<_> = quarantines.filter(|(id, _)| is_meant(id)).collect();
    let unserved = unserved(&client).await;
    let unserved = unserved.map_err(Failure::api("ask what the cluster serves"))?;
    for kind in &unserved {
        tell!("not looked for: {kind}, which the cluster serves in other versions only");
    }
    for (id, object) in &quarantines {
        list(id, object);
    }
    for orphan in &orphans {
        list_orphan(orphan);
    }
    if quarantines.is_empty() && orphans.is_empty() {
        if let Some(only) = &only {
            is_known(&client, only).await?;
        }
        note!("nothing is contained");
        return Ok(unserved.is_empty());
    }
    if arguments.dry_run {
        return Ok(true);
    }
    if !arguments.yes && !agrees("Put it back? [y/N] ")? {
        return Err(Failure::Asked("nothing was changed".to_owned()));
    }
    let mut is_whole = unserved.is_empty();
    for (id, object) in quarantines {
        is_whole &= report(&id.to_string(), end(&client, &id, object).await);
    }
    for orphan in orphans {
        let name = orphan.to_string();
        is_whole &= report(&plain(&name), put_back(&client, &orphan).await);
    }
    Ok(is_whole)
}

/// A name that nobody has is a mistake. Who may not read records or Applications cannot tell.
async fn is_known(client: &Client, id: &ReleaseId) -> Result<(), Failure> {
    // Argo CD keeps no records, so that a missing one says nothing of it.
    let found = match application_of(id) {
        Some(name) => has_application(client, &id.namespace, name).await,
        None => helm::find(client, id).await.map(|found| !found.is_empty()),
    };
    let place = &id.namespace;
    match found {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Asked(match application_of(id) {
            Some(name) => format!(
                "there is no Application {name} in namespace {place}, and nothing of it is contained"
            ),
            None => format!(
                "no release {} is recorded in namespace {place}, and nothing of that name is contained",
                id.name
            ),
        })),
        Err(error) => {
            tell!(
                "not checked whether there is a release {id}: {}",
                plain(&chain(&error))
            );
            Ok(())
        }
    }
}

/// Whether it is back. What went wrong with one release is said, and holds up no other.
fn report(name: &str, restored: Result<bool, Failure>) -> bool {
    restored.unwrap_or_else(|error| {
        tell!("{name}: {}", plain(&chain(&error)));
        false
    })
}

/// The Quarantines of the namespace of a release, or all; of a kind that the API server does not know, none.
async fn quarantines(
    client: &Client,
    only: Option<&ReleaseId>,
) -> Result<Vec<Quarantine>, Failure> {
    let api = match only {
        Some(id) => Api::<Quarantine>::namespaced(client.clone(), &id.namespace),
        None => Api::<Quarantine>::all(client.clone()),
    };
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(said)) if said.code == 404 => {
            tell!(
                "not looked for: Quarantine, a kind that the cluster does not know; objects carry what they were"
            );
            Ok(Vec::new())
        }
        Err(error) => Err(Failure::api("list the Quarantines")(error)),
    }
}

/// Contained objects whose Quarantine is not there any more.
async fn orphans(
    client: &Client,
    only: Option<&ReleaseId>,
    known: &[Quarantine],
) -> Result<Vec<Marked>, Failure> {
    let uids: BTreeSet<String> = known.iter().filter_map(ResourceExt::uid).collect();
    let found = marked(client, only).await;
    let mut found = found.map_err(Failure::api("list contained objects"))?;
    found.retain(|one| {
        one.annotation
            .as_ref()
            .is_none_or(|annotation| !uids.contains(&annotation.quarantine))
    });
    Ok(found)
}

fn named(object: Quarantine) -> (ReleaseId, Quarantine) {
    let id = ReleaseId {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    };
    (id, object)
}

fn list(id: &ReleaseId, object: &Quarantine) {
    note!("Quarantine {id}: {}", plain(&object.spec.reason));
    for object in object.status.iter().flat_map(|status| &status.objects) {
        let before = object.original.as_deref().unwrap_or("absent");
        let said = object.message.as_deref();
        let said = said.map_or_else(String::new, |said| format!("; {said}"));
        note!(
            "  {} {}: {}",
            object.kind,
            plain(&object.name),
            plain(&format!("{before}{said}"))
        );
    }
}

fn list_orphan(orphan: &Marked) {
    let before = match &orphan.annotation {
        Some(_) if orphan.is_created() => "made for it, to be deleted".to_owned(),
        Some(annotation) => annotation.original.to_string(),
        None => "unreadable, set it by hand".to_owned(),
    };
    let name = plain(&orphan.name);
    let said = orphan.on_return();
    let said = said.map_or_else(String::new, |said| format!("; {said}"));
    note!(
        "{} {}/{name}, whose Quarantine is gone: {}{said}",
        orphan.kind,
        orphan.namespace,
        plain(&before)
    );
}

/// Deletes the Quarantine and does what its finalizer stands for.
async fn end(client: &Client, id: &ReleaseId, object: Quarantine) -> Result<bool, Failure> {
    let api = Api::<Quarantine>::namespaced(client.clone(), &id.namespace);
    let mut object = object;
    let is_over = release_incident(&api, id, &object).await;
    if object.metadata.deletion_timestamp.is_none() {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid(),
                // The uid alone: a status that the operator writes at this moment must not make a
                // person try again.
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = api.delete(&id.name, &params).await;
        let deleted = deleted.map_err(Failure::api("delete a Quarantine"))?;
        let Some(ending) = deleted.left() else {
            tell_restored(id, is_over);
            return Ok(true);
        };
        object = ending;
    }
    let view = View::of(id, &object, clock::now());
    let view = run::to_rest(
        &Neighbourhoods::new(client.clone(), clock::tick),
        view,
        &[],
        || true,
    )
    .await;
    let view = view.map_err(|error| Failure::Unanswered(chain(&error)))?;
    if !view.has_finalizer {
        tell_restored(id, is_over);
        return Ok(true);
    }
    for (index, object) in view.status.objects.iter().enumerate() {
        let (kind, name) = (&object.kind, plain(&object.name));
        let message = plain(object.message.as_deref().unwrap_or_default());
        if view.errors.contains_key(&index) {
            tell!("{id}: {kind} {name} was not put back: {message}");
        } else if object.state == ObjectState::Contested {
            tell!("{id}: {kind} {name} is contested: {message}");
        }
    }
    Ok(false)
}

/// Says to the operator whose word this is: the deletion alone of one that a person has begun ends no
/// incident. Whoever may not say it can restore nevertheless.
async fn release_incident(api: &Api<Quarantine>, id: &ReleaseId, object: &Quarantine) -> Incident {
    if object.spec.policy.is_some() {
        return Incident::Over;
    }
    let change = Patch::Merge(json!({
        "metadata": {"uid": object.uid(), "annotations": {RELEASED: "true"}},
    }));
    let params = PatchParams::default();
    match api.patch_metadata(&id.name, &params, &change).await {
        Ok(_) => Incident::Over,
        Err(error) => {
            let failure = Failure::api("tell the operator that the incident is over")(error);
            let why = plain(&chain(&failure));
            note!("{id}: a policy may contain it again: {why}");
            Incident::GoesOn
        }
    }
}

/// What becomes of the incident of a quarantine that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Incident {
    GoesOn,
    Over,
}

fn tell_restored(id: &ReleaseId, incident: Incident) {
    match incident {
        Incident::GoesOn => note!("{id}: restored"),
        Incident::Over => {
            note!("{id}: restored, and no policy contains it again for the same revocation");
        }
    }
}

async fn put_back(client: &Client, orphan: &Marked) -> Result<bool, Failure> {
    let name = plain(&orphan.to_string());
    if orphan.annotation.is_none() {
        tell!("{name}: its annotation cannot be read, left alone");
        return Ok(false);
    }
    let restored = orphan.restore(client).await;
    restored.map_err(|error| {
        let why = error.of_object().map(|error| error.why);
        Failure::Unanswered(why.unwrap_or_else(|| chain(&error)))
    })?;
    note!("{name}: restored");
    Ok(true)
}
