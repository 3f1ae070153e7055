//! Breaking the glass: for a time everything is let in. Pure.

use jiff::{SignedDuration, Timestamp};

use super::timestamp;

/// What is written about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Glass {
    /// It is broken until then.
    Broken(Timestamp),
    /// Somebody has written what does not count, and why not.
    Ignored(String),
    /// Nothing, or it is over.
    #[default]
    Whole,
}

impl Glass {
    /// What an annotation means now.
    pub fn of(written: Option<&str>, now: Timestamp) -> Self {
        let Some(written) = written else {
            return Self::Whole;
        };
        let Ok(until) = timestamp(written) else {
            return Self::Ignored(format!(
                "is no time: write it as {} (UTC)",
                "2026-11-18T06:00:00Z"
            ));
        };
        if until <= now {
            return Self::Whole;
        }
        if until.duration_since(now) > LONGEST {
            return Self::Ignored("is more than 24 hours ahead: name an earlier time".to_owned());
        }
        Self::Broken(until)
    }
}

/// What is meant for a night must not be forgotten for a year.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glass_is_broken_for_a_day_at_most() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let of = |written| Glass::of(Some(written), now);
        assert_eq!(Glass::of(None, now), Glass::Whole);
        assert_eq!(of("2026-11-30T12:00:00Z"), Glass::Whole);
        let second = "2026-11-30T12:00:01Z";
        assert_eq!(of(second), Glass::Broken(second.parse().unwrap()));
        let longest = "2026-12-01T12:00:00Z";
        assert_eq!(of(longest), Glass::Broken(longest.parse().unwrap()));
        for ignored in ["2026-12-01T12:00:01Z", "tomorrow", "", "2026-12-01"] {
            assert!(matches!(of(ignored), Glass::Ignored(_)), "{ignored}");
        }
    }
}
