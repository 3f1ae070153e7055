//! Failures that are forgiven for a time.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use charttrust_verify::policy::Exception;
use charttrust_verify::verdict::Reason;

use super::text::release_globs;
use super::{Problems, timestamp};
use crate::api::chart_trust_policy as api;

/// The exceptions of a policy that can be used.
pub(super) fn exceptions(all: &[api::Exception], problems: &mut Problems) -> Vec<Exception> {
    problems.expect_unique("spec.exceptions", all.iter().map(|one| one.name.as_str()));
    let numbered = all.iter().enumerate();
    numbered
        .filter_map(|(index, one)| exception(&format!("spec.exceptions[{index}]"), one, problems))
        .collect()
}

fn exception(path: &str, one: &api::Exception, problems: &mut Problems) -> Option<Exception> {
    let releases = release_globs(&format!("{path}.releases"), &one.releases, problems);
    let reasons = reasons(&format!("{path}.reasons"), one, problems);
    if one.justification.trim().is_empty() {
        problems.add(
            format!("{path}.justification"),
            "is empty, say why, for those who ask later",
        );
    }
    let expires_at = problems.take(&format!("{path}.expiresAt"), timestamp(&one.expires_at))?;
    Some(Exception {
        name: one.name.clone(),
        releases,
        reasons,
        expires_at,
        justification: one.justification.clone(),
    })
}

fn reasons(path: &str, one: &api::Exception, problems: &mut Problems) -> BTreeSet<Reason> {
    problems.expect_some(path, &one.reasons, "reason that it forgives");
    let read = |word: &crate::api::reasons::UntrustedReason| Reason::from_str(word.word());
    one.reasons
        .iter()
        .filter_map(|word| problems.take(path, read(word)))
        .collect()
}

#[cfg(test)]
mod tests {
    use charttrust_verify::verdict::{Basis, Cause};

    use super::*;
    use crate::api::reasons::{self as words, UnknownCause, UntrustedReason};

    #[test]
    fn schema_and_engine_have_the_same_words() {
        let mut ours: Vec<_> = UntrustedReason::ALL
            .iter()
            .map(|word| word.word())
            .collect();
        ours.extend(UnknownCause::ALL.iter().map(|word| word.word()));
        ours.extend(words::Basis::ALL.iter().map(|word| word.word()));
        let mut engine: Vec<_> = Reason::ALL.iter().map(|word| word.word()).collect();
        engine.extend(Cause::ALL.iter().map(|word| word.word()));
        engine.extend(Basis::ALL.iter().map(|word| word.word()));
        ours.sort_unstable();
        engine.sort_unstable();
        assert_eq!(ours, engine);
    }
}
