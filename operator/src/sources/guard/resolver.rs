//! Names resolved once, and only to addresses that passed the address rule.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Reach, Refused};

/// The resolver of an HTTP client: what it returns is what the client connects to.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Resolver(pub(in super::super) Reach);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            // The client puts in the port of the URL.
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            all_allowed(reach, found.iter().map(SocketAddr::ip))?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// One address that is not allowed condemns the name: a mixed answer is how rebinding begins.
fn all_allowed(reach: Reach, mut addresses: impl Iterator<Item = IpAddr>) -> Result<(), Refused> {
    addresses.try_for_each(|address| reach.allows(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "93.184.215.14";
    const PRIVATE: &str = "10.1.2.3";
    const LOOPBACK: &str = "127.0.0.1";
    const METADATA: &str = "169.254.169.254";

    fn allowed(reach: Reach, addresses: &[&str]) -> Result<(), Refused> {
        all_allowed(
            reach,
            addresses.iter().map(|address| address.parse().unwrap()),
        )
    }

    #[test]
    fn a_name_is_judged_by_each_of_its_addresses() {
        for (reach, addresses, expected) in [
            (Reach::Public, &[][..], Ok(())),
            (Reach::Public, &[PUBLIC, PUBLIC], Ok(())),
            (
                Reach::Public,
                &[PUBLIC, PRIVATE],
                Err(Refused::PrivateAddress),
            ),
            (
                Reach::Public,
                &[LOOPBACK, PUBLIC],
                Err(Refused::PrivateAddress),
            ),
            (
                Reach::Public,
                &[PUBLIC, METADATA],
                Err(Refused::ForbiddenAddress),
            ),
            (Reach::Named, &[PUBLIC, PRIVATE, LOOPBACK], Ok(())),
            (
                Reach::Named,
                &[PRIVATE, METADATA],
                Err(Refused::ForbiddenAddress),
            ),
            (Reach::Loopback, &[LOOPBACK, "::1"], Ok(())),
            (
                Reach::Loopback,
                &[LOOPBACK, PUBLIC],
                Err(Refused::CredentialsInClear),
            ),
            (
                Reach::Loopback,
                &[PRIVATE],
                Err(Refused::CredentialsInClear),
            ),
            (Reach::Loopback, &[METADATA], Err(Refused::ForbiddenAddress)),
        ] {
            assert_eq!(
                allowed(reach, addresses),
                expected,
                "{reach:?} {addresses:?}"
            );
        }
    }

    #[tokio::test]
    async fn localhost_resolves_only_where_loopback_is_allowed() {
        let localhost = || "localhost".parse::<Name>().unwrap();
        assert!(
            Resolver(Reach::Named)
                .resolve(localhost())
                .await
                .unwrap()
                .all(|found| found.ip().is_loopback())
        );
        let Err(refused) = Resolver(Reach::Public).resolve(localhost()).await else {
            panic!("localhost is not public");
        };
        assert_eq!(refused.downcast_ref(), Some(&Refused::PrivateAddress));
    }
}
