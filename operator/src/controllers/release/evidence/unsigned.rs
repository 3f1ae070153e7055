//! Why there is no usable provenance, as a `ReleaseTrust` keeps it.

use charttrust_verify::evidence::ProvenanceFacts;
use charttrust_verify::verdict::Cause;

use crate::api::bounds;
use crate::api::release_trust as v1;

/// What was written, read back.
pub(super) fn read(source: &v1::SourceEvidence, problem: v1::ProvenanceProblem) -> ProvenanceFacts {
    let message = source.message.clone().unwrap_or_default();
    match problem {
        v1::ProvenanceProblem::Malformed => ProvenanceFacts::Malformed { message },
        v1::ProvenanceProblem::Missing => ProvenanceFacts::Missing,
        v1::ProvenanceProblem::TooLarge => ProvenanceFacts::Unavailable {
            cause: Cause::LimitExceeded,
            message,
        },
        v1::ProvenanceProblem::Unavailable => ProvenanceFacts::Unavailable {
            cause: Cause::SourceUnavailable,
            message,
        },
    }
}

/// What exactly it is.
pub(super) fn message(provenance: &ProvenanceFacts) -> Option<String> {
    match provenance {
        ProvenanceFacts::Malformed { message } | ProvenanceFacts::Unavailable { message, .. } => {
            Some(bounds::fit(message, bounds::MESSAGE))
        }
        ProvenanceFacts::Missing | ProvenanceFacts::Signed(_) => None,
    }
}

/// In one word, if there is none.
pub(super) fn written(provenance: &ProvenanceFacts) -> Option<v1::ProvenanceProblem> {
    match provenance {
        ProvenanceFacts::Malformed { .. } => Some(v1::ProvenanceProblem::Malformed),
        ProvenanceFacts::Missing => Some(v1::ProvenanceProblem::Missing),
        ProvenanceFacts::Signed(_) => None,
        ProvenanceFacts::Unavailable { cause, .. } if *cause == Cause::LimitExceeded => {
            Some(v1::ProvenanceProblem::TooLarge)
        }
        ProvenanceFacts::Unavailable { .. } => Some(v1::ProvenanceProblem::Unavailable),
    }
}
