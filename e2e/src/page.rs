//! Pages whose commands are typed as they stand there.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::tools::{self, Tool};
use crate::within;

/// Where the commands are typed: a folder of its own, with our program, kubectl and Helm 4.
#[derive(Debug)]
pub struct Desk {
    folder: PathBuf,
    /// The folder, if it ends with the desk.
    _own: Option<tempfile::TempDir>,
    kubeconfig: PathBuf,
    names: Vec<(String, String)>,
    /// What was exported, as each line has a shell of its own.
    exported: Mutex<Vec<String>>,
}

impl Desk {
    /// A desk of whoever has this kubeconfig.
    ///
    /// # Panics
    /// If there is no folder, or a tool was not built.
    pub fn new(kubeconfig: &Path, binary: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let programs = folder.path().join("bin");
        std::fs::create_dir(&programs).expect("a folder of programs");
        let built = |tool| tools::path(tool).expect("a tool of the test bed");
        for (name, program) in [
            ("charttrust", binary.to_owned()),
            ("kubectl", built(Tool::Kubectl)),
            ("helm", built(Tool::Helm4)),
        ] {
            symlink(program, programs.join(name)).expect("a link to a program");
        }
        Self {
            folder: folder.path().to_owned(),
            _own: Some(folder),
            kubeconfig: kubeconfig.to_owned(),
            names: Vec::new(),
            exported: Mutex::default(),
        }
    }

    /// A desk in a folder that has all that is needed, where these lines were typed first.
    pub fn at(folder: &Path, exported: &[String]) -> Self {
        Self {
            folder: folder.to_owned(),
            _own: None,
            kubeconfig: folder.join("kubeconfig"),
            names: Vec::new(),
            exported: Mutex::new(exported.to_vec()),
        }
    }

    /// What stands on the page under a name that only documents have, such as an address.
    #[must_use]
    pub fn with_name(mut self, on_page: &str, here: &str) -> Self {
        self.names.push((on_page.to_owned(), here.to_owned()));
        self
    }

    /// Has gpg ask nobody on a terminal, as there is none: what asks is the agent.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn lays_gpg(&self) {
        let gpg = self.folder.join("bin/gpg");
        let script = "#!/bin/sh\nPATH=${PATH#*:}\nexec gpg --batch --no-tty \"$@\"\n";
        std::fs::write(&gpg, script).expect("a script");
        std::fs::set_permissions(gpg, Permissions::from_mode(0o755)).expect("one that runs");
    }

    /// The folder in which the commands are typed.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A text of the page with the names of here.
    pub fn here(&self, text: &str) -> String {
        let names = self.names.iter();
        names.fold(text.to_owned(), |text, (on_page, here)| {
            text.replace(on_page, here)
        })
    }

    /// Types a command. Who only looks looks again until it is there.
    pub async fn types(&self, step: &Step) -> String {
        let looks = ["kubectl get ", "kubectl exec "];
        let only_looks = looks.iter().any(|look| step.command.starts_with(look));
        let typed = within(Duration::from_secs(30), async || {
            let said = self.run(&step.command).await;
            if !only_looks || step.expects(&said) {
                Ok(said)
            } else {
                Err(said)
            }
        });
        typed.await.unwrap_or_else(|said| said)
    }

    /// Types commands in their order, and tells which of them print something else than the page.
    ///
    /// # Panics
    /// If one does, with all that was printed.
    pub async fn types_all(&self, page: &str, steps: &[Step]) {
        let mut transcript = Vec::new();
        let mut wrong = Vec::new();
        for step in steps {
            let said = self.types(step).await;
            if !step.expects(&said) {
                wrong.push(step.command.as_str());
            }
            transcript.push(format!("$ {}\n{said}", step.command));
        }
        assert!(
            wrong.is_empty(),
            "these commands print something else than {page}: {wrong:#?}\nin all:\n{}",
            transcript.concat()
        );
    }

    fn exported(&self) -> MutexGuard<'_, Vec<String>> {
        self.exported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a line prints, in the names of the page.
    async fn run(&self, line: &str) -> String {
        let home = &self.folder;
        let before = self.exported().join("\n");
        if line.starts_with("export ") {
            self.exported().push(line.to_owned());
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{before}\n{{ {}; }} 2>&1", self.here(line))])
            .current_dir(home)
            .env("PATH", format!("{}:{path}", home.join("bin").display()))
            .env("HOME", home)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().expect("sh"));
        let output = output.await.expect("a command that ends");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let names = self.names.iter();
        let said = names.fold(said, |said, (on_page, here)| said.replace(here, on_page));
        if output.status.success() {
            said
        } else {
            format!("{said}(failed: {})\n", output.status)
        }
    }
}

/// A command and what it prints.
#[derive(Debug)]
pub struct Step {
    /// The line that is typed.
    pub command: String,
    output: Vec<String>,
}

impl Step {
    /// Line by line, whatever the widths of columns. `…` stands for any lines.
    pub fn expects(&self, said: &str) -> bool {
        let said: Vec<_> = said.lines().map(essence).collect();
        matches(&self.output, &said)
    }
}

fn matches(expected: &[String], said: &[Vec<String>]) -> bool {
    match expected.split_first() {
        None => said.is_empty(),
        Some((any, rest)) if any == "…" => {
            (0..=said.len()).any(|skipped| matches(rest, said.get(skipped..).unwrap_or_default()))
        }
        Some((line, rest)) => said.first() == Some(&essence(line)) && matches(rest, &said[1..]),
    }
}

/// The words of a line; what differs between two runs is only named.
fn essence(line: &str) -> Vec<String> {
    line.split_whitespace().map(kind).collect()
}

fn kind(word: &str) -> String {
    let bare = word.trim_matches(['(', ')', ',', '.', ':']);
    let bare = bare.strip_prefix("sha256:").unwrap_or(bare);
    let is_digest = bare.len() >= 8 && bare.chars().all(|c| c.is_ascii_hexdigit() || c == '…');
    let begins_as_date =
        bare.len() >= 10 && bare.starts_with("20") && bare[..10].matches('-').count() == 2;
    let is_time = bare.starts_with(|c: char| c.is_ascii_digit())
        && bare.ends_with(['s', 'm', 'h', 'd'])
        && bare
            .chars()
            .all(|c| c.is_ascii_digit() || "smhd.".contains(c));
    let is_measured = bare.contains('.') && bare.parse::<f64>().is_ok();
    match (is_digest, begins_as_date, is_time || is_measured) {
        (true, ..) => "a digest".to_owned(),
        (_, true, _) => "a date".to_owned(),
        (.., true) => "some time".to_owned(),
        _ => word.to_owned(),
    }
}

/// What stands in the blocks of commands of a page.
pub fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_inside) {
            steps.push(Step {
                command: command.to_owned(),
                output: Vec::new(),
            });
        } else if let Some(step) = steps.last_mut().filter(|_| is_inside) {
            step.output.push(line.to_owned());
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_between_two_runs_is_left_open() {
        let step = |output: &str| Step {
            command: String::new(),
            output: output.lines().map(ToOwned::to_owned).collect(),
        };
        let expected = step("payments  2.4.1  AAAA11112222…  311d\n…\ndone in 0.4s");
        assert!(expected.expects("payments 2.4.1 0123456789AB 5s\nmore\ndone in 1.25s\n"));
        assert!(expected.expects("payments 2.4.1 0123456789AB 5s\ndone in 1s\n"));
        assert!(!expected.expects("payments 2.4.2 0123456789AB 5s\ndone in 1s\n"));
        assert!(!expected.expects("payments 2.4.1 0123456789AB 5s\n"));
        assert!(!expected.expects("payments 2.4.1 0123456789AB 5s\ndone in 1s\nfailed\n"));
    }
}
