//! Secrets and `ConfigMap`s of the operator's own namespace.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::context::Context;
use crate::watch::within_deadline;

/// One object, if it is there. By list and not by get: our role grants `list` and `watch` of Secrets
/// and `ConfigMap`s, and `get` would be one more right to lose.
pub(super) async fn find<K>(context: &Context, name: &str) -> kube::Result<Option<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned,
{
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = within_deadline(api::<K>(context).list(&params)).await?;
    Ok(found.items.into_iter().next())
}

/// The objects of a kind.
pub(super) fn api<K>(context: &Context) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(context.client.clone(), &context.settings.namespace)
}
