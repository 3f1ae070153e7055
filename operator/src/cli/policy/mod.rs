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
#[expect(
    missing_docs,
    reason = "--help would show that in place of what the types say"
)]
pub enum PolicyCommand {
    Init(Init),
    Preview(Preview),
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
