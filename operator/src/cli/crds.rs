//! `charttrust crds`: prints the definitions of all kinds. Touches nothing.

use crate::api;

/// The definitions of all kinds as YAML documents, always in the same order.
pub fn yaml() -> String {
    files()
        .into_iter()
        .map(|(_, document)| format!("---\n{document}"))
        .collect()
}

/// Each definition with the name of its file under `crds/`.
pub fn files() -> Vec<(String, String)> {
    api::definitions()
        .iter()
        .map(|definition| {
            let name = format!("{}.yaml", definition.spec.names.plural);
            // Invariant: a definition is plain data, which every YAML writer can write.
            (
                name,
                serde_saphyr::to_string(definition).expect("a definition is plain data"),
            )
        })
        .collect()
}
