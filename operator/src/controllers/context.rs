//! What every controller needs, and nothing that one of them keeps for itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::time::Instant;

use super::cache::Caches;
use super::store::tokens::Tokens;
use super::store::{Change, Store};
use super::task::{Queues, Task};
use crate::clock;
use crate::evidence::{self, Fetcher};
use crate::inventory::{Kept, ReleaseId};
use crate::leader::{Leadership, Share};
use crate::metrics::Metrics;
use crate::parse::LoadedPolicy;
use crate::quarantine::Neighbourhoods;
use crate::sources::{Settings as SourceSettings, TokenAudience};
use crate::watch::{Kind, Range, Reach};

/// How the operator runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace: key material and credentials are read here only.
    pub namespace: String,
    /// What this replica is called in events: the name of its Pod.
    pub instance: String,
    /// Where releases are looked for.
    pub reach: Reach,
    /// Whether it is looked for workloads of releases of which there is no record.
    pub unaccounted: bool,
    /// How sources are looked at.
    pub sources: SourceSettings,
    /// Whether it may log in to sources as what deploys a release does.
    pub deployer_secrets: DeployerSecrets,
    /// Where tokens of the operator's own `ServiceAccount` may be sent, and for whom they are.
    pub token_audiences: Vec<TokenAudience>,
    /// Whether there is a webhook, and what it needs of the operator.
    pub webhook: Option<WebhookSettings>,
    /// The admission policy that refuses upgrades of releases whose Quarantine asks for it, if there is one.
    pub freeze: Option<String>,
    /// Whether releases may be contained, and where never; `None` only reports.
    pub quarantine: Option<QuarantineSettings>,
    /// In which kind of others verdicts are reported.
    pub reports: Reports,
    /// Whether verdicts are signed for programs of others.
    pub signs_statements: bool,
}

/// In which kind of others verdicts are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Reports {
    /// In the one that the cluster knows, that of openreports.io first.
    Auto,
    /// In none.
    #[default]
    None,
    /// In the Reports of openreports.io.
    Openreports,
    /// In the `PolicyReport`s of wgpolicyk8s.io.
    Wgpolicyk8s,
}

impl Reports {
    /// The kinds in question, the best first.
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Auto => &[OPENREPORTS, WGPOLICYK8S],
            Self::None => &[],
            Self::Openreports => &[OPENREPORTS],
            Self::Wgpolicyk8s => &[WGPOLICYK8S],
        }
    }

    /// The same as people name resources: `resource.group`.
    pub fn resources(self) -> BTreeSet<String> {
        let kinds = self.kinds().iter();
        kinds
            .map(|kind| format!("{}.{}", kind.plural, kind.group))
            .collect()
    }
}

const OPENREPORTS: Kind = Kind {
    group: "openreports.io",
    kind: "Report",
    plural: "reports",
};

const WGPOLICYK8S: Kind = Kind {
    group: "wgpolicyk8s.io",
    kind: "PolicyReport",
    plural: "policyreports",
};

/// What becomes of the Secrets that objects of deployers name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeployerSecrets {
    /// They are read, each for the address that the same object names.
    Read,
    /// Nobody looks at them.
    #[default]
    Unread,
}

/// What the webhook needs of the operator.
#[derive(Clone, Debug, Default)]
pub struct WebhookSettings {
    /// The configuration that has API servers call it.
    pub configuration: Option<String>,
    /// Who makes its certificates.
    pub certificates: Certificates,
}

/// Who makes the certificates of the webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Certificates {
    /// Somebody else, who also says whom API servers believe.
    Given,
    /// The operator.
    #[default]
    Kept,
}

/// Where releases may be contained.
#[derive(Clone, Debug, Default)]
pub struct QuarantineSettings {
    /// Namespaces in which nothing is ever changed, beside `kube-system` and the operator's own.
    pub protected: Vec<String>,
}

/// What every controller needs. Whoever takes it may read the API server and write to it; what decides
/// takes values or the [`Store`] instead.
pub struct Context {
    /// Writes only while this replica leads.
    pub(super) client: Client,
    pub(super) leadership: Leadership,
    pub(super) settings: Settings,
    /// The part of the work that this is, if others do the rest.
    pub(super) share: Option<Share>,
    /// What this process has learned and concluded.
    pub(super) store: Store,
    /// What the API server has, as the watches say.
    pub(super) cache: Caches,
    /// Records that were read, and are compared in a moment.
    pub(super) kept: Kept,
    pub(super) queues: Queues,
    pub(super) fetcher: Fetcher,
    pub(super) tokens: Tokens,
    /// What else lives in the namespaces of quarantines.
    pub(super) neighbourhoods: Neighbourhoods,
    pub(super) metrics: Arc<Metrics>,
}

/// What asks sources as the settings say.
pub fn fetcher_of(settings: &Settings) -> Fetcher {
    evidence::fetcher(settings.sources.clone())
}

/// Longer than anything takes that moves: every request has a deadline of seconds, every fetch of a
/// minute for each place.
const STUCK_AFTER: Duration = Duration::from_secs(15 * 60);

/// How long to wait after the API server refused or did not answer.
pub(super) const RETRY: Duration = Duration::from_secs(2);

impl Context {
    /// A context that knows nothing yet. The client writes only while this replica leads.
    pub fn new(
        client: Client,
        leadership: Leadership,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            neighbourhoods: Neighbourhoods::new(client.clone(), clock::tick)
                .within(settings.reach.clone()),
            client,
            leadership,
            fetcher: fetcher_of(&settings),
            tokens: Tokens::default(),
            cache: Caches::new(settings.reach.clone()),
            kept: Kept::default(),
            settings,
            share: None,
            store: Store::default(),
            queues: Queues::default(),
            metrics,
        }
    }

    /// The same for a part of the work, with sources asked together with other parts. Releases are looked for in
    /// its range alone; what deploys them, and what lies beside them, everywhere.
    #[must_use]
    pub fn sharing(mut self, share: Share, fetcher: Fetcher) -> Self {
        if let Some(range) = Range::new(share.range, share.of) {
            self.cache = Caches::within(&self.settings.reach, range);
        }
        self.share = Some(share);
        self.fetcher = fetcher;
        self
    }

    /// Whether what is of no namespace is for this one to write: signers, policies, what is remembered of them.
    pub(super) fn is_first(&self) -> bool {
        self.share.as_ref().is_none_or(|share| share.range == 0)
    }

    /// Whether what is of a namespace is for this one to write.
    pub(super) fn keeps(&self, namespace: &str) -> bool {
        let range = |share: &Share| Range::new(share.range, share.of);
        let share = self.share.as_ref();
        share.is_none_or(|share| range(share).is_some_and(|range| range.contains(namespace)))
    }

    /// Whether quarantine is switched on.
    pub(super) fn may_contain(&self) -> bool {
        self.settings.quarantine.is_some()
    }

    /// Whether objects of others may be written at this moment. Asked before each single write.
    pub(super) fn may_write(&self) -> bool {
        self.may_contain() && self.leadership.is_held()
    }

    /// Which queue does not move any more, if one does not: something is due, and nothing was begun or
    /// ended for so long. The kubelet restarts a process that says so.
    pub fn stuck(&self, now: Instant) -> Option<String> {
        let Queues {
            tasks,
            polls,
            records,
            refreshes,
            ..
        } = &self.queues;
        let idle = [
            ("tasks", tasks.idle(now)),
            ("polls", polls.idle(now)),
            ("records", records.idle(now)),
            ("refreshes", refreshes.idle(now)),
        ];
        let stuck = idle.into_iter().find(|(_, idle)| *idle >= STUCK_AFTER);
        let (queue, idle) = stuck.filter(|_| self.leadership.is_held())?;
        Some(format!(
            "the queue of {queue} has not moved for {} s",
            idle.as_secs()
        ))
    }

    /// Begins a change of a key, or of a policy to what is `coming`. The releases are gathered only where some
    /// policy may contain one.
    pub(super) fn change(&self, coming: Option<&LoadedPolicy>, now: Instant) -> Change<'_> {
        let trust = self.store.trust();
        let mut policies = trust.policies.values().chain(coming);
        let may_begin = self.may_contain() && policies.any(|one| one.quarantine.is_some());
        let known = may_begin.then(|| self.cache.records.releases());
        self.store.change(known.unwrap_or_default(), now)
    }

    /// Has every policy read again.
    pub(super) fn judge_policies_again(&self) {
        for name in self.store.trust().policies.keys() {
            self.queues.tasks.add(Task::Policy(name.clone()));
        }
    }

    /// Has a release judged again; until it was, no quarantine begins under its policies.
    pub(super) fn judge_again(&self, id: &ReleaseId) {
        self.store.update(id, |release| release.judgings.ask());
        self.queues.tasks.add(Task::Release(id.clone()));
    }

    /// A quarantine depends on the verdicts on all that it contains.
    pub(super) fn queue_quarantine(&self, id: &ReleaseId) {
        for whole in self.cache.records.wholes(id) {
            if self.cache.quarantines.find(&whole).is_some() {
                self.queues.tasks.add(Task::Quarantine(whole));
            }
        }
    }
}
