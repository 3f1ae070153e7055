//! What the binary of a release is: for which machine, whether it runs alone, and where it was built.

use std::path::{Path, PathBuf};

use super::ReleaseError;

/// A processor that there are releases for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// x86-64.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Machine {
    /// The machine that a program for Linux is for, from the head of its file.
    pub fn of(program: &[u8]) -> Result<Self, ReleaseError> {
        // ELF, 64 bits, little-endian.
        let is_elf = program.starts_with(b"\x7fELF\x02\x01");
        match number(program, 18, 2).filter(|_| is_elf) {
            Some(62) => Ok(Self::Amd64),
            Some(183) => Ok(Self::Arm64),
            _ => Err(ReleaseError::NoProgram),
        }
    }

    /// Its name in OCI images, Kubernetes and Go.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The target that Rust builds for it.
    pub fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }
}

/// Whether a program may be released: it runs in an image that has nothing but it, and tells nothing of the
/// machine that has built it, such as these folders.
pub fn inspect(program: &[u8], folders: &[PathBuf]) -> Result<(), ReleaseError> {
    Machine::of(program)?;
    if needs_a_loader(program).ok_or(ReleaseError::NoProgram)? {
        return Err(ReleaseError::NotStatic);
    }
    let told = folders.iter().find(|folder| tells(program, folder));
    match told {
        Some(folder) => Err(ReleaseError::TellsWhere {
            folder: folder.clone(),
        }),
        None => Ok(()),
    }
}

/// Whether one of the program's headers names who loads it (`PT_INTERP`).
fn needs_a_loader(program: &[u8]) -> Option<bool> {
    let (start, size, count) = (
        number(program, 32, 8)?,
        number(program, 54, 2)?,
        number(program, 56, 2)?,
    );
    let mut kinds = (0..count).map(|index| {
        let at = start.checked_add(index.checked_mul(size)?)?;
        number(program, at, 4)
    });
    kinds.try_fold(false, |found, kind| Some(found || kind? == PT_INTERP))
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    bytes.iter().rev().try_fold(0_usize, |value, byte| {
        value.checked_mul(256)?.checked_add((*byte).into())
    })
}

/// Whether the text of a folder is in the program, as `strings` would show it.
fn tells(program: &[u8], folder: &Path) -> bool {
    let text = format!("{}/", folder.to_string_lossy().trim_end_matches('/'));
    // "/" alone is in every program.
    text.len() > 1
        && program
            .windows(text.len())
            .any(|part| part == text.as_bytes())
}

const PT_INTERP: usize = 3;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::command::run;

    /// A program that the C compiler makes.
    fn program(flags: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let (source, made) = (folder.path().join("main.c"), folder.path().join("main"));
        let text =
            "#include <stdio.h>\nint main(void) { return puts(\"/built/here/main.c\") < 0; }\n";
        std::fs::write(&source, text).unwrap();
        let mut command = Command::new("cc");
        command.args(flags).arg("-o").arg(&made).arg(&source);
        run(&mut command).unwrap();
        std::fs::read(made).unwrap()
    }

    fn said(program: &[u8], folder: &str) -> String {
        let refused = inspect(program, &[folder.into()]).unwrap_err();
        refused.to_string()
    }

    #[test]
    fn only_what_runs_alone_and_tells_no_folder_is_released() {
        let alone = program(&["-static"]);
        assert_eq!(
            Machine::of(&alone).unwrap().target().split('-').next(),
            Some(std::env::consts::ARCH)
        );
        for folder in ["/elsewhere", "/built/her", "/", ""] {
            inspect(&alone, &[folder.into()]).unwrap();
        }
        for folder in ["/built/here", "/built/", "/built"] {
            let said = said(&alone, folder);
            assert!(said.contains(&format!("has the folder {folder}")), "{said}");
        }
        let refused = said(&program(&[]), "/elsewhere");
        assert!(refused.contains("needs a loader"), "{refused}");
        let mut other = alone.clone();
        other[0] = b'M';
        for broken in [&b"#!/bin/sh\n"[..], &alone[..40], &[], &other] {
            let said = said(broken, "/elsewhere");
            assert!(said.contains("no program for Linux"), "{said}");
        }
    }
}
