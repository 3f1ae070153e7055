//! Who asked the API server for what, from its audit log.
//!
//! Reads one file, to which the API server writes twice for each request: when it arrives, before
//! anything is done about it, and when it was answered. A watcher may see what a request did before
//! the second, so what counts as asked since a [`Mark`] is told by the first, and [`Audit::since`]
//! waits for the second.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The audit log of a cluster.
#[derive(Debug, Clone)]
pub struct Audit {
    log: PathBuf,
}

impl Audit {
    pub(crate) fn new(log: &Path) -> Self {
        Self {
            log: log.to_owned(),
        }
    }

    /// This moment in the log.
    pub fn mark(&self) -> Result<Mark, AuditError> {
        let length = std::fs::metadata(&self.log)
            .map_err(|source| self.unreadable(source))?
            .len();
        Ok(Mark(length))
    }

    /// What was asked since `mark`, in the order of the answers. Waits for the answers to everything
    /// that was asked until now, except to watches.
    ///
    /// # Errors
    /// [`AuditError::Unanswered`] if they do not come; if the file cannot be read or understood.
    pub fn since(&self, mark: Mark) -> Result<Events, AuditError> {
        let deadline = Instant::now() + ANSWERED_WITHIN;
        let mut log = self.read(mark)?;
        let mut open = log.open();
        while let Some(id) = open.pop_first() {
            if Instant::now() > deadline {
                return Err(AuditError::Unanswered { id });
            }
            thread::sleep(POLL);
            log = self.read(mark)?;
            open.insert(id);
            open = open.intersection(&log.open()).cloned().collect();
        }
        Ok(log.events())
    }

    /// What was answered since `mark`. What was never answered, because the API server ended, is not waited for.
    ///
    /// # Errors
    /// If the file cannot be read or understood.
    pub fn answered_since(&self, mark: Mark) -> Result<Events, AuditError> {
        Ok(self.read(mark)?.events())
    }

    fn read(&self, mark: Mark) -> Result<Log, AuditError> {
        use std::io::{Read, Seek, SeekFrom};
        let mut bytes = Vec::new();
        std::fs::File::open(&self.log)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(mark.0.saturating_sub(1)))?;
                file.read_to_end(&mut bytes)
            })
            .map_err(|source| self.unreadable(source))?;
        parse(&String::from_utf8_lossy(after_line(&bytes, mark)))
    }

    fn unreadable(&self, source: std::io::Error) -> AuditError {
        AuditError::Unreadable {
            path: self.log.clone(),
            source,
        }
    }
}

/// A moment in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

/// One request and its answer. A watch stands here once, from when it started.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When the request arrived.
    pub time: Timestamp,
    /// When it was answered: what a write has changed is stored by then.
    pub answered: Timestamp,
    /// Who sent it.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The plural of the kind, empty for requests such as `/readyz`.
    pub resource: String,
    /// `status`, `scale`, or empty.
    pub subresource: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// Empty for lists.
    pub name: String,
    /// The status code of the answer.
    pub code: u16,
    /// The client program.
    pub user_agent: String,
    /// What was sent, for writes of our own objects, of events and of workloads.
    pub request: Option<Value>,
    /// What was answered, for writes of our own objects, of events and of workloads.
    pub response: Option<Value>,
}

impl Event {
    /// Whether the request asked for a change, granted or not.
    pub fn is_write(&self) -> bool {
        WRITES.contains(&self.verb.as_str())
    }
}

/// Several events, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Events(Vec<Event>);

impl Events {
    /// Those that `user` sent.
    #[must_use]
    pub fn by(self, user: &str) -> Self {
        self.only(|event| event.user == user)
    }

    /// Those that asked for a change.
    #[must_use]
    pub fn writes(self) -> Self {
        self.only(Event::is_write)
    }

    /// Those about one kind, named by its plural.
    #[must_use]
    pub fn of(self, resource: &str) -> Self {
        self.only(|event| event.resource == resource)
    }

    /// Those for which `keep` is true.
    #[must_use]
    pub fn only(mut self, keep: impl FnMut(&Event) -> bool) -> Self {
        self.0.retain(keep);
        self
    }
}

impl From<Vec<Event>> for Events {
    fn from(events: Vec<Event>) -> Self {
        Self(events)
    }
}

impl Deref for Events {
    type Target = [Event];

    fn deref(&self) -> &[Event] {
        &self.0
    }
}

/// Why the audit log says nothing.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A line is no audit event.
    #[error("the audit log has a line that is no event: {line}")]
    Malformed {
        /// The line.
        line: String,
        /// Why it is not one.
        #[source]
        source: serde_json::Error,
    },
    /// A request stays without an answer.
    #[error("the API server did not answer the request {id} within {} s", ANSWERED_WITHIN.as_secs())]
    Unanswered {
        /// Its `auditID`.
        id: String,
    },
    /// The file cannot be read.
    #[error("failed to read the audit log {path}")]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// What stands behind the line in which a mark lies, from the byte before the mark on. The API server
/// may have been writing that line when the mark was made, so its event began before.
fn after_line(bytes: &[u8], mark: Mark) -> &[u8] {
    if mark == Mark(0) {
        return bytes;
    }
    let end = bytes.iter().position(|byte| *byte == b'\n');
    end.map_or(&[], |end| &bytes[end + 1..])
}

/// What the file says since a mark.
#[derive(Debug, Clone, Default)]
struct Log {
    /// The requests that arrived.
    asked: BTreeSet<String>,
    /// Those of them that are watches, which may stay open.
    watches: BTreeSet<String>,
    answered: Vec<(String, Event)>,
}

impl Log {
    /// What waits for its answer.
    fn open(&self) -> BTreeSet<String> {
        let answered: BTreeSet<&String> = self.answered.iter().map(|(id, _)| id).collect();
        let open = self.asked.difference(&self.watches);
        open.filter(|id| !answered.contains(id)).cloned().collect()
    }

    /// An answer to what was asked before the mark is none of them.
    fn events(self) -> Events {
        let asked = self.asked;
        let since = self
            .answered
            .into_iter()
            .filter(|(id, _)| asked.contains(id));
        Events(since.map(|(_, event)| event).collect())
    }
}

/// Parses complete lines; the API server may be writing the last one.
fn parse(text: &str) -> Result<Log, AuditError> {
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut log = Log::default();
    for line in complete.lines() {
        let record: Record =
            serde_json::from_str(line).map_err(|source| AuditError::Malformed {
                line: line.to_owned(),
                source,
            })?;
        if record.is_dry_run() {
            continue;
        }
        let id = record.audit_id.clone();
        if record.stage == "RequestReceived" {
            if record.verb == "watch" {
                log.watches.insert(id.clone());
            }
            log.asked.insert(id);
        } else if record.tells_outcome() {
            log.answered.push((id, record.into()));
        }
    }
    Ok(log)
}

/// An `audit.k8s.io/v1` event, as far as it is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(rename = "auditID")]
    audit_id: String,
    #[serde(default, rename = "requestURI")]
    request_uri: String,
    stage: String,
    verb: String,
    #[serde(default)]
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Status,
    request_object: Option<Value>,
    response_object: Option<Value>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl Record {
    /// A watch has two records, when it starts and when it ends; the first tells enough.
    fn tells_outcome(&self) -> bool {
        (self.stage == "ResponseStarted") == (self.verb == "watch")
    }

    /// Whether nothing changes, though the answer looks like an object that was changed.
    fn is_dry_run(&self) -> bool {
        self.request_uri.contains("dryRun=All")
    }
}

impl From<Record> for Event {
    fn from(record: Record) -> Self {
        Self {
            time: record.request_received_timestamp,
            answered: record.stage_timestamp,
            user: record.user.username,
            verb: record.verb,
            resource: record.object_ref.resource,
            subresource: record.object_ref.subresource,
            namespace: record.object_ref.namespace,
            name: record.object_ref.name,
            code: record.response_status.code,
            user_agent: record.user_agent,
            request: record.request_object,
            response: record.response_object,
        }
    }
}

const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use serde_json::json;

    use super::*;

    fn line(id: &str, stage: &str, verb: &str, user: &str) -> String {
        let event = json!({
            "auditID": id, "stage": stage, "verb": verb, "user": {"username": user},
            "objectRef": {"resource": "secrets", "namespace": "shop", "name": "a"},
            "responseStatus": {"code": 200}, "userAgent": "helm/4",
            "requestReceivedTimestamp": "2026-01-02T03:04:05.678901Z",
            "stageTimestamp": "2026-01-02T03:04:05.690123Z",
        });
        format!("{event}\n")
    }

    fn answered(id: &str, verb: &str, user: &str) -> String {
        line(id, "RequestReceived", verb, user) + &line(id, "ResponseComplete", verb, user)
    }

    fn events(text: &str) -> Events {
        parse(text).unwrap().events()
    }

    fn audit_of(text: &str) -> (tempfile::TempDir, Audit) {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("audit.log");
        std::fs::write(&log, text).unwrap();
        (directory, Audit::new(&log))
    }

    #[test]
    fn event_says_who_did_what() {
        let events = events(&answered("1", "create", "ann"));
        let event = &events[0];
        assert_eq!(
            (event.user.as_str(), event.verb.as_str(), event.code),
            ("ann", "create", 200)
        );
        assert_eq!(
            (event.namespace.as_str(), event.name.as_str()),
            ("shop", "a")
        );
        assert!(event.is_write());
        let took = event.answered.duration_since(event.time);
        assert_eq!(took.as_micros(), 11_222);
    }

    #[test]
    fn unfinished_last_line_is_left_for_later() {
        let text = answered("1", "get", "ann") + "{\"stage\":";
        assert_eq!(events(&text).len(), 1);
    }

    #[test]
    fn mark_within_a_line_is_a_mark_behind_it() {
        assert_eq!(after_line(b"\nnext\n", Mark(9)), b"next\n");
        assert_eq!(after_line(b"rest\nnext\n", Mark(9)), b"next\n");
        assert_eq!(after_line(b"rest", Mark(9)), b"");
        assert_eq!(after_line(b"first\n", Mark(0)), b"first\n");
    }

    #[test]
    fn watch_is_counted_once_when_it_starts() {
        let text = line("1", "RequestReceived", "watch", "a")
            + &line("1", "ResponseStarted", "watch", "a")
            + &line("1", "ResponseComplete", "watch", "a");
        assert_eq!(events(&text).len(), 1);
    }

    #[test]
    fn answer_to_what_was_asked_before_the_mark_is_not_since_it() {
        let before = line("1", "RequestReceived", "patch", "ann");
        let (_directory, audit) = audit_of(&before);
        let mark = audit.mark().unwrap();
        let late = line("1", "ResponseComplete", "patch", "ann") + &answered("2", "get", "ann");
        std::fs::write(&audit.log, before + &late).unwrap();
        let since = audit.since(mark).unwrap();
        assert_eq!((since.len(), since[0].verb.as_str()), (1, "get"));
    }

    #[test]
    fn answer_that_is_still_to_come_is_waited_for() {
        let asked = line("1", "RequestReceived", "patch", "ann");
        let (_directory, audit) = audit_of(&asked);
        let log = audit.log.clone();
        let server = thread::spawn(move || {
            thread::sleep(3 * POLL);
            let mut log = File::options().append(true).open(log).unwrap();
            log.write_all(line("1", "ResponseComplete", "patch", "ann").as_bytes())
                .unwrap();
        });
        assert_eq!(audit.since(Mark(0)).unwrap().len(), 1);
        server.join().unwrap();
    }

    #[test]
    fn watch_that_stays_open_is_not_waited_for() {
        let (_directory, audit) = audit_of(&line("1", "RequestReceived", "watch", "ann"));
        assert_eq!(audit.since(Mark(0)).unwrap().len(), 0);
    }

    #[test]
    fn dry_runs_are_left_out() {
        let wet = answered("1", "patch", "flux");
        let verb = r#""verb":"#;
        let uri =
            r#""requestURI":"/apis/apps/v1/namespaces/shop/deployments/web?dryRun=All","verb":"#;
        let dry = answered("2", "patch", "flux").replace(verb, uri);
        assert_eq!(events(&(wet + &dry)).len(), 1);
    }

    #[test]
    fn filters_narrow_by_user_and_kind_of_request() {
        let text = answered("1", "get", "ann")
            + &answered("2", "patch", "ann")
            + &answered("3", "patch", "bob");
        assert_eq!(events(&text).by("ann").writes().len(), 1);
    }

    #[test]
    fn line_that_is_no_event_is_an_error() {
        assert!(matches!(
            parse("nonsense\n"),
            Err(AuditError::Malformed { .. })
        ));
    }
}
