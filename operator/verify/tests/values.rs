//! Values and dependencies of many charts, as Helm 3 and Helm 4 recorded them (`values/make.sh`).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop where they fail"
)]

mod support;

use std::collections::BTreeMap;

use charttrust_verify::binding::{Binding, Note, compare};
use charttrust_verify::chart::Chart;
use serde::Deserialize;
use serde_json::{Value, json};
use support::{archive, decoded, load};

/// A chart, the user's values, and what was recorded of it.
#[derive(Deserialize)]
struct Case {
    name: String,
    files: BTreeMap<String, String>,
    config: Value,
    /// `None` if Helm 3 refuses the chart.
    helm3: Option<Recorded>,
    helm4: Recorded,
}

#[derive(Clone, Deserialize)]
struct Recorded {
    dependencies: Vec<Value>,
    values: Value,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("values/cases.json")).unwrap()
}

impl Case {
    fn chart(&self) -> Chart {
        let files = self.files.iter();
        let files: Vec<_> = files
            .map(|(name, text)| (name.clone(), text.clone().into_bytes()))
            .collect();
        load(&archive(&files)).unwrap()
    }

    /// Compares the chart with a record that differs from the base in dependencies and values only.
    fn compared(&self, chart: &Chart, recorded: &Recorded) -> Binding {
        let mut record = support::record();
        record["config"] = self.config.clone();
        record["chart"] = json!({
            "metadata": {
                "name": "web",
                "version": "1.0.0",
                "apiVersion": "v2",
                "dependencies": recorded.dependencies,
            },
            "values": recorded.values,
        });
        compare(chart, &decoded(&record).unwrap())
    }
}

fn same(notes: &[Note]) -> Binding {
    Binding::Same {
        notes: notes.to_vec(),
    }
}

#[test]
fn both_helms_record_what_is_expected() {
    for case in cases() {
        let chart = case.chart();
        for recorded in case.helm3.iter().chain([&case.helm4]) {
            let binding = case.compared(&chart, recorded);
            assert_eq!(binding, same(&[]), "{}: {recorded:?}", case.name);
        }
    }
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.values)
    }
}

/// The value with one change in it, for every place where one can be made.
fn changes(value: &Value) -> Vec<Value> {
    let mut changed = vec![json!("changed")];
    match value {
        Value::Object(map) => {
            let more = |key: &str, value: Value| {
                let mut map = map.clone();
                map.insert(key.to_owned(), value);
                Value::Object(map)
            };
            changed.push(more("added", Value::Null));
            for (key, value) in map {
                let mut fewer = map.clone();
                fewer.remove(key);
                changed.push(Value::Object(fewer));
                changed.extend(changes(value).into_iter().map(|value| more(key, value)));
            }
        }
        Value::Array(items) => {
            changed.push(items.iter().cloned().chain([Value::Null]).collect());
            for (index, value) in items.iter().enumerate() {
                changed.push(items[..index].iter().cloned().collect());
                changed.extend(changes(value).into_iter().map(|value| {
                    let mut items = items.clone();
                    items[index] = value;
                    Value::Array(items)
                }));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    changed
}

#[test]
fn no_change_of_recorded_values_goes_unnoticed() {
    for case in cases() {
        let chart = case.chart();
        for values in changes(&case.helm4.values).into_iter().skip(1) {
            let recorded = Recorded {
                values,
                ..case.helm4.clone()
            };
            let is_helm3 = |helm3: &Recorded| helm3.values == recorded.values;
            if case.helm3.as_ref().is_some_and(is_helm3) {
                continue;
            }
            let binding = case.compared(&chart, &recorded);
            assert_eq!(
                binding,
                same(&[Note::ValuesDiffer]),
                "{}: {recorded:?}",
                case.name
            );
        }
    }
}

#[test]
fn no_dependency_may_be_missing_or_changed() {
    for case in cases() {
        let chart = case.chart();
        for index in 0..case.helm4.dependencies.len() {
            let mut without = case.helm4.clone();
            without.dependencies.remove(index);
            let mut other = case.helm4.clone();
            other.dependencies[index]["repository"] = json!("https://other.example.com");
            for recorded in [without, other] {
                let binding = case.compared(&chart, &recorded);
                let differs = matches!(binding, Binding::Different { .. });
                assert!(differs, "{}: {binding:?}", case.name);
            }
        }
    }
}

/// A values.yaml and what it is recorded as; `None` if Helm refuses it.
#[derive(Deserialize)]
struct Yaml {
    text: String,
    helm3: Option<Value>,
    helm4: Option<Value>,
}

#[test]
fn yaml_means_what_both_helms_read_in_it() {
    let all: Vec<Yaml> = serde_json::from_str(include_str!("values/yaml.json")).unwrap();
    for yaml in all {
        let case = Case {
            name: yaml.text.clone(),
            files: BTreeMap::from([
                (
                    "Chart.yaml".into(),
                    "{name: web, version: 1.0.0, apiVersion: v2}".into(),
                ),
                ("values.yaml".into(), yaml.text),
            ]),
            config: json!({}),
            helm3: None,
            helm4: recorded(None),
        };
        let chart = case.chart();
        let unread = yaml.helm3.is_none() && !FORGIVEN.contains(&case.name.as_str());
        for values in [yaml.helm3, yaml.helm4] {
            let binding = case.compared(&chart, &recorded(values.clone()));
            if unread {
                assert_eq!(binding, same(&[Note::ValuesUnreadable]), "{:?}", case.name);
            } else if values.is_some() {
                assert_eq!(binding, same(&[]), "{:?}", case.name);
            }
        }
    }
}

/// What Helm refuses and we read: there is no record of such a chart.
const FORGIVEN: [&str; 4] = [
    "%YAML 1.2\n---\na: 1\n",
    "\ta: 1\n",
    "a: !!timestamp 2001-1\n",
    "x: &x [{a: 1}, {b: 1}]\ny: {<<: *x}\n",
];

fn recorded(values: Option<Value>) -> Recorded {
    Recorded {
        dependencies: Vec::new(),
        values: values.unwrap_or_default(),
    }
}
