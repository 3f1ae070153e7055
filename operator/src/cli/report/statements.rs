//! `charttrust report vsa` and `charttrust report key`: the statements that the operator has signed, for programs of
//! others, and what checks the signatures. Reads only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::kept;
use crate::api::ReleaseTrust;
use crate::cli::cluster::{Connection, Failure, chosen};
use crate::cli::leading::{self, Operator};
use crate::cli::screen::{plain, say, tell};
use crate::cli::{TRUSTED, UNKNOWN, status};
use crate::controllers::statements::{
    Envelope, KEY, KEY_ENTRY, LABEL, Statement, namespace_of, of_pem,
};
use crate::inventory::ReleaseId;

/// Prints a signed Verification Summary Attestation of SLSA for each release, each in a line.
///
/// The operator signs them if it runs with --vsa. Printed are those that carry its signature and say what the verdict
/// is now.
///
/// Exit code 0: none of these is missing; 2: there is no key, or the file cannot be written; 3: one is missing, or
/// nobody keeps the verdicts up to date.
#[derive(Args, Clone, Debug)]
pub struct Vsa {
    /// Where they are written; default: standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
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

/// Prints the public key by which others check `report vsa`, in PEM.
///
/// Exit code 0: it is printed; 2: there is none; 3: the cluster does not answer, or does not let you read it.
#[derive(Args, Clone, Debug)]
pub struct Key {
    /// Where the cluster is.
    #[command(flatten)]
    pub connection: Connection,
    /// Where the operator is.
    #[command(flatten)]
    pub operator: Operator,
}

/// Runs `report key`, and gives the exit code.
///
/// # Errors
/// If the cluster cannot be asked, or there is no key.
pub(super) async fn key(arguments: &Key) -> Result<u8, Failure> {
    let client = arguments.connection.client().await?;
    let (text, _) = published(&client, &arguments.operator).await?;
    say(&text)?;
    Ok(TRUSTED)
}

/// Runs `report vsa`, and gives the exit code.
///
/// # Errors
/// If the cluster cannot be asked, there is no key, or the file cannot be written.
pub(super) async fn vsa(arguments: &Vsa) -> Result<u8, Failure> {
    let client = arguments.connection.client().await?;
    let operator = &arguments.operator;
    let trusts = status::listed(&client, arguments.namespace.as_deref()).await?;
    let (_, key) = published(&client, operator).await?;
    let mut found = Found::default();
    let entries = entries(&client, operator).await?;
    for trust in &trusts {
        found.take(trust, &entries, &key);
    }
    match &arguments.output {
        Some(path) => kept(path, &found.text)?,
        None => say(&found.text)?,
    }
    found.tell_of_the_rest();
    let code = leading::checked(&client, operator, TRUSTED).await;
    let is_whole = found.missing.is_empty();
    Ok(if is_whole { code } else { UNKNOWN })
}

/// The key in PEM, and as signatures are checked by it.
async fn published(client: &Client, operator: &Operator) -> Result<(String, Vec<u8>), Failure> {
    let namespace = &operator.operator_namespace;
    let map = map(client, operator, KEY).await?.ok_or_else(|| {
        Failure::Asked(format!(
            "there is no ConfigMap {KEY} in namespace {namespace}: the operator signs statements only with vsa.enabled=true \
             of its chart (--vsa); if it runs elsewhere, name its namespace with --operator-namespace"
        ))
    })?;
    let text = map.data.unwrap_or_default().remove(KEY_ENTRY);
    let read = text.and_then(|text| Some((of_pem(&text)?, text)));
    let (key, text) = read.ok_or_else(|| {
        Failure::Asked(format!(
            "ConfigMap {KEY} in namespace {namespace} has no public key in {KEY_ENTRY}: delete it, and the operator writes \
             it anew"
        ))
    })?;
    Ok((text, key))
}

/// The statements that are there, by namespaces and names of releases.
type Entries = BTreeMap<(String, String), String>;

async fn entries(client: &Client, operator: &Operator) -> Result<Entries, Failure> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), &operator.operator_namespace);
    let labels = ListParams::default().labels(&format!("{}={}", LABEL.0, LABEL.1));
    let found = chosen(&api, labels, "ConfigMaps with statements").await?;
    let of = |map: ConfigMap| {
        let namespace = namespace_of(&map.name_any()).map(str::to_owned);
        let entries = map.data.unwrap_or_default().into_iter();
        entries.filter_map(move |(name, text)| Some(((namespace.clone()?, name), text)))
    };
    Ok(found.into_iter().flat_map(of).collect())
}

async fn map(
    client: &Client,
    operator: &Operator,
    name: &str,
) -> Result<Option<ConfigMap>, Failure> {
    let namespace = &operator.operator_namespace;
    let found = Api::<ConfigMap>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await;
    found.map_err(|error| match error {
        // The roles of the chart are about its own kinds.
        kube::Error::Api(status) if status.is_forbidden() => Failure::Refused(
            format!("read ConfigMap {name}"),
            format!(
                "{}; ask for the role view in namespace {namespace}",
                status.message
            ),
        ),
        error => Failure::api(format!("read ConfigMap {name}"))(error),
    })
}

/// What there is to print, and what is not printed.
#[derive(Debug, Default)]
struct Found {
    text: String,
    /// Releases of which there should be a statement that holds.
    missing: Vec<String>,
    /// How many there are of which nothing can be stated.
    unstated: usize,
}

impl Found {
    fn take(&mut self, trust: &ReleaseTrust, entries: &Entries, key: &[u8]) {
        let id = ReleaseId {
            namespace: trust.namespace().unwrap_or_default(),
            name: trust.name_any(),
        };
        let status = trust.status.as_ref();
        let wanted = status.and_then(|status| Statement::of(&id, status, Timestamp::UNIX_EPOCH));
        let Some(wanted) = wanted else {
            self.unstated += 1;
            return;
        };
        let release = format!("{}/{}", id.namespace, id.name);
        let there = entries.get(&(id.namespace, id.name));
        let envelope = there.and_then(|text| serde_json::from_str::<Envelope>(text).ok());
        let envelope = envelope.and_then(|envelope| envelope.of_key(key));
        let holds = |one: &Envelope| {
            let said = one.opened(key);
            said.is_some_and(|said| said.says_the_same(&wanted))
        };
        let line = envelope
            .filter(holds)
            .and_then(|one| serde_json::to_string(&one).ok());
        match line {
            Some(line) => self.text.extend([line.as_str(), "\n"]),
            None => self.missing.push(release),
        }
    }

    /// Says what is not among what was printed.
    fn tell_of_the_rest(&self) {
        for release in self.missing.iter().take(MOST_TOLD) {
            let release = plain(release);
            tell(&format!(
                "there is no statement about {release} that carries the operator's signature and says what its \
                 ReleaseTrust says: look again in a few seconds, then into the operator's log\n"
            ));
        }
        if let Some(more) = self
            .missing
            .len()
            .checked_sub(MOST_TOLD)
            .filter(|more| *more > 0)
        {
            tell(&format!("so it is with {more} more\n"));
        }
        if self.unstated > 0 {
            tell(&format!(
                "nothing is stated of {} of the releases: their verdict is neither yes nor no, or nobody can say which \
                 archive they are made of\n",
                self.unstated
            ));
        }
    }
}

/// So many missing ones are named.
const MOST_TOLD: usize = 10;
