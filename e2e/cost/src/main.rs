//! `make cost`: what a few pieces of work cost in instructions and allocations, beside what is stored.
//!
//! The work is that of tests of the operator (`operator/src/cost.rs`), in the program that `cargo test` has built, run
//! by callgrind. The first argument may be `--write`: what was counted is stored then.

mod callgrind;
mod figures;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use figures::{Cost, Costs, Figures, Way, more_than};
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What is counted, and the test that does it.
const WORK: &[(&str, &str)] = &[
    ("verify", "cost::verify"),
    ("decode", "cost::decode"),
    ("reconcile", "controllers::cost::reconcile"),
    ("answer", "door::tests::cost"),
];

/// What is stored, one entry for each compiler and machine.
const STORED: &str = "e2e/cost/figures.json";

/// What becomes of what was counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Compare,
    Store,
}

fn main() -> ExitCode {
    let then = match std::env::args().nth(1).as_deref() {
        None => Then::Compare,
        Some("--write") => Then::Store,
        Some(_) => {
            eprintln!("usage: charttrust-cost [--write]");
            return ExitCode::from(2);
        }
    };
    match run(then) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cost: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing costs more than it may.
fn run(then: Then) -> Outcome<bool> {
    let way = way()?;
    let file = root().join(STORED);
    let mut figures = Figures::read(&std::fs::read_to_string(&file)?)?;
    let stored = figures.of(&way).cloned();
    if stored.is_none() && then == Then::Compare {
        println!("not compared: {STORED} has no figures of {way} (make cost WRITE=1 stores them)");
        return Ok(true);
    }
    let counted = counted()?;
    println!("{}", table(&counted, stored.as_ref()));
    if then == Then::Store {
        figures.store(way, counted);
        std::fs::write(&file, figures.text()?)?;
        println!("stored in {STORED}");
        return Ok(true);
    }
    Ok(stored.is_none_or(|stored| judged(&counted, &stored)))
}

/// By what it is counted.
fn way() -> Outcome<Way> {
    let rustc = told(Command::new("rustc").arg("-vV"))?;
    let valgrind = Command::new("valgrind").arg("--version").output();
    let valgrind = valgrind.map_err(|error| format!("valgrind does not start: {error}"))?;
    let valgrind = String::from_utf8(valgrind.stdout)?;
    Way::of(&rustc, &valgrind).ok_or_else(|| "rustc does not say what it is".into())
}

fn counted() -> Outcome<Costs> {
    let program = program()?;
    let folder = tempfile::tempdir()?;
    let work = WORK.iter().map(|(name, test)| {
        let cost = cost(&program, test, &folder.path().join(name));
        Ok(((*name).to_owned(), cost?))
    });
    work.collect()
}

/// The tests of the operator's library, built as `make test` builds them: with other packages chosen, what they depend
/// on could have other features.
fn program() -> Outcome<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).args([
        "test",
        "--locked",
        "--no-run",
        "--lib",
        "--workspace",
        "--message-format",
        "json-render-diagnostics",
        "--exclude",
        "charttrust-e2e",
        "--exclude",
        "charttrust-false-alarms",
    ]);
    let messages = told(&mut cargo)?;
    let mut messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let program = messages.find_map(|message: Value| {
        let is_tests =
            message["target"]["name"] == "charttrust" && message["profile"]["test"] == true;
        message["executable"]
            .as_str()
            .filter(|_| is_tests)
            .map(PathBuf::from)
    });
    program.ok_or_else(|| "cargo has not built the tests of the operator".into())
}

/// What a test costs that measures.
fn cost(program: &Path, test: &str, into: &Path) -> Outcome<Cost> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind"]);
    valgrind.arg(format!("--toggle-collect={}", callgrind::MEASURED));
    valgrind.arg(format!("--callgrind-out-file={}", into.display()));
    valgrind
        .arg(program)
        .args(["--exact", "--test-threads", "1", test]);
    told(&mut valgrind)?;
    let counted = std::fs::read_to_string(into)?;
    callgrind::read(&counted).ok_or_else(|| format!("{test} measures nothing").into())
}

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a program prints, if it succeeds.
fn told(command: &mut Command) -> Outcome<String> {
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        let program = command.get_program().display();
        return Err(format!("{program} ends with {}: {text}", output.status).into());
    }
    Ok(text)
}

fn table(counted: &Costs, stored: Option<&Costs>) -> String {
    let head = format!(
        "{:<12}{:>16}{:>12}{:>16}{:>12}",
        "", "instructions", "stored", "allocations", "stored"
    );
    let lines = counted.iter().map(|(name, cost)| {
        let stored = stored.and_then(|stored| stored.get(name));
        let beside = |now: u32, of: fn(&Cost) -> u32| {
            let told = stored.map(|stored| format!("{:+.2} %", more_than(now, of(stored))));
            format!("{now:>16}{:>12}", told.unwrap_or_default())
        };
        let instructions = beside(cost.instructions, |cost| cost.instructions);
        let allocations = beside(cost.allocations, |cost| cost.allocations);
        format!("{name:<12}{instructions}{allocations}")
    });
    std::iter::once(head)
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Says what costs more than it may, and what costs so much less that it could creep up to where it was.
fn judged(counted: &Costs, stored: &Costs) -> bool {
    let dearer = figures::dearer(counted, stored);
    for word in &dearer {
        println!("FAILED: {word}");
    }
    if !dearer.is_empty() {
        println!(
            "If that has to be: make cost WRITE=1 stores it, and the commit says what it is for."
        );
    } else if figures::is_cheaper(counted, stored) {
        println!("Some of it costs less now: make cost WRITE=1 stores that, so that it stays so.");
    }
    dearer.is_empty()
}
