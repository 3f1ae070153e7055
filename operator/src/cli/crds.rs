//! `charttrust crds`: prints the definitions of all kinds. Touches nothing.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::api;

/// The definitions of all kinds as YAML documents, always in the same order.
pub fn yaml() -> String {
    let documents: Vec<_> = files().into_iter().map(|(_, document)| document).collect();
    format!("---\n{}", documents.join("---\n"))
}

/// Each definition with the name of its file under `crds/`.
pub fn files() -> Vec<(String, String)> {
    let file = |definition: CustomResourceDefinition| {
        let name = format!("{}.yaml", definition.spec.names.plural);
        (name, document(&definition))
    };
    api::definitions().into_iter().map(file).collect()
}

fn document(definition: &CustomResourceDefinition) -> String {
    // Invariant: a definition is plain data, which every YAML writer can write.
    serde_saphyr::to_string(definition).expect("a definition is plain data")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_definitions_are_the_printed_ones() {
        are_the_printed_ones("../crds");
    }

    #[test]
    fn the_definitions_of_the_chart_are_the_printed_ones() {
        are_the_printed_ones("chart/files/crds");
    }

    fn are_the_printed_ones(folder: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let there: BTreeSet<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let printed: BTreeSet<_> = files().into_iter().map(|(name, _)| name).collect();
        assert_eq!(there, printed, "{folder} has other files; run `make crds`");
        for (name, document) in files() {
            let committed = std::fs::read_to_string(path.join(&name)).unwrap();
            assert!(
                committed == document,
                "{folder}/{name} is out of date; run `make crds`"
            );
        }
    }

    #[test]
    fn the_definitions_are_printed_as_one_document_each() {
        let yaml = yaml();
        assert_eq!(
            yaml.matches("---\napiVersion: apiextensions.k8s.io/v1\n")
                .count(),
            5
        );
        assert_eq!(yaml, super::yaml());
    }
}
