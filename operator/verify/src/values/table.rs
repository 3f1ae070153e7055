//! Coalescing and merging of tables: `pkg/chart/common/util/coalesce.go`.
//!
//! Helm's tables are Go maps that share their inner maps, and Helm relies on it without knowing:
//! globals that a subchart adds deep within a table show up in its parent. Tables here are shared
//! in the same places, so that the result is the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value as Json;

/// A value; tables are shared, not copied, when cloned.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Table(Table),
    /// Anything but an object.
    Other(Json),
}

/// A table as Go knows it: clones are the same table.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(Rc<RefCell<BTreeMap<String, Cell>>>);

/// How nulls are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// `CoalesceValues`: a null removes a default.
    Coalesce,
    /// `MergeValues`: nulls are kept.
    Merge,
}

/// What coalescing needs of a chart.
pub(super) trait Coalesced: Sized {
    fn name(&self) -> &str;
    fn values(&self) -> &Table;
    fn subcharts(&self) -> &[Self];
}

/// Helm gives up: a subchart's values are not a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypeMismatch;

impl Cell {
    pub(super) fn new(value: &Json) -> Self {
        match value {
            Json::Object(_) => Self::Table(Table::new(value)),
            other => Self::Other(other.clone()),
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Other(Json::Null))
    }

    fn table(&self) -> Option<&Table> {
        match self {
            Self::Table(table) => Some(table),
            Self::Other(_) => None,
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Table(table) => table.json(),
            Self::Other(other) => other.clone(),
        }
    }
}

impl Table {
    /// Makes a table out of a JSON object; anything else is empty.
    pub(super) fn new(value: &Json) -> Self {
        let pairs = value.as_object().into_iter().flatten();
        let cells = pairs.map(|(key, value)| (key.clone(), Cell::new(value)));
        Self(Rc::new(RefCell::new(cells.collect())))
    }

    pub(super) fn json(&self) -> Json {
        let cells = self.0.borrow();
        Json::Object(
            cells
                .iter()
                .map(|(key, cell)| (key.clone(), cell.json()))
                .collect(),
        )
    }

    /// Copies the table with everything in it.
    pub(super) fn deep_copy(&self) -> Self {
        Self::new(&self.json())
    }

    /// Copies the table, but shares the tables in it.
    fn shallow_copy(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    pub(super) fn get(&self, key: &str) -> Option<Cell> {
        self.0.borrow().get(key).cloned()
    }

    pub(super) fn insert(&self, key: &str, cell: Cell) {
        self.0.borrow_mut().insert(key.to_owned(), cell);
    }

    fn remove(&self, key: &str) {
        self.0.borrow_mut().remove(key);
    }

    /// The pairs as they are now; the table may change meanwhile.
    fn pairs(&self) -> Vec<(String, Cell)> {
        self.0
            .borrow()
            .iter()
            .map(|(key, cell)| (key.clone(), cell.clone()))
            .collect()
    }

    /// `Values.Table`: follows a path of tables.
    pub(super) fn table_at(&self, path: &str) -> Option<Table> {
        path.split('.')
            .try_fold(self.clone(), |table, key| table.get(key)?.table().cloned())
    }

    /// `Values.PathValue`: follows a path to something that is no table.
    pub(super) fn value_at(&self, path: &str) -> Option<Json> {
        let (table, key) = match path.rsplit_once('.') {
            Some((tables, key)) => (self.table_at(tables)?, key),
            None => (self.clone(), path),
        };
        match table.get(key)? {
            Cell::Other(value) => Some(value),
            Cell::Table(_) => None,
        }
    }
}

/// `coalesce`: fills `dest` with the defaults of the chart and, below their names, of its
/// subcharts. `dest` has precedence.
pub(super) fn coalesce<C: Coalesced>(
    chart: &C,
    dest: &Table,
    mode: Mode,
) -> Result<(), TypeMismatch> {
    coalesce_values(chart, dest, mode);
    for subchart in chart.subcharts() {
        let table = match dest.get(subchart.name()) {
            None => Table::default(),
            Some(Cell::Table(table)) => table,
            Some(Cell::Other(_)) => return Err(TypeMismatch),
        };
        dest.insert(subchart.name(), Cell::Table(table.clone()));
        coalesce_globals(&table, dest);
        coalesce(subchart, &table, mode)?;
    }
    Ok(())
}

fn coalesce_values<C: Coalesced>(chart: &C, dest: &Table, mode: Mode) {
    for (key, default) in chart.values().deep_copy().pairs() {
        match dest.get(&key) {
            Some(value) if value.is_null() && mode == Mode::Coalesce => dest.remove(&key),
            Some(Cell::Table(table)) => {
                let Some(default) = default.table() else {
                    continue;
                };
                let child = chart
                    .subcharts()
                    .iter()
                    .any(|subchart| subchart.name() == key);
                let mode = if child { Mode::Merge } else { mode };
                if mode == Mode::Coalesce {
                    clean_nulls(default);
                }
                coalesce_tables(&table, default, mode);
            }
            Some(Cell::Other(_)) => {}
            None if mode == Mode::Coalesce && default.is_null() => {}
            None => {
                if let (Some(table), Mode::Coalesce) = (default.table(), mode) {
                    clean_nulls(table);
                }
                dest.insert(&key, default);
            }
        }
    }
}

/// `coalesceGlobals`: pushes the globals of `parent` down into `child`.
fn coalesce_globals(child: &Table, parent: &Table) {
    let (Some(down), Some(from)) = (global(child), global(parent)) else {
        return;
    };
    for (key, value) in from.pairs() {
        match (value, down.get(&key)) {
            (Cell::Table(table), None) => down.insert(&key, Cell::Table(table.shallow_copy())),
            (Cell::Table(table), Some(Cell::Table(old))) => {
                let copy = table.shallow_copy();
                coalesce_tables(&copy, &old, Mode::Merge);
                down.insert(&key, Cell::Table(copy));
            }
            (Cell::Table(_), Some(Cell::Other(_))) | (Cell::Other(_), Some(Cell::Table(_))) => {}
            (value @ Cell::Other(_), _) => down.insert(&key, value),
        }
    }
    child.insert(GLOBAL, Cell::Table(down));
}

/// Returns the table of globals, a new one if there is none, or `None` if it is no table.
fn global(table: &Table) -> Option<Table> {
    match table.get(GLOBAL) {
        None => Some(Table::default()),
        Some(cell) => cell.table().cloned(),
    }
}

/// `coalesceTablesFullKey`: adds what only `source` has to `dest`.
pub(super) fn coalesce_tables(dest: &Table, source: &Table, mode: Mode) {
    let original = source.pairs();
    let had = |key: &str| {
        original
            .iter()
            .any(|(name, cell)| name == key && !cell.is_null())
    };
    for (key, cell) in dest.pairs() {
        if cell.is_null() {
            let removed = mode == Mode::Coalesce && had(&key);
            source.insert(&key, Cell::Other(Json::Null));
            if removed {
                dest.remove(&key);
            }
        }
    }
    for (key, cell) in original {
        match (dest.get(&key), &cell) {
            (None, _) if mode == Mode::Coalesce && is_removed(source, &key, &cell) => {}
            (None, _) => dest.insert(&key, cell),
            (Some(Cell::Table(dest)), Cell::Table(source)) => coalesce_tables(&dest, source, mode),
            _ => {}
        }
    }
}

/// Says whether a null in the destination has just removed this default.
fn is_removed(source: &Table, key: &str, original: &Cell) -> bool {
    !original.is_null() && source.get(key).is_some_and(|cell| cell.is_null())
}

/// `cleanNilValues`.
fn clean_nulls(table: &Table) {
    for (key, cell) in table.pairs() {
        match cell {
            Cell::Other(Json::Null) => table.remove(&key),
            Cell::Table(inner) => clean_nulls(&inner),
            Cell::Other(_) => {}
        }
    }
}

const GLOBAL: &str = "global";
