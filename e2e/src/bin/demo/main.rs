//! The demo: from nothing to a story that a person can follow, told by real commands.
//!
//! Everything lies in temporary folders and ends with this process. A verdict that is not the
//! expected one fails the demo.

mod screen;
mod shell;
mod stage;
mod story;

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use screen::Screen;
use stage::Stage;

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
    match perform(arguments.keep, Screen::new()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\ndemo: FAILED: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn perform(keep: bool, screen: Screen) -> Result<ExitCode> {
    let mut ended = pin!(ended()?);
    let told = tokio::select! {
        biased;
        () = &mut ended => return Ok(interrupted(screen)),
        told = tell(screen) => told,
    };
    let stage = match told {
        Ok(stage) => stage,
        // Ctrl-C also ends what the story has started, and that may be seen first.
        Err(_) if tokio::time::timeout(MOMENT, &mut ended).await.is_ok() => {
            return Ok(interrupted(screen));
        }
        Err(error) => return Err(error),
    };
    if keep {
        stage.explain_how_to_look_around();
        ended.await;
    }
    stage.close();
    Ok(ExitCode::SUCCESS)
}

async fn tell(screen: Screen) -> Result<Stage> {
    story::announce(screen);
    let mut stage = Stage::build(screen).await?;
    if let Err(error) = story::tell(&mut stage).await {
        return Err(format!("{}\n{}", chain(error.as_ref()), stage.operator_log()).into());
    }
    Ok(stage)
}

fn interrupted(screen: Screen) -> ExitCode {
    screen.say("Interrupted. Everything that was started has ended.");
    ExitCode::from(INTERRUPTED)
}

/// Completes on Ctrl-C, SIGTERM or a closed terminal.
fn ended() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// What shells report for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;
const MOMENT: Duration = Duration::from_millis(200);
