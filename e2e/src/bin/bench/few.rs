//! P8: the key of ten releases is stolen, among ten and among many. What it costs to contain ten must not depend on how
//! many others there are.

use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::Operator;
use charttrust_e2e::stage::{Story, StoryKey};
use serde_json::json;

use crate::contained::{changes, revoked_at, rights, unlimited};
use crate::copies;
use crate::numbers::{Load, Outcome, Ratio, Sample, real, slope};
use crate::releases::populate;
use crate::run::{Bench, PATIENCE, contained, judged};
use crate::{Arguments, Result};

/// Releases whose key is stolen.
const FEW: usize = 10;
/// Charts of the others.
const CHARTS: usize = 10;
/// How many there are in all if nobody says so.
const MANY: usize = 10_000;

/// The row, for each number of releases.
pub(crate) async fn row(bench: &Bench, arguments: &Arguments) -> Result {
    rights(bench).await?;
    let sizes = match arguments.sizes.as_slice() {
        [] => vec![MANY],
        sizes => sizes.to_vec(),
    };
    let mut crowd = Crowd::gathered(bench).await?;
    let load = Load::now();
    let alone = crowd.rounds(arguments).await?;
    let mut points = vec![(real(FEW).ln(), Sample::of(alone.clone()).at(500).ln())];
    for size in sizes {
        crowd.grow(size).await?;
        let among = crowd.rounds(arguments).await?;
        let ratio = Ratio::of(among.iter().copied().zip(alone.iter().copied()));
        let outcome = Outcome::at_most(1.2, ratio.median());
        println!(
            "  P8 {ratio} among {} (goal: at most 1.2{outcome})",
            crowd.count()
        );
        points.push((real(crowd.count()).ln(), Sample::of(among).at(500).ln()));
    }
    if points.len() > 2 {
        let [slope, explained] = slope(&points);
        println!("  P8 exponent {slope:.2} (R² {explained:.3}) (goal: at most 0.1)");
    }
    println!("  load from outside      {} %", load.outside());
    crowd.clear().await;
    Ok(())
}

/// Ten releases with workloads, others without, and an operator.
struct Crowd<'a> {
    bench: &'a Bench,
    story: Story,
    few: StoryKey,
    policy: String,
    others: Vec<Chart>,
    /// Releases of each of the others.
    each: usize,
    operator: Operator,
}

impl<'a> Crowd<'a> {
    async fn gathered(bench: &'a Bench) -> Result<Self> {
        let story = Story::begin(bench.cluster, "few", Version::V4).await;
        let (few, many) = (
            story.trusted_key("few").await,
            story.trusted_key("many").await,
        );
        println!("preparing {FEW} releases of one key …");
        let chart = story
            .publish(&Source::new("web", "1.0.0"), Some(&few))
            .await;
        copies::make(&story, &chart, FEW).await?;
        let mut others = Vec::new();
        for number in 0..CHARTS {
            let source = Source::new(&format!("other-{number}"), "1.0.0");
            others.push(story.publish(&source, Some(&many)).await);
        }
        let more = json!({"quarantine": unlimited()});
        let policy = story.policy("policy", &[&few, &many], more).await;
        let mut operator = bench.start(&["--quarantine"])?;
        operator.ready(PATIENCE).await?;
        judged(&operator, &story.namespace, FEW).await;
        bench.at_rest().await?;
        Ok(Self {
            bench,
            story,
            few,
            policy,
            others,
            each: 0,
            operator,
        })
    }

    fn count(&self) -> usize {
        FEW + self.each * self.others.len()
    }

    /// Others join until there are so many.
    async fn grow(&mut self, size: usize) -> Result {
        let each = size.saturating_sub(FEW).div_ceil(self.others.len());
        println!("preparing others until there are {size} releases …");
        populate(self.each..each, &self.story, &self.others).await?;
        self.each = self.each.max(each);
        judged(&self.operator, &self.story.namespace, self.count()).await;
        self.bench.at_rest().await
    }

    /// The milliseconds from the revocation to the last change of a workload, once for each round.
    async fn rounds(&self, arguments: &Arguments) -> Result<Vec<f64>> {
        let mut all = Vec::new();
        for _ in 0..arguments.rounds {
            let mark = self.bench.cluster.mark();
            let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
            self.story.patch::<TrustedKey>(&self.few.name, revoke).await;
            contained(&self.operator, FEW).await;
            self.bench.at_rest().await?;
            let asked = self.bench.cluster.asked_since(mark);
            let revoked = revoked_at(&asked, &self.few.name).ok_or("nobody has revoked")?;
            let requests = asked.clone().by(self.bench.identity.user()).len();
            let changes = changes(asked, self.bench.identity.user());
            let last = changes.iter().map(|event| event.answered).max();
            let last = last
                .filter(|_| changes.len() == FEW)
                .ok_or("not all were contained")?;
            let took = last.duration_since(revoked).as_secs_f64() * 1000.0;
            println!(
                "  {FEW} among {:<6}        {took:.0} ms, {requests} requests",
                self.count()
            );
            all.push(took);
            let withdraw = json!({"spec": {"revocation": null}});
            self.story
                .patch::<TrustedKey>(&self.few.name, withdraw)
                .await;
            contained(&self.operator, 0).await;
            self.bench.at_rest().await?;
        }
        Ok(all)
    }

    async fn clear(self) {
        drop(self.operator);
        self.story.delete::<ChartTrustPolicy>(&self.policy).await;
        copies::remove(&self.story).await;
    }
}
