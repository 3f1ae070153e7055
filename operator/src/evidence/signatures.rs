//! The Sigstore signatures of an archive that a source has, for the engine: asked for where somebody is believed who
//! makes such, by the operator and by `charttrust verify` alike.

use std::collections::BTreeSet;
use std::time::Duration;

use charttrust_verify::bundles::{BundleFacts, Bundles, ManifestFacts};
use charttrust_verify::evidence::Claimed;
use charttrust_verify::policy::{Level, Rule};
use charttrust_verify::sigstore::{SigstoreSigners, SimpleSignature};
use charttrust_verify::verdict::Cause;

use super::{Fetcher, ReadChart};
use crate::sources::{
    self, Asked, ClaimedSignature, FetchError, Fetched, Form, Place, ProvenanceAnswer, Signatures,
    Signed, Source,
};

/// Which signatures of a chart are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forms {
    /// The signed statement beside the archive, and those of Sigstore.
    Every,
    /// The signed statement beside the archive.
    Statement,
}

impl Forms {
    /// What rules want: signatures of Sigstore only where one of them believes anybody who makes such.
    pub fn of(rules: &[&Rule], known: &SigstoreSigners) -> Self {
        let lists = |rule: &&Rule| {
            rule.verify.level != Level::None && rule.verify.signers.list_sigstore(known)
        };
        if rules.iter().any(lists) {
            Self::Every
        } else {
            Self::Statement
        }
    }
}

/// What was found, and for how long the source asks to be left alone.
pub(super) struct Asking {
    pub(super) bundles: Bundles,
    pub(super) retry_after: Option<Duration>,
}

/// Asks for the signatures of an archive that was fetched: whoever has served it, and if the source itself is silent
/// about them, its mirrors. Those add to what a silent source has, and never say that this is all.
pub(super) async fn ask(
    fetcher: &Fetcher,
    source: &Source,
    (claimed, asked): (Claimed<'_>, Asked),
    fetched: &Fetched<ReadChart>,
) -> Asking {
    let mirrors = || source.mirrors.iter().map(|url| copy(source, url));
    let question = Question {
        fetcher,
        claimed,
        asked,
        fetched,
    };
    if fetched.place == Place::Mirror {
        let mirror = fetched.mirror.and_then(|position| mirrors().nth(position));
        let served = question.ask(mirror.as_ref().unwrap_or(source)).await;
        return served.of_mirror(fetched.silence.as_ref().map(silence));
    }
    let own = question.ask(source).await;
    // A statement of the source itself counts in full, and nothing that a mirror adds may change that.
    let is_stated = matches!(fetched.provenance, ProvenanceAnswer::Present(_));
    if !own.bundles.is_silent() || is_stated {
        return own;
    }
    for mirror in mirrors() {
        let served = question.ask(&mirror).await;
        if !served.bundles.signatures.is_empty() && own.bundles.signatures.is_empty() {
            return Asking {
                retry_after: own.retry_after,
                ..served.of_mirror(own.bundles.incomplete)
            };
        }
    }
    own
}

/// Those that the source itself has shown before of this very archive.
pub(super) fn remembered(
    fetcher: &Fetcher,
    source: &Source,
    claimed: Claimed<'_>,
    fetched: &Fetched<ReadChart>,
) -> Option<Bundles> {
    let signed = Signed {
        chart: claimed.chart,
        version: claimed.version,
        manifest: fetched.manifest,
    };
    let known = fetcher.remembered_signatures(source, signed)?;
    Some(bundles(&known, manifest(fetched)))
}

/// The manifest that was fetched, and the layer by which it names the archive: both digests are our own.
fn manifest(fetched: &Fetched<ReadChart>) -> Option<ManifestFacts> {
    let digest = fetched.manifest?;
    let layer = fetched.archive.digest;
    Some(ManifestFacts { digest, layer })
}

/// What is asked, of whichever address.
#[derive(Clone, Copy)]
struct Question<'a> {
    fetcher: &'a Fetcher,
    claimed: Claimed<'a>,
    asked: Asked,
    fetched: &'a Fetched<ReadChart>,
}

impl Question<'_> {
    async fn ask(self, source: &Source) -> Asking {
        let signed = Signed {
            chart: self.claimed.chart,
            version: self.claimed.version,
            manifest: self.fetched.manifest,
        };
        let asking = self.fetcher.signatures(source, signed, self.asked);
        match tokio::time::timeout(PATIENCE, Box::pin(asking)).await {
            Ok(Ok(signatures)) => Asking {
                retry_after: signatures.left_out.iter().find_map(FetchError::retry_after),
                bundles: bundles(&signatures, manifest(self.fetched)),
            },
            Ok(Err(error)) => Asking {
                bundles: Bundles::of(Vec::new(), Some(silence(&error))),
                retry_after: error.retry_after(),
            },
            Err(_) => {
                let message = format!("{}: no answer in time", source.url);
                let silence = (Cause::SourceUnavailable, message);
                Asking {
                    bundles: Bundles::of(Vec::new(), Some(silence)),
                    retry_after: None,
                }
            }
        }
    }
}

impl Asking {
    /// What a mirror has, in place of a source that is silent.
    fn of_mirror(self, silence: Option<(Cause, String)>) -> Self {
        let signatures = self.bundles.signatures;
        let bundles = Bundles::of(signatures, silence.or(self.bundles.incomplete));
        Self {
            bundles: bundles.served_by(Place::Mirror),
            ..self
        }
    }
}

/// A mirror as a source of its own: other machines, so it gets no credentials.
fn copy(source: &Source, mirror: &str) -> Source {
    Source {
        ca: source.ca.clone(),
        ..Source::at(mirror)
    }
}

/// What was published, each once. Of what is left out, what may be there the next time is told.
fn bundles(signatures: &Signatures, manifest: Option<ManifestFacts>) -> Bundles {
    let mut seen = BTreeSet::new();
    let read = signatures.claimed.iter().map(|claimed| {
        let read = facts(claimed);
        match manifest {
            Some(manifest) => read.of_manifest(manifest),
            None => read,
        }
    });
    let each = read.filter(|facts| seen.insert(facts.digest)).collect();
    let left_out = signatures.left_out.iter().map(silence);
    let incomplete = left_out.min_by_key(|(cause, _)| *cause != Cause::SourceUnavailable);
    Bundles::of(each, incomplete)
}

fn facts(claimed: &ClaimedSignature) -> BundleFacts {
    match &claimed.form {
        Form::Bundle => BundleFacts::read(&claimed.bytes),
        Form::Simple(annotations) => BundleFacts::read_simple(&SimpleSignature {
            payload: &claimed.bytes,
            annotations,
        }),
    }
}

/// What a failure to ask means: nothing is known, and never that there is none.
fn silence(error: &FetchError) -> (Cause, String) {
    let cause = match error.cause() {
        sources::Cause::LimitExceeded => Cause::LimitExceeded,
        sources::Cause::ArchiveAmbiguous
        | sources::Cause::ChartNotFound
        | sources::Cause::SourceUnavailable => Cause::SourceUnavailable,
    };
    (cause, error.to_string())
}

/// How long asking one address may take: what hangs there must not cost what was said of the archive.
const PATIENCE: Duration = Duration::from_secs(30);
