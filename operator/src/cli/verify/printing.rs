//! Prints what `charttrust verify` has found, in the form that was asked for.

use serde::Serialize;

use super::report::{Report, text};
use super::{Output, junit};
use crate::cli::screen::{Format, say};

/// Prints a report.
pub(super) fn print(output: Output, report: &Report) -> std::io::Result<()> {
    say(&written(output, report, std::slice::from_ref(report))?)
}

/// Prints the reports of several archives: for programs as one list.
pub(super) fn print_all(output: Output, reports: &[Report]) -> std::io::Result<()> {
    say(&written(output, &reports, reports)?)
}

/// Names and messages are foreign: an archive can be called anything.
fn written(output: Output, whole: &impl Serialize, reports: &[Report]) -> std::io::Result<String> {
    match output {
        Output::Json => Format::Json.write(whole),
        Output::Junit => Ok(junit::written(reports)),
        Output::Yaml => Format::Yaml.write(whole),
        Output::Text => Ok(reports.iter().map(text).collect()),
    }
}
