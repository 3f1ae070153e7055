//! `charttrust revoke`: shows what depends on a key or an identity, and says that it is no longer believed.
//!
//! Writes `spec.revocation` of one `TrustedKey` or `TrustedIdentity`, on condition that nobody has changed it since.

pub(super) mod identity;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use charttrust_verify::sigstore::Root;
use charttrust_verify::verdict::Verdict;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::cluster::{Connection, Failure, all, key};
use super::forecast::{Forecast, Picture};
use super::leading::{self, Operator};
use super::manifest::manifest;
use super::screen::{Table, note, plain, say, tell};
use super::site::Site;
use super::{TRUSTED, program, signers};
use crate::api::chart_trust_policy::Approval;
use crate::api::reasons::KeyReason;
use crate::api::trusted_key::{Grandfather, KeyType, Revocation, RevocationReason};
use crate::api::{ChartTrustPolicy, ReleaseTrust, TrustedKey};
use crate::{clock, parse};

/// Declares that a key, or an identity for a time, must no longer be believed, after showing what depends on it.
///
/// Exit code 0: it was done, or only shown; 2: the arguments cannot be used; 3: the cluster did not
/// answer.
#[derive(Args, Clone, Debug)]
pub struct Revoke {
    /// Name of the TrustedKey.
    #[arg(value_name = "NAME", required_unless_present = "identity")]
    pub key: Option<String>,
    /// A TrustedIdentity instead: without --from and --digest all its signatures are void.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "since", "grandfather"])]
    pub identity: Option<String>,
    /// Voids what the identity signed from then on, by proven time, such as 2026-11-01T00:00Z. A window that is
    /// declared already stays.
    #[arg(long, value_name = "TIME", value_parser = super::instant, requires = "identity")]
    pub from: Option<Timestamp>,
    /// Ends that window. Without it the window is still open.
    #[arg(long, value_name = "TIME", value_parser = super::instant, requires = "from")]
    pub until: Option<Timestamp>,
    /// Voids this archive, signed by the identity. Repeatable.
    #[arg(long, value_name = "SHA256", requires = "identity")]
    pub digest: Vec<String>,
    /// Why. Compromised and Unspecified void every signature, whatever its date; Superseded and
    /// Retired those made at or after --since. Only --dry-run needs none, and shows the worst.
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        required_unless_present = "dry_run"
    )]
    pub reason: Option<RevocationReason>,
    /// From when, such as 2026-11-18T00:00Z, or the day 2026-11-18.
    #[arg(long, value_name = "TIME", value_parser = super::instant)]
    pub since: Option<Timestamp>,
    /// Witnessed keeps releases trusted whose very archive the operator had verified before --since.
    #[arg(long, value_enum, ignore_case = true, default_value_t = Grandfather::Never)]
    pub grandfather: Grandfather,
    /// Only shows what would change.
    #[arg(long)]
    pub dry_run: bool,
    /// Does it without asking.
    #[arg(long, conflicts_with_all = ["dry_run", "output"])]
    pub yes: bool,
    /// Only prints the object, for Git or `kubectl apply -f -`.
    #[arg(short, long, value_enum, requires = "reason")]
    pub output: Option<Output>,
    /// How long the operator may take to judge anew, such as `30s` or `5m`.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = super::patience)]
    pub timeout: Duration,
    /// The operator's own namespace, in which material of keys and its Lease lie.
    #[arg(long, alias = "namespace", value_name = "NAMESPACE", default_value = leading::NAMESPACE)]
    pub operator_namespace: String,
    /// Where the cluster is.
    #[command(flatten)]
    pub connection: Connection,
}

impl Revoke {
    /// What is shown, or done. Without a word of the reason the worst is shown.
    fn reason(&self) -> RevocationReason {
        self.reason.unwrap_or(RevocationReason::Compromised)
    }

    fn operator(&self) -> Operator {
        Operator {
            operator_namespace: self.operator_namespace.clone(),
        }
    }
}

/// How to print the object.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Output {
    /// As YAML.
    Yaml,
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the cluster cannot be asked, the key does not exist, or nobody has agreed.
pub(super) async fn run(arguments: &Revoke) -> Result<u8, Failure> {
    let client = arguments.connection.client().await?;
    if let Some(name) = &arguments.identity {
        return Box::pin(identity::run(&client, name, arguments)).await;
    }
    let name = arguments.key.as_deref().unwrap_or_default();
    let changed = revoked(&key(&client, name).await?, arguments)?;
    if let Some(Output::Yaml) = arguments.output {
        say(&manifest("TrustedKey", &changed, &changed.spec))?;
        return Ok(TRUSTED);
    }
    // After the object was found sound and before it is written: what is shown is what the operator
    // will make of it, by the same engine.
    let picture = Picture::take(&client, &arguments.operator_namespace, clock::now()).await?;
    let forecast = picture.forecast(&changed);
    let site = Site::of(&client, &arguments.operator()).await;
    say(&shown(arguments, &picture, &changed, &forecast))?;
    say(&quarantines(picture.policies(), &forecast, &site))?;
    say(hint(arguments))?;
    if arguments.dry_run {
        say(&way_on(arguments))?;
        return Ok(TRUSTED);
    }
    if !arguments.yes {
        agree(name)?;
    }
    let written = write(&client, &changed).await?;
    let generation = written.metadata.generation.unwrap_or_default();
    let key = plain(name);
    // `kubectl apply` of the file from before would leave the field as it is.
    note(&format!(
        "trustedkey/{key} revoked (generation {generation})\n\
         Undo: kubectl patch tkey {key} --type merge -p '{{\"spec\":{{\"revocation\":null}}}}'\n"
    ));
    follow(&client, &forecast, arguments).await
}

/// The object with our word against its key.
fn revoked(object: &TrustedKey, arguments: &Revoke) -> Result<TrustedKey, Failure> {
    let mut changed = object.clone();
    changed.spec.revocation = Some(Revocation {
        reason: arguments.reason(),
        since: arguments.since.map(|since| since.to_string()),
        grandfather: arguments.grandfather,
    });
    // Whatever else is wrong with the object must not stop a revocation.
    let read = match changed.spec.key_type {
        KeyType::OpenPGP => parse::key(&changed, b"").map(drop),
        KeyType::PublicKey => {
            parse::public_key(&changed, b"", Root::Unknown(String::new())).map(drop)
        }
    };
    match read {
        Err(problem)
            if problem.reason == KeyReason::InvalidSpec
                && problem.message.contains("spec.revocation.") =>
        {
            let options = problem.message.replace("spec.revocation.", "--");
            Err(Failure::Asked(options))
        }
        _ => Ok(changed),
    }
}

fn shown(
    arguments: &Revoke,
    picture: &Picture,
    changed: &TrustedKey,
    forecast: &[Forecast],
) -> String {
    let namespaces: BTreeSet<_> = forecast.iter().map(|one| &one.namespace).collect();
    let mut text = format!(
        "Key {} ({}), used by {}, {} in {}\n",
        plain(&changed.name_any()),
        short(&changed.spec.fingerprint),
        count(
            picture.policies_that_list(|rule| signers::list(rule, changed)),
            "policy",
            "policies"
        ),
        count(forecast.len(), "release", "releases"),
        count(namespaces.len(), "namespace", "namespaces"),
    );
    if let Some(declared) = picture
        .key(&changed.name_any())
        .and_then(|key| key.spec.revocation.as_ref())
    {
        // Invariant: writing to a String does not fail.
        let _ = writeln!(
            text,
            "It is revoked already, as {:?}; this replaces that.",
            declared.reason
        );
    }
    if arguments.reason.is_none() {
        text.push_str(
            "Shown as Compromised, which voids every signature; --reason Superseded or Retired void those \
             made at or after --since.\n",
        );
    }
    if !forecast.is_empty() {
        let _ = write!(text, "{}", table(arguments.since, forecast));
    }
    if forecast.iter().any(|one| one.after.is_none()) {
        text.push_str(
            "? the operator judges by more than can be read here: material of keys, or newer evidence\n",
        );
    }
    text
}

fn hint(arguments: &Revoke) -> &'static str {
    match arguments.reason() {
        RevocationReason::Compromised | RevocationReason::Unspecified => {
            "Signature dates are not believed: a thief can write any date.\n"
        }
        RevocationReason::Retired | RevocationReason::Superseded => "",
    }
}

fn table(since: Option<Timestamp>, forecast: &[Forecast]) -> Table {
    let mut table = Table::new(&[
        "NAMESPACE",
        "RELEASE",
        "CHART",
        "FIRST-VERIFIED",
        "NOW",
        "AFTER REVOCATION",
    ]);
    for one in forecast {
        let after = one
            .verdict()
            .map_or("?".to_owned(), |verdict| verdict.to_string());
        let hint = if is_later(since, one.first_verified) {
            "   <- look here first"
        } else {
            ""
        };
        table.add([
            &one.namespace,
            &one.name,
            &one.chart,
            &first_verified(since, one.first_verified),
            &one.before,
            &format!("{after}{hint}"),
        ]);
    }
    table
}

fn is_later(since: Option<Timestamp>, first: Option<Timestamp>) -> bool {
    matches!((since, first), (Some(since), Some(first)) if first >= since)
}

fn first_verified(since: Option<Timestamp>, first: Option<Timestamp>) -> String {
    let Some(first) = first else {
        return "never".to_owned();
    };
    let day = first.strftime("%F");
    match since {
        None => day.to_string(),
        Some(since) if first < since => format!("{day} (before)"),
        Some(_) => format!("{day} (AFTER)"),
    }
}

/// What policies contain by themselves.
pub(super) fn quarantines(
    policies: &[ChartTrustPolicy],
    forecast: &[Forecast],
    site: &Site,
) -> String {
    let lines: Vec<_> = policies
        .iter()
        .filter_map(|policy| contained(policy, forecast, site))
        .collect();
    if lines.is_empty() {
        return "No workload will be stopped.\n".to_owned();
    }
    if site.is_disabled() {
        let why = "No workload will be stopped: the operator runs without --quarantine.\n";
        return why.to_owned();
    }
    let caveat = site.caveat().map(|caveat| plain(&caveat) + "\n");
    lines.concat() + &caveat.unwrap_or_default()
}

fn contained(policy: &ChartTrustPolicy, forecast: &[Forecast], site: &Site) -> Option<String> {
    let name = policy.name_any();
    let quarantine = policy.spec.quarantine.as_ref()?;
    // Counted without the limit and the breaker, which only the operator knows the state of: the
    // text says so.
    if quarantine.approval != Approval::Automatic || policy.spec.suspend {
        return None;
    }
    let is_due = |verdict: Verdict| match verdict {
        Verdict::Untrusted(reason) => quarantine.on_reasons.contains(&reason),
        Verdict::Trusted(_) | Verdict::Unknown(_) => false,
    };
    let due = forecast.iter().filter(|one| {
        let verdicts = one.after.iter().flat_map(|after| &after.policies);
        verdicts
            .into_iter()
            .any(|said| said.policy == name && is_due(said.verdict))
    });
    let (spared, due): (Vec<_>, Vec<_>) = due.partition(|one| site.protects(&one.namespace));
    let name = plain(&name);
    let mut text = String::new();
    if !due.is_empty() {
        let actions: Vec<_> = quarantine
            .actions
            .iter()
            .map(|action| action.word())
            .collect();
        // Invariant: writing to a String does not fail.
        let _ = writeln!(
            text,
            "Policy {name} quarantines {} by itself after {}, if that is within its limit: {}",
            count(due.len(), "release", "releases"),
            plain(&quarantine.after),
            actions.join(", "),
        );
    }
    if !spared.is_empty() {
        let spared = count(spared.len(), "release lies", "releases lie");
        let _ = writeln!(
            text,
            "Of those that policy {name} would quarantine, {spared} in protected namespaces, where nothing \
             is changed"
        );
    }
    (!text.is_empty()).then_some(text)
}

pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Both ends of a fingerprint.
fn short(fingerprint: &str) -> String {
    let shown = plain(fingerprint).to_uppercase();
    let (start, end) = (shown.get(..4), shown.get(shown.len().saturating_sub(4)..));
    match (start, end) {
        (Some(start), Some(end)) if shown.len() > 8 => format!("{start}…{end}"),
        _ => shown,
    }
}

/// The commands that do what was shown.
fn way_on(arguments: &Revoke) -> String {
    let program = program();
    let mut command = format!(
        "{program} revoke {} --reason {:?}",
        plain(arguments.key.as_deref().unwrap_or_default()),
        arguments.reason()
    );
    if let Some(since) = arguments.since {
        let _ = write!(command, " --since {since}");
    }
    if arguments.grandfather == Grandfather::Witnessed {
        command.push_str(" --grandfather Witnessed");
    }
    format!("Apply with:  {command} --yes\nGitOps:      {command} -o yaml, and commit\n")
}

/// Asks whoever sits there.
fn agree(key: &str) -> Result<(), Failure> {
    let refused = |why: &str| Err(Failure::Asked(format!("{why}; nothing was changed")));
    if !std::io::stdin().is_terminal() {
        return refused("there is no terminal to ask on: add --yes, --dry-run or -o yaml");
    }
    tell(&format!("Revoke {}? Type yes: ", plain(key)));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() == "yes" {
        return Ok(());
    }
    refused("not agreed")
}

async fn write(client: &Client, changed: &TrustedKey) -> Result<TrustedKey, Failure> {
    let patch = json!({
        "metadata": {"resourceVersion": changed.metadata.resource_version},
        // Every field is written: null takes away what an earlier revocation said.
        "spec": {"revocation": {
            "reason": changed.spec.revocation.as_ref().map(|word| word.reason),
            "since": changed.spec.revocation.as_ref().and_then(|word| word.since.clone()),
            "grandfather": changed.spec.revocation.as_ref().map(|word| word.grandfather),
        }},
    });
    let params = PatchParams {
        field_manager: Some("charttrust-cli".to_owned()),
        ..PatchParams::default()
    };
    let api = Api::<TrustedKey>::all(client.clone());
    let name = changed.name_any();
    let written = api.patch(&name, &params, &Patch::Merge(&patch)).await;
    written.map_err(|error| unwritten("TrustedKey", &name, error))
}

fn unwritten(kind: &str, name: &str, error: kube::Error) -> Failure {
    match error {
        kube::Error::Api(said) if said.is_conflict() => Failure::Asked(format!(
            "{kind} {} was changed meanwhile; nothing was written, look again",
            plain(name)
        )),
        other => Failure::api("write spec.revocation")(other),
    }
}

/// Waits until the operator has judged what was foretold, and tells how it came out.
async fn follow(client: &Client, forecast: &[Forecast], arguments: &Revoke) -> Result<u8, Failure> {
    let started = crate::clock::tick();
    let expected: Vec<_> = forecast
        .iter()
        .filter(|one| {
            one.verdict()
                .is_some_and(|verdict| verdict.word() != one.before)
        })
        .collect();
    if expected.is_empty() {
        return Ok(TRUSTED);
    }
    let what = count(expected.len(), "release", "releases");
    tell(&format!("re-checking {what} …\n"));
    loop {
        let trusts = all(&Api::<ReleaseTrust>::all(client.clone()), "ReleaseTrusts").await?;
        let open = expected
            .iter()
            .filter(|one| !is_judged(one, &trusts))
            .count();
        if open == 0 {
            let seconds = started.elapsed().as_secs_f64();
            let done = count(expected.len(), "verdict has", "verdicts have");
            note(&format!("{done} changed as shown, in {seconds:.1} s\n"));
            return Ok(TRUSTED);
        }
        if started.elapsed() >= arguments.timeout {
            let what = count(open, "release is", "releases are");
            let advice = leading::advice(client, &arguments.operator()).await;
            return Err(Failure::Unanswered(format!(
                "it is revoked, but {what} not judged as shown after {} s; {advice}; then see {} status",
                arguments.timeout.as_secs(),
                program()
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether the operator has come to what was foretold.
fn is_judged(one: &Forecast, trusts: &[ReleaseTrust]) -> bool {
    let mut same = trusts.iter().filter(|trust| {
        trust.name_any() == one.name && trust.namespace().as_ref() == Some(&one.namespace)
    });
    // A release that is gone meanwhile needs no verdict.
    same.next().is_none_or(|trust| {
        let word = trust.verdict().map(|verdict| verdict.reason.as_str());
        word == one.verdict().map(Verdict::word)
    })
}

const POLL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::super::manifest::LAST_APPLIED;
    use clap::Parser;

    use super::super::site::tests::site;
    use super::*;

    const KEY: &str = include_str!("../../../../examples/trusted-key.yaml");

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        revoke: Revoke,
    }

    fn parsed(arguments: &[&str]) -> Result<Revoke, clap::Error> {
        let all = ["revoke", "platform-2026"].iter().chain(arguments);
        Command::try_parse_from(all).map(|command| command.revoke)
    }

    fn object() -> TrustedKey {
        serde_saphyr::from_multiple(KEY).unwrap().remove(0)
    }

    fn changed(arguments: &[&str]) -> Result<TrustedKey, String> {
        let arguments = parsed(arguments).unwrap();
        revoked(&object(), &arguments).map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_the_schema_would_refuse_is_refused_by_the_name_of_the_option() {
        for arguments in [
            &["--reason", "Superseded"][..],
            &["--reason", "retired"],
            &["--reason", "Compromised", "--grandfather", "Witnessed"],
        ] {
            let error = changed(arguments).unwrap_err();
            assert!(error.starts_with("--since: is required"), "{error}");
        }
        let soft = [
            "--reason",
            "Retired",
            "--since",
            "2026-11-18T00:00Z",
            "--grandfather",
            "witnessed",
        ];
        assert!(
            changed(&soft)
                .unwrap_err()
                .starts_with("--grandfather: is only for")
        );
        assert!(parsed(&[]).is_err() && parsed(&["--reason", "Lost"]).is_err());
        assert!(parsed(&["--reason", "Retired", "--yes", "--dry-run"]).is_err());
        assert!(parsed(&["--reason", "Retired", "--yes", "-o", "yaml"]).is_err());
    }

    /// Which releases rest on a key can be asked before anybody knows why it should go.
    #[test]
    fn only_a_look_needs_no_reason() {
        let look = parsed(&["--dry-run"]).unwrap();
        assert_eq!(look.reason(), RevocationReason::Compromised);
        assert!(way_on(&look).contains("--reason Compromised --yes"));
        for others in [
            &[][..],
            &["--yes"],
            &["-o", "yaml"],
            &["-o", "yaml", "--dry-run"],
        ] {
            let error = parsed(others).unwrap_err().to_string();
            assert!(error.contains("--reason <REASON>"), "{others:?}: {error}");
        }
    }

    #[test]
    fn the_object_for_git_is_what_people_write_and_reads_back() {
        let mut key =
            changed(&["--reason", "Compromised", "--since", "2026-11-18T00:00Z"]).unwrap();
        key.metadata.uid = Some("canary".to_owned());
        key.metadata.resource_version = Some("7".to_owned());
        key.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into());
        let applied = [(LAST_APPLIED.to_owned(), "canary".to_owned())];
        key.metadata.annotations = Some(applied.into());
        key.status = Some(crate::api::trusted_key::TrustedKeyStatus::default());
        let yaml = manifest("TrustedKey", &key, &key.spec);
        assert!(
            !yaml.contains("canary") && !yaml.contains("status"),
            "{yaml}"
        );
        let read: TrustedKey = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(read.spec, key.spec);
        assert_eq!(read.metadata.labels, key.metadata.labels);
        let word = read.spec.revocation.unwrap();
        assert_eq!(word.reason, RevocationReason::Compromised);
        assert_eq!(word.since.as_deref(), Some("2026-11-18T00:00:00Z"));
    }

    #[test]
    fn a_fingerprint_that_looks_like_a_number_stays_text() {
        let mut key = object();
        for fingerprint in [
            "1111222233334444555566667777888899990000",
            "111122223333444455556666777788889999E000",
            "0000000000000000000000000000000000000000",
        ] {
            fingerprint.clone_into(&mut key.spec.fingerprint);
            let yaml = manifest("TrustedKey", &key, &key.spec);
            assert!(yaml.contains(&format!("\"{fingerprint}\"")), "{yaml}");
        }
    }

    #[test]
    fn the_first_verification_is_set_against_the_date() {
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let since = at("2026-11-18T00:00:00Z");
        let (before, after) = (at("2026-09-02T10:00:00Z"), at("2026-11-18T00:00:00Z"));
        assert_eq!(first_verified(since, before), "2026-09-02 (before)");
        assert_eq!(first_verified(since, after), "2026-11-18 (AFTER)");
        assert_eq!(first_verified(None, before), "2026-09-02");
        assert_eq!(first_verified(since, None), "never");
        let table = table(since, &[forecast("a", before), forecast("b", after)]).to_string();
        let marked: Vec<_> = table
            .lines()
            .map(|line| line.contains("<- look here first"))
            .collect();
        assert_eq!(marked, [false, false, true], "{table}");
        assert!(table.contains("SignatureVerified   ?"), "{table}");
    }

    fn forecast(name: &str, first_verified: Option<Timestamp>) -> Forecast {
        Forecast {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            chart: format!("{name}-1.0.0"),
            first_verified,
            before: "SignatureVerified".to_owned(),
            now: None,
            after: None,
        }
    }

    #[test]
    fn only_automatic_policies_contain_by_themselves() {
        use charttrust_verify::check::{Judgement, PolicyVerdict};
        use charttrust_verify::verdict::Reason as Why;
        let policy = |approval: &str, reason: &str| -> ChartTrustPolicy {
            let quarantine =
                json!({"onReasons": [reason], "approval": approval, "actions": ["ScaleToZero"]});
            let spec = json!({"rules": [], "quarantine": quarantine});
            ChartTrustPolicy::new("platform", serde_json::from_value(spec).unwrap())
        };
        let verdict = Verdict::Untrusted(Why::KeyCompromised);
        let said = PolicyVerdict {
            policy: "platform".to_owned(),
            rule: None,
            verdict,
            exempt_by: None,
            origin: None,
            revocations: std::collections::BTreeSet::new(),
        };
        let mut one = forecast("web", None);
        one.after = Some(Judgement {
            verdict,
            policies: vec![said],
            findings: Vec::new(),
        });
        let on = site(Some(true), &[]);
        let text = |policy| quarantines(&[policy], std::slice::from_ref(&one), &on);
        let none = "No workload will be stopped.\n";
        assert_eq!(text(policy("Manual", "KeyCompromised")), none);
        assert_eq!(text(policy("Automatic", "KeyRevoked")), none);
        let automatic = text(policy("Automatic", "KeyCompromised"));
        assert!(
            automatic.starts_with("Policy platform quarantines 1 release by itself after 5m"),
            "{automatic}"
        );
        let off = quarantines(
            &[policy("Automatic", "KeyCompromised")],
            std::slice::from_ref(&one),
            &site(Some(false), &[]),
        );
        assert!(
            off.starts_with("No workload will be stopped: the operator"),
            "{off}"
        );
        let spared = quarantines(
            &[policy("Automatic", "KeyCompromised")],
            std::slice::from_ref(&one),
            &site(Some(true), &["shop"]),
        );
        assert!(
            spared.starts_with("Of those that policy platform would quarantine, 1 release lies in"),
            "{spared}"
        );
        let mut suspended = policy("Automatic", "KeyCompromised");
        suspended.spec.suspend = true;
        assert_eq!(text(suspended), none);
    }

    #[test]
    fn the_way_on_repeats_what_was_asked() {
        let arguments = [
            "--reason",
            "compromised",
            "--since",
            "2026-11-18T00:00Z",
            "--grandfather",
            "Witnessed",
        ];
        let text = way_on(&parsed(&arguments).unwrap());
        let command = "revoke platform-2026 --reason Compromised --since 2026-11-18T00:00:00Z --grandfather Witnessed";
        assert!(text.contains(&format!("{command} --yes\n")), "{text}");
        assert!(
            text.contains(&format!("{command} -o yaml, and commit")),
            "{text}"
        );
        assert_eq!(
            short("272855BE2326D757EEFF53968847F310E4F26D44"),
            "2728…6D44"
        );
    }
}
