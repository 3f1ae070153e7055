//! The binary `charttrust`.

use std::process::ExitCode;

fn main() -> ExitCode {
    charttrust::cli::main()
}
