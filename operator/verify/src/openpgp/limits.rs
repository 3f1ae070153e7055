//! Limits on `OpenPGP` input: everything is refused above them, before any mathematics.

// A ring of 32 maintainers fits; a TrustedKey that holds it inline stays far below the 1.5 MiB of
// etcd.
/// Largest key material of one `TrustedKey`, as given (armored or binary).
pub const KEY_MATERIAL_BYTES: usize = 256 * 1024;
// Certificates from key servers are flooded with signatures of strangers (CVE-2019-13050): the
// honest rest of such a file is a few KiB, and `gpg --export-options export-minimal` gives it.
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
// Each costs one RSA operation, 70 to 600 microseconds for 4096 bits: a hostile certificate costs
// 40 ms at most.
/// Most mathematical checks of self-signatures and revocations of one certificate.
pub const SIGNATURE_CHECKS: usize = 64;
// A stranger can put signatures there by the thousand that name the owner as their issuer. To hash
// one costs a hundredth of the mathematics, and 16 bits of the hash tell all but one in 65,536
// apart.
/// Most hashes that are computed to find the signatures worth a mathematical check.
pub const SIGNATURE_HASHES: usize = 4096;
// Metadata and one signature take a few KiB. Readers that are quadratic in empty lines, as rPGP's
// is (64 KiB: 1 s, 1 MiB: 267 s), showed that a small file is not cheap by itself.
/// Largest provenance file.
pub const MESSAGE_BYTES: usize = 64 * 1024;
/// Most lines of a provenance file.
pub const MESSAGE_LINES: usize = 4096;
// GnuPG writes one for each `--local-user`: a maintainer, a release job and who takes over from
// them.
/// Most signatures of a provenance file.
pub const SIGNATURES: usize = 8;
// The five minutes that Kerberos tolerates, and more than a machine without NTP drifts in a week.
/// How far a creation time may lie ahead of our clock.
pub const CLOCK_SKEW_SECONDS: i64 = 5 * 60;
/// Smallest RSA modulus that is accepted (RFC 9580 section 12.4).
pub const RSA_BITS: usize = 2048;
/// Most user IDs in a summary.
pub const USER_IDS: usize = 8;
/// Most characters of one user ID in a summary.
pub const USER_ID_CHARACTERS: usize = 128;
