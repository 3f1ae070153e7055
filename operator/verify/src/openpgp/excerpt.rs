//! One key out of a file of many, as it is handed on: nothing about it is left out.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::armor;
use super::assemble::load;
use super::certificate::{Certificate, Parts};
use super::error::CertificateError;
use super::fingerprint::Fingerprint;
use super::keys::Key;
use super::material::{counted, decoded};
use super::packets::{self, Packet};

/// A key as others read it.
#[derive(Clone, Debug)]
pub struct Excerpt {
    /// The packets of the key, once for each time that it stands in the file.
    keys: Vec<Vec<u8>>,
    /// Revocations that stand beside no key.
    bare: Vec<Vec<u8>>,
}

impl Excerpt {
    /// The key of this fingerprint. Where a revocation of it stands at another key, all of the material is
    /// taken.
    ///
    /// # Errors
    /// As [`load`] does.
    pub fn of(material: &[u8], fingerprint: &Fingerprint) -> Result<Self, CertificateError> {
        let whole = load(material, fingerprint, &[])?;
        let blocks = decoded(material)?;
        let own = Self::cut(&blocks, fingerprint)?;
        let again = load(own.armored().as_bytes(), fingerprint, &[]);
        if again.is_ok_and(|again| revocations(&again) == revocations(&whole)) {
            return Ok(own);
        }
        Ok(Self {
            keys: blocks,
            bare: Vec::new(),
        })
    }

    fn cut(blocks: &[Vec<u8>], fingerprint: &Fingerprint) -> Result<Self, CertificateError> {
        let (mut keys, mut bare) = (Vec::new(), Vec::new());
        for block in blocks {
            let all = packets::split(block, super::limits::PACKETS).map_err(counted)?;
            let mut place = Place::Outside;
            for packet in all {
                if packet.tag == packets::PUBLIC_KEY {
                    place = Place::of(packet, fingerprint);
                    if place == Place::Own {
                        keys.push(Vec::new());
                    }
                }
                let is_ballast =
                    [packets::MARKER, packets::TRUST, packets::PADDING].contains(&packet.tag);
                match (place, keys.last_mut()) {
                    _ if is_ballast => {}
                    (Place::Own, Some(key)) => write(packet, key),
                    (Place::Outside, _) => {
                        let mut own = Vec::new();
                        write(packet, &mut own);
                        bare.push(own);
                    }
                    (Place::Other | Place::Own, _) => {}
                }
            }
        }
        Ok(Self { keys, bare })
    }

    /// As text, a block for each part.
    pub fn armored(&self) -> String {
        self.keys
            .iter()
            .chain(&self.bare)
            .map(|one| armored(one))
            .collect()
    }

    /// The key alone, as keyrings hold it.
    pub fn binary(&self) -> Vec<u8> {
        self.keys.concat()
    }
}

/// What the packets that follow belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Other,
    Outside,
    Own,
}

impl Place {
    fn of(packet: Packet<'_>, fingerprint: &Fingerprint) -> Self {
        let is_own = Key::read(packet.body).is_ok_and(|key| key.fingerprint == *fingerprint);
        if is_own { Self::Own } else { Self::Other }
    }
}

/// What a certificate knows against itself.
fn revocations(certificate: &Certificate) -> BTreeSet<Vec<u8>> {
    let Parts {
        revocations,
        subkeys,
        ..
    } = certificate.parts();
    let of_subkeys = subkeys.iter().flat_map(|subkey| &subkey.revocations);
    let all = revocations.iter().chain(of_subkeys);
    all.map(|one| one.raw.clone()).collect()
}

/// A packet with a header of the current format and a length of five octets (RFC 9580 section 4.2.1).
fn write(packet: Packet<'_>, into: &mut Vec<u8>) {
    // Invariant: the material that it was read from is far smaller than 4 GiB.
    let length = u32::try_from(packet.body.len()).unwrap_or(u32::MAX);
    into.push(0b1100_0000 | packet.tag);
    into.push(255);
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(packet.body);
}

/// Bytes in armor, without the checksum, which must not decide anything.
fn armored(bytes: &[u8]) -> String {
    let kind = armor::PUBLIC_KEY;
    let mut text = format!("-----BEGIN {kind}-----\n\n");
    let encoded = STANDARD.encode(bytes);
    for (index, letter) in encoded.chars().enumerate() {
        if index > 0 && index.is_multiple_of(COLUMNS) {
            text.push('\n');
        }
        text.push(letter);
    }
    text + &format!("\n-----END {kind}-----\n")
}

/// Width of armor, as GnuPG has it.
const COLUMNS: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::load_all;
    use super::*;

    fn vector(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openpgp/vectors/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    }

    fn now() -> jiff::Timestamp {
        "2026-11-29T00:00:00Z".parse().unwrap()
    }

    /// Armored, binary, of several blocks, with revocations: the key is the same afterwards.
    #[test]
    fn every_key_comes_out_as_it_went_in() {
        let mut number = 0;
        for name in [
            "ed25519.asc",
            "helm-test-key.pub",
            "helm-mixed-keyring.pub",
            "old-keyring.gpg",
            "revoked-compromised.asc",
            "revoked-retired.asc",
            "rsa4096.asc",
            "split.asc",
            "split-subkey-superseded.asc",
            "two-blocks.asc",
        ] {
            let material = vector(name);
            for certificate in load_all(&material).unwrap() {
                let fingerprint = certificate.fingerprint();
                let excerpt = Excerpt::of(&material, fingerprint).unwrap();
                let text = excerpt.armored();
                let again = load(text.as_bytes(), fingerprint, &[]).unwrap();
                assert_eq!(again.summary(now()), certificate.summary(now()), "{name}");
                assert!(text.lines().all(|line| line.len() <= 64), "{name}: {text}");
                number += 1;
            }
        }
        assert!(number >= 10, "{number} keys");
    }

    #[test]
    fn of_a_file_of_many_one_is_taken() {
        let material = [vector("ed25519.asc"), vector("rsa2048.asc")].concat();
        for certificate in load_all(&material).unwrap() {
            let excerpt = Excerpt::of(&material, certificate.fingerprint()).unwrap();
            for bytes in [excerpt.armored().into_bytes(), excerpt.binary()] {
                let all = load_all(&bytes).unwrap();
                let names: Vec<_> = all.iter().map(Certificate::fingerprint).collect();
                assert_eq!(names, [certificate.fingerprint()]);
            }
        }
    }

    /// Whoever appends a revocation to a ring of two must not lose it.
    #[test]
    fn a_revocation_that_stands_at_another_key_is_not_lost() {
        let blocks = |name: &str| decoded(&vector(name)).unwrap().concat();
        let certificate = |bytes: &[u8]| load_all(bytes).unwrap().remove(0);
        let (good, other) = (
            blocks("revoked-compromised-before.asc"),
            blocks("rsa2048.asc"),
        );
        let revoked = blocks("revoked-compromised.asc");
        let fingerprint = certificate(&revoked).fingerprint().clone();
        let all = packets::split(&revoked, super::super::limits::PACKETS).unwrap();
        let is_revocation = |packet: &&Packet<'_>| packet.tag == packets::SIGNATURE;
        let mut revocation = Vec::new();
        // GnuPG writes it right behind the key.
        write(*all.iter().find(is_revocation).unwrap(), &mut revocation);
        assert_eq!(*certificate(&good).fingerprint(), fingerprint);
        let material = [good, other, revocation].concat();
        let excerpt = Excerpt::of(&material, &fingerprint).unwrap();
        let again = load(excerpt.armored().as_bytes(), &fingerprint, &[]).unwrap();
        assert!(again.summary(now()).revocation.is_some());
    }
}
