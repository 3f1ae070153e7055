//! The courses of docs/training, in the lab that the demo leaves up: each task is open before the commands of its
//! chapter are typed, as they stand there, and done after.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use charttrust_e2e::page::{Desk, steps};
use charttrust_e2e::process::Process;
use charttrust_e2e::stage::{SOON, path};
use charttrust_e2e::within;

const INDEX: &str = "docs/training/README.md";
const PAGES: [&str; 3] = [
    "docs/training/1-developer.md",
    "docs/training/2-operator.md",
    "docs/training/3-security.md",
];
/// What the demo says when all is up.
const UP: &str = "Ctrl-C here ends everything.";

#[tokio::test(flavor = "multi_thread")]
async fn the_lessons_are_learned_in_their_order() {
    let lab = Lab::start().await;
    let desk = lab.desk();
    let index = std::fs::read_to_string(path(INDEX)).unwrap();
    desk.types_all(INDEX, &steps(&index)).await;
    for lesson in 1..=3 {
        lab.learn(lesson).await;
    }
    lab.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lessons_are_learned_from_the_last_to_the_first() {
    let lab = Lab::start().await;
    for lesson in [3, 2, 1] {
        lab.learn(lesson).await;
    }
    lab.end();
}

/// The demo, left up.
struct Lab {
    demo: Process,
    /// The lines that it says to paste.
    pasted: Vec<String>,
    folder: PathBuf,
    _log: tempfile::TempDir,
}

impl Lab {
    async fn start() -> Self {
        let log = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        command.arg("--keep");
        let demo = Process::spawn("demo", &command, &log.path().join("log"));
        let mut demo = demo.unwrap();
        let up = within(STARTED, async || {
            demo.check().unwrap();
            let said = demo.log();
            if said.contains(UP) { Ok(said) } else { Err(()) }
        });
        let said = up.await;
        let said = said.unwrap_or_else(|()| panic!("the demo is not up: {}", demo.log()));
        let pasted = said.lines().filter(|line| line.starts_with("export "));
        let folder = said.lines().find_map(|line| line.strip_prefix("cd "));
        Self {
            pasted: pasted.map(str::to_owned).collect(),
            folder: PathBuf::from(folder.unwrap()),
            demo,
            _log: log,
        }
    }

    fn desk(&self) -> Desk {
        assert!(self.pasted.len() > 4, "{:?}", self.pasted);
        Desk::at(&self.folder, &self.pasted)
    }

    /// Types a course, chapter by chapter.
    async fn learn(&self, lesson: usize) {
        let page = PAGES[lesson - 1];
        let text = std::fs::read_to_string(path(page)).unwrap();
        let mut chapters = text.split("\n## ");
        let desk = self.desk();
        desk.types_all(page, &steps(chapters.next().unwrap())).await;
        let chapters: Vec<_> = chapters.collect();
        let titles: Vec<_> = chapters
            .iter()
            .map(|one| one.lines().next().unwrap())
            .collect();
        let before = self.check(lesson, &titles);
        assert_eq!(
            before,
            vec![false; titles.len()],
            "{page}: nothing is done yet"
        );
        for (number, chapter) in chapters.iter().enumerate() {
            let steps = steps(chapter);
            assert!(!steps.is_empty(), "{page}: {}", titles[number]);
            assert!(
                !self.check(lesson, &titles)[number],
                "{page}: {}",
                titles[number]
            );
            desk.types_all(page, &steps).await;
            let done = within(SOON, async || {
                let done = self.check(lesson, &titles);
                let is_so = done[..=number].iter().all(|one| *one);
                if is_so { Ok(()) } else { Err(done) }
            });
            let done = done.await;
            done.unwrap_or_else(|done| panic!("{page}: after {}: {done:?}", titles[number]));
        }
    }

    /// What the checker says of each task, in the words of the page, and how it ends.
    fn check(&self, lesson: usize, titles: &[&str]) -> Vec<bool> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lesson"));
        command
            .arg(lesson.to_string())
            .arg("--lab")
            .arg(&self.folder);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let tasks = said
            .lines()
            .filter(|line| line.starts_with("  done  ") || line.starts_with("  open  "));
        let tasks: Vec<_> = tasks.map(|line| line.split_at(8)).collect();
        let told: Vec<_> = tasks.iter().map(|(_, title)| *title).collect();
        assert_eq!(
            told,
            titles,
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let done: Vec<_> = tasks
            .iter()
            .map(|(state, _)| state.contains("done"))
            .collect();
        let is_all = done.iter().all(|one| *one);
        assert_eq!(output.status.code(), Some(i32::from(!is_all)), "{said}");
        assert_eq!(said.contains("next: "), !is_all, "{said}");
        done
    }

    /// The demo ends in order, and leaves nothing.
    fn end(mut self) {
        let ended = self.demo.terminate(STARTED);
        assert!(
            ended.is_some_and(|status| status.success()),
            "{}",
            self.demo.log()
        );
        assert!(!Path::new(&self.folder).exists());
        let mut command = Command::new(env!("CARGO_BIN_EXE_lesson"));
        command.args(["1", "--lab"]).arg(&self.folder);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

/// How long the demo may take on a busy machine.
const STARTED: Duration = Duration::from_secs(300);
