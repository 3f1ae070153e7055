//! The page about publishing over HTTP, typed as it stands there: each habit of publishers ends in its verdict.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::gpg::{Algorithm, Key, Keyring};
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::binary;
use charttrust_e2e::page::{Desk, steps};
use charttrust_e2e::repository::{Fault, Repository};
use charttrust_e2e::stage::{Power, Setting, Stage, Story, path};
use charttrust_verify::chart;
use charttrust_verify::limits::ArchiveLimits;

const PAGE: &str = "docs/publishing-http.md";
/// The fingerprint of the page.
const FINGERPRINT: &str = "272855BE2326D757EEFF53968847F310E4F26D44";
/// Where GitHub serves what a release holds.
const DOWNLOADS: &str = "/example/charts/releases/download";

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_publish_ends_in_its_verdict() {
    let binary = binary();
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    let setting = Setting {
        more: Vec::new(),
        ..Setting::new(binary.clone(), Power::Reports)
    };
    let stage = Stage::set(cluster, setting).await;
    let _shop = Story::named(stage.cluster, "shop", Version::V4).await;
    let ring = Keyring::new().unwrap();
    let key = ring.key("platform-2026", Algorithm::Ed25519).unwrap();
    // Who else has ever signed, for the file of keys.
    ring.key("somebody-2019", Algorithm::Ed25519).unwrap();
    let world = World::new();
    let museum = museum(world.museum.dir()).await;

    // What an address of the page is here; the first that fits counts.
    let allowed = "--allow-host 127.0.0.1";
    let desk = Desk::new(stage.cluster.kubeconfig(), &binary)
        .with_name("key import", &format!("key import {allowed}"))
        .with_name("verify --repo", &format!("verify {allowed} --repo"))
        .with_name("https://museum.example.com/api", &format!("{museum}/api"))
        .with_name("https://museum.example.com", &world.museum.url())
        .with_name("https://charts.example.com", &world.site.url())
        .with_name("https://example.github.io/charts", &world.pages.url())
        .with_name("https://github.com", &world.github.url())
        .with_name("https://bucket.example.com", &world.bucket.url())
        .with_name("https://index.example.com", &world.index.url())
        .with_name(FINGERPRINT, &key.fingerprint);
    lay(&desk, &world, (&ring, &key));

    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let policy = page.split("```yaml\n").nth(1).unwrap();
    let policy = desk.here(policy.split("```").next().unwrap());
    std::fs::write(desk.folder().join("policy.yaml"), policy).unwrap();
    let steps = steps(&page);
    assert!(steps.len() > 30, "{} commands", steps.len());
    desk.types_all(PAGE, &steps).await;
    let redirected = format!("{DOWNLOADS}/search-2.0.0/search-2.0.0.tgz");
    assert!(world.github.count(&redirected) > 0, "GitHub was not asked");
}

/// The servers of the page.
struct World {
    site: Repository,
    pages: Repository,
    /// Redirects each download to where it is stored.
    github: Repository,
    stored: Repository,
    bucket: Repository,
    index: Repository,
    museum: Repository,
}

impl World {
    fn new() -> Self {
        let start = || Repository::start().unwrap();
        let world = Self {
            site: start(),
            pages: start(),
            github: start(),
            stored: start(),
            bucket: start(),
            index: start(),
            museum: start(),
        };
        for file in ["search-2.0.0.tgz", "search-2.0.0.tgz.prov"] {
            let to = format!("{}/search-2.0.0/{file}", world.stored.url());
            let asked = format!("{DOWNLOADS}/search-2.0.0/{file}");
            world.github.misbehave(&asked, Fault::Redirect(to));
        }
        std::fs::create_dir(world.bucket.dir().join("ledger")).unwrap();
        world
    }
}

/// Puts the charts and the secret key on the desk, and the folders that are served.
fn lay(desk: &Desk, world: &World, (ring, key): (&Keyring, &Key)) {
    let here = |name: &str| desk.folder().join(name);
    for (name, version) in [
        ("payments", "2.4.1"),
        ("search", "2.0.0"),
        ("ledger", "3.0.0"),
        ("web", "1.0.0"),
        ("forum", "0.7.0"),
    ] {
        let chart = Source::new(name, version);
        let chart = match name {
            "ledger" => shown_by_artifact_hub(
                chart,
                &format!("{}/platform-2026.asc", world.site.url()),
                key,
            ),
            _ => chart,
        };
        chart.write(&here(name)).unwrap();
    }
    std::fs::copy(ring.signer(key).unwrap().keyring(), here("secret.gpg")).unwrap();
    symlink(ring.home(), here(".gnupg")).unwrap();
    for (name, dir) in [
        ("site", world.site.dir()),
        ("pages", world.pages.dir()),
        ("releases", world.stored.dir()),
        ("index", world.index.dir()),
    ] {
        symlink(dir, here(name)).unwrap();
    }
    symlink(world.bucket.dir().join("ledger"), here("bucket")).unwrap();
}

fn shown_by_artifact_hub(chart: Source, url: &str, key: &Key) -> Source {
    let metadata = format!(
        "apiVersion: v2\nname: ledger\nversion: 3.0.0\nannotations:\n  artifacthub.io/signKey: |\n    \
         fingerprint: {}\n    url: {url}\n",
        key.fingerprint
    );
    chart.with_file("Chart.yaml", &metadata)
}

/// The API of a `ChartMuseum`, as far as it takes files: what it has is served by the repository of the folder.
async fn museum(folder: &Path) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::fs::create_dir(folder.join("charts")).unwrap();
    let kept = Arc::new(Kept {
        folder: folder.to_owned(),
        helm: Helm::new(Version::V4).unwrap(),
    });
    let app = Router::new()
        .route("/api/charts", post(take_chart))
        .route("/api/prov", post(take_statement))
        .with_state(kept);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

struct Kept {
    folder: PathBuf,
    helm: Helm,
}

const SAVED: &str = "{\"saved\":true}\n";

/// It knows an archive by what is in it.
async fn take_chart(State(kept): State<Arc<Kept>>, body: Bytes) -> &'static str {
    let chart = chart::read(&body, &ArchiveLimits::default()).unwrap();
    let name = format!("{}-{}.tgz", chart.metadata.name, chart.metadata.version);
    std::fs::write(kept.folder.join("charts").join(name), &body).unwrap();
    kept.helm.index(&kept.folder).await.unwrap();
    SAVED
}

/// And a statement by the archive that it names.
async fn take_statement(State(kept): State<Arc<Kept>>, body: Bytes) -> &'static str {
    let text = std::str::from_utf8(&body).unwrap();
    let named = text.lines().find_map(|line| line.split_once(": sha256:"));
    let name = format!("{}.prov", named.unwrap().0.trim());
    std::fs::write(kept.folder.join("charts").join(name), &body).unwrap();
    SAVED
}
