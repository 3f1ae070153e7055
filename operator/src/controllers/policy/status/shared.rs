//! Counts as replicas that share the work tell them each other.

use super::{Counted, NAMED};
use crate::api::bounds;
use crate::api::chart_trust_policy::{PolicyShard, UnknownCount};
use crate::api::shards::SilentSource;

impl Counted {
    /// As the others are told.
    pub(in crate::controllers) fn told(&self) -> PolicyShard {
        let unknown = self.causes.iter().map(|(cause, releases)| UnknownCount {
            cause: cause.clone(),
            releases: *releases,
        });
        let silent = self.silent.iter().map(|(url, message)| SilentSource {
            url: url.clone(),
            message: bounds::fit(message, bounds::MESSAGE),
        });
        let untrusted = self.untrusted.iter().take(NAMED);
        PolicyShard {
            releases: self.releases,
            unknown: unknown.take(bounds::SHORT_LIST).collect(),
            untrusted: untrusted
                .map(|one| bounds::fit(one, bounds::MESSAGE))
                .collect(),
            rules: self.rules.iter().take(bounds::LIST).cloned().collect(),
            silent: silent.take(bounds::SHORT_LIST).collect(),
            unheard: self
                .unheard
                .iter()
                .take(bounds::LONG_LIST)
                .cloned()
                .collect(),
            ..PolicyShard::default()
        }
    }

    /// With what others have counted. What was decided about quarantines is of all already.
    pub(in crate::controllers) fn with(mut self, others: &[PolicyShard]) -> Self {
        for other in others {
            self.releases.add(&other.releases);
            for UnknownCount { cause, releases } in &other.unknown {
                let count = self.causes.entry(cause.clone()).or_default();
                *count = count.saturating_add(*releases);
                self.could_not_tell = self.could_not_tell.saturating_add(*releases);
            }
            self.untrusted.extend(other.untrusted.iter().cloned());
            self.rules.extend(other.rules.iter().cloned());
            for SilentSource { url, message } in &other.silent {
                let known = self.silent.entry(url.clone()).or_default();
                if known.is_empty() {
                    known.clone_from(message);
                }
            }
            // Of what answered one of us, or was silent to one of us, something was heard.
            self.unheard.retain(|url| other.unheard.contains(url));
        }
        self.untrusted.sort();
        self
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};

    use super::*;

    fn counted(of: &[(&str, Verdict)]) -> Counted {
        let mut counted = Counted::default();
        for (name, verdict) in of {
            counted.add(name, *verdict);
        }
        counted
    }

    const ALL: [(&str, Verdict); 6] = [
        ("bank/a", Verdict::Untrusted(Reason::Unsigned)),
        ("bank/b", Verdict::Trusted(Basis::SignatureVerified)),
        ("bank/c", Verdict::Unknown(Cause::SourceUnavailable)),
        ("shop/a", Verdict::Untrusted(Reason::KeyCompromised)),
        ("shop/b", Verdict::Unknown(Cause::Exempt)),
        ("shop/c", Verdict::Unknown(Cause::SourceUnavailable)),
    ];

    /// However the releases are cut into ranges: what is told of all is what one replica would tell of them.
    #[test]
    fn counts_of_two_ranges_are_the_counts_of_all() {
        let whole = counted(&ALL);
        for cut in 0..1_u32 << ALL.len() {
            let is_here = |index: &usize| cut & (1 << index) != 0;
            let (ours, theirs): (Vec<_>, Vec<_>) = (0..ALL.len()).partition(|index| is_here(index));
            let part =
                |of: Vec<usize>| counted(&of.into_iter().map(|one| ALL[one]).collect::<Vec<_>>());
            let sum = part(ours).with(&[part(theirs).told()]);
            assert_eq!(format!("{sum:?}"), format!("{whole:?}"), "{cut:b}");
        }
    }

    #[test]
    fn a_source_is_unheard_only_where_nobody_has_heard_of_it() {
        let of = |unheard: &[&str], silent: &[(&str, &str)]| Counted {
            unheard: unheard.iter().map(|url| (*url).to_owned()).collect(),
            silent: silent
                .iter()
                .map(|(url, why)| ((*url).to_owned(), (*why).to_owned()))
                .collect(),
            ..Counted::default()
        };
        let ours = of(&["https://a", "https://b", "https://c"], &[]);
        let theirs = of(&["https://a", "https://b"], &[("https://c", "503")]);
        let sum = ours.with(&[theirs.told()]);
        assert_eq!(sum.unheard, ["https://a", "https://b"]);
        assert_eq!(sum.silent["https://c"], "503");
    }
}
