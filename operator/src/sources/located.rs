//! What is asked of an origin, and what it answers.

use charttrust_verify::digest::Sha256Digest;
use reqwest::Url;
use tokio::time::Instant;

/// One version of one chart.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) chart: &'a str,
    pub(super) version: &'a str,
    /// The manifest that a deployer says it has taken, of a registry.
    pub(super) manifest: Option<Sha256Digest>,
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
