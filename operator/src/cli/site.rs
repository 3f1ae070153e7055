//! Where the operator contains anything at all, as its leader tells in its Lease. Reads only.

use kube::Client;

use super::leading::Operator;
use crate::leader::Containing;
use crate::quarantine::PROTECTED;

/// What is known of how the operator contains.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// Namespaces in which nothing is ever changed.
    pub(super) protected: Vec<String>,
    /// Whether the operator contains at all, if that is known; else why not.
    enabled: Result<bool, String>,
}

impl Site {
    /// What the leader has told.
    pub(super) async fn of(client: &Client, operator: &Operator) -> Self {
        let namespace = &operator.operator_namespace;
        match operator.lease(client).await {
            Ok(lease) => match Containing::of(&lease.metadata) {
                Some(told) => Self::told(told),
                None => Self::unknown(namespace, "its Lease does not tell it".to_owned()),
            },
            Err(why) => Self::unknown(namespace, why),
        }
    }

    fn told(told: Containing) -> Self {
        Self {
            protected: told.protected.into_iter().collect(),
            enabled: Ok(told.enabled),
        }
    }

    /// What every operator protects, whoever runs it.
    fn unknown(namespace: &str, why: String) -> Self {
        Self {
            protected: vec![PROTECTED.to_owned(), namespace.to_owned()],
            enabled: Err(why),
        }
    }

    /// Whether nothing is ever changed in a namespace.
    pub(super) fn protects(&self, namespace: &str) -> bool {
        self.protected.iter().any(|one| one == namespace)
    }

    /// Whether it is known that nothing is contained anywhere.
    pub(super) fn is_disabled(&self) -> bool {
        self.enabled == Ok(false)
    }

    /// What is to be said beside every preview.
    pub(super) fn caveat(&self) -> Option<String> {
        match &self.enabled {
            Ok(true) => None,
            Ok(false) => Some(
                "the operator runs without --quarantine: it will change nothing of this".to_owned(),
            ),
            Err(why) => Some(format!(
                "not checked whether the operator runs with --quarantine, and whether it protects other \
                 namespaces than {}: {why}",
                self.protected.join(" and ")
            )),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An operator that contains, or does not, and protects these beside what every one does.
    pub(in super::super) fn site(enabled: Option<bool>, protected: &[&str]) -> Site {
        let protected = [PROTECTED, "charttrust-system"].iter().chain(protected);
        let protected: Vec<_> = protected.map(ToString::to_string).collect();
        Site {
            protected,
            enabled: enabled.ok_or_else(|| "forbidden".to_owned()),
        }
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert_eq!(site(Some(true), &[]).caveat(), None);
        let off = site(Some(false), &[]);
        assert!(off.is_disabled() && off.caveat().unwrap().contains("without --quarantine"));
        let unknown = site(None, &[]);
        assert!(!unknown.is_disabled());
        let caveat = unknown.caveat().unwrap();
        for part in [
            "not checked",
            "kube-system and charttrust-system",
            "forbidden",
        ] {
            assert!(caveat.contains(part), "{caveat}");
        }
    }
}
