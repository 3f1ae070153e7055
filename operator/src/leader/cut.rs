//! Into how many ranges the namespaces are cut, as whoever only looks finds it.

use kube::api::ObjectMeta;

use super::keeper::{CHANGING, number};

/// Into how many ranges the namespaces are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The number changes.
    Changes,
    /// Into so many, more than one.
    Into(usize),
}

impl Cut {
    /// As the Lease of the first range says; nothing where nobody shares the work.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        match number(metadata)? {
            CHANGING => Some(Self::Changes),
            text => {
                let number = text.parse().ok().filter(|number| *number > 1);
                number.map(Self::Into)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SHARDS;
    use super::*;

    #[test]
    fn only_what_is_cut_has_ranges() {
        let of = |text: &str| {
            Cut::of(&ObjectMeta {
                annotations: Some([(SHARDS.to_owned(), text.to_owned())].into()),
                ..ObjectMeta::default()
            })
        };
        assert_eq!(of("2"), Some(Cut::Into(2)));
        assert_eq!(of(CHANGING), Some(Cut::Changes));
        for text in ["0", "1", "", "many"] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(Cut::of(&ObjectMeta::default()), None);
    }
}
