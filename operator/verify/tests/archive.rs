//! Chart archives: what is read, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::needless_pass_by_value,
    reason = "tests may stop where they fail"
)]

mod support;

use charttrust_verify::binding::{Binding, compare};
use charttrust_verify::chart::{Ambiguity, ArchiveError, Chart, Damage, Oddity, read};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::limits::ArchiveLimits;
use proptest::prelude::*;
use support::{CHART_YAML, Header, Tar, archive, decoded, files, gzip, load, record};

fn base() -> Tar {
    Tar::default()
        .file("web/Chart.yaml", CHART_YAML.as_bytes())
        .file("web/templates/a", b"a")
}

fn templates(chart: &Chart) -> Vec<&str> {
    chart
        .templates
        .iter()
        .map(|part| part.name.as_str())
        .collect()
}

fn ambiguous(tar: Tar, ambiguity: Ambiguity) {
    assert_eq!(
        load(&tar.gzip()).unwrap_err(),
        ArchiveError::Ambiguous(ambiguity)
    );
}

fn malformed(tar: Tar, damage: Damage) {
    assert_eq!(
        load(&tar.gzip()).unwrap_err(),
        ArchiveError::Malformed(damage)
    );
}

fn within(tar: Tar, change: impl Fn(&mut ArchiveLimits)) -> Result<Chart, ArchiveError> {
    let mut limits = ArchiveLimits::default();
    change(&mut limits);
    read(&tar.gzip(), &limits)
}

fn too_large(result: Result<Chart, ArchiveError>) {
    assert!(
        matches!(result, Err(ArchiveError::TooLarge { .. })),
        "{result:?}"
    );
}

#[test]
fn archive_is_read_and_hashed() {
    let archive = archive(&files());
    let chart = load(&archive).unwrap();
    assert_eq!(chart.digest, Sha256Digest::of(&archive));
    assert_eq!(
        templates(&chart),
        ["templates/deployment.yaml", "templates/service.yaml"]
    );
    assert_eq!(
        chart.templates[0].digest,
        Sha256Digest::of(b"kind: Deployment\n")
    );
    assert_eq!(chart.schema, Some(Sha256Digest::of(b"{}")));
    assert_eq!(
        (
            chart.metadata.name.as_str(),
            chart.metadata.app_version.as_str()
        ),
        ("web", "1.1")
    );
    assert!(chart.oddities.is_empty() && chart.lock.is_none());
}

/// T9: whatever a template would do, its bytes are what counts.
#[test]
fn a_template_is_text_that_nobody_runs() {
    let text = b"{{ fail \"run\" }}{{ lookup \"v1\" \"Secret\" \"\" \"\" }}{{ range until 1000000000 }}a{{ end }}{{ unclosed";
    let tar = base()
        .file("web/templates/b", text)
        .file(
            "web/templates/_helpers.tpl",
            b"{{ define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}",
        )
        .file(
            "web/templates/NOTES.txt",
            b"{{ env \"HOME\" }}{{ getHostByName \"example.com\" }}",
        );
    let chart = load(&tar.gzip()).unwrap();
    let part = chart
        .templates
        .iter()
        .find(|part| part.name == "templates/b");
    assert_eq!(part.unwrap().digest, Sha256Digest::of(text));
    assert_eq!(chart.templates.len(), 4);
}

/// Made by Helm: `pkg/provenance/testdata/hashtest-1.2.3.tgz`; see `data/README.md`.
#[test]
fn archive_made_by_helm_is_read() {
    let archive = include_bytes!("data/hashtest-1.2.3.tgz");
    let chart = load(archive).unwrap();
    let digest = "sha256:c6841b3a895f1444a6738b5d04564a57e860ce42f8519c3be807fb6d9bee7888";
    assert_eq!(chart.digest.to_string(), digest);
    assert_eq!(
        (
            chart.metadata.name.as_str(),
            chart.metadata.version.as_str()
        ),
        ("hashtest", "1.2.3")
    );
}

/// Made by Helm: `pkg/chart/v2/loader/testdata/frobnitz-1.2.3.tgz` and its Windows twin.
#[test]
fn chart_with_subcharts_is_read_alike_with_both_separators() {
    let chart = load(include_bytes!("data/frobnitz-1.2.3.tgz")).unwrap();
    let windows = load(include_bytes!("data/frobnitz_backslash-1.2.3.tgz")).unwrap();
    let subcharts: Vec<_> = chart
        .subcharts
        .iter()
        .map(|chart| chart.name.as_str())
        .collect();
    assert_eq!(subcharts, ["alpine", "mariner"]);
    assert_eq!(templates(&chart), templates(&windows));
    let names = |chart: &Chart| {
        let mut names: Vec<_> = chart.files.iter().map(|part| part.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&chart), names(&windows));
    assert_eq!(chart.lock.unwrap().dependencies.len(), 2);
}

#[test]
fn web_page_is_not_gzip() {
    for bytes in [b"<html>".as_slice(), b"", b"\x1f\x8b", b"\x1f\x8b\x07"] {
        assert_eq!(load(bytes).unwrap_err(), ArchiveError::NotGzip);
    }
    let damage = ArchiveError::Malformed(Damage::Truncated);
    assert_eq!(load(b"\x1f\x8b\x08").unwrap_err(), damage);
}

#[test]
fn links_and_devices_are_refused() {
    for kind in [b'1', b'2'] {
        ambiguous(
            base().entry(Header::new(b"web/l", kind, 0), b""),
            Ambiguity::Link,
        );
    }
    for kind in [b'3', b'4', b'6'] {
        ambiguous(
            base().entry(Header::new(b"web/d", kind, 0), b""),
            Ambiguity::Device,
        );
    }
}

#[test]
fn duplicate_names_are_refused_however_they_are_written() {
    for name in [
        "web/templates/a",
        "other/templates/a",
        "web/templates//a",
        "web/./templates/x/../a",
    ] {
        ambiguous(
            base().file(name, b"b"),
            Ambiguity::Duplicate("templates/a".to_owned()),
        );
    }
    let windows = Ambiguity::Duplicate("templates/a".to_owned());
    ambiguous(base().file("web\\templates\\a", b"b"), windows);
    ambiguous(
        base()
            .entry(Header::new(b"web/\xff", b'0', 0), b"")
            .file("web/\u{fffd}", b""),
        Ambiguity::Duplicate("\u{fffd}".to_owned()),
    );
}

#[test]
fn sparse_unusual_and_global_entries_are_refused() {
    ambiguous(
        base().entry(Header::new(b"web/s", b'S', 0), b""),
        Ambiguity::Sparse,
    );
    let sparse = base()
        .pax(b'x', &[("GNU.sparse.major", "1")])
        .file("web/s", b"");
    ambiguous(sparse, Ambiguity::Sparse);
    for kind in *b"DMNVz" {
        ambiguous(
            base().entry(Header::new(b"web/s", kind, 0), b""),
            Ambiguity::Kind,
        );
    }
    ambiguous(
        base().pax(b'g', &[("path", "web/b")]),
        Ambiguity::GlobalHeader,
    );
    assert!(load(&base().pax(b'g', &[("comment", "0123")]).gzip()).is_ok());
}

#[test]
fn sizes_that_readers_see_differently_are_refused() {
    ambiguous(
        base().pax(b'x', &[("size", "512")]).file("web/b", b"b"),
        Ambiguity::Size,
    );
    assert!(
        load(
            &base()
                .pax(b'x', &[("size", "1")])
                .file("web/b", b"b")
                .gzip()
        )
        .is_ok()
    );
    let mut header = Header::new(b"web/b", b'0', 0);
    header.put(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x01");
    ambiguous(base().entry(header, b"b"), Ambiguity::Size);
    ambiguous(
        base().entry(Header::new(b"web/d/", b'5', 512), &[0; 512]),
        Ambiguity::Size,
    );
    // To Go one byte, to others none.
    for size in [
        b"\x000000000001\0",
        b" \0 00000001\0",
        b"\0\0\0\0\0\0\0\0\0\x001\0",
    ] {
        let mut header = Header::new(b"web/b", b'0', 1);
        header.put(124, size);
        ambiguous(base().entry(header, b"b"), Ambiguity::Size);
    }
    for size in [&[0; 12], b"            ", b"0\0\0\0\0\0\0\0\0\0\0\0"] {
        let mut header = Header::new(b"web/b", b'0', 0);
        header.put(124, size);
        assert!(load(&base().entry(header, b"").gzip()).is_ok(), "{size:?}");
    }
}

#[test]
fn stacked_extension_headers_are_refused() {
    let twice = base()
        .pax(b'x', &[("path", "a/b")])
        .pax(b'x', &[("path", "a/c")]);
    ambiguous(twice.file("web/b", b""), Ambiguity::StackedHeaders);
    let repeated = base().pax(b'x', &[("path", "a/b"), ("path", "a/c")]);
    ambiguous(repeated.file("web/b", b""), Ambiguity::StackedHeaders);
    let long = |tar: Tar| tar.entry(Header::new(b"././@LongLink", b'L', 4), b"a/d\0");
    ambiguous(
        long(long(base())).file("web/b", b""),
        Ambiguity::StackedHeaders,
    );
    let both = long(base().pax(b'x', &[("path", "a/b")]));
    ambiguous(both.file("web/b", b""), Ambiguity::StackedHeaders);
}

#[test]
fn long_link_of_a_file_is_passed_over_once() {
    let long = |tar: Tar| tar.entry(Header::new(b"././@LongLink", b'K', 4), b"a/d\0");
    let chart = load(&long(base()).file("web/templates/b", b"").gzip()).unwrap();
    assert_eq!(templates(&chart), ["templates/a", "templates/b"]);
    ambiguous(
        long(long(base())).file("web/b", b""),
        Ambiguity::StackedHeaders,
    );
}

#[test]
fn global_header_within_the_headers_of_an_entry_is_refused() {
    let long = |kind| base().entry(Header::new(b"././@LongLink", kind, 4), b"a/d\0");
    let pax = base().pax(b'x', &[("path", "web/b")]);
    for pending in [long(b'L'), long(b'K'), pax] {
        let tar = pending.pax(b'g', &[("comment", "0123")]);
        ambiguous(tar.file("web/b", b""), Ambiguity::GlobalHeader);
    }
}

/// `mergePAX`, `validPAXRecord` and `parsePAXTime` of Go's `archive/tar`.
#[test]
fn extended_records_that_go_cannot_read_are_refused() {
    for (key, value) in [
        ("uid", "x"),
        ("gid", "x"),
        ("size", "x"),
        ("atime", "x"),
        ("ctime", "x"),
        ("mtime", "x"),
        ("mtime", ".5"),
        ("mtime", "1.x"),
        ("mtime", "1.5x"),
        ("mtime", "1.+5"),
        ("mtime", "1.123456789x"),
        ("path", "web/b\0c"),
        ("linkpath", "a\0b"),
        ("a\0b", "x"),
        ("", "x"),
    ] {
        let tar = base().pax(b'x', &[(key, value)]).file("web/b", b"");
        let error = load(&tar.gzip()).unwrap_err();
        assert_eq!(error, ArchiveError::Malformed(Damage::Header), "{key:?}");
    }
    for (key, value) in [("path", ""), ("uid", "-1"), ("atime", "1.5"), ("a", "x\0y")] {
        let tar = base().pax(b'x', &[(key, value)]).file("web/b", b"");
        assert_eq!(load(&tar.gzip()).unwrap().files[0].name, "b", "{key:?}");
    }
}

/// When the last template was modified, in nanoseconds.
fn modified(tar: Tar) -> Option<i128> {
    let chart = load(&tar.gzip()).unwrap();
    chart.templates[1]
        .modified
        .map(jiff::Timestamp::as_nanosecond)
}

#[test]
fn extended_times_are_read_as_go_reads_them() {
    for (time, nanoseconds) in [
        ("7", 7_000_000_000),
        ("1.", 1_000_000_000),
        ("1.5", 1_500_000_000),
        ("-1.5", -1_500_000_000),
        ("1.1234567899", 1_123_456_789),
        ("", 10_000_000_000),
    ] {
        let tar = base().pax(b'x', &[("mtime", time)]);
        let read = modified(tar.file("web/templates/b", b""));
        assert_eq!(read, Some(nanoseconds), "{time}");
    }
}

/// Where in a header, and what is put there.
type Patch<'a> = (usize, &'a [u8]);

/// A template whose header is patched.
fn patched(patches: &[Patch<'_>]) -> Tar {
    let mut header = Header::new(b"web/templates/b", b'0', 0);
    for (at, bytes) in patches {
        header.put(*at, bytes);
    }
    base().entry(header, b"")
}

/// `parseNumeric` and `parseOctal` of Go's `archive/tar`.
#[test]
fn numbers_in_octal_and_base_256_are_read_as_go_reads_them() {
    const LARGE: i128 = 1 << 32;
    let read: [(&[u8; 12], Option<i128>); 8] = [
        (b"00000000012\0", Some(10)),
        (b"  12 \0\0\0\0\0\0\0", Some(10)),
        (&[0; 12], Some(0)),
        (b"\x80\0\0\0\0\0\0\0\0\0\0\x0c", Some(12)),
        (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", Some(LARGE)),
        (
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf4",
            Some(-12),
        ),
        (
            b"\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff\xff",
            Some(-LARGE - 1),
        ),
        (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", None),
    ];
    for (field, seconds) in read {
        let nanoseconds = seconds.map(|seconds| seconds * 1_000_000_000);
        assert_eq!(modified(patched(&[(136, field)])), nanoseconds, "{field:?}");
    }
    let refused: [&[u8; 12]; 5] = [
        b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
        b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
        b"00000000018\0",
        b"+0000000001\0",
        b"-0000000001\0",
    ];
    for field in refused {
        malformed(patched(&[(136, field)]), Damage::Header);
    }
}

/// `readHeader` of Go's `archive/tar`: every number of the format has to be one.
#[test]
fn every_number_of_a_header_must_be_readable() {
    for at in [100, 108, 116, 124, 136, 329, 337] {
        malformed(patched(&[(at, b"x")]), Damage::Header);
    }
    let star: Patch<'_> = (508, b"tar\0");
    for at in [476, 488] {
        malformed(patched(&[star, (at, b"x")]), Damage::Header);
        assert!(load(&patched(&[star, (at, b"12\0")]).gzip()).is_ok());
    }
    let old: Patch<'_> = (257, &[0; 8]);
    for at in [329, 337] {
        assert!(load(&patched(&[old, (at, b"x")]).gzip()).is_ok());
    }
}

/// `getFormat` of Go's `archive/tar`: the magic says what stands behind it.
#[test]
fn second_part_of_a_name_is_read_where_the_format_has_one() {
    let prefix = |letters: usize| format!("web/templates/{}", "p".repeat(letters));
    let (long, star) = (prefix(126), prefix(117));
    let named: [(&[Patch<'_>], &str); 5] = [
        (&[(345, long.as_bytes())], &long),
        (
            &[
                (345, star.as_bytes()),
                (476, b"00000000012\0"),
                (508, b"tar\0"),
            ],
            &star,
        ),
        (&[(257, &[0; 8]), (345, b"web/crds")], "web/templates"),
        (&[(257, b"ustar 00"), (345, b"web/crds")], "web/templates"),
        (&[(257, b"ustar  \0"), (345, b"\0eb/crds")], "web/templates"),
    ];
    for (patches, folder) in named {
        let own = if folder == "web/templates" {
            folder
        } else {
            ""
        };
        let name = [own, "b"].join(if own.is_empty() { "" } else { "/" });
        let mut header = Header::new(name.as_bytes(), b'0', 0);
        for (at, bytes) in patches {
            header.put(*at, bytes);
        }
        let chart = load(&base().entry(header, b"").gzip()).unwrap();
        assert_eq!(templates(&chart)[1], format!("{}/b", &folder[4..]));
    }
}

#[test]
fn gnu_header_with_a_prefix_instead_of_times_is_refused() {
    let gnu: Patch<'_> = (257, b"ustar  \0");
    for at in [345, 357] {
        ambiguous(patched(&[gnu, (at, b"web/crds")]), Ambiguity::Header);
        for time in [b"00000000012\0", b"\0eb/crds\0\0\0\0"] {
            let chart = load(&patched(&[gnu, (at, time)]).gzip()).unwrap();
            assert_eq!(templates(&chart)[1], "templates/b");
        }
    }
}

/// Some old writers added the bytes of a header as signed numbers.
#[test]
fn signed_checksum_is_right_too() {
    let mut header = Header::new("web/templates/é".as_bytes(), b'0', 0);
    header.put(148, b"        ");
    let sum: i32 = header
        .0
        .iter()
        .map(|byte| i32::from(byte.cast_signed()))
        .sum();
    header.put(148, format!("{sum:06o}\0 ").as_bytes());
    let mut tar = base();
    tar.0.extend(header.0);
    assert_eq!(templates(&load(&tar.gzip()).unwrap())[1], "templates/é");
}

#[test]
fn directories_have_no_content_and_files_no_slash() {
    let entry = |kind, size: usize| {
        let header = Header::new(b"web/templates/d/", kind, size);
        base().entry(header, &vec![b'x'; size])
    };
    for kind in [0, b'5'] {
        let chart = load(&entry(kind, 0).gzip()).unwrap();
        assert_eq!(templates(&chart), ["templates/a"]);
        ambiguous(entry(kind, 1), Ambiguity::Size);
    }
    for kind in [b'0', b'7'] {
        ambiguous(entry(kind, 0), Ambiguity::Header);
    }
    for kind in [0, b'0', b'7'] {
        let file = Header::new(b"web/templates/b", kind, 1);
        let chart = load(&base().entry(file, b"x").gzip()).unwrap();
        assert_eq!(templates(&chart), ["templates/a", "templates/b"]);
    }
    let mut header = Header::new(b"web/x", b'0', 1);
    header.put(100, b"0040755\0");
    ambiguous(base().entry(header, b"x"), Ambiguity::Size);
}

#[test]
fn long_names_of_all_formats_are_read() {
    let name = format!("web/templates/{}", "n".repeat(200));
    let gnu = base().entry(
        Header::new(b"././@LongLink", b'L', name.len()),
        name.as_bytes(),
    );
    let pax = base().pax(b'x', &[("path", &name)]);
    let mut header = Header::new("n".repeat(50).as_bytes(), b'0', 0);
    header.put(345, b"web/templates/ustar");
    for tar in [gnu.file("short", b""), pax.file("short", b"")] {
        assert_eq!(templates(&load(&tar.gzip()).unwrap())[1], &name[4..]);
    }
    let chart = load(&base().entry(header, b"").gzip()).unwrap();
    assert_eq!(
        templates(&chart)[1],
        format!("templates/ustar/{}", "n".repeat(50))
    );
}

#[test]
fn directories_missing_markers_and_trailing_bytes_are_tolerated() {
    let mut header = Header::new(b"web/x", b'0', 0);
    header.put(100, b"0040755\0");
    let tar = base()
        .entry(Header::new(b"web/templates/", b'5', 0), b"")
        .entry(header, b"");
    let chart = load(&tar.gzip()).unwrap();
    assert_eq!(templates(&chart), ["templates/a"]);
    assert!(chart.files.is_empty());
    assert!(load(&gzip(&base().0)).is_ok());
    let trailing = [base().gzip(), b"junk".to_vec()].concat();
    assert!(load(&trailing).is_ok());
    let (one, two) = base().0.split_at(700).map_both();
    assert!(load(&[gzip(&one), gzip(&two)].concat()).is_ok());
}

trait MapBoth {
    fn map_both(self) -> (Vec<u8>, Vec<u8>);
}

impl MapBoth for (&[u8], &[u8]) {
    fn map_both(self) -> (Vec<u8>, Vec<u8>) {
        (self.0.to_vec(), self.1.to_vec())
    }
}

#[test]
fn entries_behind_the_end_are_not_read() {
    let mut tar = base();
    tar.0.extend([0; 1024]);
    let chart = load(&tar.file("web/templates/b", b"").gzip()).unwrap();
    assert_eq!(templates(&chart), ["templates/a"]);
}

#[test]
fn names_that_lead_out_of_the_chart_are_refused() {
    for name in [
        "Chart.yaml",
        "web/../x",
        "web/../../x",
        "web//x",
        "web/..x",
        "web/c:/x",
        "web/.",
        "x",
        "Chart.yaml/x",
    ] {
        malformed(base().file(name, b""), Damage::Path);
    }
}

#[test]
fn odd_but_readable_names_are_noted() {
    let odd = ["web/a//b", "other/x", "other/y", "web/a//c"];
    let tar = odd.iter().fold(base(), |tar, name| tar.file(name, b""));
    assert_eq!(
        load(&tar.gzip()).unwrap().oddities,
        [Oddity::SeveralTopDirectories, Oddity::UncleanPath]
    );
}

#[test]
fn damaged_archives_are_refused() {
    let mut wrong_sum = base();
    wrong_sum.0[0] ^= 1;
    malformed(wrong_sum, Damage::Header);
    let within_a_file = base().0[..600].to_vec();
    let within_the_end = [base().0, vec![0; 100]].concat();
    for cut in [within_a_file, within_the_end] {
        assert_eq!(
            load(&gzip(&cut)).unwrap_err(),
            ArchiveError::Malformed(Damage::Truncated)
        );
    }
    let mut corrupt = base().gzip();
    let middle = corrupt.len() / 2;
    corrupt.truncate(middle);
    assert!(matches!(load(&corrupt), Err(ArchiveError::Malformed(_))));
    assert_eq!(
        load(&Tar::default().gzip()).unwrap_err(),
        ArchiveError::Malformed(Damage::NoFiles)
    );
    malformed(Tar::default().file("web/x", b""), Damage::NoChart);
}

#[test]
fn chart_that_helm_would_not_load_is_refused() {
    let metadata = |yaml: &str| load(&Tar::default().file("w/Chart.yaml", yaml.as_bytes()).gzip());
    for yaml in [
        "name: web",
        "version: 1.2.3",
        "{name: .., version: 1.2.3}",
        "{name: a/b, version: 1.2.3}",
        "{name: web, version: latest}",
        "{name: web, version: 1.2.3, type: x}",
        "{name: web, version: 1.2.3, dependencies: [{name: a}, {name: b, alias: a}]}",
        "{name: web, version: 1.2.3, dependencies: [{name: a, alias: 'a b'}]}",
    ] {
        assert!(
            matches!(
                metadata(yaml),
                Err(ArchiveError::Malformed(Damage::Metadata(_)))
            ),
            "{yaml}"
        );
    }
    for yaml in [
        "a: b: c",
        "[]",
        "name: []",
        "keywords: x",
        "maintainers: [~]",
        "deprecated: 'x'",
    ] {
        assert!(
            matches!(
                metadata(yaml),
                Err(ArchiveError::Malformed(Damage::Document { .. }))
            ),
            "{yaml}"
        );
    }
    malformed(
        base().file("web/charts/README.md", b""),
        Damage::Subchart {
            name: "README.md".to_owned(),
            what: Damage::NoChart.to_string(),
        },
    );
}

#[test]
fn metadata_follow_the_rules_of_go() {
    let yaml = "name: web\nVersion: 0.1.0\nversion: 1.2.3\nappVersion: 20230101.12\ndescription: yes\n\
                icon: ~\nhome: 014\nkeywords: [1.0, ~, x]\nannotations: {a: 1e6, b: ~, 1: on}\nextra: 1\n";
    let tar = Tar::default().file("w/Chart.yaml", yaml.as_bytes());
    let requirements = b"dependencies: [{name: a, version: 1.0}]\nkeywords: [y]\n";
    let metadata = load(&tar.file("w/requirements.yaml", requirements).gzip())
        .unwrap()
        .metadata;
    assert_eq!(metadata.version, "1.2.3");
    assert_eq!(metadata.app_version, "2.0230102e+07");
    assert_eq!(
        (metadata.description.as_str(), metadata.home.as_str()),
        ("true", "12")
    );
    assert_eq!(metadata.api_version, "v1");
    assert_eq!(metadata.keywords, ["true"]);
    let annotations: Vec<_> = metadata.annotations.values().map(String::as_str).collect();
    assert_eq!(annotations, ["true", "1e+06", ""]);
    assert_eq!(metadata.dependencies[0].version, "1");
}

#[test]
fn keys_fold_and_null_empties_as_in_go() {
    let yaml = "NAME: web\nversion: 1.2.3\nDe\u{17f}cription: d\n\u{212a}eywords: [k]\n\
                deprecated: ~\nannotations: {a: b}\n";
    let tar = Tar::default().file("w/Chart.yaml", yaml.as_bytes());
    let metadata = load(&tar.clone().gzip()).unwrap().metadata;
    assert_eq!(
        (metadata.name.as_str(), metadata.description.as_str()),
        ("web", "d")
    );
    assert_eq!(metadata.keywords, ["k"]);
    assert_eq!(metadata.annotations.len(), 1);
    let tar = tar.file("w/requirements.yaml", b"annotations: ~\n");
    let metadata = load(&tar.gzip()).unwrap().metadata;
    assert!(metadata.annotations.is_empty());
}

/// `Metadata.Validate` and what it calls, `pkg/chart/v2`.
#[test]
fn every_text_that_helm_sanitizes_is_sanitized() {
    const RAW: &str = r#""a\u0007\tb""#;
    let yaml = format!(
        "apiVersion: v2\nname: {RAW}\nversion: 1.2.3\ndescription: {RAW}\nhome: {RAW}\n\
         icon: {RAW}\ncondition: {RAW}\ntags: {RAW}\nappVersion: {RAW}\nkubeVersion: {RAW}\n\
         sources: [{RAW}]\nkeywords: [{RAW}]\n\
         maintainers: [{{name: {RAW}, email: {RAW}, url: {RAW}}}]\n\
         dependencies: [{{name: {RAW}, version: {RAW}, repository: {RAW}, condition: {RAW}, tags: [{RAW}]}}]\n"
    );
    let tar = Tar::default().file("w/Chart.yaml", yaml.as_bytes());
    let metadata = load(&tar.gzip()).unwrap().metadata;
    let (maintainer, dependency) = (&metadata.maintainers[0], &metadata.dependencies[0]);
    for text in [
        &metadata.name,
        &metadata.description,
        &metadata.home,
        &metadata.icon,
        &metadata.condition,
        &metadata.tags,
        &metadata.app_version,
        &metadata.kube_version,
        &metadata.sources[0],
        &metadata.keywords[0],
        &maintainer.name,
        &maintainer.email,
        &maintainer.url,
        &dependency.name,
        &dependency.version,
        &dependency.repository,
        &dependency.condition,
        &dependency.tags[0],
    ] {
        assert_eq!(text, "a b", "{metadata:?}");
    }
}

#[test]
fn requirements_are_files_and_lock_of_old_charts_only() {
    let files = |metadata: &str| {
        let lock = b"\xef\xbb\xbfgenerated: ~\ndigest: x\n";
        let tar = Tar::default()
            .file("w/Chart.yaml", metadata.as_bytes())
            .file("w/requirements.yaml", b"\xef\xbb\xbfdependencies: []\n")
            .file("w/requirements.lock", lock);
        load(&tar.gzip()).unwrap()
    };
    let old = files("\u{feff}name: web\nversion: 1.2.3\n");
    let parts: Vec<_> = old
        .files
        .iter()
        .map(|part| (part.name.as_str(), part.digest))
        .collect();
    let digests = [
        Sha256Digest::of(b"dependencies: []\n"),
        Sha256Digest::of(b"generated: ~\ndigest: x\n"),
    ];
    assert_eq!(
        parts,
        [
            ("requirements.yaml", digests[0]),
            ("requirements.lock", digests[1])
        ]
    );
    assert_eq!(old.lock.unwrap().digest, "x");
    let new = files(CHART_YAML);
    assert!(new.files.is_empty());
    assert_eq!(new.lock.unwrap().digest, "x");
}

/// Helm makes empty metadata for them, and then misses the first field that must be there.
#[test]
fn requirements_alone_are_no_chart() {
    for name in ["web/requirements.yaml", "web/requirements.lock"] {
        malformed(
            Tar::default().file(name, b"dependencies: []\n"),
            Damage::Metadata("apiVersion is missing"),
        );
    }
}

#[test]
fn vendored_archives_are_looked_into() {
    let inner = Tar::default().file("db/Chart.yaml", b"{name: db, version: 1.0.0}");
    let chart = load(
        &base()
            .file("web/charts/db-1.0.0.tgz", &inner.clone().gzip())
            .gzip(),
    )
    .unwrap();
    assert_eq!(chart.subcharts[0].name, "db");
    assert!(chart.files.is_empty());
    let linked = inner.entry(Header::new(b"db/l", b'2', 0), b"").gzip();
    ambiguous(
        base().file("web/charts/db-1.0.0.tgz", &linked),
        Ambiguity::Link,
    );
    let chart = load(&base().file("web/charts/_db.tgz", b"no archive").gzip()).unwrap();
    assert!(chart.subcharts.is_empty());
    for name in ["charts/db-1.0.0.tgz.prov", "charts/db/x.prov"] {
        let chart = load(&base().file(&format!("web/{name}"), b"x").gzip()).unwrap();
        assert_eq!(chart.files[0].name, name);
    }
}

#[test]
fn vendored_archive_may_be_followed_by_anything() {
    let inner = Tar::default().file("db/Chart.yaml", b"{name: db, version: 1.0.0}");
    let long = [inner.gzip(), vec![b'x'; 200_000]].concat();
    let chart = load(&base().file("web/charts/db.tgz", &long).gzip()).unwrap();
    assert_eq!(chart.subcharts[0].name, "db");
}

#[test]
fn archive_deep_in_a_folder_named_like_one_is_not_taken_for_it() {
    let inner = Tar::default().file("db/Chart.yaml", b"{name: db, version: 1.0.0}");
    let tar = base().file("web/charts/a.tgz/charts/b.tgz", &inner.gzip());
    malformed(
        tar,
        Damage::Subchart {
            name: "a.tgz".to_owned(),
            what: Damage::NoChart.to_string(),
        },
    );
}

#[test]
fn lock_of_a_subchart_is_not_looked_at() {
    let tar = base()
        .file("web/charts/db/Chart.yaml", b"{name: db, version: 1.0.0}")
        .file("web/charts/db/Chart.lock", b"a: b: c");
    assert_eq!(load(&tar.gzip()).unwrap().subcharts[0].name, "db");
}

#[test]
fn every_limit_holds_at_n_and_n_plus_1() {
    let size = base().gzip().len();
    assert!(within(base(), |limits| limits.archive_bytes = size).is_ok());
    too_large(within(base(), |limits| limits.archive_bytes = size - 1));
    let bytes = u64::try_from(CHART_YAML.len()).unwrap() + 1;
    assert!(within(base(), |limits| limits.file_bytes = bytes + 1).is_ok());
    too_large(within(base(), |limits| limits.file_bytes = bytes));
    assert!(within(base(), |limits| limits.entries = 2).is_ok());
    too_large(within(base(), |limits| limits.entries = 1));
    assert!(within(base(), |limits| limits.path_bytes = 15).is_ok());
    too_large(within(base(), |limits| limits.path_bytes = 14));
    assert!(within(base(), |limits| limits.document_bytes = CHART_YAML.len()).is_ok());
    too_large(within(base(), |limits| {
        limits.document_bytes = CHART_YAML.len() - 1;
    }));
    let long = || {
        base()
            .entry(Header::new(b"L", b'L', 8), b"web/abc\0")
            .file("x", b"")
    };
    assert!(within(long(), |limits| limits.header_bytes = 8).is_ok());
    too_large(within(long(), |limits| limits.header_bytes = 7));
    let stream = u64::try_from(base().0.len() + 1024).unwrap();
    assert!(within(base(), |limits| limits.stream_bytes = stream).is_ok());
    too_large(within(base(), |limits| limits.stream_bytes = stream - 1));
    too_large(within(base(), |limits| limits.yaml.nodes = 5));
    assert!(within(base(), |limits| limits.name_bytes = "1.2.3".len()).is_ok());
    too_large(within(base(), |limits| {
        limits.name_bytes = "1.2.3".len() - 1;
    }));
}

/// What is remembered of charts is bounded by it: whoever publishes them chooses their texts.
#[test]
fn a_chart_weighs_what_its_texts_take() {
    let weight = |more: &str| {
        let yaml = format!("{CHART_YAML}{more}");
        let tar = Tar::default().file("web/Chart.yaml", yaml.as_bytes());
        load(&tar.gzip()).unwrap().weight()
    };
    let (long, many) = ("x".repeat(100_000), 1000);
    for (more, least) in [
        (format!("home: {long}\n"), 100_000),
        (format!("annotations: {{a: {long}}}\n"), 100_000),
        (
            format!("sources: [{}]\n", "'',".repeat(many)),
            many * size_of::<String>(),
        ),
        (
            "dependencies: [{name: a, tags: ['','']}]\n".to_owned(),
            2 * size_of::<String>(),
        ),
    ] {
        let grown = weight(&more) - weight("");
        assert!(
            (least..2 * least + 1000).contains(&grown),
            "{more:.20}: {grown}"
        );
    }
    let templates = |count: usize| {
        let tar = (0..count).fold(base(), |tar, n| {
            tar.file(&format!("web/templates/{n:03}"), b"x")
        });
        load(&tar.gzip()).unwrap().weight()
    };
    assert!(templates(100) - templates(0) >= 100 * 64);
}

#[test]
fn depth_and_number_of_subcharts_are_limited_at_n_and_n_plus_1() {
    let nested = |depth: usize| {
        let name = format!("web/{}Chart.yaml", "charts/a/".repeat(depth));
        (1..depth).fold(
            base().file(&name, b"{name: a, version: 1.0.0}"),
            |tar, depth| {
                let name = format!("web/{}Chart.yaml", "charts/a/".repeat(depth));
                tar.file(&name, b"{name: a, version: 1.0.0}")
            },
        )
    };
    assert!(load(&nested(8).gzip()).is_ok());
    too_large(load(&nested(9).gzip()));
    assert!(within(nested(3), |limits| limits.charts = 4).is_ok());
    too_large(within(nested(3), |limits| limits.charts = 3));
    let packed = |depth: usize| {
        (0..depth).fold(base().gzip(), |inner, _| {
            base().file("web/charts/web.tgz", &inner).gzip()
        })
    };
    assert!(load(&packed(8)).is_ok());
    too_large(load(&packed(9)));
    // Helm loads no chart out of such folders, but the archives in them are opened all the same.
    let ignored = |depth: usize| {
        (0..depth).fold(base().gzip(), |inner, _| {
            base().file("web/charts/_x/charts/web.tgz", &inner).gzip()
        })
    };
    assert!(load(&ignored(8)).is_ok());
    too_large(load(&ignored(9)));
}

/// The least limit of nodes under which the archive is read.
fn least_nodes(tar: &Tar) -> usize {
    (1..200)
        .find(|nodes| within(tar.clone(), |limits| limits.yaml.nodes = *nodes).is_ok())
        .unwrap()
}

#[test]
fn aliases_cost_what_they_stand_for() {
    let nodes = |values: &[u8]| least_nodes(&base().file("web/values.yaml", values));
    let plain = nodes(b"{a: [1, 1, 1, 1], b: [0, 0, 0, 0]}");
    let (line, marked) = (&b"{a: [1, 1]}\n"[..], &b"---\n{a: [1, 1]}\n"[..]);
    assert_eq!(nodes(marked), nodes(line), "one document is read once");
    let anchored = nodes(b"{a: &a [1, 1, 1, 1], b: [0, 0, 0, 0]}");
    let aliased = nodes(b"{a: &a [1, 1, 1, 1], b: [*a, *a, *a, *a]}");
    assert!(anchored >= plain + 4, "{plain} {anchored}");
    assert!(aliased >= anchored + 16, "{anchored} {aliased}");
}

#[test]
fn values_of_all_documents_are_counted_together() {
    let alone = least_nodes(&base());
    let values = |tar: Tar| tar.file("web/values.yaml", b"{a: 1, b: 2}");
    let requirements = |tar: Tar| tar.file("web/requirements.yaml", b"{a: 1}");
    let subchart = |tar: Tar| {
        tar.file("web/charts/db/Chart.yaml", b"{name: db, version: 1.0.0}")
            .file("web/charts/db/values.yaml", b"{a: 1, b: 2, c: 3}")
    };
    let cost = |tar: Tar| least_nodes(&tar) - alone;
    let costs = [
        cost(values(base())),
        cost(requirements(base())),
        cost(subchart(base())),
    ];
    let all = values(requirements(subchart(base())));
    assert_eq!(cost(all), costs.iter().sum::<usize>());
    assert!(costs.iter().all(|cost| *cost > 0), "{costs:?}");
}

#[test]
fn bomb_is_stopped_by_the_limit() {
    let tar = base().file("web/big", &vec![0; 100 * 1024 * 1024]);
    too_large(load(&tar.gzip()));
}

proptest! {
    #[test]
    fn archive_with_a_flipped_byte_is_never_the_same_with_the_same_digest(
        at in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let original = archive(&files());
        let mut bytes = original.clone();
        bytes[at.index(original.len())] ^= 1 << bit;
        if let Ok(chart) = load(&bytes) {
            prop_assert_ne!(chart.digest, Sha256Digest::of(&original));
        }
    }

    #[test]
    fn tar_with_changed_bytes_is_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        seal in any::<bool>(),
    ) {
        let mut tar = base().pax(b'x', &[("mtime", "1.5")]).file("web/b", b"b").0;
        let length = tar.len();
        for (at, byte) in changes {
            tar[at.index(length)] = byte;
        }
        if seal {
            for header in tar.chunks_exact_mut(512) {
                let block = Header(header.try_into().unwrap()).sealed();
                header.copy_from_slice(&block);
            }
        }
        let _ = load(&gzip(&tar));
    }

    #[test]
    fn any_bytes_behind_the_magic_number_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = load(&[&[0x1f, 0x8b, 8], bytes.as_slice()].concat());
        let _ = load(&gzip(&bytes));
    }

    #[test]
    fn changed_content_is_never_the_same(file in 3_usize..7, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut files = files();
        let length = files[file].1.len();
        files[file].1[at.index(length)] ^= 1 << bit;
        if let Ok(chart) = load(&archive(&files)) {
            let binding = compare(&chart, &decoded(&record()).unwrap());
            let different = matches!(binding, Binding::Different { .. });
            prop_assert!(different);
        }
    }
}

/// A chart of its own, in its order.
fn part() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "Chart.yaml",
            "apiVersion: v2\nname: db\nversion: 1.0.0\ndescription: A store\n",
        ),
        (
            "Chart.lock",
            "dependencies: []\ndigest: sha256:0\ngenerated: \"2024-01-01T00:00:00Z\"\n",
        ),
        ("values.yaml", "a: 1\n"),
        ("values.schema.json", "{}"),
        ("templates/a.yaml", "kind: A\n"),
        ("templates/b.yaml", "kind: B\n"),
        ("README.md", "# db\n"),
        (
            "charts/inner/Chart.yaml",
            "apiVersion: v2\nname: inner\nversion: 2.0.0\n",
        ),
        ("charts/inner/templates/c.yaml", "kind: C\n"),
    ]
}

fn packed(top: &str, files: &[(&str, &str)]) -> Tar {
    files.iter().fold(Tar::default(), |tar, (name, content)| {
        tar.file(&format!("{top}/{name}"), content.as_bytes())
    })
}

/// What `helm package` makes of a subchart is compared with its own archive.
#[test]
fn a_subchart_has_the_content_of_its_own_archive() {
    let own = load(&packed("db", &part()).gzip()).unwrap();
    let in_umbrella = |files: &[(&str, &str)]| {
        let tar = files.iter().fold(base(), |tar, (name, content)| {
            tar.file(&format!("web/charts/db/{name}"), content.as_bytes())
        });
        load(&tar.gzip()).unwrap().subcharts.remove(0).content
    };
    assert_eq!(in_umbrella(&part()), own.content);
    let mut reversed = part();
    reversed.reverse();
    assert_eq!(in_umbrella(&reversed), own.content, "in another order");
    let mut written_anew = part();
    written_anew[0].1 = "description: A store\nversion: 1.0.0\nname: db\napiVersion: v2\n";
    assert_eq!(in_umbrella(&written_anew), own.content, "as Helm writes it");
    let vendored = base().file("web/charts/db-1.0.0.tgz", &packed("db", &part()).gzip());
    let vendored = load(&vendored.gzip()).unwrap();
    assert_eq!(vendored.subcharts[0].content, own.content, "as an archive");
    let mut other_lock = part();
    other_lock.remove(1);
    assert_eq!(in_umbrella(&other_lock), own.content, "without its lock");
    for (index, other) in [
        (
            0,
            "apiVersion: v2\nname: db\nversion: 1.0.0\ndescription: Another\n",
        ),
        (2, "a: 2\n"),
        (3, "[]"),
        (4, "kind: B\n"),
        (6, ""),
        (7, "apiVersion: v2\nname: inner\nversion: 2.0.1\n"),
        (8, "kind: D\n"),
    ] {
        let mut changed = part();
        changed[index].1 = other;
        let name = changed[index].0;
        assert_ne!(in_umbrella(&changed), own.content, "{name}");
        if !name.ends_with("Chart.yaml") {
            changed.remove(index);
            assert_ne!(in_umbrella(&changed), own.content, "without {name}");
        }
    }
    let mut more = part();
    more.push(("templates/d.yaml", "kind: D\n"));
    assert_ne!(in_umbrella(&more), own.content);
    let mut renamed = part();
    renamed[4].0 = "templates/z.yaml";
    assert_ne!(in_umbrella(&renamed), own.content);
    let mut moved = part();
    moved[6].0 = "templates/README.md";
    assert_ne!(in_umbrella(&moved), own.content);
}
