//! What the engine says of a provenance that lies nowhere yet, if one key is believed. Touches nothing.

use charttrust_verify::chart::Chart;
use charttrust_verify::check::{Judgement, Known};
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Bound, Claimed, Evidence, ProvenanceFacts,
};
use charttrust_verify::openpgp::Certificate;
use charttrust_verify::policy::Source;
use charttrust_verify::sigstore::SigstoreSigners;
use jiff::Timestamp;

use super::{CheckLevel, NO_SOURCE, Wanted, inputs};

/// Judges the provenance of an archive by a strict policy that believes this key and nobody else.
pub(in crate::cli) fn judge(
    chart: &Chart,
    provenance: &[u8],
    certificate: &Certificate,
    now: Timestamp,
) -> Judgement {
    let keys = vec![inputs::bare(certificate.clone())];
    let sigstore = SigstoreSigners::default();
    let known = Known {
        keys: &keys,
        sigstore: &sigstore,
    };
    let mut rule = inputs::believing(CheckLevel::Strict, known);
    rule.sources = vec![Source::at(NO_SOURCE)];
    let wanted = Wanted {
        chart: chart.metadata.name.clone(),
        version: chart.metadata.version.clone(),
        misnamed: None,
    };
    let claimed = Claimed {
        chart: &wanted.chart,
        version: &wanted.version,
    };
    let provenance = ProvenanceFacts::read(provenance, claimed);
    let facts = ArchiveFacts::of(chart, provenance, Bound::NotCompared);
    let mut evidence = Evidence::default();
    let answer = Answer::Archive(Box::new(facts));
    evidence.answers.insert(NO_SOURCE.to_owned(), answer);
    evidence.try_keys(&keys, now);
    super::judge(&wanted, rule, &evidence, (known, now))
}
