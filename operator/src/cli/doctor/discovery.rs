//! Where the operator looks for releases, if not everywhere: whether it can, and what lies elsewhere. Reads only.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::report::{Line, State};
use super::said;
use crate::api::ReleaseTrust;
use crate::leader::Discovering;
use crate::watch::pages;

/// What was found of the namespaces.
#[derive(Clone, Debug)]
pub(super) struct Discovered {
    /// Those that are looked at; empty is all.
    named: BTreeSet<String>,
    /// Those of them that do not exist.
    missing: Result<Vec<String>, String>,
    /// Namespaces with verdicts that are not looked at.
    elsewhere: Result<BTreeSet<String>, String>,
}

/// Reads the namespaces that are looked at, and where there are verdicts.
pub(super) async fn look(client: &Client, discovering: &Discovering) -> Discovered {
    let named = discovering.namespaces.clone();
    if named.is_empty() {
        return Discovered {
            named,
            missing: Ok(Vec::new()),
            elsewhere: Ok(BTreeSet::new()),
        };
    }
    Discovered {
        missing: missing(client, &named).await,
        elsewhere: elsewhere(client, &named).await,
        named,
    }
}

async fn missing(client: &Client, named: &BTreeSet<String>) -> Result<Vec<String>, String> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let mut missing = Vec::new();
    for name in named {
        let found = namespaces.get_metadata_opt(name).await;
        if found.map_err(|error| said(&error))?.is_none() {
            missing.push(name.clone());
        }
    }
    Ok(missing)
}

async fn elsewhere(client: &Client, named: &BTreeSet<String>) -> Result<BTreeSet<String>, String> {
    let trusts = Api::<ReleaseTrust>::all(client.clone());
    let namespaces = pages(&trusts, ListParams::default(), |one| one.namespace()).await;
    let namespaces = namespaces.map_err(|error| said(&error))?;
    let all: BTreeSet<_> = namespaces.into_iter().collect();
    Ok(all.difference(named).cloned().collect())
}

/// What is said of it; nothing where releases are looked for everywhere.
pub(super) fn told(discovered: &Discovered) -> Vec<Line> {
    const CHECK: &str = "namespaces";
    let Discovered {
        named,
        missing,
        elsewhere,
    } = discovered;
    if named.is_empty() {
        return Vec::new();
    }
    let names = list(named.iter());
    let mut lines = vec![match missing {
        Err(why) => Line::unknown(CHECK, &format!("whether {names} exist"), why),
        Ok(missing) if missing.is_empty() => {
            Line::ok(CHECK, format!("releases are looked for in {names} only"))
        }
        Ok(missing) => Line::new(
            CHECK,
            State::Failed,
            format!(
                "releases are looked for in {names} only, and there is no namespace {}",
                list(missing.iter())
            ),
            "create it, then run helm upgrade, which makes the operator's Roles in it; or leave it out of \
             discovery.namespaces",
        ),
    }];
    lines.extend(match elsewhere {
        Err(why) => Some(Line::unknown(CHECK, "whether verdicts lie elsewhere", why)),
        Ok(elsewhere) if elsewhere.is_empty() => None,
        Ok(elsewhere) => Some(Line::new(
            CHECK,
            State::Warning,
            format!(
                "there are verdicts in {}, where the operator does not look: they are of an earlier time",
                list(elsewhere.iter())
            ),
            "kubectl delete releasetrusts --all -n NAMESPACE, or name it in discovery.namespaces",
        )),
    });
    lines
}

/// The first few names, and how many more there are.
fn list<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named: Vec<_> = names.take(NAMED).map(String::as_str).collect();
    let named = named.join(", ");
    match more {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// How many namespaces a line names.
const NAMED: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(named: &[&str], missing: &[&str], elsewhere: &[&str]) -> Discovered {
        let all = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        Discovered {
            named: all(named).into_iter().collect(),
            missing: Ok(all(missing)),
            elsewhere: Ok(all(elsewhere).into_iter().collect()),
        }
    }

    #[test]
    fn what_is_not_looked_at_is_told_with_the_way_on() {
        assert_eq!(told(&found(&[], &[], &[])), []);
        for (discovered, states, part) in [
            (
                found(&["bank", "shop"], &[], &[]),
                vec![State::Ok],
                "bank, shop only",
            ),
            (
                found(&["bank", "shop"], &["shop"], &[]),
                vec![State::Failed],
                "no namespace shop",
            ),
            (
                found(&["shop"], &[], &["a", "b", "c", "d", "e", "f"]),
                vec![State::Ok, State::Warning],
                "a, b, c, d, e and 1 more",
            ),
            (
                Discovered {
                    missing: Err("forbidden".to_owned()),
                    elsewhere: Err("forbidden".to_owned()),
                    ..found(&["shop"], &[], &[])
                },
                vec![State::Unknown, State::Unknown],
                "forbidden",
            ),
        ] {
            let lines = told(&discovered);
            let found: Vec<_> = lines.iter().map(|line| line.state).collect();
            assert_eq!(found, states, "{lines:?}");
            assert!(
                lines.iter().any(|line| line.message.contains(part)),
                "{lines:?}"
            );
        }
    }
}
