//! `charttrust policy preview`: what a policy would change. Reads the named file and the cluster.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use charttrust_verify::check::Judgement;
use charttrust_verify::verdict::{Cause, Verdict};
use clap::Args;
use kube::ResourceExt as _;
use serde::Serialize;

use super::at_door::{Around, Door};
use super::past::{self, Past, Since};
use crate::api::ChartTrustPolicy;
use crate::api::chart_trust_policy::{Approval, Mode};
use crate::cli::asking::Asking;
use crate::cli::cluster::{Failure, chain, no_policy};
use crate::cli::forecast::{Forecast, Picture};
use crate::cli::leading::checked;
use crate::cli::revoke::{count, quarantines};
use crate::cli::screen::{Table, plain, say};
use crate::cli::site::Site;
use crate::cli::verify::inputs::{self, UsageError};
use crate::cli::{SCHEMA_VERSION, TRUSTED, UNKNOWN, UNTRUSTED};
use crate::clock;
use crate::door::Settings;
use crate::sources::{self, AllowedHost, AuthHost};

/// Tells what a policy would change: the verdicts of the releases that run, and quarantines that would begin.
///
/// The operator's own engine judges by what it has found so far; a source that was not asked yet is Pending.
/// Nothing is written, and without --since no source is asked. Of a policy of mode Warn or Enforce, or with --mode,
/// it tells too what the webhook would say if what runs were installed or upgraded now, and which deployers delete it
/// first; with --since, what it would have said of the revisions of the last days.
///
/// Exit code 0: nothing becomes untrusted; 1: a release does, would be or would have been refused, or a quarantine
/// would begin;
/// 2: the arguments cannot be used; 3: it cannot be told of a release, or nobody keeps the verdicts up to date.
#[derive(Args, Clone, Debug)]
pub struct Preview {
    /// A ChartTrustPolicy of the cluster, as it stands; one that is suspended, as if it were not.
    #[arg(
        value_name = "NAME",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    pub name: Option<String>,
    /// A ChartTrustPolicy in a file. One of the same name in the cluster is thought to be replaced by it.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// As if this were the mode of the policy.
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// Tells too which revisions since then the webhook would have refused, such as 7d or 36h: reads records of
    /// Helm, and asks sources as the webhook does. Needs a mode that is not Audit.
    #[arg(long, value_name = "AGE", value_parser = past::since)]
    pub since: Option<Since>,
    /// Allows sources on this host to be private, loopback or plain HTTP, for --since. Repeatable.
    #[arg(long, value_name = "HOST[:PORT]", requires = "since")]
    pub allow_host: Vec<AllowedHost>,
    /// A registry whose token service is elsewhere, and its host, for --since. Repeatable.
    #[arg(long, value_name = "REGISTRY=HOST", requires = "since")]
    pub auth_host: Vec<AuthHost>,
    /// How to ask, and how to print.
    #[command(flatten)]
    pub asking: Asking,
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the file cannot be used, or the cluster cannot be asked.
pub(in crate::cli) async fn run(arguments: &Preview) -> Result<u8, Failure> {
    let written = arguments.file.as_deref().map(written).transpose()?;
    let client = arguments.asking.connection.client().await?;
    let operator = &arguments.asking.operator;
    let picture = Picture::take(&client, &operator.operator_namespace, clock::now()).await?;
    let mut policy = match written {
        Some(policy) => policy,
        None => standing(&picture, arguments.name.as_deref().unwrap_or_default())?,
    };
    let stands = policy.spec.mode;
    policy.spec.mode = arguments.mode.unwrap_or(stands);
    let site = Site::of(&client, operator).await;
    let mut preview = Previewed::of(&policy, &picture, &site);
    preview.sets = arguments.mode.filter(|mode| *mode != stands);
    if arguments.mode.is_some() || stands != Mode::Audit {
        let around = Around::look(&client, operator).await;
        preview.at_door = Some(Door::of(&policy, &picture, &around));
        if let Some(since) = &arguments.since {
            let labels = |namespace: &str| picture.labels(namespace).cloned();
            let asks = |namespace: &str| around.asks(namespace, picture.labels(namespace));
            let looking = Past::look(
                &client,
                (&policy, since),
                settings(arguments),
                (labels, asks),
                clock::now(),
            );
            preview.past = Some(Box::pin(looking).await);
        }
    } else if arguments.since.is_some() {
        return Err(Failure::Asked(
            "--since tells what a mode would have refused, and mode Audit refuses nothing: add --mode Enforce".to_owned(),
        ));
    }
    say(&match arguments.asking.output {
        Some(format) => format.write(&preview)?,
        None => preview.text(arguments.file.as_deref()),
    })?;
    Ok(checked(&client, operator, preview.code()).await)
}

/// As the webhook asks.
fn settings(arguments: &Preview) -> Settings {
    Settings {
        namespace: arguments.asking.operator.operator_namespace.clone(),
        exempt: BTreeSet::new(),
        sources: sources::Settings {
            allowed_hosts: arguments.allow_host.clone(),
            auth_hosts: arguments.auth_host.clone(),
            limits: sources::Limits::default(),
            user_agent: concat!("charttrust/", env!("CARGO_PKG_VERSION")).to_owned(),
        },
    }
}

/// The policy of a file.
fn written(file: &Path) -> Result<ChartTrustPolicy, Failure> {
    let unusable = |error: UsageError| Failure::Asked(chain(&error));
    let policy = inputs::declared_policy(file).map_err(unusable)?;
    if policy.metadata.name.is_some() {
        return Ok(policy);
    }
    let file = file.display();
    Err(Failure::Asked(format!(
        "{file}: give the policy a name (metadata.name): it may replace one of the cluster"
    )))
}

/// A policy of the cluster. Of one that is suspended people ask what it would do if it were not.
fn standing(picture: &Picture, name: &str) -> Result<ChartTrustPolicy, Failure> {
    let mut known = picture.policies().iter();
    let found = known.find(|policy| policy.name_any() == name).cloned();
    let mut policy = found.ok_or_else(|| no_policy(name))?;
    policy.spec.suspend = false;
    Ok(policy)
}

/// What would change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Previewed {
    schema_version: u32,
    policy: String,
    /// Whether the cluster has a policy of this name.
    replaces: bool,
    /// Whether that one is suspended, so that nothing is judged by it.
    suspended: bool,
    /// Those whose verdict changes, or of which it cannot be told.
    releases: Vec<Changing>,
    /// Those whose verdict stays.
    unchanged: usize,
    /// Releases that the policy is not about.
    others: usize,
    /// What would be contained, and what is not known of that.
    quarantines: String,
    /// How many quarantines would begin, if they fit their limit.
    beginning: usize,
    /// What the webhook would say of what runs; absent of a policy of mode Audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_door: Option<Door>,
    /// What it would have said of the last days; absent unless that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    past: Option<Past>,
    /// The mode that it does not have yet.
    #[serde(skip)]
    sets: Option<Mode>,
}

/// One release whose verdict changes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Changing {
    namespace: String,
    release: String,
    chart: String,
    /// The word of the verdict as the operator has written it.
    before: String,
    /// The verdict by this policy and the others; absent where the operator judges by more than can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// The rule of this policy that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// What this policy finds.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    #[serde(skip)]
    verdict: Option<Verdict>,
}

impl Previewed {
    fn of(policy: &ChartTrustPolicy, picture: &Picture, site: &Site) -> Self {
        let name = policy.name_any();
        let mut known = picture.policies().iter();
        let old = known.find(|known| known.name_any() == name);
        let (forecast, others) = picture.under(policy);
        Self {
            others,
            ..Self::told(policy, old, &forecast, site)
        }
    }

    fn told(
        policy: &ChartTrustPolicy,
        old: Option<&ChartTrustPolicy>,
        forecast: &[Forecast],
        site: &Site,
    ) -> Self {
        let name = policy.name_any();
        let changes =
            |one: &&Forecast| one.verdict().is_none_or(|after| after.word() != one.before);
        let releases = forecast.iter().filter(changes);
        let releases: Vec<_> = releases.map(|one| Changing::of(one, &name)).collect();
        let begin = |one: &&Forecast| {
            is_due(policy, one.after.as_ref())
                && !old.is_some_and(|old| is_due(old, one.now.as_ref()))
        };
        let begin: Vec<_> = forecast.iter().filter(begin).cloned().collect();
        let spared = |one: &&Forecast| !site.is_disabled() && !site.protects(&one.namespace);
        Self {
            schema_version: SCHEMA_VERSION,
            policy: name,
            replaces: old.is_some(),
            suspended: old.is_some_and(|old| old.spec.suspend),
            unchanged: forecast.len() - releases.len(),
            others: 0,
            releases,
            quarantines: quarantines(std::slice::from_ref(policy), &begin, site),
            beginning: begin.iter().filter(spared).count(),
            at_door: None,
            past: None,
            sets: None,
        }
    }

    fn code(&self) -> u8 {
        let is_untrusted = |one: &Changing| matches!(one.verdict, Some(Verdict::Untrusted(_)));
        let is_open =
            |one: &Changing| matches!(one.verdict, None | Some(Verdict::Unknown(Cause::Pending)));
        let is_refused = |door: &Door| !door.refused.is_empty();
        let is_untold = |door: &Door| !door.open.is_empty();
        let (door, past) = (self.at_door.as_ref(), self.past.as_ref());
        if self.beginning > 0
            || self.releases.iter().any(is_untrusted)
            || door.is_some_and(is_refused)
            || past.is_some_and(|past| !past.refused.is_empty())
        {
            UNTRUSTED
        } else if self.releases.iter().any(is_open)
            || door.is_some_and(is_untold)
            || past.is_some_and(|past| !past.caveats.is_empty())
        {
            UNKNOWN
        } else {
            TRUSTED
        }
    }

    /// What people read; `file` is where the policy was written, if not in the cluster.
    fn text(&self, file: Option<&Path>) -> String {
        let how = match (file, self.replaces, self.suspended) {
            (Some(_), true, _) => "changes",
            (Some(_), false, _) => "is new",
            (None, _, false) => "as it stands",
            (None, _, true) => "is suspended; if it were not",
        };
        let namespaces: BTreeSet<_> = self.releases.iter().map(|one| &one.namespace).collect();
        let stay = match self.unchanged {
            1 => "1 stays as it is".to_owned(),
            number => format!("{number} stay as they are"),
        };
        let mut text = format!(
            "Policy {} {how}: {} in {} would change, {stay}; it is not about {}\n",
            plain(&self.policy),
            count(self.releases.len(), "verdict", "verdicts"),
            count(namespaces.len(), "namespace", "namespaces"),
            count(self.others, "other release", "other releases"),
        );
        if !self.releases.is_empty() {
            text += &table(&self.releases).to_string();
        }
        if self.releases.iter().any(|one| one.verdict.is_none()) {
            text.push_str(
                "? the operator judges by more than can be read here: material of keys, or newer evidence\n",
            );
        }
        let is_pending = |one: &Changing| one.verdict == Some(Verdict::Unknown(Cause::Pending));
        if self.releases.iter().any(is_pending) {
            text.push_str(
                "Pending: a source of the rule was not asked about it yet; what it answers will decide\n",
            );
        }
        text += &self.quarantines;
        text += &self.at_door.as_ref().map(Door::text).unwrap_or_default();
        text += &self.past.as_ref().map(Past::text).unwrap_or_default();
        text + &self.way_on(file)
    }

    fn way_on(&self, file: Option<&Path>) -> String {
        let name = plain(&self.policy);
        match (file, self.sets) {
            (Some(file), sets) => {
                let file = plain(&file.display().to_string());
                let first = sets.map(|mode| format!("write mode: {mode:?} into it, then  "));
                let first = first.unwrap_or_default();
                format!("Apply with:  {first}kubectl apply -f {file}\n")
            }
            (None, Some(mode)) => {
                let suspend = if self.suspended {
                    r#","suspend":false"#
                } else {
                    ""
                };
                let patch = format!(r#"{{"spec":{{"mode":"{mode:?}"{suspend}}}}}"#);
                format!("Set with:  kubectl patch ctp {name} --type merge -p '{patch}'\n")
            }
            (None, None) if self.suspended => {
                let patch = r#"{"spec":{"suspend":false}}"#;
                format!("Resume with:  kubectl patch ctp {name} --type merge -p '{patch}'\n")
            }
            (None, None) => String::new(),
        }
    }
}

/// Whether a policy contains a release by itself, for what it finds.
fn is_due(policy: &ChartTrustPolicy, judgement: Option<&Judgement>) -> bool {
    let name = policy.name_any();
    let Some(quarantine) = &policy.spec.quarantine else {
        return false;
    };
    let said = judgement.iter().flat_map(|judgement| &judgement.policies);
    let mut own = said.filter(|said| said.policy == name);
    quarantine.approval == Approval::Automatic
        && !policy.spec.suspend
        && own.any(|said| match said.verdict {
            Verdict::Untrusted(reason) => quarantine.on_reasons.contains(&reason),
            Verdict::Trusted(_) | Verdict::Unknown(_) => false,
        })
}

impl Changing {
    fn of(one: &Forecast, policy: &str) -> Self {
        let after = one.after.as_ref();
        let said = after.into_iter().flat_map(|after| &after.policies);
        let own = said.into_iter().find(|said| said.policy == policy);
        let because = after.and_then(|after| because(after, policy));
        Self {
            namespace: one.namespace.clone(),
            release: one.name.clone(),
            chart: one.chart.clone(),
            before: one.before.clone(),
            after: after.map(|after| after.verdict.to_string()),
            rule: own.and_then(|own| own.rule.clone()),
            because,
            verdict: one.verdict(),
        }
    }
}

/// The finding that stands for the verdict.
fn because(after: &Judgement, policy: &str) -> Option<String> {
    let word = after.verdict.word();
    let mut findings = after.findings.iter();
    let is_it = |finding: &&charttrust_verify::finding::Finding| {
        finding.fact.to_string() == word && finding.policy.as_deref().is_none_or(|of| of == policy)
    };
    findings.find(is_it).map(|finding| finding.message.clone())
}

fn table(releases: &[Changing]) -> Table {
    let mut table = Table::new(&[
        "NAMESPACE",
        "RELEASE",
        "CHART",
        "NOW",
        "AFTER",
        "RULE",
        "DETAIL",
    ]);
    for one in releases {
        table.add([
            &one.namespace,
            &one.release,
            &one.chart,
            &one.before,
            one.after.as_deref().unwrap_or("?"),
            one.rule.as_deref().unwrap_or("-"),
            one.because.as_deref().unwrap_or_default(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use charttrust_verify::check::PolicyVerdict;
    use charttrust_verify::finding::{Fact, Finding};
    use charttrust_verify::verdict::{Basis, Reason};
    use serde_json::json;

    use super::*;
    use crate::cli::site::tests::site;

    fn policy(quarantine: &serde_json::Value) -> ChartTrustPolicy {
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": "platform"},
            "spec": {"rules": [{"name": "all", "charts": ["*"]}]},
        });
        if !quarantine.is_null() {
            object["spec"]["quarantine"] = quarantine.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn automatic() -> serde_json::Value {
        json!({"onReasons": ["KeyCompromised"], "approval": "Automatic", "actions": ["ScaleToZero"]})
    }

    fn judged(verdict: Verdict) -> Judgement {
        let finding = match verdict {
            Verdict::Untrusted(reason) => vec![Finding::new(Fact::Failure(reason), "found")],
            Verdict::Trusted(_) | Verdict::Unknown(_) => Vec::new(),
        };
        Judgement {
            verdict,
            policies: vec![PolicyVerdict {
                policy: "platform".to_owned(),
                rule: Some("all".to_owned()),
                verdict,
                exempt_by: None,
                origin: None,
                revocations: BTreeSet::new(),
            }],
            findings: finding,
        }
    }

    fn forecast(name: &str, now: Verdict, after: Option<Verdict>) -> Forecast {
        Forecast {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            chart: format!("{name}-1.0.0"),
            first_verified: None,
            before: now.word().to_owned(),
            now: after.map(|_| judged(now)),
            after: after.map(judged),
        }
    }

    fn preview(policy: &ChartTrustPolicy, forecast: &[Forecast]) -> Previewed {
        Previewed::told(policy, None, forecast, &site(Some(true), &[]))
    }

    const GOOD: Verdict = Verdict::Trusted(Basis::SignatureVerified);
    const NONE: Verdict = Verdict::Unknown(Cause::NoPolicy);
    const PENDING: Verdict = Verdict::Unknown(Cause::Pending);
    const UNSIGNED: Verdict = Verdict::Untrusted(Reason::Unsigned);
    const STOLEN: Verdict = Verdict::Untrusted(Reason::KeyCompromised);

    #[test]
    fn what_changes_is_told_and_the_worst_gives_the_exit_code() {
        for (now, after, changes, code) in [
            (GOOD, Some(GOOD), 0, TRUSTED),
            (NONE, Some(GOOD), 1, TRUSTED),
            (UNSIGNED, Some(GOOD), 1, TRUSTED),
            // What is untrusted already does not become so.
            (UNSIGNED, Some(UNSIGNED), 0, TRUSTED),
            (NONE, Some(UNSIGNED), 1, UNTRUSTED),
            (GOOD, Some(STOLEN), 1, UNTRUSTED),
            (NONE, Some(PENDING), 1, UNKNOWN),
            (GOOD, None, 1, UNKNOWN),
        ] {
            let seen = preview(&policy(&json!(null)), &[forecast("web", now, after)]);
            assert_eq!(seen.releases.len(), changes, "{now} {after:?}");
            assert_eq!(seen.unchanged, 1 - changes);
            assert_eq!(seen.code(), code, "{now} {after:?}");
        }
    }

    #[test]
    fn quarantines_that_would_begin_are_told_and_those_that_are_due_already_are_not() {
        let contains = policy(&automatic());
        let new = [forecast("web", GOOD, Some(STOLEN))];
        let due = [forecast("web", STOLEN, Some(STOLEN))];
        let begins = "Policy platform quarantines 1 release by itself";
        let first = preview(&contains, &new);
        assert!(first.quarantines.contains(begins), "{first:?}");
        // The policy is new, so that nothing was due by it.
        let stolen = preview(&contains, &due);
        assert_eq!((stolen.beginning, stolen.code()), (1, UNTRUSTED));
        let again = Previewed::told(&contains, Some(&contains), &due, &site(Some(true), &[]));
        assert_eq!((again.beginning, again.code()), (0, TRUSTED));
        assert!(!again.quarantines.contains(begins), "{again:?}");
        let off = Previewed::told(&contains, None, &due, &site(Some(false), &[]));
        assert_eq!((off.beginning, off.code()), (0, TRUSTED));
        assert!(off.quarantines.contains("without --quarantine"), "{off:?}");
        let manual = preview(
            &policy(&json!({"onReasons": ["KeyCompromised"], "actions": ["ScaleToZero"]})),
            &due,
        );
        assert_eq!(manual.beginning, 0);
    }

    #[test]
    fn people_and_programs_read_the_same() {
        let all = [
            forecast("web", NONE, Some(UNSIGNED)),
            forecast("api", GOOD, None),
            forecast("db", NONE, Some(PENDING)),
            forecast("same", GOOD, Some(GOOD)),
        ];
        let seen = preview(&policy(&json!(null)), &all);
        let text = seen.text(Some(Path::new("policy.yaml")));
        for part in [
            "Policy platform is new: 3 verdicts in 1 namespace would change, 1 stays as it is; it is not about 0 other releases",
            "Untrusted/Unsigned   all    found",
            "api       api-1.0.0   SignatureVerified   ?",
            "? the operator judges by more",
            "Pending: a source of the rule",
            "No workload will be stopped.",
            "Apply with:  kubectl apply -f policy.yaml",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let json = serde_json::to_value(&seen).unwrap();
        assert_eq!(json["schemaVersion"], 1);
        assert_eq!(json["releases"][0]["after"], "Untrusted/Unsigned");
        assert_eq!(json["releases"][0]["because"], "found");
        assert!(json["releases"][1]["after"].is_null());
        assert_eq!(json["unchanged"], 1);
    }

    #[test]
    fn a_policy_of_the_cluster_is_told_as_it_stands_or_as_if_it_were_resumed() {
        let policy = policy(&json!(null));
        let told = |suspended: bool| {
            let mut old = policy.clone();
            old.spec.suspend = suspended;
            let forecast = [forecast("web", NONE, Some(UNSIGNED))];
            let seen = Previewed::told(&policy, Some(&old), &forecast, &site(Some(true), &[]));
            (seen.code(), seen.text(None))
        };
        let (code, text) = told(false);
        assert_eq!(code, UNTRUSTED);
        assert!(
            text.starts_with("Policy platform as it stands: 1 verdict"),
            "{text}"
        );
        assert!(!text.contains("with:"), "{text}");
        let (_, text) = told(true);
        assert!(
            text.contains("is suspended; if it were not: 1 verdict"),
            "{text}"
        );
        assert!(
            text.contains("Resume with:  kubectl patch ctp platform"),
            "{text}"
        );
    }
}
