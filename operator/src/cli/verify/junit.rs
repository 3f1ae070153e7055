//! Reports as the XML of `JUnit`, which CI systems show. Touches nothing.
//!
//! Decision: written by hand. What is needed of XML is five elements and one escape; crates for it (`quick-junit`)
//! bring a writer of XML and a clock.

use super::report::{self, Report};

/// One test for each chart version: one that is not trusted has failed, and what could not be found out is an
/// error, which no CI system takes for success.
pub(super) fn written(reports: &[Report]) -> String {
    let of = |verdict: &str| reports.iter().filter(|one| one.verdict == verdict).count();
    let counts = format!(
        r#"tests="{}" failures="{}" errors="{}""#,
        reports.len(),
        of("untrusted"),
        of("unknown")
    );
    let cases: String = reports.iter().map(case).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"charttrust verify\" \
         {counts}>\n{cases}  </testsuite>\n</testsuites>\n"
    )
}

fn case(report: &Report) -> String {
    let name = match report.version.as_str() {
        "" => &report.chart,
        version => version,
    };
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\"",
        escaped(&report.chart),
        escaped(name)
    );
    let findings: Vec<_> = report::findings(report).collect();
    let findings = escaped(&findings.join("\n"));
    let element = match report.verdict {
        "trusted" => {
            return format!(
                "{head}>\n      <system-out>{findings}</system-out>\n    </testcase>\n"
            );
        }
        "untrusted" => "failure",
        _ => "error",
    };
    let reason = escaped(report.reason);
    format!(
        "{head}>\n      <{element} type=\"{reason}\" message=\"{}/{reason}\">{findings}</{element}>\n    </testcase>\n",
        report.verdict
    )
}

/// Text that others wrote. XML has no way at all to write most control characters.
fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            '"' => written.push_str("&quot;"),
            '\n' => written.push_str("&#10;"),
            '\u{fffe}' | '\u{ffff}' => written.push('\u{fffd}'),
            other if charttrust_verify::finding::is_deceptive(other) => {
                written.extend(other.escape_unicode());
            }
            other => written.push(other),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};

    use super::*;

    #[test]
    fn what_is_not_trusted_has_failed_and_what_is_not_known_is_an_error() {
        let report = |version: &str, verdict| {
            report::unread(
                ("web", version),
                verdict,
                "said <&\"\u{1b}\u{ffff}".to_owned(),
            )
        };
        let xml = written(&[
            report("1.0.0", Verdict::Trusted(Basis::ArchiveVerified)),
            report("1.1.0", Verdict::Untrusted(Reason::Unsigned)),
            report("<1.2\n.0>", Verdict::Unknown(Cause::SourceUnavailable)),
        ]);
        for part in [
            r#"<testsuite name="charttrust verify" tests="3" failures="1" errors="1">"#,
            r#"<testcase classname="web" name="1.0.0">"#,
            r#"<failure type="Unsigned" message="untrusted/Unsigned">Unsigned: said &lt;&amp;&quot;\u{1b}"#,
            r#"name="&lt;1.2&#10;.0&gt;""#,
            r#"<error type="SourceUnavailable""#,
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
        assert!(
            !xml.contains('\u{1b}') && !xml.contains('\u{ffff}'),
            "{xml}"
        );
        let empty = written(&[]);
        assert!(
            empty.contains(r#"tests="0" failures="0" errors="0""#),
            "{empty}"
        );
    }
}
