//! Which requests may be made at all.
//!
//! Every hop is checked, the first and IP literals included: [`Guard::check`] reads the URL, and the
//! resolver of the HTTP client hands out only addresses that passed, so that the address checked is
//! the address connected to.

mod address;
mod hosts;
mod resolver;

use std::net::IpAddr;

use reqwest::Url;

pub use hosts::{AllowedHost, AuthHost, InvalidHost, TokenAudience};

use address::Zone;
pub(super) use resolver::Resolver;

/// Why a request is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// Credentials over plain HTTP to another machine.
    #[error("credentials are not sent over plain HTTP; use https://")]
    CredentialsInClear,
    /// A redirect from https to http.
    #[error("a redirect from https to http is not followed")]
    Downgrade,
    /// A link-local, metadata, multicast, documentation or otherwise unroutable address.
    #[error("its address is never allowed for a source")]
    ForbiddenAddress,
    /// No host, or port 0.
    #[error("it has no usable host")]
    Host,
    /// Plain HTTP or a private address, of a host that was named, for a source that was not.
    #[error("a source that is at no host of `--allow-host` itself may not send us to one")]
    OfOthers,
    /// Plain HTTP to a host that was not named.
    #[error("plain HTTP needs `--allow-host` for this host")]
    PlainHttp,
    /// A loopback or private address of a host that was not named.
    #[error("a private address needs `--allow-host` for this host")]
    PrivateAddress,
    /// Neither https nor http.
    #[error("only https and http are spoken")]
    Scheme,
    /// User name or password inside the URL.
    #[error("credentials inside a URL are not allowed; use `credentialsSecretRef`")]
    UserInfo,
}

/// Which addresses one request may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reach {
    /// This machine only: credentials travel unencrypted.
    Loopback,
    /// Public and private addresses: the administrator named the host.
    Named,
    /// Public addresses.
    Public,
}

impl Reach {
    /// Whether an address may be connected to.
    pub(super) fn allows(self, address: IpAddr) -> Result<(), Refused> {
        match (self, address::zone(address)) {
            (_, Zone::Forbidden) => Err(Refused::ForbiddenAddress),
            (Self::Named, _) | (Self::Loopback, Zone::Loopback) | (Self::Public, Zone::Public) => {
                Ok(())
            }
            (Self::Loopback, _) => Err(Refused::CredentialsInClear),
            (Self::Public, Zone::Loopback | Zone::Private) => Err(Refused::PrivateAddress),
        }
    }
}

/// The hosts that an administrator named with `--allow-host`.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    auth_hosts: Vec<AuthHost>,
    named: Vec<AllowedHost>,
}

/// Whether a request carries credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    Credentials,
    Nothing,
}

impl Guard {
    pub(super) fn new(named: Vec<AllowedHost>) -> Self {
        let auth_hosts = Vec::new();
        Self { auth_hosts, named }
    }

    /// With registries whose token service is elsewhere.
    pub(super) fn with_auth_hosts(self, auth_hosts: Vec<AuthHost>) -> Self {
        Self { auth_hosts, ..self }
    }

    /// Registries whose token service is elsewhere.
    pub(super) fn auth_hosts(&self) -> &[AuthHost] {
        &self.auth_hosts
    }

    /// Judges one hop by its URL, and says which addresses its name may stand for. `configured` is the
    /// address on whose behalf it is asked: only one that is named itself may send us to a host that is
    /// named, or whoever owns a public repository could have us ask inside the network.
    pub(super) fn check(&self, configured: &Url, url: &Url, load: Load) -> Result<Reach, Refused> {
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err(Refused::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        let (host, port) = hosts::host_and_port(url).ok_or(Refused::Host)?;
        let is_named = self.names(&host, port);
        let own = hosts::host_and_port(configured);
        let named = is_named && own.is_some_and(|(host, port)| self.names(&host, port));
        let told = |refused| {
            if is_named && !named {
                Refused::OfOthers
            } else {
                refused
            }
        };
        let reach = match (named, plain, load) {
            (false, true, _) => return Err(told(Refused::PlainHttp)),
            (true, true, Load::Credentials) => Reach::Loopback,
            (true, ..) => Reach::Named,
            (false, ..) => Reach::Public,
        };
        // The client does not ask its resolver about IP literals.
        let allowed = hosts::literal(&host).map_or(Ok(()), |address| reach.allows(address));
        allowed.map_err(|refused| match refused {
            Refused::PrivateAddress => told(refused),
            refused => refused,
        })?;
        Ok(reach)
    }

    /// Whether what lies at one address may name another for us to ask, as if it had redirected us there.
    pub(super) fn may_send(&self, from: &Url, to: &Url) -> Result<(), Refused> {
        let is_named = |url: &Url| {
            hosts::host_and_port(url).is_some_and(|(host, port)| self.names(&host, port))
        };
        if is_named(to) && !is_named(from) {
            return Err(Refused::OfOthers);
        }
        Ok(())
    }

    fn names(&self, host: &str, port: u16) -> bool {
        self.named.iter().any(|allowed| allowed.covers(host, port))
    }
}

#[cfg(test)]
mod tests;
