//! Whether a policy's mode is anything but a word: what it says of the webhook. Pure.

use crate::api::BREAK_GLASS;
use crate::api::chart_trust_policy::Mode;
use crate::api::conditions::Status;
use crate::api::reasons::PolicyReason;
use crate::controllers::store::gate::{Called, Seen};
use crate::parse::{Glass, LoadedPolicy};

/// What a condition says: its status and reason, and the message.
pub(in crate::controllers) type State = ((Status, PolicyReason), String);

/// Whether anybody does what the mode says; nothing where nobody has to.
pub(in crate::controllers) fn ready(loaded: &LoadedPolicy, gate: &Seen) -> Option<State> {
    if loaded.mode() == Mode::Audit {
        return None;
    }
    let not = |reason, why: String| ((Status::False, reason), why);
    Some(match (&gate.called, &gate.glass) {
        (Called::Absent(why), _) => not(PolicyReason::WebhookMissing, why.clone()),
        (_, Glass::Broken(until)) => not(
            PolicyReason::BreakGlass,
            format!("everything is let in until {until}: annotation {BREAK_GLASS}"),
        ),
        (Called::Failed(why), _) => not(PolicyReason::WebhookUnreachable, why.clone()),
        (Called::Answered, _) => ((Status::True, PolicyReason::WebhookAnswered), String::new()),
        (Called::Unseen, _) => (
            (Status::Unknown, PolicyReason::Progressing),
            "the webhook was not called yet".to_owned(),
        ),
    })
}

/// The same for a metric; nothing where it is not known, or nobody has to.
pub(in crate::controllers) fn is_ready(loaded: &LoadedPolicy, gate: &Seen) -> Option<bool> {
    let ((status, _), _) = ready(loaded, gate)?;
    match status {
        Status::True => Some(true),
        Status::False => Some(false),
        Status::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::parse;

    fn told(spec: &Value, called: Called, glass: Glass) -> Option<String> {
        let mut policy = json!({"metadata": {"name": "strict"}, "spec": {"rules": []}});
        json_patch::merge(&mut policy["spec"], spec);
        let loaded = parse::policy(&serde_json::from_value(policy).unwrap());
        let gate = Seen {
            called,
            glass,
            ..Seen::default()
        };
        let ((status, reason), message) = ready(&loaded, &gate)?;
        let is_known = match is_ready(&loaded, &gate) {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        assert_eq!(is_known, format!("{status:?}"));
        Some(format!("{status:?}/{} {message}", reason.word()))
    }

    #[test]
    fn a_mode_that_nobody_acts_on_is_told_and_audit_needs_nobody() {
        let until = "2026-11-30T18:00:00Z".parse().unwrap();
        let why = || "why".to_owned();
        for mode in ["Warn", "Enforce"] {
            for (called, glass, expected) in [
                (Called::Answered, Glass::Whole, "True/WebhookAnswered "),
                (
                    Called::Answered,
                    Glass::Ignored(why()),
                    "True/WebhookAnswered ",
                ),
                (
                    Called::Unseen,
                    Glass::Whole,
                    "Unknown/Progressing the webhook was not called yet",
                ),
                (
                    Called::Failed(why()),
                    Glass::Whole,
                    "False/WebhookUnreachable why",
                ),
                (
                    Called::Absent(why()),
                    Glass::Broken(until),
                    "False/WebhookMissing why",
                ),
                (
                    Called::Answered,
                    Glass::Broken(until),
                    "False/BreakGlass everything is let in until 2026-11-30T18:00:00Z: annotation \
                     charttrust.io/break-glass-until",
                ),
            ] {
                let told = told(&json!({"mode": mode}), called, glass);
                assert_eq!(told.as_deref(), Some(expected), "{mode}");
            }
        }
        for silent in [json!({}), json!({"mode": "Enforce", "suspend": true})] {
            assert_eq!(told(&silent, Called::Absent(why()), Glass::Whole), None);
        }
    }
}
