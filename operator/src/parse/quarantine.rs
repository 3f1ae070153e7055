//! `Quarantine` → what is wrong with it.

use super::problem::{Problem, Problems};
use crate::api::Quarantine;
use crate::api::quarantine_words::{FREEZE_WITHOUT_PAUSE, QuarantineAction};

/// What is wrong with a Quarantine; the schema refuses all of it too.
pub fn quarantine_problems(object: &Quarantine) -> Vec<Problem> {
    let spec = &object.spec;
    let mut problems = Problems::default();
    problems.expect_some("spec.actions", &spec.actions, "action");
    if QuarantineAction::freezes_without_pause(&spec.actions) {
        problems.add("spec.actions", FREEZE_WITHOUT_PAUSE);
    }
    if spec.reason.trim().is_empty() {
        problems.add(
            "spec.reason",
            "is empty, say why, for example signed after key theft",
        );
    }
    let is_name = |name: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        !name.is_empty() && name.chars().all(inner)
    };
    if spec.policy.as_deref().is_some_and(|name| !is_name(name)) {
        problems.add(
            "spec.policy",
            "is no name of a policy, leave it to the operator",
        );
    }
    problems.into_vec()
}
