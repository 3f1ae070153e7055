//! The trusted root by which a signer of Sigstore is believed: the one that is compiled in, or a ConfigMap of the
//! operator's namespace.

use charttrust_verify::sigstore::Root;
use k8s_openapi::api::core::v1::ConfigMap;

use super::context::Context;
use super::own;
use super::store::roots::FoundRoot;
use crate::api;
use crate::api::data_ref::DataRef;
use crate::api::trusted_root::{TrustedRoot, TrustedRootRef};

/// The root that an object names.
pub(super) async fn find(context: &Context, reference: Option<&TrustedRootRef>) -> FoundRoot {
    let Some(TrustedRootRef { config_map: place }) = reference else {
        return FoundRoot {
            root: context.store.roots.compiled_in(),
            is_unanswered: false,
        };
    };
    let found = own::find::<ConfigMap>(context, &place.name).await;
    let is_unanswered = found.is_err();
    let root = match found {
        Ok(map) => read(context, place, map),
        Err(_) => Err(format!(
            "spec.trustedRootRef: the API server did not give ConfigMap {} in namespace {}",
            place.name, context.settings.namespace
        )),
    };
    FoundRoot {
        root: root.unwrap_or_else(Root::Unknown),
        is_unanswered,
    }
}

fn read(context: &Context, place: &DataRef, map: Option<ConfigMap>) -> Result<Root, String> {
    let DataRef { name, key } = place;
    let namespace = &context.settings.namespace;
    let map = map.ok_or_else(|| {
        format!(
            "spec.trustedRootRef: ConfigMap {name} does not exist in namespace {namespace}; create it there"
        )
    })?;
    let text = map.data.unwrap_or_default().remove(key);
    let binary = || map.binary_data.unwrap_or_default().remove(key);
    let bytes = text.map(String::into_bytes);
    let bytes = bytes.or_else(|| binary().map(|bytes| bytes.0));
    let bytes = bytes.ok_or_else(|| {
        format!(
            "spec.trustedRootRef: ConfigMap {name} in namespace {namespace} has no key {key:?}; create it"
        )
    })?;
    let root = context.store.roots.read(&bytes);
    root.map(Root::Known).map_err(|error| {
        format!("spec.trustedRootRef: {key} of ConfigMap {name} in namespace {namespace}: {error}")
    })
}

/// What a status says of a root.
pub(super) fn shown(root: &Root) -> Option<TrustedRoot> {
    let known = root.known()?;
    Some(TrustedRoot {
        digest: known.digest().to_string(),
        date: known.date().map(api::time),
    })
}
