//! Reads a `TrustedIdentity`, has the releases judged that it concerns, and writes its status.

mod status;

use charttrust_verify::sigstore::{IdentityRevocation, KnownIdentity, Window};
use jiff::Timestamp;
use kube::ResourceExt as _;

use self::status::Known;
use crate::api::TrustedIdentity;
use crate::api::trusted_identity::TrustedIdentityStatus;
use crate::clock::Moment;
use crate::controllers::cache::{ReadIdentity, root_of};
use crate::controllers::context::{Context, RETRY};
use crate::controllers::error::Error;
use crate::controllers::events::reference_of;
use crate::controllers::life;
use crate::controllers::root;
use crate::controllers::shares;
use crate::controllers::signer_events::{Signer, announce};
use crate::controllers::sigstore;
use crate::controllers::store::Reading;
use crate::controllers::store::roots::FoundRoot;
use crate::controllers::store::signers::{LoadedIdentity, Sought};
use crate::controllers::task::Task;

/// Takes the object into what is known, and has everything that depends on it judged again.
pub(in crate::controllers) async fn reconcile(context: &Context, name: &str, moment: Moment) {
    let object = context.cache.identities.find(&name.to_owned());
    let object = object.as_deref();
    let reading = reading(context, object, moment.date);
    if let Some(known) = still_true(context, name, &reading) {
        return schedule(context, name, &known, moment);
    }
    let root = gather(context, object).await;
    let loaded = object
        .zip(root)
        .map(|(object, root)| parse(object, root, reading));
    keep(context, name, loaded, moment);
}

/// The trusted root by which it is believed; `None` if the object is gone.
async fn gather(context: &Context, object: Option<&ReadIdentity>) -> Option<FoundRoot> {
    let reference = readable(object?).and_then(|it| it.spec.trusted_root_ref.as_ref());
    Some(root::find(context, reference).await)
}

/// The object, or what can be read of it.
pub(crate) fn readable(object: &ReadIdentity) -> Option<&TrustedIdentity> {
    match object {
        Ok(object) => Some(object),
        Err(unreadable) => unreadable.remains.as_ref(),
    }
}

/// What the object says.
pub(crate) fn parse(object: &ReadIdentity, root: FoundRoot, reading: Reading) -> LoadedIdentity {
    let problem = object.as_ref().err().map(|one| one.problem.as_str());
    match (readable(object), problem) {
        (Some(object), problem) => LoadedIdentity::of(object, problem, root, reading),
        (None, problem) => LoadedIdentity::unreadable(problem.unwrap_or_default(), reading),
    }
}

/// Stores the identity; releases, policies and incidents that it concerns are looked at again.
fn keep(context: &Context, name: &str, loaded: Option<LoadedIdentity>, moment: Moment) {
    if let Some(loaded) = &loaded {
        schedule(context, name, loaded, moment);
    }
    report(name, loaded.as_ref());
    let known = loaded.as_ref().and_then(|loaded| loaded.known.clone());
    let _change = context.change(None, moment.tick);
    let before = context.store.set_identity(name, loaded);
    let before = before.and_then(|before| before.known);
    let both = before.iter().chain(&known).map(Sought::Identity);
    let releases = sigstore::concerned(context, both);
    sigstore::judge_again(context, releases, moment);
    let tasks = &context.queues.tasks;
    tasks.add(Task::IdentityStatus(name.to_owned()));
}

/// Whoever investigates later wants to know from when on an identity counted.
fn report(name: &str, loaded: Option<&LoadedIdentity>) {
    match loaded.map(|loaded| &loaded.problem) {
        None => tracing::info!(identity = name, "identity is gone"),
        Some(None) => tracing::info!(identity = name, "identity was read"),
        Some(Some(problem)) => {
            tracing::warn!(identity = name, problem, "identity cannot be used");
        }
    }
}

/// Which state of the object this is.
fn reading(context: &Context, object: Option<&ReadIdentity>, at: Timestamp) -> Reading {
    let Some(Ok(object)) = object else {
        return Reading::gone(at);
    };
    let root = root_of(object.spec.trusted_root_ref.as_ref());
    let root = root.map(|place| context.cache.own_version(&place));
    let details = format!("{:?} {:?} {root:?}", object.metadata.uid, object.labels());
    Reading {
        generation: object.metadata.generation.unwrap_or_default(),
        details,
        at,
    }
}

/// What is known of this very state, if neither time nor a failure calls for another look.
fn still_true(context: &Context, name: &str, reading: &Reading) -> Option<LoadedIdentity> {
    let known = context.store.trust().identities.get(name)?.clone();
    let holds = known.reading.holds(reading, ends(&known)) && !known.waits_for_root;
    holds.then_some(known)
}

/// Instants at which time alone changes what the identity is worth, or what is to be said of its end.
fn ends(loaded: &LoadedIdentity) -> impl Iterator<Item = Timestamp> {
    let identity = loaded.known.as_ref().map(|known| &known.identity);
    let end = identity.and_then(|identity| identity.not_after);
    let revocation = identity.and_then(|identity| identity.revocation.as_ref());
    let windows = revocation
        .map(IdentityRevocation::windows)
        .unwrap_or_default();
    let borders = |window: &Window| [Some(window.from()), window.until()];
    let borders = windows.iter().flat_map(borders).flatten();
    let end = end.into_iter();
    let end = end.flat_map(|end| life::warnings(end).chain([end]));
    end.chain(borders).collect::<Vec<_>>().into_iter()
}

/// Has the identity read again when time changes what it is worth, or when its root could not be read.
fn schedule(context: &Context, name: &str, loaded: &LoadedIdentity, moment: Moment) {
    let wait = if loaded.waits_for_root {
        Some(RETRY)
    } else {
        life::wait(ends(loaded), moment.date)
    };
    if let Some(wait) = wait {
        let task = Task::Identity(name.to_owned());
        context.queues.tasks.add_at(task, moment.tick + wait);
    }
}

/// Writes the status if anything but the time has changed.
pub(in crate::controllers) async fn write_status(
    context: &Context,
    name: &str,
    moment: Moment,
) -> Result<(), Error> {
    let object = context.cache.identities.find(&name.to_owned());
    let Some(Ok(object)) = object.as_deref() else {
        return Ok(());
    };
    let trust = context.store.trust();
    let Some(loaded) = trust.identities.get(name) else {
        return Ok(());
    };
    let signed_by = |known: &KnownIdentity| context.store.signed_by(Sought::Identity(known));
    let releases = loaded.known.as_ref().map(signed_by).unwrap_or_default();
    let statuses = &context.store.identity_statuses;
    let known = context.share.as_ref().and_then(|_| statuses.known(object));
    let shown = known.map(|status| status.shards);
    let (shown, told) = (shown.unwrap_or_default(), &context.store.shares.identities);
    let Some(sum) = shares::sum(context, object, releases, shown, told).await? else {
        return Ok(());
    };
    let known = Known {
        loaded,
        successor: object.spec.successor.as_deref(),
        releases: &sum.releases,
    };
    let conclude = |old: Option<&_>| TrustedIdentityStatus {
        shards: sum.shards.clone(),
        ..status::conclude(old, &known, moment.date)
    };
    let Some(update) = statuses.concluded(object, conclude) else {
        return Ok(());
    };
    let told = update.told.as_ref();
    let conditions = told.map(|old| old.conditions.as_slice());
    let signer = Signer {
        reference: reference_of(&update.object),
        before: conditions.unwrap_or_default(),
        after: &update.new.conditions,
        releases: update.new.releases,
    };
    announce(context, signer).await;
    let what = "write the status of a TrustedIdentity";
    let written = statuses.write(&context.client, update, what).await;
    shares::unless_overtaken(context, Task::IdentityStatus(name.to_owned()), written)
}
