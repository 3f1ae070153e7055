//! `charttrust completion`: a script for the shell. Touches nothing.

use clap::{Args, Command};
use clap_complete::Shell;

use super::print;

/// Prints a script that completes commands and flags in your shell.
///
/// For bash, for example: `source <(charttrust completion bash)`.
#[derive(Args, Clone, Debug)]
pub struct Completion {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script, and gives the exit code.
pub(super) fn main(arguments: &Completion, mut command: Command) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "charttrust", &mut script);
    print(&String::from_utf8_lossy(&script))
}
