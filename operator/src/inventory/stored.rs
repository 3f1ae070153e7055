//! All that is judged, by what the watches say.

use std::collections::{BTreeMap, BTreeSet};

use super::argocd::{self, Applications, Claimed};
use super::helm::{self, Driver, RecordMeta};
use super::{RecordId, ReleaseId};
use crate::watch::Reach;

/// The records of all releases, and what has none, as the watches say.
#[derive(Debug)]
pub struct Stored {
    /// Those in Secrets.
    pub secrets: helm::Records,
    /// Those in ConfigMaps.
    pub config_maps: helm::Records,
    /// What Argo CD deploys, which keeps none.
    pub applications: Applications,
}

impl Stored {
    /// Those in what is looked at; none is known yet.
    pub fn new(reach: &Reach) -> Self {
        Self {
            secrets: helm::Records::of(reach),
            config_maps: helm::Records::of(reach),
            applications: Applications::new(reach),
        }
    }

    /// Whether records of a namespace may not be read, so that there may be some that are not known.
    pub fn are_refused(&self, namespace: &str) -> bool {
        self.secrets.is_refused(namespace) || self.config_maps.is_refused(namespace)
    }

    /// The records that a driver of Helm keeps.
    pub fn of(&self, driver: Driver) -> &helm::Records {
        match driver {
            Driver::ConfigMap => &self.config_maps,
            Driver::Secret => &self.secrets,
        }
    }

    /// Whether there is no record of a release, and no Application that it is of.
    pub fn has_none(&self, id: &ReleaseId) -> bool {
        !self.has_record(id) && self.applications.claimed(id).is_empty()
    }

    /// Whether there is a record of a release.
    pub fn has_record(&self, id: &ReleaseId) -> bool {
        let revisions = self.revisions(id);
        revisions.iter().any(|(_, of_driver)| !of_driver.is_empty())
    }

    /// Whether a name is that of several things, one of them without a record.
    pub fn is_shared(&self, id: &ReleaseId) -> bool {
        let claimed = self.applications.claimed(id).len();
        claimed > 1 || (claimed == 1 && self.has_record(id))
    }

    /// The releases of which a quarantine contains this one: itself, or the first charts of the Applications
    /// that it is of, as one is contained as a whole.
    pub fn wholes(&self, id: &ReleaseId) -> BTreeSet<ReleaseId> {
        let claimed = self.applications.claimed(id);
        let wholes = claimed.iter().map(|one| argocd::release_of(&one.name));
        let mut wholes: BTreeSet<_> = wholes.collect();
        if wholes.is_empty() || self.has_record(id) {
            wholes.insert(id.clone());
        }
        wholes
    }

    /// The releases that a quarantine of this one contains: itself, or all charts of the Application.
    pub fn parts(&self, id: &ReleaseId) -> BTreeSet<ReleaseId> {
        let whole = self.application(id);
        let mut parts = whole.map_or_else(BTreeSet::new, |whole| whole.charts());
        if parts.is_empty() || self.has_record(id) {
            parts.insert(id.clone());
        }
        parts
    }

    /// The Application that a quarantine of a release contains.
    pub fn application(&self, id: &ReleaseId) -> Option<Claimed> {
        let mut claimed = self.applications.claimed(id).into_iter();
        claimed.find(|one| argocd::release_of(&one.name) == *id)
    }

    /// Every release of which there is a record, or an Application.
    pub fn releases(&self) -> BTreeSet<ReleaseId> {
        let all = self.secrets.all().into_iter();
        let all = all.chain(self.config_maps.all());
        let mut releases = self.applications.releases();
        releases.extend(all.map(|(key, _)| key.release));
        releases
    }

    /// The records to judge, by what their metadata say.
    pub fn judged(&self, id: &ReleaseId) -> BTreeMap<RecordId, RecordMeta> {
        let mut judged = BTreeMap::new();
        for (driver, mut revisions) in self.revisions(id) {
            for revision in helm::judged(&revisions) {
                let record = RecordId::Helm { driver, revision };
                judged.extend(revisions.remove(&revision).map(|meta| (record, meta)));
            }
        }
        let said = self.applications.said(id).into_iter();
        judged.extend(said.map(|(record, said)| (record, said.meta)));
        judged
    }

    /// The newest of the records of each driver that would be judged, were there fewer.
    pub fn omitted(&self, id: &ReleaseId) -> impl Iterator<Item = RecordId> {
        self.revisions(id)
            .into_iter()
            .filter_map(|(driver, revisions)| {
                let revision = helm::omitted(&revisions)?;
                Some(RecordId::Helm { driver, revision })
            })
    }

    fn revisions(&self, id: &ReleaseId) -> [(Driver, BTreeMap<u64, RecordMeta>); 2] {
        [Driver::Secret, Driver::ConfigMap]
            .map(|driver| (driver, helm::revisions(self.of(driver), id, driver)))
    }
}
