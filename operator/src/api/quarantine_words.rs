//! The words of quarantines: what may be asked for, and what is said about it.
//!
//! An action is written here once, with its condition and reasons if it has its own: the schema and its
//! bound, the command line and the table of `docs/` are made of this.

use charttrust_verify::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::{ConditionReason, ConditionType, types};

/// `Action: "help" => "what it does", "what it leaves"`.
macro_rules! actions {
    ($(#[$meta:meta])* { $($name:ident: $help:literal => $does:literal, $leaves:literal;)+ }) => {
        $(#[$meta])*
        #[derive(
            Clone,
            Copy,
            Debug,
            Deserialize,
            Eq,
            JsonSchema,
            Ord,
            PartialEq,
            PartialOrd,
            Serialize,
            clap::ValueEnum,
        )]
        #[value(rename_all = "PascalCase")]
        pub enum QuarantineAction {
            $(#[doc = concat!($help, ".")] #[value(help = $help)] $name,)+
        }

        impl QuarantineAction {
            /// Every action, in the order in which they are done.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word itself.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// In a few words.
            pub fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)+ }
            }

            /// What it does, for people.
            pub fn does(self) -> &'static str {
                match self { $(Self::$name => $does,)+ }
            }

            /// What goes on all the same, for people.
            pub fn leaves(self) -> &'static str {
                match self { $(Self::$name => $leaves,)+ }
            }
        }
    };
}

actions! {
    /// What containment does, in the order in which it is done: deployers first, so that nothing is
    /// undone; then the network; then the workloads.
    {
        PauseDeployer: "Suspends the deployer (Flux, Argo CD or k3s) that would undo the rest"
            => "Suspends the Flux HelmRelease or the k3s HelmChart whose own status or spec names the \
            release, so that nothing undoes the rest, and takes automated sync from an Argo CD \
            Application that has deployed the release and nothing else.",
            "Deployers that are named by labels only; those that deploy other things too: \
             `status.uncontained` lists them. Those in a protected namespace, too (k3s keeps its \
             HelmCharts in `kube-system`): pause them by hand.";
        FreezeUpgrades: "Has the API server refuse installing, upgrading and rolling back the release"
            => "The API server refuses each new record of Helm for the release, whoever writes it: an admission \
            policy of the chart (`admission.freeze=true`) that reads Quarantines, and no Pod of ours. Needs \
            `PauseDeployer` too: a deployer that goes on would be refused again and again.",
            "What runs, and `helm uninstall`. Applications of Argo CD, which keep no record. Who changes objects \
            without Helm. It refuses the way forward too, a re-signed chart: end the Quarantine first.";
        IsolateNetwork: "Denies traffic to the release's pods"
            => "Makes the NetworkPolicy `charttrust-quarantine-RELEASE`, which denies all traffic; \
            where a release has several sets of pod labels, `charttrust-quarantine--2-RELEASE` and \
            so on too.",
            "Pods that share their labels with Pods of others, or with what will make such Pods: the \
             policy is not made, and withdrawn while such a Pod is there (`SelectorShared`; not where \
             Argo CD keeps the release). Pods with `hostNetwork`, which no NetworkPolicy reaches \
             (`HostNetwork`). Connections that are open already: most network plugins let them go on; \
             ending the Pods (`ScaleToZero`) cuts them. Other policies that allow traffic: the \
             condition `Isolated` names them. Whether the network plugin obeys is not checked.";
        ScaleToZero: "Sets the replicas of the release's workloads to zero"
            => "Deployments, StatefulSets and ReplicaSets to no replicas; CronJobs suspended, Jobs too \
            unless a Pod of theirs has run; DaemonSets to a node label that no node has.",
            "Bare Pods, custom workloads, running Jobs, also those that a CronJob has started before: \
             `status.uncontained` lists them. Pods that take their time to end, or whose finalizer \
             keeps them: `status.running` counts them, and until none is left `Active` is not `True`; \
             with `IsolateNetwork` too they are alone meanwhile. A HorizontalPodAutoscaler rests while \
             there are no replicas. A StatefulSet that would lose its volumes then (`whenScaled: \
             Delete`) keeps them.";
    }
}

impl QuarantineAction {
    /// What is asked for by somebody who names none: that which leaves the way forward open.
    pub fn usual() -> Vec<Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|action| *action != Self::FreezeUpgrades)
            .collect()
    }

    /// Whether what deploys a release would be refused again and again.
    pub fn freezes_without_pause(actions: &[Self]) -> bool {
        actions.contains(&Self::FreezeUpgrades) && !actions.contains(&Self::PauseDeployer)
    }

    /// All of them in one text, as the schema says it.
    pub(super) fn described() -> String {
        let described = Self::ALL
            .iter()
            .map(|action| format!("{}: {}.", action.word(), action.help()));
        let described: Vec<_> = described.collect();
        format!(
            "What is done, always in this order. {}",
            described.join(" ")
        )
    }
}

/// What is wrong then.
pub const FREEZE_WITHOUT_PAUSE: &str = "has FreezeUpgrades without PauseDeployer, add that: a deployer that goes on is refused again and again";

/// The rule that what deploys a frozen release is paused.
pub(super) fn freeze_pauses() -> serde_json::Value {
    serde_json::json!([{
        "rule": "!('FreezeUpgrades' in self) || 'PauseDeployer' in self",
        "message": FREEZE_WITHOUT_PAUSE,
    }])
}

types! {
    /// Conditions of a `Quarantine`.
    QuarantineCondition {
        /// The release is contained, as far as the actions go.
        Active,
        /// Others have changed or hold objects that are contained. Absent otherwise.
        Contested,
        /// The API server refuses new records of the release. Absent unless FreezeUpgrades is among the actions.
        Frozen,
        /// Traffic to the release's pods is denied, as far as NetworkPolicies go. Absent unless
        /// IsolateNetwork is among the actions.
        Isolated,
        /// All that can be done was done.
        Ready,
        /// It is under way, or tried again. Absent otherwise.
        Reconciling,
        /// Only a person can help. Absent otherwise.
        Stalled,
    }
}

words! {
    /// Reasons of a `Quarantine`'s conditions.
    QuarantineReason {
        AwaitingApproval:
            "Workloads serve a webhook, an aggregated API or a conversion, so a policy alone does not \
             stop them; everything else is contained."
            => "`charttrust quarantine RELEASE` shows what would be stopped, and approves it; or delete \
                what the message names.",
        ChangedByOthers: "Somebody has changed contained objects; those changes are kept."
            => "Look at `status.objects`; delete the Quarantine if they are meant.",
        Contained: "What was asked for is done."
            => "Delete the Quarantine to restore.",
        Containing: "It is under way."
            => "Wait; if it stays, look at the messages in `status.objects`.",
        Disabled: "The operator runs without `--quarantine`."
            => "Start it with the flag, or run `charttrust restore`.",
        HostNetwork: "Pods of the release use the network of their node, which NetworkPolicies do not reach."
            => "Add `ScaleToZero`, or stop those that the message names by hand.",
        MadeByOthers:
            "It names a policy, and the operator has not made it, or an earlier version has, or the seal is lost \
             under which it did: it contains nothing, and counts for no policy."
            => "`kubectl delete quarantine RELEASE`: the policy begins one by itself where it is due. A person who \
                contains a release leaves `spec.policy` out, as `charttrust quarantine` does.",
        NotInstalled: "Upgrades are not refused: what refuses them is not installed."
            => "Install the chart with `admission.freeze=true`.",
        NothingToContain: "The release has nothing that these actions could contain."
            => "Look at `status.uncontained`; stop that by hand.",
        ObjectRefused:
            "The API server does not let some of the objects be read or written: an admission \
             policy or webhook refuses it, or a permission is missing."
            => "The message names them, and what the server says. All other objects are \
                contained, or put back; these are tried again every 30 s.",
        OriginalsDisagree:
            "What an object carries and what was recorded disagree, so it is not touched."
            => "Set the field by hand and remove the annotation `charttrust.io/quarantine`.",
        OtherNamespace:
            "The record lies in another namespace than the release runs in; only its deployer is \
             paused."
            => "Stop the workloads by hand.",
        OtherPoliciesAllow: "Other NetworkPolicies allow traffic to the same pods."
            => "Remove those that the message names, or add `ScaleToZero`.",
        PartlyContained: "Something that the release lists is left out, and runs or may run Pods."
            => "Look at `status.uncontained`, and stop what runs by hand.",
        ProgressingWithRetry:
            "Helm or Argo CD is at work on the release. Or the API server did not answer, or refuses something \
             without which nothing can be looked at."
            => "Wait; it is tried again. If the message says that something is forbidden, `charttrust doctor` \
                names the right that is missing.",
        Protected: "Nothing is changed in this namespace."
            => "Contain the release by hand, or leave it out of `--protect-namespace`.",
        ReleaseNotFound: "There is no release of this name in this namespace."
            => "Name the Quarantine after the release, in the namespace of its record.",
        ReleaseUnreadable: "The release record cannot be decoded."
            => "`helm history`; upgrade the release once.",
        Restoring: "What was recorded is put back."
            => "Wait.",
        SelectorShared:
            "Pods of others have the same labels, or will have, so they are not isolated."
            => "Give the workload labels of its own, or use `ScaleToZero`.",
        TrafficDenied:
            "NetworkPolicies deny it; whether the network plugin obeys them was not checked."
            => "Check that your plugin enforces NetworkPolicies.",
        Undone:
            "A tool that keeps objects as they are in Git has put back what is contained, by itself and not \
             because a person has decided so: it is contained again, each time after a longer pause."
            => "Suspend what the message names (a Kustomization, an ApplicationSet, a parent Application), or \
                take the field out of Git; to let the release go on, run `charttrust restore`.",
        UpgradesRefused: "Nobody can install, upgrade or roll back the release."
            => "Delete the Quarantine before what is trusted again is rolled out.",
    }
}

impl ConditionReason for QuarantineReason {
    fn word(self) -> &'static str {
        Self::word(self)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use kube::CustomResourceExt as _;
    use serde_json::Value;

    use super::*;
    use crate::api::{ChartTrustPolicy, Quarantine};

    #[test]
    fn reasons_are_in_alphabetical_order() {
        assert!(QuarantineReason::ALL.is_sorted_by_key(|word| word.word()));
    }

    /// `charttrust quarantine` without `--action` asks for all of them.
    #[test]
    fn all_actions_may_be_asked_for_at_once() {
        let of_spec = |definition: CustomResourceDefinition, path: &str| {
            let definition = serde_json::to_value(&definition).unwrap();
            let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            schema.pointer(path).cloned().unwrap()
        };
        let quarantine = of_spec(Quarantine::crd(), "/properties/spec/properties/actions");
        let policy = of_spec(
            ChartTrustPolicy::crd(),
            "/properties/spec/properties/quarantine/properties/actions",
        );
        let words = serde_json::to_value(QuarantineAction::ALL).unwrap();
        for actions in [quarantine, policy] {
            assert_eq!(actions["maxItems"], QuarantineAction::ALL.len());
            assert_eq!(actions["items"]["enum"], words);
            let said = actions["description"].as_str().unwrap();
            for word in words.as_array().unwrap().iter().filter_map(Value::as_str) {
                assert!(said.contains(&format!("{word}: ")), "{said}");
            }
        }
    }
}
