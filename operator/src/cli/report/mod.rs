//! `charttrust report`: how things stand, as one document for people, or for programs. Reads only.

mod csv;
mod gathered;
mod history;
mod html;
mod model;
mod not_checked;
mod release;
mod signers;
mod statements;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};

use self::gathered::{Gathered, Question};
use self::model::Report as Told;
pub use self::statements::{Key, Vsa};
use super::cluster::{Connection, Failure};
use super::leading::Operator;
use super::screen::{Format, plain, put, tell};
use super::{TRUSTED, UNKNOWN, instant, patience};
use crate::clock;

/// Tells how things stand, as one document for people or for programs.
#[derive(Args, Clone, Debug)]
pub struct Report {
    /// In which form.
    #[command(subcommand)]
    pub form: Form,
}

/// The forms of a report.
#[derive(Clone, Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "--help would show that in place of what the types say"
)]
pub enum Form {
    /// Prints a row for each release, for spreadsheets.
    #[command(after_help = CODES)]
    Csv(Asked),
    /// Prints one page that needs nothing else: no network, no script.
    #[command(after_help = CODES)]
    Html(Asked),
    /// Prints everything that the page tells, for programs.
    #[command(after_help = CODES)]
    Json(Asked),
    Key(Key),
    Vsa(Vsa),
}

const CODES: &str = "Exit code 0: it is complete, whatever it tells; 2: the arguments cannot be used, or the file cannot be \
                     written; 3: it lacks something that could not be read, or nobody keeps the verdicts up to date.";

/// What a report is to be about.
#[derive(Args, Clone, Debug)]
pub struct Asked {
    /// Where the report is written; default: standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// From when on changes are told: a time before now (7d, 12h), a day, or an instant.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = since)]
    pub since: Since,
    /// Releases of this namespace only.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// What stands above it, such as the name of the cluster.
    #[arg(long)]
    pub title: Option<String>,
    /// Where the cluster is.
    #[command(flatten)]
    pub connection: Connection,
    /// Where the operator is.
    #[command(flatten)]
    pub operator: Operator,
}

/// A point in time, by itself or before now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Since {
    /// So long before now.
    Before(SignedDuration),
    /// Then.
    At(Timestamp),
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the cluster cannot be asked, or the report cannot be written.
pub(super) async fn run(arguments: &Report) -> Result<u8, Failure> {
    let (asked, write): (_, Writer) = match &arguments.form {
        Form::Csv(asked) => (asked, |report| Ok(csv::written(report))),
        Form::Html(asked) => (asked, |report| Ok(html::written(report))),
        Form::Json(asked) => (asked, |report| Format::Json.write(report)),
        Form::Key(asked) => return statements::key(asked).await,
        Form::Vsa(asked) => return statements::vsa(asked).await,
    };
    let client = asked.connection.client().await?;
    let now = clock::now();
    let question = Question {
        title: asked.title.clone(),
        namespace: asked.namespace.clone(),
        since: asked.since.from(now),
        now,
    };
    let gathered = Gathered::read(&client, &asked.operator, question).await?;
    let text = write(&Told::of(&gathered))?;
    match &asked.output {
        Some(path) => kept(path, &text)?,
        None => put(text.as_bytes())?,
    }
    Ok(code(&gathered))
}

type Writer = fn(&Told) -> std::io::Result<String>;

/// Writes it into a file that only its owner may read: it names what is weak.
fn kept(path: &Path, text: &str) -> Result<(), Failure> {
    let written = write_private(path, text);
    written.map_err(|error| {
        let path = path.display();
        Failure::Asked(format!("failed to write {path}: {error}"))
    })?;
    tell(&format!(
        "{} is written\n",
        plain(&path.display().to_string())
    ));
    Ok(())
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE);
    let mut file = options.open(path)?;
    // Of one that was there already others may have had more.
    #[cfg(unix)]
    if file.metadata()?.is_file() {
        let private: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(PRIVATE);
        file.set_permissions(private)?;
    }
    file.write_all(text.as_bytes())
}

/// Read and write for the owner.
#[cfg(unix)]
const PRIVATE: u32 = 0o600;

/// Says what the report lacks, and gives the exit code.
fn code(gathered: &Gathered) -> u8 {
    for read in &gathered.reads {
        if let Some(why) = &read.refused {
            tell(&format!("the report lacks {}: {}\n", read.what, plain(why)));
        }
    }
    let code = gathered.doubts.told(TRUSTED);
    if gathered.is_partial() { UNKNOWN } else { code }
}

impl Since {
    fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(then) => then,
            Self::Before(time) => now.checked_sub(time).unwrap_or(Timestamp::MIN),
        }
    }
}

/// A time before now in days, or in Go's notation; or an instant.
fn since(text: &str) -> Result<Since, String> {
    let days = text
        .strip_suffix('d')
        .and_then(|days| days.parse::<u32>().ok());
    if let Some(days) = days.filter(|days| *days <= MOST_DAYS) {
        return Ok(Since::Before(SignedDuration::from_hours(
            24 * i64::from(days),
        )));
    }
    if let Some(time) = patience(text).ok().and_then(|time| time.try_into().ok()) {
        return Ok(Since::Before(time));
    }
    let then = instant(text).map(Since::At);
    then.map_err(|_| "write it as 7d, 12h, 2026-11-18 or 2026-11-18T00:00Z".to_owned())
}

/// A hundred years.
const MOST_DAYS: u32 = 36_525;
