//! A wall clock that jumps for one process only: a small library in C that is put before the system's
//! own, built by the C compiler that building the operator needs anyway.

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::command::{CommandError, run};

/// The clock of the programs that run behind it.
#[derive(Debug)]
pub struct Clock {
    dir: TempDir,
}

/// Why there is no such clock.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The library cannot be built.
    #[error(transparent)]
    Compiler(#[from] CommandError),
    /// A file cannot be written.
    #[error("failed to write the files of the clock")]
    Files(#[from] std::io::Error),
}

impl Clock {
    /// Builds a clock that is right, until it jumps.
    pub fn new() -> Result<Self, ClockError> {
        let dir = tempfile::Builder::new()
            .prefix("charttrust-clock-")
            .tempdir()?;
        let clock = Self { dir };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testbed/clock/clock.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
            .args([&clock.library(), &source]);
        run(&mut compiler)?;
        clock.jump(0)?;
        Ok(clock)
    }

    /// A program that is `program` behind this clock.
    pub fn before(&self, program: &Path) -> Result<PathBuf, ClockError> {
        let path = self.dir.path().join("program");
        let text = format!(
            "#!/bin/sh\nexport LD_PRELOAD='{}' E2E_CLOCK='{}'\nexec '{}' \"$@\"\n",
            self.library().display(),
            self.file().display(),
            program.display(),
        );
        write(&path, text)?;
        set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// From now on the clock is wrong by so many seconds.
    pub fn jump(&self, seconds: i64) -> Result<(), ClockError> {
        // Renamed, so that nobody reads half a number.
        let next = self.dir.path().join("next");
        write(&next, seconds.to_string())?;
        Ok(std::fs::rename(next, self.file())?)
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("clock.so")
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("seconds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn year(program: &Path) -> i64 {
        let mut date = Command::new(program);
        let output = run(date.args(["-u", "+%Y"])).unwrap();
        String::from_utf8(output).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn a_program_sees_the_clock_jump_and_nobody_else_does() {
        let clock = Clock::new().unwrap();
        let date = clock.before(Path::new("/bin/date")).unwrap();
        let now = year(Path::new("/bin/date"));
        assert_eq!(year(&date), now);
        clock.jump(20 * 366 * 86_400).unwrap();
        assert!((now + 20..=now + 21).contains(&year(&date)));
        clock.jump(-10 * 366 * 86_400).unwrap();
        assert!((now - 11..=now - 10).contains(&year(&date)));
    }
}
