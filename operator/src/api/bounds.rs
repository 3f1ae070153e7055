//! How long and how many: every bound of the schemas, and the patterns of their strings.
//!
//! The server estimates the cost of each rule from these bounds, so they are part of the contract.

use charttrust_verify::scheme::Scheme;

/// Longest name of an object (a DNS subdomain).
pub const NAME: usize = 253;
/// Longest name of a rule, an exception or a namespace (a DNS label).
pub const LABEL: usize = 63;
/// Longest text for people: owner, justification.
pub const TEXT: usize = 1024;
/// Longest message of a condition or finding. Counted in bytes when we write.
// 256 findings with messages of this length take 128 KiB, a tenth of what etcd takes of an object.
pub const MESSAGE: usize = 512;
/// Longest message of a condition that names everything it is about, such as all releases that are
/// due. Kubernetes allows 32768.
pub const LISTING: usize = 16_384;
/// Longest URL.
pub const URL: usize = 512;
/// Longest glob of a chart or release: a namespace, a slash and a name.
pub const GLOB: usize = 317;
/// Longest version, constraint or duration.
pub const VERSION: usize = 256;
/// Longest duration.
pub const DURATION: usize = 32;
/// Longest point in time, with fractions and offset.
pub const TIME: usize = 64;
/// Longest word of a vocabulary.
pub const WORD: usize = 64;

/// A signature in base64.
pub const SIGNATURE: usize = 88;
/// Length of `sha256:` and its digits.
pub const DIGEST: usize = 71;
/// Longest issuer, subject or claim of a certificate, and pattern of one (the engine reads no more).
pub const FACT: usize = 1024;
/// Longest fingerprint, in hexadecimal digits.
// Of version 6 keys; those of version 4 have 40.
pub const FINGERPRINT: usize = 64;
/// Largest key material of one `TrustedKey`, in characters (the engine reads no more than 256 KiB).
pub const MATERIAL: usize = 262_144;
/// Largest bare revocation certificate, in characters.
pub const CERTIFICATE: usize = 65_536;
/// Longest value that is saved for a restore, as JSON.
pub const SAVED: usize = 4096;
/// Most entries of an ordinary list: globs, keys, rules, exceptions.
// The cost of a CEL rule grows with the product of the bounds of the lists that it walks; a CRD
// whose estimate is above the server's budget is refused at installation.
pub const LIST: usize = 64;
/// Most entries of a short list: sources, mirrors, conditions, revocation certificates.
pub const SHORT_LIST: usize = 16;
/// Most entries of a long list: namespaces, pins, findings.
pub const LONG_LIST: usize = 256;

/// Most first verifications that a release keeps of other contents: those of two umbrella charts.
pub const WITNESSES: usize = 128;
/// Length of one of them.
pub const WITNESS: usize = 32;
/// Largest evidence of a release, as JSON, in bytes: a third of what etcd takes of an object. Whoever publishes
/// a chart decides how much there is.
pub const EVIDENCE_SIZE: usize = 524_288;
/// Most Sigstore signatures of an archive (the engine looks at no more).
pub const BUNDLES: usize = 32;
/// Longest record of a Sigstore signature that was verified, as JSON. Real ones take 2 KiB.
// Issuer, subject and seven claims of 1 KiB each take 9 KiB, six times as much where all of it is escaped, and
// up to 12 names of authorities with 512 bytes.
pub const RECORD: usize = 131_072;
/// Most subcharts that an archive is said to carry: one more than are looked at says that there are more.
pub const SUBCHARTS: usize = LIST + 1;

/// Most objects of one quarantine. What etcd takes of a whole object is a little more than a MiB, so
/// their size is bounded too.
pub const OBJECTS: usize = 2048;
/// Largest list of objects of one quarantine, as JSON, in bytes.
// Half of the 1.5 MiB that etcd takes (`--max-request-bytes`); the rest is for whatever else the
// object carries.
pub const OBJECTS_SIZE: usize = 786_432;

/// A DNS subdomain, as names of objects are.
pub const NAME_PATTERN: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// A DNS label.
pub const LABEL_PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A key inside a `ConfigMap` or Secret.
pub const DATA_KEY_PATTERN: &str = r"^[-._a-zA-Z0-9]+$";
/// A glob of chart names.
pub const CHART_GLOB_PATTERN: &str = r"^[^\s/]+$";
/// A glob of `name` or `namespace/name`.
pub const RELEASE_GLOB_PATTERN: &str = r"^[^\s/]+(/[^\s/]+)?$";
/// A Go duration without sign.
pub const DURATION_PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$";
/// A full OpenPGP fingerprint.
pub const FINGERPRINT_PATTERN: &str = r"^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$";
/// A full OpenPGP fingerprint, or the digest of a public key.
pub const ANY_FINGERPRINT_PATTERN: &str =
    r"^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|sha256:[0-9a-f]{64})$";
/// An address of a folder, over HTTP.
pub const FOLDER_PATTERN: &str = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$";
/// A digest of an archive.
pub const DIGEST_PATTERN: &str = r"^sha256:[0-9a-f]{64}$";

/// The pattern of an address of a chart source: one of the schemes, without user, query or fragment.
pub fn source_pattern() -> String {
    // A scheme may have `+` and `.` in it, which mean something else in a pattern.
    let plain = |scheme: &Scheme| scheme.word().replace('.', r"\.").replace('+', r"\+");
    let words: Vec<_> = Scheme::ALL.iter().map(plain).collect();
    format!(r"^({})://[^\s/?#@]+(/[^\s?#]*)?$", words.join("|"))
}

/// What `repository` of a source must look like.
pub fn repository_pattern() -> String {
    let scheme = Scheme::Oci.word();
    format!(r"^{scheme}://[^\s/?#@]+/[^\s?#]*[^\s?#/]$")
}

/// The text, cut to at most `bytes` bytes at a character border; the cut shows as `…`.
///
/// Status fields hold text that others wrote, and one that is too long would make the server
/// refuse the whole status.
pub fn fit(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let room = bytes.saturating_sub(ELLIPSIS.len());
    let end = (0..=room)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{}{ELLIPSIS}", &text[..end])
}

const ELLIPSIS: &str = "…";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_at_the_bound_is_kept_and_one_more_is_cut() {
        assert_eq!(fit(&"a".repeat(512), 512), "a".repeat(512));
        assert_eq!(fit(&"a".repeat(513), 512), format!("{}…", "a".repeat(509)));
    }

    #[test]
    fn text_is_cut_at_a_character() {
        let cut = fit(&"ä".repeat(300), 512);
        assert_eq!(cut, format!("{}…", "ä".repeat(254)));
        assert!(cut.len() <= 512);
    }
}
