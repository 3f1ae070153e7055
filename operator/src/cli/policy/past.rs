//! What the webhook would have said of the revisions of the last days: the webhook's own program, run here. Reads the
//! cluster, records of Helm among it, and asks sources.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use charttrust_verify::policy::{Policy, ReleaseRef};
use jiff::Timestamp;
use kube::Client;
use serde::Serialize;

use crate::api::ChartTrustPolicy;
use crate::cli::cluster::chain;
use crate::cli::revoke::count;
use crate::cli::screen::{Table, plain};
use crate::door::{Answer, Hindsight, Settings};
use crate::inventory::helm::{self, RecordKey};
use crate::inventory::submitted;
use crate::parse::{self, DurationError};

/// How far back, and how it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Since {
    written: String,
    before: Duration,
}

/// Reads `7d`, or what Go writes, such as `36h`.
///
/// # Errors
/// [`DurationError`].
pub(super) fn since(text: &str) -> Result<Since, DurationError> {
    let days = text.strip_suffix('d').map(str::parse::<u32>);
    let before = match days {
        Some(Ok(days)) => Duration::from_secs(u64::from(days) * 24 * 60 * 60),
        Some(Err(_)) => return Err(DurationError::Malformed),
        None => parse::duration(text)?,
    };
    Ok(Since {
        written: text.to_owned(),
        before,
    })
}

/// What would have been said.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Past {
    since: String,
    /// Those that would not have gone in.
    pub(super) refused: Vec<Revision>,
    /// Those that would have gone in with a warning.
    warned: Vec<Revision>,
    /// How many would have gone in silently.
    silent: usize,
    /// What is not known about all this.
    pub(super) caveats: Vec<String>,
}

/// One revision, and what whoever installed it would have read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "as the JSON calls it")]
pub(super) struct Revision {
    namespace: String,
    release: String,
    revision: u64,
    text: String,
}

/// Most revisions that are looked at, the newest first. Each may ask a source.
const MOST: usize = 1000;

impl Past {
    /// Asks of each revision that the policy is about, and of which API servers would ask.
    pub(super) async fn look(
        client: &Client,
        (policy, since): (&ChartTrustPolicy, &Since),
        settings: Settings,
        (labels, asks): (
            impl Fn(&str) -> Option<BTreeMap<String, String>>,
            impl Fn(&str) -> bool,
        ),
        now: Timestamp,
    ) -> Self {
        let mut told = Self {
            since: since.written.clone(),
            refused: Vec::new(),
            warned: Vec::new(),
            silent: 0,
            caveats: Vec::new(),
        };
        let from = now.checked_sub(since.before).unwrap_or(Timestamp::MIN);
        let found = match helm::made_since(client, from).await {
            Ok(found) => found,
            Err(error) => {
                let why = chain(&error);
                told.caveats.push(format!(
                    "not checked: records of Helm cannot be listed: {why}"
                ));
                return told;
            }
        };
        let parsed = parse::policy(policy);
        let is_about =
            |key: &RecordKey| asks(&key.release.namespace) && selects(&parsed.policy, key, &labels);
        let mut keys: Vec<_> = found.into_iter().filter(is_about).collect();
        if keys.len() > MOST {
            let more = keys.len().saturating_sub(MOST);
            told.caveats.push(format!(
                "only the newest {MOST} are told; {more} more were made since then"
            ));
            keys.truncate(MOST);
        }
        match Hindsight::read(client.clone(), settings, parsed).await {
            Ok(hindsight) => told.ask(client, &hindsight, keys).await,
            Err(_) => told.caveats.push(
                "not checked: keys, namespaces or ConfigMaps of the operator cannot be read"
                    .to_owned(),
            ),
        }
        told
    }

    async fn ask(&mut self, client: &Client, hindsight: &Hindsight, keys: Vec<RecordKey>) {
        let mut unread = BTreeSet::new();
        for key in keys {
            match submitted::stored(client, &key).await {
                Ok(Some(record)) => self.add(&key, hindsight.of(record).await),
                Ok(None) => {}
                Err(error) => {
                    let namespace = &key.release.namespace;
                    unread.insert(format!(
                        "records of namespace {namespace}: {}",
                        chain(&error)
                    ));
                }
            }
        }
        let unread = unread.into_iter();
        self.caveats
            .extend(unread.map(|one| format!("not checked: {one}")));
    }

    fn add(&mut self, key: &RecordKey, answer: Answer) {
        let said = |text: String| Revision {
            namespace: key.release.namespace.clone(),
            release: key.release.name.clone(),
            revision: key.revision,
            text,
        };
        match (answer.refusal, answer.warnings.into_iter().next()) {
            (Some(refusal), _) => self.refused.push(said(refusal)),
            (None, Some(warning)) => self.warned.push(said(warning)),
            (None, None) => self.silent = self.silent.saturating_add(1),
        }
    }

    /// What people read.
    pub(super) fn text(&self) -> String {
        let Self {
            since,
            refused,
            warned,
            silent,
            caveats,
        } = self;
        let mut text = format!(
            "Of the revisions of the last {since}, by what is known now: {} would have been refused, {} would have gone \
             in with a warning, {silent} silently\n",
            count(refused.len(), "revision", "revisions"),
            warned.len(),
        );
        let mut table = Table::new(&["THEN", "NAMESPACE", "RELEASE", "REVISION", "TEXT"]);
        for (word, said) in [("refused", refused), ("warned", warned)] {
            for one in said {
                let revision = one.revision.to_string();
                table.add([word, &one.namespace, &one.release, &revision, &one.text]);
            }
        }
        if !(refused.is_empty() && warned.is_empty()) {
            text += &table.to_string();
        }
        caveats
            .iter()
            .fold(text, |text, one| text + &plain(one) + "\n")
    }
}

fn selects(
    policy: &Policy,
    key: &RecordKey,
    labels: &impl Fn(&str) -> Option<BTreeMap<String, String>>,
) -> bool {
    let namespace = &key.release.namespace;
    let labels = labels(namespace);
    policy.selection.selects(&ReleaseRef {
        namespace,
        namespace_labels: labels.as_ref(),
        name: &key.release.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::ReleaseId;
    use crate::inventory::helm::Driver;

    #[test]
    fn days_are_written_as_days_and_everything_else_as_go_does() {
        let hours = |text: &str| since(text).map(|since| since.before.as_secs() / 3600);
        assert_eq!(hours("7d"), Ok(168));
        assert_eq!(hours("36h"), Ok(36));
        assert_eq!(hours("0d"), Ok(0));
        for wrong in ["", "d", "-1d", "1.5d", "7", "1w"] {
            assert_eq!(hours(wrong), Err(DurationError::Malformed), "{wrong}");
        }
    }

    #[test]
    fn people_and_programs_read_counts_revisions_and_texts() {
        let mut past = Past {
            since: "7d".to_owned(),
            refused: Vec::new(),
            warned: Vec::new(),
            silent: 0,
            caveats: vec!["not checked: this".to_owned()],
        };
        let key = |revision| RecordKey {
            release: ReleaseId {
                namespace: "shop".to_owned(),
                name: "web".to_owned(),
            },
            driver: Driver::Secret,
            revision,
        };
        let refused = Answer {
            refusal: Some("Unsigned by policy a".to_owned()),
            warnings: vec!["not told".to_owned()],
        };
        past.add(&key(3), refused);
        past.add(&key(2), Answer::warned("SourceUnavailable"));
        past.add(&key(1), Answer::default());
        let text = past.text();
        for part in [
            "last 7d, by what is known now: 1 revision would have been refused, 1 would have gone in with a warning, 1 \
             silently\n",
            "refused   shop        web       3          Unsigned by policy a\n",
            "warned    shop        web       2          SourceUnavailable\n",
            "\nnot checked: this\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("not told"), "{text}");
        let json = serde_json::to_value(&past).unwrap();
        assert_eq!(json["refused"][0]["revision"], 3);
        assert_eq!((&json["silent"], &json["since"]), (&1.into(), &"7d".into()));
    }
}
