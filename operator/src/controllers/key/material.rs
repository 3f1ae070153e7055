//! The bytes of a key, from wherever its object says.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use crate::api::TrustedKey;
use crate::api::data_ref::DataRef;
use crate::api::reasons::KeyReason;
use crate::controllers::context::Context;
use crate::controllers::own;
use crate::parse::KeyProblem;

/// The bytes of the key, from wherever the object says.
pub(in crate::controllers) async fn material(
    context: &Context,
    object: &TrustedKey,
) -> Result<Vec<u8>, KeyProblem> {
    let place = &object.spec.public_key;
    if let Some(inline) = &place.inline {
        return Ok(inline.clone().into_bytes());
    }
    if let Some(reference) = &place.config_map_ref {
        return from_config_map(context, reference).await;
    }
    match &place.secret_ref {
        Some(reference) => from_secret(context, reference).await,
        None => Err(KeyProblem::new(
            KeyReason::InvalidSpec,
            "spec.publicKey: set one of inline, configMapRef and secretRef",
        )),
    }
}

async fn from_config_map(context: &Context, place: &DataRef) -> Result<Vec<u8>, KeyProblem> {
    let found = own::find::<ConfigMap>(context, &place.name).await;
    let map = found.map_err(|_| unread(context, place))?;
    let map = map.ok_or_else(|| absent(context, "ConfigMap", place))?;
    let text = map
        .data
        .unwrap_or_default()
        .remove(&place.key)
        .map(String::into_bytes);
    let bytes = || {
        map.binary_data
            .unwrap_or_default()
            .remove(&place.key)
            .map(|bytes| bytes.0)
    };
    text.or_else(bytes).ok_or_else(|| missing(context, place))
}

async fn from_secret(context: &Context, place: &DataRef) -> Result<Vec<u8>, KeyProblem> {
    let found = own::find::<Secret>(context, &place.name).await;
    let secret = found.map_err(|_| unread(context, place))?;
    let secret = secret.ok_or_else(|| absent(context, "Secret", place))?;
    let bytes = secret.data.unwrap_or_default().remove(&place.key);
    bytes
        .map(|bytes| bytes.0)
        .ok_or_else(|| missing(context, place))
}

fn absent(context: &Context, kind: &str, place: &DataRef) -> KeyProblem {
    let message = format!(
        "spec.publicKey: {kind} {} does not exist in namespace {}; create it there",
        place.name, context.settings.namespace
    );
    KeyProblem::new(KeyReason::MaterialMissing, &message)
}

fn missing(context: &Context, place: &DataRef) -> KeyProblem {
    let message = format!(
        "spec.publicKey: {} in namespace {} has no key {:?}; create it",
        place.name, context.settings.namespace, place.key
    );
    KeyProblem::new(KeyReason::MaterialMissing, &message)
}

fn unread(context: &Context, place: &DataRef) -> KeyProblem {
    let message = format!(
        "spec.publicKey: the API server did not give {} in namespace {}",
        place.name, context.settings.namespace
    );
    KeyProblem::new(KeyReason::ProgressingWithRetry, &message)
}
