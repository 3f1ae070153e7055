//! Statements as others read them: signed envelopes (DSSE). Touches nothing.

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use charttrust_verify::seal::{Seal, is_signed};
use serde::{Deserialize, Serialize};

use super::statement::Statement;

/// A signed statement, <https://github.com/secure-systems-lab/dsse>.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Signature {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Signs a statement; `None` where the system gives no randomness.
    pub fn signed(statement: &Statement, seal: &Seal) -> Option<Self> {
        let payload = serde_json::to_vec(statement).ok()?;
        let signature = seal.sign_for_others(&authenticated(&payload))?;
        Some(Self {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: BASE64_STANDARD.encode(payload),
            signatures: vec![Signature {
                keyid: name_of(&seal.key_for_others()?),
                sig: BASE64_STANDARD.encode(signature),
            }],
        })
    }

    /// The same with nothing in it that the key of this public half (DER) has not signed: names and signatures of
    /// others may be any text. `None` if it has signed nothing.
    pub fn of_key(mut self, key: &[u8]) -> Option<Self> {
        self.opened(key)?;
        let payload = BASE64_STANDARD.decode(&self.payload).ok()?;
        self.signatures.retain(|one| one.is_by(key, &payload));
        for one in &mut self.signatures {
            one.keyid = name_of(key);
        }
        Some(self)
    }

    /// What was signed by the key of this public half (DER); `None` if nothing was.
    pub fn opened(&self, key: &[u8]) -> Option<Statement> {
        let payload = BASE64_STANDARD.decode(&self.payload).ok()?;
        let mut signatures = self.signatures.iter();
        let is_ours =
            self.payload_type == PAYLOAD_TYPE && signatures.any(|one| one.is_by(key, &payload));
        is_ours.then(|| serde_json::from_slice(&payload).ok())?
    }
}

impl Signature {
    fn is_by(&self, key: &[u8], payload: &[u8]) -> bool {
        let signature = BASE64_STANDARD.decode(&self.sig).unwrap_or_default();
        is_signed(&authenticated(payload), &signature, key)
    }
}

/// What a signature of an envelope is about.
fn authenticated(payload: &[u8]) -> Vec<u8> {
    let (kind, length) = (PAYLOAD_TYPE, payload.len());
    let mut text = format!("DSSEv1 {} {kind} {length} ", kind.len()).into_bytes();
    text.extend(payload);
    text
}

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The name of a key: the digest of its public half.
fn name_of(key: &[u8]) -> String {
    let bytes = digest(&SHA256, key);
    let hex = bytes.as_ref().iter().map(|byte| format!("{byte:02x}"));
    hex.collect()
}

/// A public half as files have it.
pub fn pem(key: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(key);
    let mut lines = vec![PEM_BEGIN];
    // Invariant: base64 is ASCII, so it may be cut anywhere.
    lines.extend(
        (0..text.len())
            .step_by(64)
            .map(|at| &text[at..text.len().min(at + 64)]),
    );
    lines.push(PEM_END);
    lines.join("\n") + "\n"
}

/// The public half in such a file; `None` if it is none.
pub fn of_pem(text: &str) -> Option<Vec<u8>> {
    let inner = text.trim().strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?;
    let inner: String = inner.split_whitespace().collect();
    BASE64_STANDARD.decode(inner).ok()
}

const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::statement::tests::{NOW, status, web};
    use super::*;

    fn statement(revision: u32) -> Statement {
        let status = status(&json!({"release": {"revision": revision}}));
        Statement::of(&web(), &status, NOW.parse().unwrap()).unwrap()
    }

    fn seal(byte: u8) -> Seal {
        Seal::new(&[byte; Seal::LENGTH])
    }

    #[test]
    fn only_what_the_key_has_signed_is_opened() {
        let (own, other) = (seal(7), seal(8));
        let key = own.key_for_others().unwrap();
        let signed = Envelope::signed(&statement(7), &own).unwrap();
        assert_eq!(signed.opened(&key), Some(statement(7)));
        let another = Envelope::signed(&statement(8), &own).unwrap();
        let foreign = Envelope::signed(&statement(7), &other).unwrap();
        let of_other_type = Envelope {
            payload_type: "text/plain".to_owned(),
            ..signed.clone()
        };
        let exchanged = Envelope {
            payload: another.payload,
            ..signed.clone()
        };
        let unsigned = Envelope {
            signatures: Vec::new(),
            ..signed.clone()
        };
        for wrong in [foreign.clone(), of_other_type, exchanged, unsigned] {
            assert_eq!(wrong.opened(&key), None, "{wrong:?}");
        }
        assert_eq!(signed.opened(&other.key_for_others().unwrap()), None);
        let mut both = foreign.clone();
        both.signatures.extend(signed.signatures);
        assert_eq!(
            both.opened(&key),
            Some(statement(7)),
            "of several one is ours"
        );
        for one in &mut both.signatures {
            one.keyid = "\u{9b}31m".to_owned();
        }
        let bare = both.of_key(&key).unwrap();
        assert_eq!(bare.signatures.len(), 1, "{bare:?}");
        assert_eq!(bare.signatures[0].keyid, name_of(&key));
        assert_eq!(bare.opened(&key), Some(statement(7)));
        assert_eq!(foreign.of_key(&key), None);
    }

    #[test]
    fn a_key_is_a_file_and_back() {
        let key = seal(7).key_for_others().unwrap();
        let file = pem(&key);
        assert!(file.lines().all(|line| line.len() <= 64), "{file}");
        assert_eq!(of_pem(&file), Some(key));
        for other in [
            "",
            "-----BEGIN PUBLIC KEY-----",
            &file[1..],
            "-----BEGIN PUBLIC KEY-----\n?\n-----END PUBLIC KEY-----",
        ] {
            assert_eq!(of_pem(other), None, "{other}");
        }
    }
}
