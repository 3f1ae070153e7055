//! What `charttrust revoke --identity` shows and writes: a window, archives, or all of an identity.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use charttrust_verify::sigstore::Root;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::{Output, Revoke, agree, count, follow, quarantines, table, unwritten};
use crate::api::TrustedIdentity;
use crate::api::trusted_identity::{IdentityRevocation, Window};
use crate::cli::cluster::{self, Failure};
use crate::cli::forecast::{Forecast, Picture};
use crate::cli::manifest::manifest;
use crate::cli::screen::{note, plain, say};
use crate::cli::site::Site;
use crate::cli::{TRUSTED, program, signers};
use crate::{clock, parse};

/// Runs the command for an identity.
pub(super) async fn run(client: &Client, name: &str, arguments: &Revoke) -> Result<u8, Failure> {
    let object = cluster::identity(client, name).await?;
    let changed = revoked(&object, arguments)?;
    if let Some(Output::Yaml) = arguments.output {
        say(&manifest("TrustedIdentity", &changed, &changed.spec))?;
        return Ok(TRUSTED);
    }
    let picture = Picture::take(client, &arguments.operator_namespace, clock::now()).await?;
    let forecast = picture.forecast_identity(&changed);
    let site = Site::of(client, &arguments.operator()).await;
    say(&shown(arguments, &picture, (&object, &changed), &forecast))?;
    say(&quarantines(picture.policies(), &forecast, &site))?;
    if arguments.dry_run {
        say(&way_on(name, arguments))?;
        return Ok(TRUSTED);
    }
    if !arguments.yes {
        agree(name)?;
    }
    let written = write(client, &changed).await?;
    let generation = written.metadata.generation.unwrap_or_default();
    let name = plain(name);
    note(&format!(
        "trustedidentity/{name} revoked (generation {generation})\n\
         Undo: kubectl patch tid {name} --type merge -p '{}'\n",
        undo(&object)
    ));
    follow(client, &forecast, arguments).await
}

/// The object with our word against its identity. What is declared already for the same reason stays: to take
/// a window away would give trust back.
fn revoked(object: &TrustedIdentity, arguments: &Revoke) -> Result<TrustedIdentity, Failure> {
    let mut changed = object.clone();
    let window = arguments.from.map(|from| Window {
        from: from.to_string(),
        until: arguments.until.map(|until| until.to_string()),
    });
    let mut revocation = IdentityRevocation {
        reason: arguments.reason(),
        windows: window.into_iter().collect(),
        digests: arguments.digest.clone(),
    };
    let is_limited = |it: &IdentityRevocation| !(it.windows.is_empty() && it.digests.is_empty());
    if let Some(before) = &object.spec.revocation
        && is_limited(&revocation)
    {
        if !is_limited(before) {
            return Err(Failure::Asked(
                "all its signatures are void already, which a window would only narrow: edit spec.revocation"
                    .to_owned(),
            ));
        }
        if before.reason != revocation.reason {
            return Err(Failure::Asked(format!(
                "it is revoked as {:?} already: give the same --reason, or edit spec.revocation",
                before.reason
            )));
        }
        add(&mut revocation, before);
    }
    changed.spec.revocation = Some(revocation);
    // Whatever else is wrong with the object must not stop a revocation.
    let problems = parse::identity(&changed, Root::Unknown(String::new())).err();
    let mut problems = problems.into_iter().flatten();
    match problems.find(|problem| problem.path.starts_with("spec.revocation")) {
        Some(problem) => Err(Failure::Asked(problem.to_string())),
        None => Ok(changed),
    }
}

fn add(revocation: &mut IdentityRevocation, before: &IdentityRevocation) {
    let is_new = |window: &&Window| !before.windows.contains(window);
    let windows: Vec<_> = revocation.windows.iter().filter(is_new).cloned().collect();
    let digests = revocation.digests.iter();
    let digests: Vec<_> = digests
        .filter(|digest| !before.digests.contains(digest))
        .cloned()
        .collect();
    revocation.windows = [before.windows.clone(), windows].concat();
    revocation.digests = [before.digests.clone(), digests].concat();
}

fn shown(
    arguments: &Revoke,
    picture: &Picture,
    (object, changed): (&TrustedIdentity, &TrustedIdentity),
    forecast: &[Forecast],
) -> String {
    let namespaces: BTreeSet<_> = forecast.iter().map(|one| &one.namespace).collect();
    let lists = |rule: &_| signers::list_identity(rule, changed);
    let mut text = format!(
        "Identity {} ({}), used by {}, {} in {}\n",
        plain(&changed.name_any()),
        plain(&subject(changed)),
        count(picture.policies_that_list(lists), "policy", "policies"),
        count(forecast.len(), "release", "releases"),
        count(namespaces.len(), "namespace", "namespaces"),
    );
    if let Some(declared) = &object.spec.revocation {
        // Invariant: writing to a String does not fail.
        let _ = writeln!(
            text,
            "It is revoked already, as {:?}, {}; what that voids stays void.",
            declared.reason,
            limits(declared),
        );
    }
    if let Some(revocation) = &changed.spec.revocation {
        let _ = writeln!(text, "Void: {}.", limits(revocation));
    }
    if !forecast.is_empty() {
        let _ = write!(text, "{}", table(arguments.from, forecast));
    }
    if forecast.iter().any(|one| one.after.is_none()) {
        text.push_str(
            "? the operator judges by more than can be read here: material of keys, or newer evidence\n",
        );
    }
    text
}

/// Who it is, as the object says.
pub(in crate::cli) fn subject(object: &TrustedIdentity) -> String {
    let subject = &object.spec.subject;
    let subject = subject.exact.as_ref().or(subject.glob.as_ref());
    subject.cloned().unwrap_or_default()
}

/// What a revocation is about.
pub(in crate::cli) fn limits(revocation: &IdentityRevocation) -> String {
    let window = |window: &Window| match &window.until {
        Some(until) => format!("signed from {} until {until}", window.from),
        None => format!("signed from {} on", window.from),
    };
    let windows = revocation.windows.iter().map(window);
    let digests = revocation.digests.iter().cloned();
    let parts: Vec<_> = windows.chain(digests).map(|part| plain(&part)).collect();
    if parts.is_empty() {
        "all its signatures".to_owned()
    } else {
        parts.join(", ")
    }
}

/// The commands that do what was shown.
fn way_on(name: &str, arguments: &Revoke) -> String {
    let program = program();
    let mut command = format!(
        "{program} revoke --identity {} --reason {:?}",
        plain(name),
        arguments.reason()
    );
    if let Some(from) = arguments.from {
        // Invariant: writing to a String does not fail.
        let _ = write!(command, " --from {from}");
    }
    if let Some(until) = arguments.until {
        let _ = write!(command, " --until {until}");
    }
    for digest in &arguments.digest {
        let _ = write!(command, " --digest {}", plain(digest));
    }
    format!("Apply with:  {command} --yes\nGitOps:      {command} -o yaml, and commit\n")
}

/// The patch that brings back what was declared before.
fn undo(object: &TrustedIdentity) -> String {
    let before = &object.spec.revocation;
    plain(&json!({"spec": {"revocation": before}}).to_string())
}

async fn write(client: &Client, changed: &TrustedIdentity) -> Result<TrustedIdentity, Failure> {
    let revocation = changed.spec.revocation.as_ref();
    let some = |list: serde_json::Value| {
        list.as_array()
            .is_some_and(|it| !it.is_empty())
            .then_some(list)
    };
    let windows = revocation.map(|it| json!(it.windows)).and_then(some);
    let digests = revocation.map(|it| json!(it.digests)).and_then(some);
    let patch = json!({
        "metadata": {"resourceVersion": changed.metadata.resource_version},
        // Every field is written: null takes away what an earlier revocation said.
        "spec": {"revocation": {
            "reason": revocation.map(|word| word.reason),
            "windows": windows,
            "digests": digests,
        }},
    });
    let params = PatchParams {
        field_manager: Some("charttrust-cli".to_owned()),
        ..PatchParams::default()
    };
    let api = Api::<TrustedIdentity>::all(client.clone());
    let name = changed.name_any();
    let written = api.patch(&name, &params, &Patch::Merge(&patch)).await;
    written.map_err(|error| unwritten("TrustedIdentity", &name, error))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const IDENTITY: &str = include_str!("../../../../examples/identity-incident.yaml");

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        revoke: Revoke,
    }

    fn parsed(arguments: &[&str]) -> Result<Revoke, clap::Error> {
        let all = ["revoke", "--identity", "charts-release"];
        Command::try_parse_from(all.iter().chain(arguments)).map(|command| command.revoke)
    }

    fn changed(
        arguments: &[&str],
        change: impl FnOnce(&mut TrustedIdentity),
    ) -> Result<IdentityRevocation, String> {
        let mut object: TrustedIdentity = serde_saphyr::from_multiple(IDENTITY).unwrap().remove(0);
        change(&mut object);
        let changed = revoked(&object, &parsed(arguments).unwrap());
        let changed = changed.map_err(|failure| failure.to_string())?;
        Ok(changed.spec.revocation.unwrap())
    }

    const FROM: [&str; 4] = ["--reason", "Compromised", "--from", "2026-12-01T00:00Z"];

    #[test]
    fn a_window_is_added_and_none_is_taken_away() {
        let both = changed(&FROM, |_| {}).unwrap();
        assert_eq!(both.windows.len(), 2);
        assert_eq!(both.windows[1].from, "2026-12-01T00:00:00Z");
        let same = [
            "--reason",
            "Compromised",
            "--from",
            "2026-11-01T00:00Z",
            "--until",
            "2026-11-03T12:00Z",
        ];
        assert_eq!(changed(&same, |_| {}).unwrap().windows.len(), 1);
        let first = changed(&FROM, |it| it.spec.revocation = None).unwrap();
        assert_eq!(first.windows.len(), 1);
        let whole = changed(&["--reason", "Compromised"], |_| {}).unwrap();
        assert_eq!(limits(&whole), "all its signatures");
    }

    #[test]
    fn what_would_give_trust_back_is_refused() {
        let narrowed = changed(&FROM, |it| {
            it.spec.revocation.as_mut().unwrap().windows.clear();
        });
        assert!(
            narrowed
                .unwrap_err()
                .starts_with("all its signatures are void already")
        );
        let other = ["--reason", "Unspecified", "--from", "2026-12-01"];
        assert!(
            changed(&other, |_| {})
                .unwrap_err()
                .contains("as Compromised already")
        );
    }

    #[test]
    fn what_the_schema_would_refuse_is_refused() {
        let retired = [
            "--reason",
            "Retired",
            "--from",
            "2026-12-01",
            "--until",
            "2026-12-02",
        ];
        let error = changed(&retired, |it| it.spec.revocation = None).unwrap_err();
        assert!(error.contains("exactly one window"), "{error}");
        let digest = ["--reason", "Compromised", "--digest", "sha256:0f"];
        let error = changed(&digest, |_| {}).unwrap_err();
        assert!(error.starts_with("spec.revocation.digests["), "{error}");
        for arguments in [
            &["--reason", "Compromised", "--until", "2026-12-01"][..],
            &["--reason", "Compromised", "--since", "2026-12-01"],
            &["platform", "--reason", "Compromised"],
        ] {
            assert!(parsed(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn the_way_on_repeats_what_was_asked() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let until = ["--until", "2026-12-02", "--digest", &digest];
        let text = way_on(
            "charts-release",
            &parsed(&[&FROM[..], &until].concat()).unwrap(),
        );
        let command = format!(
            "revoke --identity charts-release --reason Compromised --from 2026-12-01T00:00:00Z \
             --until 2026-12-02T00:00:00Z --digest {digest} --yes\n"
        );
        assert!(text.contains(&command), "{text}");
    }
}
