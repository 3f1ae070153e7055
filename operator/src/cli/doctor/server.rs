//! The API server: its version, its clock beside ours, and the policies of admission that hold the operator.

use axum::http::Request;
use axum::http::header::DATE;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::client::Body;
use kube::{Api, Client, ResourceExt};

use super::report::{Line, State};
use super::{Containment, refused};
use crate::cli::cluster::{Failure, all};
use crate::clock;

/// What the API server says of itself.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// Minor version; why it is not known.
    pub(super) minor: Result<u32, String>,
    /// The version for people.
    pub(super) version: String,
    /// Its clock, and ours before and after it was asked.
    pub(super) clock: Clocks,
}

/// Two clocks at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// The API server's, to the second.
    pub(super) server: Option<Timestamp>,
    /// Ours before it was asked.
    pub(super) before: Timestamp,
    /// Ours when it had answered.
    pub(super) after: Timestamp,
}

/// Asks the API server who it is: every user may.
///
/// # Errors
/// If it gives no answer at all.
pub(super) async fn ask(client: &Client) -> Result<Server, Failure> {
    let request = Request::get("/version").body(Body::empty());
    let request = request.map_err(|error| Failure::NoCluster(error.into()))?;
    let before = clock::now();
    let answer = client.send(request).await;
    let answer = answer.map_err(Failure::api("ask the API server for its version"))?;
    let after = clock::now();
    let date = answer.headers().get(DATE);
    let server = date.and_then(|date| instant(date.to_str().ok()?));
    let status = answer.status();
    let body = answer.into_body().collect_bytes().await;
    let info = body.map_err(Failure::api("read the version of the API server"))?;
    let info = serde_json::from_slice::<Info>(&info);
    let (minor, version) = match info {
        Ok(info) if status.is_success() => (minor(&info.minor), info.git_version),
        Ok(_) | Err(_) => (Err(format!("it answered {status}")), String::new()),
    };
    let clock = Clocks {
        server,
        before,
        after,
    };
    Ok(Server {
        minor,
        version,
        clock,
    })
}

/// A date as HTTP writes it.
fn instant(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(zoned.timestamp())
}

/// Clouds write `30+`.
fn minor(text: &str) -> Result<u32, String> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits
        .parse()
        .map_err(|_| format!("it calls its minor version {text:?}"))
}

/// The oldest version of Kubernetes that the operator runs with.
const OLDEST: u32 = 29;
/// The oldest version that has policies of admission (`ValidatingAdmissionPolicy`).
pub(super) const FENCED: u32 = 30;

/// What is said of the version.
pub(super) fn version(server: &Server) -> Line {
    const CHECK: &str = "server";
    match &server.minor {
        Ok(minor) if *minor >= OLDEST => Line::ok(CHECK, format!("Kubernetes {}", server.version)),
        Ok(_) => Line::new(
            CHECK,
            State::Failed,
            format!(
                "Kubernetes {} is older than 1.{OLDEST}, which the operator needs",
                server.version
            ),
            "upgrade the cluster",
        ),
        Err(why) => Line::unknown(CHECK, "the version of the API server", why),
    }
}

impl Clocks {
    /// By how many seconds a clock is ahead of the API server's, which tells whole seconds: what may come of
    /// that, or of the time that the answer took, is no difference.
    fn ahead(&self) -> Option<i64> {
        let server = self.server?.as_second();
        let (before, after) = (self.before.as_second(), self.after.as_second());
        Some(if before > server + 1 {
            before - server - 1
        } else if after < server {
            after - server
        } else {
            0
        })
    }

    /// The time of the API server when it answered.
    pub(super) fn reference(&self) -> Timestamp {
        self.server.unwrap_or(self.after)
    }
}

/// What is said of our own clock.
pub(super) fn clock(clocks: &Clocks) -> Line {
    const CHECK: &str = "clock";
    match clocks.ahead() {
        None => Line::new(
            CHECK,
            State::Unknown,
            "not checked whether this machine's clock is right: the API server tells no time",
            "look at the clocks of this machine and of the control plane",
        ),
        Some(ahead) => off(CHECK, "this machine's clock", ahead),
    }
}

/// What is said of a clock that is so many seconds ahead of the API server's.
pub(super) fn off(check: &'static str, whose: &str, ahead: i64) -> Line {
    let (amount, side) = match ahead {
        0.. => (ahead, "ahead of"),
        _ => (ahead.saturating_neg(), "behind"),
    };
    if amount <= UNNOTICED {
        return Line::ok(check, format!("{whose} and the API server's agree"));
    }
    let state = if amount > BEARABLE {
        State::Failed
    } else {
        State::Warning
    };
    Line::new(
        check,
        state,
        format!("{whose} is {amount} s {side} the API server's"),
        "have the clocks set by NTP: dates of signatures, keys and exceptions are judged by them",
    )
}

/// A difference in seconds that nobody notices: an answer may take as long.
pub(super) const UNNOTICED: i64 = 10;
/// A difference in seconds beyond which verdicts change: the engine bears as much in signatures.
const BEARABLE: i64 = charttrust_verify::openpgp::limits::CLOCK_SKEW_SECONDS;

/// The policies of admission that hold the operator, by what their names end with: those of the chart.
const PARTS: [&str; 3] = ["-fence-changes", "-fence-keeps", "-fence-makes"];

/// Which parts of the fence are in force for the operator's `ServiceAccount`.
pub(super) async fn fence(client: &Client, account: &str) -> Result<Vec<&'static str>, String> {
    let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone());
    let policies = all(&policies, "ValidatingAdmissionPolicies").await;
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
    let bindings = all(&bindings, "ValidatingAdmissionPolicyBindings").await;
    let policies = policies.map_err(|failure| refused(&failure))?;
    let bindings = bindings.map_err(|failure| refused(&failure))?;
    Ok(in_force(&policies, &bindings, account))
}

fn in_force(
    policies: &[ValidatingAdmissionPolicy],
    bindings: &[ValidatingAdmissionPolicyBinding],
    account: &str,
) -> Vec<&'static str> {
    let holds = |policy: &&ValidatingAdmissionPolicy| {
        let spec = policy.spec.as_ref();
        let conditions = spec.and_then(|spec| spec.match_conditions.as_ref());
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|one| one.expression.contains(&format!("'{account}'")))
    };
    let is_bound = |policy: &&ValidatingAdmissionPolicy| {
        let name = policy.name_any();
        bindings.iter().any(|binding| {
            let spec = binding.spec.as_ref();
            let denies = |actions: &Vec<String>| actions.iter().any(|action| action == "Deny");
            spec.is_some_and(|spec| {
                spec.policy_name.as_ref() == Some(&name)
                    && spec.validation_actions.as_ref().is_some_and(denies)
            })
        })
    };
    let names = policies.iter().filter(holds).filter(is_bound);
    let names: Vec<_> = names.map(ResourceExt::name_any).collect();
    let mut parts = PARTS.to_vec();
    parts.retain(|part| names.iter().any(|name| name.ends_with(part)));
    parts
}

/// What is said of the fence: an operator that contains should be held by one.
pub(super) fn fenced(
    server: &Server,
    containment: Containment,
    parts: &Result<Vec<&'static str>, String>,
) -> Line {
    const CHECK: &str = "fence";
    let is_old = server.minor.as_ref().is_ok_and(|minor| *minor < FENCED);
    let risk = "whoever steals the operator's token may change any workload";
    match (containment, is_old, parts) {
        (Containment::Off, true, _) => Line::ok(
            CHECK,
            format!(
                "not needed: the operator contains nothing; this server is too old for it (1.{FENCED})"
            ),
        ),
        (Containment::Off, false, _) => {
            Line::ok(CHECK, "not needed: the operator contains nothing")
        }
        (Containment::Unknown, _, _) => Line::new(
            CHECK,
            State::Unknown,
            "not checked: neither its Lease nor a Deployment tells whether the operator contains",
            "see the lines about operator and leader",
        ),
        (Containment::On, true, _) => Line::new(
            CHECK,
            State::Warning,
            format!(
                "Kubernetes {} is too old for it, which needs 1.{FENCED}: {risk}",
                server.version
            ),
            "upgrade the cluster, or set quarantine.enabled=false",
        ),
        (Containment::On, false, Ok(parts)) if parts.len() == PARTS.len() => Line::ok(
            CHECK,
            "the API server holds the operator to what it may write",
        ),
        (Containment::On, false, Ok(parts)) => {
            let missing = PARTS.iter().filter(|part| !parts.contains(part));
            let missing: Vec<_> = missing.map(|part| part.trim_start_matches('-')).collect();
            Line::new(
                CHECK,
                State::Warning,
                format!("{} not in force: {risk}", missing.join(", ")),
                "helm upgrade with fence.enabled=true, or kubectl apply -f operator/install/quarantine",
            )
        }
        (Containment::On, false, Err(why)) => Line::unknown(CHECK, "the operator's fence", why),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(minor: Result<u32, &str>) -> Server {
        let at = "2026-11-29T11:00:00Z".parse().unwrap();
        Server {
            version: format!("v1.{}.3", minor.unwrap_or_default()),
            minor: minor.map_err(str::to_owned),
            clock: Clocks {
                server: Some(at),
                before: at,
                after: at,
            },
        }
    }

    #[test]
    fn an_old_server_is_a_fault() {
        for (minor, state) in [
            (Ok(28), State::Failed),
            (Ok(29), State::Ok),
            (Ok(36), State::Ok),
            (Err("it answered 403"), State::Unknown),
        ] {
            assert_eq!(version(&server(minor)).state, state, "{minor:?}");
        }
        assert_eq!(minor("30+"), Ok(30));
        assert!(minor("x").is_err());
    }

    #[test]
    fn the_difference_of_clocks_is_what_the_answer_cannot_explain() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        for (server, before, after, ahead) in [
            (0, 0, 0, 0),
            // The server tells whole seconds, and may have written them at any time in between.
            (0, 1, 1, 0),
            (5, 0, 9, 0),
            (0, 75, 76, 74),
            (0, -75, -74, -74),
        ] {
            let clocks = Clocks {
                server: Some(at(server)),
                before: at(before),
                after: at(after),
            };
            assert_eq!(clocks.ahead(), Some(ahead), "{clocks:?}");
        }
    }

    #[test]
    fn a_clock_is_told_at_its_limits() {
        for (ahead, state, part) in [
            (0, State::Ok, "agree"),
            (10, State::Ok, "agree"),
            (11, State::Warning, "11 s ahead of"),
            (-11, State::Warning, "11 s behind"),
            (300, State::Warning, "300 s ahead of"),
            (-301, State::Failed, "301 s behind"),
        ] {
            let line = off("clock", "a clock", ahead);
            assert_eq!(line.state, state, "{line:?}");
            assert!(line.message.contains(part), "{line:?}");
        }
        let silent = Clocks {
            server: None,
            before: Timestamp::UNIX_EPOCH,
            after: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(clock(&silent).state, State::Unknown);
        let date = instant("Sun, 29 Nov 2026 11:21:24 GMT").unwrap();
        assert_eq!(date.to_string(), "2026-11-29T11:21:24Z");
    }

    fn policy(name: &str, account: &str) -> ValidatingAdmissionPolicy {
        let expression = format!("request.userInfo.username == '{account}'");
        serde_json::from_value(json!({"metadata": {"name": name},
            "spec": {"matchConditions": [{"name": "the-operator", "expression": expression}]}}))
        .unwrap()
    }

    fn binding(name: &str, action: &str) -> ValidatingAdmissionPolicyBinding {
        serde_json::from_value(json!({"metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": [action]}}))
        .unwrap()
    }

    #[test]
    fn a_part_of_the_fence_counts_if_it_is_bound_and_about_this_operator() {
        const US: &str = "system:serviceaccount:trust:ct";
        let of = |name: &str, account: &str, action: &str| {
            in_force(&[policy(name, account)], &[binding(name, action)], US)
        };
        assert_eq!(of("ct-fence-makes", US, "Deny"), ["-fence-makes"]);
        assert!(of("ct-fence-makes", US, "Audit").is_empty());
        assert!(of("ct-fence-makes", "system:serviceaccount:trust:ct2", "Deny").is_empty());
        assert!(of("other", US, "Deny").is_empty());
        assert!(in_force(&[policy("ct-fence-makes", US)], &[], US).is_empty());
    }

    /// The names are those of the chart.
    #[test]
    fn the_parts_are_those_of_the_chart() {
        let manifest = include_str!("../../../install/quarantine/fence.yaml");
        let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(manifest).unwrap();
        let (mut policies, mut bindings) = (Vec::new(), Vec::new());
        for document in documents {
            match document["kind"].as_str() {
                Some("ValidatingAdmissionPolicy") => {
                    policies.push(serde_json::from_value(document).unwrap());
                }
                _ => bindings.push(serde_json::from_value(document).unwrap()),
            }
        }
        let account = "system:serviceaccount:charttrust-system:charttrust";
        assert_eq!(policies.len(), PARTS.len());
        assert_eq!(in_force(&policies, &bindings, account), PARTS);
    }

    #[test]
    fn an_operator_that_contains_should_be_held() {
        use Containment::{Off, On, Unknown};
        let whole = || Ok(PARTS.to_vec());
        for (minor, containment, parts, state, part) in [
            (36, On, whole(), State::Ok, "holds the operator"),
            (
                36,
                On,
                Ok(vec![PARTS[0]]),
                State::Warning,
                "fence-keeps, fence-makes not in force",
            ),
            (29, On, whole(), State::Warning, "too old"),
            (29, Off, whole(), State::Ok, "too old"),
            (
                36,
                Off,
                Err("forbidden".to_owned()),
                State::Ok,
                "not needed",
            ),
            (
                36,
                On,
                Err("forbidden".to_owned()),
                State::Unknown,
                "forbidden",
            ),
            (36, Unknown, whole(), State::Unknown, "neither its Lease"),
        ] {
            let line = fenced(&server(Ok(minor)), containment, &parts);
            assert_eq!(line.state, state, "{line:?}");
            assert!(line.message.contains(part), "{line:?}");
        }
    }
}
