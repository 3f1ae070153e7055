//! What a policy would say at the door of everything that runs, if it came now. Reads the cluster.

use std::collections::BTreeMap;

use charttrust_verify::policy::{Policy, ReleaseRef};
use charttrust_verify::verdict::{Cause, Verdict};
use kube::Client;
use serde::Serialize;

use crate::api::ChartTrustPolicy;
use crate::api::chart_trust_policy::Mode;
use crate::cli::deleting::{self, Found};
use crate::cli::forecast::{AtDoor, Picture, Recorded};
use crate::cli::gate::Gate;
use crate::cli::leading::Operator;
use crate::cli::revoke::count;
use crate::cli::screen::{Table, plain};
use crate::door::{self, Asked};
use crate::parse;

/// What is known of the door.
pub(super) struct Around {
    /// Whether there is one.
    pub(super) gate: Gate,
    /// Who deletes before he installs.
    pub(super) deleting: Found,
    /// The operator's namespace.
    pub(super) operator: String,
}

impl Around {
    pub(super) async fn look(client: &Client, operator: &Operator) -> Self {
        let (gate, deleting) = tokio::join!(Gate::look(client), deleting::look(client));
        Self {
            gate,
            deleting,
            operator: operator.operator_namespace.clone(),
        }
    }

    /// Whether API servers ask about records of a namespace with these labels.
    pub(super) fn asks(&self, namespace: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.gate.asks((namespace, &self.operator), labels)
    }
}

/// What it would say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Door {
    mode: Mode,
    /// Those that would not go in.
    pub(super) refused: Vec<Said>,
    /// Those that would go in with a warning.
    warned: Vec<Said>,
    /// How many would go in silently.
    silent: usize,
    /// Those of which it cannot be told, and why.
    pub(super) open: Vec<Said>,
    /// How many are never asked about.
    not_asked: usize,
    /// Deployers of refused and other releases that delete what runs before they install it again.
    deleting: Vec<String>,
    /// What is not known about all this.
    caveats: Vec<String>,
}

/// One release, and what whoever installs it would read.
#[derive(Debug, Serialize)]
pub(super) struct Said {
    namespace: String,
    release: String,
    text: String,
}

impl Door {
    pub(super) fn of(policy: &ChartTrustPolicy, picture: &Picture, around: &Around) -> Self {
        let parsed = parse::policy(policy).policy;
        let labels = |namespace: &str| picture.labels(namespace);
        let asks = |namespace: &str| around.asks(namespace, labels(namespace));
        let door = Self::told(policy.spec.mode, &parsed, &picture.at_door(policy), asks);
        let deletes = |namespace: &str, name: &str| {
            let release = ReleaseRef {
                namespace,
                namespace_labels: labels(namespace),
                name,
            };
            asks(namespace) && parsed.selection.selects(&release)
        };
        door.with(around, deletes)
    }

    fn told(mode: Mode, policy: &Policy, known: &AtDoor, asks: impl Fn(&str) -> bool) -> Self {
        let mut told = Self {
            mode,
            refused: Vec::new(),
            warned: Vec::new(),
            silent: 0,
            open: Vec::new(),
            not_asked: 0,
            deleting: Vec::new(),
            caveats: Vec::new(),
        };
        for one in &known.records {
            if asks(&one.release.namespace) {
                told.add(&policy.name, one, known);
            } else {
                told.not_asked = told.not_asked.saturating_add(1);
            }
        }
        told
    }

    fn add(&mut self, policy: &str, one: &Recorded, known: &AtDoor) {
        let said = |text: String| Said {
            namespace: one.release.namespace.clone(),
            release: one.release.name.clone(),
            text,
        };
        let Some(mut judgement) = one.judgement.clone() else {
            let why = "the operator judges by more than can be read here";
            return self.open.push(said(why.to_owned()));
        };
        judgement.policies.retain(|said| said.policy == policy);
        let pending = Verdict::Unknown(Cause::Pending);
        if self.mode != Mode::Audit
            && judgement
                .policies
                .iter()
                .any(|said| said.verdict == pending)
        {
            let why = "Pending: no source was asked about it yet, and the webhook would ask";
            return self.open.push(said(why.to_owned()));
        }
        let chart = one.chart.as_ref();
        let asked = Asked {
            release: &one.release,
            chart: chart.map(|(name, version)| (name.as_str(), version.as_str())),
        };
        let answer = door::foretold(asked, &judgement, (&known.trust, &known.unread));
        match (answer.refusal, answer.warnings.into_iter().next()) {
            (Some(refusal), _) => self.refused.push(said(refusal)),
            (None, Some(warning)) => self.warned.push(said(warning)),
            (None, None) => self.silent = self.silent.saturating_add(1),
        }
    }

    fn with(mut self, around: &Around, is_about: impl Fn(&str, &str) -> bool) -> Self {
        match &around.gate {
            Gate::Asked(..) => {}
            Gate::Absent => self.caveats.push(
                "no webhook is installed, so that nothing is warned of or refused yet: set admission.enabled=true"
                    .to_owned(),
            ),
            Gate::Unknown(why) => self.caveats.push(format!(
                "not checked whether a webhook is installed, and which namespaces it leaves out: {why}"
            )),
        }
        if self.mode == Mode::Enforce {
            let found = around.deleting.deleting.iter();
            let found = found.filter(|one| is_about(&one.release.namespace, &one.release.name));
            self.deleting = found.map(ToString::to_string).collect();
            let unread = around.deleting.unread.iter();
            self.caveats.extend(
                unread.map(|one| format!("not checked whether deployers delete first: {one}")),
            );
        }
        self
    }

    /// What people read.
    pub(super) fn text(&self) -> String {
        let Self {
            mode,
            refused,
            warned,
            silent,
            open,
            not_asked,
            ..
        } = self;
        let mut text = format!(
            "At the door, mode {mode:?}: {} would be refused at the next installation or upgrade, {} would go in with \
             a warning, {silent} silently, of {} it cannot be told; {} never asked about\n",
            count(refused.len(), "release", "releases"),
            warned.len(),
            open.len(),
            match not_asked {
                1 => "1 is".to_owned(),
                number => format!("{number} are"),
            },
        );
        let mut table = Table::new(&["DOOR", "NAMESPACE", "RELEASE", "TEXT"]);
        let all = [("refused", refused), ("warned", warned), ("?", open)];
        for (word, said) in all
            .iter()
            .flat_map(|(word, all)| all.iter().map(move |one| (word, one)))
        {
            table.add([word, &said.namespace, &said.release, &said.text]);
        }
        if !(refused.is_empty() && warned.is_empty() && open.is_empty()) {
            text += &table.to_string();
        }
        if !self.deleting.is_empty() {
            text += "These delete what runs before they install it anew; refused then, nothing is left of it:\n";
        }
        let deleting = self.deleting.iter().map(|one| ("  ", one));
        let caveats = self.caveats.iter().map(|one| ("", one));
        deleting.chain(caveats).fold(text, |text, (indent, one)| {
            text + indent + &plain(one) + "\n"
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use charttrust_verify::check::{Judgement, PolicyVerdict};
    use charttrust_verify::finding::{Fact, Finding};
    use charttrust_verify::verdict::{Basis, Reason};
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::TrustedKey;
    use crate::api::trusted_key::{KeyState, TrustedKeyStatus};
    use crate::cli::deleting::tests::both;
    use crate::cli::gate::tests::gate;
    use crate::controllers::store::{Reading, Store};
    use crate::inventory::ReleaseId;

    fn policy(mode: &str, change: &Value) -> ChartTrustPolicy {
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy", "metadata": {"name": "platform"},
            "spec": {"mode": mode, "rules": [{"name": "all", "charts": ["*"],
                "verify": {"signers": {"keys": ["platform-2026"]}}}]},
        });
        json_patch::merge(&mut object["spec"], change);
        serde_json::from_value(object).unwrap()
    }

    fn judged(verdict: Verdict) -> Judgement {
        let said = |policy: &str, verdict| PolicyVerdict {
            policy: policy.to_owned(),
            rule: Some("all".to_owned()),
            verdict,
            exempt_by: None,
            origin: None,
            revocations: BTreeSet::new(),
        };
        let finding = match verdict {
            Verdict::Untrusted(reason) => vec![Finding::new(Fact::Failure(reason), "has no .prov")],
            Verdict::Trusted(_) | Verdict::Unknown(_) => Vec::new(),
        };
        Judgement {
            verdict,
            // What another policy says is not foretold.
            policies: vec![
                said("other", Verdict::Untrusted(Reason::KeyCompromised)),
                said("platform", verdict),
            ],
            findings: finding,
        }
    }

    fn record(namespace: &str, name: &str, verdict: Option<Verdict>) -> Recorded {
        Recorded {
            release: ReleaseId {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            chart: Some(("web".to_owned(), "1.0.0".to_owned())),
            judgement: verdict.map(judged),
        }
    }

    fn told(policy: &ChartTrustPolicy, keys: &[TrustedKey], records: Vec<Recorded>) -> Door {
        let store = Store::default();
        let reading = Reading {
            generation: 1,
            details: String::new(),
            at: Timestamp::UNIX_EPOCH,
        };
        let loaded = parse::policy(policy);
        let parsed = loaded.policy.clone();
        store.set_policy("platform", Some((reading, loaded)));
        let known = AtDoor {
            records,
            trust: store.trust(),
            unread: door::unread(keys.iter(), door::is_readable),
        };
        Door::told(policy.spec.mode, &parsed, &known, |namespace| {
            namespace != "bank"
        })
    }

    const GOOD: Verdict = Verdict::Trusted(Basis::SignatureVerified);
    const UNSIGNED: Verdict = Verdict::Untrusted(Reason::Unsigned);
    const SILENT: Verdict = Verdict::Unknown(Cause::SourceUnavailable);
    const PENDING: Verdict = Verdict::Unknown(Cause::Pending);

    fn all() -> Vec<Recorded> {
        vec![
            record("shop", "good", Some(GOOD)),
            record("shop", "bare", Some(UNSIGNED)),
            record("shop", "gone", Some(SILENT)),
            record("shop", "new", Some(PENDING)),
            record("shop", "odd", None),
            record("bank", "bare", Some(UNSIGNED)),
        ]
    }

    #[test]
    fn every_mode_says_of_what_runs_what_the_webhook_would() {
        let counts = |policy: &ChartTrustPolicy| {
            let door = told(policy, &[], all());
            let Door {
                refused,
                warned,
                silent,
                open,
                not_asked,
                ..
            } = &door;
            (refused.len(), warned.len(), *silent, open.len(), *not_asked)
        };
        let strict = json!({"admission": {"onUnknown": "Deny"}});
        assert_eq!(counts(&policy("Enforce", &json!({}))), (1, 1, 1, 2, 1));
        assert_eq!(counts(&policy("Enforce", &strict)), (2, 0, 1, 2, 1));
        assert_eq!(counts(&policy("Warn", &strict)), (0, 2, 1, 2, 1));
        assert_eq!(counts(&policy("Audit", &strict)), (0, 0, 4, 1, 1));
        assert_eq!(counts(&policy("Enforce", &json!({"suspend": true}))).0, 0);
    }

    /// Of what an unread key may have signed nobody knows at the door that it is unsigned.
    #[test]
    fn a_key_in_a_secret_is_missing_at_the_door() {
        let key: TrustedKey = serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey", "metadata": {"name": "platform-2026"},
            "spec": {"fingerprint": "1111111111111111111111111111111111110000",
                "publicKey": {"secretRef": {"name": "keys", "key": "a"}}},
        }))
        .unwrap();
        let bare = || vec![record("shop", "bare", Some(UNSIGNED))];
        let enforce = policy("Enforce", &json!({}));
        assert_eq!(told(&enforce, &[], bare()).refused.len(), 1);
        let unread = told(&enforce, std::slice::from_ref(&key), bare());
        assert!(unread.refused.is_empty());
        // The operator shows to the webhook what it can read itself.
        let mut shown = key.clone();
        for (state, refused) in [
            (KeyState::Invalid, 0),
            (KeyState::Active, 1),
            (KeyState::Retiring, 1),
        ] {
            shown.status = Some(TrustedKeyStatus {
                state: Some(state),
                ..TrustedKeyStatus::default()
            });
            let told = told(&enforce, std::slice::from_ref(&shown), bare());
            assert_eq!(told.refused.len(), refused, "{state:?}");
        }
        assert!(
            unread.warned[0].text.contains("was not checked: Pending"),
            "{unread:?}"
        );
    }

    #[test]
    fn people_and_programs_read_counts_names_and_texts() {
        let around = |gate| Around {
            gate,
            deleting: Found {
                deleting: both(),
                unread: vec!["helmreleases.helm.toolkit.fluxcd.io: forbidden".to_owned()],
            },
            operator: "charttrust-system".to_owned(),
        };
        let enforce = told(&policy("Enforce", &json!({})), &[], all());
        let door = enforce.with(&around(gate(&[], &json!({}))), |_, _| true);
        let text = door.text();
        for part in [
            "At the door, mode Enforce: 1 release would be refused at the next installation or upgrade, 1 would go in \
             with a warning, 1 silently, of 2 it cannot be told; 1 is never asked about\n",
            "refused   shop        bare      release shop/bare (chart web 1.0.0): Unsigned by policy platform, rule all: \
             has no .prov.",
            "warned    shop        gone      charttrust: was not checked: SourceUnavailable (policy platform): release",
            "?         shop        new       Pending: no source was asked",
            "?         shop        odd       the operator judges by more",
            "These delete what runs before they install it anew",
            "  HelmChart kube-system/web of release shop/web (failurePolicy: reinstall",
            "not checked whether deployers delete first: helmreleases.helm.toolkit.fluxcd.io: forbidden",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("no webhook is installed"), "{text}");
        let json = serde_json::to_value(&door).unwrap();
        assert_eq!(json["mode"], "Enforce");
        assert_eq!(json["refused"][0]["release"], "bare");
        assert_eq!(json["notAsked"], 1);
        assert_eq!(json["deleting"].as_array().unwrap().len(), 2);

        let warn = told(&policy("Warn", &json!({})), &[], all());
        let warn = warn.with(&around(Gate::Absent), |_, _| true);
        assert!(warn.deleting.is_empty(), "nothing is refused");
        assert!(
            warn.text().contains("no webhook is installed"),
            "{}",
            warn.text()
        );
        let others = told(&policy("Enforce", &json!({})), &[], Vec::new());
        let others = others.with(&around(Gate::Unknown("forbidden".to_owned())), |_, _| false);
        assert!(others.deleting.is_empty());
        assert!(
            others
                .text()
                .contains("not checked whether a webhook is installed")
        );
    }
}
