//! `charttrust policy`: what policies say, before they are applied. Writes nothing.

mod at_door;
mod decision;
mod deployed;
mod draft;
mod init;
mod past;
mod preview;
mod tested;

use clap::{Args, Subcommand};

pub use self::init::Init;
pub use self::preview::Preview;
pub use self::tested::Test;
use super::ask;

/// Tells what a policy says, before it is applied.
#[derive(Args, Clone, Debug)]
pub struct Policy {
    /// What to tell.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// What can be told of a policy.
#[derive(Clone, Debug, Subcommand)]
pub enum PolicyCommand {
    /// Drafts a policy from what runs.
    Init(Init),
    /// Tells what a policy would change: verdicts of releases that run, and quarantines.
    Preview(Preview),
    /// Tells which rule of a policy decides for chart archives, and what it asks of them.
    Test(Test),
}

/// Runs the command and gives its exit code.
pub(super) fn main(arguments: &Policy) -> u8 {
    match &arguments.command {
        PolicyCommand::Init(arguments) => ask(init::run(arguments)),
        PolicyCommand::Preview(arguments) => ask(preview::run(arguments)),
        PolicyCommand::Test(arguments) => tested::main(arguments),
    }
}
