//! Reads a `ChartTrustPolicy`, has the releases judged that it concerns, and writes its status.

pub(in crate::controllers) mod door;
mod events;
pub(in crate::controllers) mod shared;
mod status;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use tokio::time::Instant;

use self::status::Progress;
use crate::api::chart_trust_policy::ChartTrustPolicyStatus;
use crate::api::conditions::{PolicyCondition, find};
use crate::api::{ChartTrustPolicy, REQUESTED_AT, bounds};
use crate::clock::Moment;
use crate::controllers::cache::Ours;
use crate::controllers::context::Context;
use crate::controllers::error::Error;
use crate::controllers::events as announce;
use crate::controllers::queue::LONGEST_WAIT;
use crate::controllers::shares;
use crate::controllers::store::tokens::Tokens;
use crate::controllers::store::written::Update;
use crate::controllers::store::{Reading, Trust};
use crate::controllers::task::Task;
use crate::inventory::ReleaseId;
use crate::parse::{self, LoadedPolicy};

/// Takes the object into what is known, and has every release judged that it selects or selected.
pub(in crate::controllers) async fn reconcile(context: &Context, name: &str, moment: Moment) {
    if context.is_first() && is_deleted(context, name) {
        let judged = judged_by(context, name);
        announce::publish(context, Some(events::of_deletion(name, judged))).await;
    }
    take_in(context, name, moment);
}

/// Whether a policy is gone that was judged by.
fn is_deleted(context: &Context, name: &str) -> bool {
    let was_known = context.store.trust().policies.contains_key(name);
    was_known && context.cache.policies.find(&name.to_owned()).is_none()
}

/// How many releases a policy has judged.
fn judged_by(context: &Context, name: &str) -> usize {
    let mut count = 0;
    context.store.judgements(|_, judgement| {
        let mut policies = judgement.policies.iter();
        count += usize::from(policies.any(|policy| policy.policy == name));
    });
    count
}

/// Says which policies are gone that judged releases when the operator ran last.
pub(in crate::controllers) async fn report_gone(context: &Context) {
    let mut gone: BTreeMap<String, usize> = BTreeMap::new();
    for (_, trust) in context.cache.trusts.all() {
        let trust = trust.open();
        let status = trust.as_ref().ok().and_then(|trust| trust.status.as_ref());
        for said in status.iter().flat_map(|status| &status.policies) {
            *gone.entry(said.policy.clone()).or_default() += 1;
        }
    }
    gone.retain(|name, _| context.cache.policies.find(name).is_none());
    for (name, judged) in gone {
        announce::publish(context, Some(events::of_deletion(&name, judged))).await;
    }
}

fn take_in(context: &Context, name: &str, moment: Moment) {
    let object = context.cache.policies.find(&name.to_owned());
    let tokens = &context.tokens;
    let reading = reading(object.as_deref(), tokens, moment.date);
    if is_still_true(context, name, &reading) {
        return schedule(context, name, moment);
    }
    let loaded = match object.as_deref() {
        None => None,
        Some(Err(problem)) => Some(parse::unreadable_policy(name, problem)),
        Some(Ok(object)) => Some(parse::policy_by(object, &|address, audience| {
            let pairs = &context.settings.token_audiences;
            let checked = tokens.check(pairs, (address, audience));
            checked.map_err(|refused| refused.to_string())
        })),
    };
    let requested = object
        .as_deref()
        .and_then(|object| object.as_ref().ok())
        .and_then(asks);
    let after = loaded.clone();
    let _change = context.change(after.as_ref(), moment.tick);
    let before = context
        .store
        .set_policy(name, loaded.map(|loaded| (reading, loaded)));
    schedule(context, name, moment);
    let mut owed = BTreeMap::new();
    for id in context.store.release_ids() {
        if selects(context, before.as_ref(), &id) || selects(context, after.as_ref(), &id) {
            if requested.is_some() {
                let number = context
                    .store
                    .update(&id, |release| release.request(moment.tick));
                owed.insert(id.clone(), number);
            }
            context.queues.records.add(id.clone());
            context.judge_again(&id);
        }
    }
    let requests = &context.store.policy_requests;
    match (requested, after) {
        (Some(asked), _) => requests.ask(name, asked, owed, moment.tick),
        (None, Some(_)) => {}
        (None, None) => requests.forget(name),
    }
    context.queues.tasks.add(Task::Decide(name.to_owned()));
}

/// Which state of the object this is.
fn reading(object: Option<&Ours<ChartTrustPolicy>>, tokens: &Tokens, at: Timestamp) -> Reading {
    let Some(Ok(object)) = object else {
        return Reading::gone(at);
    };
    let asked = object.annotations().get(REQUESTED_AT);
    let known = tokens.are_known();
    let details = format!("{:?} {asked:?} {known}", object.metadata.uid);
    Reading {
        generation: object.metadata.generation.unwrap_or_default(),
        details,
        at,
    }
}

/// Whether this very state was read, and no exception has ended since.
fn is_still_true(context: &Context, name: &str, reading: &Reading) -> bool {
    let trust = context.store.trust();
    let (Some(known), Some(loaded)) = (trust.policy_readings.get(name), trust.policies.get(name))
    else {
        return false;
    };
    known.holds(reading, ends(loaded))
}

/// The annotation, if it asks for looks that were not answered yet.
fn asks(object: &ChartTrustPolicy) -> Option<String> {
    let asked = object.annotations().get(REQUESTED_AT);
    let status = object.status.as_ref();
    let answered = status.and_then(|status| status.last_handled_reconcile_at.as_ref());
    let fits = |asked: &String| bounds::fit(asked, bounds::VERSION);
    asked
        .filter(|asked| answered != Some(&fits(asked)))
        .cloned()
}

/// The annotation, once every look that it asked for has ended.
fn handled(
    context: &Context,
    object: &ChartTrustPolicy,
    name: &str,
    tick: Instant,
) -> Option<String> {
    let asked = object.annotations().get(REQUESTED_AT)?;
    let store = &context.store;
    let has_ended = |id: &ReleaseId, number| store.has_answered(id, number);
    let requests = &store.policy_requests;
    let is_handled = requests.is_handled(name, asked, tick, has_ended);
    if let Some(deadline) = requests.deadline(name) {
        let task = Task::PolicyStatus(name.to_owned());
        context.queues.tasks.add_at(task, deadline);
    }
    is_handled.then(|| bounds::fit(asked, bounds::VERSION))
}

fn selects(context: &Context, loaded: Option<&LoadedPolicy>, id: &ReleaseId) -> bool {
    let placed = context.cache.placed(id);
    loaded.is_some_and(|loaded| loaded.policy.selection.selects(&placed.reference()))
}

/// Instants at which time alone changes what the policy forgives.
fn ends(loaded: &LoadedPolicy) -> impl Iterator<Item = Timestamp> {
    loaded
        .policy
        .exceptions
        .iter()
        .map(|exception| exception.expires_at)
}

/// Has the policy read again when an exception ends.
fn schedule(context: &Context, name: &str, moment: Moment) {
    let trust = context.store.trust();
    let Some(loaded) = trust.policies.get(name) else {
        return;
    };
    let Some(next) = ends(loaded).filter(|end| *end > moment.date).min() else {
        return;
    };
    let wait = next
        .duration_since(moment.date)
        .unsigned_abs()
        .min(LONGEST_WAIT);
    context
        .queues
        .tasks
        .add_at(Task::Policy(name.to_owned()), moment.tick + wait);
}

/// Writes the status if anything but the time has changed.
pub(in crate::controllers) async fn write_status(
    context: &Context,
    name: &str,
    moment: Moment,
) -> Result<(), Error> {
    let object = context.cache.policies.find(&name.to_owned());
    let Some(Ok(object)) = object.as_deref() else {
        return Ok(());
    };
    let trust = context.store.trust();
    let Some(loaded) = trust.policies.get(name) else {
        return Ok(());
    };
    let counted = status::count(&context.store, name)
        .with_unaccounted(context.unaccounted(&loaded.policy.selection));
    let due = due(context, loaded);
    let handled = handled(context, object, name, moment.tick);
    let statuses = &context.store.policy_statuses;
    let last = context.share.as_ref().and_then(|_| statuses.known(object));
    let others = shared::others(context, loaded, last.as_ref());
    count_again(context, name, due + others.missing(), moment);
    let unseen = unread(context);
    if !context.is_first() {
        let part = shared::Part {
            counted,
            unseen,
            handled,
        };
        return shared::tell(context, (object, loaded), part, moment).await;
    }
    let unread: Vec<_> = unseen.into_iter().chain(others.unseen()).collect();
    let due = due + others.missing();
    let counted = counted.with(&others.told);
    let handled = handled.filter(|asked| others.have_handled(asked));
    let conclude = |old: Option<&_>| {
        let known = status::Known {
            loaded,
            trust: &trust,
            counted: &counted,
            progress: progress(old, loaded, due),
            unread,
            reach: &context.settings.reach,
            gate: &context.store.gate.seen(),
            handled,
            shards: &others.told,
            unheld: others.unheld(),
        };
        status::conclude(old, &known, moment.date)
    };
    let Some(update) = statuses.concluded(object, conclude) else {
        return Ok(());
    };
    let is_known = is_same_generation(update.old.as_ref(), loaded);
    let is_start = due > 0 && statuses.is_first(name) && is_known;
    if is_start && is_patient(&trust, name, moment) && !is_worse(&update) {
        return Ok(());
    }
    let announced = events::of_policy(&update.object, update.told.as_ref(), &update.new);
    announce::publish(context, announced).await;
    let what = "write the status of a ChartTrustPolicy";
    let written = statuses.write(&context.client, update, what).await;
    let task = Task::PolicyStatus(name.to_owned());
    shares::unless_overtaken(context, task, written)
}

/// Has the status looked at again while something is not known yet.
fn count_again(context: &Context, name: &str, due: usize, moment: Moment) {
    if due > 0 {
        let task = Task::PolicyStatus(name.to_owned());
        context.queues.tasks.add_at(task, moment.tick + COUNTING);
    }
}

/// Namespaces and kinds of deployers that are to be looked at and cannot be.
fn unread(context: &Context) -> Vec<String> {
    let mut unread = context.cache.unseen();
    unread.extend(context.cache.unreadable());
    let refused = context.cache.workloads.are_refused();
    unread.extend(
        refused.then(|| "workloads: the operator may not list and watch all of them".to_owned()),
    );
    unread
}

/// How many releases of a policy are not judged by the keys and policies of now.
fn due(context: &Context, loaded: &LoadedPolicy) -> usize {
    let is_judged = |id: &ReleaseId| {
        context.store.inspect(id, |release| {
            release.is_some_and(|one| one.judgement.is_some() && !one.judgings.are_open())
        })
    };
    let releases = context.cache.records.releases().into_iter();
    let selected = releases.filter(|id| selects(context, Some(loaded), id));
    selected.filter(|id| !is_judged(id)).count()
}

/// While releases are not judged by a new generation, it is under way.
fn progress(old: Option<&ChartTrustPolicyStatus>, loaded: &LoadedPolicy, due: usize) -> Progress {
    let is_same = is_same_generation(old, loaded);
    let conditions = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let is_open = find(conditions, PolicyCondition::Reconciling).is_some();
    if due > 0 && (is_open || !is_same) {
        Progress::UnderWay
    } else {
        Progress::Ended
    }
}

fn is_same_generation(old: Option<&ChartTrustPolicyStatus>, loaded: &LoadedPolicy) -> bool {
    old.and_then(|old| old.observed_generation) == Some(loaded.generation)
}

/// After a start, what an earlier run has written stands until the releases were judged again; for ever
/// it does not, as one of them may never be.
fn is_patient(trust: &Trust, name: &str, moment: Moment) -> bool {
    let reading = trust.policy_readings.get(name);
    reading.is_some_and(|known| moment.date.duration_since(known.at) < PATIENCE)
}

/// Bad news does not wait.
fn is_worse(update: &Update<ChartTrustPolicy, ChartTrustPolicyStatus>) -> bool {
    let before = update.old.as_ref().map_or(0, |old| old.releases.untrusted);
    update.new.releases.untrusted > before
}

/// When to count again while releases are not judged yet.
const COUNTING: Duration = Duration::from_secs(1);
/// How long what an earlier run has written may stand.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

#[cfg(test)]
mod tests {
    use charttrust_verify::verdict::{Cause, Reason, Verdict};
    use serde_json::{Value, json};

    use super::*;
    use crate::controllers::testing::{POLICY, Scene, id, said};
    use crate::inventory::helm::Driver;
    use crate::leader::Leadership;

    const PATH: &str = "/apis/charttrust.io/v1alpha1/charttrustpolicies/strict";

    /// A process that has read the policy, and as many records as were there before.
    async fn started(object: &Value) -> Scene {
        let scene = Scene::with(None, Leadership::Alone).await;
        scene.declare_spec(&json!({}));
        scene.cluster.put(PATH, object.clone());
        for name in ["a", "b"] {
            scene.install(&id("shop", name), Driver::Secret);
        }
        scene
    }

    async fn counted(scene: &Scene, second: i64) {
        let object = scene.cluster.find(PATH).unwrap();
        let object = serde_json::from_value(object).map_err(|error| error.to_string());
        scene
            .context
            .cache
            .policies
            .set(POLICY.to_owned(), Some(object));
        let moment = Moment {
            date: Timestamp::from_second(second).unwrap(),
            tick: crate::clock::tick(),
        };
        write_status(&scene.context, POLICY, moment).await.unwrap();
    }

    fn declared() -> Value {
        json!({"apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": POLICY, "generation": 1}, "spec": {"rules": []}})
    }

    fn conditions(scene: &Scene) -> Vec<String> {
        let object = scene.cluster.find(PATH).unwrap();
        let all = object["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let word = |one: &Value| {
            let part = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            format!("{}={}/{}", part("type"), part("status"), part("reason"))
        };
        let shown = ["Ready=", "Compliant=", "Reconciling="];
        let all = all.iter().map(word);
        all.filter(|one| shown.iter().any(|type_| one.starts_with(type_)))
            .collect()
    }

    /// Words that are not true yet are not said: a start is no news.
    #[tokio::test]
    async fn a_start_writes_the_status_of_no_policy_of_any_level() {
        let unmanaged = Verdict::Unknown(Cause::Unmanaged);
        let unsigned = Verdict::Untrusted(Reason::Unsigned);
        for verdict in [unmanaged, unsigned] {
            let scene = started(&declared()).await;
            let all = ["a", "b"].map(|name| id("shop", name));
            for id in &all {
                scene.judge(id, vec![said(verdict)]);
            }
            counted(&scene, 1).await;
            let again = started(&scene.cluster.find(PATH).unwrap()).await;
            for (second, id) in (2..).zip(&all) {
                counted(&again, second).await;
                again.judge(id, vec![said(verdict)]);
            }
            counted(&again, 5).await;
            assert_eq!(again.cluster.writes().len(), 0, "{verdict}");
        }
    }

    #[tokio::test]
    async fn after_a_start_bad_news_and_those_that_never_come_are_counted() {
        let trusted = Verdict::Trusted(charttrust_verify::verdict::Basis::SignatureVerified);
        let scene = started(&declared()).await;
        let all = ["a", "b"].map(|name| id("shop", name));
        for id in &all {
            scene.judge(id, vec![said(trusted)]);
        }
        counted(&scene, 1).await;
        assert_eq!(
            conditions(&scene),
            ["Ready=True/Reconciled", "Compliant=True/AllTrusted"]
        );
        let object = scene.cluster.find(PATH).unwrap();
        let again = started(&object).await;
        again.judge(&all[0], vec![said(Verdict::Untrusted(Reason::Unsigned))]);
        counted(&again, 2).await;
        assert_eq!(conditions(&again)[1], "Compliant=False/ReleasesUntrusted");
        let again = started(&object).await;
        again.judge(&all[0], vec![said(trusted)]);
        counted(&again, 2).await;
        assert_eq!(again.cluster.writes().len(), 0);
        counted(&again, 60).await;
        assert_eq!(again.cluster.writes().len(), 1);
    }

    /// Whoever waits for a policy waits until it judges: Ready and Compliant are not of the last one.
    #[tokio::test]
    async fn a_new_generation_is_under_way_until_every_release_is_judged_by_it() {
        let trusted = Verdict::Trusted(charttrust_verify::verdict::Basis::SignatureVerified);
        let under_way = [
            "Ready=Unknown/Progressing",
            "Compliant=Unknown/Progressing",
            "Reconciling=True/Progressing",
        ];
        let scene = started(&declared()).await;
        scene.judge(&id("shop", "a"), vec![said(trusted)]);
        counted(&scene, 1).await;
        assert_eq!(conditions(&scene), under_way);
        counted(&scene, 2).await;
        assert_eq!(conditions(&scene), under_way);
        scene.judge(&id("shop", "b"), vec![said(trusted)]);
        counted(&scene, 3).await;
        let ended = ["Ready=True/Reconciled", "Compliant=True/AllTrusted"];
        assert_eq!(conditions(&scene), ended);
        let task = Task::PolicyStatus(POLICY.to_owned());
        assert!(scene.context.queues.tasks.due_at(&task).is_some());
    }
}
