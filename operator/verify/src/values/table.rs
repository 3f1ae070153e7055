//! Coalescing and merging of tables: `pkg/chart/common/util/coalesce.go`.
//!
//! Helm's tables are Go maps that share their inner maps, and Helm relies on it without knowing:
//! globals that a subchart adds deep within a table show up in its parent. Tables here are shared
//! in the same places, so that the result is the same.

use std::cell::{Cell as Counter, RefCell};
use std::collections::{BTreeMap, BTreeSet};
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
    /// `CoalesceValues` of Helm 4: a null removes a default, and a default that is null is none.
    Coalesce,
    /// `CoalesceValues` of Helm 3: a null removes a default, and a default that is null stays.
    CoalesceKeeping,
    /// `MergeValues`: nulls are kept.
    Merge,
}

/// What coalescing needs of a chart.
pub(super) trait Coalesced: Sized {
    fn name(&self) -> &str;
    fn values(&self) -> &Table;
    fn subcharts(&self) -> &[Self];
}

/// Why there are no values to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmergeable {
    /// They are too deep or too many, or contain themselves; Helm runs out of memory, too.
    TooLarge,
    /// Helm gives up: a subchart's values are not a table.
    TypeMismatch,
}

/// What is left to spend on the values of one chart. Tables are shared, so that a short chart can
/// ask for more of them than any memory holds, or put one into itself.
#[derive(Debug)]
pub(super) struct Work {
    steps: Counter<usize>,
    depth: Counter<usize>,
}

impl Work {
    pub(super) fn new() -> Self {
        Self {
            steps: Counter::new(MOST_STEPS),
            depth: Counter::new(MOST_DEPTH),
        }
    }

    /// Counts steps, each about one value that is looked at or made.
    pub(super) fn spend(&self, steps: usize) -> Result<(), Unmergeable> {
        let left = self.steps.get().checked_sub(steps);
        self.steps.set(left.unwrap_or_default());
        left.map(drop).ok_or(Unmergeable::TooLarge)
    }

    /// How many steps have been counted.
    #[cfg(test)]
    pub(super) fn spent(&self) -> usize {
        MOST_STEPS.saturating_sub(self.steps.get())
    }

    /// Counts what handling a path or name takes.
    pub(super) fn read(&self, text: &str) -> Result<(), Unmergeable> {
        self.spend(text.len().wrapping_div(TEXT_PER_STEP).saturating_add(1))
    }

    /// Goes one level down, until the answer is dropped.
    fn descend(&self) -> Result<Level<'_>, Unmergeable> {
        let left = self.depth.get().checked_sub(1);
        self.depth.set(left.ok_or(Unmergeable::TooLarge)?);
        Ok(Level(self))
    }
}

/// One level of tables.
struct Level<'a>(&'a Work);

impl Drop for Level<'_> {
    fn drop(&mut self) {
        self.0.depth.set(self.0.depth.get().saturating_add(1));
    }
}

/// Most steps for one chart: the largest public umbrella charts take some 100,000.
const MOST_STEPS: usize = 2_000_000;
/// Deepest tables: a record has at most 128 levels, an import adds at most [`MOST_SEGMENTS`].
const MOST_DEPTH: usize = 256;
/// Longest path of an import: as deep as YAML may be.
pub(super) const MOST_SEGMENTS: usize = 64;
/// Bytes of text that take as long as one step.
const TEXT_PER_STEP: usize = 16;

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

    fn json(&self, work: &Work) -> Result<Json, Unmergeable> {
        match self {
            Self::Table(table) => table.json(work),
            Self::Other(other) => Ok(other.clone()),
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

    pub(super) fn json(&self, work: &Work) -> Result<Json, Unmergeable> {
        let _level = work.descend()?;
        let cells = self.0.borrow();
        work.spend(cells.len().saturating_add(1))?;
        let pairs = cells
            .iter()
            .map(|(key, cell)| Ok((key.clone(), cell.json(work)?)));
        Ok(Json::Object(pairs.collect::<Result<_, _>>()?))
    }

    /// Copies the table with everything in it.
    pub(super) fn deep_copy(&self, work: &Work) -> Result<Self, Unmergeable> {
        Ok(Self::new(&self.json(work)?))
    }

    /// Copies the table, but shares the tables in it.
    fn shallow_copy(&self, work: &Work) -> Result<Self, Unmergeable> {
        work.spend(self.0.borrow().len().saturating_add(1))?;
        Ok(Self(Rc::new(RefCell::new(self.0.borrow().clone()))))
    }

    /// Empties the table and all in it: one that contains itself is never freed otherwise.
    pub(super) fn dismantle(&self) {
        let mut open = vec![self.clone()];
        while let Some(table) = open.pop() {
            let cells = std::mem::take(&mut *table.0.borrow_mut());
            open.extend(cells.into_values().filter_map(|cell| match cell {
                Cell::Table(table) => Some(table),
                Cell::Other(_) => None,
            }));
        }
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
    fn pairs(&self, work: &Work) -> Result<Vec<(String, Cell)>, Unmergeable> {
        let cells = self.0.borrow();
        work.spend(cells.len().saturating_add(1))?;
        let pairs = cells.iter().map(|(key, cell)| (key.clone(), cell.clone()));
        Ok(pairs.collect())
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
    work: &Work,
) -> Result<(), Unmergeable> {
    coalesce_values(chart, dest, mode, work)?;
    for subchart in chart.subcharts() {
        let table = match dest.get(subchart.name()) {
            None => Table::default(),
            Some(Cell::Table(table)) => table,
            Some(Cell::Other(_)) => return Err(Unmergeable::TypeMismatch),
        };
        dest.insert(subchart.name(), Cell::Table(table.clone()));
        coalesce_globals(&table, dest, work)?;
        coalesce(subchart, &table, mode, work)?;
    }
    Ok(())
}

fn coalesce_values<C: Coalesced>(
    chart: &C,
    dest: &Table,
    mode: Mode,
    work: &Work,
) -> Result<(), Unmergeable> {
    for (key, default) in chart.values().deep_copy(work)?.pairs(work)? {
        match dest.get(&key) {
            Some(value) if value.is_null() && mode != Mode::Merge => dest.remove(&key),
            Some(Cell::Table(table)) => {
                let Some(default) = default.table() else {
                    continue;
                };
                work.spend(chart.subcharts().len())?;
                let child = chart
                    .subcharts()
                    .iter()
                    .any(|subchart| subchart.name() == key);
                let mode = if child { Mode::Merge } else { mode };
                if mode == Mode::Coalesce {
                    clean_nulls(default, work)?;
                }
                coalesce_tables(&table, default, mode, work)?;
            }
            Some(Cell::Other(_)) => {}
            None if mode == Mode::Coalesce && default.is_null() => {}
            None => {
                if let (Some(table), Mode::Coalesce) = (default.table(), mode) {
                    clean_nulls(table, work)?;
                }
                dest.insert(&key, default);
            }
        }
    }
    Ok(())
}

/// `coalesceGlobals`: pushes the globals of `parent` down into `child`.
fn coalesce_globals(child: &Table, parent: &Table, work: &Work) -> Result<(), Unmergeable> {
    let (Some(down), Some(from)) = (global(child), global(parent)) else {
        return Ok(());
    };
    for (key, value) in from.pairs(work)? {
        match (value, down.get(&key)) {
            (Cell::Table(table), None) => {
                down.insert(&key, Cell::Table(table.shallow_copy(work)?));
            }
            (Cell::Table(table), Some(Cell::Table(old))) => {
                let copy = table.shallow_copy(work)?;
                coalesce_tables(&copy, &old, Mode::Merge, work)?;
                down.insert(&key, Cell::Table(copy));
            }
            // Helm logs a warning and leaves both as they are.
            (Cell::Table(_), Some(Cell::Other(_))) | (Cell::Other(_), Some(Cell::Table(_))) => {}
            (value @ Cell::Other(_), _) => down.insert(&key, value),
        }
    }
    child.insert(GLOBAL, Cell::Table(down));
    Ok(())
}

/// Returns the table of globals, a new one if there is none, or `None` if it is no table.
fn global(table: &Table) -> Option<Table> {
    match table.get(GLOBAL) {
        None => Some(Table::default()),
        Some(cell) => cell.table().cloned(),
    }
}

/// `coalesceTablesFullKey`: adds what only `source` has to `dest`.
pub(super) fn coalesce_tables(
    dest: &Table,
    source: &Table,
    mode: Mode,
    work: &Work,
) -> Result<(), Unmergeable> {
    let _level = work.descend()?;
    let original = source.pairs(work)?;
    // Taken before anything is written: Helm marks removals in the source, which others share.
    let had: BTreeSet<&str> = original
        .iter()
        .filter(|(_, cell)| !cell.is_null())
        .map(|(key, _)| key.as_str())
        .collect();
    for (key, cell) in dest.pairs(work)? {
        if cell.is_null() {
            let removed = mode != Mode::Merge && had.contains(key.as_str());
            source.insert(&key, Cell::Other(Json::Null));
            if removed {
                dest.remove(&key);
            }
        }
    }
    for (key, cell) in &original {
        match (dest.get(key), cell) {
            (None, _) if mode != Mode::Merge && is_removed(source, key, cell) => {}
            (None, _) => dest.insert(key, cell.clone()),
            (Some(Cell::Table(dest)), Cell::Table(source)) => {
                coalesce_tables(&dest, source, mode, work)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Says whether a null in the destination has just removed this default.
fn is_removed(source: &Table, key: &str, original: &Cell) -> bool {
    !original.is_null() && source.get(key).is_some_and(|cell| cell.is_null())
}

/// `cleanNilValues`.
fn clean_nulls(table: &Table, work: &Work) -> Result<(), Unmergeable> {
    let _level = work.descend()?;
    for (key, cell) in table.pairs(work)? {
        match cell {
            Cell::Other(Json::Null) => table.remove(&key),
            Cell::Table(inner) => clean_nulls(&inner, work)?,
            Cell::Other(_) => {}
        }
    }
    Ok(())
}

const GLOBAL: &str = "global";
