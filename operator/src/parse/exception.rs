//! Failures that are forgiven for a time.

use std::collections::BTreeSet;

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
    // An exception that nobody can explain is never removed.
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
    one.reasons.iter().copied().collect()
}
