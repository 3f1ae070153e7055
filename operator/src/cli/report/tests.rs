//! The example, in each form, and what becomes of hostile text.

use std::path::Path;

use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::gathered::{EVENTS, Gathered, Question, Read};
use super::history::Teller;
use super::model::Report;
use super::{Since, csv, html, since};
use crate::api::conditions::Status;
use crate::cli::coverage::Standing;
use crate::cli::key::Known;
use crate::cli::leading::Doubts;
use crate::cli::looked::tests::looks;
use crate::cli::screen::Format;
use crate::cli::sigstore::{Declared, Roots};
use crate::leader::{Discovering, Unaccounted};

const EXAMPLE: &str = include_str!("example.yaml");
const NOW: &str = "2026-11-30T09:00:00Z";

fn of<T: DeserializeOwned>(objects: &[Value], kind: &str) -> Vec<T> {
    let own = objects.iter().filter(|object| object["kind"] == kind);
    own.map(|object| serde_json::from_value(object.clone()).unwrap())
        .collect()
}

/// What is gathered of these objects.
fn gathered(objects: &[Value]) -> Gathered {
    let now = NOW.parse().unwrap();
    let identities = of(objects, "TrustedIdentity").into_iter();
    let leases: Vec<k8s_openapi::api::coordination::v1::Lease> = of(objects, "Lease");
    let metadata = leases.into_iter().next().unwrap_or_default().metadata;
    Gathered {
        question: Question {
            title: Some("example".to_owned()),
            namespace: None,
            since: now - SignedDuration::from_hours(7 * 24),
            now,
        },
        trusts: of(objects, "ReleaseTrust"),
        known: Known {
            keys: of(objects, "TrustedKey"),
            identities: identities
                .map(|one| Declared::of(one, Roots::default().of(None).root))
                .collect(),
        },
        policies: of(objects, "ChartTrustPolicy"),
        quarantines: of(objects, "Quarantine"),
        events: of(objects, "Event"),
        discovering: Discovering::of(&metadata),
        unaccounted: Unaccounted::of(&metadata),
        looks: looks(&[
            ("platform", Some("2026-11-30T08:20:00Z")),
            ("third-party", None),
        ]),
        doubts: Doubts::default(),
        reads: vec![Read {
            what: "ReleaseTrusts",
            objects: Some(15),
            refused: None,
        }],
    }
}

fn example() -> Vec<Value> {
    serde_saphyr::from_multiple(EXAMPLE).unwrap()
}

fn report() -> Report {
    let mut report = Report::of(&gathered(&example()));
    // The page changes with what it tells, not with every version of the program.
    report.about.version = "0.1.0";
    report
}

/// `make pictures` draws this page, and docs/reports.md shows it.
#[test]
fn the_example_in_the_documents_is_what_the_code_writes() {
    let page = html::written(&report());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join("docs/example-report.html");
    if std::fs::read_to_string(&path).is_ok_and(|kept| kept == page) {
        return;
    }
    let new = std::env::temp_dir().join("charttrust-example-report.html");
    std::fs::write(&new, page).unwrap();
    panic!(
        "docs/example-report.html is another page now; look at it, and take it: cp {} docs/example-report.html",
        new.display()
    );
}

#[test]
fn every_number_of_the_example_is_that_of_its_objects() {
    let report = report();
    let counts = report.counts;
    assert_eq!((counts.total, counts.trusted, counts.untrusted), (15, 7, 3));
    assert_eq!((counts.unknown, counts.exempt, counts.unmanaged), (2, 1, 2));
    assert_eq!(counts.unaccounted, 1);
    assert_eq!(report.coverage.trusted_percent, Some(43));
    let alone = |name: &str| {
        let mut signers = report.signers.iter();
        let signer = signers.find(|signer| signer.name == name).unwrap();
        (signer.releases.len(), signer.alone())
    };
    // Both have signed shop/web, and a key that ends vouches for nobody. What platform-2026 has signed beside
    // shop/payments is another archive.
    assert_eq!(alone("platform-2026"), (3, 2));
    assert_eq!(alone("platform-2027"), (2, 2));
    assert_eq!(alone("shop-2025"), (1, 1));
    assert_eq!(alone("charts-release"), (1, 1));
    let forgiving: Vec<_> = report
        .exceptions
        .iter()
        .map(|one| (one.expired, one.forgives.len()))
        .collect();
    assert_eq!(forgiving, [(Some(false), 1), (Some(true), 0)]);
    let search = report
        .releases
        .iter()
        .find(|one| one.name == "search")
        .unwrap();
    assert_eq!(search.contained.as_deref(), Some("True/Active"));
    assert_eq!(search.class, Some("proof of badness"));
    assert_eq!(report.policies[0].compliant, Some(Status::False));
}

#[test]
fn the_causes_and_next_steps_are_those_of_why_and_explain() {
    let report = report();
    for release in report.standing(Standing::Untrusted) {
        let entries = crate::cli::words::all();
        let mut entries = entries.iter().filter(|entry| entry.word == release.reason);
        let entry = entries
            .find(|entry| entry.place.starts_with("verdict"))
            .unwrap();
        assert_eq!(release.cause, Some(entry.meaning.as_str()));
        assert_eq!(release.next, entry.step.as_deref());
    }
}

#[test]
fn changes_are_told_once_the_latest_first_and_none_before_the_date() {
    let history = report().history;
    let told: Vec<_> = history
        .changes
        .iter()
        .map(|change| (change.name.as_str(), change.became.as_str(), change.told_by))
        .collect();
    let own = Teller::Condition;
    assert_eq!(
        told,
        [
            ("sandbox/demo", "Unknown/NoPolicy", own),
            ("bank/quotes", "Unknown/SourceUnavailable", own),
            ("bank/quotes", "SignatureVerified", Teller::Event),
            ("shop/search", "Created", Teller::Object),
            ("shop/search", "Untrusted/KeyCompromised", own),
            ("shop-2025", "Revoked/Compromised", own),
            ("shop/payments", "Untrusted/DigestMismatch", own),
            ("bank/reports", "Exempt", own),
        ]
    );
}

#[test]
fn an_event_that_somebody_else_reports_tells_of_no_change() {
    let mut objects = example();
    for object in objects
        .iter_mut()
        .filter(|object| object["kind"] == "Event")
    {
        object["reportingController"] = json!("tenant.example.com");
    }
    let history = Report::of(&gathered(&objects)).history;
    assert!(
        history
            .changes
            .iter()
            .all(|change| change.told_by != Teller::Event)
    );
}

#[test]
fn what_could_not_be_read_or_is_old_is_told_in_the_page() {
    let mut gathered = gathered(&example());
    assert!(!gathered.is_partial());
    gathered
        .doubts
        .old
        .push("no operator has led since <then>".to_owned());
    gathered.reads.push(Read {
        what: EVENTS,
        objects: None,
        refused: Some("forbidden".to_owned()),
    });
    assert!(!gathered.is_partial(), "events go by themselves");
    gathered.reads.push(Read {
        what: "TrustedKeys",
        objects: None,
        refused: Some("forbidden".to_owned()),
    });
    assert!(gathered.is_partial());
    let page = html::written(&Report::of(&gathered));
    for part in [
        "These verdicts may be old.",
        "no operator has led since &lt;then&gt;",
        "Everything about TrustedKeys",
        "events could not be read (forbidden)",
        "TrustedKeys (<strong>not read</strong>)",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

/// Every text of every object is what a stranger wrote.
fn hostile(value: &mut Value) {
    match value {
        Value::String(text) => text.push_str(HOSTILE),
        Value::Array(values) => values.iter_mut().for_each(hostile),
        Value::Object(fields) => fields.values_mut().for_each(hostile),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

const HOSTILE: &str = "<script>alert(1)</script><!--\"'`&\u{202e}</style></title>";

/// Where objects have text of others.
const FOREIGN: [&str; 20] = [
    "/spec/owner",
    "/spec/successor",
    "/spec/fingerprint",
    "/spec/issuer",
    "/spec/subject",
    "/spec/reason",
    "/spec/policy",
    "/spec/exceptions/0/name",
    "/spec/exceptions/0/expiresAt",
    "/spec/exceptions/0/justification",
    "/spec/exceptions/0/releases",
    "/status/algorithm",
    "/status/signer",
    "/status/release/chart",
    "/status/release/version",
    "/status/policies/0/policy",
    "/status/policies/0/exception",
    "/status/evidence/sources/0/url",
    "/note",
    "/reason",
];

#[test]
fn a_chart_that_is_called_script_is_text() {
    let mut objects = example();
    for object in &mut objects {
        for part in ["namespace", "name"] {
            hostile(&mut object["metadata"][part]);
        }
        for part in FOREIGN {
            if let Some(value) = object.pointer_mut(part) {
                hostile(value);
            }
        }
        let conditions = object
            .pointer_mut("/status/conditions")
            .and_then(Value::as_array_mut);
        for condition in conditions.into_iter().flatten() {
            hostile(&mut condition["message"]);
            hostile(&mut condition["reason"]);
        }
    }
    let mut gathered = gathered(&objects);
    gathered.question.title = Some(HOSTILE.to_owned());
    gathered.question.namespace = Some(HOSTILE.to_owned());
    let report = Report::of(&gathered);
    let page = html::written(&report);
    assert!(page.matches("&lt;script&gt;").count() > 100, "{page}");
    let own = html::written(&self::report());
    for markup in [
        "<script",
        "<!--",
        "</style>",
        "</title>",
        "javascript:",
        " onerror",
        "http-equiv",
    ] {
        assert_eq!(
            page.matches(markup).count(),
            own.matches(markup).count(),
            "{markup}"
        );
    }
    assert!(!page.contains('\u{202e}'));
    let quotes = page
        .split('<')
        .skip(1)
        .filter_map(|tag| tag.split('>').next());
    for tag in quotes {
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
}

/// Nothing is fetched, nothing runs, and nothing that only a machine with a network has is needed.
#[test]
fn the_page_needs_nothing_else() {
    let page = html::written(&report());
    for part in [
        "<script", "<link", "<img", "<iframe", "@import", "url(", " src=", " on",
    ] {
        let found = page
            .split('<')
            .skip(1)
            .filter_map(|tag| tag.split('>').next());
        let tags = found.filter(|tag| format!("<{tag}").contains(part));
        assert_eq!(tags.count(), 0, "{part}");
    }
    assert!(!page.contains("@import") && !page.contains("url("));
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    // Every reference within the page leads somewhere.
    for link in page.split("href=\"#").skip(1) {
        let id = link.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert_eq!(
        page.matches("href=\"").count(),
        page.matches("href=\"#").count()
    );
}

#[test]
fn a_table_of_a_spreadsheet_has_a_row_a_release_and_no_formula() {
    let mut objects = example();
    let mut names = ["=1+1", "+1", "-1", "@SUM(1)", " =1", "\"x\",y"].iter();
    for object in objects
        .iter_mut()
        .filter(|object| object["kind"] == "ReleaseTrust")
    {
        if let Some(name) = names.next() {
            object["status"]["release"]["chart"] = json!(name);
        }
    }
    let text = csv::written(&Report::of(&gathered(&objects)));
    let lines: Vec<_> = text.split("\r\n").collect();
    assert_eq!(
        lines.len(),
        15 + 2,
        "a head, a row each, and nothing after the last"
    );
    for cell in [
        "\"'=1+1\"",
        "\"'+1\"",
        "\"'-1\"",
        "\"'@SUM(1)\"",
        "\"' =1\"",
        "\"\"\"x\"\",y\"",
    ] {
        assert!(text.contains(cell), "{cell}: {text}");
    }
    let columns = lines[0].matches("\",\"").count();
    assert!(
        lines[1..=15]
            .iter()
            .all(|line| line.matches("\",\"").count() >= columns)
    );
}

#[test]
fn programs_are_told_what_people_are() {
    let report = report();
    let text = Format::Json.write(&report).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["schemaVersion"], 1);
    assert_eq!(told["about"]["generated"], NOW);
    assert_eq!(told["releases"].as_array().unwrap().len(), 15);
    assert_eq!(told["counts"]["untrusted"], 3);
    let page = html::written(&report);
    for release in told["releases"].as_array().unwrap() {
        let id = format!(
            "{}/{}",
            release["namespace"].as_str().unwrap(),
            release["name"].as_str().unwrap()
        );
        assert!(page.contains(&id), "{id}");
    }
    for (list, name) in [
        ("signers", "name"),
        ("exceptions", "name"),
        ("policies", "name"),
        ("notChecked", "what"),
    ] {
        for one in told[list].as_array().unwrap() {
            assert!(page.contains(one[name].as_str().unwrap()), "{list}: {one}");
        }
    }
}

#[test]
fn a_cluster_without_anything_has_a_report() {
    let page = html::written(&Report::of(&gathered(&[])));
    for part in [
        "No release is known.",
        "None is declared",
        "There is none, so nothing is judged",
        "Nothing is contained",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn since_is_a_time_before_now_or_an_instant() {
    let now = NOW.parse().unwrap();
    for (text, expected) in [
        ("7d", "2026-11-23T09:00:00Z"),
        ("0d", NOW),
        ("12h", "2026-11-29T21:00:00Z"),
        ("1h30m", "2026-11-30T07:30:00Z"),
        ("2026-11-18", "2026-11-18T00:00:00Z"),
        ("2026-11-18T07:30Z", "2026-11-18T07:30:00Z"),
    ] {
        assert_eq!(
            since(text).unwrap().from(now).to_string(),
            expected,
            "{text}"
        );
    }
    for text in ["", "d", "-1d", "7", "week", "99999999999d", "1.5d"] {
        assert!(
            since(text).unwrap_err().contains("write it as 7d"),
            "{text}"
        );
    }
    let far = Since::Before(SignedDuration::MAX);
    assert_eq!(far.from(now), jiff::Timestamp::MIN);
}
