//! User stories on a real control plane with real Helm: each ends in the exact word that a user
//! reads. One plane and one operator serve all; each story has a namespace, a repository and keys
//! of its own.

mod alerts;
mod commands;
mod elsewhere;
mod flux;
mod gate;
mod inventory;
mod keys;
mod kstatus;
mod main_job;
mod objects;
mod origins;
mod policies;
mod refresh;
mod setup;
mod sources;
mod steady;
mod tenant;
mod tokens;
mod unaccounted;
