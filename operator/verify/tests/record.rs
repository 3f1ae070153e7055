//! Release records: layers, shapes and limits.

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
use charttrust_verify::limits::RecordLimits;
use charttrust_verify::release::{ManifestObject, Record, RecordError, Status, decode};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{decoded, gzip, payload, record};

fn changed(change: impl Fn(&mut Value)) -> Result<Record, RecordError> {
    let mut record = record();
    change(&mut record);
    decoded(&record)
}

fn text() -> String {
    serde_json::to_string(&record()).unwrap()
}

fn with_text(text: &str) -> Result<Record, RecordError> {
    decode(&payload(text.as_bytes()), &RecordLimits::default())
}

fn not_helms(result: &Result<Record, RecordError>) {
    assert!(
        matches!(result, Err(RecordError::Json { .. })),
        "{result:?}"
    );
}

fn object(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> ManifestObject {
    ManifestObject {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        generated: false,
    }
}

fn manifest(text: &str) -> Record {
    changed(|record| record["manifest"] = json!(text)).unwrap()
}

#[test]
fn record_is_decoded() {
    let record = decoded(&record()).unwrap();
    assert_eq!(
        (record.name.as_str(), record.namespace.as_str()),
        ("shop", "prod")
    );
    assert_eq!((record.revision, record.status), (3, Status::Deployed));
    assert_eq!(record.apply_method.as_deref(), Some("ssa"));
    assert_eq!(
        record.last_deployed.unwrap().to_string(),
        "2026-11-22T10:00:00.5Z"
    );
    assert_eq!(record.chart.metadata.name, "web");
    let objects = [
        object("v1", "Service", None, "shop-web"),
        object("apps/v1", "Deployment", Some("other"), "shop-web"),
    ];
    assert_eq!(record.objects, objects);
    assert_eq!(record.unread_objects, 0);
}

/// Helm installs whatever lies there, before all else and without its marks.
#[test]
fn what_is_installed_as_a_definition_is_listed_with_what_hooks_make() {
    let evil = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: evil\n";
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: b\n";
    let both = format!("# A comment\n---\n{definition}---\n{evil}");
    let listed = |name: &str, content: &str| {
        let file = json!({"name": name, "data": STANDARD.encode(content)});
        let record = changed(|record| record["chart"]["files"] = json!([file])).unwrap();
        let names = record.hooks.iter().map(|one| one.name.clone());
        (names.collect::<Vec<_>>(), record.unread_objects)
    };
    for name in ["crds/a.yaml", "crds/below/a.yml", "crds/a.json"] {
        assert_eq!(listed(name, &both), (vec!["evil".to_owned()], 0), "{name}");
    }
    for name in ["a.yaml", "crds/a.txt", "files/crds/a.yaml"] {
        assert_eq!(listed(name, evil), (Vec::new(), 0), "{name}");
    }
    assert_eq!(listed("crds/a.yaml", definition), (Vec::new(), 0));
    assert_eq!(listed("crds/a.yaml", "no object"), (Vec::new(), 1));
}

#[test]
fn what_hooks_make_is_listed_apart() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: late\n";
    let inside = format!(
        "kind: Any\napiVersion: v1\nitems:\n- {{{}}}\n",
        "apiVersion: v1, kind: Pod, metadata: {name: deep}"
    );
    let hooks = json!([
        {"name": "late", "kind": "Deployment", "path": "t/late.yaml", "manifest": deployment,
            "events": ["post-install"], "weight": 5, "last_run": {"phase": "Succeeded"}},
        {"name": "deep", "manifest": inside},
        {"manifest": "nothing"},
        null,
    ]);
    let record = changed(|record| record["hooks"] = hooks.clone()).unwrap();
    let made = [
        object("apps/v1", "Deployment", None, "late"),
        object("v1", "Pod", None, "deep"),
    ];
    assert_eq!(record.hooks, made);
    assert_eq!(record.unread_objects, 1);
    assert_eq!(record.objects.len(), 2);
    let none = changed(|record| record["hooks"] = json!(null)).unwrap();
    assert_eq!(none.hooks, []);
}

#[test]
fn plain_json_and_several_gzip_members_are_decoded() {
    let limits = RecordLimits::default();
    assert!(decode(STANDARD.encode(text()).as_bytes(), &limits).is_ok());
    let (one, two) = text().split_at(100).map_bytes();
    let members = [gzip(&one), gzip(&two)].concat();
    assert!(decode(STANDARD.encode(members).as_bytes(), &limits).is_ok());
}

/// What the last member says is a hint to its own size, and none to that of the others.
#[test]
fn all_members_count_whatever_the_last_one_says() {
    let long = text().replacen('{', &format!("{{{}", " ".repeat(300_000)), 1);
    let limits = |json_bytes| RecordLimits {
        json_bytes,
        ..RecordLimits::default()
    };
    for parts in [&[1000][..], &[299_000, 300_000], &[]] {
        let ends: Vec<_> = parts.iter().copied().chain([long.len()]).collect();
        let begins = [0].into_iter().chain(parts.iter().copied());
        let members = begins
            .zip(&ends)
            .map(|(begin, end)| gzip(&long.as_bytes()[begin..*end]));
        let members: Vec<_> = members.collect();
        let read =
            |members: &[u8], limit| decode(STANDARD.encode(members).as_bytes(), &limits(limit));
        let all = members.concat();
        assert!(read(&all, long.len()).is_ok());
        let error = read(&all, long.len() - 1).unwrap_err();
        assert!(matches!(error, RecordError::TooLarge { .. }), "{error}");
        // A wrong size, or a wrong checksum.
        for place in [1, 5] {
            for byte in [0, 0x7f, 0xff] {
                let mut lying = all.clone();
                let index = lying.len() - place;
                lying[index] = if lying[index] == byte { 1 } else { byte };
                assert_eq!(
                    read(&lying, 16 << 20).unwrap_err(),
                    RecordError::Compression
                );
            }
        }
        let cut = &all[..all.len() - 9];
        assert_eq!(read(cut, 16 << 20).unwrap_err(), RecordError::Compression);
    }
}

trait MapBytes {
    fn map_bytes(self) -> (Vec<u8>, Vec<u8>);
}

impl MapBytes for (&str, &str) {
    fn map_bytes(self) -> (Vec<u8>, Vec<u8>) {
        (self.0.as_bytes().to_vec(), self.1.as_bytes().to_vec())
    }
}

#[test]
fn broken_layers_are_told_apart() {
    let limits = RecordLimits::default();
    assert_eq!(decode(b"!", &limits).unwrap_err(), RecordError::Base64);
    let cut = gzip(text().as_bytes());
    let cut = STANDARD.encode(&cut[..cut.len() - 20]);
    assert_eq!(
        decode(cut.as_bytes(), &limits).unwrap_err(),
        RecordError::Compression
    );
    let magic = STANDARD.encode([0x1f, 0x8b, 8]);
    not_helms(&decode(magic.as_bytes(), &limits));
    not_helms(&with_text("{"));
    not_helms(&with_text("[]"));
    not_helms(&with_text(&format!("{} x", text())));
}

#[test]
fn null_missing_and_unknown_fields_are_tolerated() {
    let record = changed(|record| {
        for field in ["config", "manifest", "hooks", "apply_method"] {
            record[field] = Value::Null;
        }
        for field in ["values", "files", "schema", "modtime", "later"] {
            record["chart"][field] = Value::Null;
        }
        record["info"]["first_deployed"] = json!("");
        record["info"]["status"] = json!("new-status");
    })
    .unwrap();
    assert!(record.objects.is_empty() && record.chart.files.is_empty());
    assert_eq!(
        (record.first_deployed, record.status),
        (None, Status::Unknown)
    );
}

#[test]
fn missing_essentials_are_refused() {
    for (field, missing) in [
        ("name", "name"),
        ("version", "revision"),
        ("chart", "chart"),
    ] {
        let result = changed(|record| drop(record.as_object_mut().unwrap().remove(field)));
        assert_eq!(result.unwrap_err(), RecordError::Missing(missing));
    }
    let result =
        changed(|record| drop(record["chart"].as_object_mut().unwrap().remove("metadata")));
    assert_eq!(result.unwrap_err(), RecordError::Missing("chart metadata"));
    let result = changed(|record| record["chart"]["metadata"]["keywords"] = json!("x"));
    assert_eq!(
        result.unwrap_err(),
        RecordError::Missing("readable chart metadata")
    );
    let result = changed(|record| record["chart"]["lock"] = json!("x"));
    assert_eq!(result.unwrap_err(), RecordError::Missing("readable lock"));
}

#[test]
fn keys_twice_or_in_another_case_are_refused() {
    for (from, to) in [
        ("\"chart\":", "\"chart\":null,\"chart\":"),
        ("\"chart\":", "\"Chart\":null,\"chart\":"),
        ("\"templates\":", "\"TEMPLATES\":[],\"templates\":"),
        ("\"data\":", "\"data\":\"\",\"data\":"),
        ("\"keywords\":", "\"keywords\":[],\"keywords\":"),
        ("\"status\":", "\"\u{17f}tatus\":\"\",\"status\":"),
        ("\"manifest\":", "\"Manifest\":"),
    ] {
        assert!(text().contains(from), "{from}");
        not_helms(&with_text(&text().replacen(from, to, 1)));
    }
    not_helms(&changed(|record| {
        record["chart"]["metadata"]["version"] = json!(1);
    }));
    not_helms(&changed(|record| {
        record["chart"]["templates"][0]["data"] = json!("!");
    }));
}

#[test]
fn content_digest_ignores_what_a_rollback_changes() {
    let rollback = |record: &mut Value| {
        record["version"] = json!(7);
        record["info"] = json!({"status": "superseded"});
        record["manifest"] = json!("");
        record["chart"].as_object_mut().unwrap().remove("modtime");
        record["config"]["image"]["tag"] = json!("z");
        record["chart"]["lock"] = Value::Null;
    };
    let digest = decoded(&record()).unwrap().content_digest();
    assert_eq!(changed(rollback).unwrap().content_digest(), digest);
}

#[test]
fn content_digest_covers_every_compared_part() {
    let original = decoded(&record()).unwrap().content_digest();
    let changes: [fn(&mut Value); 8] = [
        |record| record["chart"]["templates"][0]["data"] = json!(""),
        |record| {
            record["chart"]["templates"]
                .as_array_mut()
                .unwrap()
                .reverse();
        },
        |record| record["chart"]["files"][0]["name"] = json!("x"),
        |record| record["chart"]["schema"] = Value::Null,
        |record| record["chart"]["metadata"]["icon"] = json!("x"),
        |record| record["chart"]["lock"] = json!({"digest": "x"}),
        |record| record["config"]["enabled"] = json!(false),
        |record| record["chart"]["values"]["enabled"] = json!(true),
    ];
    for change in changes {
        assert_ne!(changed(change).unwrap().content_digest(), original);
    }
}

/// Digests are kept in statuses: whoever changes this one changes the number in `DOMAIN`, too.
#[test]
fn content_digest_is_the_same_in_every_version() {
    let record = changed(|record| {
        record["config"] = json!({"b": {"a": null, "c": true}, "a": [1], "d": false});
        let files = record["chart"]["files"].as_array_mut().unwrap();
        let thing = files
            .iter_mut()
            .find(|file| file["name"] == "crds/thing.yaml");
        thing.unwrap()["data"] = json!(STANDARD.encode("kind: CustomResourceDefinition\n"));
    });
    let digest = record.unwrap().content_digest().to_string();
    assert_eq!(
        digest,
        "sha256:5e8d493f8edb2a7189e302dc92e7f3ca729822f356d02bc8db3b0d33e1c6eb1b"
    );
}

#[test]
fn parts_of_a_content_digest_cannot_run_into_each_other() {
    let digest = |change: &dyn Fn(&mut Value)| changed(change).unwrap().content_digest();
    let files_first = digest(&|record| {
        let part = record["chart"]["templates"][1].take();
        record["chart"]["files"]
            .as_array_mut()
            .unwrap()
            .insert(0, part);
        record["chart"]["templates"].as_array_mut().unwrap().pop();
    });
    assert_ne!(files_first, digest(&|_| {}));
    for (one, other) in [
        (json!({"a": {"b": 1}}), json!({"a": {}, "b": 1})),
        (json!({"": 1, "oz": 1}), json!({"o": 1, "z": 1})),
        (json!({"a": true}), json!({"b": true})),
        (json!({"a": true}), json!({"a": false})),
        (json!({"a": true}), json!({"a": null})),
        (json!({"a": 1}), json!({"a": {}})),
    ] {
        let config = |config: &Value| digest(&|record| record["config"] = config.clone());
        assert_ne!(config(&one), config(&other), "{one} {other}");
    }
}

#[test]
fn debug_output_shows_no_values() {
    let record = changed(|record| record["config"]["password"] = json!("canary")).unwrap();
    assert!(!format!("{record:?}").contains("canary"));
}

#[test]
fn manifest_in_unusual_style_is_parsed_in_full() {
    let record = manifest(
        "---\n\n--- # comment\n{apiVersion: v1, kind: Secret, metadata: {name: a}}\n\
         ---apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    x: |\n      name: no\n  \
         generateName: \"c-\"\nspec:\n- x\n---\nkind: \"Pod\"\napiVersion: v1\nmetadata:\n  name: 1\n\
         ---\n# nothing\n---\na: b: c\n",
    );
    let mut generated = object("v1", "Pod", None, "c-");
    generated.generated = true;
    let objects = [
        object("v1", "Secret", None, "a"),
        object("v1", "Pod", None, "b"),
        generated,
    ];
    assert_eq!(record.objects, objects);
    assert_eq!(record.unread_objects, 2);
}

#[test]
fn key_inside_a_quoted_text_pretends_no_object() {
    let record = manifest(
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  a: \"x\nkind: Deployment\n  \"\nmetadata:\n  name: a\n",
    );
    assert_eq!(record.objects, [object("v1", "ConfigMap", None, "a")]);
    let record = manifest(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  annotations:\n    a: \"x\n  name: b\n  \"\n  name: a\n",
    );
    assert_eq!(record.objects, [object("v1", "ConfigMap", None, "a")]);
}

/// How many values there are below the top, where an empty list or object has one.
fn values(json: &Value) -> usize {
    let below: Vec<_> = match json {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => return 0,
    };
    below.len().max(1) + below.into_iter().map(values).sum::<usize>()
}

#[test]
fn text_is_not_counted_as_values() {
    let text = "a, [b], {c}, \\ \" ".repeat(100_000);
    assert!(changed(|record| record["info"]["notes"] = json!(text)).is_ok());
}

#[test]
fn every_limit_holds_at_n_and_n_plus_1() {
    let payload = payload(text().as_bytes());
    let within = |change: fn(&mut RecordLimits, usize), limit: usize| {
        let mut limits = RecordLimits::default();
        change(&mut limits, limit);
        decode(&payload, &limits)
    };
    for (change, limit) in [
        (
            (|limits, limit| limits.payload_bytes = limit) as fn(&mut RecordLimits, usize),
            payload.len(),
        ),
        (|limits, limit| limits.json_bytes = limit, text().len()),
        (|limits, limit| limits.name_bytes = limit, "1.2.3".len()),
        (|limits, limit| limits.parts = limit, 4),
        (|limits, limit| limits.values = limit, values(&record())),
        (|limits, limit| limits.objects = limit, 2),
    ] {
        assert!(within(change, limit).is_ok());
        let error = within(change, limit - 1).unwrap_err();
        assert!(matches!(error, RecordError::TooLarge { .. }), "{error}");
    }
}

/// Name and version are kept of each revision that is judged, and stand in what is told of it.
#[test]
fn a_record_cannot_name_its_chart_at_length() {
    for field in ["name", "version"] {
        let named = |length| {
            changed(|record| record["chart"]["metadata"][field] = json!("1".repeat(length)))
        };
        assert!(named(255).is_ok(), "{field}");
        let error = named(256).unwrap_err();
        assert!(
            matches!(error, RecordError::TooLarge { .. }),
            "{field}: {error}"
        );
    }
}

#[test]
fn bomb_and_deep_nesting_are_refused() {
    let bomb = payload(&vec![b' '; 100 * 1024 * 1024]);
    let error = decode(&bomb, &RecordLimits::default()).unwrap_err();
    assert!(matches!(error, RecordError::TooLarge { .. }), "{error}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for field in ["info", "config", "chart"] {
        not_helms(&with_text(&text().replacen(
            '{',
            &format!("{{\"{field}\":{deep},"),
            1,
        )));
    }
    // What nobody reads is skipped without recursion.
    assert!(with_text(&text().replacen('{', &format!("{{\"hooks\":{deep},"), 1)).is_ok());
}

proptest! {
    #[test]
    fn changed_json_is_decoded_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = text().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let _ = decode(&payload(&text), &RecordLimits::default());
    }

    #[test]
    fn quick_reading_of_a_manifest_agrees_with_full_parsing(
        lines in prop::collection::vec(prop::sample::select(vec![
            "apiVersion: v1", "kind: Pod", "kind: \"Pod\"", "metadata:", "  name: a", "  name: \"b\"",
            "  namespace: n", "  labels:", "    name: x", "    y: \"z", "  \"", "spec:", "  name: c",
            "- a", "  - name: d", "data: |", "  kind: x", "    more", "# c", "", "kind: yes", "  <<: {name: q}",
            "'kind': Job", "  generateName: g-", "\tx: y", "status: {}", "name: e", "...", "metadata: {name: f}",
        ]), 1..9),
    ) {
        // A tag on an ignored key makes the glance unsure without changing the meaning.
        let text = lines.join("\n");
        let quick = manifest(&text).objects;
        let full = manifest(&format!("{text}\n'zz': zz\n")).objects;
        if !quick.is_empty() && !full.is_empty() {
            prop_assert_eq!(quick, full);
        }
    }
}

#[test]
fn revisions_begin_at_one() {
    let revision = |number: i64| changed(|record| record["version"] = json!(number));
    assert_eq!(revision(1).unwrap().revision, 1);
    for number in [0, -1] {
        let missing = RecordError::Missing("revision");
        assert_eq!(revision(number).unwrap_err(), missing);
    }
}

#[test]
fn times_and_the_method_of_applying_are_what_the_record_says() {
    let record = decoded(&record()).unwrap();
    let time = |text: &str| Some(text.parse().unwrap());
    assert_eq!(
        record.first_deployed,
        time("2026-11-22T10:00:00.123456789Z")
    );
    assert_eq!(record.last_deployed, time("2026-11-22T10:00:00.5Z"));
    assert_eq!(record.apply_method.as_deref(), Some("ssa"));
    let empty = changed(|record| record["apply_method"] = json!("")).unwrap();
    assert_eq!(empty.apply_method, None);
}
