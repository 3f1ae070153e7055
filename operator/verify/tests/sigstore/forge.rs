//! A Sigstore of our own, in memory: authorities, logs, and what they sign at any time.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::sigstore::{ClaimedBundle, TrustedRoot};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::der::{bits, context, general_time, int, octets, oid, seq, set, time, tlv, truth, utf8};

pub(crate) const ISSUER: &str = "https://token.actions.githubusercontent.com";
pub(crate) const SUBJECT: &str =
    "https://github.com/example/charts/.github/workflows/release.yml@refs/tags/v1.2.3";
/// What is signed: the manifest of a chart.
pub(crate) const MANIFEST: &[u8] = br#"{"schemaVersion":2,"layers":[]}"#;
pub(crate) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// When things are signed, unless it matters.
pub(crate) fn noon() -> Timestamp {
    at("2026-11-01T12:00:00Z")
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        base64(der)
    )
}

/// A key on P-256 that signs with SHA-256, unless made otherwise.
pub(crate) struct Key(EcdsaKeyPair, &'static str);

impl Key {
    pub(crate) fn new() -> Self {
        Self::of(&ECDSA_P256_SHA256_ASN1_SIGNING, "1.2.840.10045.3.1.7")
    }

    pub(crate) fn of(algorithm: &'static EcdsaSigningAlgorithm, curve: &'static str) -> Self {
        Self(EcdsaKeyPair::generate(algorithm).unwrap(), curve)
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        let algorithm = seq(&[oid("1.2.840.10045.2.1"), oid(self.1)]);
        seq(&[algorithm, bits(self.0.public_key().as_ref())])
    }

    pub(crate) fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&SystemRandom::new(), message).unwrap();
        signature.as_ref().to_vec()
    }

    /// What logs are called by.
    pub(crate) fn id(&self) -> Vec<u8> {
        sha256(&self.spki())
    }
}

fn name(common: &str) -> Vec<u8> {
    seq(&[set(&[seq(&[oid("2.5.4.3"), utf8(common)])])])
}

fn ecdsa() -> Vec<u8> {
    seq(&[oid("1.2.840.10045.4.3.2")])
}

fn sha256_algorithm() -> Vec<u8> {
    seq(&[oid("2.16.840.1.101.3.4.2.1")])
}

/// What a certificate says beside its key.
pub(crate) struct Certificate {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Certificate {
    pub(crate) fn authority(subject: &str) -> Self {
        Self {
            issuer: subject.to_owned(),
            subject: subject.to_owned(),
            from: at("1990-01-01T00:00:00Z"),
            until: at("2190-01-01T00:00:00Z"),
            extensions: vec![critical("2.5.29.19", &seq(&[truth()]))],
        }
    }

    fn unsigned(&self, spki: &[u8]) -> Vec<u8> {
        let subject = if self.subject.is_empty() {
            seq(&[])
        } else {
            name(&self.subject)
        };
        seq(&[
            context(0, &int(2)),
            int(7),
            ecdsa(),
            name(&self.issuer),
            seq(&[time(self.from), time(self.until)]),
            subject,
            spki.to_vec(),
            context(3, &seq(&self.extensions)),
        ])
    }

    pub(crate) fn signed(&self, spki: &[u8], by: &Key) -> Vec<u8> {
        let unsigned = self.unsigned(spki);
        let signature = bits(&by.sign(&unsigned));
        seq(&[unsigned, ecdsa(), signature])
    }

    /// With a stamp of a log of certificates (RFC 6962 section 3.2).
    pub(crate) fn logged(mut self, spki: &[u8], by: &Key, log: &Key) -> Vec<u8> {
        let millis = self.from.as_millisecond();
        let millis = u64::try_from(millis).unwrap().to_be_bytes();
        let unsigned = self.unsigned(spki);
        let length = u32::try_from(unsigned.len()).unwrap().to_be_bytes();
        let message = [
            &[0, 0][..],
            &millis,
            &[0, 1],
            &sha256(&by.spki()),
            &length[1..],
            &unsigned,
            &[0, 0],
        ];
        let signature = log.sign(&message.concat());
        let length = u16::try_from(signature.len()).unwrap().to_be_bytes();
        let stamp = [
            &[0][..],
            &log.id(),
            &millis,
            &[0, 0, 4, 3],
            &length,
            &signature,
        ]
        .concat();
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        let stamp = [length(&stamp), stamp].concat();
        let list = [length(&stamp), stamp].concat();
        self.extensions
            .push(extension("1.3.6.1.4.1.11129.2.4.2", &octets(&list)));
        self.signed(spki, by)
    }
}

pub(crate) fn extension(id: &str, content: &[u8]) -> Vec<u8> {
    seq(&[oid(id), octets(content)])
}

fn critical(id: &str, content: &[u8]) -> Vec<u8> {
    seq(&[oid(id), truth(), octets(content)])
}

fn usage(purpose: &str) -> Vec<u8> {
    critical("2.5.29.37", &seq(&[oid(purpose)]))
}

/// Where a signature is made public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    None,
    /// Rekor 1: the log promises a time.
    V1,
    /// Rekor 2: it does not.
    V2,
}

/// What is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Message,
    Statement(&'static str),
}

/// Authorities and logs.
pub(crate) struct World {
    pub(crate) fulcio: Key,
    pub(crate) certificates: Option<Key>,
    pub(crate) rekor: Key,
    pub(crate) stamping: Key,
    /// What its authorities are called by, besides what they do.
    pub(crate) name: String,
    pub(crate) fulcio_certificate: Vec<u8>,
    /// Who stamps, and who says so.
    pub(crate) stamping_chain: [Vec<u8>; 2],
}

/// One signature in the making: a good one, to be changed.
pub(crate) struct Shape<'a> {
    pub(crate) world: &'a World,
    pub(crate) issuer: String,
    /// Names of the certificate: tag and text.
    pub(crate) names: Vec<(u8, String)>,
    pub(crate) claims: Vec<(&'static str, String)>,
    pub(crate) at: Timestamp,
    /// When the log says it was.
    pub(crate) logged_at: Timestamp,
    pub(crate) log: Log,
    pub(crate) stamped_at: Option<Timestamp>,
    pub(crate) content: Content,
    pub(crate) purpose: &'static str,
    pub(crate) artifact: Vec<u8>,
    /// Of a signature without a certificate.
    pub(crate) key: Option<&'a Key>,
    /// Who the certificate says has issued it, if not the authority of workflows.
    pub(crate) issued_by: Option<&'a str>,
}

const URI: u8 = 0x86;

impl World {
    /// Another one, whose authorities have other names.
    pub(crate) fn new() -> Self {
        Self::called(&hex::encode(&Key::new().id()[..4]))
    }

    pub(crate) fn called(name: &str) -> Self {
        let (fulcio, stamping, above) = (Key::new(), Key::new(), Key::new());
        let authority = |of: &str, key: &Key| {
            Certificate::authority(&format!("{of} {name}")).signed(&key.spki(), key)
        };
        let leaf = Certificate {
            issuer: format!("above {name}"),
            extensions: vec![usage("1.3.6.1.5.5.7.3.8")],
            ..Certificate::authority(&format!("stamping {name}"))
        };
        Self {
            fulcio_certificate: authority("fulcio", &fulcio),
            stamping_chain: [
                leaf.signed(&stamping.spki(), &above),
                authority("above", &above),
            ],
            fulcio,
            certificates: None,
            rekor: Key::new(),
            stamping,
            name: name.to_owned(),
        }
    }

    pub(crate) fn root_json(&self) -> Value {
        let valid = json!({"start": "1990-01-01T00:00:00Z"});
        let log = |key: &Key, url: &str| {
            json!({
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": base64(key.spki()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": valid,
                },
                "logId": {"keyId": base64(key.id())},
            })
        };
        let chain = |certificates: &[Vec<u8>]| {
            let all: Vec<_> = certificates
                .iter()
                .map(|der| json!({"rawBytes": base64(der)}))
                .collect();
            json!({"certificates": all})
        };
        let ctlogs: Vec<_> = self
            .certificates
            .iter()
            .map(|key| log(key, "https://ct.test"))
            .collect();
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.rekor, "https://rekor.test")],
            "certificateAuthorities": [{
                "subject": {"organization": "test", "commonName": "fulcio"},
                "uri": "https://fulcio.test",
                "certChain": chain(std::slice::from_ref(&self.fulcio_certificate)),
                "validFor": valid,
            }],
            "ctlogs": ctlogs,
            "timestampAuthorities": [{
                "subject": {"organization": "test", "commonName": "stamping"},
                "uri": "https://stamping.test",
                "certChain": chain(&self.stamping_chain),
                "validFor": valid,
            }],
        })
    }

    pub(crate) fn root(&self) -> TrustedRoot {
        root(&self.root_json())
    }

    /// A signature of the manifest by the workflow of the chart, in a log of Rekor 1.
    pub(crate) fn good(&self) -> Shape<'_> {
        Shape {
            world: self,
            issuer: ISSUER.to_owned(),
            names: vec![(URI, SUBJECT.to_owned())],
            claims: vec![
                ("11", "github-hosted".to_owned()),
                ("12", "https://github.com/example/charts".to_owned()),
                ("13", "0123456789abcdef0123456789abcdef01234567".to_owned()),
                ("14", "refs/tags/v1.2.3".to_owned()),
                ("15", "123456".to_owned()),
                ("20", "push".to_owned()),
                (
                    "21",
                    "https://github.com/example/charts/actions/runs/1".to_owned(),
                ),
            ],
            at: noon(),
            logged_at: noon() + SignedDuration::from_secs(5),
            stamped_at: None,
            purpose: "1.3.6.1.5.5.7.3.3",
            log: Log::V1,
            content: Content::Statement(SIGN),
            artifact: MANIFEST.to_vec(),
            key: None,
            issued_by: None,
        }
    }

    /// A signature with a key, in no log and without a timestamp.
    pub(crate) fn keyed<'a>(&'a self, key: &'a Key) -> Shape<'a> {
        Shape {
            key: Some(key),
            log: Log::None,
            ..self.good()
        }
    }

    /// A timestamp (RFC 3161) for a signature.
    fn stamp(&self, signature: &[u8], at: Timestamp) -> Vec<u8> {
        let info = seq(&[
            int(1),
            oid("1.2.3.4"),
            seq(&[sha256_algorithm(), octets(&sha256(signature))]),
            int(9),
            general_time(at),
        ]);
        let attributes = [
            seq(&[
                oid("1.2.840.113549.1.9.3"),
                set(&[oid("1.2.840.113549.1.9.16.1.4")]),
            ]),
            seq(&[oid("1.2.840.113549.1.9.4"), set(&[octets(&sha256(&info))])]),
        ];
        let signature = self.stamping.sign(&set(&attributes));
        let signer = seq(&[
            int(1),
            seq(&[name(&format!("above {}", self.name)), int(7)]),
            sha256_algorithm(),
            context(0, &attributes.concat()),
            ecdsa(),
            octets(&signature),
        ]);
        let content = seq(&[
            int(3),
            set(&[sha256_algorithm()]),
            seq(&[oid("1.2.840.113549.1.9.16.1.4"), context(0, &octets(&info))]),
            set(&[signer]),
        ]);
        let token = seq(&[oid("1.2.840.113549.1.7.2"), context(0, &content)]);
        seq(&[seq(&[int(0)]), token])
    }

    /// A log entry, with what of it the kind of log has.
    fn entry(&self, kind: &Value, body: &str, shape: &Shape<'_>) -> Value {
        let leaf = sha256(&[&[0], body.as_bytes()].concat());
        let sibling = sha256(b"another entry");
        let root = sha256(&[&[1][..], &leaf, &sibling].concat());
        let note = format!("rekor.test\n2\n{}\n", base64(&root));
        let signed = [&self.rekor.id()[..4], &self.rekor.sign(note.as_bytes())].concat();
        let checkpoint = format!("{note}\n\u{2014} rekor.test {}\n", base64(signed));
        let mut entry = json!({
            "logIndex": "0",
            "logId": {"keyId": base64(self.rekor.id())},
            "kindVersion": kind,
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": base64(&root),
                "treeSize": "2",
                "hashes": [base64(&sibling)],
                "checkpoint": {"envelope": checkpoint},
            },
            "canonicalizedBody": base64(body),
        });
        if shape.log == Log::V1 {
            let seconds = shape.logged_at.as_second();
            entry["logIndex"] = json!("41");
            entry["integratedTime"] = json!(seconds.to_string());
            let promise = self.promise(body, seconds, 41);
            entry["inclusionPromise"] = json!({"signedEntryTimestamp": base64(promise)});
        }
        entry
    }

    pub(crate) fn promise(&self, body: &str, seconds: i64, index: u32) -> Vec<u8> {
        let (body, id) = (base64(body), hex::encode(self.rekor.id()));
        let text = format!(
            r#"{{"body":"{body}","integratedTime":{seconds},"logID":"{id}","logIndex":{index}}}"#
        );
        self.rekor.sign(text.as_bytes())
    }
}

/// What a signer hands out.
pub(crate) struct Made {
    pub(crate) bundle: Value,
    pub(crate) certificate: Option<Vec<u8>>,
}

impl Shape<'_> {
    fn certificate(&self, spki: &[u8]) -> Vec<u8> {
        let names: Vec<_> = self
            .names
            .iter()
            .map(|(tag, text)| tlv(*tag, text.as_bytes()))
            .collect();
        let mut extensions = vec![
            usage(self.purpose),
            critical("2.5.29.17", &seq(&names)),
            extension("1.3.6.1.4.1.57264.1.8", &utf8(&self.issuer)),
        ];
        let claims = self.claims.iter();
        extensions.extend(claims.map(|(number, text)| {
            extension(&format!("1.3.6.1.4.1.57264.1.{number}"), &utf8(text))
        }));
        let issuer = self.issued_by.map(str::to_owned);
        let certificate = Certificate {
            issuer: issuer.unwrap_or_else(|| format!("fulcio {}", self.world.name)),
            subject: String::new(),
            from: self.at,
            until: self.at + SignedDuration::from_mins(10),
            extensions,
        };
        match &self.world.certificates {
            Some(log) => certificate.logged(spki, &self.world.fulcio, log),
            None => certificate.signed(spki, &self.world.fulcio),
        }
    }

    /// Payload and its envelope's signed text.
    fn statement(&self, predicate: &str) -> (String, Vec<u8>) {
        let digest = hex::encode(sha256(&self.artifact));
        let payload = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "", "digest": {"sha256": digest}}],
            "predicateType": predicate,
            "predicate": {},
        });
        let payload = payload.to_string();
        let kind = "application/vnd.in-toto+json";
        let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
        (payload, signed.into_bytes())
    }

    /// Signs with a key of its own, or with the one that was given.
    pub(crate) fn make(&self) -> Made {
        let fresh = Key::new();
        let key = self.key.unwrap_or(&fresh);
        let certificate = self.key.is_none().then(|| self.certificate(&key.spki()));
        let (signed, payload) = match self.content {
            Content::Message => (self.artifact.clone(), None),
            Content::Statement(predicate) => {
                let (payload, signed) = self.statement(predicate);
                (signed, Some(payload))
            }
        };
        let signature = key.sign(&signed);
        let mut material = match &certificate {
            Some(der) => json!({"certificate": {"rawBytes": base64(der)}}),
            None => json!({"publicKey": {"hint": ""}}),
        };
        material["tlogEntries"] = json!([]);
        if self.log != Log::None {
            let verifier = match &certificate {
                Some(der) => pem("CERTIFICATE", der),
                None => key.public_pem(),
            };
            let raw = certificate.clone().unwrap_or_else(|| key.spki());
            let entry = self.log_entry(&signed, payload.as_deref(), &signature, (&verifier, &raw));
            material["tlogEntries"] = json!([entry]);
        }
        if let Some(at) = self.stamped_at {
            let stamp = base64(self.world.stamp(&signature, at));
            material["timestampVerificationData"] =
                json!({"rfc3161Timestamps": [{"signedTimestamp": stamp}]});
        }
        let mut bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": material,
        });
        match payload {
            Some(payload) => {
                bundle["dsseEnvelope"] = json!({
                    "payload": base64(payload),
                    "payloadType": "application/vnd.in-toto+json",
                    "signatures": [{"sig": base64(&signature)}],
                });
            }
            None => {
                bundle["messageSignature"] = json!({
                    "messageDigest": {"algorithm": "SHA2_256", "digest": base64(sha256(&signed))},
                    "signature": base64(&signature),
                });
            }
        }
        Made {
            bundle,
            certificate,
        }
    }

    fn log_entry(
        &self,
        signed: &[u8],
        payload: Option<&str>,
        signature: &[u8],
        (verifier, raw): (&str, &[u8]),
    ) -> Value {
        let (kind, body) = match (self.log, payload) {
            (Log::V2, _) => {
                let named = if self.key.is_some() {
                    "publicKey"
                } else {
                    "x509Certificate"
                };
                let verifier = json!({
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    named: {"rawBytes": base64(raw)},
                });
                let spec = json!({"hashedRekordV002": {
                    "data": {"algorithm": "SHA2_256", "digest": base64(sha256(signed))},
                    "signature": {"content": base64(signature), "verifier": verifier},
                }});
                (("hashedrekord", "0.0.2"), spec)
            }
            (_, Some(payload)) => {
                let spec = json!({
                    "envelopeHash": {"algorithm": "sha256", "value": hex::encode(sha256(b"envelope"))},
                    "payloadHash": {"algorithm": "sha256", "value": hex::encode(sha256(payload.as_bytes()))},
                    "signatures": [{"signature": base64(signature), "verifier": base64(verifier)}],
                });
                (("dsse", "0.0.1"), spec)
            }
            (_, None) => {
                let spec = hashed(signed, signature, verifier);
                (("hashedrekord", "0.0.1"), spec)
            }
        };
        let (kind, version) = kind;
        let body = json!({"apiVersion": version, "kind": kind, "spec": body}).to_string();
        let kind = json!({"kind": kind, "version": version});
        self.world.entry(&kind, &body, self)
    }

    pub(crate) fn bundle(&self) -> Value {
        self.make().bundle
    }

    pub(crate) fn claimed(&self) -> ClaimedBundle {
        claimed(&self.bundle())
    }
}

/// The `spec` of a hashedrekord of Rekor 1.
pub(crate) fn hashed(signed: &[u8], signature: &[u8], verifier: &str) -> Value {
    json!({
        "data": {"hash": {"algorithm": "sha256", "value": hex::encode(sha256(signed))}},
        "signature": {"content": base64(signature), "publicKey": {"content": base64(verifier)}},
    })
}

pub(crate) fn root(json: &Value) -> TrustedRoot {
    TrustedRoot::parse(json.to_string().as_bytes()).unwrap()
}

pub(crate) fn claimed(bundle: &Value) -> ClaimedBundle {
    ClaimedBundle::parse(bundle.to_string().as_bytes()).unwrap()
}

pub(crate) fn manifest() -> Sha256Digest {
    Sha256Digest::of(MANIFEST)
}
