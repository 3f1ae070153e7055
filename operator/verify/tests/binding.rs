//! Records against archives: what is the same, what is not, and what cannot be told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::needless_pass_by_value,
    reason = "tests may stop where they fail"
)]

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use charttrust_verify::binding::{Binding, Note, compare};
use serde_json::{Value, json};
use support::{archive, decoded, files, load, record};

type Files = Vec<(String, Vec<u8>)>;

fn compared(change_files: impl Fn(&mut Files), change_record: impl Fn(&mut Value)) -> Binding {
    let mut files = files();
    change_files(&mut files);
    let mut record = record();
    change_record(&mut record);
    compare(&load(&archive(&files)).unwrap(), &decoded(&record).unwrap())
}

fn same(notes: &[Note]) -> Binding {
    Binding::Same {
        notes: notes.to_vec(),
    }
}

fn old(notes: &[Note]) -> Binding {
    Binding::OldWriter {
        notes: notes.to_vec(),
    }
}

/// Asserts that there are differences, and returns them as text.
fn differs(change: impl Fn(&mut Value)) -> String {
    text(&compared(|_| {}, change))
}

fn text(binding: &Binding) -> String {
    let Binding::Different { differences } = binding else {
        panic!("{binding:?}")
    };
    differences
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

fn set(files: &mut Files, name: &str, content: &str) {
    files.retain(|(file, _)| file != name);
    files.push((name.to_owned(), content.as_bytes().to_vec()));
}

fn data(content: &str) -> String {
    STANDARD.encode(content)
}

#[test]
fn record_of_the_archive_is_the_same() {
    assert_eq!(compared(|_| {}, |_| {}), same(&[]));
}

#[test]
fn record_by_helm_3_is_the_same() {
    let v3 = |record: &mut Value| {
        record.as_object_mut().unwrap().remove("apply_method");
        record["info"]["deleted"] = json!("");
        let chart = record["chart"].as_object_mut().unwrap();
        chart.remove("modtime");
        chart.remove("schemamodtime");
        for list in ["templates", "files"] {
            for part in chart[list].as_array_mut().unwrap() {
                part.as_object_mut().unwrap().remove("modtime");
            }
        }
    };
    assert_eq!(compared(|_| {}, v3), same(&[]));
}

#[test]
fn changed_added_removed_and_reordered_templates_differ() {
    let changed = differs(|record| record["chart"]["templates"][0]["data"] = json!(data("evil")));
    assert_eq!(changed, "template `templates/deployment.yaml` was changed");
    let added = differs(|record| {
        let part = json!({"name": "templates/evil.yaml", "data": ""});
        record["chart"]["templates"]
            .as_array_mut()
            .unwrap()
            .push(part);
    });
    assert_eq!(added, "template `templates/evil.yaml` was added");
    let removed =
        differs(|record| drop(record["chart"]["templates"].as_array_mut().unwrap().pop()));
    assert_eq!(removed, "template `templates/service.yaml` was removed");
    let reordered = differs(|record| {
        record["chart"]["templates"]
            .as_array_mut()
            .unwrap()
            .reverse();
    });
    assert_eq!(reordered, "list of templates was reordered");
}

#[test]
fn second_copy_of_a_template_differs() {
    let text = differs(|record| {
        let copy = record["chart"]["templates"][1].clone();
        record["chart"]["templates"]
            .as_array_mut()
            .unwrap()
            .push(copy);
    });
    assert_eq!(text, "template `templates/service.yaml` was added");
}

#[test]
fn changed_file_schema_and_lock_differ() {
    let file = differs(|record| record["chart"]["files"][0]["data"] = json!(data("x")));
    assert_eq!(file, "file `README.md` was changed");
    let schema = differs(|record| record["chart"]["schema"] = json!(data("{ }")));
    assert_eq!(schema, "values.schema.json was changed");
    let schema = differs(|record| record["chart"]["schema"] = Value::Null);
    assert_eq!(schema, "values.schema.json was removed");
    let lock = json!({"generated": "0001-01-01T00:00:00Z", "digest": "", "dependencies": null});
    let lock = differs(|record| record["chart"]["lock"] = lock.clone());
    assert_eq!(lock, "Chart.lock was added");
}

#[test]
fn template_recorded_as_file_differs() {
    let text = differs(|record| {
        let part = record["chart"]["templates"]
            .as_array_mut()
            .unwrap()
            .pop()
            .unwrap();
        record["chart"]["files"].as_array_mut().unwrap().push(part);
    });
    assert_eq!(
        text,
        "template `templates/service.yaml` was removed; file `templates/service.yaml` was added"
    );
}

#[test]
fn every_field_of_the_metadata_counts() {
    for (key, field, value) in [
        ("name", "name", json!("other")),
        ("version", "version", json!("1.2.4")),
        ("appVersion", "appVersion", json!("1.10")),
        ("apiVersion", "apiVersion", json!("v1")),
        ("description", "description", json!("")),
        ("keywords", "keywords", json!(["b", "a"])),
        ("maintainers", "maintainers", json!([{"name": "Eve"}])),
        ("sources", "sources", json!(["https://x"])),
        ("home", "home", json!("https://x")),
        ("icon", "icon", json!("https://x")),
        ("annotations", "annotations", json!({"a": "b"})),
        ("deprecated", "deprecated", json!(true)),
        ("kubeVersion", "kubeVersion", json!(">=1")),
        ("condition", "condition", json!("x")),
        ("tags", "tags", json!("x")),
        ("type", "type", json!("library")),
        (
            "dependencies",
            "dependencies",
            json!([{"name": "x", "repository": ""}]),
        ),
    ] {
        let text = differs(|record| record["chart"]["metadata"][key] = value.clone());
        assert_eq!(text, format!("`{field}` in Chart.yaml was changed"));
    }
}

#[test]
fn empty_null_and_false_metadata_are_as_good_as_absent() {
    let change = |record: &mut Value| {
        let metadata = &mut record["chart"]["metadata"];
        metadata["home"] = json!("");
        metadata["sources"] = json!(null);
        metadata["annotations"] = json!({});
        metadata["deprecated"] = json!(false);
        metadata["dependencies"] = json!([]);
        metadata["unknown"] = json!("x");
    };
    assert_eq!(compared(|_| {}, change), same(&[]));
}

#[test]
fn directory_order_is_a_note_only_if_all_lists_have_it() {
    let unsorted = |files: &mut Files| files.reverse();
    assert_eq!(compared(unsorted, |_| {}), same(&[Note::DirectoryOrder]));
    let text = text(&compared(unsorted, |record| {
        record["chart"]["templates"]
            .as_array_mut()
            .unwrap()
            .reverse();
    }));
    assert_eq!(text, "list of files was reordered");
}

#[test]
fn byte_order_mark_in_a_record_is_an_old_writer() {
    let change = |record: &mut Value| {
        record["chart"]["templates"][1]["data"] = json!(data("\u{feff}kind: Service\n"));
    };
    assert_eq!(compared(|_| {}, change), old(&[Note::ByteOrderMark]));
    let change = |record: &mut Value| {
        record["chart"]["schema"] = json!(data("\u{feff}{}"));
    };
    assert_eq!(compared(|_| {}, change), old(&[Note::ByteOrderMark]));
}

#[test]
fn empty_schema_is_none() {
    let files = |files: &mut Files| files[2].1.clear();
    for empty in [Value::Null, json!("")] {
        let change = |record: &mut Value| record["chart"]["schema"] = empty.clone();
        assert_eq!(compared(files, change), same(&[]));
    }
}

#[test]
fn byte_order_mark_in_an_archive_is_trimmed() {
    let change = |files: &mut Files| files[3].1 = "\u{feff}kind: Deployment\n".as_bytes().to_vec();
    assert_eq!(compared(change, |_| {}), same(&[]));
}

#[test]
fn unsanitized_metadata_are_an_old_writer_unless_something_else_differs() {
    let change = |record: &mut Value| {
        record["chart"]["metadata"]["description"] = json!("A\tweb\u{7} server");
    };
    assert_eq!(compared(|_| {}, change), old(&[Note::Unsanitized]));
    let text = differs(|record| {
        record["chart"]["metadata"]["description"] = json!("A\tweb\u{7} server");
        record["chart"]["templates"][0]["data"] = json!("");
    });
    assert_eq!(text, "template `templates/deployment.yaml` was changed");
}

#[test]
fn character_newer_than_unicode_13_is_a_note() {
    let files = |files: &mut Files| {
        let yaml = support::CHART_YAML.replace("A web server", "A web server \u{1fae0}");
        files[0].1 = yaml.into_bytes();
    };
    let stripped =
        |record: &mut Value| record["chart"]["metadata"]["description"] = json!("A web server ");
    assert_eq!(compared(files, stripped), same(&[Note::UnicodeVersion]));
}

/// A chart and a record whose descriptions are these.
fn described(archive: &str, recorded: &str) -> Binding {
    let files = |files: &mut Files| {
        let yaml = support::CHART_YAML.replace("A web server", archive);
        files[0].1 = yaml.into_bytes();
    };
    compared(files, |record| {
        record["chart"]["metadata"]["description"] = json!(recorded);
    })
}

#[test]
fn only_characters_newer_than_unicode_13_may_be_missing() {
    let first_and_last = [
        '\u{61d}',
        '\u{870}',
        '\u{88e}',
        '\u{9ffd}',
        '\u{9fff}',
        '\u{fdfe}',
        '\u{fdff}',
        '\u{1fadf}',
        '\u{1fae9}',
        '\u{31350}',
        '\u{323af}',
    ];
    for letter in first_and_last {
        let binding = described(&format!("web{letter}"), "web");
        assert_eq!(binding, same(&[Note::UnicodeVersion]), "{letter:?}");
    }
    let neighbours = [
        '\u{61e}',
        '\u{86a}',
        '\u{8a0}',
        '\u{9ffc}',
        '\u{a000}',
        '\u{fdfd}',
        '\u{1fa95}',
        '\u{3134a}',
        'b',
        ' ',
    ];
    for letter in neighbours {
        let binding = described(&format!("we{letter}b"), "web");
        let description = "`description` in Chart.yaml was changed";
        assert_eq!(text(&binding), description, "{letter:?}");
    }
}

/// Unicode 15 knows the first of the two only.
#[test]
fn writer_may_know_some_of_the_newer_characters() {
    let binding = described("web \u{1fae8}\u{1fae9}", "web \u{1fae8}");
    assert_eq!(binding, same(&[Note::UnicodeVersion]));
}

#[test]
fn other_values_are_only_a_note() {
    let change = |record: &mut Value| record["chart"]["values"]["replicas"] = json!(2);
    assert_eq!(compared(|_| {}, change), same(&[Note::ValuesDiffer]));
}

#[test]
fn other_modification_times_are_only_a_note() {
    for path in [
        "/chart/modtime",
        "/chart/templates/1/modtime",
        "/chart/files/0/modtime",
    ] {
        let change = |record: &mut Value| {
            *record.pointer_mut(path).unwrap() = json!("2026-01-01T00:00:00Z");
        };
        assert_eq!(compared(|_| {}, change), same(&[Note::ModificationTimes]));
    }
}

#[test]
fn a_version_suffix_as_flux_appends_it_is_a_difference() {
    let mut json = record();
    json["chart"]["metadata"]["version"] = json!("1.2.3+0123456789ab");
    let (chart, record) = (load(&archive(&files())).unwrap(), decoded(&json).unwrap());
    assert_eq!(
        text(&compare(&chart, &record)),
        "`version` in Chart.yaml was changed"
    );
}

#[test]
fn values_that_cannot_be_read_are_only_a_note() {
    let change = |files: &mut Files| set(files, "values.yaml", "a: b: c");
    assert_eq!(compared(change, |_| {}), same(&[Note::ValuesUnreadable]));
}

#[test]
fn many_differences_are_bounded_and_counted() {
    let text = differs(|record| {
        let part = |index| json!({"name": format!("templates/{index}.yaml"), "data": ""});
        record["chart"]["templates"] = (0..100).map(part).collect();
    });
    assert!(text.ends_with("; 86 more parts differ"), "{text}");
}

#[test]
fn names_out_of_a_record_are_shown_safely() {
    let name = format!("templates/\u{1b}[31m\u{202e}`{}", "x".repeat(200));
    let text = differs(|record| record["chart"]["templates"][0]["name"] = json!(name));
    assert!(
        text.contains("templates/\\u{1b}[31m\\u{202e}\\u{60}xxx"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}') && text.contains('…'));
}

/// The base chart with two conditional subcharts, one of them aliased.
fn with_dependencies(files: &mut Files) {
    let dependencies = "dependencies:\n\
        - {name: db, version: 1.x.x, repository: 'https://x', condition: 'db.enabled,global.db'}\n\
        - {name: db, version: 1.0.0, repository: '', alias: cache, tags: [extra]}\n\
        - {name: log, version: 1.0.0, repository: '', import-values: [data, {child: a, parent: b}]}\n";
    files[0].1.extend(dependencies.as_bytes());
    set(
        files,
        "charts/db/Chart.yaml",
        "apiVersion: v2\nname: db\nversion: 1.0.0\n",
    );
    set(files, "charts/db/values.yaml", "size: 1\n");
    set(
        files,
        "charts/log/Chart.yaml",
        "apiVersion: v2\nname: log\nversion: 1.0.0\n",
    );
    set(
        files,
        "charts/log/values.yaml",
        "exports: {data: {level: 3}}\na: {x: 1}\n",
    );
}

fn db() -> Value {
    json!({"name": "db", "version": "1.x.x", "repository": "https://x", "enabled": true,
           "condition": "db.enabled,global.db"})
}

fn cache() -> Value {
    json!({"name": "cache", "version": "1.0.0", "repository": "", "enabled": true,
           "tags": ["extra"], "alias": "cache"})
}

fn log() -> Value {
    json!({"name": "log", "version": "1.0.0", "repository": "", "enabled": true, "import-values":
           [{"child": "exports.data", "parent": "."}, {"child": "a", "parent": "b"}]})
}

/// What Helm makes of the values with all dependencies enabled (checked with Helm 4.3.1).
fn merged() -> Value {
    let log = json!({"global": {}, "exports": {"data": {"level": 3}}, "a": {"x": 1}});
    json!({"replicas": 1, "image": {"tag": "x"}, "db": {"global": {}, "size": 1},
           "cache": {"global": {}, "size": 1}, "log": log, "level": 3, "b": {"x": 1}})
}

fn with(config: Value, dependencies: Vec<Value>, values: Value) -> Binding {
    compared(with_dependencies, |record| {
        record["config"] = config.clone();
        record["chart"]["metadata"]["dependencies"] = Value::Array(dependencies.clone());
        record["chart"]["values"] = values.clone();
    })
}

#[test]
fn dependencies_are_recorded_enabled_with_alias_and_imports() {
    assert_eq!(
        with(json!({}), vec![db(), cache(), log()], merged()),
        same(&[])
    );
}

#[test]
fn disabled_dependencies_are_missing_rightly() {
    let config = json!({"db": {"enabled": false}, "tags": {"extra": false}});
    let binding = with(config, vec![log()], json!({}));
    assert_eq!(binding, same(&[Note::ValuesDiffer]));
    let config = json!({"global": {"db": false}});
    let binding = with(config, vec![cache(), log()], json!({}));
    assert_eq!(binding, same(&[Note::ValuesDiffer]));
}

#[test]
fn conditional_dependency_missing_without_reason_differs() {
    let binding = with(json!({}), vec![cache(), log()], merged());
    assert_eq!(text(&binding), "`dependencies` in Chart.yaml was changed");
    let binding = with(
        json!({"db": {"enabled": "false"}}),
        vec![cache(), log()],
        merged(),
    );
    assert_eq!(text(&binding), "`dependencies` in Chart.yaml was changed");
}

#[test]
fn unconditional_dependency_missing_or_changed_differs() {
    let config = json!({"log": {"enabled": false}});
    assert!(matches!(
        with(config, vec![db(), cache()], merged()),
        Binding::Different { .. }
    ));
    let mut other = log();
    other["repository"] = json!("https://evil");
    assert!(matches!(
        with(json!({}), vec![db(), cache(), other], merged()),
        Binding::Different { .. }
    ));
    let reordered = with(json!({}), vec![log(), db(), cache()], merged());
    assert!(matches!(reordered, Binding::Different { .. }));
}

#[test]
fn dependencies_may_follow_reused_values() {
    let mut values = merged();
    values["db"]["enabled"] = json!(false);
    let notes = [Note::ReusedValues, Note::ValuesDiffer];
    assert_eq!(with(json!({}), vec![cache(), log()], values), same(&notes));
}

/// `getAliasDependency`: a chart of another version is not the one that has the alias.
#[test]
fn subchart_of_another_version_keeps_its_own_name() {
    let files = |files: &mut Files| {
        let dependency =
            "dependencies: [{name: db, version: 2.x.x, repository: '', alias: cache}]\n";
        files[0].1.extend(dependency.as_bytes());
        set(files, "charts/db/Chart.yaml", "{name: db, version: 1.0.0}");
        set(files, "charts/db/values.yaml", "size: 1\n");
    };
    let binding = compared(files, |record| {
        record["chart"]["metadata"]["dependencies"] = json!([
            {"name": "cache", "version": "2.x.x", "repository": "", "enabled": true, "alias": "cache"}
        ]);
        record["chart"]["values"]["db"] = json!({"global": {}, "size": 1});
    });
    assert_eq!(binding, same(&[]));
}

/// The base chart in the old format.
fn v1(files: &mut Files) {
    files[0].1 = support::CHART_YAML
        .replace("apiVersion: v2\n", "")
        .into_bytes();
    set(files, "requirements.yaml", "dependencies: []\n");
}

fn v1_record(record: &mut Value) {
    record["chart"]["metadata"]["apiVersion"] = json!("v1");
}

#[test]
fn requirements_of_old_charts_are_files_except_for_very_old_writers() {
    let part = json!({"name": "requirements.yaml", "data": data("dependencies: []\n")});
    let change = |record: &mut Value| {
        v1_record(record);
        record["chart"]["files"]
            .as_array_mut()
            .unwrap()
            .push(part.clone());
    };
    assert_eq!(compared(v1, change), same(&[]));
    assert_eq!(compared(v1, v1_record), old(&[Note::RequirementsFiles]));
    let marked = |record: &mut Value| {
        v1_record(record);
        record["chart"]["templates"][1]["data"] = json!(data("\u{feff}kind: Service\n"));
        record["chart"]["schema"] = json!(data("\u{feff}{}"));
    };
    let notes = [Note::ByteOrderMark, Note::RequirementsFiles];
    assert_eq!(compared(v1, marked), old(&notes));
}

#[test]
fn no_other_file_of_an_old_chart_may_be_missing() {
    let binding = compared(v1, |record| {
        v1_record(record);
        record["chart"]["files"].as_array_mut().unwrap().remove(0);
    });
    assert_eq!(text(&binding), "file `README.md` was removed");
}

/// The base chart in the old format, as `helm package` writes it, with a subchart.
fn packaged_v1(files: &mut Files) {
    v1(files);
    files.retain(|(name, _)| name != "requirements.yaml");
    set(files, "charts/a/Chart.yaml", "name: a\nversion: 1.0.0\n");
}

/// The record of an old chart with these dependencies in its Chart.yaml.
fn depending_on(record: &mut Value, dependencies: &Value) {
    v1_record(record);
    record["chart"]["metadata"]["dependencies"] = dependencies.clone();
}

fn v1_lock(record: &mut Value) {
    v1_record(record);
    record["chart"]["lock"] = json!({"generated": "2026-01-01T00:00:00Z", "digest": "x"});
}

#[test]
fn unpacked_old_chart_cannot_be_told_from_a_changed_one() {
    let a = json!({"name": "a", "version": "1.0.0", "repository": ""});
    let alias = json!({"name": "b", "version": "1.0.0", "repository": "", "alias": "b"});
    for dependencies in [json!([a]), json!([alias]), json!([a, alias])] {
        let change = |record: &mut Value| depending_on(record, &dependencies);
        assert_eq!(compared(packaged_v1, change), old(&[Note::DirectoryV1]));
    }
    assert_eq!(compared(packaged_v1, v1_lock), old(&[Note::DirectoryV1]));
    let binding = compared(packaged_v1, |record| {
        depending_on(record, &json!([a]));
        record["chart"]["metadata"]["icon"] = json!("https://x");
    });
    assert_eq!(text(&binding), "`icon` in Chart.yaml was changed");
}

#[test]
fn dependency_without_its_subchart_was_added_to_the_record_of_an_old_chart() {
    let (a, b) = (
        json!({"name": "a", "repository": ""}),
        json!({"name": "b", "repository": ""}),
    );
    let alias = json!({"name": "a", "repository": "", "alias": "a"});
    let without = |files: &mut Files| {
        packaged_v1(files);
        files.retain(|(name, _)| !name.starts_with("charts/"));
    };
    let both = json!([a, b]);
    for (packaged, dependencies) in [
        (&packaged_v1 as &dyn Fn(&mut Files), json!([b])),
        (&packaged_v1, both),
        (&without, json!([a])),
        (&without, json!([alias])),
    ] {
        let binding = compared(packaged, |record| depending_on(record, &dependencies));
        assert_eq!(text(&binding), "`dependencies` in Chart.yaml was changed");
    }
}

#[test]
fn record_in_another_order_than_that_of_a_directory_explains_no_lock_or_dependency() {
    let unsorted = |files: &mut Files| {
        packaged_v1(files);
        files.reverse();
    };
    let reverse = |record: &mut Value| {
        for list in ["templates", "files"] {
            record["chart"][list].as_array_mut().unwrap().reverse();
        }
    };
    let plain = |record: &mut Value| {
        v1_record(record);
        reverse(record);
    };
    assert_eq!(compared(unsorted, plain), same(&[]));
    let lock = |record: &mut Value| {
        v1_lock(record);
        reverse(record);
    };
    assert_eq!(text(&compared(unsorted, lock)), "Chart.lock was added");
    let dependency = |record: &mut Value| {
        depending_on(record, &json!([{"name": "a", "repository": ""}]));
        reverse(record);
    };
    assert_eq!(
        text(&compared(unsorted, dependency)),
        "`dependencies` in Chart.yaml was changed"
    );
}

#[test]
fn dependencies_under_values_that_cannot_be_read_cannot_be_judged() {
    let files = |files: &mut Files| {
        with_dependencies(files);
        set(files, "values.yaml", "a: b: c");
    };
    let change = |record: &mut Value| {
        record["chart"]["metadata"]["dependencies"] = json!([log()]);
    };
    assert_eq!(compared(files, change), old(&[Note::ValuesUnreadable]));
    let binding = compared(files, |record| {
        change(record);
        record["chart"]["metadata"]["icon"] = json!("https://x");
    });
    let expected = "`dependencies` in Chart.yaml was changed; `icon` in Chart.yaml was changed";
    assert_eq!(text(&binding), expected);
}
