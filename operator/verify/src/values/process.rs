//! Which dependencies and values Helm records: `pkg/chart/v2/util/dependencies.go`.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::table::{
    Cell, Coalesced, MOST_SEGMENTS, Mode, Table, Unmergeable, Work, coalesce, coalesce_tables,
};
use super::{Helm, Tree};
use crate::chart::metadata::Dependency;
use crate::version::is_compatible;

/// What a record says if its chart is the one of the archive.
#[derive(Debug)]
pub(crate) struct Expected {
    /// `chart.metadata.dependencies`.
    pub(crate) dependencies: Vec<Dependency>,
    /// `chart.values`.
    pub(crate) values: Json,
}

/// Does what `ProcessDependencies` does to a chart under the user's values.
///
/// A values.yaml that could not be read counts as empty. `values` replaces the chart's own defaults:
/// `helm upgrade --reuse-values` does that with those of the revision before.
pub(crate) fn expected(
    tree: &Tree,
    values: Option<&Json>,
    config: &Json,
    helm: Helm,
) -> Result<Expected, Unmergeable> {
    let work = Work::new();
    let mut chart = Node::new(tree, helm, values);
    let values = chart
        .enable(&Table::new(config), "", helm.coalescing(), &work)
        .and_then(|()| chart.import(&work))
        .and_then(|()| chart.values.json(&work));
    chart.dismantle();
    Ok(Expected {
        values: values?,
        dependencies: chart.dependencies,
    })
}

impl Helm {
    /// How it puts the user's values over the defaults.
    fn coalescing(self) -> Mode {
        match self {
            Self::V3 => Mode::CoalesceKeeping,
            Self::V4 => Mode::Coalesce,
        }
    }
}

#[derive(Clone)]
struct Node {
    name: String,
    version: String,
    values: Table,
    dependencies: Vec<Dependency>,
    subcharts: Vec<Node>,
}

impl Coalesced for Node {
    fn name(&self) -> &str {
        &self.name
    }

    fn values(&self) -> &Table {
        &self.values
    }

    fn subcharts(&self) -> &[Self] {
        &self.subcharts
    }
}

impl Node {
    fn new(tree: &Tree, helm: Helm, values: Option<&Json>) -> Self {
        let defaults = values.cloned().unwrap_or_else(|| tree.defaults.under(helm));
        let subcharts = tree
            .subcharts
            .iter()
            .map(|subchart| Self::new(subchart, helm, None));
        Self {
            name: tree.name.clone(),
            version: tree.version.clone(),
            values: Table::new(&defaults),
            dependencies: tree.dependencies.clone(),
            subcharts: subcharts.collect(),
        }
    }

    /// `processDependencyEnabled`: removes what tags and conditions disable.
    fn enable(
        &mut self,
        config: &Table,
        path: &str,
        mode: Mode,
        work: &Work,
    ) -> Result<(), Unmergeable> {
        if self.dependencies.is_empty() {
            return Ok(());
        }
        // First, as in `processDependencyEnabled`: conditions and tags look for the alias, not for
        // the name.
        self.apply_aliases(work)?;
        let values = config.deep_copy(work)?;
        coalesce(self, &values, mode, work)?;
        apply_tags(&mut self.dependencies, &values);
        apply_conditions(&mut self.dependencies, &values, path, work)?;
        let disabled: BTreeSet<_> = self
            .dependencies
            .iter()
            .filter(|dependency| !dependency.enabled)
            .map(|dependency| dependency.name.as_str())
            .collect();
        self.subcharts
            .retain(|subchart| !disabled.contains(subchart.name.as_str()));
        self.dependencies.retain(|dependency| dependency.enabled);
        // Helm hands the coalesced values down whole, so that a parent's values reach the
        // conditions of grandchildren.
        for subchart in &mut self.subcharts {
            work.read(path)?;
            work.read(&subchart.name)?;
            let path = format!("{path}{}.", subchart.name);
            subchart.enable(&values, &path, mode, work)?;
        }
        Ok(())
    }

    fn dismantle(&self) {
        self.values.dismantle();
        self.subcharts.iter().for_each(Self::dismantle);
    }

    /// How many charts there are in it, itself included.
    fn size(&self) -> usize {
        let below = self.subcharts.iter().map(Self::size);
        below.fold(1, usize::saturating_add)
    }

    /// Gives every declared dependency its own copy of the chart, under its alias.
    fn apply_aliases(&mut self, work: &Work) -> Result<(), Unmergeable> {
        let pairs = self.subcharts.len().saturating_mul(self.dependencies.len());
        work.spend(pairs)?;
        let declared = |chart: &Node, dependency: &Dependency| {
            chart.name == dependency.name && is_compatible(&dependency.version, &chart.version)
        };
        let (mut charts, found): (Vec<_>, Vec<_>) = std::mem::take(&mut self.subcharts)
            .into_iter()
            .partition(|chart| {
                !self
                    .dependencies
                    .iter()
                    .any(|dependency| declared(chart, dependency))
            });
        for dependency in &mut self.dependencies {
            if let Some(chart) = found.iter().find(|chart| declared(chart, dependency)) {
                let name = dependency.alias_or_name().to_owned();
                work.spend(chart.size().saturating_mul(STEPS_PER_CHART))?;
                charts.push(Node {
                    name,
                    ..chart.clone()
                });
            }
            dependency.name = dependency.alias_or_name().to_owned();
            dependency.enabled = true;
        }
        self.subcharts = charts;
        Ok(())
    }

    /// `processDependencyImportValue`: subcharts first, then the chart itself.
    fn import(&mut self, work: &Work) -> Result<(), Unmergeable> {
        // A parent may import what a subchart has imported itself.
        for subchart in &mut self.subcharts {
            subchart.import(work)?;
        }
        if self.dependencies.is_empty() {
            return Ok(());
        }
        let (values, imported) = (Table::default(), Table::default());
        let merged = self.merge_imports(&values, &imported, work);
        if merged.is_err() {
            values.dismantle();
            imported.dismantle();
        }
        self.values = merged?;
        Ok(())
    }

    fn merge_imports(
        &self,
        values: &Table,
        imported: &Table,
        work: &Work,
    ) -> Result<Table, Unmergeable> {
        coalesce(self, values, Mode::Merge, work)?;
        for dependency in &self.dependencies {
            for import in &dependency.import_values {
                work.read(&dependency.name)?;
                work.read(&import.child)?;
                let path = format!("{}.{}", dependency.name, import.child);
                if let Some(table) = values.table_at(&path) {
                    let below = below(&import.parent, table)?;
                    coalesce_tables(imported, &below, Mode::Merge, work)?;
                }
            }
        }
        let merged = values.deep_copy(work)?;
        coalesce_tables(&merged, imported, Mode::Merge, work)?;
        Ok(merged)
    }
}

/// `pathToMap`: puts a table below a path.
fn below(path: &str, table: Table) -> Result<Table, Unmergeable> {
    if path == "." {
        return Ok(table);
    }
    if path.split('.').nth(MOST_SEGMENTS).is_some() {
        return Err(Unmergeable::TooLarge);
    }
    Ok(path.rsplit('.').fold(table, |inner, key| {
        let outer = Table::default();
        outer.insert(key, Cell::Table(inner));
        outer
    }))
}

/// `processDependencyTags`: one true tag enables, otherwise one false tag disables.
fn apply_tags(dependencies: &mut [Dependency], values: &Table) {
    let Some(tags) = values.table_at("tags") else {
        return;
    };
    for dependency in dependencies {
        let flags: Vec<bool> = dependency
            .tags
            .iter()
            .filter_map(|tag| match tags.get(tag) {
                Some(Cell::Other(Json::Bool(flag))) => Some(flag),
                _ => None,
            })
            .collect();
        dependency.enabled = flags.is_empty() || flags.contains(&true);
    }
}

/// `processDependencyConditions`: the first path that leads to a boolean decides.
fn apply_conditions(
    dependencies: &mut [Dependency],
    values: &Table,
    path: &str,
    work: &Work,
) -> Result<(), Unmergeable> {
    for dependency in dependencies {
        let paths = dependency.condition.trim().split(',');
        for condition in paths.filter(|condition| !condition.is_empty()) {
            work.read(path)?;
            work.read(condition)?;
            let value = values.value_at(&format!("{path}{condition}"));
            if let Some(enabled) = value.and_then(|value| value.as_bool()) {
                dependency.enabled = enabled;
                break;
            }
        }
    }
    Ok(())
}

/// A chart that is used again under an alias takes about as much memory as this many values.
const STEPS_PER_CHART: usize = 8;

#[cfg(test)]
mod tests {
    use super::super::Defaults;
    use super::*;
    use crate::chart::metadata::ImportValue;
    use serde_json::json;

    fn tree(name: &str, values: Json, subcharts: Vec<Tree>) -> Tree {
        let depend = |subchart: &Tree| Dependency {
            name: subchart.name.clone(),
            version: "1.0.0".to_owned(),
            ..Dependency::default()
        };
        Tree {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            defaults: Defaults::Read {
                first: values,
                merged: None,
            },
            dependencies: subcharts.iter().map(depend).collect(),
            subcharts,
        }
    }

    fn base() -> Tree {
        let log = tree("log", json!({}), Vec::new());
        let mut db = tree("db", json!({"data": {"a": 1}}), vec![log]);
        db.dependencies[0].condition = "log.enabled".to_owned();
        let mut web = tree("web", json!({"global": {"t": {"a": 1}}}), vec![db]);
        web.dependencies[0].condition = "db.enabled".to_owned();
        web.dependencies[0].import_values = vec![ImportValue {
            child: "data".to_owned(),
            parent: "data".to_owned(),
        }];
        web
    }

    fn cost(tree: &Tree) -> usize {
        let work = Work::new();
        let mut chart = Node::new(tree, Helm::V4, None);
        chart
            .enable(&Table::default(), "", Mode::Coalesce, &work)
            .and_then(|()| chart.import(&work))
            .unwrap();
        work.spent()
    }

    /// Asserts what a change costs more than the base: less, and something is not counted.
    fn costs(least: usize, change: impl FnOnce(&mut Tree)) {
        let mut tree = base();
        change(&mut tree);
        let more = cost(&tree).saturating_sub(cost(&base()));
        assert!(more >= least, "{more} of {least}");
    }

    #[test]
    fn whatever_makes_more_work_is_counted() {
        let long = || "x".repeat(16_000);
        costs(1000, |web| web.dependencies[0].condition = long());
        costs(996, |web| {
            web.dependencies[0].import_values[0].child = long();
        });
        // As a subchart, before its own subchart and the condition of that, and for the import.
        costs(4000, |web| {
            web.subcharts[0].name = long();
            web.dependencies[0].name = long();
        });
        let globals = |count: usize| (0..count).map(|n| (n.to_string(), json!(1))).collect();
        let global = |count: usize| json!({"global": {"t": Json::Object(globals(count))}});
        costs(13_986, |web| {
            web.defaults = Defaults::Read {
                first: global(1000),
                merged: None,
            };
        });
        costs(50_800, |web| {
            let one = web.dependencies[0].clone();
            web.dependencies.extend((0..50).map(|n| Dependency {
                alias: n.to_string(),
                import_values: Vec::new(),
                ..one.clone()
            }));
        });
    }
}
