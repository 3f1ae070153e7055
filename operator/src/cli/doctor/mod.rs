//! `charttrust doctor`: whether the installation is sound, and what to do where it is not. Reads only, and
//! asks the API server about rights.

mod declared;
mod discovery;
mod door;
mod installation;
mod kinds;
mod ranges;
mod report;
mod rights;
mod server;

use clap::Args;
use kube::Client;

use self::declared::Declared;
use self::door::Door;
use self::installation::Looks;
use self::report::{Line, Report};
use self::server::Server;
use super::asking::Asking;
use super::cluster::{Failure, chain};
use super::leading::Operator;
use super::screen::say;

/// Checks the installation: API server, clocks, definitions, operator, rights, keys, policies and sources.
///
/// Exit code 0: no fault was found; 1: there is one; 2: no cluster is configured; 3: something could not be
/// checked, and nothing worse was found.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// How to ask, and how to print.
    #[command(flatten)]
    pub asking: Asking,
}

/// Whether the operator changes anything of others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Containment {
    Off,
    On,
    Unknown,
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the cluster gives no answer at all.
pub(super) async fn run(arguments: &Doctor) -> Result<u8, Failure> {
    let client = arguments.asking.connection.client().await?;
    let server = server::ask(&client).await?;
    let lines = examine(&client, server, &arguments.asking.operator).await;
    let report = Report::new(lines);
    say(&match arguments.asking.output {
        Some(format) => format.write(&report)?,
        None => report.text(),
    })?;
    Ok(report.code())
}

async fn examine(client: &Client, server: Server, operator: &Operator) -> Vec<Line> {
    let deployments = installation::deployments(client, operator).await;
    let (looks, server) = look(client, server, operator).await;
    let lease = looks.first.own.as_ref().ok().and_then(Option::as_ref);
    let containment = installation::containment(lease, &deployments);
    let account = deployments.as_ref().ok().and_then(|all| all.first());
    let account = account.map(installation::account);
    let mut lines = vec![server::version(&server), server::clock(&server.clock)];
    lines.extend(kinds::told(&kinds::look(client).await));
    lines.push(installation::running(&deployments, &looks, operator));
    lines.extend(installation::leading(&looks, &deployments, operator));
    lines.push(installation::others(&looks));
    let declared = Declared::read(client).await;
    if let Some(ranges) = ranges::look(client, operator, &looks).await {
        let replicas = installation::wanted(&deployments);
        lines.extend(ranges.told((replicas, operator), declared.policies()));
    }
    let discovering = installation::discovering(lease, &deployments);
    lines.extend(discovery::told(
        &discovery::look(client, &discovering).await,
    ));
    let needed = rights::needed(&operator.operator_namespace, containment, &discovering);
    let operators = match (&account, &deployments) {
        (Some(account), _) => Some(rights::of_operator(client, account, needed).await),
        (None, Err(why)) => Some(Err(why.clone())),
        (None, Ok(_)) => None,
    };
    lines.push(match &operators {
        Some(answers) => rights::told_operators(answers),
        None => installation::by_hand(
            "its rights",
            "with the rights of who runs it",
            &looks,
            operator,
        ),
    });
    let parts = match &account {
        Some(account) => server::fence(client, account).await,
        None => Err("no Deployment tells under which ServiceAccount it runs".to_owned()),
    };
    lines.push(server::fenced(&server, containment, &parts));
    lines.extend(Door::read(client, operator).await.told(&server));
    lines.push(rights::told_own(&rights::own(client).await));
    lines.extend(declared.told());
    lines
}

/// Looks at the Leases, a second time if the first look leaves open who leads; and at the time.
async fn look(client: &Client, server: Server, operator: &Operator) -> (Looks, Server) {
    let first = installation::leases(client, operator).await;
    let looks = |first, second, now| Looks { first, second, now };
    let now = server.clock.reference();
    if !first.are_unclear(now) {
        return (looks(first, None, now), server);
    }
    installation::renewal().await;
    let again = server::ask(client).await;
    let now = again.map_or(now, |again| again.clock.reference());
    let second = installation::leases(client, operator).await;
    (looks(first, Some(second), now), server)
}

/// What the API server said, without advice that is about reading verdicts.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.trim().to_owned(),
        error => chain(error),
    }
}

/// The same of what could not be listed.
fn refused(failure: &Failure) -> String {
    chain(failure)
}
