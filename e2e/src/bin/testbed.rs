//! The test bed on the command line: builds its programs, runs a control plane.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::{Command, ExitCode};

use charttrust_e2e::cluster::{AUDIT_LOG_VARIABLE, KUBECONFIG_VARIABLE};
use charttrust_e2e::plane::Plane;
use charttrust_e2e::program::{chain, ended};
use charttrust_e2e::tools::{self, Tool};
use clap::{Parser, Subcommand};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(about = "Builds and runs the control plane that the end-to-end tests use")]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Builds the named programs, or all of them, where they are missing.
    Build {
        #[arg(value_parser = parse_tool)]
        tools: Vec<Tool>,
    },
    /// Runs a command with a control plane; `E2E_KUBECONFIG` and `KUBECONFIG` name it.
    Exec {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Runs a control plane until standard input closes, for programs that need one.
    Plane {
        /// What its audit log tells, in place of what tests ask for.
        #[arg(long)]
        audit_policy: Option<PathBuf>,
    },
    /// Runs a control plane until Ctrl-C.
    Up,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().action {
        Action::Build { tools } => build(&tools),
        Action::Exec { command } => exec(&command).await,
        Action::Plane { audit_policy } => plane(audit_policy.as_deref()).await,
        Action::Up => up().await,
    };
    done.unwrap_or_else(|error| {
        eprintln!("testbed: {}", chain(error.as_ref()));
        ExitCode::FAILURE
    })
}

fn build(tools: &[Tool]) -> Result<ExitCode> {
    let tools = if tools.is_empty() { &Tool::ALL } else { tools };
    tools::ensure(tools)?;
    for tool in tools {
        println!("{}", tools::path(*tool)?.display());
    }
    Ok(ExitCode::SUCCESS)
}

async fn up() -> Result<ExitCode> {
    let mut ended = pin!(ended()?);
    let Some(plane) = start_unless(ended.as_mut(), None).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    println!("export KUBECONFIG={}", plane.access().kubeconfig.display());
    eprintln!("testbed: the control plane runs until Ctrl-C");
    ended.await;
    Ok(ExitCode::SUCCESS)
}

async fn plane(audit_policy: Option<&Path>) -> Result<ExitCode> {
    let (ended, closed) = (ended()?, input_closed());
    let mut over = pin!(async {
        tokio::select! {
            () = ended => {}
            _ = closed => {}
        }
    });
    let Some(plane) = start_unless(over.as_mut(), audit_policy).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    println!("{}", serde_json::to_string(plane.access())?);
    over.await;
    Ok(ExitCode::SUCCESS)
}

async fn exec(command: &[String]) -> Result<ExitCode> {
    let mut ended = pin!(ended()?);
    let Some(plane) = start_unless(ended.as_mut(), None).await? else {
        return Ok(ExitCode::FAILURE);
    };
    let access = plane.access();
    let [program, arguments @ ..] = command else {
        return Ok(ExitCode::FAILURE);
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env(KUBECONFIG_VARIABLE, &access.kubeconfig);
    command.env("KUBECONFIG", &access.kubeconfig);
    command.envs(
        access
            .audit_log
            .as_ref()
            .map(|log| (AUDIT_LOG_VARIABLE, log)),
    );
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()?;
    let status = tokio::select! {
        () = ended => return Ok(ExitCode::FAILURE),
        status = child.wait() => status?,
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A running plane, or nothing if `ended` comes first.
async fn start_unless(
    ended: Pin<&mut impl Future<Output = ()>>,
    audit_policy: Option<&Path>,
) -> Result<Option<Plane>> {
    tokio::select! {
        plane = Plane::start(audit_policy) => Ok(Some(plane?)),
        () = ended => Ok(None),
    }
}

/// Completes when nobody holds the other end of standard input any more.
fn input_closed() -> impl Future {
    let (closed, seen) = tokio::sync::oneshot::channel();
    // A thread and not a blocking task: the runtime would wait for that one at the end.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = closed.send(());
    });
    seen
}

fn parse_tool(name: &str) -> std::result::Result<Tool, String> {
    Tool::from_name(name).ok_or_else(|| {
        let names = Tool::ALL.map(Tool::name).join(", ");
        format!("no such tool; there are {names}")
    })
}
