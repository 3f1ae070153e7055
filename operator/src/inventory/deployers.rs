//! What deploys releases: the objects of Flux and k3s, as far as they say which record is theirs and where
//! its chart comes from.
//!
//! Reads only. Each of these kinds may be absent, appear later, or be of another version.

use std::collections::BTreeSet;
use std::sync::Arc;

use charttrust_verify::deployer::{ChartOrigin, Deployer};
use charttrust_verify::release::{HelmReleaseMark, HelmReleaseName};
use kube::Client;
use tokio::time::Instant;

use super::flux::{self, Found, HelmRelease, SourceRef};
use super::manifest::Trace;
use super::{Owner, ReleaseId, k3s};
use crate::watch::{Change, ObjectName, Optional, Reach, State};

/// Which `HelmRelease` a record says it is of: Flux writes that into all that it installs, so it is the word
/// of whoever may write records, and not of whoever may write a `HelmRelease`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Of this one.
    Of(ObjectName),
    /// Of none.
    None,
    /// Of one, and nobody can tell which.
    Unclear,
    /// The record was not read by this process.
    #[default]
    Unread,
}

impl From<HelmReleaseMark> for Mark {
    fn from(mark: HelmReleaseMark) -> Self {
        match mark {
            HelmReleaseMark::Of(HelmReleaseName { namespace, name }) => {
                Self::Of(ObjectName { namespace, name })
            }
            HelmReleaseMark::None => Self::None,
            HelmReleaseMark::Unclear => Self::Unclear,
        }
    }
}

/// What is known of the deployers of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Who has deployed it.
    pub owner: Owner,
    /// All that say so, or of which the record says so.
    pub deployers: Vec<Deployer>,
    /// What Flux says it has done with the chart, where that changes its version.
    pub traces: Vec<Trace>,
    /// What has to be done before that is known.
    pub missing: Option<Missing>,
}

/// Why it is not known yet what deploys a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Objects were not listed yet.
    Objects,
    /// The record was not read, and says itself what is its deployer.
    Record,
}

/// What a change of deployers concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concerned {
    /// Records that say they are of this `HelmRelease`.
    Marked(ObjectName),
    /// One release.
    Release(ReleaseId),
    /// All releases: a kind can be read now, or no more.
    All,
}

/// The deployers of a cluster.
#[derive(Debug)]
pub struct Deployers {
    helm_releases: Optional<HelmRelease>,
    sources: [Optional<flux::Source>; 3],
    helm_charts: Optional<k3s::HelmChart>,
}

impl Deployers {
    /// Those in what is looked at; nothing is known of them yet.
    pub fn new(reach: &Reach) -> Self {
        let sources = [
            flux::HELM_CHARTS,
            flux::HELM_REPOSITORIES,
            flux::OCI_REPOSITORIES,
        ];
        Self {
            helm_releases: Optional::new(flux::HELM_RELEASES, reach),
            sources: sources.map(|kind| Optional::new(kind, reach)),
            helm_charts: Optional::new(k3s::HELM_CHARTS, reach),
        }
    }

    /// Follows all of them for ever. `changed` hears what each change concerns.
    pub async fn follow(&self, client: &Client, changed: impl Fn(&Concerned)) {
        let each = |concerned: BTreeSet<Concerned>| concerned.iter().for_each(&changed);
        let source = |of: &Optional<flux::Source>, change: Change<'_, flux::Source>| {
            each(match change {
                Change::Object(name, _) => self.users_of(of.kind().kind, name),
                Change::State => BTreeSet::from([Concerned::All]),
            });
        };
        let [charts, repositories, registries] = &self.sources;
        tokio::join!(
            self.helm_releases
                .follow(client, |change| each(match change {
                    Change::Object(name, _) => BTreeSet::from([Concerned::Marked(name.clone())]),
                    Change::State => BTreeSet::from([Concerned::All]),
                })),
            charts.follow(client, |change| source(charts, change)),
            repositories.follow(client, |change| source(repositories, change)),
            registries.follow(client, |change| source(registries, change)),
            self.helm_charts.follow(client, |change| each(match change {
                Change::Object(_, both) => both.iter().flatten().filter_map(concerned).collect(),
                Change::State => BTreeSet::from([Concerned::All]),
            })),
        );
    }

    /// Waits until the server has answered for each kind once, whatever it has said.
    pub async fn answered(&self) {
        self.helm_releases.answered().await;
        for source in &self.sources {
            source.answered().await;
        }
        self.helm_charts.answered().await;
    }

    /// A record was read: the watch may not have told yet of the `HelmRelease` that it says it is of. k3s leaves
    /// no mark on a record, but its kind was there before: one that was absent is asked about again. `since` and
    /// now as for [`Optional::confirm_absent`].
    ///
    /// # Errors
    /// If the server gives no answer.
    pub async fn look_again(
        &self,
        client: &Client,
        mark: &Mark,
        since: (Instant, Instant),
    ) -> kube::Result<()> {
        self.helm_charts.confirm_absent(client, since).await?;
        let Mark::Of(name) = mark else { return Ok(()) };
        self.helm_releases.look_again(client, name).await?;
        let release = self.helm_releases.find(name);
        let Some(source) = release.as_ref().and_then(|release| release.source()) else {
            return Ok(());
        };
        let found = self.look_for(client, source).await?;
        if let Some(flux::Source::Chart(flux::Of {
            chart: Some((_, of)),
            ..
        })) = found.as_deref()
        {
            self.look_for(client, of).await?;
        }
        Ok(())
    }

    async fn look_for(
        &self,
        client: &Client,
        source: &SourceRef,
    ) -> kube::Result<Option<Arc<flux::Source>>> {
        let Some(kind) = self.source_kind(source) else {
            return Ok(None);
        };
        kind.look_again(client, &source.name).await?;
        Ok(kind.find(&source.name))
    }

    /// Which kinds cannot be read, and why.
    pub fn unreadable(&self) -> Vec<String> {
        let mut all = vec![(self.helm_releases.kind(), self.helm_releases.unreadable())];
        all.extend(
            self.sources
                .iter()
                .map(|one| (one.kind(), one.unreadable())),
        );
        all.push((self.helm_charts.kind(), self.helm_charts.unreadable()));
        let told = all.into_iter().filter_map(|(kind, unreadable)| {
            let (_, why) = unreadable.first()?;
            let places: Vec<_> = unreadable
                .iter()
                .filter_map(|(part, _)| part.namespace())
                .collect();
            let places = match places.as_slice() {
                [] => String::new(),
                places => format!(" in {}", places.join(", ")),
            };
            Some(format!("{}.{}{places}: {why}", kind.plural, kind.group))
        });
        told.collect()
    }

    #[cfg(test)]
    /// As if the server had said of each kind that it has none.
    pub fn suppose_absent(&self) {
        self.helm_releases.suppose(State::Absent);
        for source in &self.sources {
            source.suppose(State::Absent);
        }
        self.helm_charts.suppose(State::Absent);
    }

    /// What deploys a record.
    pub fn of(&self, release: &ReleaseId, mark: &Mark) -> Deployed {
        let mut deployed = Deployed {
            owner: Owner::Helm,
            deployers: Vec::new(),
            traces: Vec::new(),
            missing: None,
        };
        self.add_k3s(release, &mut deployed);
        self.add_flux(release, mark, &mut deployed);
        deployed
    }

    /// A record says nothing of k3s: whoever may write such an object may have anything installed by it.
    fn add_k3s(&self, release: &ReleaseId, deployed: &mut Deployed) {
        if self.helm_charts.state() == State::Unlisted {
            deployed.missing = Some(Missing::Objects);
        }
        for (name, chart) in self.helm_charts.all() {
            if chart.has_begun() && chart.deploys(release) {
                deployed.owner = Owner::K3s;
                deployed.deployers.push(Deployer {
                    name: format!("{} {name}", self.helm_charts.kind().kind),
                    origin: chart.origin(),
                });
            }
        }
    }

    /// The record has to say so, or whoever may write a `HelmRelease` anywhere could speak for the releases
    /// of others.
    fn add_flux(&self, release: &ReleaseId, mark: &Mark, deployed: &mut Deployed) {
        let state = match mark {
            Mark::Of(name) => self.helm_releases.state_in(&name.namespace),
            Mark::None | Mark::Unclear | Mark::Unread => self.helm_releases.state(),
        };
        let name = match (&state, mark) {
            (State::Absent, _) | (_, Mark::None) => return,
            (_, Mark::Unread) if self.helm_releases.is_nowhere() => return,
            (State::Unlisted, _) => {
                deployed.missing = Some(Missing::Objects);
                return;
            }
            (_, Mark::Unread) => {
                deployed.missing = Some(Missing::Record);
                return;
            }
            (_, Mark::Unclear) => {
                deployed.owner = Owner::Flux;
                deployed.deployers.push(Deployer {
                    name: self.helm_releases.kind().kind.to_owned(),
                    origin: ChartOrigin::Unknown(UNCLEAR.to_owned()),
                });
                return;
            }
            (_, Mark::Of(name)) => name,
        };
        let origin = match state {
            State::Unreadable(why) => ChartOrigin::Unknown(format!("cannot be read: {why}")),
            State::Absent | State::Listed | State::Unlisted => {
                let found = self.helm_releases.find(name);
                let Some(found) = found.filter(|found| found.may_have_made(release)) else {
                    return;
                };
                let is_unlisted =
                    |source: &SourceRef| self.state_of(source) == Some(State::Unlisted);
                if self.refers_to(&found, is_unlisted) {
                    deployed.missing = Some(Missing::Objects);
                }
                let find = |source: &SourceRef| self.find(source);
                deployed.traces = found.traces(&find);
                found.origin(&find)
            }
        };
        deployed.owner = Owner::Flux;
        deployed.deployers.push(Deployer {
            name: format!("{} {name}", self.helm_releases.kind().kind),
            origin,
        });
    }

    fn source_kind(&self, source: &SourceRef) -> Option<&Optional<flux::Source>> {
        let mut sources = self.sources.iter();
        sources.find(|one| one.kind().kind == source.kind)
    }

    fn state_of(&self, source: &SourceRef) -> Option<State> {
        let kind = self.source_kind(source)?;
        Some(kind.state_in(&source.name.namespace))
    }

    fn find(&self, source: &SourceRef) -> Found {
        let Some(kind) = self.source_kind(source) else {
            return Err("is of a kind that charttrust does not know".to_owned());
        };
        if let Some(found) = kind.find(&source.name) {
            return Ok(found);
        }
        Err(match kind.state_in(&source.name.namespace) {
            State::Unreadable(why) => format!("cannot be read: {why}"),
            State::Absent | State::Listed | State::Unlisted => "does not exist".to_owned(),
        })
    }

    /// Whether a `HelmRelease` refers to something like this, itself or by a chart of source-controller.
    fn refers_to(&self, release: &HelmRelease, is_it: impl Fn(&SourceRef) -> bool) -> bool {
        let Some(source) = release.source() else {
            return false;
        };
        let found = self
            .source_kind(source)
            .and_then(|kind| kind.find(&source.name));
        let by_chart = match found.as_deref() {
            Some(flux::Source::Chart(of)) => of.chart.as_ref().is_some_and(|(_, of)| is_it(of)),
            Some(flux::Source::At(_)) | None => false,
        };
        is_it(source) || by_chart
    }

    /// Records of those that take their chart from a source.
    fn users_of(&self, kind: &str, name: &ObjectName) -> BTreeSet<Concerned> {
        let is_it = |source: &SourceRef| source.kind == kind && source.name == *name;
        let all = self.helm_releases.all().into_iter();
        let users = all.filter(|(_, release)| self.refers_to(release, is_it));
        users.map(|(name, _)| Concerned::Marked(name)).collect()
    }
}

const UNCLEAR: &str = "is named in objects that are too deep or too large to be read, so that nobody knows \
                       where it takes its chart from";

fn concerned(chart: &Arc<k3s::HelmChart>) -> Option<Concerned> {
    Some(Concerned::Release(chart.release()?.clone()))
}
