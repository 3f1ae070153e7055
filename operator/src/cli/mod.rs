//! The command line: one file a command.

pub mod crds;
pub mod quarantine;
pub mod restore;
pub mod run;
pub mod verify;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Continuous trust for Helm charts on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "charttrust", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the operator.
    Run(run::Run),
    /// Prints the definitions of the kinds.
    Crds,
    /// Contains releases by hand, after showing what that changes.
    Quarantine(quarantine::Contain),
    /// Ends quarantines and puts back what they hold; needs no operator.
    Restore(restore::Restore),
    /// Verifies a chart archive offline, by the same rules as the operator.
    Verify(verify::Verify),
}

/// Everything that was asked is trusted, or was done.
const TRUSTED: u8 = 0;
/// At least one chart is not trusted.
const UNTRUSTED: u8 = 1;
/// The arguments or the files named by them cannot be used.
const USAGE: u8 = 2;
/// It could not be found out.
const UNKNOWN: u8 = 3;
/// We failed.
const INTERNAL: u8 = 4;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let code = match Cli::parse().command {
        Command::Run(arguments) => operate(arguments),
        Command::Crds => print_definitions(),
        Command::Quarantine(arguments) => in_runtime(quarantine::main(&arguments)),
        Command::Restore(arguments) => in_runtime(restore::main(&arguments)),
        Command::Verify(arguments) => verify::main(&arguments),
    };
    ExitCode::from(code)
}

fn operate(arguments: run::Run) -> u8 {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, INTERNAL),
    };
    match runtime.block_on(run::run(arguments)) {
        Ok(()) => TRUSTED,
        Err(error @ run::RunError::NoCluster(_)) => complain(&error, USAGE),
        Err(error) => complain(&error, INTERNAL),
    }
}

/// Runs a command that talks to a cluster.
fn in_runtime(command: impl Future<Output = u8>) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => complain(&error, INTERNAL),
    }
}

fn print_definitions() -> u8 {
    print!("{}", crds::yaml());
    TRUSTED
}

/// Prints an error with everything that led to it, and passes on the exit code.
fn complain(error: &dyn Error, code: u8) -> u8 {
    eprint!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        eprint!(": {inner}");
        cause = inner.source();
    }
    eprintln!();
    code
}
