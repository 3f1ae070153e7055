//! Label selectors.

use std::collections::BTreeSet;

use charttrust_verify::policy::{LabelSelector, Requirement};
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use super::Problems;

/// A selector whose requirements can all be understood.
pub(super) fn selector(
    path: &str,
    selector: &meta::LabelSelector,
    problems: &mut Problems,
) -> LabelSelector {
    let labels = selector.match_labels.iter().flatten();
    let equal =
        labels.map(|(key, value)| Requirement::In(key.clone(), BTreeSet::from([value.clone()])));
    let mut requirements: Vec<_> = equal.collect();
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        requirements.extend(problems.take(&path, requirement(expression)));
    }
    LabelSelector(requirements)
}

/// The same of a selector that we have not written; nothing if a requirement cannot be understood.
pub fn label_selector(given: &meta::LabelSelector) -> Option<LabelSelector> {
    let mut problems = Problems::default();
    let read = selector("", given, &mut problems);
    problems.into_vec().is_empty().then_some(read)
}

fn requirement(expression: &meta::LabelSelectorRequirement) -> Result<Requirement, SelectorError> {
    let key = expression.key.clone();
    let values: BTreeSet<_> = expression.values.iter().flatten().cloned().collect();
    match (expression.operator.as_str(), values.is_empty()) {
        ("DoesNotExist", true) => Ok(Requirement::DoesNotExist(key)),
        ("Exists", true) => Ok(Requirement::Exists(key)),
        ("In", false) => Ok(Requirement::In(key, values)),
        ("NotIn", false) => Ok(Requirement::NotIn(key, values)),
        ("DoesNotExist" | "Exists", false) => Err(SelectorError::NeedlessValues),
        ("In" | "NotIn", true) => Err(SelectorError::NoValues),
        _ => Err(SelectorError::UnknownOperator),
    }
}

/// Why a requirement cannot be understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
enum SelectorError {
    #[error("has values that Exists and DoesNotExist do not take, remove them")]
    NeedlessValues,
    #[error("has no values, give some, or use Exists or DoesNotExist")]
    NoValues,
    #[error("has an unknown operator, use In, NotIn, Exists or DoesNotExist")]
    UnknownOperator,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> (LabelSelector, Vec<String>) {
        let mut problems = Problems::default();
        let read = selector("s", &serde_saphyr::from_str(yaml).unwrap(), &mut problems);
        (
            read,
            problems
                .into_vec()
                .iter()
                .map(ToString::to_string)
                .collect(),
        )
    }

    #[test]
    fn an_empty_selector_requires_nothing() {
        assert_eq!(read("{}"), (LabelSelector::default(), Vec::new()));
    }

    #[test]
    fn labels_and_expressions_are_all_required() {
        let yaml = "{matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}, \
                    {key: d, operator: NotIn, values: [e]}]}";
        let (selector, problems) = read(yaml);
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            selector.0,
            [
                Requirement::In("a".to_owned(), BTreeSet::from(["b".to_owned()])),
                Requirement::Exists("c".to_owned()),
                Requirement::NotIn("d".to_owned(), BTreeSet::from(["e".to_owned()])),
            ]
        );
    }

    #[test]
    fn expressions_that_mean_nothing_are_named() {
        for expression in [
            "{key: a, operator: In}",
            "{key: a, operator: NotIn, values: []}",
            "{key: a, operator: Exists, values: [b]}",
            "{key: a, operator: Gt, values: [b]}",
        ] {
            let (_, problems) = read(&format!("{{matchExpressions: [{expression}]}}"));
            assert!(
                problems[0].starts_with("s.matchExpressions[0]: has "),
                "{expression}"
            );
        }
    }
}
