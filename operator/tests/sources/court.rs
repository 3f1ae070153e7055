//! From what a source serves to the word that a user reads, with a chart that Helm has signed.

use std::collections::BTreeMap;

use charttrust::evidence::{Fetcher, Forms, Gathered, fetcher, gather};
use charttrust::sources::{Asked, Limits, ProvenanceAt, Settings, Source};
use charttrust_verify::check::{self, Case, Judgement, Known};
use charttrust_verify::evidence::{Answer, Bound, Claimed, Evidence};
use charttrust_verify::key::{DeclaredRevocation, Grandfather, Key, RevocationReason, Scope};
use charttrust_verify::openpgp;
use charttrust_verify::policy::ReleaseRef;
use charttrust_verify::sigstore::SigstoreSigners;
use jiff::Timestamp;
use serde_json::json;

pub(crate) const SIGNED_CHART: &[u8] = include_bytes!("../../verify/tests/data/hashtest-1.2.3.tgz");
pub(crate) const OTHER_CHART: &[u8] = include_bytes!("../../verify/tests/data/frobnitz-1.2.3.tgz");
pub(crate) const STATEMENT: &[u8] =
    include_bytes!("../../verify/tests/openpgp/vectors/helm-hashtest-1.2.3.tgz.prov");
pub(crate) const KEY: &[u8] =
    include_bytes!("../../verify/tests/openpgp/vectors/helm-test-key.pub");
/// The signed chart.
pub(crate) const NAME: &str = "hashtest";
pub(crate) const VERSION: &str = "1.2.3";
/// Where it lies in a registry whose source is `oci://HOST/charts`.
pub(crate) const REPOSITORY: &str = "charts/hashtest";

/// How strictly a release is judged, and what came of comparing it with the archive.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) level: &'static str,
    pub(crate) bound: Bound,
}

impl Bar {
    /// A release that is made of the archive, under the level that compares it.
    pub(crate) fn strict() -> Self {
        Self {
            level: "Strict",
            bound: Bound::Same(Vec::new()),
        }
    }
}

/// What one source says, and what it is worth, as of a day on which the key of the signature is valid.
pub(crate) async fn judged(url: &str, bar: &Bar) -> (Answer, Judgement) {
    Looks::at(url).judged(bar).await
}

/// The word that a user reads.
pub(crate) async fn word(url: &str) -> &'static str {
    Looks::at(url).word().await
}

/// Looks at one source, each of which may know what those before it have seen.
pub(crate) struct Looks {
    pub(crate) forms: Forms,
    fetcher: Fetcher,
    source: Source,
}

impl Looks {
    pub(crate) fn at(url: &str) -> Self {
        let settings = Settings {
            allowed_hosts: vec!["127.0.0.1".parse().unwrap()],
            auth_hosts: Vec::new(),
            limits: Limits::default(),
            user_agent: "charttrust/test".to_owned(),
        };
        Self {
            fetcher: fetcher(settings),
            forms: Forms::Statement,
            source: crate::server::source(url),
        }
    }

    /// The same source, whose statements lie elsewhere.
    pub(crate) fn proven_at(mut self, url: &str) -> Self {
        self.source.provenance = Some(ProvenanceAt {
            url: url.to_owned(),
            credentials: None,
        });
        self
    }

    /// The word that a user reads, after the key was stolen.
    pub(crate) async fn word_after_theft(&self) -> &'static str {
        let (answer, _) = self.judged(&Bar::strict()).await;
        let mut stolen = key();
        stolen.revocations.push(DeclaredRevocation {
            declared_by: stolen.name.clone(),
            reason: RevocationReason::Compromised,
            since: None,
            grandfather: Grandfather::Never,
        });
        let judgement = judge_by(&self.source.url, answer, ("Strict", stolen));
        judgement.verdict.word()
    }

    /// The same source, with a mirror.
    pub(crate) fn mirrored(mut self, url: &str) -> Self {
        self.source.mirrors.push(url.to_owned());
        self
    }

    pub(crate) async fn word(&self) -> &'static str {
        let (_, judgement) = self.judged(&Bar::strict()).await;
        judgement.verdict.word()
    }

    pub(crate) async fn judged(&self, bar: &Bar) -> (Answer, Judgement) {
        let claimed = Claimed {
            chart: NAME,
            version: VERSION,
        };
        let (mut source, asked) = (self.source.clone(), Asked::now());
        loop {
            let gathered = gather(&self.fetcher, &source, claimed, (asked, self.forms)).await;
            let others = gathered.others(&source);
            let answer = match gathered {
                Gathered::Found(found) => found.bound(bar.bound.clone()),
                Gathered::Other(nothing) => nothing.answer,
            };
            let judgement = judge(&self.source.url, answer.clone(), bar.level);
            match others.filter(|_| !judgement.verdict.is_trusted()) {
                Some(others) => source = others,
                None => return (answer, judgement),
            }
        }
    }
}

fn judge(url: &str, answer: Answer, level: &str) -> Judgement {
    judge_by(url, answer, (level, key()))
}

fn judge_by(url: &str, answer: Answer, (level, key): (&str, Key)) -> Judgement {
    let policy = json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy", "metadata": {"name": "p"},
        "spec": {"rules": [{
            "name": "all", "charts": ["*"], "sources": [{"url": url}],
            "verify": {"level": level, "signers": {"keys": ["publisher"]}},
        }]},
    });
    let policy = charttrust::parse::policy(&serde_json::from_value(policy).unwrap());
    assert_eq!(policy.problems, []);
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let keys = [key];
    let mut evidence = Evidence::default();
    evidence.answers.insert(url.to_owned(), answer);
    evidence.try_keys(&keys, now);
    let release = ReleaseRef {
        namespace: "shop",
        namespace_labels: None,
        name: "web",
    };
    let case = Case {
        release,
        chart: NAME,
        version: VERSION,
        deployers: &[],
        evidence: &evidence,
    };
    let known = Known {
        keys: &keys,
        sigstore: &SigstoreSigners::default(),
    };
    check::judge(&case, &[policy.policy], known, now)
}

fn key() -> Key {
    let certificate = openpgp::load_all(KEY).unwrap().remove(0);
    Key {
        name: "publisher".to_owned(),
        labels: BTreeMap::new(),
        certificate,
        scope: Scope::default(),
        not_after: None,
        unusable: None,
        revocations: Vec::new(),
    }
}
