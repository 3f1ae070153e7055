//! What came of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use charttrust_e2e::helm::Version;

use crate::install::Way;

/// What came of a run; printed for people.
#[derive(Debug, Default)]
pub struct Report {
    /// Charts that were signed and published.
    pub charts: usize,
    /// For how many of them `charttrust sign` would sign what Helm has signed, byte for byte.
    pub statements: usize,
    /// Whose they are: the folders directly below the one that was named.
    pub publishers: BTreeSet<String>,
    /// Sources and archives that were not, and why.
    pub not_packaged: Vec<(PathBuf, String)>,
    /// Installations that left no record, and why.
    pub not_installed: Vec<(String, String)>,
    /// Releases that have a record.
    pub records: Vec<Record>,
    /// How many of them the operator trusts.
    pub trusted: usize,
    /// Verdicts that are not Trusted although nobody changed anything.
    pub alarms: Vec<(String, String)>,
    /// Installed from folders of which Helm packages another chart, and `NotBindable` therefore.
    pub other_charts: Vec<String>,
    /// Trusted, with findings.
    pub findings: BTreeMap<String, usize>,
    /// How often each alteration of a record was tried in the engine.
    pub altered: BTreeMap<&'static str, usize>,
    /// How often one was found, but not called tampering, as an old Helm or an installation from
    /// a folder gives the same: the release is not Trusted, but `NotBindable`.
    pub doubted: BTreeMap<&'static str, usize>,
    /// How many records were altered in the cluster, by the verdict that followed.
    pub altered_in_cluster: BTreeMap<String, usize>,
    /// Alterations that were not found.
    pub missed: Vec<(String, String)>,
    /// How long each step took.
    pub times: Vec<(&'static str, Duration)>,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Which Helm wrote it.
    pub version: Version,
    /// How the chart was installed.
    pub way: Way,
    /// Whether the cluster took the chart's own manifest.
    pub replaced: bool,
    /// Whether Helm says that the release is deployed.
    pub deployed: bool,
}

impl Report {
    /// Whether no honest release was doubted and no change was missed.
    pub fn is_good(&self) -> bool {
        self.alarms.is_empty() && self.missed.is_empty() && !self.records.is_empty()
    }

    /// Notes a doubt about an honest release, and says so at once: runs are long.
    pub(super) fn alarm(&mut self, release: String, cause: String) {
        eprintln!("false-alarms: alarm: {release}: {cause}");
        self.alarms.push((release, cause));
    }

    /// Notes a change that was not found, and says so at once.
    pub(super) fn miss(&mut self, release: String, what: String) {
        eprintln!("false-alarms: not found: {release}: {what}");
        self.missed.push((release, what));
    }

    fn count(&self, which: impl Fn(&Record) -> bool) -> usize {
        self.records.iter().filter(|record| which(record)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        group(f, "Not packaged", &self.not_packaged, |path| {
            path.display().to_string()
        })?;
        group(f, "Not installed", &self.not_installed, Clone::clone)?;
        writeln!(f, "Alarms: {}", self.alarms.len())?;
        for (release, cause) in &self.alarms {
            writeln!(f, "  {release}: {cause}")?;
        }
        let others = self.other_charts.len();
        writeln!(
            f,
            "NotBindable, as Helm packages another chart of the folder: {others}"
        )?;
        for release in &self.other_charts {
            writeln!(f, "  {release}")?;
        }
        writeln!(f, "Alterations not found: {}", self.missed.len())?;
        for (release, what) in &self.missed {
            writeln!(f, "  {release}: {what}")?;
        }
        writeln!(f, "Findings of trusted releases:")?;
        for (finding, count) in &self.findings {
            writeln!(f, "  {count:5}  {finding}")?;
        }
        writeln!(f, "Alterations of records in the engine:")?;
        for (name, count) in &self.altered {
            write!(f, "  {count:5}  {name}")?;
            match self.doubted.get(name) {
                Some(doubted) => writeln!(f, " ({doubted} of these NotBindable)")?,
                None => writeln!(f)?,
            }
        }
        self.summary(f)
    }
}

impl Report {
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let publishers = self.publishers.len();
        writeln!(
            f,
            "Charts: {} signed and published, of {publishers} publishers",
            self.charts
        )?;
        writeln!(f, "        {} not packaged", self.not_packaged.len())?;
        let same = self.statements;
        writeln!(
            f,
            "        {same} of which charttrust would sign what Helm signs"
        )?;
        let by = |version| self.count(|record| record.version == version);
        let (three, four) = (by(Version::V3), by(Version::V4));
        let total = self.records.len();
        writeln!(f, "Records: {total}, {three} by Helm 3, {four} by Helm 4")?;
        for way in [Way::Archive, Way::Folder, Way::Off, Way::On, Way::Reused] {
            writeln!(
                f,
                "  {:5}  {}",
                self.count(|record| record.way == way),
                way.words()
            )?;
        }
        let failed = self.count(|record| !record.deployed);
        writeln!(f, "  {failed:5}  of these in another state than deployed")?;
        let replaced = self.count(|record| record.replaced);
        writeln!(f, "  {replaced:5}  of these with a replaced manifest")?;
        writeln!(
            f,
            "Installations without a record: {}",
            self.not_installed.len()
        )?;
        let tried: usize = self.altered.values().sum();
        writeln!(f, "Altered: {tried} records in the engine")?;
        for (word, count) in &self.altered_in_cluster {
            writeln!(f, "  {count:5}  in the cluster, now {word}")?;
        }
        for (step, time) in &self.times {
            writeln!(f, "  {:5} s  {step}", time.as_secs())?;
        }
        let doubted: BTreeSet<_> = self.alarms.iter().map(|(release, _)| release).collect();
        let (bad, missed) = (doubted.len(), self.missed.len());
        let good = self.trusted;
        writeln!(
            f,
            "Trusted: {good} of {total}; false alarms: {bad}; not found: {missed}"
        )
    }
}

impl Way {
    fn words(self) -> &'static str {
        match self {
            Self::Archive => "from the archive",
            Self::Folder => "from the folder",
            Self::Off => "with all conditions off",
            Self::On => "with all conditions on",
            Self::Reused => "upgraded with --reuse-values",
        }
    }
}

pub(super) fn group<T>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    all: &[(T, String)],
    name: impl Fn(&T) -> String,
) -> fmt::Result {
    writeln!(f, "{title}: {}", all.len())?;
    let mut reasons = BTreeMap::<String, Vec<String>>::new();
    for (what, reason) in all {
        let told = name(what);
        let said = reason
            .rsplit_once("Error: ")
            .map_or(reason.as_str(), |(_, tail)| tail);
        let words: Vec<_> = said.split_whitespace().collect();
        let short = words.join(" ").chars().take(MAX_REASON).collect();
        reasons.entry(short).or_default().push(told);
    }
    for (reason, all) in reasons {
        writeln!(f, "  {reason}")?;
        for what in all {
            writeln!(f, "    {what}")?;
        }
    }
    Ok(())
}

/// Enough to tell reasons apart.
const MAX_REASON: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        let record = Record {
            version: Version::V3,
            way: Way::Archive,
            replaced: false,
            deployed: true,
        };
        Report {
            records: vec![record],
            trusted: 1,
            ..Report::default()
        }
    }

    fn told() -> Vec<(String, String)> {
        vec![(
            "web".to_owned(),
            "Error: x\n\nError: no\n  reason".to_owned(),
        )]
    }

    #[test]
    fn an_alarm_a_missed_change_and_nothing_at_all_are_not_good() {
        assert!(good().is_good());
        assert!(
            !Report {
                alarms: told(),
                ..good()
            }
            .is_good()
        );
        assert!(
            !Report {
                missed: told(),
                ..good()
            }
            .is_good()
        );
        assert!(!Report::default().is_good());
    }

    #[test]
    fn nothing_is_left_out_silently() {
        let report = Report {
            not_installed: told(),
            alarms: told(),
            ..good()
        }
        .to_string();
        assert!(
            report.contains("Not installed: 1\n  no reason\n    web\n"),
            "{report}"
        );
        assert!(
            report.contains("Trusted: 1 of 1; false alarms: 1; not found: 0"),
            "{report}"
        );
    }
}
