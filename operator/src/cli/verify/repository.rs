//! `charttrust verify --repo`: every chart version of a repository, as the gate before publishing. Asks the named
//! repository, and nothing else.

use charttrust_verify::policy::Rule;
use charttrust_verify::scheme::Scheme;
use charttrust_verify::verdict::{Cause, Verdict};
use charttrust_verify::version::Constraint;
use futures::{StreamExt as _, stream};

use super::address::{Asking, Fetched};
use super::inputs::UsageError;
use super::report::{self, Report};
use super::{Output, Trust, Verify, Wanted, exit_code, printing, rule, subcharts, worst};
use crate::cli::screen::{plain, say, tell};
use crate::cli::{INTERNAL, UNKNOWN, USAGE, complain, runtime};
use crate::sources::{Asked, Listed, Rest};

/// Runs the command and gives its exit code.
pub(super) fn main(arguments: &Verify, repository: &str) -> u8 {
    let place = match Place::of(arguments, repository) {
        Ok(place) => place,
        Err(error) => return complain(&error, USAGE),
    };
    let arguments = &Verify {
        source: Some(place.source.clone()),
        ..arguments.clone()
    };
    let prepared = Trust::of(arguments).and_then(|trust| {
        let asking = Asking::of(arguments, &place.source)?;
        Ok((trust, asking, runtime().map_err(UsageError::Runtime)?))
    });
    let (trust, asking, runtime) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return complain(&error, USAGE),
    };
    let gate = Gate {
        arguments,
        asking: &asking,
        trust: &trust,
    };
    match runtime.block_on(gate.verify(&place)) {
        Ok(code) => code,
        Err(Stop::Output(error)) => complain(&error, INTERNAL),
        Err(Stop::Usage(error)) => complain(&error, USAGE),
    }
}

/// Why it ends before it has begun, or in the middle.
enum Stop {
    Output(std::io::Error),
    Usage(UsageError),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

/// Which part of which repository is meant.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// What a policy would name as source.
    source: String,
    /// One chart; all if it is none.
    chart: Option<String>,
    version: Option<String>,
}

impl Place {
    /// A registry lists no charts, so that one is named in its address, as `helm pull` has it.
    fn of(arguments: &Verify, repository: &str) -> Result<Self, UsageError> {
        let (chart, version) = (&arguments.chart_name, &arguments.chart_version);
        let url = repository.trim_end_matches('/');
        let last = match Scheme::split(url) {
            Some((Scheme::Oci, rest)) => Some(rest.rsplit_once('/').map(|(_, last)| last)),
            _ => None,
        };
        let in_address = match (last, chart) {
            (Some(Some(last)), _) if last.contains([':', '@']) => {
                return Err(UsageError::OneVersion(url.to_owned()));
            }
            (Some(None), None) => return Err(UsageError::Registry(repository.to_owned())),
            (Some(Some(last)), None) => Some(last.to_owned()),
            _ => None,
        };
        let source = match &in_address {
            Some(chart) => url.strip_suffix(chart.as_str()).unwrap_or(url),
            None => url,
        };
        let chart = chart.clone().or(in_address);
        if version.is_some() && chart.is_none() {
            return Err(UsageError::NoChart);
        }
        Ok(Self {
            source: source.trim_end_matches('/').to_owned(),
            chart,
            version: version.clone(),
        })
    }
}

/// What is to be verified of what is listed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Selected {
    all: Vec<Listed>,
    /// Tags that are no versions, such as those of signatures.
    passed_over: usize,
    /// How many more there are than may be verified.
    beyond: usize,
}

impl Selected {
    fn of(listed: Vec<Listed>, place: &Place, arguments: &Verify) -> Result<Self, UsageError> {
        let is_registry = matches!(Scheme::split(&place.source), Some((Scheme::Oci, _)));
        let wanted = |one: &Listed| place.version.as_ref().is_none_or(|v| *v == one.version);
        let (versions, others): (Vec<_>, Vec<_>) = listed
            .into_iter()
            .filter(wanted)
            .partition(|one| !is_registry || is_version(&one.version));
        let begin = match &arguments.after {
            None => 0,
            Some(after) => position(&versions, after)?,
        };
        let mut all = versions;
        all.drain(..begin);
        let beyond = all.len().saturating_sub(arguments.limit);
        all.truncate(arguments.limit);
        Ok(Self {
            all,
            passed_over: others.len(),
            beyond,
        })
    }
}

/// What is no version is the tag of something else.
fn is_version(text: &str) -> bool {
    ANY.parse::<Constraint>().is_ok_and(|any| any.allows(text))
}

const ANY: &str = ">=0.0.0-0";

/// Where to go on: after the one that is named, or after where it would stand if it is gone.
fn position(all: &[Listed], after: &str) -> Result<usize, UsageError> {
    let (chart, version) = after.split_once(':').ok_or_else(|| UsageError::NoPlace {
        place: after.to_owned(),
    })?;
    let after = Listed {
        chart: chart.to_owned(),
        version: version.to_owned(),
    };
    Ok(all.partition_point(|one| *one <= after))
}

/// Whom to ask, and whom to believe.
struct Gate<'a> {
    arguments: &'a Verify,
    asking: &'a Asking,
    trust: &'a Trust,
}

impl Gate<'_> {
    async fn verify(&self, place: &Place) -> Result<u8, Stop> {
        let asked = Asked {
            rest: Rest {
                longest: REST,
                of_too_large: REST,
            },
            ..Asked::now()
        };
        let listed = match self.asking.listed(place.chart.as_deref()).await {
            Ok(listed) => listed,
            Err((cause, message)) => return self.unlisted(place, cause, message),
        };
        let selected = Selected::of(listed, place, self.arguments).map_err(Stop::Usage)?;
        let verified = stream::iter(&selected.all).map(|one| self.one(one, asked));
        let mut verified = verified.buffered(AT_ONCE);
        let mut count = Count::default();
        let mut reports = Vec::new();
        while let Some((one, verdict, report)) = verified.next().await {
            count.add(verdict);
            if let Output::Text = self.arguments.output {
                say(&report::text(&report))?;
            } else {
                reports.push(report);
            }
            if count.done() % TOLD_EVERY == 0 && count.done() < selected.all.len() {
                tell(&count.progress(selected.all.len(), one));
            }
        }
        if !matches!(self.arguments.output, Output::Text) {
            printing::print_all(self.arguments.output, &reports)?;
        }
        tell(&count.end(&selected));
        Ok(count.code(&selected))
    }

    /// What is said of a repository that does not say what it has.
    fn unlisted(&self, place: &Place, cause: Cause, message: String) -> Result<u8, Stop> {
        let verdict = Verdict::Unknown(cause);
        let report = report::unread((&place.source, ""), verdict, message);
        printing::print_all(self.arguments.output, &[report])?;
        Ok(UNKNOWN)
    }

    async fn one<'a>(&self, one: &'a Listed, asked: Asked) -> (&'a Listed, Verdict, Report) {
        let (verdict, report) = match self.rule(&one.chart) {
            Ok(rule) => self.fetched(one, rule, asked).await,
            Err(error) => {
                let verdict = Verdict::Unknown(Cause::NoPolicy);
                (verdict, unread(one, verdict, error.to_string()))
            }
        };
        (one, verdict, report)
    }

    fn rule(&self, chart: &str) -> Result<Rule, UsageError> {
        rule(self.arguments, self.trust.policy.clone(), chart)
    }

    async fn fetched(&self, one: &Listed, rule: Rule, asked: Asked) -> (Verdict, Report) {
        let asked = (asked, self.trust.forms(&rule));
        match self.asking.fetch(one, asked).await {
            Fetched::Archive(chart, facts, version) => {
                let wanted = Wanted {
                    chart: one.chart.clone(),
                    version,
                    misnamed: None,
                };
                let about = (&wanted, &rule);
                let evidence = subcharts::gathered(self.asking, self.trust, about, &facts).await;
                self.trust
                    .judge(self.arguments, wanted, rule, (&chart, evidence))
            }
            Fetched::Nothing(verdict, message) => (verdict, unread(one, verdict, message)),
        }
    }
}

fn unread(one: &Listed, verdict: Verdict, message: String) -> Report {
    report::unread((&one.chart, &one.version), verdict, message)
}

/// Charts that are fetched at a time: a repository is somebody's server.
const AT_ONCE: usize = 4;
/// How long a repository is left alone after its index could not be had.
const REST: std::time::Duration = std::time::Duration::from_secs(30);
/// Chart versions between two lines about how far it is.
const TOLD_EVERY: usize = 100;

/// A place in the list as it can be pasted after `--after`: the repository decides what stands there.
fn argument(one: &Listed) -> String {
    let place = plain(&format!("{}:{}", one.chart, one.version));
    let is_harmless = |letter: char| letter.is_ascii_alphanumeric() || "-._+:/".contains(letter);
    if place.chars().all(is_harmless) {
        return place;
    }
    format!("'{}'", place.replace('\'', r"'\''"))
}

/// How many came out how.
#[derive(Debug, Default)]
struct Count {
    trusted: usize,
    untrusted: usize,
    unknown: usize,
    codes: Vec<u8>,
}

impl Count {
    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Trusted(_) => self.trusted += 1,
            Verdict::Untrusted(_) => self.untrusted += 1,
            Verdict::Unknown(_) => self.unknown += 1,
        }
        let code = exit_code(verdict);
        if !self.codes.contains(&code) {
            self.codes.push(code);
        }
    }

    fn done(&self) -> usize {
        self.trusted + self.untrusted + self.unknown
    }

    /// How far it is, and how to go on should it be stopped.
    fn progress(&self, of: usize, last: &Listed) -> String {
        let place = argument(last);
        format!(
            "{} of {of} chart versions are verified; go on from here with --after {place}\n",
            self.done()
        )
    }

    fn end(&self, selected: &Selected) -> String {
        let all = format!(
            "{} chart versions: {} trusted, {} not trusted, {} unknown\n",
            self.done(),
            self.trusted,
            self.untrusted,
            self.unknown
        );
        let passed = match selected.passed_over {
            0 => String::new(),
            number => format!("{number} tags are no versions, and were passed over\n"),
        };
        let left = match (selected.beyond, selected.all.last()) {
            (number @ 1.., Some(last)) => {
                let place = argument(last);
                format!("{number} more were not verified: go on with --after {place}\n")
            }
            _ => String::new(),
        };
        all + &passed + &left
    }

    /// An empty repository is not a good one, and neither is one that was not verified to its end.
    fn code(&self, selected: &Selected) -> u8 {
        let is_open = selected.beyond > 0 || self.codes.is_empty();
        let open = is_open.then_some(UNKNOWN);
        worst(self.codes.iter().copied().chain(open).collect())
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::verdict::{Basis, Reason};
    use clap::Parser;

    use super::*;
    use crate::cli::{TRUSTED, UNTRUSTED};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        verify: Verify,
    }

    fn parsed(more: &[&str]) -> Verify {
        let all = [&["verify", "--key", "key.asc", "--repo"], more].concat();
        Line::try_parse_from(all).unwrap().verify
    }

    fn place(more: &[&str]) -> Result<Place, UsageError> {
        let arguments = parsed(more);
        Place::of(&arguments, arguments.repo.as_ref().unwrap())
    }

    #[test]
    fn a_repository_is_named_as_helm_names_it() {
        for (line, source, chart) in [
            (&["https://a.example/x/"][..], "https://a.example/x", None),
            (
                &["https://a.example", "--chart", "web"],
                "https://a.example",
                Some("web"),
            ),
            (&["oci://a.example/x/web"], "oci://a.example/x", Some("web")),
            (
                &["oci://a.example/web/web"],
                "oci://a.example/web",
                Some("web"),
            ),
            (
                &["oci://a.example/x", "--chart", "web"],
                "oci://a.example/x",
                Some("web"),
            ),
        ] {
            let place = place(line).unwrap();
            assert_eq!(
                (place.source.as_str(), place.chart.as_deref()),
                (source, chart)
            );
        }
        assert!(matches!(
            place(&["oci://a.example"]),
            Err(UsageError::Registry(_))
        ));
        for (one, chart) in [
            (":1.0.0", None),
            ("@sha256:00", None),
            (":1.0.0@sha256:00", None),
            (":1.0.0", Some("web")),
        ] {
            let address = format!("oci://a.example:5000/x/web{one}");
            let chart = chart.map(|chart| ["--chart", chart]);
            let line: Vec<&str> = std::iter::once(address.as_str())
                .chain(chart.into_iter().flatten())
                .collect();
            let told = place(&line).expect_err(one).to_string();
            assert!(
                told.ends_with(&format!("`charttrust verify {address}`")),
                "{told}"
            );
        }
        let host = place(&["oci://a.example:5000", "--chart", "web"]).unwrap();
        assert_eq!(host.source, "oci://a.example:5000");
        let alone = place(&["https://a.example", "--version", "1.0.0"]);
        assert!(matches!(alone, Err(UsageError::NoChart)));
    }

    fn listed(names: &[&str]) -> Vec<Listed> {
        let one = |name: &&str| {
            let (chart, version) = name.split_once(':').unwrap();
            Listed {
                chart: chart.to_owned(),
                version: version.to_owned(),
            }
        };
        names.iter().map(one).collect()
    }

    fn selected(names: &[&str], more: &[&str]) -> Result<Selected, UsageError> {
        let arguments = parsed(more);
        let place = Place::of(&arguments, arguments.repo.as_ref().unwrap())?;
        Selected::of(listed(names), &place, &arguments)
    }

    #[test]
    fn it_goes_on_where_it_was_stopped() {
        const URL: &str = "https://a.example";
        let all = ["api:1.0.0", "api:1.1.0", "web:1.0.0"];
        for (more, expected, beyond) in [
            (&[URL][..], &all[..], 0),
            (&[URL, "--after", "api:1.0.0"], &all[1..], 0),
            (&[URL, "--after", "web:1.0.0"], &[], 0),
            // It was taken out of the index meanwhile.
            (&[URL, "--after", "api:1.0.5"], &all[1..], 0),
            (&[URL, "--limit", "2"], &all[..2], 1),
            (&[URL, "--limit", "2", "--after", "api:1.0.0"], &all[1..], 0),
        ] {
            let selected = selected(&all, more).unwrap();
            assert_eq!(selected.all, listed(expected), "{more:?}");
            assert_eq!(selected.beyond, beyond, "{more:?}");
        }
        let unclear = selected(&all, &[URL, "--after", "api"]);
        assert!(matches!(unclear, Err(UsageError::NoPlace { .. })));
    }

    #[test]
    fn tags_that_are_no_versions_are_passed_over_in_a_registry_only() {
        let all = [
            "web:1.0.0",
            "web:latest",
            "web:sha256-00.sig",
            "web:v1.1.0+x",
        ];
        let registry = selected(&all, &["oci://a.example/web"]).unwrap();
        assert_eq!(registry.all, listed(&["web:1.0.0", "web:v1.1.0+x"]));
        assert_eq!(registry.passed_over, 2);
        let index = selected(&all, &["https://a.example"]).unwrap();
        assert_eq!((index.all.len(), index.passed_over), (4, 0));
    }

    /// People paste it into a shell, and the repository has made it.
    #[test]
    fn where_to_go_on_is_one_argument_whatever_a_repository_lists() {
        let of = |name| argument(&listed(&[name])[0]);
        assert_eq!(of("web:1.0.0-rc.1+b"), "web:1.0.0-rc.1+b");
        assert_eq!(of("$(reboot):1"), "'$(reboot):1'");
        assert_eq!(of("a';reboot;':1"), r"'a'\'';reboot;'\'':1'");
        assert_eq!(of("a\nb:1"), r"'a\u{a}b:1'");
    }

    #[test]
    fn only_a_repository_that_was_verified_to_its_end_is_good() {
        let good = Verdict::Trusted(Basis::ArchiveVerified);
        let bad = Verdict::Untrusted(Reason::Unsigned);
        let open = Verdict::Unknown(Cause::SourceUnavailable);
        for (verdicts, beyond, code) in [
            (&[][..], 0, UNKNOWN),
            (&[good], 0, TRUSTED),
            (&[good], 1, UNKNOWN),
            (&[good, open], 0, UNKNOWN),
            (&[bad, open, good], 1, UNTRUSTED),
        ] {
            let mut count = Count::default();
            for verdict in verdicts {
                count.add(*verdict);
            }
            let selected = Selected {
                beyond,
                ..Selected::default()
            };
            assert_eq!(count.code(&selected), code, "{verdicts:?} {beyond}");
        }
    }
}
