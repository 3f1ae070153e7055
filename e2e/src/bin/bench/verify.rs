//! P1 to P5: how fast a chart is verified and a record decoded, beside `helm verify`, `gpgv`, `openssl` and Helm's own
//! package. All in turns, each in one thread; ours by keys that were read before, as the operator has them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::gpg::{Algorithm, Keyring};
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::record;
use charttrust_e2e::tools::{self, Tool};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::noise;
use crate::numbers::{Load, Outcome, Ratio};
use crate::{Arguments, Result};

/// What is promised of each algorithm beside Helm's package (`docs/performance.md`).
const ALGORITHMS: [(Algorithm, &str, f64); 3] = [
    (Algorithm::Rsa4096, "RSA-4096", 2.0),
    (Algorithm::Rsa2048, "RSA-2048", 2.0),
    (Algorithm::Ed25519, "Ed25519", 1.3),
];
/// Sizes of records as JSON, and how many of 100 are as large.
const RECORDS: [(usize, f64); 3] = [(28 << 10, 70.0), (114 << 10, 25.0), (638 << 10, 5.0)];
/// For how long each is repeated in a round, in milliseconds, as the programs take it.
const LASTING: &str = "500";
/// Processes of each in a round.
const PROCESSES: u32 = 10;

/// What is run.
struct Programs {
    ours: PathBuf,
    go: PathBuf,
    helms: [(&'static str, Helm); 2],
    keyring: Keyring,
    dir: TempDir,
}

/// The rows.
pub(crate) async fn row(arguments: &Arguments) -> Result {
    let programs = Programs {
        ours: arguments.speed()?,
        go: tools::path(Tool::HelmFloor)?,
        helms: [
            ("helm 4", Helm::new(Version::V4)?),
            ("helm 3", Helm::new(Version::V3)?),
        ],
        keyring: Keyring::new()?,
        dir: tempfile::tempdir()?,
    };
    let load = Load::now();
    for (algorithm, name, goal) in ALGORITHMS {
        let chart = programs.chart(algorithm, name, 0).await?;
        programs.verify(arguments, (&chart, name), goal).await?;
    }
    programs.bytes(arguments).await?;
    programs.decode(arguments)?;
    println!("load from outside: {} % of the machine", load.outside());
    Ok(())
}

impl Programs {
    /// A chart signed by a key of this algorithm, with so much in it that cannot be packed.
    async fn chart(&self, algorithm: Algorithm, name: &str, padding: usize) -> Result<Chart> {
        let key = self.keyring.key(name, algorithm)?;
        let signer = self.keyring.signer(&key)?;
        let folder = tempfile::tempdir_in(self.dir.path())?.keep();
        let source = Source::new("speed", "1.0.0").with_bytes("files/padding", &noise(padding));
        let [(_, helm), _] = &self.helms;
        let chart = source.package(helm, &folder, Some(&signer)).await?;
        // Helm writes no checksum behind the signature. Where base64 fills nothing up, as of RSA-4096, gpgv takes the last
        // line for a part of it then, says `Good signature`, and ends with 2.
        let digest = ["--digest-algo", "SHA512"];
        chart.prove(
            &self
                .keyring
                .clearsign(&chart.statement()?, &[&key], &digest)?,
        )?;
        Ok(chart)
    }

    async fn verify(&self, arguments: &Arguments, chart: (&Chart, &str), goal: f64) -> Result {
        let (chart, name) = chart;
        let keys = self.keyring.public_keyring()?;
        let (archive, proof) = (chart.archive.clone(), chart.provenance());
        let verify = [
            "verify",
            LASTING,
            text(&archive)?,
            text(&proof)?,
            text(&keys)?,
        ];
        let (mut ours, mut go, mut gpgv) = (Vec::new(), Vec::new(), Vec::new());
        let mut helms = [Vec::new(), Vec::new()];
        for _ in 0..arguments.rounds {
            ours.push(nanoseconds(&self.ours, &verify)?);
            go.push(nanoseconds(&self.go, &verify)?);
            let gpg = ["--keyring", text(&keys)?, text(&proof)?];
            gpgv.push(each(|| run(Path::new("gpgv"), &gpg).map(drop))?);
            for ((_, helm), times) in self.helms.iter().zip(&mut helms) {
                let begun = Instant::now();
                for _ in 0..PROCESSES {
                    helm.run(&["verify", text(&archive)?, "--keyring", text(&keys)?])
                        .await?;
                }
                times.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(PROCESSES));
            }
        }
        println!("\nP1–P3 a chart of {} bytes by {name}", size(&archive)?);
        told("ours", &ours);
        for ((helm, _), times) in self.helms.iter().zip(&helms) {
            told(&format!("{helm} verify, a process"), times);
            ratio("P1", (times, &ours), 250.0);
        }
        told("gpgv, a process", &gpgv);
        ratio("P2", (&gpgv, &ours), 10.0);
        told("Helm's package, in process", &go);
        ratio("P3", (&go, &ours), goal);
        Ok(())
    }

    async fn bytes(&self, arguments: &Arguments) -> Result {
        let chart = self.chart(Algorithm::Rsa2048, "large", 4 << 20).await?;
        let keys = self.keyring.public_keyring()?;
        let (archive, proof) = (chart.archive.clone(), chart.provenance());
        let verify = [
            "verify",
            LASTING,
            text(&archive)?,
            text(&proof)?,
            text(&keys)?,
        ];
        let bytes = size(&archive)?;
        println!("\nP4 a chart of {bytes} bytes, in bytes a second");
        let (mut ours, mut openssl) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            ours.push(bytes * 1e9 / nanoseconds(&self.ours, &verify)?);
            match sha256() {
                Ok(speed) => openssl.push(speed),
                Err(error) => {
                    println!("  not run: openssl speed: {error}");
                    return Ok(());
                }
            }
        }
        ratio("P4", (&ours, &openssl), 0.8);
        Ok(())
    }

    fn decode(&self, arguments: &Arguments) -> Result {
        println!("\nP5 records decoded");
        let mut sums = vec![[0.0; 2]; arguments.rounds];
        for (bytes, share) in RECORDS {
            let payload = self.dir.path().join(bytes.to_string());
            let record = made(bytes);
            std::fs::write(&payload, record::packed(&record)?)?;
            let decode = ["decode", LASTING, text(&payload)?];
            let mut times = [Vec::new(), Vec::new()];
            for sum in &mut sums {
                let both = [&self.ours, &self.go].into_iter().zip(&mut times);
                for ((program, times), sum) in both.zip(sum) {
                    let took = nanoseconds(program, &decode)?;
                    *sum += share * took;
                    times.push(took);
                }
            }
            let json = record.to_string().len();
            told(&format!("ours, {json} bytes of JSON"), &times[0]);
            told(&format!("Helm's package, {json} bytes"), &times[1]);
        }
        let of = |index: usize| sums.iter().map(|sum| sum[index]).collect::<Vec<_>>();
        ratio("P5", (&of(1), &of(0)), 2.5);
        Ok(())
    }
}

/// A record with a text of this size in it, as Helm writes it: templates in base64, the manifest as it is.
fn made(bytes: usize) -> Value {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let manifest = |number: usize| {
        format!(
            "---\n# Source: web/templates/part-{number}.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \
             part-{number}\n  labels:\n    app.kubernetes.io/name: web\ndata:\n  key-{number}: {}\n",
            number * 7919
        )
    };
    // A part stands twice in the record, once a third longer.
    let count = bytes * 3 / 7 / manifest(1000).len();
    let parts: Vec<_> = (0..count).map(manifest).collect();
    let templates = parts.iter().enumerate().map(|(number, part)| {
        let data = BASE64_STANDARD.encode(part);
        json!({"name": format!("templates/part-{number}.yaml"), "data": data})
    });
    json!({
        "name": "web", "namespace": "shop", "version": 1,
        "info": {"status": "deployed", "first_deployed": "2026-11-30T12:00:00Z",
            "last_deployed": "2026-11-30T12:00:00Z", "description": "Install complete"},
        "chart": {
            "metadata": {"name": "web", "version": "1.0.0", "apiVersion": "v2"}, "lock": null,
            "templates": templates.collect::<Vec<_>>(), "values": {"replicas": 1}, "schema": null, "files": [],
        },
        "config": {"replicas": 2}, "manifest": parts.concat(),
    })
}

/// What a program of a bench prints.
pub(crate) fn nanoseconds(program: &Path, arguments: &[&str]) -> Result<f64> {
    Ok(run(program, arguments)?.trim().parse()?)
}

pub(crate) fn run(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{} {arguments:?}: {told}", program.display()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Nanoseconds of one process of several.
pub(crate) fn each(process: impl Fn() -> Result) -> Result<f64> {
    let begun = Instant::now();
    for _ in 0..PROCESSES {
        process()?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e9 / f64::from(PROCESSES))
}

/// How many bytes a second openssl hashes, in pieces of a mebibyte.
fn sha256() -> Result<f64> {
    let speed = [
        "speed", "-seconds", "1", "-bytes", "1048576", "-evp", "sha256",
    ];
    let printed = run(Path::new("openssl"), &speed)?;
    let line = printed
        .lines()
        .find(|line| line.to_lowercase().starts_with("sha256"));
    let number = line.and_then(|line| line.split_whitespace().last()?.strip_suffix('k'));
    let thousands: f64 = number.ok_or("it says no speed")?.parse()?;
    Ok(thousands * 1000.0)
}

pub(crate) fn told(what: &str, times: &[f64]) {
    let ones = times.iter().map(|time| (*time, 1000.0));
    println!("  {what:<32} {:.0} µs", Ratio::of(ones).median());
}

fn ratio(id: &str, (ours, theirs): (&[f64], &[f64]), goal: f64) {
    let rounds = ours.iter().copied().zip(theirs.iter().copied());
    let ratio = Ratio::of(rounds);
    let outcome = Outcome::at_least(goal, ratio.median());
    println!("    {id} {ratio} (goal: at least {goal}{outcome})");
}

fn size(path: &Path) -> Result<f64> {
    let bytes = std::fs::metadata(path)?.len();
    Ok(f64::from(u32::try_from(bytes)?))
}

pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| "a path is no text".into())
}
