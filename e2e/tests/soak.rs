//! Two minutes of `make soak`.

use std::io::Write as _;
use std::time::Duration;

use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::operator::binary;
use charttrust_e2e::soak::{self, Sample, most};

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_and_goes_leaves_nothing_behind() {
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    let soaked = soak::run(cluster, binary(), Duration::from_secs(120), 1).await;
    for line in soaked.told() {
        writeln!(std::io::stderr(), "soak: {line}").unwrap();
    }
    let samples = &soaked.samples;
    assert!(samples.len() > 60, "{}", samples.len());
    assert!(soaked.struck.len() >= 4, "{:?}", soaked.struck);
    assert!(soaked.checked > 0);
    let writes: u64 = samples.iter().map(|sample| sample.writes).sum();
    assert!(writes > soaked.steps / 2, "{writes}");
    // What is open later was open in the beginning, but for what a fault has left to be closed.
    let open = |samples: &[Sample]| most(samples, |sample| sample.descriptors).0;
    let (first, later) = samples.split_at(samples.len() / 2);
    assert!(open(later) <= open(first) + 8, "{samples:?}");
}
