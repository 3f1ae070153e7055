//! Chart.yaml and values: what Helm does to them before it records them
//! (`pkg/chart/v2/util/dependencies.go`).

use serde_json::Value as Json;

use super::parts::may_be_unpacked;
use super::{Change, ChartPart, Found, Note};
use crate::chart::{Chart, Dependency, Metadata, remove_unstable, sanitize};
use crate::release::Record;
use crate::values::{self, Expected, Helm, Tree, Unmergeable};

pub(super) fn compare(chart: &Chart, record: &Record, found: &mut Found) {
    let mut recorded = record.chart.metadata.clone();
    // Invariant: what was packed can be unpacked.
    let Some(tree) = chart.values.tree() else {
        return found.explained.push(Note::ValuesUnreadable);
    };
    let Ok(candidates) = Candidates::new(&tree, record) else {
        found.explained.push(Note::ValuesUnreadable);
        let (archived, recorded) = (&chart.metadata, &recorded);
        let (archived, recorded) = (
            without_dependencies(archived),
            without_dependencies(recorded),
        );
        return fields(&archived, &recorded, found);
    };
    let judged = candidates.judge(&chart.metadata, &recorded);
    let is_unpacked = is_unpacked_v1(chart, &recorded) && may_be_unpacked(&record.chart);
    if let (Likeness::Different, true) = (judged.likeness, is_unpacked) {
        found.explained.push(Note::DirectoryV1);
        recorded.dependencies.clear();
        fields(&chart.metadata, &recorded, found);
        return;
    }
    match judged.likeness {
        Likeness::Same => {}
        Likeness::UnicodeVersion => found.notes.push(Note::UnicodeVersion),
        Likeness::Unsanitized => found.explained.push(Note::Unsanitized),
        Likeness::Different => {
            let only_dependencies =
                without_dependencies(&judged.expected) == without_dependencies(&recorded);
            if only_dependencies && !tree.is_readable() {
                found.explained.push(Note::ValuesUnreadable);
            } else {
                fields(&judged.expected, &recorded, found);
            }
        }
    }
    found
        .notes
        .extend(judged.reused.then_some(Note::ReusedValues));
    found
        .notes
        .extend(candidates.values_note(&tree, record.chart.values.json()));
}

/// What the record should say, by the ways there are to get there.
struct Candidates {
    /// By the values in the archive, as Helm 4 and Helm 3 read them.
    archived: Vec<Expected>,
    /// By the default values in the record. Whoever installs chooses the user's values, and with
    /// them the dependencies, so this believes no more than that.
    recorded: Vec<Expected>,
}

struct Judged {
    expected: Metadata,
    likeness: Likeness,
    reused: bool,
}

/// How much two metadata are alike, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    Same,
    UnicodeVersion,
    Unsanitized,
    Different,
}

impl Candidates {
    /// Fails if there are more values than can be compared.
    fn new(tree: &Tree, record: &Record) -> Result<Self, Unmergeable> {
        let config = record.config.json();
        let expect =
            |values: Option<&Json>, helm| match values::expected(tree, values, config, helm) {
                Ok(expected) => Ok(Some(expected)),
                Err(Unmergeable::TypeMismatch) => Ok(None),
                Err(Unmergeable::TooLarge) => Err(Unmergeable::TooLarge),
            };
        let by_both = |values| -> Result<Vec<_>, _> {
            // A record does not say which Helm has processed its dependencies: `apply_method` names
            // the writer of the revision, and a rollback copies what an older one made.
            let both = [expect(values, Helm::V4)?, expect(values, Helm::V3)?];
            Ok(both.into_iter().flatten().collect())
        };
        Ok(Self {
            archived: by_both(None)?,
            // `helm upgrade --reuse-values` replaces the defaults by those of the old chart with
            // the user's own values in them.
            recorded: if tree.dependencies.is_empty() {
                Vec::new()
            } else {
                by_both(Some(record.chart.values.json()))?
            },
        })
    }

    /// Holds the recorded metadata against every candidate and returns the best.
    fn judge(&self, archive: &Metadata, recorded: &Metadata) -> Judged {
        let archived = self.archived.iter().map(|expected| (expected, false));
        let reused = self.recorded.iter().map(|expected| (expected, true));
        let judged = archived.chain(reused).map(|(expected, reused)| {
            let dependencies = expected.dependencies.clone();
            let expected = Metadata {
                dependencies,
                ..archive.clone()
            };
            Judged {
                likeness: likeness(&expected, recorded),
                expected,
                reused,
            }
        });
        judged
            .min_by_key(|judged| judged.likeness)
            .unwrap_or_else(|| Judged {
                likeness: likeness(archive, recorded),
                expected: archive.clone(),
                reused: false,
            })
    }

    fn values_note(&self, tree: &Tree, recorded: &Json) -> Option<Note> {
        if !tree.is_readable() {
            return Some(Note::ValuesUnreadable);
        }
        let same = self
            .archived
            .iter()
            .any(|expected| values::same(&expected.values, recorded));
        (!same).then_some(Note::ValuesDiffer)
    }
}

fn likeness(expected: &Metadata, recorded: &Metadata) -> Likeness {
    if expected == recorded {
        return Likeness::Same;
    }
    let mut sanitized = recorded.clone();
    sanitized.edit_sanitized(&sanitize);
    if *expected == sanitized {
        return Likeness::Unsanitized;
    }
    let (mut expected, mut stable) = (expected.clone(), recorded.clone());
    expected.edit_sanitized(&remove_unstable);
    stable.edit_sanitized(&remove_unstable);
    if expected == stable {
        Likeness::UnicodeVersion
    } else {
        Likeness::Different
    }
}

/// `helm package` drops the dependencies in a v1 Chart.yaml; a directory still has them.
///
/// Helm 3 and 4 package and install a chart only if `charts/` has a subchart for each dependency
/// (`pkg/action/install.go`, `CheckDependencies`), so one without its subchart in the archive was not
/// recorded by them. Where the subchart is there, an added dependency cannot be told from an honest one.
fn is_unpacked_v1(chart: &Chart, recorded: &Metadata) -> bool {
    let archive = &chart.metadata;
    archive.api_version == "v1"
        && archive.dependencies.is_empty()
        && !recorded.dependencies.is_empty()
        && recorded
            .dependencies
            .iter()
            .all(|dependency| has_subchart(chart, dependency))
}

/// Whether a recorded dependency can have been met by a subchart. An alias replaces the name.
fn has_subchart(chart: &Chart, dependency: &Dependency) -> bool {
    let mut subcharts = chart.subcharts.iter();
    subcharts.any(|subchart| !dependency.alias.is_empty() || subchart.name == dependency.name)
}

fn without_dependencies(metadata: &Metadata) -> Metadata {
    Metadata {
        dependencies: Vec::new(),
        ..metadata.clone()
    }
}

/// Reports each field that differs.
fn fields(archive: &Metadata, recorded: &Metadata, found: &mut Found) {
    let differs = [
        ("annotations", archive.annotations != recorded.annotations),
        ("apiVersion", archive.api_version != recorded.api_version),
        ("appVersion", archive.app_version != recorded.app_version),
        ("condition", archive.condition != recorded.condition),
        (
            "dependencies",
            archive.dependencies != recorded.dependencies,
        ),
        ("deprecated", archive.deprecated != recorded.deprecated),
        ("description", archive.description != recorded.description),
        ("home", archive.home != recorded.home),
        ("icon", archive.icon != recorded.icon),
        ("keywords", archive.keywords != recorded.keywords),
        ("kubeVersion", archive.kube_version != recorded.kube_version),
        ("maintainers", archive.maintainers != recorded.maintainers),
        ("name", archive.name != recorded.name),
        ("sources", archive.sources != recorded.sources),
        ("tags", archive.tags != recorded.tags),
        ("type", archive.kind != recorded.kind),
        ("version", archive.version != recorded.version),
    ];
    for (field, _) in differs.into_iter().filter(|(_, differs)| *differs) {
        found.differ(ChartPart::Metadata(field), Change::Changed);
    }
}
