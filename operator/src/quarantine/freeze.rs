//! `FreezeUpgrades`: the API server refuses new records of the release, by a policy of admission of the chart that
//! reads our Quarantines. Here is only what is said of it: nothing is written for it. Pure.

use super::view::{Freeze, Saying, View};
use crate::api::conditions::Status;
use crate::api::quarantine_words::{QuarantineAction, QuarantineCondition, QuarantineReason};
use crate::inventory::argocd;

/// Whether the release is frozen; nothing where that is not asked for. The policy reads what is asked for and
/// nothing of what we say, so this holds whatever else becomes of the quarantine.
pub(super) fn said(view: &View) -> Option<(QuarantineCondition, Saying)> {
    let is_asked = view
        .spec
        .actions
        .contains(&QuarantineAction::FreezeUpgrades);
    is_asked.then(|| (QuarantineCondition::Frozen, saying(view)))
}

/// Whether it is frozen now.
pub(super) fn holds(view: &View) -> bool {
    said(view).is_some_and(|(_, ((status, _), _))| status == Status::True)
}

fn saying(view: &View) -> Saying {
    let release = &view.release;
    let not = |reason, message: String| ((Status::False, reason), message);
    if release.name.starts_with(argocd::PREFIX) {
        let message = "Argo CD keeps no records, so that nobody can refuse new ones".to_owned();
        return not(QuarantineReason::NothingToContain, message);
    }
    if view.protected.contains(&release.namespace) {
        let message = format!("namespace {} is protected", release.namespace);
        return not(QuarantineReason::Protected, message);
    }
    if view.is_ending {
        let message = "the Quarantine is being deleted".to_owned();
        return not(QuarantineReason::Restoring, message);
    }
    match &view.freeze {
        Freeze::InForce => {
            let message = format!(
                "the API server refuses new records of release {release}: nobody installs, upgrades or rolls it back, \
                 to what is trusted neither; charttrust restore {release} ends that"
            );
            ((Status::True, QuarantineReason::UpgradesRefused), message)
        }
        Freeze::Missing(why) => not(QuarantineReason::NotInstalled, why.clone()),
        Freeze::Unseen => (
            (Status::Unknown, QuarantineReason::Containing),
            "not looked at yet".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::inventory::ReleaseId;

    fn view(name: &str, change: &Value, freeze: Freeze) -> View {
        let mut object = json!({
            "metadata": {"name": name, "namespace": "shop", "uid": "u"},
            "spec": {"reason": "a test", "actions": ["PauseDeployer", "FreezeUpgrades"]},
        });
        json_patch::merge(&mut object, change);
        let id = ReleaseId {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        let object = serde_json::from_value(object).unwrap();
        View {
            freeze,
            ..View::of(&id, &object, Timestamp::UNIX_EPOCH)
        }
    }

    fn told(view: &View) -> Option<String> {
        let (condition, ((status, reason), _)) = said(view)?;
        assert_eq!(condition, QuarantineCondition::Frozen);
        assert_eq!(holds(view), status == Status::True);
        Some(format!("{status:?}/{}", reason.word()))
    }

    #[test]
    fn a_release_is_frozen_only_if_the_api_server_refuses() {
        let missing = || Freeze::Missing("the operator runs without --freeze-policy".to_owned());
        let ending = json!({"metadata": {"deletionTimestamp": "2026-11-30T12:00:00Z"}});
        for (name, change, freeze, expected) in [
            ("web", json!({}), Freeze::InForce, "True/UpgradesRefused"),
            ("web", json!({}), missing(), "False/NotInstalled"),
            ("web", json!({}), Freeze::Unseen, "Unknown/Containing"),
            ("web", ending, Freeze::InForce, "False/Restoring"),
            (
                "argocd.web",
                json!({}),
                Freeze::InForce,
                "False/NothingToContain",
            ),
        ] {
            let view = view(name, &change, freeze);
            assert_eq!(told(&view).as_deref(), Some(expected), "{name}");
        }
        let mut protected = view("web", &json!({}), Freeze::InForce);
        protected.protected = vec!["shop".to_owned()];
        assert_eq!(told(&protected).as_deref(), Some("False/Protected"));
        let other = json!({"spec": {"actions": ["ScaleToZero"]}});
        assert_eq!(told(&view("web", &other, Freeze::InForce)), None);
    }
}
