//! Every command in everything that may go wrong around it: its exit code, what it says, and that nothing
//! is left half done. A new command has no row until it is given one, and the table says so.

mod archive;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the API server in memory of all tests, of which the commands need a part"
)]
#[path = "../../src/fake_cluster.rs"]
mod fake_cluster;
mod gate;
mod report;
mod signing;
mod table;
mod told;
mod wording;
mod world;

use std::collections::BTreeSet;

use crate::table::{ALL, Cell, Run, Situation, cell};
use crate::world::{Ends, Said, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_told_what_to_do_in_every_situation() {
    let commands = commands(&charttrust::cli::definition(), "");
    assert!(commands.contains("quarantine") && commands.len() >= 11);
    let mut running = Vec::new();
    for command in &commands {
        for situation in ALL {
            let cell = cell(command, situation);
            let cell =
                cell.unwrap_or_else(|| panic!("charttrust {command} has no row in the table"));
            let name = format!("charttrust {command}, {situation:?}");
            running.push(tokio::spawn(check(name, situation, cell)));
        }
    }
    let mut faults = Vec::new();
    for one in running {
        faults.extend(one.await.unwrap());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// Every command that can be run, those of commands by both words.
fn commands(of: &clap::Command, prefix: &str) -> BTreeSet<String> {
    let below = of.get_subcommands().flat_map(|command| {
        let name = format!("{prefix}{}", command.get_name());
        if command.has_subcommands() {
            commands(command, &format!("{name} "))
        } else {
            BTreeSet::from([name])
        }
    });
    below.collect()
}

/// What is not as the table says.
async fn check(name: String, situation: Situation, cell: Cell) -> Option<String> {
    let world = World::new().await;
    situation.arrange(&world);
    match cell {
        Cell::AsksNobody(arguments) => {
            let said = world.run(&arguments, situation.ends()).await;
            let is_silent = world.cluster.requests() == 0 && said.code == Some(0);
            (!is_silent).then(|| format!("{name}: asks the cluster, or fails: {said:?}"))
        }
        Cell::DoesNotApply(why) => why.is_empty().then_some(name),
        Cell::Ends(run) => {
            (run.prepared)(&world);
            let said = world.run(&run.arguments, situation.ends()).await;
            differs(&name, &world, &run, situation, &said)
        }
        Cell::Serves(arguments) => serves(&name, &world, &arguments, situation).await,
    }
}

/// The operator goes on until it is told to stop.
async fn serves(
    name: &str,
    world: &World,
    arguments: &[String],
    situation: Situation,
) -> Option<String> {
    // So many requests come only from a program that goes on.
    let goes_on = |world: &World| world.cluster.requests() > 3;
    let said = world.until(goes_on, arguments, situation.ends()).await;
    let is_panic = said.errors.contains("panicked");
    let ended_well = said.code == Some(0) && !is_panic;
    (!ended_well).then(|| format!("{name}: {said:?}"))
}

fn differs(
    name: &str,
    world: &World,
    run: &Run,
    situation: Situation,
    said: &Said,
) -> Option<String> {
    let mut faults = Vec::new();
    if said.code != Some(run.code) {
        faults.push(format!("exit code {:?}, not {}", said.code, run.code));
    }
    if situation.ends() != Ends::BothClosed {
        let missing = run
            .errors
            .iter()
            .filter(|part| !said.errors.contains(**part));
        faults.extend(missing.map(|part| format!("{part:?} is not on standard error")));
    }
    let all = format!("{}{}", said.text, said.errors);
    let of_rust = DEBUG.iter().filter(|part| all.contains(**part));
    faults.extend(of_rust.map(|part| format!("{part:?} is of Rust")));
    if !(run.then)(world) {
        faults.push("the cluster is not as it should be then".to_owned());
    }
    (!faults.is_empty()).then(|| {
        format!(
            "{name}\n  {}\n  of {:?}\n  stdout: {}\n  stderr: {}",
            faults.join("\n  "),
            run.arguments,
            said.text,
            said.errors
        )
    })
}

/// What only programmers can read.
const DEBUG: [&str; 7] = [
    "panicked",
    "Status {",
    "Error {",
    "Some(",
    "None,",
    "ApiError",
    "RUST_BACKTRACE",
];
