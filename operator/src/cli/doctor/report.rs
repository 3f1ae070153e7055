//! What is told of each check: its state, and the next step where there is one. Touches nothing.

use serde::Serialize;

use crate::cli::screen::Table;
use crate::cli::{SCHEMA_VERSION, TRUSTED, UNKNOWN, UNTRUSTED};

/// How a check came out.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Something works, and does not work as it should, or will not for long.
    Warning,
    /// It could not be found out.
    Unknown,
    /// A fault.
    Failed,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
        }
    }
}

/// One check.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Line {
    /// What was checked.
    pub(super) check: &'static str,
    /// How it came out.
    pub(super) state: State,
    /// What was found.
    pub(super) message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

impl Line {
    /// As it should be.
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Ok,
            message: message.into(),
            next: None,
        }
    }

    /// Anything else has a next step.
    pub(super) fn new(
        check: &'static str,
        state: State,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            check,
            state,
            message: message.into(),
            next: Some(next.into()),
        }
    }

    /// What could not be found out, and why.
    pub(super) fn unknown(check: &'static str, what: &str, why: &str) -> Self {
        let next = "run it again with the rights of an administrator of the cluster";
        Self::new(
            check,
            State::Unknown,
            format!("not checked {what}: {why}"),
            next,
        )
    }
}

/// Everything that was checked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    schema_version: u32,
    /// The worst of all.
    state: State,
    checks: Vec<Line>,
}

impl Report {
    pub(super) fn new(checks: Vec<Line>) -> Self {
        let states = checks.iter().map(|line| line.state);
        Self {
            schema_version: SCHEMA_VERSION,
            state: states.max().unwrap_or(State::Unknown),
            checks,
        }
    }

    /// A warning is no fault; what could not be found out is never green.
    pub(super) fn code(&self) -> u8 {
        match self.state {
            State::Ok | State::Warning => TRUSTED,
            State::Unknown => UNKNOWN,
            State::Failed => UNTRUSTED,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new(&["STATE", "CHECK", "FOUND"]);
        for line in &self.checks {
            table.add([line.state.word(), line.check, &line.message]);
            if let Some(next) = &line.next {
                table.add(["", "", &format!("next: {next}")]);
            }
        }
        table.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(states: &[State]) -> Report {
        let line = |state: &State| Line::new("server", *state, "found\u{1b}[2J", "do it");
        Report::new(states.iter().map(line).collect())
    }

    #[test]
    fn the_worst_gives_the_exit_code_and_nothing_known_is_never_green() {
        use State::{Failed, Ok, Unknown, Warning};
        for (states, code) in [
            (&[][..], UNKNOWN),
            (&[Ok], TRUSTED),
            (&[Ok, Warning], TRUSTED),
            (&[Unknown, Ok, Warning], UNKNOWN),
            (&[Failed, Unknown], UNTRUSTED),
            (&[Warning, Failed], UNTRUSTED),
        ] {
            assert_eq!(report(states).code(), code, "{states:?}");
        }
    }

    #[test]
    fn each_line_stands_with_its_next_step_below_and_moves_no_cursor() {
        let text = report(&[State::Warning]).text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "warning   server   found\\u{1b}[2J");
        assert_eq!(lines[2], "                   next: do it");
    }

    #[test]
    fn programs_read_the_states() {
        let json = serde_json::to_value(report(&[State::Failed, State::Ok])).unwrap();
        assert_eq!(json["schemaVersion"], 1);
        assert_eq!(json["state"], "failed");
        assert_eq!(json["checks"][1]["state"], "ok");
        assert_eq!(json["checks"][0]["next"], "do it");
    }
}
