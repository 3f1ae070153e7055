//! What counts as an index, and what is found in it.

use super::*;

fn read(text: &str) -> Result<Index, Flaw> {
    Index::read(text.as_bytes(), &Limits::default())
}

fn index(entries: &str) -> Index {
    read(&format!("apiVersion: v1\nentries:\n{entries}")).unwrap()
}

fn listing(count: usize) -> String {
    let versions: Vec<String> = (0..count)
        .map(|n| format!("  - version: {n:04}\n"))
        .collect();
    let versions = versions.concat();
    format!("apiVersion: v1\nentries:\n  c:\n{versions}")
}

#[test]
fn a_version_is_found_with_its_first_url_and_digest() {
    let text = include_str!("testdata/index.yaml");
    let index = read(text).unwrap();
    let found = index.find("payments", "2.4.1").unwrap();
    assert_eq!(found.url.as_deref(), Some("payments-2.4.1.tgz"));
    assert_eq!(
        found.claimed_digest,
        Some(Sha256Digest::from_bytes([0xab; 32]))
    );
    let found = index.find("payments", "2.4.0").unwrap();
    assert_eq!(
        found.url.as_deref(),
        Some("https://cdn.example.com/payments-2.4.0.tgz")
    );
    assert_eq!(
        found.claimed_digest,
        Some(Sha256Digest::from_bytes([0xcd; 32]))
    );
}

#[test]
fn json_is_read_like_yaml() {
    let text = r#" {"apiVersion":"v1","generated":"x","entries":{"c":[{"version":"1.0.0","urls":["c.tgz","d"],"digest":null,"x":[{}]}]}}"#;
    let index = read(text).unwrap();
    assert_eq!(
        index.find("c", "1.0.0").unwrap().url.as_deref(),
        Some("c.tgz")
    );
}

/// Helm 3 and 4 list and install these (Go's `encoding/json`): what we passed over, a gate would let through.
#[test]
fn fields_are_read_whatever_their_case_as_helm_does() {
    let yaml = "ApiVersion: v1\nentries:\n  a:\n  - {VERSION: 1.0.0, Urls: [a], diGest: 0}\n\
                Entries:\n  b:\n  - {x: 1, ver\u{17f}ion: 2.0.0, url\u{17f}: [b]}\n";
    let json = r#"{"APIVERSION":"v1","entries":{"a":[{"Version":"1.0.0","URLS":["a"]}]},
        "ENTRIES":{"b":[{"version":"2.0.0","urls":["b"]}]}}"#;
    for text in [yaml, json] {
        let index = read(text).unwrap();
        for (chart, version) in [("a", "1.0.0"), ("b", "2.0.0")] {
            let found = index.find(chart, version).unwrap();
            assert_eq!(found.url.as_deref(), Some(chart), "{text}");
        }
    }
    // Which of two counts is another in each form, so neither does; a chart in both lists is there twice.
    for entry in [
        r#"{"version": "1.0.0", "Version": "2.0.0"}"#,
        r#"{"version": "1.0.0", "urls": ["a"], "URLS": ["b"]}"#,
        r#"{"version": "1.0.0", "digest": "a", "Digest": "b"}"#,
    ] {
        let text = format!(r#"{{"apiVersion": "v1", "entries": {{"a": [{entry}]}}}}"#);
        assert!(matches!(read(&text), Err(Flaw::Unusable(_))), "{text}");
        let text = format!("apiVersion: v1\nentries: {{\"a\": [{entry}]}}\n");
        assert!(matches!(read(&text), Err(Flaw::Unusable(_))), "{text}");
    }
    let one = r#"{"a": [{"version": "1.0.0"}]}"#;
    let both = format!(r#"{{"apiVersion": "v1", "entries": {one}, "Entries": {one}}}"#);
    assert_eq!(
        read(&both).unwrap().find("a", "1.0.0").err(),
        Some(Absence::Twice)
    );
}

#[test]
fn version_strings_are_compared_exactly() {
    let index = index("  c:\n  - version: 1.2.3+a\n  - version: v1.2.4\n  - version: 1.10\n");
    for (version, listed) in [
        ("1.2.3+a", true),
        ("1.2.3", false),
        ("1.2.3+b", false),
        ("1.2.3_a", false),
        ("v1.2.4", true),
        ("1.2.4", false),
        ("1.10", true),
        ("1.1", false),
        ("", false),
        ("1.2.3+A", false),
    ] {
        assert_eq!(index.find("c", version).is_ok(), listed, "{version}");
    }
    assert_eq!(index.find("C", "1.10").err(), Some(Absence::NotListed));
}

#[test]
fn a_version_listed_twice_is_refused_and_leaves_the_others_alone() {
    let index = index(
        "  c:\n  - {version: 1.0.0, urls: [a]}\n  - {version: 1.0.0, urls: [b]}\n  - {version: 1.1.0}\n",
    );
    assert_eq!(index.find("c", "1.0.0").err(), Some(Absence::Twice));
    assert!(index.find("c", "1.1.0").is_ok());
}

#[test]
fn a_chart_listed_twice_cannot_hide_a_second_version() {
    let yaml = "apiVersion: v1\nentries:\n  c:\n  - version: 1.0.0\n  c:\n  - version: 1.0.0\n";
    assert_eq!(
        read(yaml).err(),
        Some(Flaw::Unusable("it is not valid YAML"))
    );
    let json = r#"{"apiVersion":"v1","entries":{"c":[{"version":"1"}],"c":[{"version":"1"}]}}"#;
    assert_eq!(
        read(json).unwrap().find("c", "1").err(),
        Some(Absence::Twice)
    );
}

#[test]
fn entries_without_version_url_or_digest_are_no_obstacle() {
    let index = index(
        "  a:\n  b: []\n  c:\n  -\n  - {}\n  - {version: 1.0.0, urls: [], digest: nonsense}\n  - {version: 2.0.0, urls: null}\n",
    );
    let found = index.find("c", "1.0.0").unwrap();
    assert_eq!((found.url.as_deref(), found.claimed_digest), (None, None));
    assert_eq!(index.find("c", "2.0.0").unwrap().url, None);
    assert_eq!(index.find("a", "1.0.0").err(), Some(Absence::NotListed));
}

#[test]
fn an_empty_repository_is_a_valid_index() {
    assert_eq!(
        read("apiVersion: v1\nentries: {}\n")
            .unwrap()
            .find("c", "1")
            .err(),
        Some(Absence::NotListed)
    );
}

#[test]
fn what_is_no_index_says_why() {
    for (text, why) in [
        ("", "it has no `apiVersion`"),
        ("<!DOCTYPE html>", "it is HTML"),
        ("\n  <html>", "it is HTML"),
        ("\u{feff}<html>", "it is HTML"),
        ("entries: {}", "it has no `apiVersion`"),
        ("apiVersion: ''\nentries: {}", "it has no `apiVersion`"),
        ("apiVersion:\nentries: {}", "it has no `apiVersion`"),
        ("apiVersion: v1", "it has no `entries`"),
        ("apiVersion: v1\nentries:", "it has no `entries`"),
        ("apiVersion: v1\nentries: []", "it is not valid YAML"),
        ("apiVersion: v1\nentries: {c: [x]}", "it is not valid YAML"),
        ("apiVersion: v1\nentries: {c: {}}", "it is not valid YAML"),
        (
            "apiVersion: v1\nentries: {c: [{version: [1]}]}",
            "it is not valid YAML",
        ),
        ("apiVersion: v1\nentries: {", "it is not valid YAML"),
        ("apiVersion: v1\nentries: {}\n---\n", "it is not valid YAML"),
        ("not found", "it is not valid YAML"),
        ("[]", "it is not valid YAML"),
        (
            "{\"apiVersion\":\"v1\",\"entries\":{}",
            "it is not valid JSON",
        ),
        (
            "{\"apiVersion\":\"v1\",\"entries\":{}} x",
            "it is not valid JSON",
        ),
        ("{}", "it has no `apiVersion`"),
        ("{\"message\":\"not found\"}", "it has no `apiVersion`"),
        ("\u{1f}\u{8b}gzip", "it is not valid YAML"),
    ] {
        assert_eq!(read(text).err(), Some(Flaw::Unusable(why)), "{text:?}");
    }
}

#[test]
fn the_number_of_versions_is_limited() {
    let limits = Limits {
        index_versions: 3,
        ..Limits::default()
    };
    assert!(Index::read(listing(3).as_bytes(), &limits).is_ok());
    let refused = Index::read(listing(4).as_bytes(), &limits).err();
    assert_eq!(refused, Some(Flaw::TooLarge(Amount::Versions(3))));
}

#[test]
fn the_number_of_charts_is_limited() {
    let limits = Limits {
        index_versions: 3,
        ..Limits::default()
    };
    let read = |charts: usize| {
        let charts: Vec<_> = (0..charts).map(|one| format!("\"{one}\":[]")).collect();
        let text = format!(
            r#"{{"apiVersion":"v1","entries":{{{}}}}}"#,
            charts.join(",")
        );
        Index::read(text.as_bytes(), &limits).err()
    };
    assert_eq!(read(3), None);
    assert_eq!(read(4), Some(Flaw::TooLarge(Amount::Charts(3))));
}

/// What stands between two entries, whatever it is: a parser puts a text together as a whole.
#[test]
fn the_size_of_an_entry_is_limited() {
    let entry = |text: &str| {
        let limits = Limits {
            index_entry_bytes: 100_000,
            ..Limits::default()
        };
        let small = "  a:\n  - version: 1.0.0\n    description: ".to_owned() + &"x".repeat(60_000);
        let text = format!("apiVersion: v1\nentries:\n{small}\n{small}{text}\n  b: []\n");
        Index::read(text.replacen("a:", "c:", 1).as_bytes(), &limits).err()
    };
    assert_eq!(entry(""), None, "two small ones together are larger");
    let too_large = Some(Flaw::TooLarge(Amount::EntryBytes(100_000)));
    for text in
        ["x", "\n#", "\n    # x\n", "\n    x: "].map(|text| text.to_owned() + &"x".repeat(60_000))
    {
        assert_eq!(entry(&text), too_large);
    }
}

#[test]
fn the_text_kept_is_limited() {
    // One name of 1 byte and two versions of 4.
    let limits = |bytes| Limits {
        index_text_bytes: bytes,
        ..Limits::default()
    };
    assert!(Index::read(listing(2).as_bytes(), &limits(9)).is_ok());
    let refused = Index::read(listing(2).as_bytes(), &limits(8)).err();
    assert_eq!(refused, Some(Flaw::TooLarge(Amount::TextBytes(8))));
}

#[test]
fn alias_bombs_and_deep_nesting_end_early() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    assert_eq!(read(bomb).err(), Some(Flaw::TooLarge(Amount::Budget)));
    assert!(read(&format!("apiVersion: {}", "[".repeat(100_000))).is_err());
    assert!(read(&format!("{{\"x\":{}", "[".repeat(100_000))).is_err());
    let deep: Vec<String> = (0..1000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    assert!(read(&deep.concat()).is_err());
}

#[test]
fn the_weight_grows_with_what_is_kept_only() {
    let small = index("  c:\n  - {version: 1.0.0, urls: [a]}\n");
    let described = index(&format!(
        "  c:\n  - {{version: 1.0.0, urls: [a], description: {}}}\n",
        "x".repeat(100_000)
    ));
    assert_eq!(small.cost(), described.cost());
}
