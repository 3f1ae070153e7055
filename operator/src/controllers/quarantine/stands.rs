//! Whether what a quarantine would rest on is on the API server as it was judged by. Reads only.
//!
//! A watch may lag: behind a cache of the API server, or a connection that says nothing. What begins has no earlier
//! version that could refuse it, as every other write has.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures::future::try_join_all;
use kube::api::ListParams;
use kube::core::ClusterResourceScope;
use kube::{Api, Resource};

use crate::api::{ChartTrustPolicy, TrustedIdentity, TrustedKey};
use crate::controllers::context::Context;
use crate::controllers::error::Error;
use crate::parse::LoadedPolicy;
use crate::watch::{LeanMeta, pages, within_deadline};

/// The uid and generation of an object.
type State = (Option<String>, Option<i64>);

/// What was judged by and is not on the server as it was then, by kind and name; the watch will tell it.
///
/// # Errors
/// If the server does not say.
pub(super) async fn changed(
    context: &Context,
    name: &str,
    loaded: &LoadedPolicy,
) -> Result<Option<String>, Error> {
    let keys = context
        .cache
        .keys
        .all()
        .into_iter()
        .filter_map(|(name, key)| {
            let key = key.as_ref().as_ref().ok()?;
            Some((name, (key.metadata.uid.clone(), key.metadata.generation)))
        });
    let keys: BTreeMap<String, State> = keys.collect();
    let identities = context.cache.identities.all().into_iter();
    let identities = identities.filter_map(|(name, identity)| {
        let identity = identity.as_ref().as_ref().ok()?;
        Some((
            name,
            (identity.metadata.uid.clone(), identity.metadata.generation),
        ))
    });
    let identities: BTreeMap<String, State> = identities.collect();
    let (policy, others_changed, key, identity) = futures::try_join!(
        state::<ChartTrustPolicy>(context, name),
        others_changed(context, name),
        other::<TrustedKey>(context, &keys),
        other::<TrustedIdentity>(context, &identities),
    )?;
    let generation = policy.and_then(|(_, generation)| generation);
    if generation != Some(loaded.generation) {
        return Ok(Some(format!("ChartTrustPolicy {name}")));
    }
    if others_changed {
        return Ok(Some(format!(
            "what other replicas say of ChartTrustPolicy {name}"
        )));
    }
    let key = key.map(|name| format!("TrustedKey {name}"));
    Ok(key.or_else(|| identity.map(|name| format!("TrustedIdentity {name}"))))
}

/// Whether others, where several replicas share the work, say something else than what was decided by.
async fn others_changed(context: &Context, name: &str) -> Result<bool, Error> {
    if context.share.is_none() {
        return Ok(false);
    }
    let Some(object) = context.cache.policies.find(&name.to_owned()) else {
        return Ok(true);
    };
    let Ok(object) = object.as_ref() else {
        return Ok(true);
    };
    let known = context.store.policy_statuses.known(object);
    let all = Api::<ChartTrustPolicy>::all(context.client.clone());
    let found = within_deadline(all.get_opt(name)).await;
    let found = found.map_err(|error| Error::Api("read what other replicas say", error))?;
    let now = found.and_then(|object| object.status);
    Ok(now.map(|status| status.shards) != known.map(|status| status.shards))
}

/// One of these that the server has otherwise, or not at all.
async fn other<K>(
    context: &Context,
    known: &BTreeMap<String, State>,
) -> Result<Option<String>, Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug,
{
    if known.is_empty() {
        return Ok(None);
    }
    let now: BTreeMap<String, State> = if known.len() <= ASKED_BY_NAME {
        let each = known.keys().map(|name| async move {
            let state = state::<K>(context, name).await?;
            Ok::<_, Error>(state.map(|state| (name.clone(), state)))
        });
        let found = try_join_all(each).await?;
        found.into_iter().flatten().collect()
    } else {
        states::<K>(context).await?
    };
    let is_other = |(name, state): &(&String, &State)| now.get(*name) != Some(*state);
    let other = known.iter().find(is_other);
    Ok(other.map(|(name, _)| name.clone()))
}

/// An API server asks its store for one object at once; before it lists, it takes up to a tenth of a second to know that
/// what it has in memory is what there is.
const ASKED_BY_NAME: usize = 16;

async fn state<K>(context: &Context, name: &str) -> Result<Option<State>, Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug,
{
    let api = Api::<LeanMeta<K>>::all(context.client.clone());
    let found = within_deadline(api.get_opt(name)).await;
    let found = found.map_err(unread)?;
    Ok(found.map(|object| (object.metadata.uid, object.metadata.generation)))
}

async fn states<K>(context: &Context) -> Result<BTreeMap<String, State>, Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug,
{
    let api = Api::<LeanMeta<K>>::all(context.client.clone());
    let state = |object: LeanMeta<K>| {
        let meta = object.metadata;
        Some((meta.name?, (meta.uid, meta.generation)))
    };
    let all = pages(&api, ListParams::default(), state).await;
    Ok(all.map_err(unread)?.into_iter().collect())
}

fn unread(error: kube::Error) -> Error {
    Error::Api("read what a quarantine would rest on", error)
}
