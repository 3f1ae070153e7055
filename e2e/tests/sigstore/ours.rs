//! What we say of a chart in a registry: what is published beside it is asked for as the operator does, and judged by
//! the engine.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use charttrust::evidence::{Fetcher, fetcher};
use charttrust::sources::{self, Asked, Form, Limits, Settings, Signatures, Signed};
use charttrust_e2e::registry::Registry;
use charttrust_verify::bundles::{BundleFacts, Bundles, ManifestFacts};
use charttrust_verify::chart::{self, Chart};
use charttrust_verify::check::{self, Case, Known};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{Answer, ArchiveFacts, Bound, Evidence, ProvenanceFacts};
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::policy::{
    Demands, Dependencies, ExpiredKeys, Level, Pattern, Policy, ReleaseRef, Rule, Selection,
    Signers, Source, Verify,
};
use charttrust_verify::sigstore::{SigstoreSigners, SimpleSignature};
use charttrust_verify::verdict::Cause;
use jiff::Timestamp;

use crate::setup::Pushed;

/// What we say.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) word: String,
    pub(crate) findings: Vec<(String, String)>,
}

impl Judged {
    pub(crate) fn has(&self, finding: &str) -> bool {
        self.findings.iter().any(|(word, _)| word == finding)
    }
}

/// Asks a registry, and judges what it has.
pub(crate) async fn judged(
    registry: &Registry,
    pushed: &Pushed,
    signers: &SigstoreSigners,
) -> Judged {
    let fetcher = asking(registry);
    let source = sources::Source::at(pushed.source(registry));
    let chart = &pushed.chart;
    let fetched = fetcher.fetch(&source, &chart.name, &chart.version).await;
    let manifest = fetched.unwrap().manifest;
    let signed = Signed {
        chart: &chart.name,
        version: &chart.version,
        manifest,
    };
    let found = fetcher
        .signatures(&source, signed, Asked::now())
        .await
        .unwrap();
    let archive = std::fs::read(&chart.archive).unwrap();
    let archive = chart::read(&archive, &ArchiveLimits::default()).unwrap();
    let manifest = ManifestFacts {
        digest: manifest.unwrap(),
        layer: archive.digest,
    };
    judged_with(&archive, bundles(&found, Some(manifest)), signers)
}

pub(crate) fn asking(registry: &Registry) -> Fetcher {
    asking_at(&registry.host())
}

pub(crate) fn asking_at(host: &str) -> Fetcher {
    fetcher(Settings {
        allowed_hosts: vec![host.parse().unwrap()],
        auth_hosts: Vec::new(),
        limits: Limits::default(),
        user_agent: "charttrust/story".to_owned(),
    })
}

pub(crate) fn bundles(found: &Signatures, manifest: Option<ManifestFacts>) -> Bundles {
    let facts = found.claimed.iter().map(|one| {
        let facts = match &one.form {
            Form::Bundle => BundleFacts::read(&one.bytes),
            Form::Simple(annotations) => {
                let simple = SimpleSignature {
                    payload: &one.bytes,
                    annotations,
                };
                // Two signatures may have one payload.
                let digest = Sha256Digest::of(format!("{annotations:?}").as_bytes());
                BundleFacts::of(digest, simple.parse())
            }
        };
        match manifest {
            Some(manifest) => facts.of_manifest(manifest),
            None => facts,
        }
    });
    let left_out = found.left_out.first();
    Bundles {
        signatures: facts.collect(),
        incomplete: left_out.map(|error| {
            let cause = match error.cause() {
                sources::Cause::LimitExceeded => Cause::LimitExceeded,
                _ => Cause::SourceUnavailable,
            };
            (cause, error.to_string())
        }),
        ..Bundles::default()
    }
}

/// By a rule that lists all of them, and needs one.
pub(crate) fn judged_with(archive: &Chart, bundles: Bundles, signers: &SigstoreSigners) -> Judged {
    let now = Timestamp::now();
    let facts = ArchiveFacts {
        bundles: Some(Box::new(bundles)),
        ..ArchiveFacts::of(archive, ProvenanceFacts::Missing, Bound::NotCompared)
    };
    let mut evidence = Evidence::default();
    evidence
        .answers
        .insert(SOURCE.to_owned(), Answer::Archive(Box::new(facts)));
    evidence.try_sigstore(signers, now);
    let case = Case {
        release: ReleaseRef {
            namespace: "",
            namespace_labels: None,
            name: "",
        },
        chart: &archive.metadata.name,
        version: &archive.metadata.version,
        deployers: &[],
        evidence: &evidence,
    };
    let known = Known {
        keys: &[],
        sigstore: signers,
    };
    let judgement = check::judge(&case, &[policy(signers)], known, now);
    let findings = judgement.findings.iter();
    Judged {
        word: judgement.verdict.word().to_owned(),
        findings: findings
            .map(|one| (one.fact.to_string(), one.message.clone()))
            .collect(),
    }
}

fn policy(signers: &SigstoreSigners) -> Policy {
    let keys = signers.keys.iter().map(|one| one.trusted.name.clone());
    let identities = signers
        .identities
        .iter()
        .map(|one| one.identity.name.clone());
    let rule = Rule {
        name: "rule".into(),
        charts: vec![Pattern::new("*")],
        versions: None,
        sources: vec![Source::at(SOURCE)],
        verify: Verify {
            level: Level::Strict,
            signers: Signers {
                keys: keys.collect(),
                selector: None,
                identities: identities.collect::<BTreeSet<_>>(),
                identity_selector: None,
                threshold: NonZeroU32::MIN,
            },
            expired_keys: ExpiredKeys::AcceptIfSignedBefore,
            dependencies: Dependencies::Inherit,
        },
        pins: Vec::new(),
        problem: None,
    };
    Policy {
        name: "policy".to_owned(),
        suspended: false,
        selection: Selection::default(),
        demands: Demands::Rules(vec![rule]),
        exceptions: Vec::new(),
    }
}

const SOURCE: &str = "oci://registry.test/charts";
