//! `charttrust status`: the verdicts of the cluster, or one of them. Reads only.

use charttrust_verify::verdict::Cause;
use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::asking::Asking;
use super::cluster::{self, Failure, all, named};
use super::leading::checked;
use super::looked::Looks;
use super::screen::{Table, plain, say};
use super::signers;
use super::{TRUSTED, UNKNOWN, UNTRUSTED};
use super::{coverage, missing, unaccounted};
use crate::api::conditions::{Condition, ReleaseCondition, Status as Said, find};
use crate::api::release_trust::{Finding, ReleaseTrustStatus, Signer};
use crate::api::{ReleaseTrust, TrustedKey};
use crate::clock;

/// Tells the verdicts of the operator.
///
/// Exit code 0: all of them are trusted, exempt or unmanaged; 1: one is not trusted; 3: one could
/// not be found out, or no operator keeps them up to date.
#[derive(Args, Clone, Debug)]
pub struct Status {
    /// One release, `NAMESPACE/RELEASE`, or its name with `-n`; default: all.
    #[arg(value_name = "RELEASE")]
    pub release: Option<String>,
    /// Releases of this namespace only.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Releases of all namespaces, which is the default.
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "release"])]
    pub all_namespaces: bool,
    /// Only those that are not trusted.
    #[arg(long, conflicts_with = "release")]
    pub untrusted: bool,
    /// Only those that have a good signature by this TrustedKey, which its fingerprint names too.
    #[arg(long, value_name = "NAME", conflicts_with = "release")]
    pub key: Option<String>,
    /// Only those that have a verified signature by this TrustedIdentity.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["release", "key"])]
    pub identity: Option<String>,
    /// Lists what runs with Helm's marks and has no record, so that nobody can tell what it is made of.
    #[arg(long, conflicts_with_all = ["release", "untrusted", "key", "identity"])]
    pub unaccounted: bool,
    /// How to ask, and how to print.
    #[command(flatten)]
    pub asking: Asking,
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the cluster cannot be asked, or the release does not exist.
pub(super) async fn run(arguments: &Status) -> Result<u8, Failure> {
    let asking = &arguments.asking;
    let client = asking.connection.client().await?;
    if arguments.unaccounted {
        let (operator, namespace) = (&asking.operator, arguments.namespace.as_deref());
        return unaccounted::list(&client, operator, namespace, asking.output).await;
    }
    let code = match &arguments.release {
        Some(release) => one(&client, arguments, release).await?,
        None => several(&client, arguments).await?,
    };
    Ok(checked(&client, &arguments.asking.operator, code).await)
}

async fn one(client: &Client, arguments: &Status, release: &str) -> Result<u8, Failure> {
    let (namespace, name) = named(release, arguments.namespace.as_deref())?;
    let trust = read(client.clone(), &namespace, &name).await?;
    say(&if let Some(format) = arguments.asking.output {
        format.write(&bare(trust.clone()))?
    } else {
        describe(
            &trust,
            &Looks::told(client, &arguments.asking.operator).await,
        )
    })?;
    Ok(code([&trust]))
}

async fn several(client: &Client, arguments: &Status) -> Result<u8, Failure> {
    let mut trusts = listed(client, arguments.namespace.as_deref()).await?;
    let coverage = match arguments.namespace {
        Some(_) => coverage::told(&trusts, None),
        None => coverage::told(
            &trusts,
            unaccounted::told(client, &arguments.asking.operator).await,
        ),
    };
    if let Some(key) = &arguments.key {
        let fingerprint = cluster::key_of(client, key).await?.spec.fingerprint;
        trusts.retain(|trust| is_signed_by(trust, &fingerprint));
    }
    if let Some(identity) = &arguments.identity {
        let identity = cluster::known_identity(client, identity).await?;
        trusts.retain(|trust| signers::has_signed(trust, &identity));
    }
    // Of all of them: what could not be found out is no success because it is not listed.
    let code = code(&trusts);
    trusts.retain(|trust| !arguments.untrusted || is_untrusted(trust));
    say(&if let Some(format) = arguments.asking.output {
        format.write(&list(trusts))?
    } else {
        let looks = Looks::told(client, &arguments.asking.operator).await;
        let keys = all(&Api::<TrustedKey>::all(client.clone()), "TrustedKeys").await;
        let listed = table(&trusts, &looks, clock::now()).to_string();
        listed + &missing::told(&trusts, &keys.unwrap_or_default()) + &coverage
    })?;
    Ok(code)
}

/// The `ReleaseTrust`s of a namespace, or of all of them.
///
/// # Errors
/// If they cannot be listed, or there is no such namespace.
pub(super) async fn listed(
    client: &Client,
    namespace: Option<&str>,
) -> Result<Vec<ReleaseTrust>, Failure> {
    let api = match namespace {
        Some(namespace) => Api::<ReleaseTrust>::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let trusts = all(&api, "ReleaseTrusts").await?;
    if let (true, Some(namespace)) = (trusts.is_empty(), namespace) {
        expect(client.clone(), namespace).await?;
    }
    Ok(trusts)
}

/// Whether a signature by the key holds, whatever became of the key.
fn is_signed_by(trust: &ReleaseTrust, fingerprint: &str) -> bool {
    let mut good = signers::of_archive(trust);
    good.any(|signer| signer.fingerprint.eq_ignore_ascii_case(fingerprint))
}

/// As kubectl lists objects.
fn list(trusts: Vec<ReleaseTrust>) -> serde_json::Value {
    let items: Vec<_> = trusts.into_iter().map(bare).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// Without what only the API server needs.
fn bare(mut trust: ReleaseTrust) -> ReleaseTrust {
    trust.metadata.managed_fields = None;
    trust
}

/// Tells a namespace without releases from one that does not exist.
async fn expect(client: kube::Client, namespace: &str) -> Result<(), Failure> {
    let found = Api::<Namespace>::all(client).get_opt(namespace).await;
    let found = found.map_err(Failure::api(format!("read the namespace {namespace}")))?;
    found.map(drop).ok_or_else(|| {
        Failure::Asked(format!(
            "there is no namespace {namespace}: kubectl get namespaces lists them"
        ))
    })
}

/// The `ReleaseTrust` of a release.
pub(super) async fn read(
    client: kube::Client,
    namespace: &str,
    name: &str,
) -> Result<ReleaseTrust, Failure> {
    let api = Api::<ReleaseTrust>::namespaced(client, namespace);
    let found = api.get_opt(name).await;
    let found = found.map_err(Failure::api("read the ReleaseTrust"))?;
    found.ok_or_else(|| {
        Failure::Asked(format!(
            "there is no ReleaseTrust {name} in namespace {namespace}: check the name with helm list, \
             and whether the operator runs"
        ))
    })
}

/// The exit code that the worst of several verdicts asks for.
pub(super) fn code<'a>(trusts: impl IntoIterator<Item = &'a ReleaseTrust>) -> u8 {
    let codes = trusts.into_iter().map(|trust| match trust.verdict() {
        Some(verdict) if is_settled(verdict) => (0, TRUSTED),
        Some(verdict) if verdict.status == Said::False => (2, UNTRUSTED),
        Some(_) | None => (1, UNKNOWN),
    });
    codes.max().map_or(TRUSTED, |(_, code)| code)
}

/// Whether nothing is left to do: proof was found, or the policy asks for none.
fn is_settled(verdict: &Condition) -> bool {
    let on_purpose = [Cause::Exempt, Cause::Unmanaged];
    verdict.status == Said::True || on_purpose.iter().any(|word| word.word() == verdict.reason)
}

fn is_untrusted(trust: &ReleaseTrust) -> bool {
    trust
        .verdict()
        .is_some_and(|verdict| verdict.status == Said::False)
}

fn table(trusts: &[ReleaseTrust], looks: &Looks, now: Timestamp) -> Table {
    let mut table = Table::new(&[
        "NAMESPACE",
        "RELEASE",
        "CHART",
        "REASON",
        "LOOKED",
        "DETAIL",
    ]);
    for trust in trusts {
        let verdict = trust.verdict();
        table.add([
            &trust.namespace().unwrap_or_default(),
            &trust.name_any(),
            &chart(trust),
            verdict.map_or("Pending", |verdict| &verdict.reason),
            &looks.age(trust, now),
            verdict.map_or("", |verdict| &verdict.message),
        ]);
    }
    table
}

/// Name and version of the chart, as they are written in one word.
pub(super) fn chart(trust: &ReleaseTrust) -> String {
    let release = trust
        .status
        .as_ref()
        .and_then(|status| status.release.as_ref());
    release.map_or_else(String::new, |release| {
        format!("{}-{}", release.chart, release.version)
    })
}

fn describe(trust: &ReleaseTrust, looks: &Looks) -> String {
    let status = trust.status.clone().unwrap_or_default();
    let mut lines = vec![format!(
        "Release:  {}/{}, chart {}",
        trust.namespace().unwrap_or_default(),
        trust.name_any(),
        chart(trust)
    )];
    let Some(verdict) = trust.verdict() else {
        lines.push("Verdict:  none yet".to_owned());
        return shown(lines);
    };
    let word = match verdict.status {
        Said::False => "Untrusted",
        Said::True => "Trusted",
        Said::Unknown => "Unknown",
    };
    let since = &verdict.last_transition_time.0;
    lines.push(format!("Verdict:  {word}/{} since {since}", verdict.reason));
    if !verdict.message.is_empty() {
        lines.push(format!("Because:  {}", verdict.message));
    }
    lines.push(format!("Looked:   {}", looks.sentence(trust)));
    lines.extend(contained(&status));
    lines.extend(signatures(&status));
    lines.extend(status.policies.iter().map(|policy| {
        let rule = policy.rule.as_deref().unwrap_or("-");
        let exception = policy.exception.as_ref();
        let exception = exception.map(|name| format!(", by exception {name}"));
        format!(
            "Policy:   {}/{rule}: {:?}/{}{}",
            policy.policy,
            policy.verdict,
            policy.reason,
            exception.unwrap_or_default()
        )
    }));
    lines.extend(
        status
            .findings
            .iter()
            .map(|finding| format!("Finding:  {}", of_finding(finding))),
    );
    shown(lines)
}

/// A finding in one line. The same may be found under several policies, so each says which.
pub(super) fn of_finding(finding: &Finding) -> String {
    let policy = finding.policy.as_ref();
    let policy = policy.map_or_else(String::new, |policy| format!(" (policy {policy})"));
    format!("{}{policy}: {}", finding.reason, finding.message)
}

/// Whether it is contained, or why not.
fn contained(status: &ReleaseTrustStatus) -> Option<String> {
    let said = find(&status.conditions, ReleaseCondition::Quarantined)?;
    let message = match said.message.as_str() {
        "" => "kubectl describe quarantine of this name says how".to_owned(),
        message => message.to_owned(),
    };
    Some(format!(
        "Contained: {:?}/{}: {message}",
        said.status, said.reason
    ))
}

/// The signatures that hold, and since when that is known; and keys that are missing.
fn signatures(status: &ReleaseTrustStatus) -> Vec<String> {
    let sources = status
        .evidence
        .iter()
        .flat_map(|evidence| &evidence.sources);
    let first = sources.filter_map(|source| source.first_verified.as_ref());
    let first = first.map(|first| first.0).min();
    let first = first.map_or_else(String::new, |first| format!(", first verified {first}"));
    let good = status.signers.iter().filter(|signer| signer.verified);
    let who = |signer: &Signer| signer.subject.clone().unwrap_or(signer.fingerprint.clone());
    let good = good.map(|signer| format!("Signed:   by {}{first}", who(signer)));
    let unknown = missing::of_release(status);
    let unknown =
        unknown.map(|key| format!("Missing:  key {key}, which is said to have signed it"));
    good.chain(unknown).collect()
}

/// Lines of foreign text.
pub(super) fn shown(lines: Vec<String>) -> String {
    lines.into_iter().map(|line| plain(&line) + "\n").collect()
}

#[cfg(test)]
pub(super) mod tests {
    use charttrust_verify::verdict::Verdict;

    use super::super::looked::tests::looks;
    use super::*;
    use crate::api::release_trust as v1;

    /// A release with this verdict.
    pub(in super::super) fn trust(name: &str, word: &str) -> ReleaseTrust {
        let verdict = Verdict::of_word(word).unwrap();
        let now = "2026-11-22T00:00:00Z".parse().unwrap();
        let verdict = (Said::from(verdict), verdict);
        let message = "said\u{1b}[2J of it";
        let mut trust = ReleaseTrust::default();
        trust.metadata.name = Some(name.to_owned());
        trust.metadata.namespace = Some("shop".to_owned());
        trust.status = Some(v1::ReleaseTrustStatus {
            release: Some(v1::Release {
                driver: v1::Driver::Secret,
                revision: 7,
                chart: name.to_owned(),
                version: "2.4.1".to_owned(),
                owner: v1::Owner::Helm,
                resource_version: "9".to_owned(),
            }),
            conditions: vec![Condition::new(
                ReleaseCondition::Trusted,
                verdict,
                message,
                1,
                now,
            )],
            ..v1::ReleaseTrustStatus::default()
        });
        trust
    }

    #[test]
    fn the_worst_verdict_gives_the_exit_code() {
        for (words, expected) in [
            (&[][..], TRUSTED),
            (&["SignatureVerified", "Unmanaged", "Exempt"], TRUSTED),
            (&["SignatureVerified", "SourceUnavailable"], UNKNOWN),
            (&["NoPolicy"], UNKNOWN),
            (&["Pending"], UNKNOWN),
            (
                &["SourceUnavailable", "Unsigned", "SignatureVerified"],
                UNTRUSTED,
            ),
            (&["KeyCompromised"], UNTRUSTED),
        ] {
            let trusts: Vec<_> = words.iter().map(|word| trust("web", word)).collect();
            assert_eq!(code(&trusts), expected, "{words:?}");
        }
        assert_eq!(code(&[ReleaseTrust::default()]), UNKNOWN);
    }

    #[test]
    fn every_release_has_a_line_without_control_characters() {
        let now = "2026-11-22T00:00:00Z".parse().unwrap();
        let all = [trust("web", "Unsigned"), ReleaseTrust::default()];
        let text = table(&all, &looks(&[]), now).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(
            lines[1],
            "shop        web       web-2.4.1   Unsigned   -        said\\u{1b}[2J of it"
        );
        assert!(lines[2].ends_with("Pending    -"), "{text}");
    }

    #[test]
    fn programs_get_the_objects_as_the_cluster_has_them() {
        let mut one = trust("web", "Unsigned");
        one.metadata.managed_fields = Some(Vec::new());
        let listed = list(vec![one.clone(), trust("api", "SignatureVerified")]);
        assert_eq!(listed["kind"], "List");
        assert_eq!(listed["items"][1]["metadata"]["name"], "api");
        one.metadata.managed_fields = None;
        assert_eq!(listed["items"][0], serde_json::to_value(&one).unwrap());
        let conditions = &listed["items"][0]["status"]["conditions"];
        assert_eq!(conditions[0]["reason"], "Unsigned");
    }

    #[test]
    fn one_release_is_described_with_policies_and_findings() {
        let mut one = trust("web", "Exempt");
        let status = one.status.as_mut().unwrap();
        status.policies = vec![v1::PolicyVerdict {
            policy: "platform".to_owned(),
            rule: Some("in-house".to_owned()),
            verdict: v1::Verdict::Unknown,
            reason: "Exempt".to_owned(),
            exception: Some("hotfix".to_owned()),
        }];
        status.findings = vec![v1::Finding {
            reason: "Unsigned".to_owned(),
            message: "no \u{7}provenance".to_owned(),
            policy: Some("platform".to_owned()),
        }];
        assert_eq!(
            describe(&one, &looks(&[("platform", Some("2026-11-21T23:59:00Z"))])),
            "Release:  shop/web, chart web-2.4.1\n\
             Verdict:  Unknown/Exempt since 2026-11-22T00:00:00Z\n\
             Because:  said\\u{1b}[2J of it\n\
             Looked:   every source of its policies was asked at 2026-11-21T23:59:00Z or later\n\
             Policy:   platform/in-house: Unknown/Exempt, by exception hotfix\n\
             Finding:  Unsigned (policy platform): no \\u{7}provenance\n"
        );
        let held = (Said::True, crate::api::reasons::ReleaseReason::Active);
        let now = "2026-11-22T00:00:00Z".parse().unwrap();
        let held = Condition::new(ReleaseCondition::Quarantined, held, "", 1, now);
        one.status.as_mut().unwrap().conditions.push(held);
        let told = describe(&one, &looks(&[]));
        assert!(
            told.contains("\nContained: True/Active: kubectl describe"),
            "{told}"
        );
        assert!(describe(&ReleaseTrust::default(), &looks(&[])).ends_with("Verdict:  none yet\n"));
    }
}
