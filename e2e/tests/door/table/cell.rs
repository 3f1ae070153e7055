//! What is done, and what was seen of it.

use charttrust_verify::verdict::{Cause, Reason};

/// The mode of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Warn,
    Enforce,
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Warn, Self::Enforce];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Warn => "Warn",
            Self::Enforce => "Enforce",
        }
    }
}

/// What is true of the chart, or of the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    Trusted,
    Unsigned,
    /// Another content than what its publisher has signed under that name and version.
    Tampered,
    /// Signed by a key that was stolen.
    Stolen,
    /// Its source does not answer.
    Unknown,
    /// Nobody listens where the webhook was. The chart is not signed.
    Down,
    /// The webhook hangs. The chart is not signed.
    Late,
}

impl Case {
    pub(crate) const ALL: [Self; 7] = [
        Self::Trusted,
        Self::Unsigned,
        Self::Tampered,
        Self::Stolen,
        Self::Unknown,
        Self::Down,
        Self::Late,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Unsigned => "unsigned",
            Self::Tampered => "tampered",
            Self::Stolen => "stolen key",
            Self::Unknown => "source silent",
            Self::Down => "webhook down",
            Self::Late => "answers too late",
        }
    }

    /// A name of objects.
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The word that the policy says of it, if the webhook can say anything.
    pub(crate) fn word(self) -> Option<&'static str> {
        Some(match self {
            Self::Unsigned => Reason::Unsigned.word(),
            Self::Tampered => Reason::ContentMismatch.word(),
            Self::Stolen => Reason::KeyCompromised.word(),
            Self::Unknown => Cause::SourceUnavailable.word(),
            Self::Trusted | Self::Down | Self::Late => return None,
        })
    }

    /// Whether a policy of this mode that lets in what cannot be told refuses it.
    pub(crate) fn is_refused(self, mode: Mode) -> bool {
        let is_untrusted = matches!(self, Self::Unsigned | Self::Tampered | Self::Stolen);
        mode == Mode::Enforce && is_untrusted
    }
}

/// What runs of a release, and what is stored of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Name and version of the chart that its workload is made of.
    pub(crate) runs: Option<String>,
    /// The status of each record, in the order of revisions.
    pub(crate) records: Vec<String>,
}

/// What was seen of one cell.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) before: State,
    pub(crate) after: State,
    /// What whoever did it was told, and whether it was done.
    pub(crate) said: Result<String, String>,
}

impl Seen {
    /// The cell as the page has it.
    pub(crate) fn text(&self) -> String {
        let fate = match (&self.said, self.refusal(), self.warnings().as_slice()) {
            (Err(_), Some(word), _) => format!("refused `{word}`"),
            (Err(_), None, _) => "fails without us".to_owned(),
            (Ok(_), _, []) if self.before == self.after => "not asked".to_owned(),
            (Ok(_), _, []) => "in".to_owned(),
            (Ok(_), _, words) => format!("in, warned `{}`", words.join("`, `")),
        };
        format!("{fate}: {}", self.running())
    }

    fn running(&self) -> &'static str {
        match (&self.before.runs, &self.after.runs) {
            (before, Some(after)) if before.as_ref() == Some(after) => "earlier runs",
            (_, Some(_)) => "new runs",
            (Some(_), None) => "**nothing is left**",
            (None, None) => "nothing runs",
        }
    }

    /// Why it was refused, if our webhook did.
    pub(crate) fn refusal(&self) -> Option<&str> {
        let said = self.said.as_ref().err()?;
        let (_, told) = said.split_once("denied the request: release ")?;
        let (_, word) = told.split_once("): ")?;
        word.split_once(" by policy ").map(|(word, _)| word)
    }

    /// The words of our warnings, each as often as it was told.
    pub(crate) fn warnings(&self) -> Vec<&str> {
        let said = match &self.said {
            Ok(said) | Err(said) => said,
        };
        let warnings = said.split("charttrust: ").skip(1);
        let words = warnings.filter_map(|warning| {
            let told = warning.strip_prefix("is not trusted: ");
            let told = told.or_else(|| warning.strip_prefix("was not checked: "));
            told?.split_once(" (policy ").map(|(word, _)| word)
        });
        words.collect()
    }

    /// What must be true of every cell, whatever the page says. The word that is expected of the case here is given.
    pub(crate) fn holds(
        &self,
        (case, expected): (Case, Option<&str>),
        mode: Mode,
        policy: &str,
    ) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{what}: {self:#?}"));
        let is_pending = |state: &State| state.records.iter().any(|one| one.starts_with("pending"));
        if is_pending(&self.after) && !is_pending(&self.before) {
            return wrong("a release is stuck");
        }
        if self.warnings().len() > 1 {
            return wrong("a policy warns twice");
        }
        let Some(word) = self.refusal() else {
            if self
                .warnings()
                .first()
                .is_some_and(|word| Some(*word) != expected)
            {
                return wrong("a warning says something else");
            }
            return Ok(());
        };
        if !case.is_refused(mode) || Some(word) != expected {
            return wrong("it must not be refused so");
        }
        let said = self.said.as_ref().err().map_or("", String::as_str);
        let reason = Reason::ALL.iter().find(|reason| reason.word() == word);
        let step = reason.map_or("", |reason| reason.step());
        for part in [
            format!("by policy {policy}, rule all").as_str(),
            step,
            format!("More: charttrust explain {word}").as_str(),
        ] {
            if part.is_empty() || !said.contains(part) {
                return wrong(&format!("the refusal does not say {part:?}"));
            }
        }
        Ok(())
    }
}
