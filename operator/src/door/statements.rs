//! Who has signed a statement, remembered while keys stay as they are: a chart is installed many times, and reading what
//! lies beside it and trying keys on it take longer than all else about a small record.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{Claimed, ProvenanceFacts};
use charttrust_verify::key::Key;

/// Statements that were read, by the digests of their texts.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<HashMap<Sha256Digest, Read>>);

/// What a statement says of the chart that it was last read for.
#[derive(Debug)]
struct Read {
    chart: String,
    version: String,
    facts: ProvenanceFacts,
}

/// Most statements that are kept, and the longest of them in bytes: those of public charts have a few thousand.
const MOST: usize = 256;
const LONGEST: usize = 16 << 10;

impl Statements {
    /// Reads a provenance file for a chart, and tries these keys on it; they are the same at each call.
    pub(super) fn read(&self, bytes: &[u8], claimed: Claimed<'_>, keys: &[Key]) -> ProvenanceFacts {
        let read = || {
            let mut facts = ProvenanceFacts::read(bytes, claimed);
            facts.try_keys(keys);
            facts
        };
        if bytes.len() > LONGEST {
            return read();
        }
        let digest = Sha256Digest::of(bytes);
        if let Some(known) = self.known(&digest, claimed) {
            return known;
        }
        // Two that come at once read it both, and hold up nobody.
        let facts = read();
        let kept = Read {
            chart: claimed.chart.to_owned(),
            version: claimed.version.to_owned(),
            facts: facts.clone(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&digest) {
            // Who makes them come and go costs others what they cost without this.
            all.clear();
        }
        all.insert(digest, kept);
        facts
    }

    fn known(&self, digest: &Sha256Digest, claimed: Claimed<'_>) -> Option<ProvenanceFacts> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(digest)?;
        let of = (known.chart.as_str(), known.version.as_str());
        (of == (claimed.chart, claimed.version)).then(|| known.facts.clone())
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::key::Scope;
    use charttrust_verify::openpgp;

    use super::*;

    const STATEMENT: &[u8] =
        include_bytes!("../../verify/tests/openpgp/vectors/helm-hashtest-1.2.3.tgz.prov");
    const SIGNER: &[u8] = include_bytes!("../../verify/tests/openpgp/vectors/helm-test-key.pub");

    fn key() -> Key {
        Key {
            name: "of Helm".to_owned(),
            labels: std::collections::BTreeMap::new(),
            certificate: openpgp::load_all(SIGNER).unwrap().remove(0),
            scope: Scope::default(),
            not_after: None,
            unusable: None,
            revocations: Vec::new(),
        }
    }

    fn claimed<'a>(chart: &'a str, version: &'a str) -> Claimed<'a> {
        Claimed { chart, version }
    }

    /// What is read without any memory, as text: facts have no equality.
    fn anew(bytes: &[u8], claimed: Claimed<'_>, keys: &[Key]) -> String {
        let mut facts = ProvenanceFacts::read(bytes, claimed);
        facts.try_keys(keys);
        format!("{facts:?}")
    }

    #[test]
    fn what_is_remembered_is_what_would_be_read() {
        let other = [b"\n", STATEMENT].concat();
        let long = [STATEMENT, &vec![b'\n'; LONGEST]].concat();
        for keys in [vec![], vec![key()]] {
            let statements = Statements::default();
            for _ in 0..2 {
                for bytes in [STATEMENT, &other, &long, b"none"] {
                    for of in [
                        ("hashtest", "1.2.3"),
                        ("hashtest", "1.2.4"),
                        ("web", "1.2.3"),
                    ] {
                        let claimed = claimed(of.0, of.1);
                        for _ in 0..2 {
                            let read = statements.read(bytes, claimed, &keys);
                            let anew = anew(bytes, claimed, &keys);
                            assert_eq!(format!("{read:?}"), anew, "{of:?}");
                        }
                    }
                }
            }
            assert_eq!(statements.0.lock().unwrap().len(), 3);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let statements = Statements::default();
        for number in 0..3 * MOST {
            let text = format!("no statement {number}");
            statements.read(text.as_bytes(), claimed("web", "1.2.3"), &[]);
            assert!(statements.0.lock().unwrap().len() <= MOST);
        }
    }
}
