//! What an Application says of its charts: which it has deployed, begun to deploy, and wants. From objects
//! to values.
//!
//! Its kind has no status subresource: whoever may change an Application may write all of this.

use charttrust_verify::deployer::{ChartOrigin, Place};
use charttrust_verify::digest::Sha256Digest;
use serde_json::Value;

use super::super::Claim;
use super::super::fields::{is_there, text};
use crate::watch::{EACH, Kept, LAST, MOST, ObjectName, PRESENT, Path};

/// An Application, as far as it says which charts are its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// What its spec asks for.
    wanted: Sources,
    /// What it has deployed last.
    deployed: Option<Sources>,
    /// The number of that.
    number: u32,
    /// What its last operation has begun to deploy, whatever became of it: one that fails, or is about some
    /// objects only, is in no history, and its objects are there.
    begun: Sources,
    /// The versions that it was compared with last.
    compared: Vec<Option<String>>,
    /// The namespace that it deploys into, unless its objects name another.
    destination: Option<String>,
}

/// The sources of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sources {
    /// Those that are charts.
    charts: Vec<Chart>,
    /// How many others deploy something.
    others: usize,
    /// Whether there may be more than are kept.
    is_cut: bool,
}

/// A source that is a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chart {
    /// The place of the source among all, from 1.
    position: u32,
    repository: Option<String>,
    name: Option<String>,
    /// What was asked for, a range maybe.
    wanted: Option<String>,
    /// Which version that was.
    version: Option<String>,
}

macro_rules! paths {
    ($([$($at:expr),*])*; $($more:expr,)*) => {
        &[
            $(
                &[$($at,)* "source", "chart"],
                &[$($at,)* "source", "path"],
                &[$($at,)* "source", "ref", PRESENT],
                &[$($at,)* "source", "repoURL"],
                &[$($at,)* "source", "targetRevision"],
                &[$($at,)* "sources", EACH, "chart"],
                &[$($at,)* "sources", EACH, "path"],
                &[$($at,)* "sources", EACH, "ref", PRESENT],
                &[$($at,)* "sources", EACH, "repoURL"],
                &[$($at,)* "sources", EACH, "targetRevision"],
            )*
            $($more,)*
        ]
    };
}

impl Kept for Application {
    const PATHS: &'static [Path] = paths![
        ["spec"]
        ["status", "history", LAST]
        ["status", "operationState", "syncResult"];
        &["spec", "destination", "namespace"],
        &["status", "history", LAST, "id"],
        &["status", "history", LAST, "revision"],
        &["status", "history", LAST, "revisions", EACH],
        &["status", "operationState", "operation", "sync", "dryRun"],
        &["status", "operationState", "syncResult", "revision"],
        &["status", "operationState", "syncResult", "revisions", EACH],
        &["status", "sync", "revision"],
        &["status", "sync", "revisions", EACH],
    ];

    fn of(object: &Value) -> Option<Self> {
        let history = object.pointer("/status/history").and_then(Value::as_array);
        let last = history.and_then(|all| all.last());
        let number = last.and_then(|last| last.get("id")?.as_u64());
        let operation = object.pointer("/status/operationState");
        let is_done =
            |at: &&Value| at.pointer("/operation/sync/dryRun") != Some(&Value::Bool(true));
        let result = operation
            .filter(is_done)
            .and_then(|at| at.get("syncResult"));
        Some(Self {
            wanted: object.get("spec").map(Sources::of).unwrap_or_default(),
            deployed: last.map(Sources::of),
            number: number.map_or(0, |number| {
                u32::try_from(number).unwrap_or(LARGEST).min(LARGEST)
            }),
            begun: result.map(Sources::of).unwrap_or_default(),
            compared: object
                .pointer("/status/sync")
                .map_or_else(Vec::new, revisions),
            destination: text(object, "/spec/destination/namespace"),
        })
    }
}

/// What was begun since has the next number.
const LARGEST: u32 = u32::MAX - 1;

/// What an Application asks for: its spec, and an operation that is to begin at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// The Application.
    pub name: ObjectName,
    charts: Vec<(Claim, Chart)>,
    /// Whether there may be more than are told.
    pub is_cut: bool,
}

/// A chart that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The release that it would be.
    pub claim: Claim,
    /// Its name, if it is told in a known way.
    pub chart: Option<String>,
    /// The version that is asked for, or a range.
    pub version: String,
    /// Where it would be taken from.
    pub origin: ChartOrigin,
}

impl Kept for Requested {
    const PATHS: &'static [Path] = paths![
        ["spec"]
        ["operation", "sync"];
        &["operation", "sync", "revision"],
        &["operation", "sync", "revisions", EACH],
    ];

    fn of(object: &Value) -> Option<Self> {
        let name = ObjectName {
            namespace: text(object, "/metadata/namespace")?,
            name: text(object, "/metadata/name")?,
        };
        let spec = object.get("spec").map(Sources::of).unwrap_or_default();
        let sync = object.pointer("/operation/sync");
        let begun = sync.map(Sources::of).unwrap_or_default();
        let versions = sync.map(revisions).unwrap_or_default();
        // An operation without sources is about those of the spec, in the versions that it names.
        let named = spec.charts.iter().filter_map(|chart| {
            let index = usize::try_from(chart.position).ok()?.checked_sub(1)?;
            let version = versions.get(index).cloned().flatten()?;
            Some(Chart {
                version: Some(version),
                ..chart.clone()
            })
        });
        let named = Sources {
            charts: named.collect(),
            ..Sources::default()
        };
        let all = [&spec, &named, &begun];
        let mut charts = Vec::new();
        for sources in all {
            for claim in sources.claims() {
                let chart = sources.chart(claim).cloned();
                charts.extend(chart.map(|chart| (claim, chart)));
            }
        }
        Some(Self {
            name,
            is_cut: all.iter().any(|sources| sources.is_cut),
            charts,
        })
    }
}

impl Requested {
    /// Its charts, each as often as it is asked for.
    pub fn charts(&self) -> impl Iterator<Item = Wanted> {
        self.charts.iter().map(|(claim, chart)| {
            let version = chart.version.as_ref().or(chart.wanted.as_ref());
            Wanted {
                claim: *claim,
                chart: chart.name.as_deref().and_then(last_part).map(str::to_owned),
                version: version.cloned().unwrap_or_else(|| "*".to_owned()),
                origin: chart.origin(),
            }
        })
    }
}

impl Sources {
    /// Several take the place of one.
    fn of(at: &Value) -> Self {
        let several = at.get("sources").and_then(Value::as_array);
        let several = several.filter(|several| !several.is_empty());
        let one = || {
            at.get("source")
                .map(std::slice::from_ref)
                .unwrap_or_default()
        };
        let sources = several.map_or_else(one, Vec::as_slice);
        let versions = revisions(at);
        let mut found = Self {
            is_cut: sources.len() >= MOST,
            ..Self::default()
        };
        let mut room = MOST_TEXT;
        for (position, (index, source)) in (1..).zip(sources.iter().enumerate()) {
            let version = versions.get(index).cloned().flatten();
            match Chart::of(source, position, version) {
                Some(chart) => {
                    let Some(left) = room.checked_sub(chart.bytes()) else {
                        found.is_cut = true;
                        break;
                    };
                    room = left;
                    found.charts.push(chart);
                }
                None if deploys(source) => found.others = found.others.saturating_add(1),
                None => {}
            }
        }
        found
    }

    fn chart(&self, claim: Claim) -> Option<&Chart> {
        match claim {
            Claim::First => self.charts.first(),
            Claim::Further(position) => {
                let mut further = self.charts.iter().skip(1);
                further.find(|chart| chart.position == position)
            }
        }
    }

    fn claims(&self) -> impl Iterator<Item = Claim> {
        let first = self.charts.first().map(|_| Claim::First);
        let further = self.charts.iter().skip(1);
        first
            .into_iter()
            .chain(further.map(|chart| Claim::Further(chart.position)))
    }
}

/// So many bytes of the texts of all sources together are kept. Those of one always fit; those of an honest
/// Application of 32 take half of it.
const MOST_TEXT: usize = 8 * 1024;

/// Whether a source that is no chart deploys anything: one that has only a name is read by others.
fn deploys(source: &Value) -> bool {
    is_there(source, "/path") || (is_there(source, "/repoURL") && !is_there(source, "/ref"))
}

/// The versions of one moment, in the order of the sources.
fn revisions(at: &Value) -> Vec<Option<String>> {
    let several = at.get("revisions").and_then(Value::as_array);
    match several.filter(|several| !several.is_empty()) {
        Some(several) => several.iter().map(|one| text(one, "")).collect(),
        None => vec![text(at, "/revision")],
    }
}

impl Chart {
    fn of(source: &Value, position: u32, version: Option<String>) -> Option<Self> {
        is_there(source, "/chart").then(|| Self {
            position,
            repository: text(source, "/repoURL"),
            name: text(source, "/chart"),
            wanted: text(source, "/targetRevision"),
            version,
        })
    }

    fn bytes(&self) -> usize {
        let texts = [&self.repository, &self.name, &self.wanted, &self.version];
        let texts = texts.into_iter().flatten();
        texts.map(String::len).sum()
    }

    /// Its name and version, or why they cannot be told.
    pub(super) fn named(&self) -> Result<(&str, &str), &'static str> {
        let name = self.name.as_deref().and_then(last_part);
        name.zip(self.version.as_deref()).ok_or(UNCLEAR)
    }

    /// Where it was taken from.
    pub(super) fn origin(&self) -> ChartOrigin {
        let place = self.place();
        let unclear = || ChartOrigin::Unknown("names no chart repository".to_owned());
        place.map_or_else(unclear, ChartOrigin::Place)
    }

    /// Argo CD takes an address without a scheme for one of a registry.
    fn place(&self) -> Option<Place> {
        let repository = self.repository.as_deref()?;
        let name = self.name.as_deref()?;
        if repository.contains("://") {
            return Place::new(repository, name);
        }
        Place::new(&format!("oci://{repository}"), name)
    }

    /// A digest of all that it says.
    pub(super) fn fingerprint(&self) -> Sha256Digest {
        Sha256Digest::of(format!("{self:?}").as_bytes())
    }

    fn is_asked_for_by(&self, wanted: &Self) -> bool {
        let asked = |chart: &Self| {
            let Self {
                repository,
                name,
                wanted,
                ..
            } = chart;
            [repository, name, wanted].map(Clone::clone)
        };
        asked(self) == asked(wanted)
    }

    fn words(&self) -> String {
        let wanted = self.wanted.as_deref().unwrap_or("any version");
        match self.place() {
            Some(place) => format!("{wanted} of {place}"),
            None => format!("{wanted} of a chart that cannot be told"),
        }
    }
}

const UNCLEAR: &str =
    "the Application does not say in a known way which version of which chart that is";

/// In a registry the name of a chart may have a path before it.
fn last_part(name: &str) -> Option<&str> {
    let name = name.trim_end_matches('/').rsplit('/').next()?;
    (!name.is_empty()).then_some(name)
}

impl Application {
    /// Its charts: deployed, begun, or only wanted yet.
    pub fn claims(&self) -> impl Iterator<Item = Claim> {
        let mut all: Vec<_> = self.moments().flat_map(Sources::claims).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    /// Whether it has such a chart.
    pub fn has(&self, claim: Claim) -> bool {
        self.moments().any(|sources| sources.chart(claim).is_some())
    }

    /// The namespace that it deploys into, unless its objects name another.
    pub fn destination(&self) -> Option<&str> {
        self.destination.as_deref()
    }

    /// Whether nothing that it deploys is a chart.
    pub fn is_unaccounted(&self) -> bool {
        let is_other = self.moments().any(|sources| sources.others > 0);
        is_other && self.claims().next().is_none()
    }

    fn moments(&self) -> impl Iterator<Item = &Sources> {
        let deployed = self.deployed.iter();
        deployed.chain([&self.begun, &self.wanted])
    }

    /// What it says of a chart of its own that runs, or may: what was deployed last, and what was begun since,
    /// each with its number.
    pub(super) fn said(&self, claim: Claim) -> Vec<(u32, Result<&Chart, &'static str>)> {
        let deployed = self.deployed.as_ref().and_then(|all| all.chart(claim));
        let begun = self.begun.chart(claim);
        let is_other = |begun: &&Chart| {
            let of = |chart: &Chart| {
                let (name, version) = (chart.name.clone(), chart.version.clone());
                (chart.repository.clone(), name, version)
            };
            // One without a version has found none to deploy.
            begun.version.is_some() && deployed.map(of) != Some(of(begun))
        };
        let mut all = vec![(self.number, deployed.ok_or(NOT_DEPLOYED))];
        let next = self.number.saturating_add(1);
        all.extend(begun.filter(is_other).map(|begun| (next, Ok(begun))));
        all
    }

    /// What speaks against that the deployed chart is what one reads of the Application, and what of it is not
    /// judged.
    pub(super) fn differences(&self, claim: Claim) -> Vec<String> {
        let mut found = Vec::new();
        let deployed = self.deployed.as_ref().and_then(|all| all.chart(claim));
        if let Some(deployed) = deployed {
            match self.wanted.chart(claim) {
                Some(wanted) if deployed.is_asked_for_by(wanted) => {}
                Some(wanted) => {
                    found.push(format!(
                        "asks for {}, and has not deployed it",
                        wanted.words()
                    ));
                }
                None => found.push("asks for no such chart any more".to_owned()),
            }
            let index = usize::try_from(deployed.position)
                .unwrap_or(usize::MAX)
                .saturating_sub(1);
            let compared = self.compared.get(index).cloned().flatten();
            if let Some(compared) = compared.filter(|one| Some(one) != deployed.version.as_ref()) {
                found.push(format!(
                    "is compared with {compared}, which it has not deployed"
                ));
            }
        }
        found
    }

    /// What of it is judged nowhere.
    pub(super) fn unjudged(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.moments().any(|sources| sources.others > 0) {
            found.push(
                "has sources that are no chart: what those deploy is judged nowhere".to_owned(),
            );
        }
        if self.moments().any(|sources| sources.is_cut) {
            found.push(format!(
                "has {MOST} sources or more, or longer texts of them than {MOST_TEXT} bytes: those after are judged nowhere"
            ));
        }
        found
    }

    /// Whether there may be charts that are judged nowhere.
    pub(super) fn is_cut(&self) -> bool {
        self.moments().any(|sources| sources.is_cut)
    }
}

const NOT_DEPLOYED: &str =
    "the Application has not deployed it: there is nothing of it in status.history";
