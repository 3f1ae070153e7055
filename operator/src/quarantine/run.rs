//! Runs the steps of a quarantine against the API server. The operator and `charttrust restore` both
//! do it by this.

use kube::{Api, Client, ResourceExt as _};

use super::apply::{WriteError, apply};
use super::gather;
use super::neighbourhood::Neighbourhoods;
use super::plan;
use super::reading::GatherError;
use super::step::next;
use super::view::View;
use super::write::Write;
use crate::api::Quarantine;
use crate::inventory::ReleaseId;
use crate::inventory::helm::SeenRecord;
use crate::watch::within_deadline;

/// Why a quarantine could not be brought to rest.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Something could not be read.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// The Quarantine itself could not be read.
    #[error("failed to read a Quarantine")]
    Read(#[source] kube::Error),
    /// Others change its objects all the time, or the right to write was lost.
    #[error("objects of quarantine {0} change all the time")]
    ConflictLimit(ReleaseId),
    /// A write failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Does one write after the other until none is left; whatever has changed meanwhile is read again.
/// `records` are the judged revisions of the release. `may` is asked before each write.
///
/// A Quarantine that is deleted while it is begun is handed back as it was read: whether anything is
/// put back at all (its namespace may be going), and whose word the deletion is, comes first.
///
/// # Errors
/// [`RunError`]; what was written until then stands, and the next run goes on from there.
pub async fn to_rest(
    neighbourhoods: &Neighbourhoods,
    mut view: View,
    records: &[SeenRecord],
    may: impl Fn() -> bool,
) -> Result<View, RunError> {
    let client = neighbourhoods.client();
    for _ in 0..TRIES {
        Box::pin(gather(neighbourhoods, &mut view, records)).await?;
        if write_all(client, &mut view, &may).await? {
            return Ok(view);
        }
        let Some(again) = reread(client, &view).await? else {
            view.has_finalizer = false;
            return Ok(view);
        };
        if again.is_ending && !view.is_ending {
            return Ok(again);
        }
        view = again;
    }
    Err(RunError::ConflictLimit(view.release))
}

/// How often everything is read again before the caller waits a little.
// Controllers write the status of a workload several times while it scales; six reads outlast that,
// and a person who writes in a loop does not hold a worker.
const TRIES: usize = 6;

/// More than the longest list of objects could need.
// 2048 objects take two patches each to be put back, with statuses in between.
const MOST_WRITES: usize = 8000;

/// Whether nothing is left to write; if not, something has changed.
async fn write_all(
    client: &Client,
    view: &mut View,
    may: &impl Fn() -> bool,
) -> Result<bool, RunError> {
    for _ in 0..MOST_WRITES {
        let Some(step) = next(view) else {
            return Ok(true);
        };
        if !may() {
            return Ok(false);
        }
        match apply(client, view, &step).await {
            Ok(answer) => {
                view.take_result(&step, answer);
                tracing::info!(release = %view.release, step = kind(&step), "wrote");
            }
            Err(error) => {
                if !note_conflict(client, view, &step, error).await? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(false)
}

/// Takes in that a write was not done: it is about one object, and the rest goes on, or everything
/// has to be read again.
async fn note_conflict(
    client: &Client,
    view: &mut View,
    step: &Write,
    error: WriteError,
) -> Result<bool, RunError> {
    let of_object = error.of_object();
    if let (Some(index), Some(of_object)) = (step.object(), of_object) {
        tracing::debug!(release = %view.release, error = %of_object.why, "not written");
        let live = gather::one(client, view, index).await?;
        view.note_conflict(index, live, of_object);
        return Ok(true);
    }
    match error {
        WriteError::Changed(what, _) => {
            tracing::debug!(release = %view.release, what, "changed meanwhile");
            Ok(false)
        }
        error @ WriteError::Api { .. } => Err(error.into()),
    }
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

async fn reread(client: &Client, view: &View) -> Result<Option<View>, RunError> {
    let api = Api::<Quarantine>::namespaced(client.clone(), &view.release.namespace);
    let found = within_deadline(api.get_opt(&view.release.name)).await;
    let found = found.map_err(RunError::Read)?;
    let same = found.filter(|object| object.uid().as_ref() == Some(&view.uid));
    Ok(same.map(|object| View {
        incident: view.incident.clone(),
        errors: view.errors.clone(),
        conflicts: view.conflicts.clone(),
        protected: view.protected.clone(),
        freeze: view.freeze.clone(),
        again: view.again,
        is_going: view.is_going,
        live: view.live.clone(),
        ..View::of(&view.release, &object, view.now)
    }))
}

async fn gather(
    neighbourhoods: &Neighbourhoods,
    view: &mut View,
    records: &[SeenRecord],
) -> Result<(), GatherError> {
    let client = neighbourhoods.client();
    if view.is_ending {
        view.observed = Some(gather::recorded(client, records, view.now).await);
        return gather::live(client, view).await;
    }
    let actions = &view.spec.actions;
    let unfinished = gather::Unfinished::of(view);
    let since = view.since.unwrap_or_else(neighbourhoods.tick());
    let unfinished = (unfinished, since);
    let observed = gather::observed(neighbourhoods, &view.release, records, actions, unfinished);
    view.observed = Some(observed.await?);
    gather::live(client, view).await?;
    gather::around(client, view).await?;
    view.plan = plan::of(view);
    Ok(())
}
