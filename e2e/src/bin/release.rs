//! What `make release` does after the binary is built: everything else that is published, in one folder.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use charttrust_e2e::program::chain;
use charttrust_e2e::release::{self, Commit, Crates, Machine, Publishing, Release};
use clap::Parser;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(
    about = "Writes chart, image, bill of materials, provenance, checksums and pages of a built charttrust"
)]
struct Arguments {
    /// The built program: static, and without paths of this machine.
    #[arg(long)]
    binary: PathBuf,
    /// The folder to write; it must not be there.
    #[arg(long)]
    out: PathBuf,
    /// The source tree.
    #[arg(long, default_value = ".")]
    source: PathBuf,
    /// The commit of the sources.
    #[arg(long)]
    commit: String,
    /// The time of everything, in seconds since 1970.
    #[arg(long, env = "SOURCE_DATE_EPOCH")]
    epoch: u64,
    /// Folders that the program must not name.
    #[arg(long)]
    secret: Vec<PathBuf>,
    /// The image's name with its registry, without a tag.
    #[arg(long)]
    image: Option<String>,
    /// The fingerprint of the key with which gpg signs.
    #[arg(long)]
    key: Option<String>,
    /// Where the files of this release will lie.
    #[arg(long, value_parser = folder)]
    url: Option<String>,
    /// The address that stands for whoever builds.
    #[arg(long, default_value = "https://charttrust.io/releasing/by-hand")]
    builder: String,
}

fn main() -> ExitCode {
    match make(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("release: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn make(arguments: Arguments) -> Result {
    let program = std::fs::read(&arguments.binary)?;
    release::inspect(&program, &arguments.secret)?;
    let crates = crates(&arguments.source, Machine::of(&program)?)?;
    let commit = Commit {
        id: arguments.commit,
        epoch: arguments.epoch,
    };
    let publishing = Publishing {
        image: arguments.image,
        key: arguments.key,
        url: arguments.url,
        builder: arguments.builder,
    };
    let made = release::write(&Release {
        source: &arguments.source,
        binary: &arguments.binary,
        out: &arguments.out,
        commit: &commit,
        crates: &crates,
        publishing: &publishing,
    })?;
    let version = release::VERSION;
    println!(
        "charttrust {version}: {} files in {}",
        made.files.len(),
        arguments.out.display()
    );
    println!("image {}", made.image);
    for left_out in made.left_out {
        println!("NOT IN IT: {left_out}");
    }
    Ok(())
}

/// What cargo says of the program that is released.
fn crates(source: &Path, machine: Machine) -> Result<Crates> {
    let target = machine.target();
    let cargo = |arguments: &[&str]| {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        said(Command::new(program).current_dir(source).args(arguments))
    };
    let tree = |edges: &str| {
        cargo(&[
            "tree",
            "--locked",
            "--package",
            "charttrust",
            "--target",
            target,
            "--edges",
            edges,
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
    };
    let described = [
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        target,
    ];
    Ok(Crates {
        metadata: cargo(&described)?,
        linked: tree("normal,no-proc-macro")?,
        needed: tree("normal,build")?,
        lock: std::fs::read_to_string(source.join("Cargo.lock"))?,
        rust: second(&said(Command::new("rustc").arg("--version"))?),
        libc: second(&said(Command::new("getconf").arg("GNU_LIBC_VERSION"))?),
    })
}

/// The version in `NAME VERSION`.
fn second(text: &str) -> String {
    text.split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}

/// What a program prints; what it tells otherwise is seen.
fn said(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn folder(text: &str) -> std::result::Result<String, String> {
    if text.starts_with("https://") {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err("write it as https://HOST/PATH".to_owned())
}
