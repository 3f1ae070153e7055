//! What the webhook costs whoever installs: through the API server beside one that looks at nothing, and alone.
//!
//! All of it is about archives that the webhook remembers and trusts. The load is that of dry runs: the API server
//! asks its webhooks and stores nothing, so that what is measured is the webhook and not the store.

mod stand;

use std::time::Duration;

use self::stand::{Size, Stand, Variant};
use crate::load::{drive, repeat};
use crate::numbers::{Load, Outcome, Pairs, Sample};
use crate::{Arguments, Result};

/// What is promised (`docs/performance.md`).
const MOST_RATIO: f64 = 1.15;
/// Mebibytes.
const MOST_GROWTH: f64 = 64.0;

/// The row.
pub(crate) async fn row(arguments: &Arguments) -> Result {
    println!("preparing a webhook, one that looks at nothing, and records of four sizes …");
    let stand = Stand::set(arguments).await?;
    let idle = stand.memory()[0];
    let asked = stand.asked()?;
    let load = Load::now();
    let mut is_met = alone(&stand).await?;
    let lasting = Duration::from_secs(arguments.seconds.max(SLICE.as_secs()));
    for rate in &arguments.rates {
        is_met &= through(&stand, (*rate, lasting)).await?;
    }
    println!("\nmemory of the webhook, grown beside {idle} KiB");
    let wave = (200, lasting.min(SHORT));
    drive(wave, |number| stand.create(Variant::Ours, number)).await?;
    is_met &= grown(&stand, idle, "200/s of 8 KiB through the API server");
    drive((50, wave.1), |_| stand.review(Variant::Ours, Size::Largest)).await?;
    is_met &= grown(&stand, idle, "50/s of 1 MiB at the handler");
    let (sources, server) = stand.asked()?;
    let (sources, server) = (sources - asked.0, &server[asked.1.len()..]);
    println!(
        "\nasked meanwhile: sources {sources}, the API server {} {server:?} (goal: nobody)",
        server.len()
    );
    is_met &= sources + server.len() == 0;
    println!("load from outside: {} % of the machine", load.outside());
    println!("all goals are met: {is_met}");
    Ok(())
}

/// The handler alone: one request after the other on a connection of its own, ours and the other's by turns.
async fn alone(stand: &Stand) -> Result<bool> {
    println!("\nthe handler alone, one request after the other");
    let mut are_met = true;
    for (size, times, goal) in [
        (Size::Small, 3000, 1.0),
        (Size::Medium, 1000, 2.0),
        (Size::Largest, 300, 15.0),
    ] {
        let of =
            async |variant, times| repeat(times, async || stand.review(variant, size).await).await;
        let (mut ours, mut noop) = (Vec::new(), Vec::new());
        for turn in 0..=TURNS {
            let both = [
                of(Variant::Ours, times / TURNS).await?,
                of(Variant::Noop, times / TURNS).await?,
            ];
            // The first makes connections, and whoever starts late is there.
            if turn > 0 {
                let [one, other] = both;
                ours.push(one);
                noop.push(other);
            }
        }
        let pairs = Pairs::of(ours.iter().zip(&noop));
        let [ours, noop] = [&ours, &noop].map(|samples| Sample::all(samples));
        let outcome = Outcome::at_most(goal, ours.at(990));
        are_met &= outcome == Outcome::Met;
        let bytes = stand.bytes(size);
        println!(
            "  {:<8} {bytes:>7} B  ours   {ours}  (goal: p99 {goal} ms{outcome})",
            size.word(),
        );
        println!("                      no-op  {noop}");
        println!("                      ours / no-op  p50 {}", pairs.at(500));
    }
    Ok(are_met)
}

/// In so many turns each.
const TURNS: usize = 10;

/// Through the API server at one rate: ours, one that looks at nothing and none, for some seconds by turns, so that
/// whatever else the machine does it does to all of them. No configuration is changed between the turns: the label
/// of a record decides who is asked about it.
async fn through(stand: &Stand, (rate, lasting): (u32, Duration)) -> Result<bool> {
    for variant in Variant::ALL {
        drive((rate, SLICE), |number| stand.create(variant, number)).await?;
    }
    let mut all = Variant::ALL.map(|_| Vec::new());
    let asked = [Variant::Ours, Variant::Noop];
    let mut before = Vec::new();
    for variant in asked {
        before.push((stand.answered(variant).await?, stand.ticks(variant)));
    }
    let slices = lasting.as_secs().div_ceil(SLICE.as_secs());
    for round in 0..slices {
        for variant in turns(round) {
            let sample = drive((rate, SLICE), |number| stand.create(variant, number)).await?;
            all[variant as usize].push(sample);
        }
    }
    println!(
        "\nthrough the API server, {rate}/s of 8 KiB, from the intended start, {slices} turns of {SLICE:?}"
    );
    for (variant, samples) in Variant::ALL.iter().zip(&all) {
        println!("  {:<7} {}", variant.word(), Sample::all(samples));
    }
    let mut costs = Vec::new();
    for (variant, (answered, ticks)) in asked.into_iter().zip(before) {
        let answered = stand.answered(variant).await? - answered;
        let sent = u64::from(rate) * slices * SLICE.as_secs();
        if answered < sent {
            return Err(format!("{variant:?} has answered {answered} of {sent}").into());
        }
        costs.push(each(stand.ticks(variant) - ticks, answered));
    }
    let [ours, noop, _] = &all;
    let pairs = Pairs::of(ours.iter().zip(noop));
    let p99 = pairs.at(990);
    let outcome = Outcome::at_most(MOST_RATIO, p99.ratio);
    println!("  ours / no-op  p50 {}", pairs.at(500));
    println!("  ours / no-op  p99 {p99} (goal: {MOST_RATIO}{outcome})");
    println!(
        "  processor time of a request, in ms: ours {:.2}, no-op {:.2}",
        costs[0], costs[1]
    );
    Ok(outcome == Outcome::Met)
}

/// Who is asked in a round, in an order in which each comes after each other one as often. Nobody only in one of four:
/// that is told to see what the server itself takes, and divides nothing.
fn turns(round: u64) -> Vec<Variant> {
    let mut turns = match round % 4 {
        0 => Variant::ALL.to_vec(),
        _ => vec![Variant::Ours, Variant::Noop],
    };
    if round % 2 == 1 {
        turns.reverse();
    }
    turns
}

/// Milliseconds of each, of ticks of all: there are a hundred a second.
fn each(ticks: u64, count: u64) -> f64 {
    let [ticks, count] = [ticks, count].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    f64::from(ticks) * 10.0 / f64::from(count.max(1))
}

/// For how long one is asked before it is another's turn.
const SLICE: Duration = Duration::from_secs(2);
/// For how long memory is watched.
const SHORT: Duration = Duration::from_secs(20);

fn grown(stand: &Stand, idle: u64, what: &str) -> bool {
    let grown = stand.memory()[1].saturating_sub(idle);
    let mebibytes = f64::from(u32::try_from(grown).unwrap_or(u32::MAX)) / 1024.0;
    let outcome = Outcome::at_most(MOST_GROWTH, mebibytes);
    println!("  {what:<40} {mebibytes:.1} MiB at the peak (goal: {MOST_GROWTH}{outcome})");
    outcome == Outcome::Met
}
