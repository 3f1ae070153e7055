//! What a source may cost: bytes, time, hops and memory.

use std::time::Duration;

/// Bounds on everything that comes from a source.
///
/// The defaults are those of the operator; tests make them small.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most bytes of a chart archive, compressed.
    pub archive_bytes: u64,
    /// Most bytes that remembered answers may take together.
    pub cached_bytes: usize,
    /// Most repository indexes remembered.
    pub cached_indexes: usize,
    /// Most answers about chart versions remembered.
    pub cached_fetches: usize,
    /// Longest time for name look-up, TCP and TLS of one connection.
    pub connect: Duration,
    /// Longest silence of a source in the middle of an answer.
    pub idle: Duration,
    /// Most bytes of a repository index.
    pub index_bytes: u64,
    /// Most bytes of a repository index between one chart version and the next: of one entry, or of what
    /// is no entry.
    pub index_entry_bytes: usize,
    /// How long an index counts as current before it is revalidated. A version it does not list is
    /// asked for again at once, whatever the age of the index.
    // A hundred releases of one repository that are polled together ask for its index once.
    pub index_fresh_for: Duration,
    /// Most bytes of names, versions and URLs kept of one index.
    pub index_text_bytes: usize,
    /// Most chart versions in one index, and most charts.
    pub index_versions: usize,
    /// Most bytes of a copy of an OpenPGP key.
    pub key_bytes: u64,
    /// How long the source of a large body may take while others wait for its place: eight slow ones keep an
    /// honest one from neither index nor archive within one look.
    pub large_turn: Duration,
    /// Most bytes of a manifest, or of a page of tags, of a registry.
    pub manifest_bytes: u64,
    /// Most bytes of a provenance file.
    pub provenance_bytes: u64,
    /// Most redirects followed for one answer.
    pub redirects: usize,
    /// Longest wait that a `Retry-After` header can ask for.
    // A source that asks for a day would blind us for a day to what it says of a key.
    pub retry_after: Duration,
    /// Most bytes of a signature, and of a manifest that lists some.
    pub signature_bytes: u64,
    /// Longest time for one answer, redirects and body included.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive_bytes: 20 * MIB,
            cached_bytes: 64 << 20,
            cached_indexes: 64,
            cached_fetches: 4096,
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            index_bytes: 64 * MIB,
            // The largest entries known have some 100 KiB of annotations. A parser holds one piece of text as
            // a whole, several times over while it grows.
            index_entry_bytes: 1 << 20,
            index_fresh_for: Duration::from_secs(30),
            index_text_bytes: 32 << 20,
            index_versions: 200_000,
            key_bytes: MIB,
            large_turn: Duration::from_secs(15),
            // As much as every registry takes, by the distribution specification; real ones have a few KiB.
            manifest_bytes: 4 * MIB,
            // What the engine reads at most: more would be fetched for nothing.
            provenance_bytes: 64 * 1024,
            // GitHub takes two for an asset of the latest release: to its tag, then to where it is
            // stored.
            redirects: 3,
            retry_after: Duration::from_secs(3600),
            // What the engine reads of a bundle at most.
            signature_bytes: MIB,
            total: Duration::from_secs(60),
        }
    }
}

const MIB: u64 = 1 << 20;
