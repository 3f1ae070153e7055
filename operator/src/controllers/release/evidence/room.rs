//! What of the evidence a status has room for.
//!
//! Whoever publishes a chart decides how much there is: subcharts, addresses, signatures. What has no room is
//! left out whole and asked about again after a restart; a statement with some of its signatures, or an archive
//! with some of its subcharts, would be judged as another.

use charttrust_verify::bundles::BundleFacts;
use charttrust_verify::evidence::{Answer, ArchiveFacts, Signed};
use charttrust_verify::sigstore::ClaimedSigner;

use crate::api::bounds;
use crate::api::release_trust::SourceEvidence;

/// What was put into a status so far.
#[derive(Debug, Default)]
pub(super) struct Room<'a> {
    bytes: usize,
    signatures: usize,
    statements: Vec<&'a Signed>,
    bundles: Vec<&'a BundleFacts>,
}

impl<'a> Room<'a> {
    /// Whether there is room for what is written of an answer, with all signatures of its statement.
    pub(super) fn takes(&mut self, written: &SourceEvidence, answer: &'a Answer) -> bool {
        let new = statement(answer).filter(|signed| !self.has(signed));
        let signatures = new.map_or(0, |signed| signed.signatures.len());
        let bundles: Vec<_> = bundles(answer)
            .filter(|one| !self.has_bundle(one))
            .collect();
        let more = [signatures, bundles.len()];
        let signatures = more
            .into_iter()
            .fold(self.signatures, usize::saturating_add);
        let rows: usize = bundles.iter().map(|one| row_weight(one)).sum();
        let more = [weight(written), rows];
        let bytes = more.into_iter().fold(self.bytes, usize::saturating_add);
        let fits = signatures <= bounds::LONG_LIST
            && bytes <= bounds::EVIDENCE_SIZE
            && records(written).all(|record| record.len() <= bounds::RECORD);
        if fits {
            (self.bytes, self.signatures) = (bytes, signatures);
            self.statements.extend(new);
            self.bundles.extend(bundles);
        }
        fits
    }

    /// Every Sigstore signature that is told, each once.
    pub(super) fn bundles(&self) -> impl Iterator<Item = &'a BundleFacts> {
        self.bundles.iter().copied()
    }

    fn has_bundle(&self, bundle: &BundleFacts) -> bool {
        let mut bundles = self.bundles.iter();
        bundles.any(|known| known.digest == bundle.digest)
    }

    /// Whether a statement is told.
    pub(super) fn has(&self, signed: &Signed) -> bool {
        let mut statements = self.statements.iter();
        statements.any(|known| known.digest == signed.digest)
    }
}

fn statement(answer: &Answer) -> Option<&Signed> {
    archive(answer)?.signed()
}

fn bundles(answer: &Answer) -> impl Iterator<Item = &BundleFacts> {
    archive(answer).into_iter().flat_map(ArchiveFacts::bundled)
}

fn archive(answer: &Answer) -> Option<&ArchiveFacts> {
    match answer {
        Answer::Archive(facts) => Some(facts),
        Answer::Ambiguous { .. } | Answer::NotFound | Answer::Unavailable { .. } => None,
    }
}

/// What was verified of each Sigstore signature.
fn records(written: &SourceEvidence) -> impl Iterator<Item = &String> {
    let bundles = written.bundles.iter().flat_map(|it| &it.signatures);
    bundles.filter_map(|one| one.record.as_ref())
}

/// Bytes of a signature among the signers, about: no less than there are. What is escaped in names takes twice.
fn row_weight(bundle: &BundleFacts) -> usize {
    let names = match &bundle.claimed {
        Some(ClaimedSigner::Identity { issuer, subject }) => issuer.len() + subject.len(),
        Some(ClaimedSigner::Key | ClaimedSigner::Unreadable) | None => 0,
    };
    2 * names + ROW
}

/// Bytes as JSON, about: no less than there are.
fn weight(written: &SourceEvidence) -> usize {
    let subcharts = written.dependencies.iter().map(|subchart| {
        let repository = subchart.repository.as_ref().map_or(0, String::len);
        let texts = [subchart.name.len(), subchart.version.len(), repository];
        texts.iter().sum::<usize>() + SUBCHART
    });
    let texts = [
        &written.chart,
        &written.version,
        &written.signed_chart,
        &written.signed_version,
    ];
    let texts = texts.into_iter().flatten().map(String::len);
    let notes = written
        .differences
        .iter()
        .chain(&written.message)
        .map(String::len);
    let bundles = written.bundles.iter();
    let bundles = bundles.map(|it| serde_json::to_string(it).map_or(usize::MAX, |it| it.len()));
    let all = subcharts.chain(texts).chain(notes).chain(bundles);
    all.fold(SOURCE + written.url.len(), usize::saturating_add)
}

/// What digests, dates and the names of fields take.
const SOURCE: usize = 1024;
const SUBCHART: usize = 160;
const ROW: usize = 512;

#[cfg(test)]
mod tests {
    use charttrust_verify::bundles::Bundles;
    use charttrust_verify::digest::Sha256Digest;
    use charttrust_verify::evidence::ProvenanceFacts;

    use super::*;
    use crate::api::release_trust::{BundledChart, SourceAnswer};

    fn written(subcharts: usize, repository: usize) -> SourceEvidence {
        let subchart = BundledChart {
            name: "a".repeat(255),
            version: "b".repeat(255),
            repository: Some("c".repeat(repository)),
            content: format!("sha256:{}", "0".repeat(64)),
        };
        SourceEvidence {
            dependencies: vec![subchart; subcharts],
            ..SourceEvidence::new("https://charts.example.com", SourceAnswer::Archive)
        }
    }

    #[test]
    fn no_more_is_told_than_the_server_takes() {
        for (subcharts, repository) in [(0, 0), (1, 512), (64, 0), (64, 512)] {
            let one = written(subcharts, repository);
            let mut room = Room::default();
            let taken = (0..2000)
                .take_while(|_| room.takes(&one, &Answer::NotFound))
                .count();
            let bytes = taken * serde_json::to_string(&one).unwrap().len();
            assert!(bytes <= bounds::EVIDENCE_SIZE, "{bytes} bytes of {taken}");
            let has_room = taken > 2 * bounds::LIST || bytes > bounds::EVIDENCE_SIZE / 10;
            assert!(taken < 2000 && has_room, "{bytes} bytes of {taken}");
        }
    }

    /// A Sigstore signature whose names are as long as they can be, and take twice as much as JSON.
    fn bundle(number: usize) -> BundleFacts {
        let mut facts = BundleFacts::read(number.to_string().as_bytes());
        facts.claimed = Some(ClaimedSigner::Identity {
            issuer: "\"".repeat(512),
            subject: "\\".repeat(512),
        });
        facts
    }

    /// An answer with signatures, and what is written of it; each record is so long, and has so many quotes.
    fn signed(count: usize, record: usize, from: usize) -> (SourceEvidence, Answer) {
        let digest = Sha256Digest::of(b"archive");
        let signatures = (from..from + count).map(bundle).collect();
        let facts = ArchiveFacts {
            bundles: Some(Box::new(Bundles::of(signatures, None))),
            ..ArchiveFacts::plain(digest, ("web", "1.0.0"), ProvenanceFacts::Missing)
        };
        let mut written = SourceEvidence {
            bundles: super::super::bundles::written(&facts),
            ..written(0, 0)
        };
        for one in &mut written.bundles.as_mut().unwrap().signatures {
            one.record = Some("\"".repeat(record));
        }
        (written, Answer::Archive(Box::new(facts)))
    }

    #[test]
    fn signatures_of_sigstore_take_no_more_than_the_server_takes_either() {
        for (count, record) in [
            (0, 0),
            (1, 2048),
            (32, 2048),
            (32, 20_000),
            (1, bounds::RECORD),
        ] {
            let all: Vec<_> = (0..200)
                .map(|number| signed(count, record, number * count))
                .collect();
            let mut room = Room::default();
            let mut bytes = 0;
            for (written, answer) in &all {
                if room.takes(written, answer) {
                    bytes += serde_json::to_string(written).unwrap().len();
                }
            }
            let rows = room.bundles().map(super::super::bundles::signer);
            let rows: Vec<_> = rows.collect();
            assert!(rows.len() <= bounds::LONG_LIST);
            bytes += serde_json::to_string(&rows).unwrap().len();
            assert!(
                bytes <= bounds::EVIDENCE_SIZE,
                "{bytes} bytes of {count} with {record}"
            );
            let is_used = bytes > bounds::EVIDENCE_SIZE / 4 || rows.len() > 200 || count == 0;
            assert!(
                is_used || count == 32,
                "{bytes} bytes of {count} with {record}"
            );
        }
        let (written, answer) = signed(1, bounds::RECORD + 1, 0);
        assert!(
            !Room::default().takes(&written, &answer),
            "the server refuses it"
        );
    }
}
