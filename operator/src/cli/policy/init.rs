//! `charttrust policy init`: drafts a policy from what runs. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use kube::{Api, Client};

use super::deployed::{Deployers, copy_of};
use super::draft::{Asked, Draft, Stranger};
use crate::api::{ChartTrustPolicy, TrustedKey};
use crate::cli::cluster::{Connection, Failure, all, is_name};
use crate::cli::leading::{Operator, checked};
use crate::cli::manifest::manifest;
use crate::cli::pin::matched::{Declared, Left};
use crate::cli::revoke::count;
use crate::cli::screen::{plain, say, tell};
use crate::cli::{TRUSTED, UNTRUSTED, program, sigstore, status};

/// Drafts a policy from what runs, with the signers and the archives that the operator has found.
///
/// Apply it, and draft again when the operator has asked the sources: it knows more then. Where a chart comes
/// from, Helm does not record: it is taken from the objects of Flux and k3s; name the other repositories with
/// --source.
///
/// Exit code 0: a draft is printed; 1: it is, and something was found against a release, which is not in it;
/// 2: the arguments cannot be used; 3: no release is known, or nobody keeps the verdicts up to date.
#[derive(Args, Clone, Debug)]
pub struct Init {
    /// A repository that charts come from, as policies name it. Repeatable.
    #[arg(long, value_name = "URL", value_parser = crate::cli::source)]
    pub source: Vec<String>,
    /// Name of the policy.
    #[arg(long, value_name = "NAME", default_value = "drafted", value_parser = name)]
    pub name: String,
    /// Releases of this namespace only.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Where the cluster is.
    #[command(flatten)]
    pub connection: Connection,
    /// Where the operator is.
    #[command(flatten)]
    pub operator: Operator,
}

fn name(text: &str) -> Result<String, String> {
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("write lower-case letters, digits, - and .".to_owned())
    }
}

/// What the draft is, for whoever reads the file.
const HEAD: &str = "\
# Drafted from what runs: look at it before you apply it.
# signed: a good signature by these keys or identities was found. pinned: nobody whom you have declared has signed it; each
# pin is your word for that archive. unproven: its sources are asked, and nobody is believed yet.
# unknown-origin: nothing is asked; name its repository. A chart that is not listed is NoPolicy.
";

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the cluster cannot be asked, or nothing can be drafted.
pub(in crate::cli) async fn run(arguments: &Init) -> Result<u8, Failure> {
    let client: Client = arguments.connection.client().await?;
    let trusts = status::listed(&client, arguments.namespace.as_deref()).await?;
    let policies = Api::<ChartTrustPolicy>::all(client.clone());
    let declared = Declared {
        policies: all(&policies, "ChartTrustPolicies").await?,
        keys: all(&Api::<TrustedKey>::all(client.clone()), "TrustedKeys").await?,
        identities: sigstore::identities(&client, &arguments.operator.operator_namespace).await?,
    };
    let deployers = Deployers::read(&client, &arguments.operator.operator_namespace).await;
    let (told_by_deployers, unclear) = deployers.told(&trusts);
    let excluded = ["kube-system", &arguments.operator.operator_namespace];
    let asked = Asked {
        name: arguments.name.clone(),
        sources: arguments.source.clone(),
        namespace: arguments.namespace.clone(),
        excluded: excluded.map(str::to_owned).into(),
        told: told_by_deployers,
    };
    if trusts.is_empty() {
        return Err(Failure::Unanswered(format!(
            "no release is known: helm list -A tells whether there is one, and {} doctor whether the operator \
             runs",
            program()
        )));
    }
    let draft = Draft::of(&trusts, &declared, &asked)?;
    let policy = &draft.policy;
    say(&format!(
        "{HEAD}{}{}",
        suggested(&draft.strangers),
        manifest("ChartTrustPolicy", policy, &policy.spec)
    ))?;
    tell(&told(&draft, &arguments.operator.operator_namespace));
    tell(&lines(unclear));
    tell(&not_read(&deployers));
    Ok(checked(&client, &arguments.operator, code(&draft)).await)
}

/// Who has signed and is not declared, for whoever reads the file. Nothing is believed for it.
fn suggested(strangers: &BTreeMap<Stranger, BTreeSet<String>>) -> String {
    if strangers.is_empty() {
        return String::new();
    }
    let strangers = strangers.iter().map(|(who, charts)| {
        let charts: Vec<_> = charts.iter().map(String::as_str).collect();
        format!(
            "#   spec: {{issuer: {}, subject: {{exact: {}}}}}   # {}\n",
            quoted(&who.issuer),
            quoted(&who.subject),
            charts.join(", ")
        )
    });
    STRANGERS.to_owned() + &strangers.collect::<String>()
}

/// What is said before those who have signed and are not declared.
const STRANGERS: &str = "\
# Signed by nobody whom you have declared; nothing is believed because it stands here. If that is the publisher,
# declare him (kind: TrustedIdentity), with a glob where the subject ends with one version, and draft again:
";

/// Foreign text within quotes, in one line.
fn quoted(text: &str) -> String {
    // Invariant: a string always serializes.
    plain(&serde_json::to_string(text).unwrap_or_default())
}

/// What a deployer would have said.
fn not_read(deployers: &Deployers) -> String {
    let unread = deployers.unread.iter();
    lines(unread.map(|why| format!("not asked where it takes charts from: {why}")))
}

/// What others wrote, a line each.
fn lines(all: impl IntoIterator<Item = String>) -> String {
    all.into_iter().map(|line| plain(&line) + "\n").collect()
}

/// What people are told besides the draft.
fn told(draft: &Draft, operator: &str) -> String {
    let unnamed = draft.unnamed.iter();
    let unnamed =
        unnamed.map(|name| format!("chart {name:?} is in no rule: this is no name of a chart"));
    let left = draft.left.iter().map(ToString::to_string);
    let asks_nothing = draft
        .policy
        .spec
        .rules
        .iter()
        .any(|rule| rule.sources.is_empty());
    let hint = asks_nothing.then(|| {
        "of charts without a source nothing is asked: name repositories with --source (helm repo list)".to_owned()
    });
    let secrets = draft.secrets.iter().filter(|one| one.namespace != operator);
    let secrets = secrets.map(|secret| {
        format!(
            "a source has its login or authority from Secret {secret}: copy it to namespace {operator} as {}, \
             where the operator reads it",
            copy_of(secret, operator)
        )
    });
    let unasked = (draft.unasked > 0).then(|| {
        format!(
            "{} no policy has asked about yet: apply this one, and draft again",
            count(draft.unasked, "release", "releases")
        )
    });
    let elsewhere = draft.elsewhere.iter().cloned();
    let all = left
        .chain(unasked)
        .chain(unnamed)
        .chain(hint)
        .chain(elsewhere)
        .chain(secrets);
    lines(all)
}

fn code(draft: &Draft) -> u8 {
    let is_known = |one: &Left| matches!(one, Left::Known { .. });
    if draft.left.iter().any(is_known) {
        UNTRUSTED
    } else {
        TRUSTED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever signs chooses what stands in his certificate: it is a comment, and stays one.
    #[test]
    fn who_is_not_declared_is_a_comment_whatever_he_calls_himself() {
        let stranger = Stranger {
            issuer: "https://issuer.example.com".to_owned(),
            subject: "a\nspec: {rules: []}\u{202e}\"".to_owned(),
        };
        let charts = BTreeSet::from(["web".to_owned(), "api".to_owned()]);
        let strangers = BTreeMap::from([(stranger, charts)]);
        let text = suggested(&strangers);
        let all_comments = text.lines().all(|line| line.starts_with('#'));
        assert!(all_comments, "{text}");
        let line = "#   spec: {issuer: \"https://issuer.example.com\", subject: {exact: \
                    \"a\\nspec: {rules: []}\\u{202e}\\\"\"}}   # api, web\n";
        assert!(text.ends_with(line), "{text}");
        assert_eq!(suggested(&BTreeMap::new()), "");
    }
}
