//! Pins as people apply them: alone, or in the rules of a policy. Touches nothing.

use std::collections::BTreeMap;

use super::matched::Matched;
use crate::api::ChartTrustPolicy;
use crate::api::bounds;
use crate::api::chart_trust_policy::PinnedDigest;
use crate::cli::cluster::Failure;
use crate::cli::manifest::manifest;
use crate::cli::screen::{Format, plain};

/// What the pins are, for whoever reads the file later.
const HEAD: &str = "\
# Archives that releases are made of, as the operator has found it; each is your word for it from now on.
# Compared were the files that Helm records. Who made the archive, and what is in it, was not looked at.
";

/// The pins as the `digests` of a rule, each with the releases that it is about.
///
/// # Errors
/// If they cannot be written.
pub(super) fn pins(matched: &[Matched]) -> Result<String, Failure> {
    if matched.is_empty() {
        return Ok("digests: []\n".to_owned());
    }
    let mut text = format!("{HEAD}digests:\n");
    for (_, about) in by_archive(matched) {
        text.extend(about.iter().flat_map(|one| comments(one)));
        if let Some(one) = about.first() {
            text += &item(&one.pin)?;
        }
    }
    Ok(text)
}

fn comments(one: &Matched) -> impl Iterator<Item = String> {
    let first = format!("{}, from {}", one.release, one.source);
    let lines = std::iter::once(first).chain(one.notes.iter().cloned());
    lines.map(|line| format!("  # {}\n", plain(&line)))
}

fn by_archive(matched: &[Matched]) -> BTreeMap<(&str, &str, &str), Vec<&Matched>> {
    let mut archives = BTreeMap::<_, Vec<_>>::new();
    for one in matched {
        let PinnedDigest {
            chart,
            version,
            digest,
        } = &one.pin;
        let key = (chart.as_str(), version.as_str(), digest.as_str());
        archives.entry(key).or_default().push(one);
    }
    archives
}

/// One entry of the list. Names are foreign, so that none is written by hand.
fn item(pin: &PinnedDigest) -> Result<String, Failure> {
    let lines = Format::Yaml.write(pin)?;
    let lines = lines.lines().enumerate().map(|(number, line)| {
        let mark = if number == 0 { "- " } else { "  " };
        format!("  {mark}{line}\n")
    });
    Ok(lines.collect())
}

/// The policy with the pins in the rules that decide, the pins that it has among them.
///
/// # Errors
/// If a rule is not there any more, or would have more pins than the API server takes.
pub(super) fn policy(policy: &ChartTrustPolicy, matched: &[Matched]) -> Result<String, Failure> {
    let name = policy.metadata.name.clone().unwrap_or_default();
    let mut changed = policy.clone();
    for one in matched {
        let rule = one.rules.get(&name);
        let mut rules = changed.spec.rules.iter_mut();
        let found = rules.find(|known| rule.is_some_and(|rule| known.name == *rule));
        let found = found.ok_or_else(|| {
            Failure::Unanswered(format!(
                "policy {name} has no rule any more that decided about {}: it was changed meanwhile, so run \
                 this again",
                one.release
            ))
        })?;
        if !found.digests.contains(&one.pin) {
            found.digests.push(one.pin.clone());
        }
    }
    for rule in &mut changed.spec.rules {
        let number = rule.digests.len();
        if number > bounds::LONG_LIST {
            return Err(Failure::Asked(format!(
                "rule {} of policy {name} would have {number} pins, and a rule takes {}: give some of its \
                 charts a rule of their own, or remove pins of versions that run no more",
                rule.name,
                bounds::LONG_LIST
            )));
        }
    }
    Ok(format!(
        "{HEAD}{}",
        manifest("ChartTrustPolicy", &changed, &changed.spec)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(release: &str, version: &str) -> Matched {
        Matched {
            release: release.to_owned(),
            source: "https://charts.example.com".to_owned(),
            pin: PinnedDigest {
                chart: "web".to_owned(),
                version: version.to_owned(),
                digest: format!("sha256:{}", "a".repeat(64)),
            },
            rules: BTreeMap::from([("everything".to_owned(), "all".to_owned())]),
            notes: Vec::new(),
        }
    }

    fn declared() -> ChartTrustPolicy {
        let object = serde_json::json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": "everything", "resourceVersion": "7", "labels": {"team": "platform"}},
            "spec": {"rules": [{"name": "all", "charts": ["*"],
                "sources": [{"url": "https://charts.example.com"}],
                "digests": [{"chart": "old", "version": "1", "digest": format!("sha256:{}", "b".repeat(64))}],
            }]},
        });
        serde_json::from_value(object).unwrap()
    }

    #[derive(serde::Deserialize)]
    struct Fragment {
        digests: Vec<PinnedDigest>,
    }

    #[test]
    fn pins_are_yaml_whatever_charts_are_called() {
        let mut foreign = matched("shop/a\n  - chart: evil", "1.10");
        foreign.pin.chart = "x\n- {chart: y}\u{202e}#: ".to_owned();
        foreign.notes = vec!["said\nmore: x".to_owned()];
        let all = [
            matched("shop/web", "1.10"),
            matched("bank/web", "1.10"),
            foreign,
        ];
        let text = pins(&all).unwrap();
        let read: Fragment = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(
            read.digests,
            [all[0].pin.clone(), all[2].pin.clone()],
            "{text}"
        );
        for release in ["# shop/web, from https://", "# bank/web, from https://"] {
            assert!(text.contains(release), "{text}");
        }
        let read: Fragment = serde_saphyr::from_str(&pins(&[]).unwrap()).unwrap();
        assert!(read.digests.is_empty());
    }

    #[test]
    fn a_policy_gets_the_pins_and_keeps_what_it_has() {
        let policy = |all: &[Matched]| super::policy(&declared(), all).unwrap();
        let text = policy(&[matched("shop/web", "1.10"), matched("bank/web", "1.10")]);
        let read: ChartTrustPolicy = serde_saphyr::from_str(&text).unwrap();
        let mut expected = declared();
        expected.spec.rules[0].digests.push(matched("", "1.10").pin);
        assert_eq!(read.spec, expected.spec, "{text}");
        assert_eq!(read.metadata.labels, expected.metadata.labels);
        assert_eq!(read.metadata.resource_version, None);
        // Again with what it has become: nothing is written twice.
        let again = super::policy(&read, &[matched("shop/web", "1.10")]).unwrap();
        assert_eq!(again, text);
    }

    #[test]
    fn a_policy_that_cannot_take_the_pins_is_not_printed() {
        let versions: Vec<_> = (0..bounds::LONG_LIST)
            .map(|number| matched("shop/web", &format!("1.0.{number}")))
            .collect();
        let fits = policy(&declared(), &versions[1..]);
        assert!(fits.is_ok());
        let failure = policy(&declared(), &versions).unwrap_err();
        assert!(
            failure.to_string().contains("would have 257 pins"),
            "{failure}"
        );
        let mut gone = matched("shop/web", "1.0.0");
        gone.rules
            .insert("everything".to_owned(), "gone".to_owned());
        let failure = policy(&declared(), &[gone]).unwrap_err();
        assert!(failure.to_string().contains("run this again"), "{failure}");
    }
}
