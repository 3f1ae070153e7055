//! Checks a lesson of docs/training in the lab that `make demo KEEP=1` leaves up: which tasks are done, and what to do
//! next. Looks, and changes nothing.

mod developer;
mod lab;
mod operator;
mod security;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use charttrust_e2e::program::chain;
use clap::Parser;

use lab::{Lab, Task};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Tells which tasks of a lesson are done, and what to do next")]
struct Arguments {
    /// 1: a developer signs; 2: an operator rolls out; 3: a security engineer is on call.
    #[arg(value_parser = clap::value_parser!(u8).range(1..=3))]
    lesson: u8,
    /// The folder of the demo, where there are several.
    #[arg(long, env = "CHARTTRUST_LAB")]
    lab: Option<PathBuf>,
}

/// Exit code 0: all is done; 1: something is left to do; 2: there is no lab, or it does not answer.
#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match tasks(&arguments).await {
        Ok(tasks) => {
            print!("{}", told(arguments.lesson, &tasks));
            let is_done = tasks.iter().all(|task| task.is_done);
            ExitCode::from(u8::from(!is_done))
        }
        Err(error) => {
            eprintln!("lesson: {}", chain(error.as_ref()));
            ExitCode::from(NO_LAB)
        }
    }
}

async fn tasks(arguments: &Arguments) -> Result<Vec<Task>> {
    let lab = Lab::open(arguments.lab.as_deref()).await?;
    match arguments.lesson {
        1 => developer::tasks(&lab).await,
        2 => operator::tasks(&lab).await,
        _ => security::tasks(&lab).await,
    }
}

/// Every task, and below the first that is left to do how to go on.
fn told(lesson: u8, tasks: &[Task]) -> String {
    let page = PAGES[usize::from(lesson) - 1];
    let mut text = format!("Lesson {lesson} ({page})\n");
    let mut is_told = false;
    for (number, task) in tasks.iter().enumerate() {
        let state = if task.is_done { "done" } else { "open" };
        let _ = writeln!(text, "  {state}  {}. {}", number + 1, task.title);
        if !task.is_done && !is_told {
            is_told = true;
            let _ = writeln!(text, "        next: {}", task.hint);
        }
    }
    let done = tasks.iter().filter(|task| task.is_done).count();
    let _ = writeln!(text, "{done} of {} tasks are done", tasks.len());
    text
}

const NO_LAB: u8 = 2;
const PAGES: [&str; 3] = [
    "docs/training/1-developer.md",
    "docs/training/2-operator.md",
    "docs/training/3-security.md",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn task(is_done: bool) -> Task {
        Task {
            title: "Look",
            hint: "look again",
            is_done,
        }
    }

    #[test]
    fn only_the_first_that_is_left_has_a_hint() {
        let told = told(2, &[task(true), task(false), task(false)]);
        assert!(told.starts_with(
            "Lesson 2 (docs/training/2-operator.md)\n  done  1. Look\n  open  2. Look\n"
        ));
        assert_eq!(told.matches("next: look again").count(), 1, "{told}");
        assert!(told.ends_with("1 of 3 tasks are done\n"), "{told}");
    }

    #[test]
    fn what_is_done_has_none() {
        assert!(!told(1, &[task(true)]).contains("next:"));
    }
}
