//! The `OpenPGP` room against real tools' output and against forged input.

mod bindings;
mod cells;
mod forge;
mod gnupg;
mod hidden;
mod signatures;
