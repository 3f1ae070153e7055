//! What a release is made of, written into one folder: the same bytes from the same commit, but for signatures.
//!
//! Reads the source tree, runs the binary that is released, `gpg` where a key signs, and writes the folder.

pub(crate) mod archive;
mod binary;
mod bom;
mod chart;
mod image;
mod krew;
mod provenance;
mod signing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde_json::Value;

pub use self::binary::{Machine, inspect};
pub use self::bom::Crates;

use self::archive::{Entry, gzip, tar};
use self::chart::Known;
use self::signing::Signer;
use crate::command::{CommandError, run};

/// The version of everything that is released.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is released, and where to.
#[derive(Debug)]
pub struct Release<'a> {
    /// The source tree.
    pub source: &'a Path,
    /// The built program.
    pub binary: &'a Path,
    /// The folder that is written; it must not be there.
    pub out: &'a Path,
    /// Which sources these are.
    pub commit: &'a Commit,
    /// What cargo says of them.
    pub crates: &'a Crates,
    /// Where it will be published.
    pub publishing: &'a Publishing,
}

/// A commit of the sources.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its full id.
    pub id: String,
    /// Its time, in seconds since 1970: that of everything made of it.
    pub epoch: u64,
}

impl Commit {
    fn time(&self) -> Result<Timestamp, ReleaseError> {
        let epoch = self.epoch;
        let seconds = i64::try_from(epoch).ok();
        let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.ok_or(ReleaseError::NoTime { epoch })
    }
}

/// Where a release is published and who vouches for it; what is not given is left out.
#[derive(Debug, Clone, Default)]
pub struct Publishing {
    /// The image's name with its registry, without a tag: `registry.example.com/team/charttrust`.
    pub image: Option<String>,
    /// The fingerprint of the key with which gpg signs chart and checksums.
    pub key: Option<String>,
    /// The folder in which the files of this release will lie, `https://…`, without a slash at its end.
    pub url: Option<String>,
    /// The address that stands for whoever builds.
    pub builder: String,
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// What is in the folder, with its digests, as `SHA256SUMS` lists it.
    pub files: BTreeMap<String, String>,
    /// The digest of the image's manifest.
    pub image: String,
    /// What was left out, and what to give to have it.
    pub left_out: Vec<&'static str>,
}

/// Makes a release.
///
/// # Errors
/// If a part of it cannot be made; the folder then has what was made before, and no checksums.
pub fn write(release: &Release) -> Result<Made, ReleaseError> {
    let mut parts = Parts::new(release)?;
    let archive = parts.programs()?;
    let image = parts.image()?;
    parts.chart(&image)?;
    parts.plugin(&archive)?;
    parts.repository()?;
    parts.materials()?;
    parts.provenance(&image)?;
    parts.sums()?;
    Ok(Made {
        files: parts.files,
        image,
        left_out: parts.left_out,
    })
}

/// The image of a release with this program, as an archive of an OCI layout.
///
/// # Errors
/// If the program is for no machine that there are releases for, or cannot be packed.
pub fn image(program: &[u8], commit: &Commit) -> Result<Vec<u8>, ReleaseError> {
    let machine = Machine::of(program)?;
    Ok(image::of(program, machine, commit)?.archive)
}

/// A release while it is made.
struct Parts<'a> {
    release: &'a Release<'a>,
    signer: Option<Signer>,
    program: Vec<u8>,
    machine: Machine,
    files: BTreeMap<String, String>,
    left_out: Vec<&'static str>,
}

impl<'a> Parts<'a> {
    fn new(release: &'a Release<'a>) -> Result<Self, ReleaseError> {
        std::fs::create_dir(release.out)
            .map_err(|source| ReleaseError::file(release.out, source))?;
        let program = read(release.binary)?;
        let machine = Machine::of(&program)?;
        let said = told(release.binary, &["version"])?;
        if said.trim() != format!("charttrust {VERSION}") {
            let said = said.trim().to_owned();
            return Err(ReleaseError::OtherVersion { said });
        }
        let key = release.publishing.key.as_deref();
        Ok(Self {
            release,
            signer: key.map(Signer::new).transpose()?,
            program,
            machine,
            files: BTreeMap::new(),
            left_out: Vec::new(),
        })
    }

    /// The binary with its pages and completions, in folders and as an archive; gives the name of that.
    fn programs(&mut self) -> Result<String, ReleaseError> {
        let mut entries = vec![
            Entry::file("LICENSE", read(&self.release.source.join("LICENSE"))?),
            Entry::program("charttrust", self.program.as_slice()),
        ];
        for (path, text) in completions(self.release.binary)?
            .into_iter()
            .chain(pages()?)
        {
            self.put(&path, &text)?;
            entries.push(Entry::file(path, text));
        }
        let name = format!("charttrust-{VERSION}-linux-{}.tar.gz", self.machine.name());
        let packed = gzip(&tar(&entries, self.release.commit.epoch)?)?;
        self.put(&name, &packed)?;
        Ok(name)
    }

    fn image(&mut self) -> Result<String, ReleaseError> {
        let image = image::of(&self.program, self.machine, self.release.commit)?;
        let name = format!(
            "charttrust-{VERSION}-image-linux-{}.tar",
            self.machine.name()
        );
        self.put(&name, &image.archive)?;
        Ok(image.digest)
    }

    fn chart(&mut self, image: &str) -> Result<(), ReleaseError> {
        let publishing = self.release.publishing;
        let image = publishing
            .image
            .clone()
            .map(|name| (name, image.to_owned()));
        let known = Known {
            image,
            key: self.signer.as_ref().map(|signer| signer.primary.clone()),
            url: publishing.url.clone(),
        };
        if known.image.is_none() {
            self.left_out
                .push("the image in the chart: give IMAGE=REGISTRY/NAME");
        }
        let folder = self.release.source.join("operator/chart");
        let packed = chart::pack(&folder, &known, self.release.commit)?;
        let name = format!("charttrust-{VERSION}.tgz");
        self.put(&name, &packed)?;
        let Some(signer) = &self.signer else {
            self.left_out.push("signatures: give KEY=FINGERPRINT");
            return Ok(());
        };
        let (binary, out) = (self.release.binary, self.release.out);
        put(out, PUBLIC_KEY, signer.public()?.as_bytes())?;
        put(out, TRUSTED_KEY, signer.declared(binary, out)?.as_bytes())?;
        signer.sign(binary, out, &name)
    }

    fn plugin(&mut self, archive: &str) -> Result<(), ReleaseError> {
        let Some(url) = &self.release.publishing.url else {
            self.left_out
                .push("the manifest for krew: give URL=https://…");
            return Ok(());
        };
        let digest = self.files.get(archive).cloned().unwrap_or_default();
        let manifest = krew::manifest(self.machine, url, archive, &digest);
        self.put("charttrust.yaml", yaml(&manifest)?.as_bytes())
    }

    /// What Artifact Hub wants beside the index of a repository.
    fn repository(&mut self) -> Result<(), ReleaseError> {
        let text = read(&self.release.source.join("operator/artifacthub-repo.yml"))?;
        self.put("artifacthub-repo.yml", &text)
    }

    fn materials(&mut self) -> Result<(), ReleaseError> {
        let bom = bom::of(self.release.crates, &self.program, self.release.commit)?;
        self.put(BOM, &lines(&bom)?)
    }

    fn provenance(&mut self, image: &str) -> Result<(), ReleaseError> {
        let mut subjects = self.files.clone();
        subjects.insert(format!("charttrust:{VERSION}"), image.to_owned());
        subjects.insert("charttrust".to_owned(), sha256(&self.program));
        let (publishing, commit) = (self.release.publishing, self.release.commit);
        let target = self.machine.target();
        let statement = provenance::of(&subjects, self.release.crates, target, publishing, commit);
        self.put(PROVENANCE, &lines(&statement)?)
    }

    /// The checksums, as `sha256sum` reads them. Last, so that a release without them is none.
    fn sums(&mut self) -> Result<(), ReleaseError> {
        let line = |(name, digest): (&String, &String)| {
            format!("{}  {name}\n", digest.trim_start_matches("sha256:"))
        };
        let text: String = self.files.iter().map(line).collect();
        let signature = self
            .signer
            .as_ref()
            .map(|signer| signer.signature(&text))
            .transpose()?;
        let out = self.release.out;
        if let Some(signature) = signature {
            put(out, SIGNATURE, signature.as_bytes())?;
        }
        put(out, SUMS, text.as_bytes())
    }

    fn put(&mut self, name: &str, content: &[u8]) -> Result<(), ReleaseError> {
        put(self.release.out, name, content)?;
        self.files.insert(name.to_owned(), sha256(content));
        Ok(())
    }
}

/// The completions of each shell, as the binary prints them.
fn completions(binary: &Path) -> Result<Vec<(String, Vec<u8>)>, ReleaseError> {
    let script = |(shell, name): (&str, &str)| {
        let script = told(binary, &["completion", shell])?;
        Ok((format!("completions/{name}"), script.into_bytes()))
    };
    SHELLS.into_iter().map(script).collect()
}

/// A manual page for each command that people type.
fn pages() -> Result<Vec<(String, Vec<u8>)>, ReleaseError> {
    let folder =
        tempfile::tempdir().map_err(|source| ReleaseError::file(Path::new("/tmp"), source))?;
    let failed = |source| ReleaseError::file(folder.path(), source);
    clap_mangen::generate_to(charttrust::cli::definition(), folder.path()).map_err(failed)?;
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(folder.path()).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        pages.push((format!("man/{name}"), read(&entry.path())?));
    }
    pages.sort();
    Ok(pages)
}

fn told(binary: &Path, arguments: &[&str]) -> Result<String, ReleaseError> {
    let said = run(Command::new(binary).args(arguments))?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn put(out: &Path, name: &str, content: &[u8]) -> Result<(), ReleaseError> {
    let path = out.join(name);
    let folder = path.parent().unwrap_or(out);
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, content));
    written.map_err(|source| ReleaseError::file(&path, source))
}

fn read(path: &Path) -> Result<Vec<u8>, ReleaseError> {
    std::fs::read(path).map_err(|source| ReleaseError::file(path, source))
}

fn read_text(path: &Path) -> Result<String, ReleaseError> {
    std::fs::read_to_string(path).map_err(|source| ReleaseError::file(path, source))
}

fn lines(value: &Value) -> Result<Vec<u8>, ReleaseError> {
    let text =
        serde_json::to_string_pretty(value).map_err(|source| ReleaseError::Json { source })?;
    Ok(format!("{text}\n").into_bytes())
}

fn yaml(value: &Value) -> Result<String, ReleaseError> {
    serde_saphyr::to_string(value).map_err(|source| ReleaseError::Yaml { source })
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(digest(&SHA256, bytes)))
}

/// Why there is no release.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// An archive cannot be packed.
    #[error("failed to pack an archive")]
    Archive {
        /// What is wrong.
        #[source]
        source: std::io::Error,
    },
    /// The chart is not as a release needs it.
    #[error("operator/chart/{file} {what}")]
    Chart {
        /// Which file of it.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// A program failed or is missing.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file or folder cannot be used.
    #[error("failed to use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What cargo printed cannot be read, or what was made not be written.
    #[error("failed to read or write JSON")]
    Json {
        /// Where.
        #[source]
        source: serde_json::Error,
    },
    /// gpg knows no such key.
    #[error("gpg knows no key {key}: give the fingerprint of one in its keyring")]
    NoKey {
        /// What was asked for.
        key: String,
    },
    /// The binary is for no machine that is released for.
    #[error("the binary is no program for Linux on amd64 or arm64")]
    NoProgram,
    /// The binary does not run alone.
    #[error(
        "the binary needs a loader, and the image has none: build it with -C target-feature=+crt-static"
    )]
    NotStatic,
    /// The commit has a time that is none.
    #[error("{epoch} is no time in seconds since 1970")]
    NoTime {
        /// What was given.
        epoch: u64,
    },
    /// The binary is of other sources.
    #[error("the binary says `{said}`, and these sources are charttrust {VERSION}: build it anew")]
    OtherVersion {
        /// Its answer.
        said: String,
    },
    /// The binary tells where it was built.
    #[error("the binary has the folder {folder} in it: nobody can build the same elsewhere")]
    TellsWhere {
        /// What it tells.
        folder: PathBuf,
    },
    /// `cargo tree` names what `cargo metadata` does not.
    #[error("cargo metadata does not have the crate {package}, or has several of that name")]
    UnknownCrate {
        /// Its name and version.
        package: String,
    },
    /// A document cannot be written.
    #[error("failed to write YAML")]
    Yaml {
        /// Why.
        #[source]
        source: serde_saphyr::SerializeError,
    },
}

impl ReleaseError {
    fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    fn chart(file: &str, what: &str) -> Self {
        Self::Chart {
            file: file.to_owned(),
            what: what.to_owned(),
        }
    }
}

/// What the program is, in one sentence.
const SENTENCE: &str = "Continuous trust for Helm charts on Kubernetes.";
const BOM: &str = concat!("charttrust-", env!("CARGO_PKG_VERSION"), ".cdx.json");
const PROVENANCE: &str = concat!("charttrust-", env!("CARGO_PKG_VERSION"), ".provenance.json");
/// What `sha256sum --check` reads, and its signature.
const SUMS: &str = "SHA256SUMS";
const SIGNATURE: &str = "SHA256SUMS.asc";
/// The public half of the key that signs, and the same as an object to apply.
const PUBLIC_KEY: &str = "signing-key.asc";
const TRUSTED_KEY: &str = "trusted-key.yaml";
/// Shells, and what each calls a file of completions.
const SHELLS: [(&str, &str); 5] = [
    ("bash", "charttrust.bash"),
    ("elvish", "charttrust.elv"),
    ("fish", "charttrust.fish"),
    ("powershell", "charttrust.ps1"),
    ("zsh", "_charttrust"),
];
