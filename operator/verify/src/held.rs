//! Sigstore signatures in evidence: whether anybody has looked for them, and the bytes that may still explain one.

use std::sync::Arc;

use jiff::Timestamp;

use crate::bundles::{BundleFacts, Bundles};
use crate::digest::Sha256Digest;
use crate::evidence::{Answer, ArchiveFacts, Evidence, ProvenanceFacts};
use crate::sigstore::{ClaimedBundle, SigstoreSigners};
use crate::verdict::Cause;

impl Evidence {
    /// Whether nobody has looked for Sigstore signatures of the archive of a source.
    pub fn lacks_bundles(&self, source: &str) -> bool {
        let facts = self.archive_of(source);
        facts.is_some_and(|facts| facts.bundles.is_none())
    }

    /// Whether the source of an archive did not say which Sigstore signatures there are.
    pub fn has_silent_bundles(&self, source: &str) -> bool {
        let bundles = self
            .archive_of(source)
            .and_then(|facts| facts.bundles.as_deref());
        bundles.is_some_and(Bundles::is_silent)
    }

    /// Whether the source of an archive did not say whether there is a signed statement beside it.
    pub fn has_silent_provenance(&self, source: &str) -> bool {
        let provenance = self.archive_of(source).map(|facts| &facts.provenance);
        let silent = Cause::SourceUnavailable;
        matches!(provenance, Some(ProvenanceFacts::Unavailable { cause, .. }) if *cause == silent)
    }

    /// Whether a look at a source could show more of a Sigstore signature: somebody who is known may have made
    /// it, and its bytes are at hand no more.
    pub fn wants_bundle(&self, source: &str, signers: &SigstoreSigners) -> bool {
        let Some(facts) = self.archive_of(source) else {
            return false;
        };
        let of_subcharts = facts.subcharts.iter().filter_map(|subchart| {
            let answer = self.subcharts.get(&subchart.id)?;
            archive(answer)
        });
        let all = std::iter::once(facts).chain(of_subcharts);
        let mut signatures = all.flat_map(ArchiveFacts::bundled);
        signatures.any(|one| one.bundle.is_none() && one.may_be_of(signers))
    }

    /// Puts the bytes at the Sigstore signatures that may still be explained by them.
    pub fn lend_bundles(
        &mut self,
        mut bundle_of: impl FnMut(&Sha256Digest) -> Option<Arc<ClaimedBundle>>,
    ) {
        let signatures = self.bundles_mut();
        for one in signatures.filter(|one| one.bundle.is_none() && one.is_open()) {
            one.bundle = bundle_of(&one.digest);
        }
    }

    /// Takes out the bytes of Sigstore signatures, and gives those that somebody else may still explain.
    pub fn take_bundles(&mut self) -> Vec<(Sha256Digest, Arc<ClaimedBundle>)> {
        let bundles = self.bundles_mut().filter_map(|one| {
            let bundle = one.bundle.take()?;
            one.is_open().then_some((one.digest, bundle))
        });
        bundles.collect()
    }

    fn archive_of(&self, source: &str) -> Option<&ArchiveFacts> {
        self.answers.get(source).and_then(archive)
    }

    fn bundles_mut(&mut self) -> impl Iterator<Item = &mut BundleFacts> {
        let answers = self.answers.values_mut();
        let answers = answers.chain(self.subcharts.values_mut());
        let bundles = answers.filter_map(|answer| match answer {
            Answer::Archive(facts) => facts.bundles.as_deref_mut(),
            Answer::Ambiguous { .. } | Answer::NotFound | Answer::Unavailable { .. } => None,
        });
        bundles.flat_map(|it| &mut it.signatures)
    }
}

impl ArchiveFacts {
    /// Its Sigstore signatures, as far as they were looked for.
    pub fn bundled(&self) -> impl Iterator<Item = &BundleFacts> {
        let bundles = self.bundles.as_deref();
        bundles.into_iter().flat_map(|it| &it.signatures)
    }

    /// Tries everybody who is known on its Sigstore signatures. Returns whether anything was found out.
    pub fn try_sigstore(&mut self, signers: &SigstoreSigners, now: Timestamp) -> bool {
        let archive = self.digest;
        let bundles = self.bundles.as_mut();
        bundles.is_some_and(|it| it.try_signers(archive, signers, now))
    }

    /// Whether somebody who is known has made a Sigstore signature of it, whatever became of him.
    pub(crate) fn is_bundled_by(&self, signers: &SigstoreSigners) -> bool {
        let mut signatures = self
            .bundled()
            .filter_map(|one| one.signature_of(self.digest));
        signatures.any(|verified| signers.have_made(verified))
    }
}

fn archive(answer: &Answer) -> Option<&ArchiveFacts> {
    match answer {
        Answer::Archive(facts) => Some(facts),
        Answer::Ambiguous { .. } | Answer::NotFound | Answer::Unavailable { .. } => None,
    }
}
