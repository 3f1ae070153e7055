//! What of the evidence a status has room for.
//!
//! Whoever publishes a chart decides how much there is: subcharts, addresses, signatures. What has no room is
//! left out whole and asked about again after a restart; a statement with some of its signatures, or an archive
//! with some of its subcharts, would be judged as another.

use charttrust_verify::evidence::{Answer, Signed};

use crate::api::bounds;
use crate::api::release_trust::SourceEvidence;

/// What was put into a status so far.
#[derive(Debug, Default)]
pub(super) struct Room<'a> {
    bytes: usize,
    signatures: usize,
    statements: Vec<&'a Signed>,
}

impl<'a> Room<'a> {
    /// Whether there is room for what is written of an answer, with all signatures of its statement.
    pub(super) fn takes(&mut self, written: &SourceEvidence, answer: &'a Answer) -> bool {
        let new = statement(answer).filter(|signed| !self.has(signed));
        let signatures = new.map_or(0, |signed| signed.signatures.len());
        let signatures = self.signatures.saturating_add(signatures);
        let bytes = self.bytes.saturating_add(weight(written));
        let fits = signatures <= bounds::LONG_LIST && bytes <= bounds::EVIDENCE_SIZE;
        if fits {
            (self.bytes, self.signatures) = (bytes, signatures);
            self.statements.extend(new);
        }
        fits
    }

    /// Whether a statement is told.
    pub(super) fn has(&self, signed: &Signed) -> bool {
        let mut statements = self.statements.iter();
        statements.any(|known| known.digest == signed.digest)
    }
}

fn statement(answer: &Answer) -> Option<&Signed> {
    match answer {
        Answer::Archive(facts) => facts.signed(),
        Answer::Ambiguous { .. } | Answer::NotFound | Answer::Unavailable { .. } => None,
    }
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
    SOURCE + written.url.len() + subcharts.chain(texts).chain(notes).sum::<usize>()
}

/// What digests, dates and the names of fields take.
const SOURCE: usize = 1024;
const SUBCHART: usize = 160;

#[cfg(test)]
mod tests {
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
}
