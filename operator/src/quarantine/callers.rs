//! Which objects of the whole cluster have the API server call a Service. Writes nothing.

use futures::future::join_all;
use kube::Client;
use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use serde_json::Value;

use super::reading::{self, Forbidden, GatherError, unless_forbidden};
use super::servers;

/// What has the API server call a Service, of all namespaces.
#[derive(Debug)]
pub(super) struct Callers {
    pub(super) objects: Vec<Value>,
    /// Kinds that may not be read.
    pub(super) unread: Vec<Forbidden>,
}

impl Callers {
    /// Lists them.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub(super) async fn list(client: &Client) -> Result<Self, GatherError> {
        let (mut objects, mut unread) = (Vec::new(), Vec::new());
        let lists = [MUTATING, VALIDATING, API].map(|one| of_kind(client, one));
        for some in join_all(lists).await {
            objects.extend(unless_forbidden(some, &mut unread)?);
        }
        Ok(Self { objects, unread })
    }
}

async fn of_kind(client: &Client, one: Kind) -> Result<Vec<Value>, GatherError> {
    let some = |object| servers::caller(object).into_iter().collect();
    reading::select(client, &kind(one), None, some).await
}

/// Group, version, kind and plural.
pub(super) type Kind = [&'static str; 4];
const MUTATING: Kind = [
    "admissionregistration.k8s.io",
    "v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
];
const VALIDATING: Kind = [
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
];
const API: Kind = ["apiregistration.k8s.io", "v1", "APIService", "apiservices"];

/// Where to ask for it.
pub(super) fn kind([group, version, kind, plural]: Kind) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}
