//! Charts made for a test, packaged and signed by real Helm.

use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::gpg::Signer;
use crate::helm::{Helm, HelmError};

/// A chart before it is packaged.
#[derive(Debug, Clone)]
pub struct Source {
    name: String,
    version: String,
    files: Vec<(String, Vec<u8>)>,
}

impl Source {
    /// A chart with a Deployment and a `ConfigMap`, and a value `replicas`.
    pub fn new(name: &str, version: &str) -> Self {
        let metadata =
            format!("apiVersion: v2\nname: {name}\nversion: {version}\ndescription: For a test\n");
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            files: Vec::new(),
        }
        .with_file("Chart.yaml", &metadata)
        .with_file("values.yaml", "replicas: 1\n")
        .with_file("templates/config.yaml", CONFIG)
        .with_file("templates/deployment.yaml", DEPLOYMENT)
    }

    /// Adds a file, or replaces the one of that path.
    #[must_use]
    pub fn with_file(self, path: &str, content: &str) -> Self {
        self.with_bytes(path, content.as_bytes())
    }

    /// Adds a file of any bytes, or replaces the one of that path.
    #[must_use]
    pub fn with_bytes(mut self, path: &str, content: &[u8]) -> Self {
        self.files.retain(|(known, _)| known != path);
        self.files.push((path.to_owned(), content.to_vec()));
        self
    }

    /// Packages the chart into the folder `destination`, signed if there is a signer.
    pub async fn package(
        &self,
        helm: &Helm,
        destination: &Path,
        signer: Option<&Signer>,
    ) -> Result<Chart, HelmError> {
        let source = tempfile::Builder::new()
            .prefix("charttrust-chart-")
            .tempdir()?;
        let folder = source.path().join(&self.name);
        self.write(&folder)?;
        helm.package(&folder, destination, signer).await?;
        let archive = destination.join(format!("{}-{}.tgz", self.name, self.version));
        Ok(Chart {
            name: self.name.clone(),
            version: self.version.clone(),
            archive,
        })
    }

    /// Writes the chart into a folder, as people have it before it is packaged.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        for (path, content) in &self.files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
            std::fs::write(path, content)?;
        }
        Ok(())
    }
}

/// A packaged chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The archive.
    pub archive: PathBuf,
}

impl Chart {
    /// Where the provenance file lies, if the chart is signed.
    pub fn provenance(&self) -> PathBuf {
        let mut path = self.archive.clone().into_os_string();
        path.push(".prov");
        path.into()
    }

    /// Digest of the archive, as a policy pins it.
    pub fn digest(&self) -> std::io::Result<String> {
        let bytes = std::fs::read(&self.archive)?;
        Ok(format!("sha256:{}", hex::encode(digest(&SHA256, &bytes))))
    }

    /// What Helm signed: the text of the provenance file without its signature.
    pub fn statement(&self) -> std::io::Result<String> {
        let provenance = std::fs::read_to_string(self.provenance())?;
        let (_, body) = provenance.split_once("\n\n").unwrap_or_default();
        let (body, _) = body
            .split_once("\n-----BEGIN PGP SIGNATURE-----")
            .unwrap_or_default();
        let lines = body
            .lines()
            .map(|line| line.strip_prefix("- ").unwrap_or(line));
        Ok(lines.flat_map(|line| [line, "\n"]).collect())
    }

    /// Replaces the provenance file.
    pub fn prove(&self, provenance: &str) -> std::io::Result<()> {
        std::fs::write(self.provenance(), provenance)
    }

    /// Adds a line to every template of the archive and leaves the provenance as it is: a sound
    /// archive that nobody signed.
    pub fn tamper(&self) -> std::io::Result<()> {
        self.repack(|template| vec![with_line(template)])
    }

    /// Packs every template twice, with different content, and leaves the provenance as it is: Helm
    /// renders the last of them, and other readers see the first.
    pub fn repeat_templates(&self) -> std::io::Result<()> {
        self.repack(|template| vec![with_line(template), template.to_owned()])
    }

    /// Packs the archive anew with other contents of each template, each as an entry of its own.
    fn repack(&self, change: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> std::io::Result<()> {
        let original = std::fs::File::open(&self.archive)?;
        let mut entries = tar::Archive::new(GzDecoder::new(original));
        let mut packed = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for entry in entries.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            let contents = if path.iter().any(|part| part == "templates") {
                change(&content)
            } else {
                vec![content]
            };
            for content in contents {
                let mut header = entry.header().clone();
                header.set_size(content.len() as u64);
                packed.append_data(&mut header, &path, content.as_slice())?;
            }
        }
        std::fs::write(&self.archive, packed.into_inner()?.finish()?)
    }
}

fn with_line(template: &[u8]) -> Vec<u8> {
    [template, b"# tampered\n"].concat()
}

const CONFIG: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  chart: {{ .Chart.Name }}-{{ .Chart.Version }}
";

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  labels: {app.kubernetes.io/instance: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels: {app.kubernetes.io/instance: {{ .Release.Name }}}
  template:
    metadata:
      labels: {app.kubernetes.io/instance: {{ .Release.Name }}}
    spec:
      containers:
        - name: main
          image: registry.example.com/pause:1
";
