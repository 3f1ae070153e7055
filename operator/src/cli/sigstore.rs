//! Signers of Sigstore as the operator reads them, for what is foretold. Reads only.

use std::collections::BTreeMap;

use charttrust_verify::sigstore::Root;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use super::cluster::chain;
use crate::api::data_ref::DataRef;
use crate::api::trusted_root::TrustedRootRef;
use crate::controllers::store::Content;
use crate::controllers::store::roots::{self, FoundRoot};
use crate::controllers::store::signers::Sought;

/// The trusted roots that objects name, by name and entry of their ConfigMaps.
#[derive(Debug, Default)]
pub(super) struct Roots {
    all: roots::Roots,
    read: BTreeMap<(String, String), Root>,
}

impl Roots {
    /// Reads those that are named. Of one that people may not read nothing is known.
    pub(super) async fn read(
        client: &Client,
        namespace: &str,
        references: impl Iterator<Item = &TrustedRootRef>,
    ) -> Self {
        let mut roots = Self::default();
        for TrustedRootRef { config_map: place } in references {
            let key = (place.name.clone(), place.key.clone());
            if !roots.read.contains_key(&key) {
                let bytes = bytes(client, namespace, place).await;
                let root = bytes.and_then(|bytes| {
                    let read = roots.all.read(&bytes);
                    read.map_err(|error| error.to_string())
                });
                let root = root.map_or_else(Root::Unknown, Root::Known);
                roots.read.insert(key, root);
            }
        }
        roots
    }

    /// The root that an object names.
    pub(super) fn of(&self, reference: Option<&TrustedRootRef>) -> FoundRoot {
        let named = reference.map(|it| (it.config_map.name.clone(), it.config_map.key.clone()));
        let root = match named {
            None => self.all.compiled_in(),
            Some(key) => {
                let missing = || Root::Unknown("it was not read".to_owned());
                self.read.get(&key).cloned().unwrap_or_else(missing)
            }
        };
        FoundRoot {
            root,
            is_unanswered: false,
        }
    }
}

/// Whether there is a verified signature by somebody.
pub(super) fn is_signed(content: &Content, by: Sought<'_>) -> bool {
    content.bundles().any(|bundle| by.has_signed(bundle))
}

async fn bytes(client: &Client, namespace: &str, place: &DataRef) -> Result<Vec<u8>, String> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let map = api.get_opt(&place.name).await;
    let map = map.map_err(|error| chain(&error))?.unwrap_or_default();
    let text = map.data.unwrap_or_default().remove(&place.key);
    let binary = map.binary_data.unwrap_or_default().remove(&place.key);
    let bytes = text.map(String::into_bytes).or(binary.map(|it| it.0));
    bytes.ok_or_else(|| format!("{} has no key {:?}", place.name, place.key))
}
