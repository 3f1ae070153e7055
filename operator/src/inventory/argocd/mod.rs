//! Argo CD: its Applications leave no record, and are judged by what they say themselves. Reads only.
//!
//! Their kind may be absent, appear later, or be of another version. A name is that of one chart of one
//! Application; others may have it too, and then all that have it are judged under it.

mod application;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use charttrust_verify::deployer::{ChartOrigin, Deployer};
use charttrust_verify::digest::Sha256Digest;
use kube::Client;

pub use self::application::{Application, Requested, Wanted};
use super::helm::RecordMeta;
use super::{Claim, Concerned, Deployed, Missing, Owner, RecordId, ReleaseId};
use crate::names;
use crate::watch::{Change, Kind, ObjectName, Optional, Reach, State};

/// What deploys.
pub const APPLICATIONS: Kind = Kind {
    group: "argoproj.io",
    kind: "Application",
    plural: "applications",
};

/// What the name of a release of Argo CD begins with.
pub const PREFIX: &str = "argocd.";

/// The release of the first chart of an Application, and the name of the Quarantine of all of it.
pub fn release_of(application: &ObjectName) -> ReleaseId {
    chart_of(application, Claim::First)
}

/// The release that a chart of an Application is.
pub fn chart_of(application: &ObjectName, claim: Claim) -> ReleaseId {
    let ObjectName { namespace, name } = application;
    let after = match claim {
        Claim::First => String::new(),
        Claim::Further(position) => format!(".{position}"),
    };
    ReleaseId {
        namespace: namespace.clone(),
        name: names::derived(PREFIX, name, &after),
    }
}

/// Where each chart that an Application has deployed comes from, by the release that it is.
pub fn origins(name: &ObjectName, application: &Application) -> Vec<(ReleaseId, ChartOrigin)> {
    let claims = application.claims().filter_map(|claim| {
        let mut said = application.said(claim).into_iter();
        let chart = said.find_map(|(_, chart)| chart.ok())?;
        Some((chart_of(name, claim), chart.origin()))
    });
    claims.collect()
}

/// A chart of an Application, by which it is judged.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Whose.
    pub name: ObjectName,
    /// Which of its charts.
    pub claim: Claim,
    /// What it says.
    application: Arc<Application>,
}

/// What is kept of what an Application says of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Another whenever it says something else.
    pub meta: RecordMeta,
    /// Name and version of the chart, or why they are not known.
    pub chart: Result<(String, String), Unsaid>,
}

/// Why it is not known what an Application has deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// It says nothing that can be understood.
    Unclear(&'static str),
    /// Nothing yet.
    NotYet(&'static str),
}

/// The Applications of a cluster.
#[derive(Debug)]
pub struct Applications {
    all: Optional<Application>,
    cut: Cut,
}

/// The charts whose releases have a name from which theirs cannot be read, by that name: whoever may make
/// Applications may give thousands of them such names, and each is looked for again and again.
#[derive(Debug, Default)]
struct Cut(Mutex<BTreeMap<ReleaseId, (ObjectName, Claim)>>);

impl Cut {
    /// An Application has other charts than before.
    fn note(&self, name: &ObjectName, [before, now]: [Option<&Application>; 2]) {
        let of = |one: Option<&Application>| {
            let claims = one.into_iter().flat_map(Application::claims);
            let charts = claims.map(|claim| (chart_of(name, claim), claim));
            charts
                .filter(|(release, _)| names::is_cut(&release.name))
                .collect::<Vec<_>>()
        };
        let mut all = self.lock();
        for (release, _) in of(before) {
            all.remove(&release);
        }
        for (release, claim) in of(now) {
            all.insert(release, (name.clone(), claim));
        }
    }

    fn find(&self, id: &ReleaseId) -> Option<(ObjectName, Claim)> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ReleaseId, (ObjectName, Claim)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Applications {
    /// Those in what is looked at; nothing is known of them yet.
    pub fn new(reach: &Reach) -> Self {
        Self {
            all: Optional::new(APPLICATIONS, reach),
            cut: Cut::default(),
        }
    }

    /// Follows them for ever. `changed` hears of each release that is another than before.
    pub async fn follow(&self, client: &Client, changed: impl Fn(&Concerned)) {
        let releases = |name: &ObjectName, both: [Option<Arc<Application>>; 2]| {
            let charts = both.iter().flatten().flat_map(|one| one.claims());
            // All of it is contained together.
            let all = charts
                .map(|claim| chart_of(name, claim))
                .chain([release_of(name)]);
            all.collect::<BTreeSet<_>>()
        };
        let following = self.all.follow(client, |change| match change {
            Change::Object(name, both) => {
                self.cut.note(name, both.each_ref().map(Option::as_deref));
                let all = releases(name, both).into_iter();
                all.map(Concerned::Release).for_each(|one| changed(&one));
            }
            Change::State => changed(&Concerned::All),
        });
        following.await;
    }

    /// Waits until the server has answered once, whatever it has said.
    pub async fn answered(&self) {
        self.all.answered().await;
    }

    /// Why they cannot be read, if so.
    pub fn unreadable(&self) -> Option<String> {
        let unreadable = self.all.unreadable();
        let (_, why) = unreadable.first()?;
        let places = unreadable.iter().filter_map(|(part, _)| part.namespace());
        let places: Vec<_> = places.collect();
        let places = match places.as_slice() {
            [] => String::new(),
            places => format!(" in {}", places.join(", ")),
        };
        let Kind { group, plural, .. } = APPLICATIONS;
        Some(format!("{plural}.{group}{places}: {why}"))
    }

    /// Whether a release of this name may be one of theirs, and nobody can tell at this moment.
    pub fn may_have(&self, id: &ReleaseId) -> bool {
        let state = self.all.state_in(&id.namespace);
        let is_known = matches!(state, State::Absent | State::Listed);
        !is_known && id.name.starts_with(PREFIX)
    }

    /// Which charts are judged under this name.
    pub fn claimed(&self, id: &ReleaseId) -> Vec<Claimed> {
        let mut found = Vec::new();
        for (name, claim) in self.named(id) {
            if let Some(application) = self.all.find(&name).filter(|one| one.has(claim)) {
                found.push(Claimed {
                    name,
                    claim,
                    application,
                });
            }
        }
        found
    }

    /// Which charts could be of this name.
    fn named(&self, id: &ReleaseId) -> Vec<(ObjectName, Claim)> {
        let Some(rest) = id.name.strip_prefix(PREFIX) else {
            return Vec::new();
        };
        if names::is_cut(&id.name) {
            return self.cut.find(id).into_iter().collect();
        }
        let of = |name: &str| ObjectName {
            namespace: id.namespace.clone(),
            name: name.to_owned(),
        };
        let further = rest.rsplit_once('.').and_then(|(name, position)| {
            let number = position.parse::<u32>().ok()?;
            (number.to_string() == position).then(|| (of(name), Claim::Further(number)))
        });
        let first = std::iter::once((of(rest), Claim::First));
        first.chain(further).collect()
    }

    /// Every release that is one of theirs.
    pub fn releases(&self) -> BTreeSet<ReleaseId> {
        let all = self.all.all().into_iter();
        let charts = all.flat_map(|(name, one)| {
            let claims = one.claims().map(|claim| chart_of(&name, claim));
            claims.collect::<Vec<_>>()
        });
        charts.collect()
    }

    /// How many Applications of each namespace deploy something, and no chart: nothing of them is judged.
    pub fn unaccounted(&self) -> BTreeMap<String, usize> {
        let mut counted = BTreeMap::new();
        let all = self.all.all().into_iter();
        for (name, _) in all.filter(|(_, one)| one.is_unaccounted()) {
            let count: &mut usize = counted.entry(name.namespace).or_default();
            *count = count.saturating_add(1);
        }
        counted
    }

    /// What is said of a release.
    pub fn said(&self, id: &ReleaseId) -> BTreeMap<RecordId, Said> {
        let claimed = self.claimed(id);
        claimed.iter().flat_map(Claimed::said).collect()
    }

    /// Where what one of them has deployed comes from.
    pub fn deployed(&self, id: &ReleaseId, record: RecordId) -> Deployed {
        let claimed = self.claimed(id);
        let found = claimed
            .iter()
            .find_map(|one| Some((one, one.chart(record)?)));
        let name = |name: &dyn std::fmt::Display| format!("{} {name}", APPLICATIONS.kind);
        let (deployers, missing) = match (found, self.all.state_in(&id.namespace)) {
            (Some((one, Ok(chart))), _) => {
                let (name, origin) = (name(&one.name), chart.origin());
                (vec![Deployer { name, origin }], None)
            }
            (None, State::Unreadable(why)) => {
                let name = name(&id.name.trim_start_matches(PREFIX));
                let origin = ChartOrigin::Unknown(format!("cannot be read: {why}"));
                (vec![Deployer { name, origin }], None)
            }
            // It says nothing yet, or no more what it did.
            (Some((_, Err(_))), _) => (Vec::new(), None),
            (None, State::Absent | State::Listed | State::Unlisted) => {
                (Vec::new(), Some(Missing::Objects))
            }
        };
        Deployed {
            owner: Owner::ArgoCd,
            deployers,
            traces: Vec::new(),
            missing,
        }
    }

    #[cfg(test)]
    /// As after a word that there are some.
    pub async fn look_again(&self, client: &Client) -> bool {
        let name = ObjectName {
            namespace: String::new(),
            name: String::new(),
        };
        self.all.look_again(client, &name).await.is_ok()
    }

    #[cfg(test)]
    /// As if the server had this one.
    pub fn hold(&self, name: ObjectName, object: &serde_json::Value) {
        use crate::watch::Kept as _;
        if let Some(application) = Application::of(object) {
            let before = self.all.find(&name);
            self.cut
                .note(&name, [before.as_deref(), Some(&application)]);
            self.all.hold(name, application);
        }
        self.all.suppose(State::Listed);
    }

    #[cfg(test)]
    /// As if the server let nobody read them any more.
    pub fn suppose_unreadable(&self) {
        self.all.suppose(State::Unreadable("a test"));
    }

    #[cfg(test)]
    /// As if the server had said that it has none.
    pub fn suppose_absent(&self) {
        self.all.suppose(State::Absent);
    }
}

impl Claimed {
    /// The number of each thing that is said of it, with what it is.
    fn said(&self) -> Vec<(RecordId, Said)> {
        let all = self.application.said(self.claim).into_iter();
        let said = all.map(|(revision, chart)| {
            let named = chart.map_err(Unsaid::NotYet);
            let named = named.and_then(|chart| {
                let (name, version) = chart.named().map_err(Unsaid::Unclear)?;
                Ok((name.to_owned(), version.to_owned()))
            });
            let of_chart = chart.map(application::Chart::fingerprint);
            let digest = of_chart.unwrap_or_else(|why| Sha256Digest::of(why.as_bytes()));
            let said = Said {
                meta: RecordMeta {
                    resource_version: version_of(&digest),
                    claimed_status: String::new(),
                },
                chart: named,
            };
            (self.record(revision), said)
        });
        said.collect()
    }

    fn record(&self, revision: u32) -> RecordId {
        RecordId::Application {
            claim: self.claim,
            revision: revision.into(),
        }
    }

    /// What it says under a number.
    fn chart(&self, record: RecordId) -> Option<Result<&application::Chart, &'static str>> {
        let all = self.application.said(self.claim).into_iter();
        let mut of_record = all.filter(|(revision, _)| self.record(*revision) == record);
        of_record.next().map(|(_, chart)| chart)
    }

    /// What speaks against that what is judged is what one reads of it.
    pub fn differences(&self) -> Vec<String> {
        let all = self.application.differences(self.claim);
        all.into_iter().map(|one| self.told(&one)).collect()
    }

    /// What of the Application is judged nowhere. Told once, with its first chart.
    pub fn unjudged(&self) -> Vec<String> {
        let all = self.application.unjudged().into_iter();
        let first = all.filter(|_| self.claim == Claim::First);
        first.map(|one| self.told(&one)).collect()
    }

    /// Whether there may be charts of it that are judged nowhere: then its first is trusted by nobody.
    pub fn is_cut(&self) -> bool {
        self.claim == Claim::First && self.application.is_cut()
    }

    /// Where it deploys to.
    pub fn destination(&self) -> Option<&str> {
        self.application.destination()
    }

    /// The releases that all its charts are.
    pub fn charts(&self) -> BTreeSet<ReleaseId> {
        let claims = self.application.claims();
        claims.map(|claim| chart_of(&self.name, claim)).collect()
    }

    /// Its kind, namespace and name, for people.
    pub fn word(&self) -> String {
        format!("{} {}", APPLICATIONS.kind, self.name)
    }

    fn told(&self, what: &str) -> String {
        format!("{} {what}", self.word())
    }
}

/// Short, and no number: versions that are numbers are compared as such.
fn version_of(digest: &Sha256Digest) -> String {
    let digits = digest.to_string();
    let digits = digits.rsplit(':').next().unwrap_or_default();
    let short: String = digits.chars().take(DIGITS).collect();
    format!("said-{short}")
}

const DIGITS: usize = 16;
