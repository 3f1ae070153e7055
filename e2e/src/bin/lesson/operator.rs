//! Lesson 2: an operator rolls out, in a namespace of its own.

use charttrust::api::chart_trust_policy::Mode;

use crate::Result;
use crate::lab::{Lab, Task};

pub(crate) async fn tasks(lab: &Lab) -> Result<Vec<Task>> {
    let portal = lab.release("pilot", "portal").await?;
    let legacy = lab.release("pilot", "legacy").await?;
    let platform = lab.policy("platform").await?;
    let excluded = platform
        .iter()
        .flat_map(|policy| &policy.spec.selection.exclude_namespaces);
    let is_apart = excluded.into_iter().any(|name| name == "pilot");
    let pilot = lab.policy("pilot").await?;
    let exceptions = pilot.iter().flat_map(|policy| &policy.spec.exceptions);
    let forgiven = exceptions
        .filter(|one| one.releases == ["pilot/legacy"])
        .count();
    let mode = pilot.as_ref().map(|policy| policy.spec.mode);
    let preview = lab.text("preview.txt").unwrap_or_default();
    Ok(vec![
        Task::new(
            "Is the installation sound",
            "charttrust doctor -o json > doctor.json; nothing in it may have failed",
            is_sound(lab),
        ),
        Task::new(
            "Begin where nobody is in the way",
            "install portal and legacy in namespace pilot, and have the policy platform exclude that namespace",
            !portal.word.is_empty() && !legacy.word.is_empty() && is_apart,
        ),
        Task::new(
            "Pin what runs",
            "charttrust policy init --name pilot -n pilot, applied twice: portal is DigestPinned then",
            portal.word == "DigestPinned",
        ),
        Task::new(
            "Forgive for a time",
            "an exception of the policy pilot for pilot/legacy that names ChartNotFound and ends: its verdict is Exempt then",
            forgiven > 0 && legacy.word == "Exempt",
        ),
        Task::new(
            "Ask what a stricter mode would refuse",
            "charttrust policy preview pilot --mode Enforce > preview.txt",
            preview.contains("At the door, mode Enforce:"),
        ),
        Task::new(
            "Warn before you refuse",
            "the policy pilot has to have mode Warn",
            mode == Some(Mode::Warn),
        ),
    ])
}

fn is_sound(lab: &Lab) -> bool {
    let doctor = lab.json("doctor.json");
    let checks = doctor["checks"].as_array();
    checks.is_some_and(|checks| {
        let has_failed = |check: &serde_json::Value| check["state"] == "failed";
        checks.len() > 5 && !checks.iter().any(has_failed)
    })
}
