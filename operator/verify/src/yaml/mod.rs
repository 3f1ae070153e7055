//! YAML as Helm reads and writes it: `sigs.k8s.io/yaml` over go-yaml v2, which is YAML 1.1.
//!
//! The event parser underneath speaks YAML 1.2 syntax; what a plain scalar *means* is decided here
//! (`scalar.rs`), as go-yaml's `resolve.go` does. Touches nothing but the text.

mod float;
mod natural;
mod older;
mod scalar;
mod tree;
mod write;

pub(crate) use float::{float64, general_f32, general_f64};
pub(crate) use scalar::lossy;
pub(crate) use tree::{Reading, document};
pub(crate) use write::{Unwritable, write};

/// A document could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum YamlError {
    #[error("it uses YAML that Helm cannot turn into JSON")]
    NotJson,
    #[error("it uses anchors, aliases, tags or repeated keys")]
    NotPlain,
    #[error("it is not valid YAML")]
    Syntax,
    #[error("it is too deep or too large")]
    TooLarge,
}

/// A value as Helm's YAML or JSON reader sees it.
///
/// The keys of a mapping out of YAML are sorted and unique, as `json.Marshal` writes them. Those
/// out of JSON keep the order and the repetitions of the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    /// Counts the values in it, itself and keys included.
    pub(crate) fn nodes(&self) -> usize {
        tree::cost(self).0
    }
}
