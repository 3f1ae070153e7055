//! Asks ahead: the newest versions of the charts that are in use, so that the usual upgrade is known when it comes.
//!
//! Reads `ReleaseTrust`s, and asks sources without credentials, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use charttrust_verify::evidence::Claimed;
use charttrust_verify::policy::{Level, ReleaseRef, Source as Declared};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::ask::open;
use super::known::{Known, Trusting};
use crate::api::ReleaseTrust;
use crate::clock;
use crate::evidence::{Fetcher, Forms, gather};
use crate::sources::Asked;
use crate::watch::pages;

/// How many versions of a chart are asked for.
const NEWEST: usize = 3;
/// Most charts, whoever installs how many.
const MOST_CHARTS: usize = 500;
/// How often it is asked. What was sent before is asked for again in no more than a look at the index.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// How long one version may take.
const LONGEST: Duration = Duration::from_secs(60);

/// Asks again and again, and whenever keys or policies have changed.
pub(super) async fn for_ever(client: Client, known: &Known, fetcher: &Fetcher) {
    let mut changed = known.reading();
    loop {
        let trusting = changed.borrow_and_update().clone();
        if let Some(trusting) = trusting.filter(|trusting| !trusting.acting.is_empty()) {
            match in_use(&client, known, &trusting).await {
                Ok(charts) => ask(fetcher, &trusting, charts).await,
                Err(error) => tracing::warn!(%error, "charts in use cannot be listed"),
            }
        }
        // Invariant: the sender lives as long as `known`.
        let _ = tokio::time::timeout(EVERY, changed.changed()).await;
    }
}

/// By source and name, with the signatures that are wanted of it.
type Charts = BTreeMap<(Declared, String), Forms>;

/// The charts of releases, by the sources of the rules that decide about them.
async fn in_use(client: &Client, known: &Known, trusting: &Trusting) -> kube::Result<Charts> {
    let trusts = Api::<ReleaseTrust>::all(client.clone());
    let chart = |trust: ReleaseTrust| {
        let chart = trust.status.as_ref()?.release.as_ref()?.chart.clone();
        Some((trust.namespace()?, trust.name_any(), chart))
    };
    let releases = pages(&trusts, ListParams::default(), chart).await?;
    let mut charts = Charts::new();
    for (namespace, name, chart) in &releases {
        let place = known.known_place(namespace);
        let release = ReleaseRef {
            namespace,
            namespace_labels: place.as_deref().map(|place| &place.labels),
            name,
        };
        let policies = trusting.acting.iter();
        let rules = policies.filter_map(|policy| policy.rule_for(&release, chart)?.ok());
        let rules = rules.filter(|rule| rule.verify.level != Level::None);
        for rule in rules {
            let forms = Forms::of(&[rule], &trusting.trust.sigstore);
            for source in &rule.sources {
                let wanted = charts
                    .entry((source.clone(), chart.clone()))
                    .or_insert(forms);
                if forms == Forms::Every {
                    *wanted = forms;
                }
            }
        }
    }
    Ok(charts)
}

async fn ask(fetcher: &Fetcher, trusting: &Trusting, charts: Charts) {
    for ((source, chart), forms) in charts.iter().take(MOST_CHARTS) {
        let Ok(source) = open(source, trusting) else {
            continue;
        };
        let listed = Box::pin(fetcher.listed(&source, Some(chart)));
        let Ok(Ok(listed)) = tokio::time::timeout(LONGEST, listed).await else {
            continue;
        };
        for version in newest(listed.into_iter().map(|one| one.version)) {
            let claimed = Claimed {
                chart,
                version: &version,
            };
            let now = clock::tick();
            let asked = Asked {
                since: now.checked_sub(EVERY).unwrap_or(now),
                ..Asked::now()
            };
            let said = Box::pin(gather(fetcher, &source, claimed, (asked, *forms)));
            // What is not known then is asked for when it comes.
            let _ = tokio::time::timeout(LONGEST, said).await;
        }
    }
}

/// The newest versions, those before a release last.
fn newest(versions: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<_> = versions
        .filter_map(|one| Some((rank(&one)?, one)))
        .collect();
    all.sort();
    let newest = all.into_iter().rev().take(NEWEST);
    newest.map(|(_, version)| version).collect()
}

/// Enough of the order of versions to ask for the likely ones first: nothing is decided by it.
fn rank(version: &str) -> Option<(bool, [u64; 3])> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let bare = version.split('+').next()?;
    let (numbers, is_release) = match bare.split_once('-') {
        Some((numbers, _)) => (numbers, false),
        None => (bare, true),
    };
    let mut rank = [0; 3];
    let mut parts = numbers.split('.');
    for place in &mut rank {
        *place = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then_some((is_release, rank))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_releases_are_asked_for() {
        let all = [
            "1.9.0",
            "2.0.0-rc.1",
            "1.10.0",
            "latest",
            "v1.2.0",
            "0.1.0+a",
            "1.2",
        ];
        let newest = newest(all.into_iter().map(str::to_owned));
        assert_eq!(newest, ["1.10.0", "1.9.0", "v1.2.0"]);
        let few = self::newest(["1.0.0-a", "junk"].into_iter().map(str::to_owned));
        assert_eq!(few, ["1.0.0-a"]);
    }
}
