//! The demo: from nothing to a story that a person can follow, told by real commands.
//!
//! Everything lies in temporary folders and ends with this process. A verdict that is not the
//! expected one fails the demo.

mod screen;
mod shell;
mod stage;
mod story;

use std::process::ExitCode;

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
    let screen = Screen::new();
    let done = async {
        let ended = ended()?;
        tokio::select! {
            done = perform(&arguments, screen) => done,
            () = ended => {
                screen.say("\nEnded before its end; nothing but built programs stays.");
                Ok(())
            }
        }
    };
    match done.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: FAILED: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn perform(arguments: &Arguments, screen: Screen) -> Result {
    story::announce(screen);
    let mut stage = Stage::build(screen).await?;
    let told = story::tell(&mut stage).await;
    if told.is_err() {
        eprint!("\n{}", stage.operator_log());
    }
    told?;
    if arguments.keep {
        stage.explain_how_to_look_around();
        std::future::pending::<()>().await;
    }
    stage.close();
    Ok(())
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
