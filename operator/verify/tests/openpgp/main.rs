//! The `OpenPGP` room against real tools' output and against forged input.

mod bindings;
mod cells;
mod cleartext;
mod forge;
mod gnupg;
mod hidden;
mod limits;
mod properties;
mod signatures;
mod summaries;
