//! The key that signs: whether anybody would believe it, and whether what was signed is believed. Touches
//! nothing.

use charttrust_verify::finding::error_chain;
use charttrust_verify::openpgp::{
    self, Certificate, Code, Fingerprint, VerifiedSignature, parse_cleartext,
};
use charttrust_verify::statement::Statement;
use charttrust_verify::verdict::Verdict;
use jiff::Timestamp;

use super::Digest;
use crate::cli::verify::signed;

/// A key that may sign charts.
pub(super) struct Signer {
    certificate: Certificate,
    key: Fingerprint,
}

/// Why nobody would believe a key.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignerError {
    #[error("key {key} may not sign. {next}")]
    MayNotSign { key: Fingerprint, next: String },
    #[error("nobody would believe a chart by key {key}: {word}: {because} {next}")]
    Refused {
        key: Fingerprint,
        word: &'static str,
        because: &'static str,
        next: String,
    },
    #[error("key {key} cannot be used: {why}")]
    Unreadable { key: Fingerprint, why: String },
}

impl Signer {
    /// The key of that fingerprint among what gpg has exported for it.
    ///
    /// # Errors
    /// If a signature that it made now would not be believed.
    pub(super) fn of(
        exported: &[u8],
        key: &Fingerprint,
        now: Timestamp,
    ) -> Result<Self, SignerError> {
        let unreadable = |why: String| SignerError::Unreadable {
            key: key.clone(),
            why,
        };
        let all = openpgp::load_all(exported).map_err(|error| unreadable(error_chain(&error)))?;
        let mut owners = all
            .into_iter()
            .filter(|one| one.key_fingerprints().any(|own| own == key));
        let (Some(certificate), None) = (owners.next(), owners.next()) else {
            let why = "gpg exports not exactly one key that has it, or it is of a kind that nobody here reads";
            return Err(unreadable(why.to_owned()));
        };
        let code = certificate.word_of(key, now);
        if code == Code::Valid {
            let key = key.clone();
            return Ok(Self { certificate, key });
        }
        Err(refused(&certificate, key, code, now))
    }

    /// The fingerprint of the primary key.
    pub(super) fn primary(&self) -> &Fingerprint {
        self.certificate.fingerprint()
    }

    /// The fingerprint of the key that signs.
    pub(super) fn fingerprint(&self) -> &Fingerprint {
        &self.key
    }

    /// The algorithm of a signature that is what was asked for, and that a policy with this key would believe.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn check(
        &self,
        statement: &Statement,
        signed: &[u8],
        digest: Digest,
        now: Timestamp,
    ) -> Result<String, String> {
        let message = parse_cleartext(signed).map_err(|error| error_chain(&error))?;
        if message.text().trim_end() != statement.text.trim_end() {
            return Err("it is another text".to_owned());
        }
        let judgement = signed::judge(&statement.chart, signed, &self.certificate, now);
        if !matches!(judgement.verdict, Verdict::Trusted(_)) {
            let findings = judgement.findings.iter();
            let findings: Vec<_> = findings.map(|one| one.message.as_str()).collect();
            return Err(format!(
                "{}: {}",
                judgement.verdict.word(),
                findings.join("; ")
            ));
        }
        let [claimed] = message.signatures() else {
            return Err("it has more than one signature".to_owned());
        };
        let verified = openpgp::verify(&message, claimed, &self.certificate);
        let verified: VerifiedSignature = verified.map_err(|code| code.to_string())?;
        if *verified.signer() != self.key || verified.hash() != digest.name() {
            return Err(format!(
                "it is signed by {} with {}",
                verified.signer(),
                verified.hash()
            ));
        }
        Ok(format!("{}/{}", verified.algorithm(), verified.hash()))
    }
}

/// Says why, and which of its keys may sign, if there is one.
fn refused(
    certificate: &Certificate,
    key: &Fingerprint,
    code: Code,
    now: Timestamp,
) -> SignerError {
    let others = certificate.summary(now).signing_keys;
    let others = others.iter();
    let others: Vec<_> = others
        .map(|one| format!("--key {} ({})", one.fingerprint, one.algorithm))
        .collect();
    let others = (!others.is_empty()).then(|| format!("Sign with {}.", others.join(", or ")));
    let key = key.clone();
    if code == Code::NotSigningCapable {
        let add = || "Give it a subkey that may sign: gpg --quick-add-key.".to_owned();
        let next = others.unwrap_or_else(add);
        return SignerError::MayNotSign { key, next };
    }
    SignerError::Refused {
        key,
        word: code.word(),
        because: code.cause(),
        next: others.unwrap_or_else(|| code.step().to_owned()),
    }
}
