//! What there is to do, and the queues in which it waits.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use charttrust_verify::openpgp::Fingerprint;

use super::backoff::Failures;
use super::calm::Calm;
use super::queue::{Item, Queue};
use super::store::ways::Way;
use crate::inventory::ReleaseId;

/// The queues, one for each kind of worker.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) tasks: Queue<Task>,
    /// Tasks that were asked for by a change of an object that others may write too.
    pub(super) calm: Calm<Task>,
    /// Releases of which the records are to be read, and the looks at sources planned.
    pub(super) records: Queue<ReleaseId>,
    /// Looks at sources.
    pub(super) polls: Queue<Poll>,
    /// Keys of which published copies are to be looked for.
    pub(super) refreshes: Queue<RefreshJob>,
    pub(super) failures: Failures<Task>,
    /// Whether changes are work: this replica leads.
    pub(super) are_open: AtomicBool,
}

/// One thing to reconcile. Keys are read before policies are, releases are judged by both, and
/// counted after they were judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Task {
    /// Read a `TrustedKey`.
    Key(String),
    /// Read a `TrustedIdentity`.
    Identity(String),
    /// Read a `ChartTrustPolicy`.
    Policy(String),
    /// Judge a release.
    Release(ReleaseId),
    /// Write the status of a `TrustedKey`.
    KeyStatus(String),
    /// Write the status of a `TrustedIdentity`.
    IdentityStatus(String),
    /// Keep what was learned against a key.
    Learned(Fingerprint),
    /// Decide about the quarantines of a `ChartTrustPolicy`, and begin what is due.
    Decide(String),
    /// Write the status of a `ChartTrustPolicy`.
    PolicyStatus(String),
    /// Bring a `Quarantine` into force, or end it.
    Quarantine(ReleaseId),
    /// The same, if somebody else has changed it.
    Seen(ReleaseId),
    /// Report the verdicts of a namespace in a kind of others.
    Report(String),
    /// Sign what is stated of the releases of a namespace; without one: publish the key.
    Statements(String),
    /// Note which incidents there are.
    Incidents,
    /// Write what was found out about a release that a policy contains by itself.
    Show(ReleaseId),
    /// Find out which workloads have no record.
    Unaccounted,
}

impl Item for Task {
    fn rank(&self) -> u8 {
        match self {
            Self::Identity(_) | Self::Key(_) => 0,
            Self::Policy(_) => 1,
            Self::Release(_) => 2,
            Self::Decide(_)
            | Self::IdentityStatus(_)
            | Self::KeyStatus(_)
            | Self::Learned(_)
            | Self::Incidents
            | Self::PolicyStatus(_)
            | Self::Quarantine(_)
            | Self::Report(_)
            | Self::Seen(_)
            | Self::Statements(_)
            | Self::Unaccounted => 3,
            // Being contained goes before being written about, and is told by the same write.
            Self::Show(_) => 4,
        }
    }

    fn share(&self) -> &str {
        match self {
            Self::Quarantine(id) | Self::Release(id) | Self::Seen(id) | Self::Show(id) => {
                &id.namespace
            }
            Self::Report(namespace) | Self::Statements(namespace) => namespace,
            Self::Decide(_)
            | Self::Identity(_)
            | Self::IdentityStatus(_)
            | Self::Key(_)
            | Self::KeyStatus(_)
            | Self::Learned(_)
            | Self::Incidents
            | Self::Policy(_)
            | Self::PolicyStatus(_)
            | Self::Unaccounted => "",
        }
    }
}

impl Item for ReleaseId {
    fn rank(&self) -> u8 {
        0
    }

    fn share(&self) -> &str {
        &self.namespace
    }
}

/// A look at one source for one release.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Poll {
    pub(super) id: ReleaseId,
    pub(super) way: Arc<Way>,
}

impl Item for Poll {
    fn rank(&self) -> u8 {
        0
    }

    fn share(&self) -> &str {
        &self.id.namespace
    }

    fn lane(&self) -> &str {
        &self.way.lane
    }
}

/// The refresh of one `TrustedKey`, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RefreshJob(pub(super) String);

impl Item for RefreshJob {
    fn rank(&self) -> u8 {
        0
    }
}
