//! Looks for revocations of keys, now and then, where the objects say that copies are published.
//!
//! Reads the network. What it learns can only take trust away; everything else that a copy offers
//! is left out, and told.

use charttrust_verify::openpgp::{self, Certificate, CertificateError, Fingerprint, LeftOut};
use tokio::time::Instant;

use super::learned;
use crate::clock;
use crate::controllers::context::Context;
use crate::controllers::store::LoadedKey;
use crate::controllers::task::{RefreshJob, Task};
use crate::parse::Refresh;
use crate::sources::FetchError;

/// Has a key looked up as its object wants, or no more.
pub(in crate::controllers) fn plan(
    context: &Context,
    name: &str,
    loaded: Option<&LoadedKey>,
    now: Instant,
) {
    // Where several share the work, one looks.
    let wanted = loaded.filter(|_| context.is_first());
    let wanted = wanted.and_then(|loaded| loaded.refresh.as_ref());
    if let Some(wait) = context.store.refreshes.want(name, wanted) {
        let job = RefreshJob(name.to_owned());
        context.queues.refreshes.add_at(job, now + wait);
    }
}

/// Looks once, learns what takes trust away, and plans the next look.
pub(in crate::controllers) async fn run(context: &Context, job: &RefreshJob) {
    let RefreshJob(name) = job;
    let Some(wanted) = context.store.refreshes.wanted(name) else {
        return;
    };
    let trust = context.store.trust();
    let loaded = trust.loaded.get(name).map(|loaded| &loaded.key);
    let Some(Ok(key)) = loaded else {
        // As soon as the key can be used, this is planned again.
        context.store.refreshes.want(name, None);
        return;
    };
    let look = match copy(context, &wanted, key.fingerprint()).await {
        Ok(copy) => Ok(compare(context, name, &key.certificate, &copy).await),
        Err(error) => Err(error),
    };
    if let Some(wait) = context.store.refreshes.note(name, &wanted, look) {
        context
            .queues
            .refreshes
            .add_at(job.clone(), clock::tick() + wait);
    }
    context.queues.tasks.add(Task::KeyStatus(name.clone()));
}

/// The first copy that an address has.
async fn copy(
    context: &Context,
    wanted: &Refresh,
    key: &Fingerprint,
) -> Result<Certificate, FetchError> {
    let mut failure = FetchError::InvalidUrl("the address of the key");
    for address in &wanted.addresses {
        let pinned = key.clone();
        let read = move |bytes: &[u8]| openpgp::load(bytes, &pinned, &[]).map_err(|e| chain(&e));
        match context.fetcher.key(address, read).await {
            Ok(copy) => return Ok(copy),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn chain(error: &CertificateError) -> String {
    // Which other keys a server has is its choice, and no other failure.
    if let CertificateError::PinnedNotFound { .. } | CertificateError::OtherKey { .. } = error {
        return "it holds no key of this fingerprint".to_owned();
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Learns from a copy, and says what was left out.
async fn compare(context: &Context, name: &str, own: &Certificate, copy: &Certificate) -> String {
    let now = clock::now();
    match own.learn(copy, now) {
        Ok(news) if !news.is_empty() => {
            tracing::warn!(key = name, "a refresh takes trust away");
            learned::learn(context, own.fingerprint(), &news).await;
        }
        // Invariant: a copy was loaded for the same fingerprint.
        Ok(_) | Err(_) => {}
    }
    message(&own.leave_out(copy, now))
}

fn message(left: &LeftOut) -> String {
    let keys = match left.keys.len() {
        0 => None,
        1 => Some("1 new key".to_owned()),
        many => Some(format!("{many} new keys")),
    };
    let life = left.longer_life.then(|| "a longer life".to_owned());
    let offers: Vec<_> = keys.into_iter().chain(life).collect();
    if offers.is_empty() {
        return String::new();
    }
    format!(
        "the copy offers {}, which only a change of spec.publicKey can bring",
        offers.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told_with_the_way_on() {
        let key: Fingerprint = "0".repeat(40).parse().unwrap();
        let left = |keys: usize, longer_life| {
            message(&LeftOut {
                keys: vec![key.clone(); keys],
                longer_life,
            })
        };
        assert_eq!(left(0, false), "");
        assert!(left(1, false).starts_with("the copy offers 1 new key, which"));
        assert!(left(2, true).starts_with("the copy offers 2 new keys and a longer life, which"));
        assert!(left(0, true).contains("a change of spec.publicKey"));
    }
}
