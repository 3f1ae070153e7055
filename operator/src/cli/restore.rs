//! `charttrust restore`: puts back what quarantines hold, without the operator.
//!
//! Runs the steps of the operator's finalizer. With an operator running too, every write of either
//! carries a precondition, so that both together do each step once.

use std::collections::BTreeSet;

use clap::Args;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Api, Client, ResourceExt};

use super::cluster::{Connection, Failure};
use super::quarantine::{agrees, release};
use super::screen::plain;
use super::{TRUSTED, UNTRUSTED};
use crate::api::Quarantine;
use crate::api::quarantine::ObjectState;
use crate::clock;
use crate::inventory::ReleaseId;
use crate::quarantine::orphan::{Marked, marked};
use crate::quarantine::{View, drive};

/// Ends quarantines and puts back what they hold; needs no operator.
///
/// Exit code 0: everything is back; 1: something is contested and was left; 2: the arguments cannot
/// be used; 3: the cluster gave no answer.
#[derive(Args, Clone, Debug)]
pub struct Restore {
    /// The release, by the namespace of its record and its name.
    #[arg(value_name = "NAMESPACE/RELEASE", required_unless_present = "all")]
    pub release: Option<String>,
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
    let only = arguments.release.as_deref().map(release).transpose()?;
    let quarantines = quarantines(&client, only.as_ref()).await?;
    let orphans = orphans(&client, only.as_ref()).await?;
    for (id, object) in &quarantines {
        tell(id, object);
    }
    for orphan in &orphans {
        tell_orphan(orphan);
    }
    if quarantines.is_empty() && orphans.is_empty() {
        println!("nothing is contained");
        return Ok(true);
    }
    if arguments.dry_run {
        return Ok(true);
    }
    if !arguments.yes && !agrees("Put it back? [y/N] ")? {
        return Err(Failure::Asked("nothing was changed".to_owned()));
    }
    let mut is_whole = true;
    for (id, object) in quarantines {
        is_whole &= end(&client, &id, object).await?;
    }
    for orphan in orphans {
        is_whole &= put_back(&client, &orphan).await?;
    }
    Ok(is_whole)
}

async fn quarantines(
    client: &Client,
    only: Option<&ReleaseId>,
) -> Result<Vec<(ReleaseId, Quarantine)>, Failure> {
    let api = match only {
        Some(id) => Api::<Quarantine>::namespaced(client.clone(), &id.namespace),
        None => Api::<Quarantine>::all(client.clone()),
    };
    let list = api.list(&ListParams::default()).await;
    let list = list.map_err(Failure::api("list the Quarantines"))?;
    let named = list.items.into_iter().map(|object| {
        let id = ReleaseId {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        };
        (id, object)
    });
    Ok(named
        .filter(|(id, _)| only.is_none_or(|only| only == id))
        .collect())
}

/// Contained objects whose Quarantine is not there any more.
async fn orphans(client: &Client, only: Option<&ReleaseId>) -> Result<Vec<Marked>, Failure> {
    let namespace = only.map(|id| id.namespace.as_str());
    let all = Api::<Quarantine>::all(client.clone());
    let known = match namespace {
        Some(namespace) => Api::<Quarantine>::namespaced(client.clone(), namespace),
        None => all,
    };
    let known = known.list(&ListParams::default()).await;
    let known = known.map_err(Failure::api("list the Quarantines"))?;
    let uids: BTreeSet<String> = known.items.iter().filter_map(ResourceExt::uid).collect();
    let found = marked(client, only).await;
    let mut found = found.map_err(Failure::api("list contained objects"))?;
    found.retain(|one| {
        one.mark
            .as_ref()
            .is_none_or(|mark| !uids.contains(&mark.quarantine))
    });
    Ok(found)
}

fn tell(id: &ReleaseId, object: &Quarantine) {
    println!("Quarantine {id}: {}", plain(&object.spec.reason));
    for object in object.status.iter().flat_map(|status| &status.objects) {
        let before = object.original.as_deref().unwrap_or("absent");
        println!(
            "  {} {}: {}",
            object.kind,
            plain(&object.name),
            plain(before)
        );
    }
}

fn tell_orphan(orphan: &Marked) {
    let before = match &orphan.mark {
        Some(mark) => mark
            .original
            .as_ref()
            .map_or("absent".to_owned(), ToString::to_string),
        None => "unreadable, set it by hand".to_owned(),
    };
    let name = plain(&orphan.name);
    println!(
        "{} {}/{name}, whose Quarantine is gone: {}",
        orphan.kind,
        orphan.namespace,
        plain(&before)
    );
}

/// Deletes the Quarantine and does what its finalizer stands for.
async fn end(client: &Client, id: &ReleaseId, object: Quarantine) -> Result<bool, Failure> {
    let api = Api::<Quarantine>::namespaced(client.clone(), &id.namespace);
    let mut object = object;
    if object.metadata.deletion_timestamp.is_none() {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = api.delete(&id.name, &params).await;
        let deleted = deleted.map_err(Failure::api("delete a Quarantine"))?;
        let Some(ending) = deleted.left() else {
            println!("{id}: restored");
            return Ok(true);
        };
        object = ending;
    }
    let view = View::of(id, &object, clock::now());
    let view = drive::advance(client, view, &[], || true).await;
    let view = view.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        Failure::Unanswered(format!("{error}: {}", cause.unwrap_or_default()))
    })?;
    if !view.has_finalizer {
        println!("{id}: restored");
        return Ok(true);
    }
    let contested = view.status.objects.iter();
    for object in contested.filter(|object| object.state == ObjectState::Contested) {
        let message = plain(object.message.as_deref().unwrap_or_default());
        println!(
            "{id}: {} {} is contested: {message}",
            object.kind,
            plain(&object.name)
        );
    }
    Ok(false)
}

async fn put_back(client: &Client, orphan: &Marked) -> Result<bool, Failure> {
    let name = format!(
        "{} {}/{}",
        orphan.kind,
        orphan.namespace,
        plain(&orphan.name)
    );
    if orphan.mark.is_none() {
        println!("{name}: its annotation cannot be read, left alone");
        return Ok(false);
    }
    let restored = orphan.restore(client).await;
    restored.map_err(|error| Failure::Unanswered(format!("{name}: {error}")))?;
    println!("{name}: restored");
    Ok(true)
}
