//! Builds certificates, signatures and messages that no honest tool would make.
//!
//! Every byte is under control: key packets, subpackets and framing are written here, and only the
//! raw mathematics come from rPGP. One good base ([`Shape::good`]), one change per test.

use charttrust_verify::openpgp::{
    Certificate, CertificateError, Code, Fingerprint, SignedMessage, Validity, load,
    parse_cleartext, signature_validity, verify,
};
use jiff::Timestamp;
use pgp::composed::{Deserializable as _, SignedSecretKey};
use pgp::crypto::Signer as _;
use pgp::crypto::ed448;
use pgp::crypto::ed25519::{Mode, SecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails as _, Password, SignatureBytes, SigningKey as _};

/// When the good keys are made: 2023-11-14.
pub(crate) const BORN: u32 = 1_700_000_000;
pub(crate) const DAY: u32 = 86_400;
pub(crate) const TEXT: &str =
    "name: plain\nversion: 0.1.0\n\n...\nfiles:\n  plain-0.1.0.tgz: sha256:00\n";

/// Days after the birth of the good keys.
pub(crate) const fn day(days: u32) -> u32 {
    BORN + days * DAY
}

pub(crate) fn time(second: u32) -> Timestamp {
    Timestamp::from_second(i64::from(second)).unwrap()
}

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) version: u8,
    pub(crate) created: u32,
    pub(crate) algorithm: u8,
    pub(crate) parameters: Vec<u8>,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Ed25519([u8; 32]),
    Ed448([u8; 57]),
    Packet(Box<pgp::packet::SecretKey>),
}

impl Key {
    /// An Ed25519 key of version 4 in the old framing, as GnuPG makes it.
    pub(crate) fn ed25519(seed: u8) -> Self {
        let secret = SecretKey::try_from_bytes([seed; 32], Mode::EdDSALegacy).unwrap();
        let oid = [0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
        let mut parameters = vec![9];
        parameters.extend(oid);
        parameters.extend([0x01, 0x07, 0x40]);
        parameters.extend(secret.verifying_key().as_bytes());
        Self {
            version: 4,
            created: BORN,
            algorithm: 22,
            parameters,
            secret: Secret::Ed25519([seed; 32]),
        }
    }

    /// An Ed25519 key of version 6 (RFC 9580).
    pub(crate) fn v6(seed: u8) -> Self {
        let secret = SecretKey::try_from_bytes([seed; 32], Mode::Ed25519).unwrap();
        let parameters = secret.verifying_key().as_bytes().to_vec();
        Self {
            version: 6,
            created: BORN,
            algorithm: 27,
            parameters,
            secret: Secret::Ed25519([seed; 32]),
        }
    }

    /// An Ed448 key of version 6 (RFC 9580).
    pub(crate) fn ed448(seed: u8) -> Self {
        let secret = ed448::SecretKey::try_from_bytes([seed; 57]).unwrap();
        let parameters = pgp::types::Ed448PublicParams::from(&secret);
        Self {
            version: 6,
            created: BORN,
            algorithm: 28,
            parameters: parameters.to_bytes().unwrap(),
            secret: Secret::Ed448([seed; 57]),
        }
    }

    /// A key from `vectors/secret`, born with the others.
    pub(crate) fn file(name: &str) -> Self {
        let text = String::from_utf8(vector(&format!("secret/{name}.asc"))).unwrap();
        let (key, _) = SignedSecretKey::from_string(&text).unwrap();
        let packet = key.primary_key;
        let body = packet.public_key().to_bytes().unwrap();
        Self {
            version: 4,
            created: BORN,
            algorithm: packet.algorithm().into(),
            parameters: body[6..].to_vec(),
            secret: Secret::Packet(Box::new(packet)),
        }
    }

    pub(crate) fn rsa() -> Self {
        Self::file("rsa2048")
    }

    pub(crate) fn born(mut self, created: u32) -> Self {
        self.created = created;
        self
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = vec![self.version];
        body.extend(self.created.to_be_bytes());
        body.push(self.algorithm);
        if self.version == 6 {
            body.extend(u32::try_from(self.parameters.len()).unwrap().to_be_bytes());
        }
        body.extend(&self.parameters);
        body
    }

    /// The key as it goes into hashes.
    pub(crate) fn hashed(&self) -> Vec<u8> {
        let body = self.body();
        let mut out = Vec::new();
        if self.version == 6 {
            out.push(0x9b);
            out.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        } else {
            out.push(0x99);
            out.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        }
        out.extend(body);
        out
    }

    pub(crate) fn fingerprint_bytes(&self) -> Vec<u8> {
        let hash = if self.version == 6 {
            HashAlgorithm::Sha256
        } else {
            HashAlgorithm::Sha1
        };
        hash.digest(&self.hashed()).unwrap()
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        hex::encode(self.fingerprint_bytes()).parse().unwrap()
    }

    pub(crate) fn key_id(&self) -> Vec<u8> {
        let bytes = self.fingerprint_bytes();
        if self.version == 6 {
            bytes[..8].to_vec()
        } else {
            bytes[12..].to_vec()
        }
    }

    fn sign(&self, hash: HashAlgorithm, digest: &[u8]) -> Vec<u8> {
        let signed = match &self.secret {
            Secret::Ed25519(seed) => {
                let secret = SecretKey::try_from_bytes(*seed, Mode::EdDSALegacy).unwrap();
                // Ed25519 refuses short hashes; such a signature is never checked anyway.
                secret
                    .sign(hash, digest)
                    .unwrap_or(SignatureBytes::Mpis(vec![
                        pgp::types::Mpi::from_slice(&[7; 32]),
                        pgp::types::Mpi::from_slice(&[7; 32]),
                    ]))
            }
            Secret::Ed448(seed) => {
                let secret = ed448::SecretKey::try_from_bytes(*seed).unwrap();
                // Ed448 refuses short hashes, too.
                let forged = SignatureBytes::Native(vec![7; 114].into());
                secret.sign(hash, digest).unwrap_or(forged)
            }
            Secret::Packet(packet) => {
                packet
                    .sign(&Password::empty(), hash, digest)
                    .unwrap_or(SignatureBytes::Mpis(vec![pgp::types::Mpi::from_slice(
                        &[7; 256],
                    )]))
            }
        };
        self.numbers(&signed)
    }

    fn numbers(&self, signed: &SignatureBytes) -> Vec<u8> {
        let mut out = Vec::new();
        let mpis = match signed {
            SignatureBytes::Mpis(mpis) => mpis,
            SignatureBytes::Native(bytes) => return bytes.to_vec(),
        };
        for mpi in mpis {
            if self.algorithm == 27 {
                out.extend(vec![0; 32 - mpi.len()]);
                out.extend(mpi.as_ref());
            } else {
                mpi.to_writer(&mut out).unwrap();
            }
        }
        out
    }
}

/// Subpackets by their numbers.
pub(crate) mod sub {
    pub(crate) const CREATED: u8 = 2;
    pub(crate) const LIFETIME: u8 = 3;
    pub(crate) const KEY_LIFETIME: u8 = 9;
    pub(crate) const REVOKER: u8 = 12;
    pub(crate) const KEY_ID: u8 = 16;
    pub(crate) const NOTATION: u8 = 20;
    pub(crate) const PRIMARY: u8 = 25;
    pub(crate) const FLAGS: u8 = 27;
    pub(crate) const REASON: u8 = 29;
    pub(crate) const EMBEDDED: u8 = 32;
    pub(crate) const ISSUER: u8 = 33;
    pub(crate) const RECIPIENT: u8 = 35;
}

pub(crate) const CERTIFY_AND_SIGN: u8 = 0x03;
pub(crate) const CERTIFY: u8 = 0x01;
pub(crate) const SIGN: u8 = 0x02;
pub(crate) const ENCRYPT: u8 = 0x0c;
pub(crate) const AUTHENTICATE: u8 = 0x20;

pub(crate) const SHA256: u8 = 8;
pub(crate) const SHA512: u8 = 10;

/// A signature to be made.
#[derive(Clone)]
pub(crate) struct Sig {
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) hash: u8,
    pub(crate) key_algorithm: Option<u8>,
    pub(crate) hashed: Vec<(u8, Vec<u8>)>,
    pub(crate) unhashed: Vec<(u8, Vec<u8>)>,
    pub(crate) broken: bool,
    /// Another length of the salt than version 6 asks for.
    pub(crate) salt_length: Option<usize>,
}

impl Sig {
    /// A signature of the kind by the key at the time, naming its issuer as modern tools do.
    pub(crate) fn new(kind: u8, key: &Key, created: u32) -> Self {
        let mut issuer = vec![key.version];
        issuer.extend(key.fingerprint_bytes());
        Self {
            version: key.version,
            kind,
            hash: SHA512,
            key_algorithm: None,
            hashed: vec![
                (sub::CREATED, created.to_be_bytes().to_vec()),
                (sub::ISSUER, issuer),
            ],
            unhashed: Vec::new(),
            broken: false,
            salt_length: None,
        }
    }

    pub(crate) fn with(mut self, kind: u8, body: impl Into<Vec<u8>>) -> Self {
        self.hashed.push((kind, body.into()));
        self
    }

    pub(crate) fn critical(self, kind: u8, body: impl Into<Vec<u8>>) -> Self {
        self.with(kind | 0x80, body)
    }

    pub(crate) fn unhashed(mut self, kind: u8, body: impl Into<Vec<u8>>) -> Self {
        self.unhashed.push((kind, body.into()));
        self
    }

    pub(crate) fn without(mut self, kind: u8) -> Self {
        self.hashed.retain(|(one, _)| *one != kind);
        self
    }

    pub(crate) fn flags(self, flags: u8) -> Self {
        self.with(sub::FLAGS, [flags])
    }

    pub(crate) fn key_lifetime(self, seconds: u32) -> Self {
        self.with(sub::KEY_LIFETIME, seconds.to_be_bytes())
    }

    pub(crate) fn lifetime(self, seconds: u32) -> Self {
        self.with(sub::LIFETIME, seconds.to_be_bytes())
    }

    pub(crate) fn reason(self, code: u8) -> Self {
        self.with(sub::REASON, [code])
    }

    pub(crate) fn hash(mut self, hash: u8) -> Self {
        self.hash = hash;
        self
    }

    pub(crate) fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// Right in form and in its hash prefix, wrong in its mathematics.
    pub(crate) fn broken(mut self) -> Self {
        self.broken = true;
        self
    }

    /// Only a key ID in the unhashed area, as Helm 3 writes it.
    pub(crate) fn only_key_id(self, key: &Key) -> Self {
        self.without(sub::ISSUER)
            .unhashed(sub::KEY_ID, key.key_id())
    }

    /// The body of the signature packet over the parts.
    pub(crate) fn sign(&self, key: &Key, parts: &[&[u8]]) -> Vec<u8> {
        let hash = HashAlgorithm::from(self.hash);
        let algorithm = self.key_algorithm.unwrap_or(key.algorithm);
        let mut head = vec![self.version, self.kind, algorithm, self.hash];
        head.extend(area(self.version, &self.hashed));
        let usual = if self.version == 6 {
            hash.salt_len().unwrap_or(16)
        } else {
            0
        };
        let salt = vec![0x5a; self.salt_length.unwrap_or(usual)];
        let mut input = salt.clone();
        for part in parts {
            input.extend_from_slice(part);
        }
        input.extend(&head);
        input.extend([self.version, 0xff]);
        input.extend(u32::try_from(head.len()).unwrap().to_be_bytes());
        let digest = hash.digest(&input).unwrap_or(vec![0; 32]);
        let mut body = head;
        body.extend(area(self.version, &self.unhashed));
        body.extend(&digest[..2]);
        if self.version == 6 {
            body.push(u8::try_from(salt.len()).unwrap());
            body.extend(salt);
        }
        let mut numbers = key.sign(hash, &digest);
        if self.broken {
            *numbers.last_mut().unwrap() ^= 1;
        }
        body.extend(numbers);
        body
    }
}

fn area(version: u8, subpackets: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut content = Vec::new();
    for (kind, body) in subpackets {
        let length = body.len() + 1;
        if length < 192 {
            content.push(u8::try_from(length).unwrap());
        } else {
            content.push(255);
            content.extend(u32::try_from(length).unwrap().to_be_bytes());
        }
        content.push(*kind);
        content.extend(body);
    }
    let mut out = if version == 6 {
        u32::try_from(content.len()).unwrap().to_be_bytes().to_vec()
    } else {
        u16::try_from(content.len()).unwrap().to_be_bytes().to_vec()
    };
    out.extend(content);
    out
}

/// A certificate to be written.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) primary: Key,
    pub(crate) direct: Vec<Vec<u8>>,
    pub(crate) user_ids: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    pub(crate) subkeys: Vec<(Key, Vec<Vec<u8>>)>,
    /// Packets after everything else.
    pub(crate) after: Vec<u8>,
}

pub(crate) const USER_ID: &[u8] = b"Good <good@example.org>";

impl Shape {
    /// A primary key that certifies and signs, with one user ID and one signing subkey.
    pub(crate) fn good() -> Self {
        Self::of(Key::ed25519(1), Key::ed25519(2))
    }

    pub(crate) fn of(primary: Key, subkey: Key) -> Self {
        let mut shape = Self {
            direct: Vec::new(),
            user_ids: Vec::new(),
            subkeys: Vec::new(),
            after: Vec::new(),
            primary,
        };
        shape.add_user_id(USER_ID, |sig| sig.flags(CERTIFY_AND_SIGN));
        shape.add_subkey(subkey, |sig| sig.flags(SIGN));
        shape
    }

    pub(crate) fn signer(&self) -> &Key {
        &self.subkeys[0].0
    }

    /// A certification of the user ID as old as the key.
    pub(crate) fn certification(&self, id: &[u8], change: impl FnOnce(Sig) -> Sig) -> Vec<u8> {
        let sig = change(Sig::new(0x13, &self.primary, self.primary.created));
        self.sign_user_id(&sig, id)
    }

    pub(crate) fn sign_user_id(&self, sig: &Sig, id: &[u8]) -> Vec<u8> {
        sig.sign(
            &self.primary,
            &[&self.primary.hashed(), &hashed_user_id(id)],
        )
    }

    pub(crate) fn add_user_id(&mut self, id: &[u8], change: impl FnOnce(Sig) -> Sig) {
        let signature = self.certification(id, change);
        self.user_ids.push((id.to_vec(), vec![signature]));
    }

    /// A signature by the primary key over itself.
    pub(crate) fn direct(&self, sig: &Sig) -> Vec<u8> {
        sig.sign(&self.primary, &[&self.primary.hashed()])
    }

    /// A binding of the subkey with a good confirmation in its hashed area.
    pub(crate) fn binding(&self, subkey: &Key, change: impl FnOnce(Sig) -> Sig) -> Vec<u8> {
        let back = self.back_signature(subkey, |sig| sig);
        self.bare_binding(subkey, |sig| change(sig.with(sub::EMBEDDED, back)))
    }

    pub(crate) fn bare_binding(&self, subkey: &Key, change: impl FnOnce(Sig) -> Sig) -> Vec<u8> {
        let sig = change(Sig::new(0x18, &self.primary, subkey.created));
        sig.sign(&self.primary, &[&self.primary.hashed(), &subkey.hashed()])
    }

    pub(crate) fn back_signature(&self, subkey: &Key, change: impl FnOnce(Sig) -> Sig) -> Vec<u8> {
        let sig = change(Sig::new(0x19, subkey, subkey.created));
        sig.sign(subkey, &[&self.primary.hashed(), &subkey.hashed()])
    }

    pub(crate) fn add_subkey(&mut self, subkey: Key, change: impl FnOnce(Sig) -> Sig) {
        let binding = self.binding(&subkey, change);
        self.subkeys.push((subkey, vec![binding]));
    }

    /// A revocation of the primary key.
    pub(crate) fn key_revocation(&self, created: u32, change: impl FnOnce(Sig) -> Sig) -> Vec<u8> {
        self.direct(&change(Sig::new(0x20, &self.primary, created)))
    }

    /// A revocation of a subkey.
    pub(crate) fn subkey_revocation(
        &self,
        subkey: &Key,
        created: u32,
        change: impl FnOnce(Sig) -> Sig,
    ) -> Vec<u8> {
        let sig = change(Sig::new(0x28, &self.primary, created));
        sig.sign(&self.primary, &[&self.primary.hashed(), &subkey.hashed()])
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = packet(6, &self.primary.body());
        out.extend(signatures(&self.direct));
        for (id, certifications) in &self.user_ids {
            out.extend(packet(13, id));
            out.extend(signatures(certifications));
        }
        for (subkey, bindings) in &self.subkeys {
            out.extend(packet(14, &subkey.body()));
            out.extend(signatures(bindings));
        }
        out.extend(&self.after);
        out
    }

    pub(crate) fn try_load(&self) -> Result<Certificate, CertificateError> {
        load(&self.bytes(), &self.primary.fingerprint(), &[])
    }

    pub(crate) fn load(&self) -> Certificate {
        self.try_load().expect("the certificate loads")
    }

    /// The words for a signature by the subkey.
    pub(crate) fn subkey_words(&self, signed: u32, now: u32) -> (Code, Code) {
        words(&self.load(), self.signer(), signed, now)
    }

    /// The words for a signature by the primary key.
    pub(crate) fn primary_words(&self, signed: u32, now: u32) -> (Code, Code) {
        words(&self.load(), &self.primary, signed, now)
    }
}

pub(crate) fn hashed_user_id(id: &[u8]) -> Vec<u8> {
    let mut out = vec![0xb4];
    out.extend(u32::try_from(id.len()).unwrap().to_be_bytes());
    out.extend(id);
    out
}

fn signatures(bodies: &[Vec<u8>]) -> Vec<u8> {
    bodies.iter().flat_map(|body| packet(2, body)).collect()
}

pub(crate) fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0xc0 | tag, 0xff];
    out.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    out.extend(body);
    out
}

pub(crate) fn armored(kind: &str, packets: &[u8]) -> String {
    let base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(packets)
    };
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {kind}-----\n\n{}\n-----END {kind}-----\n",
        lines.join("\n")
    )
}

pub(crate) fn public_block(packets: &[u8]) -> String {
    armored("PGP PUBLIC KEY BLOCK", packets)
}

/// What a text signature over the text hashes.
pub(crate) fn hashed_text(text: &str) -> Vec<u8> {
    let lines: Vec<_> = text
        .split('\n')
        .map(|line| line.trim_end_matches([' ', '\t']))
        .collect();
    lines.join("\r\n").into_bytes()
}

/// A cleartext message with the signatures, dash-escaped where needed.
pub(crate) fn message_of(text: &str, signature_bodies: &[Vec<u8>]) -> String {
    let escaped: Vec<_> = text
        .split('\n')
        .map(|line| {
            if line.starts_with('-') {
                format!("- {line}")
            } else {
                line.to_owned()
            }
        })
        .collect();
    let block = armored("PGP SIGNATURE", &signatures(signature_bodies));
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{}\n{block}",
        escaped.join("\n")
    )
}

pub(crate) fn message(signature_bodies: &[Vec<u8>]) -> SignedMessage {
    parse_cleartext(message_of(TEXT, signature_bodies).as_bytes()).expect("the message is read")
}

/// A good text signature over [`TEXT`].
pub(crate) fn text_signature(key: &Key, created: u32, change: impl FnOnce(Sig) -> Sig) -> Vec<u8> {
    change(Sig::new(0x01, key, created)).sign(key, &[&hashed_text(TEXT)])
}

/// What [`verify`] says about a signature by the key.
pub(crate) fn verify_word(certificate: &Certificate, signature: Vec<u8>) -> Code {
    let message = message(&[signature]);
    verify(&message, &message.signatures()[0], certificate)
        .err()
        .unwrap_or(Code::Valid)
}

/// The standing of a good signature by the key.
pub(crate) fn stand(certificate: &Certificate, key: &Key, signed: u32, now: u32) -> Validity {
    let message = message(&[text_signature(key, signed, |sig| sig)]);
    let verified = verify(&message, &message.signatures()[0], certificate)
        .unwrap_or_else(|word| panic!("the mathematics are right, but {word:?}"));
    signature_validity(certificate, &verified, time(now))
}

pub(crate) fn words(certificate: &Certificate, key: &Key, signed: u32, now: u32) -> (Code, Code) {
    let standing = stand(certificate, key, signed, now);
    (standing.at_signing, standing.now)
}

pub(crate) fn vector(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/tests/openpgp/vectors/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn text_vector(name: &str) -> String {
    String::from_utf8(vector(name)).unwrap()
}
