//! What README and docs/ say about words, columns, files and versions, against the code.

use std::path::{Path, PathBuf};

use charttrust::cli::pages;
use charttrust_verify::verdict::{Class, Reason};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

#[test]
fn the_tables_are_those_of_the_code() {
    for page in pages::all() {
        let text = read(&page.path);
        let renewed = page.renewed(&text);
        let renewed = renewed.unwrap_or_else(|| panic!("{} lacks marks", page.path));
        assert!(
            renewed == text,
            "{} is out of date; run `make crds`",
            page.path
        );
    }
}

/// What is documented is said somewhere, and what is said has a word that is documented.
#[test]
fn every_documented_reason_is_set_and_no_other_is() {
    use charttrust::api::conditions::{
        ConditionType as _, KeyCondition, PolicyCondition, ReleaseCondition,
    };
    use charttrust::api::quarantine_words::{QuarantineCondition, QuarantineReason};
    use charttrust::api::reasons::{EventReason, KeyReason, PolicyReason, ReleaseReason};
    let code = code(&root().join("operator/src"));
    let mut unset = Vec::new();
    let mut check = |kind: &str, word: &str| {
        if !code.contains(&format!("{kind}::{word}")) {
            unset.push(format!("{kind}::{word}"));
        }
    };
    for one in KeyReason::ALL {
        check("KeyReason", one.word());
    }
    for one in PolicyReason::ALL {
        check("PolicyReason", one.word());
    }
    for one in ReleaseReason::ALL {
        check("ReleaseReason", one.word());
    }
    for one in QuarantineReason::ALL {
        check("QuarantineReason", one.word());
    }
    for one in EventReason::ALL {
        check("EventReason", one.word());
    }
    for one in KeyCondition::ALL {
        check("KeyCondition", one.word());
    }
    for one in PolicyCondition::ALL {
        check("PolicyCondition", one.word());
    }
    for one in ReleaseCondition::ALL {
        check("ReleaseCondition", one.word());
    }
    for one in QuarantineCondition::ALL {
        check("QuarantineCondition", one.word());
    }
    assert_eq!(unset, Vec::<String>::new(), "documented, and never set");
    let controllers = self::code(&root().join("operator/src/controllers"));
    let literal = controllers
        .lines()
        .find(|line| line.trim().starts_with("reason: \""));
    assert_eq!(literal, None, "a reason that no vocabulary has");
}

/// What can be typed stands on the page about it.
#[test]
fn every_command_is_listed() {
    let page = read("docs/cli.md");
    let table: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let listed = |words: &str| table.iter().any(|row| row.contains(words));
    for command in charttrust::cli::definition().get_subcommands() {
        let name = command.get_name();
        let is_first = listed(&format!("`charttrust {name}"));
        let is_beside = listed(&format!(", `{name}`"));
        let is_listed = command.is_hide_set() || is_first || is_beside;
        assert!(is_listed, "docs/cli.md has no row for {name}");
        for below in command.get_subcommands() {
            let words = format!("{name} {}", below.get_name());
            assert!(listed(&words), "docs/cli.md has no row for {words}");
        }
    }
}

/// `--help` and the manual pages are where people look, and the pages of `docs/` are not at hand in a pipeline.
#[test]
fn every_command_that_answers_says_its_exit_codes_in_its_help() {
    let answers_nothing = ["completion", "crds", "run", "version", "webhook"];
    let mut seen = 0;
    let mut look = |path: &str, command: &mut clap::Command| {
        let help = command.render_long_help().to_string();
        let first = help.lines().next().unwrap_or_default().to_owned();
        assert!(
            !first.is_empty() && first.chars().count() <= 142,
            "{path}: {first}"
        );
        if !answers_nothing.contains(&path) {
            assert!(help.contains("Exit code 0: "), "{path} --help: {help}");
            seen += 1;
        }
    };
    let mut all = charttrust::cli::definition();
    for command in all.get_subcommands_mut() {
        let name = command.get_name().to_owned();
        if command.has_subcommands() {
            for below in command.get_subcommands_mut() {
                look(&format!("{name} {}", below.get_name()), below);
            }
        } else {
            look(&name, command);
        }
    }
    assert!(seen >= 22, "only {seen} commands");
}

/// What pages say to type can be typed: there is such a command, and it takes these flags.
#[test]
fn every_line_of_ours_on_a_page_can_be_typed() {
    use clap::error::ErrorKind::{InvalidSubcommand, UnknownArgument};
    let mut number = 0;
    for page in documents() {
        for line in typed(&std::fs::read_to_string(&page).unwrap()) {
            number += 1;
            let matched = charttrust::cli::definition().try_get_matches_from(words(&line));
            let Err(error) = matched else {
                continue;
            };
            let is_unknown = [InvalidSubcommand, UnknownArgument].contains(&error.kind());
            assert!(!is_unknown, "{}: {line}: {error}", page.display());
        }
    }
    assert!(number > 150, "{number} lines");
}

/// Lines that begin with our program, in blocks and in the text, each to the end of the command.
fn typed(page: &str) -> Vec<String> {
    let lines = page
        .lines()
        .map(|line| line.strip_prefix("$ ").unwrap_or(line));
    let quoted = page.split('`').skip(1).step_by(2);
    let ours = lines
        .chain(quoted)
        .filter(|line| line.starts_with("charttrust "));
    let ends = ["|", ";", " &", " 2>", ">", "<", " #"];
    let commands = ours.map(|line| {
        let end = ends.iter().filter_map(|end| line.find(end)).min();
        line[..end.unwrap_or(line.len())].trim().to_owned()
    });
    // What stands for something else is no line to type, nor is what `verify` says of the chart of that name.
    let is_of_chart =
        |line: &str| line["charttrust ".len()..].starts_with(|c: char| c.is_ascii_digit());
    commands
        .filter(|line| !line.contains(['…', '[', '`', '{']) && !is_of_chart(line))
        .collect()
}

/// As a shell takes them apart.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for character in line.chars() {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The code below a folder, without its tests and the vocabulary itself.
fn code(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &code(&path);
        } else if !path.ends_with("reasons.rs") && !path.ends_with("quarantine_words.rs") {
            let all = std::fs::read_to_string(&path).unwrap();
            let is_test =
                all.contains("use crate::controllers::testing") && !all.contains("mod tests");
            let (code, _) = all
                .split_once("#[cfg(test)]\nmod tests")
                .unwrap_or((&all, ""));
            text += if is_test { "" } else { code };
        }
    }
    text
}

#[test]
fn every_field_of_every_kind_is_listed() {
    for definition in charttrust::api::definitions() {
        let kind = definition.spec.names.kind.clone();
        let page = read(&page_of(&definition));
        let listed: Vec<_> = page.lines().filter_map(first_cell).collect();
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        let paths = paths(&schema["openAPIV3Schema"], "");
        assert!(paths.len() > 20, "{kind}: {paths:?}");
        for path in paths {
            assert!(
                listed.contains(&path.as_str()),
                "{kind} has no row for {path}"
            );
        }
    }
}

/// Every path of a schema, with a mark for each list.
fn paths(schema: &Value, path: &str) -> Vec<String> {
    if schema["items"].is_object() {
        return paths(&schema["items"], &format!("{path}[]"));
    }
    let Some(fields) = schema["properties"].as_object() else {
        return vec![path.to_owned()];
    };
    let below = fields.iter().flat_map(|(name, field)| {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        paths(field, &path)
    });
    let own = Some(path.to_owned()).filter(|path| !path.is_empty());
    below.chain(own).collect()
}

#[test]
fn the_columns_are_those_of_kubectl() {
    for definition in charttrust::api::definitions() {
        let names = &definition.spec.names;
        let short = names.short_names.as_ref().unwrap().first().unwrap();
        let said = format!("`kubectl get {short}` prints `{}`", columns(&definition));
        let page = read(&page_of(&definition));
        assert!(page.contains(&said), "{}: {said}", names.kind);
        let row = format!("| `{short}` |");
        assert!(read("README.md").contains(&row), "the README lists {short}");
    }
}

/// A word that is new must not page too late: what pages at once is what the engine calls bad.
#[test]
fn the_alerts_and_their_runbook_name_the_classes_of_the_engine() {
    let words = |class: Class| class.reasons().map(Reason::word).collect::<Vec<_>>();
    let (bad, tampering) = (words(Class::Badness), words(Class::Tampering));
    let alerts = read("operator/chart/files/alerts.yaml");
    for matches in ["=~", "!~"] {
        let said = format!("reason{matches}\"{}\"", bad.join("|"));
        assert!(alerts.contains(&said), "no alert says {said}");
    }
    let runbook = read("operator/chart/runbooks/release-untrusted.md");
    for word in bad.iter().chain(&tampering) {
        assert!(runbook.contains(&format!("`{word}`")), "no step for {word}");
    }
}

/// What kube-state-metrics reads of our objects is there, and has the values that it counts.
#[test]
fn the_metrics_of_objects_name_fields_and_values_that_there_are() {
    let page = read("docs/metrics.md");
    let block = page
        .split("\n```yaml\n")
        .find(|block| block.starts_with("kind: CustomResourceStateMetrics\n"));
    let text = block.unwrap().split("\n```").next().unwrap();
    let config: Value = serde_saphyr::from_str(text).unwrap();
    let mut kinds = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    for resource in config["spec"]["resources"].as_array().unwrap() {
        let kind = &resource["groupVersionKind"];
        let definitions = charttrust::api::definitions().into_iter();
        let definition = definitions
            .filter(|definition| definition.spec.names.kind == *kind["kind"].as_str().unwrap())
            .find(|definition| definition.spec.group == *kind["group"].as_str().unwrap());
        let definition = definition.unwrap_or_else(|| panic!("{kind}"));
        let version = &definition.spec.versions[0];
        assert_eq!(kind["version"], version.name);
        let schema = serde_json::to_value(&version.schema).unwrap();
        let schema = &schema["openAPIV3Schema"];
        let words = conditions_of(&definition.spec.names.kind);
        for path in paths_below(&resource["labelsFromPath"]) {
            assert_eq!((&path[0], path.len()), (&"metadata".to_owned(), 2));
        }
        for metric in resource["metrics"].as_array().unwrap() {
            let prefix = resource["metricNamePrefix"].as_str().unwrap();
            let name = format!("{prefix}_{}", metric["name"].as_str().unwrap());
            // No metric of the operator's own is called so.
            assert!(name.starts_with("charttrust_object_"), "{name}");
            assert!(names.insert(name), "{metric}");
            reads((schema, &words), &metric["each"]);
        }
        kinds.push(definition.spec.names.kind.clone());
    }
    let all = charttrust::api::definitions().into_iter();
    let mut all: Vec<_> = all.map(|definition| definition.spec.names.kind).collect();
    kinds.sort();
    all.sort();
    assert_eq!(kinds, all);
}

/// The conditions that objects of a kind have.
fn conditions_of(kind: &str) -> Vec<&'static str> {
    use charttrust::api::conditions::{
        ConditionType as _, KeyCondition, PolicyCondition, ReleaseCondition,
    };
    use charttrust::api::quarantine_words::QuarantineCondition;
    match kind {
        "ChartTrustPolicy" => PolicyCondition::ALL.iter().map(|one| one.word()).collect(),
        "Quarantine" => QuarantineCondition::ALL
            .iter()
            .map(|one| one.word())
            .collect(),
        "ReleaseTrust" => ReleaseCondition::ALL.iter().map(|one| one.word()).collect(),
        _ => KeyCondition::ALL.iter().map(|one| one.word()).collect(),
    }
}

fn reads((schema, conditions): (&Value, &[&str]), each: &Value) {
    let how = match each["type"].as_str().unwrap() {
        "Gauge" => "gauge",
        "Info" => "info",
        "StateSet" => "stateSet",
        other => panic!("no type of kube-state-metrics: {other}"),
    };
    let path = path_of(&each[how]["path"]);
    for name in &path {
        let chosen = name
            .strip_prefix("[type=")
            .and_then(|rest| rest.strip_suffix(']'));
        assert!(
            chosen.is_none_or(|word| conditions.contains(&word)),
            "{each}"
        );
    }
    let what = field(schema, &path);
    let is = |kind: &str| what["type"] == kind;
    match how {
        "gauge" => assert!(
            is("integer") || what["format"] == "date-time",
            "{each}: {what}"
        ),
        "info" => {
            for path in paths_below(&each[how]["labelsFromPath"]) {
                assert_eq!(field(what, &path)["type"], "string", "{each}");
            }
        }
        _ => assert_eq!(each[how]["list"], what["enum"], "{each}"),
    }
}

/// What the schema says of a field. `[type=Word]` chooses a condition.
fn field<'a>(schema: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(schema, |at, name| {
        let below = if name.starts_with('[') {
            &at["items"]
        } else {
            &at["properties"][name]
        };
        assert!(below.is_object(), "no {name} of {path:?}");
        below
    })
}

fn paths_below(map: &Value) -> Vec<Vec<String>> {
    map.as_object().unwrap().values().map(path_of).collect()
}

fn path_of(list: &Value) -> Vec<String> {
    let names = list.as_array().unwrap().iter();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_readme_is_short_and_names_the_versions_of_the_test_bed() {
    let readme = read("README.md");
    assert!(readme.len() <= 10 * 1024, "{} bytes", readme.len());
    let version = |family: &str, module: &str| {
        let text = read(&format!("e2e/testbed/{family}/go.mod"));
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(module));
        let version = line.unwrap().trim().trim_start_matches('v').to_owned();
        version.split('.').take(2).collect::<Vec<_>>().join(".")
    };
    let kubernetes = version("kube", "k8s.io/kubernetes ");
    let helm3 = version("helm3", "helm.sh/helm/v3 ");
    let helm4 = version("helm4", "helm.sh/helm/v4 ");
    let said = format!("Tests run with Kubernetes {kubernetes}, Helm {helm3} and Helm {helm4}.");
    assert!(readme.contains(&said), "{said}");
    let chart = read("operator/chart/Chart.yaml");
    assert!(
        chart.contains("kubeVersion: \">=1.29.0-0\"")
            && readme.contains("Kubernetes 1.29 or newer")
    );
}

/// What signing takes has nine parts, and a page for each.
#[test]
fn every_recommendation_has_its_page() {
    let readme = read("README.md");
    let chapter = "\n## What signing takes, and where it stands\n";
    let (_, chapter) = readme.split_once(chapter).unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let rows = chapter
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| |"));
    let rows: Vec<_> = rows.collect();
    for (number, subject) in (1..).zip(RECOMMENDED) {
        let row = rows[number - 1];
        assert!(row.starts_with(&format!("| {number} | ")), "{row}");
        assert!(
            row.to_lowercase().contains(subject),
            "{number} is {subject}: {row}"
        );
        let pages = links(row);
        assert!(!pages.is_empty(), "{row}");
        for page in pages {
            let (file, _) = page.split_once('#').unwrap_or((&page, ""));
            assert!(
                file.starts_with("docs/") && root().join(file).is_file(),
                "{page}"
            );
        }
    }
    assert_eq!(rows.len(), RECOMMENDED.len());
}

/// In the order in which they are recommended.
const RECOMMENDED: [&str; 9] = [
    "key",
    "pipeline",
    "enforce",
    "distribution",
    "strict",
    "training",
    "audit",
    "phases",
    "one view",
];

#[test]
fn every_link_leads_somewhere() {
    let mut number = 0;
    for page in documents() {
        for link in links(&prose(&page)) {
            if link.starts_with("http") {
                continue;
            }
            number += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            assert!(
                anchor.is_empty() || anchors(&prose(&target)).contains(&anchor.to_owned()),
                "{}: no heading for {link}",
                page.display()
            );
        }
    }
    assert!(number > 50, "{number} links");
}

#[test]
fn every_file_that_is_named_exists() {
    let mut number = 0;
    for page in ["CONTRIBUTING.md", "docs/architecture.md"] {
        let text = read(page);
        for quoted in text.split('`').skip(1).step_by(2) {
            let tops = ["operator/", "e2e/", "docs/", "examples/", "crds/"];
            if tops.iter().any(|top| quoted.starts_with(top)) && !quoted.contains([' ', '*', '<']) {
                number += 1;
                assert!(root().join(quoted).exists(), "{page}: {quoted}");
            }
        }
    }
    assert!(number > 10, "{number} files");
}

#[test]
fn lines_of_prose_are_at_most_142_columns_wide() {
    for page in documents() {
        let text = prose(&page);
        let lines = text.lines().filter(|line| !line.starts_with('|'));
        for line in lines {
            let width = line.chars().count();
            assert!(width <= 142, "{}: {width}: {line}", page.display());
        }
    }
}

/// Each number once, and each with tests that are there, but for those that are no test's matter.
#[test]
fn every_threat_and_fault_has_a_row_whose_tests_are_there() {
    let page = read("docs/threats.md");
    let mut rows: std::collections::BTreeMap<&str, &str> = std::collections::BTreeMap::new();
    for line in page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| #"))
    {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, _, _, tests] = cells[..] else {
            panic!("a row has four cells: {line}");
        };
        assert_eq!(rows.insert(number, tests), None, "{number} has two rows");
    }
    let threats = (1..=25).map(|number| format!("T{number}"));
    let of_clusters = (1..=16).map(|number| format!("M{number}"));
    let faults = (1..=29).chain([31, 32]).map(|number| format!("F{number}"));
    let numbers: Vec<_> = threats.chain(of_clusters).chain(faults).collect();
    let mut named = 0;
    for number in &numbers {
        let tests = rows.get(number.as_str());
        let tests = tests.unwrap_or_else(|| panic!("{number} has no row"));
        let before = named;
        let mut file = String::new();
        for quoted in tests.split('`').skip(1).step_by(2) {
            if quoted.contains('/') {
                file = read(quoted);
            } else if !quoted.contains(' ') {
                assert!(
                    is_test(&file, quoted),
                    "{number}: {quoted} is no test of its file"
                );
                named += 1;
            }
        }
        let is_none = tests.starts_with("No test: ");
        assert_eq!(named == before, is_none, "{number} names no test");
    }
    assert_eq!(rows.len(), numbers.len(), "{:?}", rows.keys());
    assert!(named > 250, "{named} tests");
}

/// Whether a file has a test of this name, of its own or for both Helms.
fn is_test(file: &str, name: &str) -> bool {
    let lines: Vec<_> = file.lines().map(str::trim).collect();
    let is_named = |line: &str| line.contains(&format!("fn {name}("));
    let Some(at) = lines.iter().position(|line| is_named(line)) else {
        return false;
    };
    let above = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.starts_with(['#', '/']));
    let mut above = above;
    let is_marked =
        above.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    let in_macro = lines[..at].contains(&name) && file.contains("with_both_helms!");
    is_marked || in_macro
}

/// T11: hosts and authorities are named, and no check is switched off.
#[test]
fn no_field_switches_a_check_off() {
    for definition in charttrust::api::definitions() {
        let kind = definition.spec.names.kind.clone();
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        for path in paths(&schema["openAPIV3Schema"], "") {
            let words = ["insecure", "skip", "plain", "disable", "unsafe", "ignore"];
            let lower = path.to_lowercase();
            let found = words.iter().find(|word| lower.contains(**word));
            assert_eq!(found, None, "{kind}: {path}");
        }
    }
    // What looks like one is found.
    let schema =
        serde_json::json!({"properties": {"tls": {"properties": {"insecureSkipVerify": {}}}}});
    assert!(
        paths(&schema, "")
            .iter()
            .any(|path| path.to_lowercase().contains("insecure"))
    );
}

/// T21: what nobody reads would be accepted and ignored.
#[test]
fn every_field_that_people_write_is_read() {
    // Where its type is defined a field stands as well, and that is not looked at.
    let rooms = std::fs::read_dir(root().join("operator/src")).unwrap();
    let rooms = rooms.map(|entry| entry.unwrap().path());
    let rooms = rooms.filter(|path| path.is_dir() && !path.ends_with("api"));
    let code: String = rooms.map(|path| code(&path)).collect();
    let mut seen = 0;
    for definition in charttrust::api::definitions() {
        let kind = definition.spec.names.kind.clone();
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        for path in paths(&schema["openAPIV3Schema"]["properties"]["spec"], "") {
            let name = path.rsplit('.').next().unwrap().trim_end_matches("[]");
            assert!(is_read(&code, &snake(name)), "{kind}: nobody reads {path}");
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen} fields");
    assert!(is_read("let a = one.field.b;", "field"));
    assert!(!is_read(
        "// one.field\none.field(), one.fields, field",
        "field"
    ));
}

/// Whether a field is taken out of a value.
fn is_read(code: &str, name: &str) -> bool {
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut rests = lines.flat_map(|line| line.split('.').skip(1));
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '(';
    rests.any(|rest| {
        rest.strip_prefix(name)
            .is_some_and(|after| !after.starts_with(is_part))
    })
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// T23: an exception that nobody looks at again is a fault that nobody mends. What is written today is compared
/// with the day of the commit, so that a commit that was green stays so.
#[test]
fn every_exception_of_an_advisory_was_looked_at() {
    let text = read("deny.toml");
    let (_, list) = text.split_once("\nignore = [").unwrap();
    let (list, _) = list.split_once("\n]").unwrap();
    let entries: Vec<_> = list.lines().filter(|line| line.contains("id = ")).collect();
    assert_eq!(entries.len(), list.matches("RUSTSEC-").count(), "{list}");
    let committed = std::process::Command::new("git")
        .args(["log", "-1", "--format=%cs"])
        .current_dir(root())
        .output();
    let committed = committed
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    let committed = committed.and_then(|text| text.trim().parse::<jiff::civil::Date>().ok());
    for entry in entries {
        let (_, date) = entry
            .split_once("Looked at ")
            .unwrap_or_else(|| panic!("no date: {entry}"));
        let date: jiff::civil::Date = date[..10].parse().unwrap();
        if let Some(committed) = committed {
            let age = date.until(committed).unwrap().get_days();
            assert!(
                age <= 90,
                "look again whether there is a fixed version: {entry}"
            );
        }
    }
}

/// Every page that people read.
fn documents() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    let folders = [
        "docs",
        "docs/spec/v1alpha1",
        "docs/training",
        "operator/chart/runbooks",
    ];
    for folder in folders.map(|folder| root().join(folder)) {
        let files = std::fs::read_dir(folder).unwrap();
        let files = files.map(|file| file.unwrap().path());
        pages.extend(files.filter(|file| file.extension().is_some_and(|kind| kind == "md")));
    }
    assert!(pages.len() > 20);
    pages
}

/// A page without its blocks of code.
fn prose(page: &Path) -> String {
    let text = std::fs::read_to_string(page).unwrap();
    let blocks = text.split("\n```").step_by(2);
    blocks.collect::<Vec<_>>().join("\n")
}

fn links(text: &str) -> Vec<String> {
    let links = text.split("](").skip(1);
    links
        .filter_map(|rest| rest.split(')').next())
        .map(ToOwned::to_owned)
        .collect()
}

/// What GitHub makes of the headings of a page.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The word in backquotes that begins a row of a table.
fn first_cell(line: &str) -> Option<&str> {
    line.strip_prefix("| `")?.split('`').next()
}

/// What kubectl prints at the head of a list, without `-o wide`.
fn columns(definition: &CustomResourceDefinition) -> String {
    let columns = definition.spec.versions[0]
        .additional_printer_columns
        .iter()
        .flatten();
    let shown = columns.filter(|column| column.priority.unwrap_or(0) == 0);
    shown
        .map(|column| column.name.to_uppercase())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The page about a kind.
fn page_of(definition: &CustomResourceDefinition) -> String {
    let plural = &definition.spec.names.plural;
    format!("docs/spec/v1alpha1/{plural}.md")
}

fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
