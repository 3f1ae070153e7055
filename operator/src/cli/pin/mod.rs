//! `charttrust pin`: names the archives that run by their digests, so that a policy notices another one.
//! Reads only.

pub(super) mod matched;
mod written;

use clap::Args;
use kube::{Api, Client, ResourceExt as _};

use self::matched::{Declared, Left, Matched, Wish};
use super::cluster::{Connection, Failure, all, named, no_policy};
use super::leading::{Operator, checked};
use super::screen::{plain, say, tell};
use super::{TRUSTED, UNKNOWN, UNTRUSTED};
use super::{sigstore, status};
use crate::api::{ChartTrustPolicy, ReleaseTrust, TrustedKey};

/// Prints pins (digests of a rule) of the archives that releases are made of.
///
/// A release is pinned only if the operator has found that what runs is, file by file, the archive of one of
/// its sources, and nothing bad about it; the others are named on standard error. What is signed and trusted
/// needs no pin, and is left out unless it is named.
///
/// Exit code 0: everything else is pinned; 1: something is not, because of what was found; 3: something
/// is not, because it could not be found out.
#[derive(Args, Clone, Debug)]
pub struct Pin {
    /// The releases, `NAMESPACE/RELEASE`, or their names with `-n`; default: all.
    #[arg(value_name = "RELEASE")]
    pub releases: Vec<String>,
    /// Releases of this namespace only.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Prints this ChartTrustPolicy of the cluster with the pins in the rules that decide, for kubectl apply.
    #[arg(long, value_name = "NAME")]
    pub policy: Option<String>,
    /// Where the cluster is.
    #[command(flatten)]
    pub connection: Connection,
    /// Where the operator is.
    #[command(flatten)]
    pub operator: Operator,
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the cluster cannot be asked, or something that is named does not exist.
pub(super) async fn run(arguments: &Pin) -> Result<u8, Failure> {
    let client = arguments.connection.client().await?;
    let trusts = trusts(&client, arguments).await?;
    let declared = Declared {
        policies: all(
            &Api::<ChartTrustPolicy>::all(client.clone()),
            "ChartTrustPolicies",
        )
        .await?,
        keys: all(&Api::<TrustedKey>::all(client.clone()), "TrustedKeys").await?,
        identities: sigstore::identities(&client, &arguments.operator.operator_namespace).await?,
    };
    let target = match &arguments.policy {
        Some(name) => Some(policy(&declared, name)?),
        None => None,
    };
    let wish = Wish {
        policy: arguments.policy.as_deref(),
        is_named: !arguments.releases.is_empty(),
    };
    let (matched, left) = matched::sorted(&trusts, &declared, wish);
    let text = match target {
        Some(policy) => written::policy(policy, &matched)?,
        None => written::pins(&matched)?,
    };
    say(&text)?;
    tell(&told(&matched, &left));
    Ok(checked(&client, &arguments.operator, code(&left)).await)
}

async fn trusts(client: &Client, arguments: &Pin) -> Result<Vec<ReleaseTrust>, Failure> {
    let namespace = arguments.namespace.as_deref();
    if arguments.releases.is_empty() {
        return status::listed(client, namespace).await;
    }
    let mut trusts = Vec::new();
    for release in &arguments.releases {
        let (namespace, name) = named(release, namespace)?;
        trusts.push(status::read(client.clone(), &namespace, &name).await?);
    }
    Ok(trusts)
}

fn policy<'a>(declared: &'a Declared, name: &str) -> Result<&'a ChartTrustPolicy, Failure> {
    let mut policies = declared.policies.iter();
    let found = policies.find(|policy| policy.name_any() == name);
    found.ok_or_else(|| no_policy(name))
}

/// What people are told besides the pins.
fn told(matched: &[Matched], left: &[Left]) -> String {
    let pinned = format!(
        "{} of {} releases are pinned\n",
        matched.len(),
        matched.len() + left.len()
    );
    let lines = left.iter().map(|one| plain(&one.to_string()) + "\n");
    lines.chain([pinned]).collect()
}

fn code(left: &[Left]) -> u8 {
    let codes = left.iter().map(|one| match one {
        Left::Aside { .. } => (0, TRUSTED),
        Left::Unclear { .. } => (1, UNKNOWN),
        Left::Known { .. } => (2, UNTRUSTED),
    });
    codes.max().map_or(TRUSTED, |(_, code)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_that_is_left() {
        let release = || "shop/web".to_owned();
        let why = || "why".to_owned();
        let aside = || Left::Aside {
            release: release(),
            why: why(),
        };
        let unclear = || Left::Unclear {
            release: release(),
            why: why(),
        };
        let known = || Left::Known {
            release: release(),
            why: why(),
        };
        for (left, expected) in [
            (vec![], TRUSTED),
            (vec![aside()], TRUSTED),
            (vec![unclear(), aside()], UNKNOWN),
            (vec![unclear(), known(), aside()], UNTRUSTED),
        ] {
            assert_eq!(code(&left), expected, "{left:?}");
        }
    }
}
