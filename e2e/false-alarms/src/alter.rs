//! The other side: what somebody could change in a record must be found.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use charttrust_verify::binding::{self, Binding};
use charttrust_verify::chart::Chart;
use charttrust_verify::limits::RecordLimits;
use charttrust_verify::release;
use serde_json::{Value, json};

/// A change of a record, and the changed record.
#[derive(Debug)]
pub(super) struct Alteration {
    /// What was changed.
    pub(super) name: &'static str,
    /// The record after it.
    pub(super) release: Value,
}

/// What the engine says of a record.
pub(super) fn judge(chart: &Chart, release: &Value) -> Result<Binding, String> {
    let json = serde_json::to_vec(release).map_err(|error| error.to_string())?;
    // Helm reads records without compression as well, and they are cheaper to make. They are
    // larger than a Secret may be.
    let payload = BASE64_STANDARD.encode(json);
    let limits = RecordLimits {
        payload_bytes: payload.len(),
        ..RecordLimits::default()
    };
    compare(chart, payload.as_bytes(), &limits)
}

/// What the engine says of a record as it is stored.
pub(super) fn judge_payload(chart: &Chart, payload: &[u8]) -> Result<Binding, String> {
    compare(chart, payload, &RecordLimits::default())
}

fn compare(chart: &Chart, payload: &[u8], limits: &RecordLimits) -> Result<Binding, String> {
    let record = release::decode(payload, limits).map_err(|error| error.to_string())?;
    Ok(binding::compare(chart, &record))
}

/// Every change of this record that has to be found.
pub(super) fn alterations(release: &Value) -> Vec<Alteration> {
    let all = [&PARTS[..], &DEPENDENCIES, &METADATA, &LOCK, &SCHEMA].concat();
    all.into_iter()
        .filter_map(|change| change.applied(release))
        .collect()
}

/// One way to change the chart of a record; `None` where there is nothing to change.
#[derive(Clone, Copy)]
struct Change(&'static str, fn(&mut Value) -> Option<()>);

impl Change {
    fn applied(self, release: &Value) -> Option<Alteration> {
        let Self(name, change) = self;
        let mut changed = release.clone();
        change(&mut changed["chart"])?;
        (changed["chart"] != release["chart"]).then_some(Alteration {
            name,
            release: changed,
        })
    }
}

const PARTS: [Change; 14] = [
    Change("template added", |chart| {
        add(&mut chart["templates"], "templates/zz-added.yaml")
    }),
    Change("first template changed", |chart| {
        change(chart["templates"].get_mut(0)?)
    }),
    Change("last template changed", |chart| {
        change(last(&mut chart["templates"])?)
    }),
    Change("first template removed", |chart| {
        remove(&mut chart["templates"])
    }),
    Change("template renamed", |chart| {
        rename(chart["templates"].get_mut(0)?)
    }),
    Change("template doubled", |chart| double(&mut chart["templates"])),
    Change("templates reversed", |chart| {
        reverse(&mut chart["templates"])
    }),
    Change("file added", |chart| {
        add(&mut chart["files"], "zz-added.txt")
    }),
    Change("first file changed", |chart| {
        change(chart["files"].get_mut(0)?)
    }),
    Change("last file changed", |chart| {
        change(last(&mut chart["files"])?)
    }),
    Change("first file removed", |chart| remove(&mut chart["files"])),
    Change("file renamed", |chart| rename(chart["files"].get_mut(0)?)),
    Change("file doubled", |chart| double(&mut chart["files"])),
    Change("files reversed", |chart| reverse(&mut chart["files"])),
];

const DEPENDENCIES: [Change; 7] = [
    Change("dependency added", |chart| {
        add_dependency(&mut chart["metadata"])
    }),
    Change("dependency removed", |chart| {
        remove(&mut chart["metadata"]["dependencies"])
    }),
    Change("dependency renamed", |chart| dependency(chart, "name")),
    Change("dependency of another version", |chart| {
        dependency(chart, "version")
    }),
    Change("dependency from elsewhere", |chart| {
        dependency(chart, "repository")
    }),
    Change("dependency with another condition", |chart| {
        dependency(chart, "condition")
    }),
    Change("dependency with another alias", |chart| {
        dependency(chart, "alias")
    }),
];

const METADATA: [Change; 5] = [
    Change("chart renamed", |chart| metadata(chart, "name")),
    Change("chart of another version", |chart| {
        metadata(chart, "version")
    }),
    Change("chart of another appVersion", |chart| {
        metadata(chart, "appVersion")
    }),
    Change("chart with another description", |chart| {
        metadata(chart, "description")
    }),
    Change("chart of another type", |chart| metadata(chart, "type")),
];

const LOCK: [Change; 4] = [
    Change("lock added", |chart| {
        let absent = chart["lock"].is_null();
        chart["lock"] = json!({"digest": "sha256:0", "dependencies": []});
        absent.then_some(())
    }),
    Change("lock removed", |chart| {
        let present = !chart["lock"].is_null();
        chart["lock"] = Value::Null;
        present.then_some(())
    }),
    Change("lock with another digest", |chart| {
        set(&mut chart["lock"], "digest", "sha256:0")
    }),
    Change("lock with another version", |chart| {
        set(
            chart["lock"]["dependencies"].get_mut(0)?,
            "version",
            "9.9.9",
        )
    }),
];

const SCHEMA: [Change; 3] = [
    Change("schema added", |chart| {
        let absent = chart["schema"].as_str().unwrap_or_default().is_empty();
        chart["schema"] = json!(BASE64_STANDARD.encode("{}"));
        absent.then_some(())
    }),
    Change("schema changed", |chart| {
        let mut schema = BASE64_STANDARD.decode(chart["schema"].as_str()?).ok()?;
        schema.push(b' ');
        chart["schema"] = json!(BASE64_STANDARD.encode(schema));
        Some(())
    }),
    Change("schema removed", |chart| {
        let present = !chart["schema"].as_str().unwrap_or_default().is_empty();
        chart["schema"] = Value::Null;
        present.then_some(())
    }),
];

fn set(object: &mut Value, field: &str, to: &str) -> Option<()> {
    object.as_object_mut()?.insert(field.to_owned(), json!(to));
    Some(())
}

fn dependency(chart: &mut Value, field: &str) -> Option<()> {
    set(
        chart["metadata"]["dependencies"].get_mut(0)?,
        field,
        "altered",
    )
}

fn metadata(chart: &mut Value, field: &str) -> Option<()> {
    set(&mut chart["metadata"], field, "9.9.9")
}

/// A list of parts, which may be null when it is empty.
fn list(parts: &mut Value) -> Option<&mut Vec<Value>> {
    if parts.is_null() {
        *parts = json!([]);
    }
    parts.as_array_mut()
}

fn last(parts: &mut Value) -> Option<&mut Value> {
    parts.as_array_mut()?.last_mut()
}

fn add(parts: &mut Value, name: &str) -> Option<()> {
    list(parts)?.push(json!({"name": name, "data": BASE64_STANDARD.encode("kind: Pod\n")}));
    Some(())
}

fn add_dependency(metadata: &mut Value) -> Option<()> {
    let dependency = json!({"name": "added", "version": "1.0.0", "enabled": true});
    let dependencies = metadata
        .as_object_mut()?
        .entry("dependencies")
        .or_insert(Value::Null);
    list(dependencies)?.push(dependency);
    Some(())
}

fn change(part: &mut Value) -> Option<()> {
    let mut data = BASE64_STANDARD
        .decode(part["data"].as_str().unwrap_or_default())
        .ok()?;
    data.push(b'\n');
    part["data"] = json!(BASE64_STANDARD.encode(data));
    Some(())
}

fn remove(parts: &mut Value) -> Option<()> {
    let parts = parts.as_array_mut().filter(|parts| !parts.is_empty())?;
    parts.remove(0);
    Some(())
}

fn rename(part: &mut Value) -> Option<()> {
    let name = format!("{}.renamed", part["name"].as_str()?);
    part["name"] = json!(name);
    Some(())
}

/// The same name again: Helm renders the last.
fn double(parts: &mut Value) -> Option<()> {
    let mut again = parts.get(0)?.clone();
    change(&mut again)?;
    list(parts)?.push(again);
    Some(())
}

/// No reversed list is that of a directory, unless it has one part only.
fn reverse(parts: &mut Value) -> Option<()> {
    parts.as_array_mut()?.reverse();
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(chart: &Value) -> Vec<&'static str> {
        alterations(&json!({"chart": chart}))
            .iter()
            .map(|one| one.name)
            .collect()
    }

    #[test]
    fn only_what_is_there_is_changed_or_removed() {
        let names = names(&json!({"metadata": {"name": "a"}, "templates": null, "files": null}));
        assert!(names.contains(&"template added") && names.contains(&"lock added"));
        for absent in [
            "first file removed",
            "lock removed",
            "schema changed",
            "files reversed",
        ] {
            assert!(!names.contains(&absent), "{absent}");
        }
    }

    #[test]
    fn a_change_that_changes_nothing_is_none() {
        let part = json!({"name": "templates/a", "data": ""});
        let names = names(&json!({"metadata": {"version": "9.9.9"}, "templates": [part]}));
        assert!(names.contains(&"first template changed"));
        assert!(!names.contains(&"templates reversed"));
        assert!(!names.contains(&"chart of another version"));
    }
}
