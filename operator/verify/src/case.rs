//! What is judged: one revision of a release, and one archive of it under one rule.

use jiff::Timestamp;

use crate::deployer::Deployer;
use crate::evidence::{ArchiveFacts, Evidence};
use crate::key::Key;
use crate::policy::{ReleaseRef, Rule};
use crate::sigstore::SigstoreSigners;

/// One judged revision of a release.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The release as policies see it.
    pub release: ReleaseRef<'a>,
    /// Chart name in the record.
    pub chart: &'a str,
    /// Chart version in the record.
    pub version: &'a str,
    /// What deploys it; whoever names where the chart comes from decides which source counts.
    pub deployers: &'a [Deployer],
    /// What is known of the chart.
    pub evidence: &'a Evidence,
}

/// Everybody whose signatures are known.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Keys of OpenPGP.
    pub keys: &'a [Key],
    /// Public keys and identities.
    pub sigstore: &'a SigstoreSigners,
}

/// One archive, judged under one rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) case: &'a Case<'a>,
    pub(crate) rule: &'a Rule,
    pub(crate) keys: &'a [Key],
    pub(crate) sigstore: &'a SigstoreSigners,
    pub(crate) source: &'a str,
    pub(crate) facts: &'a ArchiveFacts,
    pub(crate) now: Timestamp,
}
