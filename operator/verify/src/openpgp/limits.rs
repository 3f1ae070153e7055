//! Limits on `OpenPGP` input: everything is refused above them, before any mathematics.

/// Largest key material of one `TrustedKey`, as given (armored or binary).
pub const KEY_MATERIAL_BYTES: usize = 256 * 1024;
/// Largest single certificate after removing the armor.
pub const CERTIFICATE_BYTES: usize = 64 * 1024;
/// Most certificates in one piece of key material.
pub const CERTIFICATES: usize = 32;
/// Most packets in one piece of key material.
pub const PACKETS: usize = 4096;
/// Largest key packet; RSA-8192 needs 1 KiB, ML-DSA-87 with Ed448 needs 2.6 KiB.
pub const KEY_PACKET_BYTES: usize = 4 * 1024;
/// Most subkeys of one certificate.
pub const SUBKEYS: usize = 64;
/// Most mathematical checks of self-signatures and revocations of one certificate.
pub const SIGNATURE_CHECKS: usize = 64;
/// Most hashes that are computed to find the signatures worth a mathematical check.
pub const SIGNATURE_HASHES: usize = 4096;
/// Largest provenance file.
pub const MESSAGE_BYTES: usize = 64 * 1024;
/// Most lines of a provenance file.
pub const MESSAGE_LINES: usize = 4096;
/// Most signatures of a provenance file.
pub const SIGNATURES: usize = 8;
/// How far a creation time may lie ahead of our clock.
pub const CLOCK_SKEW_SECONDS: i64 = 5 * 60;
/// Smallest RSA modulus that is accepted (RFC 9580 section 12.4).
pub const RSA_BITS: usize = 2048;
/// Most user IDs in a summary.
pub const USER_IDS: usize = 8;
/// Most characters of one user ID in a summary.
pub const USER_ID_CHARACTERS: usize = 128;
