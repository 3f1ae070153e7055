//! Limits on Sigstore input: everything is refused above them, before any mathematics.

// A keyless bundle takes 4 to 16 KiB; an attestation carries its statement, and an SBOM in it takes
// hundreds.
/// Largest bundle in bytes.
pub const BUNDLE_BYTES: usize = 1024 * 1024;
// Real ones take 250 bytes.
/// Largest simple signing payload in bytes.
pub const PAYLOAD_BYTES: usize = 64 * 1024;
// A certificate in PEM takes 1 KiB, a log entry 4.
/// Largest annotation beside a simple signing payload, in bytes.
pub const ANNOTATION_BYTES: usize = 64 * 1024;
// The public-good root takes 7 KiB, and a ConfigMap holds 1 MiB.
/// Largest trusted root in bytes.
pub const ROOT_BYTES: usize = 1024 * 1024;
// Each certificate authority is asked in turn. The public-good root has 2 of each kind, that of GitHub 8.
/// Most entries of one kind in a trusted root.
pub const ROOT_ENTRIES: usize = 64;
// Real charts have one or two; whoever may write beside a chart may add more.
/// Most Sigstore signatures of one archive.
pub const BUNDLES: usize = 32;
// Writers put one of each into a bundle; the format has a list, since logs may be several.
/// Most log entries of a bundle.
pub const LOG_ENTRIES: usize = 4;
/// Most timestamps of a bundle.
pub const TIMESTAMPS: usize = 4;
/// Most certificates of a bundle; a chain of Fulcio has three.
pub const CERTIFICATES: usize = 8;
// Tenants name their workflows and branches. What is longer is refused and never cut: a cut subject
// would be another one's.
/// Longest issuer, subject or claim in bytes.
pub const FACT_BYTES: usize = 1024;
// RSA-8192 takes 1.4 KiB, ML-DSA-87 takes 3.6.
/// Largest public key in bytes, as PEM.
pub const PUBLIC_KEY_BYTES: usize = 16 * 1024;
/// Longest pattern in bytes: that of what it is compared with.
pub const PATTERN_BYTES: usize = FACT_BYTES;
/// Most windows of a revocation.
pub const WINDOWS: usize = 64;
