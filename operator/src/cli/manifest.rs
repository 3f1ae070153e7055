//! Objects as people commit them. Touches nothing.

use kube::ResourceExt;
use serde::Serialize;
use serde_json::json;

/// The object without what the server and the operator add.
pub(super) fn manifest(kind: &str, object: &impl ResourceExt, spec: &impl Serialize) -> String {
    let mut metadata = json!({"name": object.name_any()});
    let mut annotations = object.annotations().clone();
    // It holds the object as it was before; in Git it would be noise, and `kubectl apply` writes it anew.
    annotations.remove(LAST_APPLIED);
    for (field, map) in [("annotations", &annotations), ("labels", object.labels())] {
        if !map.is_empty() {
            metadata[field] = json!(map);
        }
    }
    let document = json!({
        "apiVersion": "charttrust.io/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    });
    // Invariant: plain data, which every YAML writer can write.
    serde_saphyr::to_string(&document).unwrap_or_default()
}

/// What `kubectl apply` keeps.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
