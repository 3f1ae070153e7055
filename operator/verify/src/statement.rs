//! The body of a provenance file as Helm writes it (`pkg/provenance/sign.go`, `messageBlock`), byte for byte.
//! May use `chart`, `provenance`, `yaml`, `digest` and `limits`.

use crate::chart::{
    ArchiveError, Chart, Dependency, Imports, Maintainer, Metadata, read_with_imports,
};
use crate::digest::Digested;
use crate::limits::ArchiveLimits;
use crate::provenance::SEPARATOR;
use crate::yaml::{self, Unwritable, Value};

/// What is signed for an archive.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The chart in the archive.
    pub chart: Chart,
    /// The text: metadata, three dots, and the digest of the archive.
    pub text: String,
}

/// Why there is nothing to sign.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// The archive cannot be read.
    #[error("the archive cannot be read")]
    Archive(#[source] ArchiveError),
    /// Helm would fail, or write something else than the archive has.
    #[error("Chart.yaml has what Helm cannot sign: {0}")]
    Unwritable(String),
}

/// What Helm signs for an archive under its own name.
///
/// # Errors
/// See [`StatementError`].
pub fn of(archive: &[u8], limits: &ArchiveLimits) -> Result<Statement, StatementError> {
    let archive = Digested::of(archive);
    let read = read_with_imports(&archive, limits);
    let (chart, imports) = read.map_err(StatementError::Archive)?;
    let sum = [(file_name(&chart), text(&archive.digest().to_string()))];
    let sums = object([("files", Value::Map(sum.into()))]);
    let write = |value: &Value| {
        let written = yaml::write(value);
        written.map_err(|error: Unwritable| StatementError::Unwritable(error.to_string()))
    };
    let text = format!(
        "{}{SEPARATOR}{}",
        write(&metadata(&chart.metadata, &imports))?,
        write(&sums)?
    );
    Ok(Statement { chart, text })
}

/// The name that Helm looks for in a provenance, and `helm package` gives to an archive.
pub fn file_name(chart: &Chart) -> String {
    let Metadata { name, version, .. } = &chart.metadata;
    format!("{name}-{version}.tgz")
}

/// What Go makes of the struct: what is empty is left out.
fn metadata(metadata: &Metadata, imports: &Imports) -> Value {
    let annotations = metadata.annotations.iter();
    let annotations = annotations.map(|(key, value)| (key.clone(), text(value)));
    let mut imports = imports.iter();
    let dependencies = metadata.dependencies.iter().map(|one| {
        let imports = imports.next().map(Vec::as_slice).unwrap_or_default();
        dependency(one, imports)
    });
    object([
        ("annotations", Value::Map(annotations.collect())),
        ("apiVersion", text(&metadata.api_version)),
        ("appVersion", text(&metadata.app_version)),
        ("condition", text(&metadata.condition)),
        ("dependencies", Value::List(dependencies.collect())),
        ("deprecated", Value::Bool(metadata.deprecated)),
        ("description", text(&metadata.description)),
        ("home", text(&metadata.home)),
        ("icon", text(&metadata.icon)),
        ("keywords", texts(&metadata.keywords)),
        ("kubeVersion", text(&metadata.kube_version)),
        (
            "maintainers",
            Value::List(metadata.maintainers.iter().map(maintainer).collect()),
        ),
        ("name", text(&metadata.name)),
        ("sources", texts(&metadata.sources)),
        ("tags", text(&metadata.tags)),
        ("type", text(&metadata.kind)),
        ("version", text(&metadata.version)),
    ])
}

fn maintainer(maintainer: &Maintainer) -> Value {
    object([
        ("email", text(&maintainer.email)),
        ("name", text(&maintainer.name)),
        ("url", text(&maintainer.url)),
    ])
}

fn dependency(dependency: &Dependency, imports: &[Value]) -> Value {
    let imports = imports.iter().map(through_json).collect();
    let mut pairs = filled([
        ("alias", text(&dependency.alias)),
        ("condition", text(&dependency.condition)),
        ("enabled", Value::Bool(dependency.enabled)),
        ("import-values", Value::List(imports)),
        ("tags", texts(&dependency.tags)),
        ("version", text(&dependency.version)),
    ]);
    // These two are there even if they are empty.
    pairs.push(("name".to_owned(), text(&dependency.name)));
    pairs.push(("repository".to_owned(), text(&dependency.repository)));
    Value::Map(pairs)
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Map(filled(fields))
}

/// The fields that are not empty.
fn filled<const N: usize>(fields: [(&str, Value); N]) -> Vec<(String, Value)> {
    let is_empty = |value: &Value| match value {
        Value::Bool(yes) => !yes,
        Value::Float(_) | Value::Int(_) => false,
        Value::List(items) => items.is_empty(),
        Value::Map(pairs) => pairs.is_empty(),
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
    };
    let fields = fields.into_iter().filter(|(_, value)| !is_empty(value));
    let named = fields.map(|(name, value)| (name.to_owned(), value));
    named.collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn texts(all: &[String]) -> Value {
    Value::List(all.iter().map(|one| text(one)).collect())
}

/// What is left of a free value when Helm has had it as JSON, where every number is a `float64`, and then as
/// YAML, where some are integers again.
fn through_json(value: &Value) -> Value {
    match value {
        Value::Int(number) => number_of(yaml::float64(*number)),
        Value::Float(number) => number_of(*number),
        Value::List(items) => Value::List(items.iter().map(through_json).collect()),
        Value::Map(pairs) => {
            let pairs = pairs.iter();
            let pairs = pairs.map(|(key, value)| (key.clone(), through_json(value)));
            Value::Map(pairs.collect())
        }
        Value::Bool(_) | Value::Null | Value::Text(_) => value.clone(),
    }
}

fn number_of(number: f64) -> Value {
    // As `encoding/json` writes it: shortest, and without an exponent below 1e21.
    let digits = number.to_string();
    let integer: Option<i128> = digits.parse().ok();
    let fits = |number: &i128| i64::try_from(*number).is_ok() || u64::try_from(*number).is_ok();
    integer
        .filter(fits)
        .map_or(Value::Float(number), Value::Int)
}
