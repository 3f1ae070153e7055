//! A folder for releases of a stand-in: a static program, as small as can be, that hands on to the operator that
//! `make` has built.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use charttrust_e2e::gpg::Keyring;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::root;
use flate2::read::GzDecoder;

/// The archive of the chart.
pub(crate) const CHART: &str = concat!("charttrust-", env!("CARGO_PKG_VERSION"), ".tgz");
/// The commit of all releases here.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Its time: 2026-01-02T03:04:05Z.
pub(crate) const EPOCH: &str = "1767323045";

pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        bench.stand_in("charttrust", &hand_on());
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A static program that does this, and tells the folder `/built/here`.
    pub(crate) fn stand_in(&self, name: &str, statement: &str) -> PathBuf {
        let (source, made) = (self.path("main.c"), self.path(name));
        let text = format!(
            "#include <stdio.h>\n#include <string.h>\n#include <unistd.h>\n\
             const char *told = \"/built/here/main.c\";\n\
             int main(int argc, char **argv) {{ {statement}; return 0; }}\n"
        );
        std::fs::write(&source, text).unwrap();
        let mut compile = Command::new("cc");
        let compiled = output(compile.arg("-static").arg("-o").arg(&made).arg(source));
        assert!(compiled.status.success(), "{compiled:?}");
        made
    }

    /// What makes a release into a folder of ours. Arguments that follow count in place of these.
    pub(crate) fn arguments(&self, out: &str, more: &[&str]) -> Vec<String> {
        let here = |name: &str| self.path(name).to_string_lossy().into_owned();
        let (binary, out, source) = (here("charttrust"), here(out), root());
        let source = source.to_string_lossy();
        let fixed = [
            ("--binary", &*binary),
            ("--out", &out),
            ("--source", &source),
            ("--commit", COMMIT),
            ("--epoch", EPOCH),
        ];
        let kept = fixed.iter().filter(|(name, _)| !more.contains(name));
        let all = kept.flat_map(|(name, value)| [*name, *value]);
        all.chain(more.iter().copied())
            .map(ToOwned::to_owned)
            .collect()
    }

    pub(crate) fn release(&self, out: &str, more: &[&str]) -> Output {
        output(Command::new(env!("CARGO_BIN_EXE_release")).args(self.arguments(out, more)))
    }

    /// The same, with this keyring.
    pub(crate) fn release_by(&self, keyring: &Keyring, out: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_release"));
        command
            .args(self.arguments(out, more))
            .env("GNUPGHOME", keyring.home());
        output(&mut command)
    }
}

/// What hands on to the operator, in C.
pub(crate) fn hand_on() -> String {
    let program = binary().canonicalize().unwrap();
    format!("execv(\"{}\", argv)", program.display())
}

pub(crate) fn output(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// What a release that was made says.
pub(crate) fn made(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The files below a folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let below = files(&entry.path()).into_iter();
            found.extend(below.map(|(path, content)| (format!("{name}/{path}"), content)));
        } else {
            found.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// The files in an archive, in their order, each with its permissions.
pub(crate) fn packed(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!(header.mtime().unwrap().to_string(), EPOCH);
        let mode = header.mode().unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (path, mode, content)
    });
    entries.collect()
}

pub(crate) fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut content).unwrap();
    content
}

/// The name of this machine's processor in images.
pub(crate) fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        _ => "arm64",
    }
}
