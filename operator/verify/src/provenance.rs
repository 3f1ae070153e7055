//! The body of a provenance file: what was signed. Takes the canonical text with LF endings that a
//! signature covers, never the raw file.
//!
//! Stricter than Helm (`pkg/provenance/sign.go`, `parseMessageBlock`), which lets repeated keys
//! and further documents pass. May use `chart`, `yaml`, `digest` and `limits`.

use std::collections::BTreeMap;

use crate::chart::{Metadata, decode_metadata, folds};
use crate::digest::Sha256Digest;
use crate::limits::ProvenanceLimits;
use crate::yaml::{self, Reading, Value, YamlError};

/// What the signed text claims. It is as true as the signature over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Name of the chart.
    pub claimed_name: String,
    /// Version of the chart.
    pub claimed_version: String,
    /// All of the metadata, as Helm's loader made it; fields unknown to us are ignored.
    pub claimed_metadata: Metadata,
    /// Digests by file name.
    pub files: BTreeMap<String, Sha256Digest>,
}

/// The signed text is no provenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvenanceError {
    /// A digest is not `sha256:` and 64 lower-case hex digits.
    #[error("provenance has a file digest that is not `sha256:` and 64 lower-case hex digits")]
    Digest,
    /// There are not exactly two documents, separated by `...`.
    #[error("provenance does not consist of exactly two documents")]
    Documents,
    /// The second document has no usable `files`.
    #[error("provenance lists no files")]
    Files,
    /// The first document does not name a chart and version, or has fields of wrong types.
    #[error("provenance has no usable chart metadata")]
    Metadata,
    /// Anchors, aliases, tags, merge keys or repeated keys.
    #[error("provenance uses YAML that could be read in two ways")]
    NotPlain,
    /// A limit was reached.
    #[error("provenance is larger than the limit of {limit} {unit}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// Its unit.
        unit: &'static str,
    },
    /// A document is not YAML.
    #[error("provenance is not valid YAML")]
    Yaml,
}

impl Provenance {
    /// Returns the digest that is signed for `<name>-<version>.tgz`, exactly.
    pub fn digest_of(&self, name: &str, version: &str) -> Option<Sha256Digest> {
        // The name is what stops an old signed chart from passing for a newer version; Helm
        // compares the file's own name.
        self.files.get(&format!("{name}-{version}.tgz")).copied()
    }
}

/// Reads the signed text with the default limits.
///
/// # Errors
/// See [`ProvenanceError`].
pub fn parse(text: &str) -> Result<Provenance, ProvenanceError> {
    parse_within(text, &ProvenanceLimits::default())
}

/// Reads the signed text.
///
/// # Errors
/// See [`ProvenanceError`].
pub fn parse_within(text: &str, limits: &ProvenanceLimits) -> Result<Provenance, ProvenanceError> {
    if text.len() > limits.bytes {
        return Err(ProvenanceError::TooLarge {
            limit: limits.bytes,
            unit: "bytes",
        });
    }
    // Helm reads the second part and ignores more: a third one would be signed and looked at by nobody.
    let mut documents = text.split(SEPARATOR);
    let (Some(metadata), Some(sums), None) = (documents.next(), documents.next(), documents.next())
    else {
        return Err(ProvenanceError::Documents);
    };
    let claimed_metadata = claimed_metadata(&document(after_marker(metadata), limits)?)?;
    let files = files(document(sums, limits)?, limits)?;
    Ok(Provenance {
        claimed_name: claimed_metadata.name.clone(),
        claimed_version: claimed_metadata.version.clone(),
        claimed_metadata,
        files,
    })
}

/// What follows the marker with which a Chart.yaml may begin. Whoever signs that file as it is, as the
/// plugin helm-gpg does, signs the marker too, and every Helm reads it; Helm itself writes none. Only
/// comments stand before it, so that it hides nothing.
fn after_marker(text: &str) -> &str {
    let mut rest = text;
    while let Some((line, after)) = rest.split_once('\n') {
        let line = line.trim_end_matches([' ', '\t']);
        if line == "---" {
            return after;
        }
        if !line.is_empty() && !line.starts_with('#') {
            break;
        }
        rest = after;
    }
    text
}

/// Reads one of the documents; a `---` within would hide a further one.
fn document(text: &str, limits: &ProvenanceLimits) -> Result<Value, ProvenanceError> {
    if text
        .lines()
        .any(|line| line.starts_with("---") || line.starts_with("..."))
    {
        return Err(ProvenanceError::Documents);
    }
    yaml::document(text, Reading::Plain, &limits.yaml).map_err(|error| match error {
        YamlError::NotPlain => ProvenanceError::NotPlain,
        YamlError::TooLarge => ProvenanceError::TooLarge {
            limit: limits.yaml.nodes,
            unit: "YAML values",
        },
        YamlError::NotJson | YamlError::Syntax => ProvenanceError::Yaml,
    })
}

fn claimed_metadata(value: &Value) -> Result<Metadata, ProvenanceError> {
    let Value::Map(pairs) = value else {
        return Err(ProvenanceError::Metadata);
    };
    // Go's decoder is case-insensitive: `Name` beside `name` would be a second name.
    if repeated(pairs.iter().map(|(key, _)| key)) {
        return Err(ProvenanceError::NotPlain);
    }
    let metadata = decode_metadata(value).map_err(|_| ProvenanceError::Metadata)?;
    if metadata.name.is_empty() || metadata.version.is_empty() {
        Err(ProvenanceError::Metadata)
    } else {
        Ok(metadata)
    }
}

fn repeated<'a>(keys: impl Iterator<Item = &'a String>) -> bool {
    // Go's decoder folds the long s to s (`foldName` in encoding/json): a key spelt with it would be
    // a second version that no reader sees.
    let mut keys: Vec<_> = keys.map(|key| fold(key)).collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    keys.len() < all
}

fn fold(key: &str) -> String {
    if key.is_ascii() {
        key.to_ascii_lowercase()
    } else {
        key.to_lowercase().replace('\u{17F}', "s")
    }
}

fn files(
    sums: Value,
    limits: &ProvenanceLimits,
) -> Result<BTreeMap<String, Sha256Digest>, ProvenanceError> {
    let Value::Map(pairs) = sums else {
        return Err(ProvenanceError::Files);
    };
    let mut found = pairs.into_iter().filter(|(key, _)| folds(key, "files"));
    let (Some((key, files)), None) = (found.next(), found.next()) else {
        return Err(ProvenanceError::Files);
    };
    let Value::Map(files) = files else {
        return Err(ProvenanceError::Files);
    };
    // Helm would take `Files` too, and a reader of the text would not find it.
    if key != "files" || files.is_empty() {
        return Err(ProvenanceError::Files);
    }
    // Helm signs one archive per file; more than one name is a way to prepare for later versions.
    if files.len() > limits.files {
        return Err(ProvenanceError::TooLarge {
            limit: limits.files,
            unit: "files",
        });
    }
    files
        .into_iter()
        .map(|(name, sum)| Ok((name, digest(&sum)?)))
        .collect()
}

fn digest(sum: &Value) -> Result<Sha256Digest, ProvenanceError> {
    match sum {
        Value::Text(text) => text.parse().map_err(|_| ProvenanceError::Digest),
        _ => Err(ProvenanceError::Digest),
    }
}

/// A line that begins with a dash would have to be escaped, so that Helm separates by dots.
pub(crate) const SEPARATOR: &str = "\n...\n";

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "sha256:c6841b3a895f1444a6738b5d04564a57e860ce42f8519c3be807fb6d9bee7888";

    /// `pkg/provenance/testdata/msgblock.yaml` of Helm (Apache-2.0).
    fn base() -> String {
        format!(
            "apiVersion: v1\ndescription: Test chart versioning\nname: hashtest\n\
             version: 1.2.3\n\n...\nfiles:\n  hashtest-1.2.3.tgz: {SUM}\n"
        )
    }

    fn refused(change: impl Fn(String) -> String, error: ProvenanceError) {
        assert_eq!(parse(&change(base())), Err(error));
    }

    #[test]
    fn message_block_made_by_helm_is_read() {
        let provenance = parse(&base()).unwrap();
        assert_eq!(provenance.claimed_name, "hashtest");
        assert_eq!(provenance.claimed_version, "1.2.3");
        assert_eq!(
            provenance.claimed_metadata.description,
            "Test chart versioning"
        );
        assert_eq!(
            provenance.digest_of("hashtest", "1.2.3"),
            Some(SUM.parse().unwrap())
        );
        assert_eq!(parse(base().trim_end()), Ok(provenance));
    }

    #[test]
    fn only_the_exact_file_name_has_a_digest() {
        let provenance = parse(&base()).unwrap();
        for (name, version) in [
            ("hashtest", "1.2.4"),
            ("Hashtest", "1.2.3"),
            ("hashtest-1.2.3", ""),
        ] {
            assert_eq!(provenance.digest_of(name, version), None);
        }
    }

    #[test]
    fn one_or_three_documents_are_refused() {
        refused(
            |text| text.replace("\n...\n", "\n"),
            ProvenanceError::Documents,
        );
        refused(
            |text| format!("{text}\n...\nfiles: {{}}\n"),
            ProvenanceError::Documents,
        );
        refused(
            |text| text.replace("files:", "---\nfiles:"),
            ProvenanceError::Documents,
        );
        refused(
            |text| text.replace("name:", "--- \nname:"),
            ProvenanceError::Documents,
        );
        refused(|text| format!("{text}... \n"), ProvenanceError::Documents);
    }

    #[test]
    fn a_chart_yaml_that_begins_with_a_marker_is_read() {
        for begin in ["---\n", "--- \t\n", "# A chart.\n\n# Ours.\n---\n"] {
            let marked = parse(&format!("{begin}{}", base())).unwrap();
            assert_eq!(marked.claimed_name, "hashtest", "{begin:?}");
            assert_eq!(marked.files, parse(&base()).unwrap().files);
        }
    }

    #[test]
    fn a_second_marker_and_one_after_content_are_refused() {
        for begin in [
            "---\n---\n",
            "---\nname: a\n---\n",
            "name: a\n---\n",
            "--- a\n",
            "---a\n",
            " ---\n",
        ] {
            let text = format!("{begin}{}", base());
            let refused = parse(&text).unwrap_err();
            assert_ne!(refused, ProvenanceError::Metadata, "{begin:?}");
        }
    }

    #[test]
    fn repeated_keys_anchors_and_tags_are_refused() {
        refused(
            |text| text.replace("name:", "name: other\nname:"),
            ProvenanceError::NotPlain,
        );
        refused(
            |text| text.replace("name:", "Name: other\nname:"),
            ProvenanceError::NotPlain,
        );
        refused(
            |text| text.replace("name: ", "name: &a "),
            ProvenanceError::NotPlain,
        );
        refused(
            |text| text.replace("name: ", "name: !!str "),
            ProvenanceError::NotPlain,
        );
        refused(
            |text| format!("{text}  hashtest-1.2.3.tgz: {SUM}\n"),
            ProvenanceError::NotPlain,
        );
    }

    #[test]
    fn digest_in_any_other_form_is_refused() {
        refused(|text| text.replace("sha256:", ""), ProvenanceError::Digest);
        refused(
            |text| text.replace("sha256:", "sha512:"),
            ProvenanceError::Digest,
        );
        refused(|text| text.replace("c684", "C684"), ProvenanceError::Digest);
        refused(|text| text.replace(SUM, "[]"), ProvenanceError::Digest);
    }

    #[test]
    fn missing_or_strange_files_are_refused() {
        refused(
            |text| text.replace("files:", "Files:"),
            ProvenanceError::Files,
        );
        refused(
            |text| text.replace("files:", "files: {}\nimages:"),
            ProvenanceError::Files,
        );
        refused(
            |text| format!("{text}Files: {{}}\n"),
            ProvenanceError::Files,
        );
        refused(
            |text| text.replace("files:", "sums:"),
            ProvenanceError::Files,
        );
    }

    /// `SumCollection` has images, too, which no Helm writes.
    #[test]
    fn what_stands_beside_the_files_is_not_read() {
        assert!(parse(&format!("{}images: {{}}\n", base())).is_ok());
    }

    #[test]
    fn metadata_without_name_or_version_is_refused() {
        refused(
            |text| text.replace("name: hashtest\n", ""),
            ProvenanceError::Metadata,
        );
        refused(
            |text| text.replace("version: 1.2.3\n", ""),
            ProvenanceError::Metadata,
        );
        refused(
            |text| text.replace("name: hashtest", "name: []"),
            ProvenanceError::Metadata,
        );
        refused(
            |text| format!("- a{}", &text[text.find("\n...").unwrap()..]),
            ProvenanceError::Metadata,
        );
    }

    #[test]
    fn text_that_is_no_yaml_is_refused() {
        refused(|text| text.replace("name:", "{:"), ProvenanceError::Yaml);
    }

    #[test]
    fn files_and_bytes_are_limited_at_n_and_n_plus_1() {
        let with = |count: usize| {
            let more: Vec<_> = (1..count)
                .map(|index| format!("  {index}.tgz: {SUM}\n"))
                .collect();
            parse(&(base() + &more.concat())).map(|provenance| provenance.files.len())
        };
        assert_eq!(with(16), Ok(16));
        assert_eq!(
            with(17),
            Err(ProvenanceError::TooLarge {
                limit: 16,
                unit: "files"
            })
        );
        let exactly = ProvenanceLimits {
            bytes: base().len(),
            ..ProvenanceLimits::default()
        };
        assert!(parse_within(&base(), &exactly).is_ok());
        let error = ProvenanceError::TooLarge {
            limit: base().len(),
            unit: "bytes",
        };
        assert_eq!(parse_within(&(base() + "\n"), &exactly), Err(error));
    }
}
