//! The definitions of our kinds in the cluster, against those of this program: `helm upgrade` leaves what lies
//! in a folder `crds`, and a field that the API server does not know is dropped without a word.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use serde_json::Value;

use super::report::{Line, State};
use super::said;
use crate::api;
use crate::cli::program;

/// A definition of ours, and what the cluster has under its name.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    ours: CustomResourceDefinition,
    theirs: Result<Option<CustomResourceDefinition>, String>,
}

/// Reads the definitions of all our kinds.
pub(super) async fn look(client: &Client) -> Vec<Kind> {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    let mut kinds = Vec::new();
    for ours in api::definitions() {
        let name = ours.metadata.name.clone().unwrap_or_default();
        let theirs = definitions.get_opt(&name).await;
        let theirs = theirs.map_err(|error| said(&error));
        kinds.push(Kind { ours, theirs });
    }
    kinds
}

/// How a definition stands to ours.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Standing {
    /// There is none.
    Missing,
    /// The API server does not serve it.
    NotServed(String),
    /// It lacks fields.
    Lacks(Vec<String>),
    /// It has fields that we do not know.
    Newer(Vec<String>),
    /// It has the same fields with other rules.
    Differs,
    Same,
}

/// One line of all, or of each that is not as ours.
pub(super) fn told(kinds: &[Kind]) -> Vec<Line> {
    let lines: Vec<_> = kinds.iter().filter_map(line).collect();
    if lines.is_empty() {
        let message = format!("{} definitions, as this program has them", kinds.len());
        return vec![Line::ok(CHECK, message)];
    }
    lines
}

const CHECK: &str = "kinds";

fn line(kind: &Kind) -> Option<Line> {
    let name = &kind.ours.spec.names.kind;
    let standing = match &kind.theirs {
        Err(why) => {
            let what = format!("the definition of {name}");
            return Some(Line::unknown(CHECK, &what, why));
        }
        Ok(None) => Standing::Missing,
        Ok(Some(theirs)) => standing(&kind.ours, theirs),
    };
    let apply = || format!("{} crds | kubectl apply --server-side -f -", program());
    let (state, message, next) = match standing {
        Standing::Same => return None,
        Standing::Missing => (
            State::Failed,
            format!("the cluster does not know {name}"),
            apply(),
        ),
        Standing::NotServed(why) => (
            State::Failed,
            format!("the API server does not serve {name}: {why}"),
            "kubectl describe crd tells more; delete what has taken its name".to_owned(),
        ),
        Standing::Lacks(fields) => (
            State::Failed,
            format!(
                "the definition of {name} is older than this program: what stands in {} is dropped",
                some(&fields)
            ),
            apply(),
        ),
        Standing::Newer(fields) => (
            State::Warning,
            format!(
                "the definition of {name} is newer than this program, which does not know {}",
                some(&fields)
            ),
            "use the program of the same version as the operator".to_owned(),
        ),
        Standing::Differs => (
            State::Warning,
            format!("the definition of {name} has other rules than this program's"),
            apply(),
        ),
    };
    Some(Line::new(CHECK, state, message, next))
}

/// A few of many.
fn some(fields: &[String]) -> String {
    let shown = fields.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    let more = fields.len().saturating_sub(SHOWN);
    if more == 0 {
        shown.join(", ")
    } else {
        format!("{} and {more} more", shown.join(", "))
    }
}

/// Most fields that are named.
const SHOWN: usize = 4;

fn standing(ours: &CustomResourceDefinition, theirs: &CustomResourceDefinition) -> Standing {
    if let Some(why) = not_served(ours, theirs) {
        return Standing::NotServed(why);
    }
    let (ours, theirs) = (schema(ours), schema(theirs));
    let (own, others) = (fields(&ours), fields(&theirs));
    let lacking: Vec<_> = own.difference(&others).cloned().collect();
    let more: Vec<_> = others.difference(&own).cloned().collect();
    if !lacking.is_empty() {
        Standing::Lacks(lacking)
    } else if !more.is_empty() {
        Standing::Newer(more)
    } else if ours == theirs {
        Standing::Same
    } else {
        Standing::Differs
    }
}

/// Why the API server does not answer for our version of a kind.
fn not_served(
    ours: &CustomResourceDefinition,
    theirs: &CustomResourceDefinition,
) -> Option<String> {
    let mut versions = ours.spec.versions.iter();
    let is_served = |name: &str| {
        let mut all = theirs.spec.versions.iter();
        all.any(|version| version.name == name && version.served)
    };
    if let Some(version) = versions.find(|version| !is_served(&version.name)) {
        return Some(format!("not in version {}", version.name));
    }
    let status = theirs.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    let fault = conditions.find(|one| {
        let is_good = matches!(one.type_.as_str(), "Established" | "NamesAccepted");
        is_good && one.status == "False"
    })?;
    let message = fault.message.as_deref().unwrap_or_default();
    Some(format!("{} is False: {message}", fault.type_))
}

/// What the API server checks objects by; descriptions are for people.
fn schema(definition: &CustomResourceDefinition) -> Value {
    let mut versions = definition.spec.versions.iter();
    let served = versions.find(|version| version.name == VERSION);
    let schema = served.and_then(|version| version.schema.as_ref());
    let schema = schema.and_then(|schema| schema.open_api_v3_schema.as_ref());
    let mut schema = serde_json::to_value(schema).unwrap_or_default();
    undescribe(&mut schema, Level::Schema);
    schema
}

/// The version in which commands ask for our kinds.
const VERSION: &str = "v1alpha1";

/// Whether names of fields are ours to choose here, `description` among them.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Names,
    Schema,
}

fn undescribe(schema: &mut Value, level: Level) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(|one| undescribe(one, level)),
        Value::Object(members) => {
            if level == Level::Schema {
                members.remove("description");
            }
            for (name, member) in members {
                let is_names = level == Level::Schema && name == "properties";
                let level = if is_names {
                    Level::Names
                } else {
                    Level::Schema
                };
                undescribe(member, level);
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every field by its path.
fn fields(schema: &Value) -> BTreeSet<String> {
    fn collect(schema: &Value, path: &str, into: &mut BTreeSet<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            collect(field, &path, into);
            into.insert(path.trim_start_matches('.').to_owned());
        }
        if schema["items"].is_object() {
            collect(&schema["items"], &format!("{path}[]"), into);
        }
    }
    let mut all = BTreeSet::new();
    collect(schema, "", &mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> CustomResourceDefinition {
        api::definitions().remove(0)
    }

    /// Ours after a change of its JSON.
    fn changed(change: impl FnOnce(&mut Value)) -> CustomResourceDefinition {
        let mut json = serde_json::to_value(ours()).unwrap();
        change(&mut json);
        serde_json::from_value(json).unwrap()
    }

    const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";

    #[test]
    fn a_definition_stands_to_ours_as_its_fields_say() {
        let suspend = || "spec.suspend".to_owned();
        assert_eq!(standing(&ours(), &ours()), Standing::Same);
        let described = changed(|json| {
            json.pointer_mut(SPEC).unwrap()["suspend"]["description"] = "other".into();
        });
        assert_eq!(standing(&ours(), &described), Standing::Same);
        let older = changed(|json| {
            let fields = json.pointer_mut(SPEC).unwrap();
            fields.as_object_mut().unwrap().remove("suspend");
        });
        assert_eq!(standing(&ours(), &older), Standing::Lacks(vec![suspend()]));
        assert_eq!(standing(&older, &ours()), Standing::Newer(vec![suspend()]));
        let bounds = changed(|json| {
            json.pointer_mut(SPEC).unwrap()["interval"]["maxLength"] = 7.into();
        });
        assert_eq!(standing(&ours(), &bounds), Standing::Differs);
        let unserved = changed(|json| json["spec"]["versions"][0]["served"] = false.into());
        assert!(matches!(
            standing(&ours(), &unserved),
            Standing::NotServed(why) if why == "not in version v1alpha1"
        ));
        let refused = changed(|json| {
            json["status"] = serde_json::json!({"conditions": [{"type": "NamesAccepted",
                "status": "False", "reason": "X", "message": "ctp is taken"}]});
        });
        assert!(matches!(
            standing(&ours(), &refused),
            Standing::NotServed(why) if why.contains("ctp is taken")
        ));
    }

    /// A field may be called `description`.
    #[test]
    fn only_descriptions_are_passed_over() {
        let of = |text: &str| {
            let mut schema: Value = serde_json::from_str(text).unwrap();
            undescribe(&mut schema, Level::Schema);
            schema
        };
        let with = r#"{"description": "a", "properties": {"description": {"type": "string"}}}"#;
        let without = r#"{"properties": {"description": {"type": "string"}}}"#;
        assert_eq!(of(with), of(without));
        assert_ne!(of(without), of(r#"{"properties": {}}"#));
    }

    #[test]
    fn each_kind_that_is_not_as_ours_has_a_line() {
        let kind = |theirs| Kind {
            ours: ours(),
            theirs,
        };
        let good = told(&[kind(Ok(Some(ours())))]);
        assert_eq!((good.len(), good[0].state), (1, State::Ok));
        let bad = told(&[
            kind(Ok(None)),
            kind(Err("forbidden".to_owned())),
            kind(Ok(Some(ours()))),
        ]);
        let states: Vec<_> = bad.iter().map(|line| line.state).collect();
        assert_eq!(states, [State::Failed, State::Unknown]);
        assert!(
            bad[0]
                .next
                .as_ref()
                .unwrap()
                .contains("crds | kubectl apply")
        );
        let many: Vec<_> = (0..6).map(|n| format!("f{n}")).collect();
        assert_eq!(some(&many), "f0, f1, f2, f3 and 2 more");
    }
}
