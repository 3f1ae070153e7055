//! What a release consists of, as its records or its Application say.

use std::collections::{BTreeSet, HashSet};

use charttrust_verify::release::{HelmReleaseMark, HelmReleaseName, ManifestObject, Record};
use jiff::Timestamp;

use crate::api::bounds;
use crate::watch::ObjectName;

/// What the records of a release list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The namespace it was installed into, as its records say.
    pub namespace: String,
    /// Its objects.
    pub objects: Vec<ManifestObject>,
    /// What its hooks make.
    pub hooks: Vec<ManifestObject>,
    /// What its newest revision says itself that it runs nothing.
    pub stopped: Vec<ManifestObject>,
    /// Documents that could not be read as objects.
    pub unread: usize,
    /// Its newest revision.
    pub revision: u64,
    /// Its newest revision that Helm has applied whole, or given up; while there is none, the newest.
    pub settled: u64,
    /// All of its revisions that may be live.
    pub revisions: BTreeSet<u64>,
    /// When it was first installed, as its records say.
    pub installed: Option<Timestamp>,
    /// Records of it that could not be used, and why: what they list is not known.
    pub unreadable_records: Vec<String>,
    /// The `HelmRelease`s that its records say they are of.
    pub helm_releases: BTreeSet<ObjectName>,
}

impl Listed {
    /// What one record lists.
    pub(super) fn of(record: Record, revision: u64) -> Self {
        let of = match record.helm_release {
            HelmReleaseMark::Of(HelmReleaseName { namespace, name }) => {
                Some(ObjectName { namespace, name })
            }
            HelmReleaseMark::None | HelmReleaseMark::Unclear => None,
        };
        Self {
            helm_releases: of.into_iter().collect(),
            namespace: record.namespace,
            objects: record.objects,
            hooks: record.hooks,
            stopped: record.stopped,
            unread: record.unread_objects,
            revision,
            settled: if record.status.is_pending() {
                0
            } else {
                revision
            },
            revisions: BTreeSet::from([revision]),
            installed: record.first_deployed,
            unreadable_records: Vec::new(),
        }
    }

    /// Takes in what another record of the release lists.
    pub(super) fn add(&mut self, other: Self) {
        self.unread = self.unread.saturating_add(other.unread);
        if other.revision >= self.revision {
            self.revision = other.revision;
            self.stopped = other.stopped;
        }
        self.settled = self.settled.max(other.settled);
        self.revisions.extend(other.revisions);
        self.helm_releases.extend(other.helm_releases);
        self.installed = self.installed.into_iter().chain(other.installed).min();
        add(&mut self.objects, other.objects);
        add(&mut self.hooks, other.hooks);
    }
}

fn add(known: &mut Vec<ManifestObject>, more: Vec<ManifestObject>) {
    let mut seen: HashSet<ManifestObject> = known.iter().cloned().collect();
    let is_new = |object: &ManifestObject| can_be(&object.name) && seen.insert(object.clone());
    known.extend(more.into_iter().filter(is_new));
}

/// Whether an object could have this name. A chart may list any, in a hook that is never run, and what
/// the server refuses to look for must not keep the rest from being contained.
fn can_be(name: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    !matches!(name, "" | "." | "..") && name.len() <= bounds::NAME && name.bytes().all(is_usual)
}

impl Listed {
    /// Namespace and name of what is listed of a group's kind.
    pub(super) fn named(&self, group: &str, kind: &str) -> BTreeSet<(&str, &str)> {
        let is_one = |object: &&ManifestObject| {
            let own = object.api_version.split_once('/').map(|(own, _)| own);
            object.kind == kind && own == Some(group) && !object.generated
        };
        let all = self.objects.iter().chain(&self.hooks).filter(is_one);
        let named = all.map(|object| {
            let namespace = object.namespace.as_ref().unwrap_or(&self.namespace);
            (namespace.as_str(), object.name.as_str())
        });
        named.collect()
    }

    /// The revision that what is contained now is contained of. Helm writes a record before it applies what
    /// that lists: what it applies later is of a newer revision then, and nobody's change.
    pub(super) fn in_force(&self) -> u64 {
        match self.settled {
            0 => self.revision,
            settled => settled,
        }
    }

    /// Whether a revision later than this one says that an object runs nothing.
    pub(super) fn stops(&self, kind: &str, name: &str, since: u64) -> bool {
        let is_it = |one: &ManifestObject| one.kind == kind && one.name == name;
        self.revision > since && self.stopped.iter().any(is_it)
    }
}

/// Why it is not known what a release consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// There is no such release.
    NotFound,
    /// Helm or Argo CD is at work on it: what it lists may not be there yet.
    Unfinished,
    /// A record cannot be read.
    Unreadable(String),
}
