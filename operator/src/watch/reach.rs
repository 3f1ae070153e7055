//! Where objects of namespaced kinds are looked at: in the whole cluster, or in some namespaces only.
//!
//! Touches nothing. Whoever lists or follows asks here for the parts to do it in, so that nothing is asked
//! of the API server beyond them.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use kube::{Api, Client, Resource};

use super::others::Others;
use super::range::Range;

/// Where objects of namespaced kinds are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// In all namespaces.
    #[default]
    Everywhere,
    /// In these only.
    Only(BTreeSet<String>),
    /// In a share of all namespaces: what lies elsewhere is left out, by the server where it can.
    Share(Arc<Others>),
}

/// What one list or watch is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// All of it: every namespace, or a kind that lies in none.
    Whole,
    /// One namespace.
    Namespace(String),
    /// A share of all namespaces: all of them are asked for, and what lies in others is left out.
    Share(Range),
}

impl Reach {
    /// These namespaces; none named is everywhere.
    pub fn of(namespaces: impl IntoIterator<Item = String>) -> Self {
        let named: BTreeSet<_> = namespaces.into_iter().collect();
        if named.is_empty() {
            Self::Everywhere
        } else {
            Self::Only(named)
        }
    }

    /// What of it lies in a share of all namespaces.
    #[must_use]
    pub fn within(&self, range: Range) -> Self {
        match self {
            Self::Everywhere => Self::Share(Arc::new(Others::than(range))),
            Self::Only(namespaces) => {
                let here = namespaces.iter().filter(|name| range.contains(name));
                Self::Only(here.cloned().collect())
            }
            Self::Share(_) => self.clone(),
        }
    }

    /// The namespaces, if they are named.
    pub fn named(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Everywhere | Self::Share(_) => None,
            Self::Only(namespaces) => Some(namespaces),
        }
    }

    /// The namespaces that are not looked at, if a share is.
    pub fn others(&self) -> Option<&Arc<Others>> {
        match self {
            Self::Everywhere | Self::Only(_) => None,
            Self::Share(others) => Some(others),
        }
    }

    /// What has to be listed to see all of it.
    pub fn parts(&self) -> Vec<Part> {
        match self {
            Self::Everywhere => vec![Part::Whole],
            Self::Only(namespaces) => namespaces.iter().cloned().map(Part::Namespace).collect(),
            Self::Share(others) => vec![Part::Share(others.range())],
        }
    }

    /// The part in which a namespace lies, if it is looked at.
    pub fn part_of(&self, namespace: &str) -> Option<Part> {
        match self {
            Self::Everywhere => Some(Part::Whole),
            Self::Only(namespaces) => {
                let name = namespaces.get(namespace)?;
                Some(Part::Namespace(name.clone()))
            }
            Self::Share(others) => {
                let range = others.range();
                range.contains(namespace).then_some(Part::Share(range))
            }
        }
    }

    /// Whether a namespace is looked at.
    pub fn covers(&self, namespace: &str) -> bool {
        self.part_of(namespace).is_some()
    }
}

impl Part {
    /// The namespace, if it is one.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Whole | Self::Share(_) => None,
            Self::Namespace(name) => Some(name),
        }
    }

    /// Whether what lies in a namespace belongs to it.
    pub fn holds(&self, namespace: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Namespace(name) => name == namespace,
            Self::Share(range) => range.contains(namespace),
        }
    }

    /// What asks for the objects of a namespaced kind in it.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match self {
            Self::Whole | Self::Share(_) => Api::all(client.clone()),
            Self::Namespace(name) => Api::namespaced(client.clone(), name),
        }
    }

    /// The same of a kind that is known at run time only.
    pub fn api_with<K>(&self, client: &Client, resource: &ApiResource) -> Api<K>
    where
        K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
    {
        match self {
            Self::Whole | Self::Share(_) => Api::all_with(client.clone(), resource),
            Self::Namespace(name) => Api::namespaced_with(client.clone(), name, resource),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_is_what_is_listed() {
        let two = || ["bank", "shop"].map(str::to_owned);
        for (reach, parts) in [
            (Reach::of([]), vec![Part::Whole]),
            (Reach::of(two()), two().map(Part::Namespace).to_vec()),
        ] {
            assert_eq!(reach.parts(), parts);
            for namespace in ["bank", "shop", "shop2", "charttrust-system", ""] {
                let is_listed = parts.iter().any(|part| part.holds(namespace));
                assert_eq!(reach.covers(namespace), is_listed, "{namespace}");
                let part = reach.part_of(namespace);
                assert!(part.is_none_or(|part| parts.contains(&part)));
            }
        }
    }
}
