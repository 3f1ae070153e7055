//! What is not said yet, because what is true may be known in a moment: every word is a write.

use std::time::Duration;

use charttrust_verify::verdict::{Reason, Verdict};
use tokio::time::Instant;

use super::poll;
use super::status::Judged;
use crate::api::release_trust::ReleaseTrustStatus;
use crate::controllers::context::Context;
use crate::controllers::store::Told;
use crate::controllers::task::Task;
use crate::inventory::ReleaseId;

/// Since when nothing can be said, only because sources were not asked. While that is so, a last verdict stands, but
/// only so long: it was about something else, and a source may never answer.
pub(super) fn since(
    context: &Context,
    id: &ReleaseId,
    judged: &Judged,
    now: Instant,
) -> Option<Instant> {
    let since = context.store.update(id, |release| {
        if !judged.is_pending() {
            release.pending_since = None;
            return None;
        }
        Some(*release.pending_since.get_or_insert(now))
    })?;
    let next = [since + SHOWN_AFTER, since + PATIENCE];
    let tasks = &context.queues.tasks;
    for at in next.into_iter().filter(|at| *at > now).take(1) {
        tasks.add_at(Task::Release(id.clone()), at);
    }
    Some(since)
}

/// Whether it is not shown yet that a look is under way.
pub(super) fn is_new(since: Instant, now: Instant) -> bool {
    now < since + SHOWN_AFTER
}

/// Whether the last verdict stands meanwhile.
pub(super) fn is_short(since: Instant, now: Instant) -> bool {
    now < since + PATIENCE
}

/// Whether a release of which nothing was said yet is not called pending either, because its verdict comes soon: it
/// was there a moment ago, or waits for its turn in a queue that moves. A thousand releases at a first start would
/// otherwise be written twice. What waits for something that hangs is told.
pub(super) fn comes_soon(context: &Context, id: &ReleaseId, since: Instant, now: Instant) -> bool {
    if is_new(since, now) {
        return true;
    }
    let queues = &context.queues;
    let is_read_soon = || queues.records.comes_soon(id, now, SHOWN_AFTER);
    let is_asked_soon = || {
        let mut looks = poll::looks(context, id).into_iter();
        looks.any(|look| queues.polls.comes_soon(&look, now, SHOWN_AFTER))
    };
    let comes_soon = is_read_soon() || is_asked_soon();
    if comes_soon {
        // After as long again: looking every two seconds at all that wait would keep them from their turn.
        let waited = now.saturating_duration_since(since);
        let task = Task::Release(id.clone());
        queues.tasks.add_at(task, now + waited);
    }
    comes_soon
}

/// When it is shown that a look is under way.
const SHOWN_AFTER: Duration = Duration::from_secs(2);

/// How long a verdict stands while what it was about has changed and was not looked at yet.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the verdict may be that on half of what somebody applies at once: the key that is missed
/// comes in the same second. Proof of badness waits for nothing.
pub(super) fn is_unsettled(
    context: &Context,
    id: &ReleaseId,
    judged: &Judged,
    (old, now): (Option<&ReleaseTrustStatus>, Instant),
) -> bool {
    let verdict = judged.judgement.verdict;
    let before = old.and_then(|old| Told::by(old).verdict);
    let is_new = before.as_deref() != Some(verdict.word());
    let may_pass = is_new && verdict == Verdict::Untrusted(Reason::SignerNotTrusted);
    let since = context.store.update(id, |release| {
        let since = may_pass.then(|| release.unsettled_since.unwrap_or(now));
        release.unsettled_since = since;
        since
    });
    let until = since.map(|since| since + SETTLING).filter(|at| *at > now);
    if let Some(until) = until {
        let task = Task::Release(id.clone());
        context.queues.tasks.add_at(task, until);
    }
    until.is_some()
}

/// Twice what it takes `kubectl apply` to send some files.
const SETTLING: Duration = Duration::from_secs(2);
