//! One Pod, and what controls it.

use serde_json::Value;

use super::fields;
use super::policies::{self, Labels};

/// A Pod, reduced to what tells whose it is.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) labels: Labels,
    controller: Option<[String; 3]>,
    pub(super) has_ended: bool,
    pub(super) is_on_node: bool,
}

impl Pod {
    /// What is needed of it.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let phase = fields::text(object, &["status", "phase"]);
        let controller = owner(object).map(|one| [one.kind, one.name, one.uid].map(str::to_owned));
        Some(Self {
            name: fields::text(object, &["metadata", "name"])?.to_owned(),
            labels: policies::labels(object, &["metadata", "labels"]),
            controller,
            has_ended: matches!(phase, Some("Failed" | "Succeeded")),
            is_on_node: fields::value(object, &["spec", "nodeName"]).is_some(),
        })
    }

    /// Who controls it.
    pub(super) fn owner(&self) -> Option<Owner<'_>> {
        let [kind, name, uid] = self.controller.as_ref()?;
        Some(Owner { kind, name, uid })
    }
}

/// What an object says of the one that controls it.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
}

/// uid of the object that controls this one.
pub(super) fn controller(object: &Value) -> Option<&str> {
    owner(object).map(|owner| owner.uid)
}

/// What an object says of the one that controls it.
pub(super) fn owner(object: &Value) -> Option<Owner<'_>> {
    let owners = fields::value(object, &["metadata", "ownerReferences"])?.as_array()?;
    let is_controller = |owner: &&Value| owner.get("controller") == Some(&Value::Bool(true));
    let found = owners.iter().find(is_controller)?;
    let text = |name: &str| fields::text(found, &[name]);
    Some(Owner {
        kind: text("kind").unwrap_or_default(),
        name: text("name").unwrap_or_default(),
        uid: text("uid")?,
    })
}
