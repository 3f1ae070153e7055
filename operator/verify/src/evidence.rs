//! What is known of the chart behind one release: gathered from sources, judged without them.
//!
//! Evidence is about one record (its content digest), one chart name and version. A changed record
//! starts with empty evidence.

use std::sync::Arc;

use jiff::Timestamp;

use crate::binding::{self, Binding};
use crate::bundles::Bundles;
use crate::chart::Chart;
use crate::digest::Sha256Digest;
use crate::finding::error_chain;
use crate::key::Key;
use crate::moment::next_second;
use crate::openpgp::{self, ClaimedSignature, Fingerprint, SignedMessage, VerifiedSignature};
pub use crate::place::Place;
use crate::provenance;
use crate::release::Record;
use crate::sigstore::SigstoreSigners;
use crate::small_map::SmallMap;
pub use crate::subcharts::{SubchartFacts, SubchartId};
use crate::verdict::Cause;

/// What every source that was asked has answered, by its configured URL.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Answers by source. A source that was never asked, or never answered, may be absent.
    pub answers: SmallMap<String, Answer>,
    /// What the repositories of subcharts have answered, where a rule asks for their signatures.
    pub subcharts: SmallMap<SubchartId, Answer>,
}

/// What one source says about one chart version, compared with one record.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It has the archive.
    Archive(Box<ArchiveFacts>),
    /// It has an archive that can be read in more than one way.
    Ambiguous {
        /// What is ambiguous about it.
        message: String,
    },
    /// Its valid, fresh index does not list this version.
    NotFound,
    /// It gave no usable answer.
    Unavailable {
        /// `SourceUnavailable` or `LimitExceeded`.
        cause: Cause,
        /// What happened, without credentials.
        message: String,
    },
}

/// Facts of one archive.
#[derive(Clone, Debug)]
pub struct ArchiveFacts {
    /// sha256 of its bytes.
    pub digest: Sha256Digest,
    /// Name in its Chart.yaml.
    pub name: String,
    /// Version in its Chart.yaml.
    pub version: String,
    /// Whether the release is made of it.
    pub binding: Bound,
    /// Whether it carries subcharts.
    pub has_subcharts: bool,
    /// Its subcharts; empty too where an earlier engine has looked. Of too many to look at, some.
    pub subcharts: Vec<SubchartFacts>,
    /// Digest of its content, if this is the archive of a subchart itself.
    pub content: Option<Sha256Digest>,
    /// Whether the index names another digest. Never counts as trust or distrust.
    pub index_disagrees: bool,
    /// The signed statement beside it.
    pub provenance: ProvenanceFacts,
    /// The Sigstore signatures of it; absent where nobody has looked for any.
    pub bundles: Option<Box<Bundles>>,
    /// Who served the archive.
    pub place: Place,
    /// Whether trust has rested on it. Then it counts whatever other sources leave unsaid.
    pub settled: bool,
    /// When this operator first verified a signature of these very bytes by a known key.
    pub first_verified: Option<Timestamp>,
}

/// Whether a release is made of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The record and the archive have different content: a few of the differences.
    Different(Vec<String>),
    /// There is no record to compare with (Argo CD keeps none).
    NoRecord,
    /// Nobody asked for a comparison: an archive is judged, not a release.
    NotCompared,
    /// They differ only as an old Helm writes records: a few of the differences.
    OldWriter(Vec<String>),
    /// Same content. Notes name harmless differences, of values for example.
    Same(Vec<String>),
}

impl Answer {
    /// Whether the source itself said something about the chart, be it that it has none.
    pub(crate) fn is_known(&self) -> bool {
        match self {
            Self::Archive(facts) => facts.place == Place::Main,
            Self::Ambiguous { .. } | Self::NotFound => true,
            Self::Unavailable { .. } => false,
        }
    }
}

/// What a source has as provenance of an archive.
#[derive(Clone, Debug)]
pub enum ProvenanceFacts {
    /// Something that is not one unambiguous signed statement.
    Malformed {
        /// What is wrong with it.
        message: String,
    },
    /// The source says that there is none.
    Missing,
    /// A signed statement.
    Signed(Box<Signed>),
    /// The source gave no usable answer.
    Unavailable {
        /// `SourceUnavailable` or `LimitExceeded`.
        cause: Cause,
        /// What happened, without credentials.
        message: String,
    },
}

/// A signed statement about an archive.
#[derive(Clone, Debug)]
pub struct Signed {
    /// sha256 of the provenance file.
    pub digest: Sha256Digest,
    /// What it claims.
    pub claims: Claims,
    /// Its signatures, in the order of the file.
    pub signatures: Vec<SignatureFacts>,
    /// Who served it.
    pub place: Place,
    /// The signed text, while we still hold it: a new key can then be tried without a download.
    pub message: Option<Arc<SignedMessage>>,
}

/// What a signed statement claims. Worth nothing until a signature by a trusted key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Chart name in the signed metadata.
    pub claimed_name: String,
    /// Chart version in the signed metadata.
    pub claimed_version: String,
    /// The digest it gives for `<name>-<version>.tgz` of the release; `None` if it names others.
    pub claimed_archive: Option<Sha256Digest>,
}

/// One signature of a provenance file, and what trying the known keys on it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFacts {
    /// What the packet says of itself.
    pub claimed: Claim,
    /// What is known of it.
    pub outcome: Outcome,
}

impl SignatureFacts {
    /// What is wrong with it, or why it counts for nothing though it holds, as its key says by itself: what
    /// is declared against the key, and what policies make of its end, is in the findings.
    pub fn fault(&self, keys: &[Key], now: Timestamp) -> Option<openpgp::Code> {
        let verified = match &self.outcome {
            Outcome::Fault(_, code) | Outcome::Nobodys(code) => return Some(*code),
            Outcome::UnknownIssuer => return None,
            Outcome::Verified(verified) => verified,
        };
        let mut keys = keys.iter();
        let key = keys.find(|key| key.fingerprint() == verified.primary())?;
        let validity = openpgp::signature_validity(&key.certificate, verified, now);
        let code = validity.at_signing;
        (code != openpgp::Code::Valid).then_some(code)
    }
}

/// What a signature packet says of itself. Worth nothing by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Fingerprint of the key that is said to have made it.
    pub fingerprint: Option<Fingerprint>,
    /// Key ID of that key: 16 hexadecimal digits.
    pub key_id: Option<String>,
    /// When it is said to be made.
    pub created: Option<Timestamp>,
    /// Algorithm of key and hash, such as `RSA/SHA512`.
    pub algorithm: String,
}

impl Claim {
    /// The claimed issuer for people: the fingerprint, or else the key ID.
    pub fn issuer(&self) -> Option<&str> {
        let fingerprint = self.fingerprint.as_ref().map(Fingerprint::as_str);
        fingerprint.or(self.key_id.as_deref())
    }

    /// Whether a key of this fingerprint is the claimed issuer.
    fn names(&self, key: &Fingerprint) -> bool {
        let by_id = || self.key_id.as_deref() == Some(key.key_id());
        self.fingerprint
            .as_ref()
            .map_or_else(by_id, |claimed| claimed == key)
    }
}

impl From<&ClaimedSignature> for Claim {
    fn from(claimed: &ClaimedSignature) -> Self {
        Self {
            fingerprint: claimed.claimed_issuer_fingerprint().cloned(),
            key_id: claimed.claimed_issuer_key_id().map(str::to_owned),
            created: claimed.claimed_created(),
            algorithm: format!("{}/{}", claimed.claimed_algorithm(), claimed.claimed_hash()),
        }
    }
}

/// What trying the known keys on a signature showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It cannot hold under the key that it names.
    Fault(Fingerprint, openpgp::Code),
    /// It cannot hold under any key, and names none.
    Nobodys(openpgp::Code),
    /// No known key is its issuer.
    UnknownIssuer,
    /// It holds cryptographically. Whether it counts depends on the key's life.
    Verified(VerifiedSignature),
}

impl Evidence {
    /// Tries keys on the signatures that no known key could explain yet, and notes when an archive
    /// was first verified. Returns whether anything was found out.
    pub fn try_keys(&mut self, keys: &[Key], now: Timestamp) -> bool {
        let mut found = false;
        for answer in self.answers.values_mut().chain(self.subcharts.values_mut()) {
            if let Answer::Archive(facts) = answer {
                found |= facts.try_keys(keys, now);
            }
        }
        found
    }

    /// Tries everybody who is known on the Sigstore signatures that nobody could explain yet. Returns whether
    /// anything was found out.
    pub fn try_sigstore(&mut self, signers: &SigstoreSigners, now: Timestamp) -> bool {
        let mut found = false;
        for answer in self.answers.values_mut().chain(self.subcharts.values_mut()) {
            if let Answer::Archive(facts) = answer {
                found |= facts.try_sigstore(signers, now);
            }
        }
        found
    }

    /// Whether a look at a source could verify a signature that a known key claims to have made, but
    /// whose text is at hand no more.
    pub fn wants_text(&self, source: &str, keys: &[Key]) -> bool {
        let Some(Answer::Archive(facts)) = self.answers.get(source) else {
            return false;
        };
        let of_subcharts = facts.subcharts.iter().filter_map(|subchart| {
            match self.subcharts.get(&subchart.id)? {
                Answer::Archive(facts) => facts.signed(),
                Answer::Ambiguous { .. } | Answer::NotFound | Answer::Unavailable { .. } => None,
            }
        });
        let signed = facts.signed().into_iter().chain(of_subcharts);
        let unknown = signed
            .filter(|signed| signed.message.is_none())
            .flat_map(|signed| &signed.signatures)
            .filter(|s| s.outcome == Outcome::UnknownIssuer);
        let mut issuers = keys
            .iter()
            .filter(|key| !key.certificate.is_missing())
            .flat_map(|key| key.certificate.key_fingerprints());
        let claims: Vec<_> = unknown.map(|signature| &signature.claimed).collect();
        issuers.any(|issuer| claims.iter().any(|claim| claim.names(issuer)))
    }

    /// Gives room back that lists have taken to grow.
    pub fn shrink(&mut self) {
        self.signed_mut()
            .for_each(|signed| signed.signatures.shrink_to_fit());
    }

    /// Puts the texts at the statements with signatures that may still be explained by one.
    pub fn lend_texts(
        &mut self,
        mut text_of: impl FnMut(&Sha256Digest) -> Option<Arc<SignedMessage>>,
    ) {
        for signed in self.signed_mut().filter(|signed| signed.is_open()) {
            if signed.message.is_none() {
                signed.message = text_of(&signed.digest);
            }
        }
    }

    /// Takes out the texts, and gives those whose signatures another key may still explain, with the
    /// digests of their files.
    pub fn take_texts(&mut self) -> Vec<(Sha256Digest, Arc<SignedMessage>)> {
        let texts = self.signed_mut().filter_map(|signed| {
            let message = signed.message.take()?;
            signed.is_open().then_some((signed.digest, message))
        });
        texts.collect()
    }

    fn signed_mut(&mut self) -> impl Iterator<Item = &mut Signed> {
        let answers = self.answers.values_mut();
        let answers = answers.chain(self.subcharts.values_mut());
        answers.filter_map(|answer| match answer {
            Answer::Archive(facts) => match &mut facts.provenance {
                ProvenanceFacts::Signed(signed) => Some(signed.as_mut()),
                ProvenanceFacts::Malformed { .. }
                | ProvenanceFacts::Missing
                | ProvenanceFacts::Unavailable { .. } => None,
            },
            Answer::Ambiguous { .. } | Answer::NotFound | Answer::Unavailable { .. } => None,
        })
    }

    /// Every archive that a source answered with.
    pub fn archives(&self) -> impl Iterator<Item = (&str, &ArchiveFacts)> {
        self.answers
            .iter()
            .filter_map(|(source, answer)| match answer {
                Answer::Archive(facts) => Some((source.as_str(), facts.as_ref())),
                Answer::Ambiguous { .. } | Answer::NotFound | Answer::Unavailable { .. } => None,
            })
    }

    /// The same, and the archives of its subcharts.
    pub fn all_archives(&self) -> impl Iterator<Item = &ArchiveFacts> {
        let answers = self.answers.values().chain(self.subcharts.values());
        answers.filter_map(|answer| match answer {
            Answer::Archive(facts) => Some(facts.as_ref()),
            Answer::Ambiguous { .. } | Answer::NotFound | Answer::Unavailable { .. } => None,
        })
    }

    /// Primary fingerprints with a cryptographically good signature, whatever became of the key.
    pub fn good_signers(&self) -> impl Iterator<Item = &Fingerprint> {
        self.statements().flat_map(Signed::good_signers)
    }
}

impl ArchiveFacts {
    /// What an archive, the provenance beside it and a comparison show. Nothing is verified yet.
    pub fn of(chart: &Chart, provenance: ProvenanceFacts, binding: Bound) -> Self {
        let metadata = &chart.metadata;
        let named = (metadata.name.as_str(), metadata.version.as_str());
        let subcharts = chart.subcharts.iter();
        Self {
            binding,
            has_subcharts: !chart.subcharts.is_empty(),
            subcharts: subcharts.map(|it| SubchartFacts::of(chart, it)).collect(),
            ..Self::plain(chart.digest, named, provenance)
        }
    }

    /// An archive without subcharts that a source itself serves, with a release made of it.
    pub fn plain(
        digest: Sha256Digest,
        (name, version): (&str, &str),
        provenance: ProvenanceFacts,
    ) -> Self {
        Self {
            digest,
            name: name.to_owned(),
            version: version.to_owned(),
            binding: Bound::Same(Vec::new()),
            has_subcharts: false,
            subcharts: Vec::new(),
            content: None,
            index_disagrees: false,
            provenance,
            bundles: None,
            place: Place::Main,
            settled: false,
            first_verified: None,
        }
    }

    /// Whether the source itself has not shown all of it.
    pub fn is_of_mirror(&self) -> bool {
        let of_mirror = |signed: &Signed| signed.place == Place::Mirror;
        let bundles = self.bundles.as_deref();
        let has_bundle = |it: &Bundles| !it.signatures.is_empty() && it.place == Place::Mirror;
        let has_signed = || self.signed().is_some_and(of_mirror) || bundles.is_some_and(has_bundle);
        self.place == Place::Mirror || has_signed()
    }

    /// The signed statement, if there is one.
    pub fn signed(&self) -> Option<&Signed> {
        match &self.provenance {
            ProvenanceFacts::Signed(signed) => Some(signed),
            ProvenanceFacts::Malformed { .. }
            | ProvenanceFacts::Missing
            | ProvenanceFacts::Unavailable { .. } => None,
        }
    }

    fn try_keys(&mut self, keys: &[Key], now: Timestamp) -> bool {
        let ProvenanceFacts::Signed(signed) = &mut self.provenance else {
            return false;
        };
        let found = signed.try_keys(keys);
        let is_signed = signed.claims.claimed_archive == Some(self.digest)
            && signed.good_signers().next().is_some();
        if is_signed && self.first_verified.is_none() {
            self.first_verified = Some(next_second(now));
            return true;
        }
        found
    }
}

/// Everything that a lookup by digest needs to know of the chart that a release claims to be.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    /// Chart name.
    pub chart: &'a str,
    /// Chart version, exactly as recorded.
    pub version: &'a str,
}

impl ProvenanceFacts {
    /// Reads a provenance file for this chart and version. Nothing in it is believed yet.
    pub fn read(bytes: &[u8], claimed: Claimed<'_>) -> Self {
        let malformed = |message: String| Self::Malformed { message };
        let message = match openpgp::parse_cleartext(bytes) {
            Ok(message) => message,
            Err(error) => return malformed(error_chain(&error)),
        };
        let statement = match provenance::parse(message.text()) {
            Ok(statement) => statement,
            Err(error) => return malformed(error_chain(&error)),
        };
        let claims = Claims {
            claimed_archive: statement.digest_of(claimed.chart, claimed.version),
            claimed_name: statement.claimed_name,
            claimed_version: statement.claimed_version,
        };
        let unknown = |claimed: &ClaimedSignature| SignatureFacts {
            claimed: Claim::from(claimed),
            outcome: Outcome::UnknownIssuer,
        };
        Self::Signed(Box::new(Signed {
            digest: Sha256Digest::of(bytes),
            claims,
            signatures: message.signatures().iter().map(unknown).collect(),
            place: Place::Main,
            message: Some(Arc::new(message)),
        }))
    }
}

impl ProvenanceFacts {
    /// Tries keys on the signatures that no known key could explain yet. Says nothing of when that was.
    pub fn try_keys(&mut self, keys: &[Key]) {
        if let Self::Signed(signed) = self {
            signed.try_keys(keys);
        }
    }

    /// The same statement, read for this chart and version.
    #[must_use]
    pub fn about(mut self, claimed: Claimed<'_>) -> Self {
        if let Self::Signed(signed) = &mut self {
            let message = signed.message.as_ref();
            let statement = message.and_then(|message| provenance::parse(message.text()).ok());
            let digest = statement.and_then(|it| it.digest_of(claimed.chart, claimed.version));
            signed.claims.claimed_archive = digest;
        }
        self
    }

    /// The same, served by this place.
    #[must_use]
    pub fn served_by(mut self, place: Place) -> Self {
        if let Self::Signed(signed) = &mut self {
            signed.place = place;
        }
        self
    }
}

impl Bound {
    /// Whether the release may be made of the archive.
    pub(crate) fn is_bound(&self) -> bool {
        match self {
            Self::NoRecord | Self::NotCompared | Self::Same(_) => true,
            Self::Different(_) | Self::OldWriter(_) => false,
        }
    }

    /// Compares a release record with an archive.
    pub fn compare(chart: &Chart, record: &Record) -> Self {
        let words = |differences: Vec<_>| {
            differences
                .iter()
                .take(MAX_DIFFERENCES)
                .map(ToString::to_string)
                .collect()
        };
        match binding::compare(chart, record) {
            Binding::Same { notes } => Self::Same(notes.iter().map(ToString::to_string).collect()),
            Binding::Different { differences } => Self::Different(words(differences)),
            Binding::OldWriter { notes } => {
                Self::OldWriter(notes.iter().map(ToString::to_string).collect())
            }
        }
    }
}

/// How many differences are named, so that a status stays readable.
const MAX_DIFFERENCES: usize = 3;

impl Signed {
    /// Primary fingerprints whose signature of this statement holds cryptographically.
    pub fn good_signers(&self) -> impl Iterator<Item = &Fingerprint> {
        self.signatures
            .iter()
            .filter_map(|signature| match &signature.outcome {
                Outcome::Verified(verified) => Some(verified.primary()),
                Outcome::Fault(..) | Outcome::Nobodys(_) | Outcome::UnknownIssuer => None,
            })
    }

    /// Whether another key may still explain one of its signatures.
    fn is_open(&self) -> bool {
        let mut outcomes = self.signatures.iter().map(|signature| &signature.outcome);
        outcomes.any(|outcome| !matches!(outcome, Outcome::Verified(_)))
    }

    fn try_keys(&mut self, keys: &[Key]) -> bool {
        let Some(message) = self.message.clone() else {
            return false;
        };
        let mut found = false;
        for (signature, packet) in self.signatures.iter_mut().zip(message.signatures()) {
            if !matches!(signature.outcome, Outcome::Verified(_)) {
                let outcome = outcome(&message, packet, keys);
                found |= signature.outcome != outcome;
                signature.outcome = outcome;
            }
        }
        found
    }
}

/// Tries every key, whatever their order: key IDs collide, and certificates name foreign subkeys.
fn outcome(message: &SignedMessage, claimed: &ClaimedSignature, keys: &[Key]) -> Outcome {
    if let Some(code) = claimed.is_nobodys() {
        return Outcome::Nobodys(code);
    }
    let mut verified = Vec::new();
    let mut faults = Vec::new();
    for key in keys {
        match openpgp::verify(message, claimed, &key.certificate) {
            Ok(signature) => {
                let is_foreign = key.certificate.names_without_consent(signature.signer());
                verified.push((is_foreign, signature));
            }
            Err(openpgp::Code::UnknownKey) => {}
            Err(code) => faults.push((key.fingerprint().clone(), code)),
        }
    }
    let first = verified
        .into_iter()
        .min_by(|(a_foreign, a), (b_foreign, b)| {
            (a_foreign, a.primary()).cmp(&(b_foreign, b.primary()))
        });
    let fault = faults
        .into_iter()
        .min_by_key(|(key, code)| (key.clone(), code.word()));
    let fault = fault.map(|(key, code)| Outcome::Fault(key, code));
    first
        .map(|(_, signature)| Outcome::Verified(signature))
        .or(fault)
        .unwrap_or(Outcome::UnknownIssuer)
}
