//! What is signed about a chart, and the verdict on a chart with its signed statement.

use std::sync::LazyLock;

use charttrust_verify::chart;
use charttrust_verify::check::{self, Case, Known};
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Bound, Claimed, Evidence, ProvenanceFacts,
};
use charttrust_verify::key::{Key, Scope};
use charttrust_verify::limits::{ArchiveLimits, ProvenanceLimits};
use charttrust_verify::openpgp::{load_all, parse_cleartext};
use charttrust_verify::policy::{
    Demands, Dependencies, ExpiredKeys, Level, Pattern, Policy, ReleaseRef, Rule, Selection,
    Signers, Source, Verify,
};
use charttrust_verify::provenance;
use charttrust_verify::sigstore::SigstoreSigners;
use charttrust_verify::verdict::Verdict;
use jiff::Timestamp;

use crate::archives::Tar;
use crate::openpgp::written;
use crate::{Target, vectors};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "provenance",
        reads: "the signed text of a provenance file: two YAML documents",
        holds: "Within limits; every digest stands in the text; the lenient reader of archives reads the same name and version.",
        longest: 4096,
        check: text,
        seeds: texts,
    },
    Target {
        name: "verdict",
        reads: "a whole chart with its signed statement, one of both changed",
        holds: "Never trusted, unless archive and signed text are those that were signed, byte for byte.",
        longest: 16384,
        check: verdict,
        seeds: triples,
    },
];

fn texts() -> Vec<Vec<u8>> {
    let files = vectors::all("openpgp/vectors", ".prov");
    let messages = files
        .iter()
        .filter_map(|(_, bytes)| parse_cleartext(bytes).ok());
    let mut texts: Vec<_> = messages
        .map(|message| message.text().as_bytes().to_vec())
        .collect();
    for case in [
        "blanks",
        "dependencies",
        "lists",
        "looks-like",
        "marks",
        "numbers",
        "v1",
    ] {
        let metadata = vectors::read(&format!("data/statements/{case}/signed.yaml"));
        let digest = "0".repeat(64);
        let sums = format!("\n...\nfiles:\n  {case}-1.0.0.tgz: sha256:{digest}\n");
        texts.push([metadata, sums.into_bytes()].concat());
    }
    texts.sort();
    texts.dedup();
    texts
}

fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let read = provenance::parse(text);
    assert_eq!(read, provenance::parse(text), "read in two ways");
    let Ok(read) = read else { return };
    let limits = ProvenanceLimits::default();
    assert!(text.len() <= limits.bytes);
    assert!((1..=limits.files).contains(&read.files.len()));
    assert!(!read.claimed_name.is_empty() && !read.claimed_version.is_empty());
    assert_eq!(read.claimed_name, read.claimed_metadata.name);
    assert_eq!(read.claimed_version, read.claimed_metadata.version);
    for (name, digest) in &read.files {
        assert!(!name.is_empty() || text.contains("\"\"") || text.contains("''"));
        // A plain reader finds it as well, but for YAML's own escapes.
        let is_there =
            text.contains(&digest.to_string()) || text.contains(['\\', '"', '\'', '>', '|']);
        assert!(is_there, "{digest} is not in the text");
    }
    let (own, _) = text.split_once("\n...\n").unwrap_or_default();
    let archive = Tar::default().file("x/Chart.yaml", own.as_bytes()).gzip();
    if let Ok(chart) = chart::read(&archive, &ArchiveLimits::default()) {
        let plain = |text: &str| !text.contains(|letter: char| !letter.is_ascii_graphic());
        if plain(&read.claimed_name) && plain(&read.claimed_version) {
            assert_eq!(chart.metadata.name, read.claimed_name);
            assert_eq!(chart.metadata.version, read.claimed_version);
        }
    }
}

static ARCHIVE: LazyLock<Vec<u8>> = LazyLock::new(|| vectors::read("data/hashtest-1.2.3.tgz"));
static STATEMENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| vectors::read("openpgp/vectors/helm-hashtest-1.2.3.tgz.prov"));

/// The first byte says what follows: 0 a statement, 1 an archive, 2 the text of a statement.
fn triples() -> Vec<Vec<u8>> {
    let text = parse_cleartext(&STATEMENT).map(|message| message.text().to_owned());
    let text = text.unwrap_or_else(|error| panic!("Helm's statement: {error}"));
    let seeds = [
        (0_u8, STATEMENT.as_slice()),
        (1, ARCHIVE.as_slice()),
        (2, text.as_bytes()),
    ];
    seeds
        .map(|(kind, bytes)| [&[kind], bytes].concat())
        .to_vec()
}

fn verdict(bytes: &[u8]) {
    let [kind, bytes @ ..] = bytes else { return };
    let (archive, statement) = match kind % 3 {
        0 => (ARCHIVE.clone(), bytes.to_vec()),
        1 => (bytes.to_vec(), STATEMENT.clone()),
        _ => {
            let signed = String::from_utf8_lossy(&STATEMENT);
            let text = String::from_utf8_lossy(bytes);
            (ARCHIVE.clone(), written(&text, &signed).into_bytes())
        }
    };
    let is_untouched = archive == *ARCHIVE && covered(&statement) == covered(&STATEMENT);
    for level in [Level::Strict, Level::Signature] {
        let verdict = judged(&archive, &statement, level);
        let is_trusted = verdict.is_some_and(Verdict::is_trusted);
        assert!(
            is_untouched || !is_trusted,
            "trusted, and changed: {verdict:?}"
        );
    }
}

/// The text that a signature of the file covers.
fn covered(statement: &[u8]) -> Option<String> {
    Some(parse_cleartext(statement).ok()?.text().to_owned())
}

/// Judges bytes as they come from a source; `None` if there is no archive to judge.
fn judged(archive: &[u8], statement: &[u8], level: Level) -> Option<Verdict> {
    let chart = chart::read(archive, &ArchiveLimits::default()).ok()?;
    let claimed = Claimed {
        chart: "hashtest",
        version: "1.2.3",
    };
    let statement = ProvenanceFacts::read(statement, claimed);
    let facts = ArchiveFacts::of(&chart, statement, Bound::NotCompared);
    let mut evidence = Evidence::default();
    evidence
        .answers
        .insert(SOURCE.to_owned(), Answer::Archive(Box::new(facts)));
    evidence.try_keys(&KEYS, NOW);
    let case = Case {
        release: ReleaseRef {
            namespace: "shop",
            namespace_labels: None,
            name: "front",
        },
        chart: claimed.chart,
        version: claimed.version,
        deployers: &[],
        evidence: &evidence,
    };
    let sigstore = SigstoreSigners::default();
    let known = Known {
        keys: &KEYS,
        sigstore: &sigstore,
    };
    Some(check::judge(&case, &[policy(level)], known, NOW).verdict)
}

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let loaded = load_all(&vectors::read("openpgp/vectors/helm-test-key.pub"));
    let loaded = loaded.unwrap_or_else(|error| panic!("Helm's key: {error}"));
    let key = |certificate| Key {
        name: "helm".to_owned(),
        labels: std::collections::BTreeMap::new(),
        certificate,
        scope: Scope::default(),
        not_after: None,
        unusable: None,
        revocations: Vec::new(),
    };
    loaded.into_iter().map(key).collect()
});

fn policy(level: Level) -> Policy {
    let rule = Rule {
        name: "rule".into(),
        charts: vec![Pattern::new("*")],
        versions: None,
        sources: vec![Source::at(SOURCE)],
        verify: Verify {
            level,
            signers: Signers {
                keys: ["helm".to_owned()].into(),
                selector: None,
                identities: [].into(),
                identity_selector: None,
                threshold: std::num::NonZeroU32::MIN,
            },
            expired_keys: ExpiredKeys::AcceptIfSignedBefore,
            dependencies: Dependencies::Inherit,
        },
        pins: Vec::new(),
        problem: None,
    };
    Policy {
        name: "policy".to_owned(),
        suspended: false,
        selection: Selection::default(),
        demands: Demands::Rules(vec![rule]),
        exceptions: Vec::new(),
    }
}

const SOURCE: &str = "https://charts.example.com";
const NOW: Timestamp = Timestamp::constant(1_796_000_000, 0);

#[cfg(test)]
mod tests {
    use super::*;

    /// Else that nothing is trusted would say nothing.
    #[test]
    fn what_nobody_touched_is_trusted() {
        let verdict = judged(&ARCHIVE, &STATEMENT, Level::Signature);
        assert!(verdict.is_some_and(Verdict::is_trusted), "{verdict:?}");
        let text = covered(&STATEMENT).unwrap();
        let again = written(&text, &String::from_utf8_lossy(&STATEMENT));
        let verdict = judged(&ARCHIVE, again.as_bytes(), Level::Signature);
        assert!(verdict.is_some_and(Verdict::is_trusted), "{verdict:?}");
    }
}
