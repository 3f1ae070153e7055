//! What becomes of every operation, by mode, by what is true of the chart, and by who does it. Each cell is done on
//! the real server; `docs/admission-table.md` shows what was seen, and a cell that differs fails.

mod cell;
mod deployers;
mod ground;
mod helm;
mod page;

pub(crate) use deployers::with_argo;
pub(crate) use helm::restart;
