//! Everything that reads foreign bytes, and what has to hold whatever they are.
//!
//! A target is one reader with its properties: it panics where one of them does not hold. Two programs feed the
//! same targets: the tests of this crate, with seeds and mutations that are the same each time, and libFuzzer
//! (`make fuzz`, in `e2e/fuzz`), which looks for what no test thought of. `docs/fuzzing.md` lists them.
//!
//! May touch: the files below `operator/verify/tests` and `examples`, for seeds.

mod archives;
mod certificates;
mod cluster;
pub mod mutation;
mod openpgp;
mod provenance;
mod records;
mod sigstore;
mod sigstore_roots;
mod sources;
mod vectors;
mod words;

pub use archives::{archive_of_documents, archive_of_stream};

/// One reader of foreign bytes with what has to hold of it.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line, and in the documents.
    pub name: &'static str,
    /// What it reads.
    pub reads: &'static str,
    /// What has to hold, whatever the bytes are, beside that nothing panics.
    pub holds: &'static str,
    /// Bytes of the longest input that is worth trying.
    pub longest: usize,
    check: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

impl Target {
    /// Reads the bytes.
    ///
    /// # Panics
    /// If anything does not hold that has to.
    pub fn check(&self, bytes: &[u8]) {
        (self.check)(bytes);
    }

    /// Inputs to begin with: what the vectors of the tests hold.
    ///
    /// # Panics
    /// If the vectors cannot be read.
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        (self.seeds)()
    }
}

/// Every target.
pub fn all() -> Vec<Target> {
    [
        sigstore::TARGETS,
        sigstore_roots::TARGETS,
        openpgp::TARGETS,
        provenance::TARGETS,
        archives::TARGETS,
        records::TARGETS,
        sources::TARGETS,
        cluster::TARGETS,
        certificates::TARGETS,
        words::TARGETS,
    ]
    .concat()
}

/// The target of a name.
pub fn named(name: &str) -> Option<Target> {
    all().into_iter().find(|target| target.name == name)
}

/// Parts of an input that a target reads one by one: what stands between bytes 0x1e, which no honest text has.
fn parts<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    let mut all = bytes.splitn(N, |byte| *byte == PART);
    std::array::from_fn(|_| all.next().unwrap_or_default())
}

/// The same as one input.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(&PART)
}

const PART: u8 = 0x1e;
