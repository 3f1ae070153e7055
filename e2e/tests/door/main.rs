//! The webhook on a real API server, with real Helm: what is let in, what is refused and in which words, and what
//! becomes of releases meanwhile. Each story has a namespace, a repository and keys of its own.

mod applications;
mod attacks;
mod certificates;
mod dashboard;
mod down;
mod enforce;
mod freeze;
mod hostile;
mod known;
mod ready;
mod replicas;
mod setup;
mod table;
mod warn;
