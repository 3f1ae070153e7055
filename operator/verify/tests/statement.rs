//! What is signed for an archive, against what real Helm writes (`data/statements`, made as its README says).

mod support;

use std::path::{Path, PathBuf};

use charttrust_verify::chart::{ArchiveError, Damage};
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::statement::{self, Statement, StatementError};
use charttrust_verify::{digest::Sha256Digest, provenance};
use proptest::prelude::*;

use crate::support::Tar;

fn archive(metadata: &str, requirements: Option<&str>) -> Vec<u8> {
    let tar = Tar::default().file("x/Chart.yaml", metadata.as_bytes());
    match requirements {
        Some(text) => tar.file("x/requirements.yaml", text.as_bytes()).gzip(),
        None => tar.gzip(),
    }
}

fn signed(archive: &[u8]) -> Result<Statement, StatementError> {
    statement::of(archive, &ArchiveLimits::default())
}

fn of_metadata(metadata: &str) -> Result<Statement, StatementError> {
    signed(&archive(metadata, None))
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/statements");
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn metadata_is_written_as_helm_writes_it() {
    let cases = cases();
    assert!(cases.len() >= 14);
    for case in cases {
        let read = |name: &str| std::fs::read_to_string(case.join(name)).ok();
        let metadata = read("Chart.yaml").unwrap();
        let archive = archive(&metadata, read("requirements.yaml").as_deref());
        let statement = signed(&archive).unwrap();
        let (own, sums) = statement.text.split_once("\n...\n").unwrap();
        assert_eq!(own, read("signed.yaml").unwrap(), "{}", case.display());
        let name = case.file_name().unwrap().to_string_lossy();
        let digest = Sha256Digest::of(&archive);
        assert_eq!(sums, format!("files:\n  {name}-1.0.0.tgz: {digest}\n"));
        // What is signed is what is read of it.
        let read = provenance::parse(&statement.text);
        if let Ok(read) = read {
            assert_eq!(read.claimed_name, name);
            assert_eq!(read.digest_of(&name, "1.0.0"), Some(digest));
        } else {
            assert!(
                ["keys", "free-imports"].contains(&&*name),
                "{name}: {read:?}"
            );
        }
    }
}

#[test]
fn helms_own_provenance_is_written_again() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let archive = std::fs::read(data.join("data/hashtest-1.2.3.tgz")).unwrap();
    let by_helm = data.join("openpgp/vectors/helm-hashtest-1.2.3.tgz.prov");
    let by_helm = std::fs::read_to_string(by_helm).unwrap();
    let (_, body) = by_helm.split_once("SHA512\n\n").unwrap();
    let (body, _) = body.split_once("-----BEGIN").unwrap();
    assert_eq!(signed(&archive).unwrap().text, body);
}

#[test]
fn what_go_yaml_cannot_write_is_refused() {
    for letter in [
        "\u{7F}", "\u{85}", "\u{9F}", "\u{2028}", "\u{2029}", "\u{FEFF}", "\u{FFFE}",
    ] {
        let escaped = letter.escape_unicode().to_string();
        let code = escaped.trim_start_matches("\\u{").trim_end_matches('}');
        let code = format!("{:0>4}", code.to_uppercase());
        for field in ["annotations: {a: \"b%\"}", "annotations: {\"b%\": a}"] {
            let field = field.replace('%', &format!("\\u{code}"));
            let error = of_metadata(&format!(
                "apiVersion: v2\nname: a\nversion: 1.0.0\n{field}\n"
            ));
            let told = error.unwrap_err().to_string();
            assert!(told.contains(&format!("U+{code}")), "{told}");
        }
    }
    let key = |length: usize| {
        let key = "k".repeat(length);
        of_metadata(&format!(
            "apiVersion: v2\nname: a\nversion: 1.0.0\nannotations:\n  ? {key}\n  : a\n"
        ))
    };
    assert!(key(1000).is_ok());
    assert!(
        key(1001)
            .unwrap_err()
            .to_string()
            .contains("longer than 1000")
    );
}

#[test]
fn an_archive_that_cannot_be_read_has_no_statement() {
    let error = signed(b"<html>").unwrap_err();
    assert!(
        matches!(error, StatementError::Archive(ArchiveError::NotGzip)),
        "{error:?}"
    );
    let error = signed(&Tar::default().file("x/values.yaml", b"").gzip()).unwrap_err();
    let no_chart = ArchiveError::Malformed(Damage::NoChart);
    assert!(matches!(error, StatementError::Archive(told) if told == no_chart));
}

proptest! {
    /// Whatever an annotation says, it is read from the statement as it was written.
    #[test]
    fn what_is_written_is_read_again(
        key in "[ -~äλ漢😀\t\n]{0,200}",
        value in prop_oneof!["[ -~äλ漢😀\t\n\r]{0,300}", "[-a-c:#'\" \n,.0-9]{0,120}"],
    ) {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let metadata = format!(
            "apiVersion: v2\nname: a\nversion: 1.0.0\nannotations: {{\"z\": \"\", ? {} : {}}}\n",
            quoted(&key), quoted(&value),
        );
        let statement = of_metadata(&metadata).unwrap();
        let own = &statement.chart.metadata.annotations;
        prop_assert_eq!(own.get(&key), Some(&value));
        let (metadata, _) = statement.text.split_once("\n...\n").unwrap();
        // By the reader of archives, which is Helm's.
        let again = of_metadata(metadata).unwrap();
        prop_assert_eq!(&again.chart.metadata, &statement.chart.metadata, "{}", statement.text);
    }
}
