//! What a source may cost: bytes, time, hops and memory.

use std::time::Duration;

/// Bounds on everything that comes from a source.
///
/// The defaults are those of the operator; tests make them small.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most bytes of a chart archive, compressed.
    pub archive_bytes: u64,
    /// Most bytes that remembered looks may take together.
    pub cached_bytes: usize,
    /// Most repository indexes remembered.
    pub cached_indexes: usize,
    /// Most looks remembered.
    pub cached_looks: usize,
    /// Longest time for name look-up, TCP and TLS of one connection.
    pub connect: Duration,
    /// Longest silence of a source in the middle of an answer.
    pub idle: Duration,
    /// Most bytes of a repository index.
    pub index_bytes: u64,
    /// How long an index counts as current before it is revalidated. A version it does not list is
    /// asked for again at once, whatever the age of the index.
    pub index_fresh_for: Duration,
    /// Most bytes of names, versions and URLs kept of one index.
    pub index_text_bytes: usize,
    /// Most chart versions in one index.
    pub index_versions: usize,
    /// Most bytes of a copy of an OpenPGP key.
    pub key_bytes: u64,
    /// Most bytes of a provenance file.
    pub provenance_bytes: u64,
    /// Most redirects followed for one answer.
    pub redirects: usize,
    /// Longest wait that a `Retry-After` header can ask for.
    pub retry_after: Duration,
    /// Longest time for one answer, redirects and body included.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive_bytes: 20 * MIB,
            cached_bytes: 64 << 20,
            cached_indexes: 64,
            cached_looks: 4096,
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            index_bytes: 64 * MIB,
            index_fresh_for: Duration::from_secs(30),
            index_text_bytes: 32 << 20,
            index_versions: 200_000,
            key_bytes: MIB,
            provenance_bytes: 64 * 1024,
            redirects: 3,
            retry_after: Duration::from_secs(3600),
            total: Duration::from_secs(60),
        }
    }
}

const MIB: u64 = 1 << 20;
