//! Which dependencies and values Helm records: `pkg/chart/v2/util/dependencies.go`.

use serde_json::Value as Json;

use super::table::{Cell, Coalesced, Mode, Table, TypeMismatch, coalesce, coalesce_tables};
use super::{Helm, Tree};
use crate::chart::Dependency;
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
/// A values.yaml that could not be read counts as empty. `values` replaces the chart's own defaults: `helm upgrade --reuse-values` does that with those of
/// the revision before.
pub(crate) fn expected(
    tree: &Tree,
    values: Option<&Json>,
    config: &Json,
    helm: Helm,
) -> Result<Expected, TypeMismatch> {
    let mut chart = Node::new(tree, helm, values);
    chart.enable(&Table::new(config), "")?;
    chart.import()?;
    Ok(Expected {
        dependencies: chart.dependencies,
        values: chart.values.json(),
    })
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
    fn enable(&mut self, config: &Table, path: &str) -> Result<(), TypeMismatch> {
        if self.dependencies.is_empty() {
            return Ok(());
        }
        self.apply_aliases();
        let values = config.deep_copy();
        coalesce(self, &values, Mode::Coalesce)?;
        apply_tags(&mut self.dependencies, &values);
        apply_conditions(&mut self.dependencies, &values, path);
        let disabled = |name: &str, dependencies: &[Dependency]| {
            dependencies
                .iter()
                .any(|dependency| !dependency.enabled && dependency.name == name)
        };
        self.subcharts
            .retain(|subchart| !disabled(&subchart.name, &self.dependencies));
        self.dependencies.retain(|dependency| dependency.enabled);
        for subchart in &mut self.subcharts {
            let path = format!("{path}{}.", subchart.name);
            subchart.enable(&values, &path)?;
        }
        Ok(())
    }

    /// Gives every declared dependency its own copy of the chart, under its alias.
    fn apply_aliases(&mut self) {
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
                charts.push(Node {
                    name,
                    ..chart.clone()
                });
            }
            dependency.name = dependency.alias_or_name().to_owned();
            dependency.enabled = true;
        }
        self.subcharts = charts;
    }

    /// `processDependencyImportValues`: subcharts first, then the chart itself.
    fn import(&mut self) -> Result<(), TypeMismatch> {
        for subchart in &mut self.subcharts {
            subchart.import()?;
        }
        if self.dependencies.is_empty() {
            return Ok(());
        }
        let values = Table::default();
        coalesce(self, &values, Mode::Merge)?;
        let imported = Table::default();
        for dependency in &self.dependencies {
            for import in &dependency.import_values {
                let path = format!("{}.{}", dependency.name, import.child);
                if let Some(table) = values.table_at(&path) {
                    coalesce_tables(&imported, &below(&import.parent, table), Mode::Merge);
                }
            }
        }
        let values = values.deep_copy();
        coalesce_tables(&values, &imported, Mode::Merge);
        self.values = values;
        Ok(())
    }
}

/// `pathToMap`: puts a table below a path.
fn below(path: &str, table: Table) -> Table {
    if path == "." {
        return table;
    }
    path.rsplit('.').fold(table, |inner, key| {
        let outer = Table::default();
        outer.insert(key, Cell::Table(inner));
        outer
    })
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
fn apply_conditions(dependencies: &mut [Dependency], values: &Table, path: &str) {
    for dependency in dependencies {
        let mut paths = dependency
            .condition
            .trim()
            .split(',')
            .filter(|path| !path.is_empty());
        let decision = paths.find_map(|condition| {
            values
                .value_at(&format!("{path}{condition}"))
                .and_then(|value| value.as_bool())
        });
        if let Some(enabled) = decision {
            dependency.enabled = enabled;
        }
    }
}
