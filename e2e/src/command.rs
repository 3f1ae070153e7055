//! Runs a program to its end and turns a failure into one sentence.
//!
//! May start processes; each has ended when the call returns.

use std::io::ErrorKind;
use std::process::{Command, ExitStatus, Output, Stdio};

/// Runs `command` and returns what it wrote to its standard output.
pub(crate) fn run(command: &mut Command) -> Result<Vec<u8>, CommandError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_started(command, error))?;
    succeeded(command, output)
}

/// Runs `command` with `input` on its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Result<Vec<u8>, CommandError> {
    use std::io::Write;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| not_started(command, error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read everything reports why by its exit status.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| not_started(command, error))?;
    succeeded(command, output)
}

/// Runs `command` without blocking the runtime; dropping the future ends the program.
pub(crate) async fn run_async(command: Command) -> Result<Vec<u8>, CommandError> {
    ended(command).await.map(|output| output.stdout)
}

/// The same, and returns what it wrote to its standard error.
pub(crate) async fn told_async(command: Command) -> Result<Vec<u8>, CommandError> {
    ended(command).await.map(|output| output.stderr)
}

async fn ended(mut command: Command) -> Result<Output, CommandError> {
    command.stdin(Stdio::null());
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let output = command.output().await;
    let output = output.map_err(|error| not_started(command.as_std(), error))?;
    checked(command.as_std(), output)
}

/// Why a program did not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program ran and reported a failure.
    #[error("`{command}` ended with {status}: {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to its standard error.
        stderr: String,
    },
    /// A program that the test bed needs is not on this machine.
    #[error("{program} is not installed: {advice}")]
    Missing {
        /// Its name.
        program: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The program exists but could not be started.
    #[error("failed to start {program}")]
    NotStarted {
        /// Its name.
        program: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

pub(crate) fn not_started(command: &Command, source: std::io::Error) -> CommandError {
    let program = command.get_program().to_string_lossy().into_owned();
    if source.kind() == ErrorKind::NotFound {
        let advice = advice(&program);
        return CommandError::Missing { program, advice };
    }
    CommandError::NotStarted { program, source }
}

fn succeeded(command: &Command, output: Output) -> Result<Vec<u8>, CommandError> {
    checked(command, output).map(|output| output.stdout)
}

fn checked(command: &Command, output: Output) -> Result<Output, CommandError> {
    if output.status.success() {
        return Ok(output);
    }
    Err(CommandError::Failed {
        command: line(command),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn advice(program: &str) -> &'static str {
    match program {
        "go" => "install Go 1.26 or newer and put it on PATH",
        "gpg" | "gpgconf" => "install GnuPG 2.2 or newer (Debian: apt-get install gnupg)",
        "git" => "install git (Debian: apt-get install git)",
        _ => "build or install it and put it on PATH",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_program_is_named_with_what_to_do() {
        let error = run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no-such-program is not installed: ")
        );
        assert!(advice("go").contains("Go 1.26"));
    }

    #[test]
    fn failure_carries_the_command_line_and_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken >&2; exit 3"]);
        let error = run(&mut command).unwrap_err().to_string();
        assert!(error.contains("exit status: 3: broken"), "{error}");
    }
}
