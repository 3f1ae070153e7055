//! Chart archives and the documents in them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::LazyLock;

use charttrust_verify::chart::{self, Chart};
use charttrust_verify::digest::{Digested, Sha256Digest};
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::{provenance, statement};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::{Target, joined, parts, vectors};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "gzip",
        reads: "a chart archive as it is downloaded",
        holds: "Within limits; it is the digest of its bytes; other readers of gzip and tar find every part with the same content.",
        longest: 16384,
        check: gzip,
        seeds: archives,
    },
    Target {
        name: "tar",
        reads: "a tar stream, the sums of its headers mended",
        holds: "What is read, another reader of tar reads with the same names and contents.",
        longest: 32768,
        check: tar,
        seeds: streams,
    },
    Target {
        name: "documents",
        reads: "Chart.yaml, Chart.lock, requirements.yaml and values.yaml of an archive",
        holds: "What `sign` writes about it is read again as the same chart; memory is bounded by what was read.",
        longest: 4096,
        check: documents,
        seeds: metadata,
    },
];

/// A tar archive in the making.
#[derive(Clone, Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    /// With one more file.
    pub(crate) fn file(mut self, name: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(10);
        header.set_size(content.len() as u64);
        header.set_entry_type(tar::EntryType::Regular);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The archive.
    pub(crate) fn gzip(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        gzipped(&self.0)
    }
}

/// In gzip, without looking for anything to compress.
pub(crate) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    // Invariant: writing to memory cannot fail.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_else(|error| panic!("memory cannot be written: {error}"))
}

/// Little, so that a fuzzer reaches the limits.
fn limits() -> ArchiveLimits {
    ArchiveLimits {
        file_bytes: 256 * 1024,
        stream_bytes: 512 * 1024,
        entries: 64,
        ..ArchiveLimits::default()
    }
}

fn archives() -> Vec<Vec<u8>> {
    vectors::all("data", ".tgz")
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect()
}

fn gzip(bytes: &[u8]) {
    let limits = limits();
    let read = chart::read(bytes, &limits);
    let again = chart::read_digested(&Digested::of(bytes), &limits);
    assert_eq!(told(&read), told(&again), "read in two ways");
    if let Ok(chart) = read {
        assert_eq!(chart.digest, Sha256Digest::of(bytes));
        assert!(chart.weight() as u64 <= (64 << 10) + 64 * limits.file_bytes);
        same_parts(&chart, &unzipped(bytes));
    }
}

fn told<E: std::fmt::Debug>(read: &Result<Chart, E>) -> String {
    format!("{read:?}")
}

/// As far as another reader of gzip gets: Go reads nothing behind the end of the tar stream either, no sum of it.
fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let (mut stream, mut piece) = (Vec::new(), [0; 4096]);
    let mut reader = MultiGzDecoder::new(bytes).take(1 << 20);
    while let Ok(read @ 1..) = reader.read(&mut piece) {
        stream.extend_from_slice(&piece[..read]);
    }
    stream
}

fn streams() -> Vec<Vec<u8>> {
    let small = Tar::default()
        .file(
            "web/Chart.yaml",
            b"apiVersion: v2\nname: web\nversion: 1.2.3\n",
        )
        .file("web/values.yaml", b"a: 1\n")
        .file("web/templates/a", b"a");
    let mut long = tar::Builder::new(Vec::new());
    for name in [
        "web/Chart.yaml".to_owned(),
        format!("web/{}", "long/".repeat(40)),
    ] {
        let content = b"apiVersion: v2\nname: web\nversion: 1.2.3\n".as_slice();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        let appended = long.append_data(
            &mut header,
            format!("{name}x").trim_end_matches("yamlx"),
            content,
        );
        appended.unwrap_or_else(|error| panic!("memory cannot be written: {error}"));
    }
    let extended =
        long.append_pax_extensions([("path", b"web/templates/b".as_slice()), ("mtime", b"1.5")]);
    extended.unwrap_or_else(|error| panic!("memory cannot be written: {error}"));
    let long = long.into_inner().unwrap_or_default();
    let real = archives().into_iter().map(|bytes| unzipped(&bytes));
    real.chain([small.0, long]).collect()
}

/// Mends the sums of the headers, as far as their sizes lead from one to the next.
fn sealed(mut stream: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(header) = stream.get_mut(at..at + 512) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = header[124..136].iter().filter(|byte| byte.is_ascii_digit());
        let digits: String = digits.map(|byte| char::from(*byte)).collect();
        let size = usize::from_str_radix(&digits, 8).unwrap_or_default();
        at = at
            .saturating_add(512)
            .saturating_add(size.min(1 << 20).next_multiple_of(512));
    }
    stream
}

fn tar(bytes: &[u8]) {
    let stream = sealed(bytes.to_vec());
    let Ok(chart) = chart::read(&gzipped(&stream), &limits()) else {
        return;
    };
    same_parts(&chart, &stream);
}

/// That another reader of tar finds every part.
fn same_parts(chart: &Chart, stream: &[u8]) {
    let (theirs, is_all) = entries(stream);
    for part in chart.templates.iter().chain(&chart.files) {
        // What Go's encoder of JSON or Windows has written otherwise.
        if part.name.is_ascii() && !part.name.contains(['\\', '<', '>', '&']) {
            let digest = theirs.get(&part.name);
            let is_same = digest.map_or(!is_all, |digest| *digest == part.digest);
            assert!(is_same, "{} in {theirs:?}", part.name);
        }
    }
}

/// What the crate `tar` reads: the contents by their names within the chart, and whether it got to the end. Go needs
/// nothing that fills the last block, and takes a size of blanks for none; it does not.
fn entries(stream: &[u8]) -> (BTreeMap<String, Sha256Digest>, bool) {
    let mut all = BTreeMap::new();
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries().into_iter().flatten() {
        let Ok(mut entry) = entry else {
            return (all, false);
        };
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        // As Helm splits what Windows has written.
        let border = if path.contains('\\') { '\\' } else { '/' };
        let mut content = Vec::new();
        if entry.read_to_end(&mut content).is_err() {
            return (all, false);
        }
        let content = content
            .strip_prefix(b"\xef\xbb\xbf".as_slice())
            .unwrap_or(&content);
        if let Some((_, name)) = path.split_once(border) {
            all.insert(
                cleaned(&name.replace(border, "/")),
                Sha256Digest::of(content),
            );
        }
    }
    (all, true)
}

/// As Go's `path.Clean` leaves it.
fn cleaned(path: &str) -> String {
    let mut steps = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." if steps.last().is_some_and(|last| *last != "..") => _ = steps.pop(),
            step => steps.push(step),
        }
    }
    steps.join("/")
}

fn metadata() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for case in [
        "blanks",
        "dependencies",
        "free-imports",
        "keys",
        "lists",
        "long",
        "marks",
        "numbers",
        "plain",
        "v1",
    ] {
        let metadata = vectors::read(&format!("data/statements/{case}/Chart.yaml"));
        all.push(joined(&[&metadata, b"", b"", b"a: {b: [1, 2.5, null]}\n"]));
    }
    let requirements = vectors::read("data/statements/v1/requirements.yaml");
    let plain = b"name: a\nversion: 1.0.0\n".as_slice();
    let lock = b"digest: sha256:00\ngenerated: \"2026-11-18T00:00:00Z\"\ndependencies:\n- name: b\n  version: 1.0.0\n  repository: \"\"\n";
    all.push(joined(&[plain, lock, &requirements, b"x: &a 1\ny: *a\n"]));
    all.push(joined(&[
        b"apiVersion: v2\nname: a\nversion: 1.0.0\n",
        lock,
        b"",
        b"---\na: 1\n---\na: {b: ~}\n",
    ]));
    all
}

/// Statements that `sign` writes and whose strict reader refuses them, as it must: they have names that fold to one.
static REFUSED: LazyLock<[provenance::ProvenanceError; 3]> = LazyLock::new(|| {
    use provenance::ProvenanceError;
    [
        ProvenanceError::NotPlain,
        ProvenanceError::Documents,
        ProvenanceError::TooLarge { limit: 0, unit: "" },
    ]
});

/// The archive with the documents that the target `documents` reads.
pub fn archive_of_documents(bytes: &[u8]) -> Vec<u8> {
    let [metadata, lock, requirements, values] = parts(bytes);
    let mut tar = Tar::default().file("x/Chart.yaml", metadata);
    for (name, content) in [
        ("Chart.lock", lock),
        ("requirements.yaml", requirements),
        ("values.yaml", values),
    ] {
        if !content.is_empty() {
            tar = tar.file(&format!("x/{name}"), content);
        }
    }
    tar.gzip()
}

/// The archive of a stream, the sums of its headers mended, as the target `tar` reads it.
pub fn archive_of_stream(bytes: &[u8]) -> Vec<u8> {
    gzipped(&sealed(bytes.to_vec()))
}

fn documents(bytes: &[u8]) {
    let archive = archive_of_documents(bytes);
    let Ok(chart) = chart::read(&archive, &ArchiveLimits::default()) else {
        return;
    };
    // What is repeated by an alias counts as often as it is repeated.
    let yaml = ArchiveLimits::default().yaml;
    let most = if bytes.contains(&b'*') {
        4 * yaml.scalar_bytes + 256 * yaml.nodes
    } else {
        (16 << 10) + 256 * bytes.len()
    };
    assert!(chart.weight() <= most, "{} bytes", chart.weight());
    let Ok(signed) = statement::of(&archive, &ArchiveLimits::default()) else {
        return;
    };
    assert_eq!(signed.chart.metadata, chart.metadata);
    match provenance::parse(&signed.text) {
        Ok(read) => {
            assert_eq!(read.claimed_name, chart.metadata.name);
            assert_eq!(read.claimed_version, chart.metadata.version);
            let digest = read.digest_of(&read.claimed_name, &read.claimed_version);
            assert_eq!(digest, Some(Sha256Digest::of(&archive)), "{}", signed.text);
        }
        Err(error) => {
            let is_known = REFUSED
                .iter()
                .any(|one| std::mem::discriminant(one) == std::mem::discriminant(&error));
            assert!(is_known, "{error}: {}", signed.text);
        }
    }
    let (own, _) = signed.text.split_once("\n...\n").unwrap_or_default();
    let again = Tar::default().file("x/Chart.yaml", own.as_bytes()).gzip();
    let again = statement::of(&again, &ArchiveLimits::default());
    let again = again.unwrap_or_else(|error| panic!("{error}: {own}"));
    let own_again = again.text.split_once("\n...\n").map(|(own, _)| own);
    assert_eq!(own_again, Some(own), "written again it is another");
}
