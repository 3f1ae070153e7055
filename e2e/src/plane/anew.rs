//! What happens to the processes of a plane: they are started anew, go back to an older state, get room again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Plane, PlaneError, START_DEADLINE, client, spawn, until_ready};
use crate::tools::Tool;

/// In the order in which they are started.
const ETCD: usize = 0;
const API_SERVER: usize = 1;
const CONTROLLERS: usize = 2;

/// How long etcd may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

impl Plane {
    /// Kills the API server, starts it again, and returns when it answers.
    pub async fn restart_api_server(&mut self) -> Result<(), PlaneError> {
        self.processes[API_SERVER].kill();
        self.begin(API_SERVER)?;
        self.answers().await
    }

    /// Kills etcd, starts it again, and returns when the API server is ready with it.
    pub async fn restart_etcd(&mut self) -> Result<(), PlaneError> {
        self.processes[ETCD].kill();
        self.begin(ETCD)?;
        self.answers().await
    }

    /// Keeps a copy of what etcd holds. Everything is started anew for that.
    pub async fn keep(&mut self) -> Result<(), PlaneError> {
        self.end();
        copy(&self.setup.path("etcd"), &self.setup.path(KEPT))?;
        self.begin_all().await
    }

    /// Puts back what [`Plane::keep`] has kept, as an administrator does with a snapshot. Everything is started
    /// anew for that.
    pub async fn go_back(&mut self) -> Result<(), PlaneError> {
        self.end();
        std::fs::remove_dir_all(self.setup.path("etcd"))?;
        copy(&self.setup.path(KEPT), &self.setup.path("etcd"))?;
        self.begin_all().await
    }

    /// Gives the room back that deleted objects take, and has etcd take writes again.
    pub async fn make_room(&self) -> Result<(), PlaneError> {
        let key = STANDARD.encode("x");
        let found = self.ask_etcd("kv/range", json!({"key": key})).await?;
        let revision = found["header"]["revision"].clone();
        let compact = json!({"revision": revision, "physical": true});
        self.ask_etcd("kv/compaction", compact).await?;
        self.ask_etcd("maintenance/defragment", json!({})).await?;
        // The alarm is of a member, and of no other it can be taken back.
        let member = found["header"]["member_id"].clone();
        let disarm = json!({"action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": member});
        self.ask_etcd("maintenance/alarm", disarm).await?;
        Ok(())
    }

    /// Writes values straight into etcd, by their keys: at most 128 at a time, which is what it takes.
    pub async fn put(&self, values: BTreeMap<String, Vec<u8>>) -> Result<(), PlaneError> {
        let put = |(key, value): (String, Vec<u8>)| {
            let (key, value) = (STANDARD.encode(key), STANDARD.encode(value));
            json!({"requestPut": {"key": key, "value": value}})
        };
        let all: Vec<_> = values.into_iter().map(put).collect();
        self.ask_etcd("kv/txn", json!({"success": all})).await?;
        Ok(())
    }

    async fn ask_etcd(&self, what: &str, question: Value) -> Result<Value, PlaneError> {
        let url = format!("http://127.0.0.1:{}/v3/{what}", self.setup.etcd_port);
        let client = reqwest::Client::builder().no_proxy().build();
        let asked = client?.post(url).body(question.to_string());
        let answer = asked.send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?).unwrap_or_default())
    }

    fn end(&mut self) {
        self.processes[CONTROLLERS].kill();
        self.processes[API_SERVER].kill();
        // It writes down what it holds.
        self.processes[ETCD].terminate(GRACE);
    }

    async fn begin_all(&mut self) -> Result<(), PlaneError> {
        self.begin(ETCD)?;
        self.begin(API_SERVER)?;
        self.answers().await?;
        self.begin(CONTROLLERS)
    }

    fn begin(&mut self, which: usize) -> Result<(), PlaneError> {
        let setup = &self.setup;
        let (tool, flags) = match which {
            ETCD => (Tool::Etcd, setup.etcd()),
            API_SERVER => (Tool::KubeApiserver, setup.apiserver()),
            _ => (Tool::KubeControllerManager, setup.controllers()),
        };
        self.processes[which] = spawn(tool, flags, &setup.dir)?;
        Ok(())
    }

    async fn answers(&mut self) -> Result<(), PlaneError> {
        let client = client(&self.setup.kubeconfigs()?).await?;
        let running = &mut self.processes[..=API_SERVER];
        until_ready(&client, running, Instant::now() + START_DEADLINE).await
    }
}

/// The copy of the folder of etcd.
const KEPT: &str = "etcd-kept";

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
