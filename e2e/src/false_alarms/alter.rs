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
    let chart = &release["chart"];
    let mut all = Vec::new();
    let mut alter = |name, change: &dyn Fn(&mut Value) -> Option<()>| {
        let mut release = release.clone();
        if change(&mut release["chart"]).is_some() && release["chart"] != *chart {
            all.push(Alteration { name, release });
        }
    };
    alter("template added", &|chart| {
        add(&mut chart["templates"], "templates/zz-added.yaml")
    });
    alter("first template changed", &|chart| {
        change(chart["templates"].get_mut(0)?)
    });
    alter("last template changed", &|chart| {
        change(last(&mut chart["templates"])?)
    });
    alter("first template removed", &|chart| {
        remove(&mut chart["templates"])
    });
    alter("template renamed", &|chart| {
        rename(chart["templates"].get_mut(0)?)
    });
    alter("template doubled", &|chart| double(&mut chart["templates"]));
    alter("templates reversed", &|chart| {
        reverse(&mut chart["templates"])
    });
    alter("file added", &|chart| {
        add(&mut chart["files"], "zz-added.txt")
    });
    alter("first file changed", &|chart| {
        change(chart["files"].get_mut(0)?)
    });
    alter("last file changed", &|chart| {
        change(last(&mut chart["files"])?)
    });
    alter("first file removed", &|chart| remove(&mut chart["files"]));
    alter("file renamed", &|chart| rename(chart["files"].get_mut(0)?));
    alter("file doubled", &|chart| double(&mut chart["files"]));
    alter("files reversed", &|chart| reverse(&mut chart["files"]));
    alter("dependency added", &|chart| {
        add_dependency(&mut chart["metadata"])
    });
    alter("dependency removed", &|chart| {
        remove(&mut chart["metadata"]["dependencies"])
    });
    for (name, field) in [
        ("dependency renamed", "name"),
        ("dependency of another version", "version"),
        ("dependency from elsewhere", "repository"),
        ("dependency with another condition", "condition"),
        ("dependency with another alias", "alias"),
    ] {
        alter(name, &|chart| {
            let dependency = chart["metadata"]["dependencies"]
                .get_mut(0)?
                .as_object_mut()?;
            dependency.insert(field.to_owned(), json!("altered"));
            Some(())
        });
    }
    for (name, field) in [
        ("chart renamed", "name"),
        ("chart of another version", "version"),
        ("chart of another appVersion", "appVersion"),
        ("chart with another description", "description"),
        ("chart of another type", "type"),
    ] {
        alter(name, &|chart| {
            chart["metadata"]
                .as_object_mut()?
                .insert(field.to_owned(), json!("9.9.9"));
            Some(())
        });
    }
    alter("lock added", &|chart| {
        let absent = chart["lock"].is_null();
        chart["lock"] = json!({"digest": "sha256:0", "dependencies": []});
        absent.then_some(())
    });
    alter("lock removed", &|chart| {
        let present = !chart["lock"].is_null();
        chart["lock"] = Value::Null;
        present.then_some(())
    });
    alter("lock with another digest", &|chart| {
        chart["lock"]
            .as_object_mut()?
            .insert("digest".to_owned(), json!("sha256:0"));
        Some(())
    });
    alter("lock with another version", &|chart| {
        let dependency = chart["lock"]["dependencies"].get_mut(0)?.as_object_mut()?;
        dependency.insert("version".to_owned(), json!("9.9.9"));
        Some(())
    });
    alter("schema added", &|chart| {
        let absent = chart["schema"].as_str().unwrap_or_default().is_empty();
        chart["schema"] = json!(BASE64_STANDARD.encode("{}"));
        absent.then_some(())
    });
    alter("schema changed", &|chart| {
        let mut schema = BASE64_STANDARD.decode(chart["schema"].as_str()?).ok()?;
        schema.push(b' ');
        Some(chart["schema"] = json!(BASE64_STANDARD.encode(schema)))
    });
    alter("schema removed", &|chart| {
        let present = !chart["schema"].as_str().unwrap_or_default().is_empty();
        chart["schema"] = Value::Null;
        present.then_some(())
    });
    all
}

fn list(parts: &mut Value) -> &mut Vec<Value> {
    if parts.is_null() {
        *parts = json!([]);
    }
    // Invariant: what Helm writes here is a list or null.
    parts.as_array_mut().expect("a list of parts")
}

fn last(parts: &mut Value) -> Option<&mut Value> {
    parts.as_array_mut()?.last_mut()
}

fn add(parts: &mut Value, name: &str) -> Option<()> {
    list(parts).push(json!({"name": name, "data": BASE64_STANDARD.encode("kind: Pod\n")}));
    Some(())
}

fn add_dependency(metadata: &mut Value) -> Option<()> {
    let dependency = json!({"name": "added", "version": "1.0.0", "enabled": true});
    list(
        metadata
            .as_object_mut()?
            .entry("dependencies")
            .or_insert(Value::Null),
    )
    .push(dependency);
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
    list(parts).push(again);
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

    fn names(chart: Value) -> Vec<&'static str> {
        alterations(&json!({"chart": chart}))
            .iter()
            .map(|one| one.name)
            .collect()
    }

    #[test]
    fn only_what_is_there_is_changed_or_removed() {
        let names = names(json!({"metadata": {"name": "a"}, "templates": null, "files": null}));
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
        let names = names(json!({"metadata": {"version": "9.9.9"}, "templates": [part]}));
        assert!(names.contains(&"first template changed"));
        assert!(!names.contains(&"templates reversed"));
        assert!(!names.contains(&"chart of another version"));
    }
}
