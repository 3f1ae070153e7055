//! Applications of Argo CD, which leave no record: judged by what they ask for, before anything of it is deployed.

use std::net::IpAddr;

use charttrust_verify::check::Judgement;
use charttrust_verify::deployer::Deployer;
use charttrust_verify::evidence::Claimed;
use charttrust_verify::policy::{Policy, ReleaseRef};
use charttrust_verify::verdict::Cause;
use charttrust_verify::version::{Constraint, is_exact};

use super::answer::{Answer, Asked};
use super::ask::Asking;
use super::before::Before;
use super::known::{Place, Trusting};
use super::places::Queue;
use super::{Door, LONGEST_WAIT, NOTHING, answered, undecided};
use crate::clock::Moment;
use crate::inventory::argocd::{APPLICATIONS, Requested, Wanted, chart_of};
use crate::inventory::{Claim, ReleaseId};

/// What is said of a chart that is asked for.
struct Case<'a> {
    wanted: &'a Wanted,
    release: &'a ReleaseId,
    chart: &'a str,
    /// What was found out about the release before.
    before: &'a Before,
    /// Where who asks may wait for sources.
    queue: Queue<'a>,
}

impl Door {
    /// Each chart is judged as the release that it would be; one that does not go in is enough.
    pub(super) async fn judge_application(
        &self,
        (requested, from): (&Requested, IpAddr),
        trusting: &Trusting,
        moment: Moment,
    ) -> Answer {
        let mut whole = Answer::default();
        let namespace = &requested.name.namespace;
        let place = self.known.place(namespace).await;
        let unclear = |release: &ReleaseId, why| {
            let selecting = trusting.selecting(&reference(release, place.as_deref()));
            let asked = Asked {
                release,
                chart: None,
            };
            answered((asked, &NOTHING), &undecided(&selecting, why), trusting)
        };
        // Also where none of those that are looked at is a chart.
        if requested.is_cut {
            let release = chart_of(&requested.name, Claim::First);
            let why =
                "the Application has more sources, or longer texts of them, than are looked at";
            whole.add(unclear(&release, (Cause::LimitExceeded, why)));
        }
        for wanted in requested.charts() {
            let release = chart_of(&requested.name, wanted.claim);
            let reference = reference(&release, place.as_deref());
            let selecting = trusting.selecting(&reference);
            if selecting.is_empty() {
                continue;
            }
            let Some(chart) = &wanted.chart else {
                let why = "the Application does not say in a known way of which chart";
                whole.add(unclear(&release, (Cause::ReleaseUnreadable, why)));
                continue;
            };
            let before = Before::read(&self.client, trusting.seal.as_ref(), &release).await;
            let case = Case {
                wanted: &wanted,
                release: &release,
                chart,
                before: &before,
                queue: self.places.queue(from),
            };
            let judging = self.judge_chart(&case, (trusting, &selecting), (reference, moment));
            whole.add(Box::pin(judging).await);
        }
        whole
    }

    async fn judge_chart(
        &self,
        case: &Case<'_>,
        (trusting, selecting): (&Trusting, &[&Policy]),
        (release, moment): (ReleaseRef<'_>, Moment),
    ) -> Answer {
        let deployers = [Deployer {
            name: format!("{} {}", APPLICATIONS.kind, case.release),
            origin: case.wanted.origin.clone(),
        }];
        let asking = Asking {
            before: case.before,
            content: None,
            fetcher: &self.fetcher,
            queue: case.queue,
            trusting,
            release,
            claimed: Claimed {
                chart: case.chart,
                version: &case.wanted.version,
            },
            record: None,
            deployers: &deployers,
            deadline: moment.tick + LONGEST_WAIT,
            now: moment.date,
        };
        let wanted = &case.wanted.version;
        let told = |version: &str, judgement: &Judgement| {
            let asked = Asked {
                release: case.release,
                chart: Some((case.chart, version)),
            };
            answered((asked, case.before), judgement, trusting)
        };
        if is_exact(wanted) {
            return told(wanted, &Box::pin(asking.judge()).await);
        }
        let highest = match wanted.parse::<Constraint>() {
            Ok(range) => Box::pin(asking.highest(&range)).await,
            Err(_) => None,
        };
        let Some(version) = highest else {
            let why = format!("no source tells which version {wanted:?} is now");
            let judgement = undecided(selecting, (Cause::SourceUnavailable, &why));
            return told(wanted, &judgement);
        };
        let claimed = Claimed {
            chart: case.chart,
            version: &version,
        };
        let judgement = Box::pin(Asking { claimed, ..asking }.judge()).await;
        let shown =
            format!("{version}, the highest of {wanted} now; later ones are not asked about");
        told(&shown, &judgement)
    }
}

/// A release as policies select it.
fn reference<'a>(release: &'a ReleaseId, place: Option<&'a Place>) -> ReleaseRef<'a> {
    ReleaseRef {
        namespace: &release.namespace,
        namespace_labels: place.map(|place| &place.labels),
        name: &release.name,
    }
}
