//! The certificate that the door shows: the newest of its Secret, without a restart.

use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::watch::{Followed, Heard, hear};

/// What is shown at this moment. One whose Secret goes away is shown until it ends: the leader makes another.
#[derive(Debug, Default)]
pub struct Shown(RwLock<Option<Arc<CertifiedKey>>>);

impl Shown {
    /// Whether there is anything to show.
    pub fn is_there(&self) -> bool {
        self.current().is_some()
    }

    /// Follows the Secret of this name for ever.
    pub async fn follow(&self, client: Client, namespace: &str, name: &str) {
        let secrets = Api::<Secret>::namespaced(client, namespace);
        let followed = Followed::one(secrets, name);
        hear(&followed, |heard| match heard {
            Heard::Applied(secret) | Heard::Listed(secret) => match certified(&secret) {
                Ok(key) => {
                    tracing::info!(name, "the certificate was read");
                    *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
                }
                Err(why) => tracing::warn!(name, why, "the certificate cannot be used"),
            },
            Heard::Deleted(_) => tracing::warn!(name, "the certificate is gone, and still shown"),
            Heard::AllListed | Heard::Listing | Heard::Refused => {}
        })
        .await;
    }

    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

/// How connections are secured, whatever is shown at the moment of each.
///
/// # Errors
/// If the cryptography of this program knows no version of TLS, which it does.
pub fn server_config(shown: Arc<Shown>) -> Result<ServerConfig, rustls::Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(shown);
    Ok(config)
}

/// What is wrong is said without quoting the Secret.
fn certified(secret: &Secret) -> Result<CertifiedKey, &'static str> {
    let entry = |name: &str| secret.data.as_ref().and_then(|data| data.get(name));
    let (Some(certificate), Some(key)) = (entry("tls.crt"), entry("tls.key")) else {
        return Err("it has no tls.crt and tls.key");
    };
    let chain = CertificateDer::pem_slice_iter(&certificate.0);
    let chain: Result<Vec<_>, _> = chain.collect();
    let chain = chain.map_err(|_| "tls.crt is no PEM")?;
    if chain.is_empty() {
        return Err("tls.crt has no certificate");
    }
    let key = PrivateKeyDer::from_pem_slice(&key.0).map_err(|_| "tls.key is no key")?;
    let certified = CertifiedKey::from_der(chain, key, &default_provider());
    certified.map_err(|_| "tls.key is not the key of tls.crt")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use k8s_openapi::ByteString;

    use super::*;
    use crate::certificates::{Issued, Kept, plan};

    fn made() -> Issued {
        let names = BTreeSet::from(["localhost".to_owned()]);
        let plan = plan(
            &Kept::default(),
            &names,
            "2026-11-30T12:00:00Z".parse().unwrap(),
        );
        plan.unwrap().leaf.unwrap().issued
    }

    fn secret(certificate: &str, key: &str) -> Secret {
        let entry =
            |name: &str, text: &str| (name.to_owned(), ByteString(text.as_bytes().to_vec()));
        Secret {
            data: Some(BTreeMap::from([
                entry("tls.crt", certificate),
                entry("tls.key", key),
            ])),
            ..Secret::default()
        }
    }

    #[test]
    fn only_a_certificate_with_its_key_is_shown() {
        let (one, other) = (made(), made());
        assert!(certified(&secret(&one.certificate, &one.key)).is_ok());
        assert!(certified(&Secret::default()).is_err());
        for (certificate, key) in [
            (one.certificate.as_str(), other.key.as_str()),
            (&one.certificate, ""),
            ("", &one.key),
            (
                "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
                &one.key,
            ),
        ] {
            assert!(
                certified(&secret(certificate, key)).is_err(),
                "{certificate}"
            );
        }
    }
}
