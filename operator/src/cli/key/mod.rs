//! `charttrust key`: keys as people hand them on. Writes nothing.

mod export;
mod import;
mod rest;
mod rotate;
mod show;

use clap::{Args, Subcommand};

pub use self::export::Export;
pub use self::import::Import;
pub(super) use self::import::fingerprint;
pub use self::rest::Status;
pub(super) use self::rest::{Known, Signed, Who, shown};
pub use self::rotate::Rotate;
pub use self::show::Show;
use super::ask;

/// Keys: what a file holds, a TrustedKey of it, who must sign anew, who takes over, a keyring for `helm verify`.
#[derive(Args, Clone, Debug)]
pub struct Key {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// What can be done with keys.
#[derive(Clone, Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "--help would show that in place of what the types say"
)]
pub enum KeyCommand {
    Export(Export),
    Import(Import),
    Rotate(Rotate),
    Show(Show),
    Status(Status),
}

/// Runs the command and gives its exit code.
pub(super) fn main(arguments: &Key) -> u8 {
    match &arguments.command {
        KeyCommand::Export(arguments) => ask(export::run(arguments)),
        KeyCommand::Import(arguments) => ask(import::run(arguments)),
        KeyCommand::Rotate(arguments) => ask(rotate::run(arguments)),
        KeyCommand::Show(arguments) => ask(show::run(arguments)),
        KeyCommand::Status(arguments) => ask(rest::run(arguments)),
    }
}
