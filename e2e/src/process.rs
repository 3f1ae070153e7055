//! A long-running child process that does not outlive its owner.
//!
//! Ends only processes that it started. Dropping a [`Process`] ends it; if the owner is killed
//! before it can drop anything, the kernel ends the child (`setpriv --pdeathsig`, where installed).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::command::{CommandError, not_started, run};

/// A child process whose output goes to a log file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with standard output and error appended to `log`.
    pub fn spawn(name: &str, command: &Command, log: &Path) -> Result<Self, ProcessError> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(ProcessError::Log)?;
        let mut command = tied(command);
        command.stdin(Stdio::null()).stdout(file.0).stderr(file.1);
        let child = spawn_from_lasting_thread(command)?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails if the process has ended by itself.
    pub fn check(&mut self) -> Result<(), ProcessError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(ProcessError::Ended {
                name: self.name.clone(),
                status,
                log: tail(&self.log(), LOG_TAIL),
            }),
            Err(error) => Err(ProcessError::Log(error)),
        }
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The file that it writes to.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Asks it to end (SIGTERM) and waits; after `grace` it is killed.
    pub fn terminate(&mut self, grace: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(POLL);
        }
        self.kill()
    }

    /// Ends it at once (SIGKILL), as a crash would.
    pub fn kill(&mut self) -> Option<ExitStatus> {
        let _ = self.child.kill();
        self.child.wait().ok()
    }

    /// Stops it from running, as a machine does that hangs.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets it run again.
    pub fn thaw(&mut self) {
        self.signal(Signal::CONT);
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn signal(&mut self, signal: Signal) {
        // `try_wait` first: the id of a child that was already waited for may belong to another.
        if let Ok(None) = self.child.try_wait()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A line of the kernel's account of a process, such as `VmRSS:`, in bytes; nothing of one that is gone.
pub fn memory(process: u32, field: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kib.map_or(0, |kib: usize| kib * 1024)
}

/// Has the greatest memory of a process (`VmHWM:`) measured from now on; gives what it takes now.
///
/// # Errors
/// If the kernel does not let us.
pub fn reset_peak(process: u32) -> std::io::Result<usize> {
    std::fs::write(format!("/proc/{process}/clear_refs"), "5")?;
    Ok(memory(process, "VmRSS:"))
}

/// Why a process could not be started or kept.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It ended although it should still run.
    #[error("{name} ended with {status}; its last words:\n{log}")]
    Ended {
        /// Its name.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// Its log file cannot be opened.
    #[error("failed to open the log file of a process")]
    Log(#[source] std::io::Error),
    /// It could not be started.
    #[error(transparent)]
    NotStarted(#[from] CommandError),
}

/// The same command, killed by the kernel when the thread that starts it ends.
fn tied(command: &Command) -> Command {
    let mut tied = Command::new(command.get_program());
    if *SETPRIV {
        tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "KILL", "--"])
            .arg(command.get_program());
    }
    tied.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        tied.current_dir(dir);
    }
    tied
}

/// Whether util-linux's `setpriv` is there; without it only dropping ends the children.
static SETPRIV: LazyLock<bool> = LazyLock::new(|| {
    let mut probe = Command::new("setpriv");
    run(probe.args(["--pdeathsig", "KILL", "--", "true"])).is_ok()
});

fn spawn_from_lasting_thread(command: Command) -> Result<Child, CommandError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (reply, answer) = channel();
    // An order that is not sent drops `reply`, which the next line sees.
    let _ = SPAWNER.send(Order { command, reply });
    answer.recv().unwrap_or_else(|_| {
        let source = std::io::Error::other("the thread that starts processes is gone");
        Err(CommandError::NotStarted { program, source })
    })
}

struct Order {
    command: Command,
    reply: Sender<Result<Child, CommandError>>,
}

/// Starts every child from one thread that never ends: the kernel sends a child its parent-death
/// signal when the *thread* that started it ends, and test threads end early.
static SPAWNER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (orders, queue) = channel::<Order>();
    std::thread::spawn(move || {
        for Order { mut command, reply } in queue {
            let child = command
                .spawn()
                .map_err(|error| not_started(&command, error));
            let _ = reply.send(child);
        }
    });
    orders
});

pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

pub(crate) const LOG_TAIL: usize = 20;
const POLL: Duration = Duration::from_millis(20);
