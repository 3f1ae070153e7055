//! Where objects of each kind are on the API server, and what they look like in JSON.

use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;

use super::policies;
use super::target::Target;

/// The kind of a target.
pub(super) fn of(target: &Target) -> ApiResource {
    let kind = GroupVersionKind::gvk(target.group, target.version, target.kind);
    ApiResource::from_gvk_with_plural(&kind, target.plural)
}

/// `NetworkPolicy`.
pub(super) fn policy() -> ApiResource {
    let kind = GroupVersionKind::gvk("networking.k8s.io", "v1", policies::KIND);
    ApiResource::from_gvk_with_plural(&kind, "networkpolicies")
}

/// `Pod`.
pub(super) fn pod() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods")
}

/// `HorizontalPodAutoscaler`.
pub(super) fn autoscaler() -> ApiResource {
    let kind = GroupVersionKind::gvk("autoscaling", "v2", "HorizontalPodAutoscaler");
    ApiResource::from_gvk_with_plural(&kind, "horizontalpodautoscalers")
}

/// The `NetworkPolicies` of a namespace.
pub(super) fn policies_in(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &policy())
}

/// An object as JSON. Items of a list do not say what they are.
pub(super) fn named(object: &DynamicObject, resource: &ApiResource) -> Value {
    say_kind(json_of(object), resource)
}

/// The same object, which says what it is.
pub(super) fn say_kind(mut value: Value, resource: &ApiResource) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.insert(
            "apiVersion".to_owned(),
            resource.api_version.as_str().into(),
        );
        fields.insert("kind".to_owned(), resource.kind.as_str().into());
    }
    value
}

/// An object as JSON.
pub(super) fn json_of(object: &DynamicObject) -> Value {
    // Invariant: what was read as JSON can be written as JSON.
    serde_json::to_value(object).unwrap_or_default()
}

/// Whether the server knows the kind, and no such object.
pub(super) fn is_missing(error: &kube::Error) -> bool {
    let named = |status: &kube::core::Status| {
        let details = status.details.as_ref();
        details.is_some_and(|details| !details.name.is_empty())
    };
    matches!(error, kube::Error::Api(status) if status.is_not_found() && named(status))
}

/// Whether the server knows no such kind. It says so in plain text, so only the code tells.
pub(super) fn is_unknown(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
