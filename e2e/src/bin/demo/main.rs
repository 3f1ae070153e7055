//! The demo: from nothing to a story that a person can follow, told by real commands.
//!
//! Everything lies in temporary folders and ends with this process. A verdict that is not the
//! expected one fails the demo.

mod screen;
mod setup;
mod shell;
mod story;

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use charttrust_e2e::program::{chain, ended};
use clap::Parser;

use screen::Screen;
use setup::Setup;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Shows charttrust at work on a real control plane, with real Helm and real keys")]
struct Arguments {
    /// Leaves everything up at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match perform(&arguments, Screen::new()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\ndemo: FAILED: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn perform(arguments: &Arguments, screen: Screen) -> Result<ExitCode> {
    let mut ended = pin!(ended()?);
    let told = tokio::select! {
        biased;
        () = &mut ended => return Ok(interrupted(screen)),
        told = tell(arguments, screen) => told,
    };
    let stage = match told {
        Ok(stage) => stage,
        // Ctrl-C also ends what the story has started, and that may be seen first.
        Err(_) if tokio::time::timeout(MOMENT, &mut ended).await.is_ok() => {
            return Ok(interrupted(screen));
        }
        Err(error) => return Err(error),
    };
    if arguments.keep {
        stage.explain_how_to_look_around();
        ended.await;
    }
    stage.close();
    Ok(ExitCode::SUCCESS)
}

async fn tell(arguments: &Arguments, screen: Screen) -> Result<Setup> {
    story::announce(screen);
    let mut stage = Setup::build(screen).await?;
    let mut told = story::tell(&mut stage).await;
    if told.is_ok() && arguments.keep {
        told = stage.open_lab().await;
    }
    if let Err(error) = told {
        return Err(format!("{}\n{}", chain(error.as_ref()), stage.operator_log()).into());
    }
    Ok(stage)
}

fn interrupted(screen: Screen) -> ExitCode {
    screen.say("Interrupted. Everything that was started has ended.");
    ExitCode::from(INTERRUPTED)
}

/// What shells report for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;
const MOMENT: Duration = Duration::from_millis(200);
