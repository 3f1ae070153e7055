//! The `OpenPGP` room against real tools' output and against forged input.

mod forge;
mod gnupg;
