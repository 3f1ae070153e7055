//! Archives whose bytes say nothing but what is in them: no owner, no user's name, one time for all.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::ReleaseError;

/// A file, or a folder if its path ends with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    path: String,
    mode: u32,
    content: Vec<u8>,
}

impl Entry {
    /// A file that everybody may read.
    pub(crate) fn file(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            mode: 0o644,
            content: content.into(),
        }
    }

    /// A file that everybody may run.
    pub(crate) fn program(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self {
            mode: 0o755,
            ..Self::file(path, content)
        }
    }

    /// A folder with these permissions. Its path ends with `/`.
    pub(crate) fn folder(path: &str, mode: u32) -> Self {
        Self {
            mode,
            ..Self::file(path, Vec::new())
        }
    }
}

/// A tar archive of the entries, in their order, each of the time `epoch` (seconds since 1970).
pub(crate) fn tar(entries: &[Entry], epoch: u64) -> Result<Vec<u8>, ReleaseError> {
    let mut builder = Builder::new(Vec::new());
    let packed = entries
        .iter()
        .try_for_each(|entry| append(&mut builder, entry, epoch));
    let bytes = packed.and_then(|()| builder.into_inner());
    bytes.map_err(|source| ReleaseError::Archive { source })
}

fn append(builder: &mut Builder<Vec<u8>>, entry: &Entry, epoch: u64) -> std::io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_path(&entry.path)?;
    header.set_entry_type(if entry.path.ends_with('/') {
        EntryType::Directory
    } else {
        EntryType::Regular
    });
    header.set_mode(entry.mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch);
    header.set_size(entry.content.len() as u64);
    header.set_cksum();
    builder.append(&header, entry.content.as_slice())
}

/// The bytes, compressed; the header has neither a name nor a time.
pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>, ReleaseError> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.map_err(|source| ReleaseError::Archive { source })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn an_entry_has_its_mode_and_the_time_and_no_owner() {
        let entries = [
            Entry::folder("tmp/", 0o1777),
            Entry::program("bin/a", "program"),
            Entry::file("b", "text"),
        ];
        let packed = tar(&entries, 1_700_000_000).unwrap();
        let mut archive = tar::Archive::new(packed.as_slice());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.mtime().unwrap(), 1_700_000_000);
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            seen.push((path, header.mode().unwrap(), content));
        }
        let expected = [
            ("tmp/", 0o1777, ""),
            ("bin/a", 0o755, "program"),
            ("b", 0o644, "text"),
        ];
        let expected = expected.map(|(path, mode, text)| (path.to_owned(), mode, text.to_owned()));
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_compressed_has_no_time() {
        let packed = gzip(b"text").unwrap();
        assert_eq!(packed[4..8], [0; 4]);
        let mut text = String::new();
        let mut decoder = flate2::read::GzDecoder::new(packed.as_slice());
        decoder.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    }
}
