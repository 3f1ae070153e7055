//! No honest chart raises an alarm: Helm's own test charts and odd ones made by hand, installed by
//! both Helms; and what is changed in their records is found.

use std::path::{Path, PathBuf};
use std::time::Duration;

use charttrust_e2e::cluster::{Cluster, built};
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{Power, Setting, Stage};
use charttrust_e2e::tools::{self, Tool};
use charttrust_false_alarms::{self as false_alarms, Options, Place, Report};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::OnceCell;

/// One plane and one operator for all tests of this file.
async fn stage() -> &'static Stage {
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    let set = async || {
        let testbed = built("testbed").unwrap();
        let cluster = Cluster::shared(&testbed.to_string_lossy());
        Stage::set(cluster, Setting::new(binary(), Power::Reports)).await
    };
    STAGE.get_or_init(set).await
}

async fn run(folders: &[&Path], sample: usize) -> Report {
    let deadline = Duration::from_secs(120);
    let options = Options {
        place: Place::Http,
        parallel: 2,
        sample,
        altered: 4,
        deadline,
    };
    let report = false_alarms::run(stage().await, folders, options)
        .await
        .unwrap();
    println!("{report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn helms_own_test_charts_raise_no_alarm() {
    let charts = tools::module_dir(Tool::Helm3).unwrap();
    let folders = ["cmd/helm/testdata/testcharts", "pkg/chartutil/testdata"];
    let folders = folders.map(|folder| charts.join(folder));
    let report = run(&[&folders[0], &folders[1]], 8).await;
    assert!(report.is_good(), "{report}");
    assert!(report.charts >= 20, "{} charts", report.charts);
    assert_eq!(report.statements, report.charts, "{report}");
    assert!(
        report.records.len() >= 50,
        "{} records",
        report.records.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_charts_raise_no_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let count = write_odd_charts(dir.path());
    let report = run(&[dir.path()], 1).await;
    assert!(report.is_good(), "{report}");
    assert_eq!(report.not_packaged, [], "{report}");
    assert_eq!(report.not_installed, [], "{report}");
    assert_eq!((report.charts, report.statements), (count, count));
}

/// Writes the charts and says how many there are.
fn write_odd_charts(dir: &Path) -> usize {
    bytes(&dir.join("bytes"));
    dependencies(&dir.join("dependencies"));
    old(&dir.join("old"));
    empty(&dir.join("empty"));
    values(&dir.join("values"));
    foreign(&dir.join("foreign-1.10.0.tgz"));
    6
}

/// Bytes that tools like to change: line ends, marks, what is no text.
fn bytes(chart: &Path) {
    write(
        chart,
        "Chart.yaml",
        "\u{feff}apiVersion: v2\r\nname: bytes\r\nversion: 1.0.0\r\n",
    );
    write(chart, "values.yaml", "\u{feff}a: 1\r\nb: two");
    write(
        chart,
        "values.schema.json",
        "\u{feff}{\"type\": \"object\"}",
    );
    write(chart, "templates/no-newline.yaml", CONFIG.trim_end());
    write(
        chart,
        "templates/crlf.yaml",
        CONFIG.replace("config", "crlf").replace('\n', "\r\n"),
    );
    write(
        chart,
        "templates/mark.yaml",
        format!("\u{feff}{}", CONFIG.replace("config", "mark")),
    );
    write(chart, "templates/empty.yaml", "");
    write(
        chart,
        "templates/_helpers.tpl",
        "{{- define \"x\" }}{{ end -}}",
    );
    write(
        chart,
        "templates/sub/_deep.txt",
        "not YAML: {{ .Chart.Name }}",
    );
    write(chart, "templates/hook.yaml", HOOK);
    write(
        chart,
        "templates/NOTES.txt",
        "\u{1f680} {{ .Release.Name }}",
    );
    write(chart, "crds/odd.yaml", CRD);
    write(chart, "files/binary", [0, 1, 0xff, 0xfe, b'\n', 0x80]);
    write(chart, "files/empty", "");
    write(chart, "files/with space and ü.txt", "x");
    write(
        chart,
        ".helmignore",
        "# none\n*.bak\nignored/\n/files/secret\n",
    );
    write(chart, "files/notes.bak", "ignored");
    write(chart, "files/secret", "ignored");
    write(chart, "ignored/file", "ignored");
    write(chart, "README.md", "# Bytes\n");
}

/// Aliases, conditions, tags, imported values, and a chart that nobody lists.
fn dependencies(chart: &Path) {
    write(chart, "Chart.yaml", DEPENDENCIES);
    write(
        chart,
        "values.yaml",
        "own: 1\nsecond: {enabled: true}\ntags: {never: false}\n",
    );
    write(chart, "templates/config.yaml", CONFIG);
    for name in ["child", "tagged", "unlisted"] {
        let child = chart.join("charts").join(name);
        write(
            &child,
            "Chart.yaml",
            format!("apiVersion: v2\nname: {name}\nversion: 1.2.3\n"),
        );
        write(&child, "values.yaml", CHILD_VALUES);
        write(
            &child,
            "templates/config.yaml",
            CONFIG.replace("-config", "-{{ .Chart.Name }}"),
        );
    }
}

/// As charts were before Helm 3.
fn old(chart: &Path) {
    write(
        chart,
        "Chart.yaml",
        "name: old\nversion: 0.1.0\nappVersion: 1.10\nengine: gotpl\n",
    );
    write(chart, "requirements.yaml", REQUIREMENTS);
    write(chart, "requirements.lock", LOCK);
    write(chart, "templates/config.yaml", CONFIG);
    let child = chart.join("charts/child");
    write(&child, "Chart.yaml", "name: child\nversion: 1.2.3\n");
    write(&child, "values.yaml", CHILD_VALUES);
}

/// Nothing but what is needed, and text that Helm sanitises.
fn empty(chart: &Path) {
    let metadata = "apiVersion: v2\nname: empty\nversion: 1.0.0+build.5\nkeywords: []\n\
        description: \"no\u{a0}break, \u{200b}zero width, \u{ad}soft\"\nunknown: {a: 1}\n\
        annotations: {a: \"yes\", b: 1, c: true}\n";
    write(chart, "Chart.yaml", metadata);
    write(chart, "values.yaml", "# nothing\n");
}

/// What YAML 1.1 makes of values, and more than one document.
fn values(chart: &Path) {
    write(
        chart,
        "Chart.yaml",
        "apiVersion: v2\nname: values\nversion: 1.0.0\n",
    );
    let values = "n: 1\nyes: no\noctal: 014\nother: 0o14\ndate: 2024-01-31\nbig: 12345678901234567890\n\
        small: 1e-7\nlist: [1, ~]\nanchor: &a {x: 1}\nalias: {<<: *a, y: 2}\n---\nsecond: 1\n";
    write(chart, "values.yaml", values);
    write(chart, "templates/config.yaml", CONFIG);
}

/// Packed by something else than Helm: another top folder, another order, folders as entries.
fn foreign(archive: &Path) {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let metadata = "apiVersion: v2\nname: foreign\nversion: 1.10.0\nappVersion: 1.10\n\
        description: >-\n  folded\n  text\nhome: https://example.com\n";
    let entries = [
        ("other/README.md", "# Foreign\n"),
        ("other/templates/z.yaml", CONFIG),
        ("other/crds/odd.yaml", CRD),
        ("other/templates/a.yaml", &CONFIG.replace("-config", "-a")),
        ("other/values.yaml", "a: 1\n"),
        ("other/.helmignore", "README.md\n"),
        ("other/Chart.yaml", metadata),
    ];
    let mut folder = tar::Header::new_gnu();
    folder.set_entry_type(tar::EntryType::Directory);
    folder.set_size(0);
    folder.set_mode(0o755);
    tar.append_data(&mut folder, "other/", std::io::empty())
        .unwrap();
    for (path, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(1_700_000_000);
        tar.append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    std::fs::write(archive, tar.into_inner().unwrap().finish().unwrap()).unwrap();
}

fn write(chart: &Path, file: &str, content: impl AsRef<[u8]>) {
    let path: PathBuf = chart.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

const CONFIG: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-config
data:
  chart: {{ .Chart.Name }}
";

const HOOK: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-hook
  annotations: {helm.sh/hook: pre-install}
";

const CRD: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: odds.example.com}
spec:
  group: example.com
  names: {kind: Odd, plural: odds}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object}}
";

const DEPENDENCIES: &str = "\
apiVersion: v2
name: dependencies
version: 1.0.0
dependencies:
  - {name: child, version: 1.x, alias: first, repository: 'https://charts.example.com'}
  - name: child
    version: ~1.2.0
    alias: second
    condition: second.enabled,global.second
    import-values: [data, {child: plain, parent: imported}]
  - {name: child, version: 1.2.3, alias: third, condition: third.enabled}
  - {name: tagged, version: '>=1.0.0', tags: [never]}
";

const CHILD_VALUES: &str = "\
exports: {data: {exported: 1}}
plain: {x: 1, y: ~}
enabled: yes
";

const REQUIREMENTS: &str = "\
dependencies:
  - name: child
    version: 1.2.3
    repository: '@stable'
    condition: child.enabled
    import-values: [data]
";

const LOCK: &str = "\
dependencies:
- name: child
  repository: '@stable'
  version: 1.2.3
digest: sha256:0000000000000000000000000000000000000000000000000000000000000000
generated: 2019-01-02T03:04:05.678901+01:00
";

#[tokio::test(flavor = "multi_thread")]
async fn helms_own_test_charts_are_signed_as_both_helms_sign_them() {
    let charts = tools::module_dir(Tool::Helm3).unwrap();
    let folder = charts.join("cmd/helm/testdata/testcharts");
    let told = false_alarms::statements(&binary(), &folder).await.unwrap();
    println!("{told}");
    assert!(told.is_good(), "{told}");
    assert!(told.same.iter().all(|number| *number >= 10), "{told}");
}
