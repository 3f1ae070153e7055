//! The command line: one file a command.

mod asking;
pub mod before_uninstall;
mod bundled;
mod cluster;
pub mod completion;
mod coverage;
pub mod crds;
mod deleting;
pub mod doctor;
pub mod explain;
mod forecast;
mod gate;
pub mod key;
pub mod leading;
mod looked;
mod manifest;
mod missing;
pub mod pages;
pub mod pin;
pub mod policy;
mod progress;
pub mod quarantine;
pub mod report;
pub mod restore;
pub mod revoke;
pub mod run;
mod screen;
pub mod sign;
mod signers;
mod sigstore;
mod site;
pub mod status;
mod unaccounted;
pub mod verify;
pub mod webhook;
pub mod why;
mod words;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::parse;

/// Continuous trust for Helm charts on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "charttrust", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// What --help says of a command is the documentation of its own type, exit codes and all: one line here would take
// the place of it.
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Completion(completion::Completion),
    /// Prints the definitions of the kinds.
    Crds,
    Doctor(doctor::Doctor),
    Explain(explain::Explain),
    #[command(hide = true)]
    BeforeUninstall(before_uninstall::BeforeUninstall),
    Quarantine(quarantine::Contain),
    Key(key::Key),
    Pin(pin::Pin),
    Policy(policy::Policy),
    Report(report::Report),
    Restore(restore::Restore),
    Sign(sign::Sign),
    Verify(verify::Verify),
    /// Prints the version of this program.
    Version,
    Revoke(revoke::Revoke),
    Status(status::Status),
    Webhook(webhook::Webhook),
    Why(why::Why),
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
/// What programs rely on in JSON of our own; another number tells that it has changed.
const SCHEMA_VERSION: u32 = 1;

/// Every command with its arguments, as the program takes them.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let command = definition().bin_name(program());
    let parsed = Cli::from_arg_matches(&command.get_matches());
    let code = match parsed.unwrap_or_else(|error| error.exit()).command {
        Command::Run(arguments) => outcome(run::run(arguments)),
        Command::Completion(arguments) => completion::main(&arguments, definition()),
        Command::Crds => print_definitions(),
        Command::Doctor(arguments) => ask(doctor::run(&arguments)),
        Command::Explain(arguments) => explain::main(&arguments),
        Command::BeforeUninstall(arguments) => {
            finish(before_uninstall::main(arguments), |code| code)
        }
        Command::Quarantine(arguments) => ask(quarantine::run(&arguments)),
        Command::Key(arguments) => key::main(&arguments),
        Command::Pin(arguments) => ask(pin::run(&arguments)),
        Command::Policy(arguments) => policy::main(&arguments),
        Command::Report(arguments) => ask(report::run(&arguments)),
        Command::Restore(arguments) => ask(restore::run(&arguments)),
        Command::Sign(arguments) => sign::main(&arguments),
        Command::Verify(arguments) => verify::main(&arguments),
        Command::Version => print_version(),
        Command::Revoke(arguments) => ask(revoke::run(&arguments)),
        Command::Status(arguments) => ask(status::run(&arguments)),
        Command::Webhook(arguments) => outcome(webhook::run(arguments)),
        Command::Why(arguments) => ask(why::run(&arguments)),
    };
    ExitCode::from(code)
}

/// What people type to start us: kubectl starts its plugins by their file name.
fn program() -> &'static str {
    program_of(std::env::args_os().next().unwrap_or_default().as_ref())
}

fn program_of(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with("kubectl-") {
        "kubectl charttrust"
    } else {
        "charttrust"
    }
}

/// An instant as people write it. A day alone is its first instant in UTC.
fn instant(text: &str) -> Result<Timestamp, String> {
    let first = |day: Date| day.to_zoned(TimeZone::UTC).map(|start| start.timestamp());
    // Not by `parse`, which would pass over a time without an offset.
    let day = || Date::strptime("%Y-%m-%d", text).and_then(first);
    text.parse()
        .or_else(|_| day())
        .map_err(|_| "write it as 2026-11-18T00:00Z, or as the day 2026-11-18 (in UTC)".to_owned())
}

/// Where charts are published, as policies name it.
fn source(text: &str) -> Result<String, String> {
    let checked = parse::repository(text).map_err(|error| error.to_string());
    checked.map(|()| text.to_owned())
}

/// How long to wait, in Go's notation, as everywhere in our kinds.
fn patience(text: &str) -> Result<Duration, String> {
    parse::duration(text).map_err(|_| "write it as 30s, 5m or 1h30m".to_owned())
}

/// Runs what runs until it is told to stop.
fn outcome(running: impl Future<Output = Result<(), run::RunError>>) -> u8 {
    finish(running, |result| match result {
        Ok(()) => TRUSTED,
        Err(error @ run::RunError::NoCluster(_)) => complain(&error, USAGE),
        Err(error) => complain(&error, INTERNAL),
    })
}

/// Runs a command that asks the cluster.
fn ask(command: impl Future<Output = Result<u8, cluster::Failure>>) -> u8 {
    finish(command, |result| {
        result.unwrap_or_else(|failure| complain(&failure, failure.code()))
    })
}

/// Runs a command to its end, and gives its exit code.
fn finish<T>(command: impl Future<Output = T>, code: impl FnOnce(T) -> u8) -> u8 {
    match runtime() {
        Ok(runtime) => code(runtime.block_on(command)),
        Err(error) => complain(&error, INTERNAL),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

fn print_version() -> u8 {
    print(concat!("charttrust ", env!("CARGO_PKG_VERSION"), "\n"))
}

fn print_definitions() -> u8 {
    print(&crds::yaml())
}

/// Prints what needs no cluster.
fn print(text: &str) -> u8 {
    match screen::say(text) {
        Err(error) => complain(&error, INTERNAL),
        Ok(()) => TRUSTED,
    }
}

/// Prints an error with everything that led to it, and passes on the exit code. What it quotes may
/// be foreign.
fn complain(error: &(dyn Error + 'static), code: u8) -> u8 {
    screen::tell(&format!(
        "error: {}\n",
        screen::plain(&cluster::chain(error))
    ));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_shows_what_people_type() {
        for (path, shown) in [
            ("charttrust", "charttrust"),
            ("/usr/local/bin/charttrust", "charttrust"),
            ("/home/a/.krew/bin/kubectl-charttrust", "kubectl charttrust"),
            ("", "charttrust"),
        ] {
            assert_eq!(program_of(Path::new(path)), shown, "{path}");
        }
        let usage = Cli::command().bin_name("kubectl charttrust").render_usage();
        assert!(usage.to_string().contains("kubectl charttrust"), "{usage}");
    }

    #[test]
    fn a_day_begins_in_utc() {
        for (text, meant) in [
            ("2026-11-18", "2026-11-18T00:00:00Z"),
            ("2026-11-18T07:30Z", "2026-11-18T07:30:00Z"),
            ("2026-11-18T07:30+02:00", "2026-11-18T05:30:00Z"),
        ] {
            assert_eq!(instant(text).unwrap().to_string(), meant);
        }
        for text in [
            "",
            "18.11.2026",
            "2026-11-18T07:30",
            "yesterday",
            "2026-13-01",
        ] {
            assert!(
                instant(text).unwrap_err().contains("or as the day"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_arguments_of_all_commands_are_consistent() {
        Cli::command().debug_assert();
    }
}
