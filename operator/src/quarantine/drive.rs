//! Runs the steps of a quarantine against the API server. The operator and `charttrust restore` both
//! do it by this.

use jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _};

use super::apply::{WriteError, apply};
use super::gather::{self, GatherError};
use super::step::{View, Write, next};
use super::{FINALIZER, PROTECTED};
use crate::api::Quarantine;
use crate::inventory::ReleaseId;
use crate::inventory::helm::RecordKey;
use crate::watch::within_deadline;

/// Why a quarantine could not be brought to rest.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// Something could not be read.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// The Quarantine itself could not be read.
    #[error("failed to read a Quarantine")]
    Read(#[source] kube::Error),
    /// Others change its objects all the time, or the right to write was lost.
    #[error("objects of quarantine {0} change all the time")]
    Restless(ReleaseId),
    /// A write failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl View {
    /// A view of a Quarantine, before anything that it is about was read.
    pub fn of(id: &ReleaseId, object: &Quarantine, now: Timestamp) -> Self {
        Self {
            release: id.clone(),
            uid: object.uid().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
            has_finalizer: object.finalizers().iter().any(|name| name == FINALIZER),
            is_ending: object.metadata.deletion_timestamp.is_some(),
            spec: object.spec.clone(),
            status: object.status.clone().unwrap_or_default(),
            incident: format!("manual/{}", object.uid().unwrap_or_default()),
            scene: None,
            live: Vec::new(),
            allowing: Vec::new(),
            protected: vec![PROTECTED.to_owned()],
            now,
        }
    }
}

/// Does one write after the other until none is left; whatever has changed meanwhile is read again.
/// `records` are the judged revisions of the release. `may` is asked before each write.
///
/// # Errors
/// [`DriveError`]; what was written until then stands, and the next run goes on from there.
pub async fn advance(
    client: &Client,
    mut view: View,
    records: &[RecordKey],
    may: impl Fn() -> bool,
) -> Result<View, DriveError> {
    for _ in 0..TRIES {
        gather(client, &mut view, records).await?;
        if write_all(client, &mut view, &may).await? {
            return Ok(view);
        }
        let Some(again) = reread(client, &view).await? else {
            view.has_finalizer = false;
            return Ok(view);
        };
        view = again;
    }
    Err(DriveError::Restless(view.release))
}

/// How often everything is read again before the caller waits a little.
const TRIES: usize = 6;

/// More than the longest list of objects could need.
const MOST_WRITES: usize = 1200;

/// Whether nothing is left to write; if not, something has changed.
async fn write_all(
    client: &Client,
    view: &mut View,
    may: &impl Fn() -> bool,
) -> Result<bool, DriveError> {
    for _ in 0..MOST_WRITES {
        let Some(step) = next(view) else {
            return Ok(true);
        };
        if !may() {
            return Ok(false);
        }
        match apply(client, view, &step).await {
            Ok(answer) => view.absorb(&step, answer),
            Err(WriteError::Changed(what)) => {
                tracing::debug!(release = %view.release, what, "changed meanwhile");
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        tracing::info!(release = %view.release, step = kind(&step), "wrote");
    }
    Ok(false)
}

/// What a write does, without what it writes.
fn kind(step: &Write) -> &'static str {
    match step {
        Write::AddFinalizer => "finalizer added",
        Write::Change(..) => "object changed",
        Write::Create(..) => "policy created",
        Write::Delete(..) => "policy deleted",
        Write::RemoveFinalizer => "finalizer removed",
        Write::Status(_) => "status",
    }
}

async fn reread(client: &Client, view: &View) -> Result<Option<View>, DriveError> {
    let api = Api::<Quarantine>::namespaced(client.clone(), &view.release.namespace);
    let found = within_deadline(api.get_opt(&view.release.name)).await;
    let found = found.map_err(DriveError::Read)?;
    let same = found.filter(|object| object.uid().as_ref() == Some(&view.uid));
    Ok(same.map(|object| View {
        incident: view.incident.clone(),
        protected: view.protected.clone(),
        ..View::of(&view.release, &object, view.now)
    }))
}

async fn gather(
    client: &Client,
    view: &mut View,
    records: &[RecordKey],
) -> Result<(), GatherError> {
    view.live = gather::live(client, view).await?;
    if view.is_ending {
        return Ok(());
    }
    view.allowing = gather::allowing(client, view).await?;
    if view.needs_scene() {
        let scene = gather::scene(client, &view.release, records, &view.spec.actions, view.now);
        view.scene = Some(scene.await?);
    }
    Ok(())
}
