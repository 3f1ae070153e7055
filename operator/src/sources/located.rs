//! What is asked of an origin, and what it answers.

use charttrust_verify::digest::Sha256Digest;
use reqwest::Url;
use tokio::time::Instant;

/// One version of one chart.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) chart: &'a str,
    pub(super) version: &'a str,
    /// Which manifest of a registry is meant, if not the one that the tag stands for.
    pub(super) manifest: Option<Manifest>,
}

/// A manifest of a registry, by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// The one that a deployer says it has taken: where the tag stands for another archive by now, it is asked
    /// for.
    Deployed(Sha256Digest),
    /// This one, and no tag is asked.
    Exactly(Sha256Digest),
}

impl Manifest {
    /// Tells apart what is asked about one version, for a fingerprint.
    pub(super) fn key(wanted: Option<&Self>) -> [&[u8]; 2] {
        match wanted {
            None => [b"tag", b""],
            Some(Self::Deployed(digest)) => [b"deployed", digest.as_bytes()],
            Some(Self::Exactly(digest)) => [b"exactly", digest.as_bytes()],
        }
    }
}

/// One published version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The name of the chart.
    pub chart: String,
    /// The version, as the source writes it; in a registry the tag, with `+` for `_`.
    pub version: String,
}

/// Where one version of a chart lies.
pub(super) struct Located {
    /// When the origin last confirmed it.
    pub(super) at: Instant,
    /// Address of the archive.
    pub(super) archive: Url,
    /// SHA-256 that the origin claims for the archive. It is signed by nobody.
    pub(super) claimed_digest: Option<Sha256Digest>,
    /// Whether its tag stands for another archive by now, or for none, than the manifest that was wanted.
    pub(super) is_moved: bool,
    /// The manifest that lists it, in a registry.
    pub(super) manifest: Option<Sha256Digest>,
    /// Its size, where the address is that of a digest: then there are never other bytes.
    pub(super) size: Option<u64>,
    /// Its provenance file.
    pub(super) provenance: Statement,
}

/// Where a provenance file is.
pub(super) enum Statement {
    /// It may lie at one of these addresses, the likeliest first.
    Beside(Vec<Url>),
    /// The origin lists all that belongs to the archive, and this is it.
    Listed {
        /// Its address.
        url: Url,
        /// SHA-256 that the origin claims for it.
        digest: Sha256Digest,
        /// Its size, as the origin has it.
        size: u64,
    },
    /// The origin lists all that belongs to the archive, and there is none.
    None,
}
