//! HTTP clients, one for each way of connecting.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use reqwest::{Certificate, Client, ClientBuilder, Identity, redirect, retry};

use super::credentials::{Fingerprint, fingerprint};
use super::error::FetchError;
use super::guard::{Reach, Resolver};
use super::limits::Limits;

/// Clients already built. A client keeps connections, so it is shared by all requests that may
/// connect to the same addresses and show the same certificates.
pub(super) struct Clients {
    built: Mutex<HashMap<Fingerprint, Client>>,
    user_agent: String,
}

/// How to connect.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    /// PEM certificates that replace the public authorities.
    pub(super) ca: Option<&'a [u8]>,
    /// PEM client certificate and key.
    pub(super) identity: Option<&'a [u8]>,
    /// Which addresses may be connected to.
    pub(super) reach: Reach,
}

impl Clients {
    pub(super) fn new(user_agent: String) -> Self {
        Self {
            built: Mutex::default(),
            user_agent,
        }
    }

    /// The client for a way of connecting.
    pub(super) fn client(&self, way: Way<'_>, limits: &Limits) -> Result<Client, FetchError> {
        let key = way.key();
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = built.get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(way, limits)?;
        if built.len() >= MOST_CLIENTS {
            built.clear();
        }
        built.insert(key, client.clone());
        Ok(client)
    }

    fn build(&self, way: Way<'_>, limits: &Limits) -> Result<Client, FetchError> {
        let mut builder = Client::builder()
            .user_agent(&self.user_agent)
            .connect_timeout(limits.connect)
            .dns_resolver(Resolver(way.reach))
            // A proxy from the environment would connect where the guard did not look.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            .pool_max_idle_per_host(MOST_IDLE);
        if let Some(ca) = way.ca {
            builder = trust_only(builder, ca)?;
        }
        if let Some(identity) = way.identity {
            let identity = Identity::from_pem(identity)
                .map_err(|_| FetchError::Credentials("client certificate"))?;
            builder = builder.identity(identity);
        }
        builder
            .build()
            .map_err(|_| FetchError::Credentials("CA or client certificate"))
    }
}

impl Way<'_> {
    fn key(&self) -> Fingerprint {
        let reach = format!(
            "{:?} {} {}",
            self.reach,
            self.ca.is_some(),
            self.identity.is_some()
        );
        fingerprint(&[
            reach.as_bytes(),
            self.ca.unwrap_or_default(),
            self.identity.unwrap_or_default(),
        ])
    }
}

fn trust_only(builder: ClientBuilder, ca: &[u8]) -> Result<ClientBuilder, FetchError> {
    match Certificate::from_pem_bundle(ca) {
        Ok(certificates) if !certificates.is_empty() => Ok(builder.tls_certs_only(certificates)),
        _ => Err(FetchError::Credentials("CA")),
    }
}

/// Clients kept before all are dropped; each costs its connections and certificates.
const MOST_CLIENTS: usize = 128;

/// Idle connections kept to one host by one client.
const MOST_IDLE: usize = 4;
