//! Credentials and certificate authorities of sources, read from the operator's own namespace.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use charttrust_verify::policy::{self, CaRef};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::ListParams;
use zeroize::Zeroizing;

use super::Context;
use super::watches::OwnObject;
use crate::sources::{Credentials, Source};
use crate::watch::within_deadline;

/// Sources that were asked, with the versions of the objects that say how.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<policy::Source, Resolved>>);

#[derive(Debug)]
struct Resolved {
    versions: Versions,
    /// The source with its credentials, unless they could not be read.
    source: Option<Source>,
}

type Versions = [Option<String>; 2];

/// The source with its credentials. The error names the object and the next step.
pub(super) async fn resolve(context: &Context, wanted: &policy::Source) -> Result<Source, String> {
    let versions = versions(context, wanted);
    if let Some(source) = context.credentials.find(wanted, &versions) {
        return Ok(source);
    }
    let read = read(context, wanted).await;
    let source = read.as_ref().ok().cloned();
    context
        .credentials
        .keep(wanted, Resolved { versions, source });
    read
}

async fn read(context: &Context, wanted: &policy::Source) -> Result<Source, String> {
    Ok(Source {
        url: wanted.url.clone(),
        mirrors: wanted.mirrors.clone(),
        credentials: match &wanted.credentials_secret {
            Some(name) => Some(credentials(context, name).await?),
            None => None,
        },
        ca: match &wanted.ca {
            Some(place) => Some(authority(context, place).await?),
            None => None,
        },
    })
}

/// The sources that name an object and were last asked when it was another than now.
pub(super) fn outdated(context: &Context, object: &OwnObject) -> Vec<policy::Source> {
    let asked = context.credentials.asked();
    let is_outdated = |(source, versions): &(policy::Source, Versions)| {
        let mut objects = objects(source).into_iter().flatten();
        objects.any(|one| one == *object) && *versions != self::versions(context, source)
    };
    let outdated = asked.into_iter().filter(is_outdated);
    outdated.map(|(source, _)| source).collect()
}

fn versions(context: &Context, wanted: &policy::Source) -> Versions {
    let version = |object: OwnObject| context.mirrors.own_version(&object).map(|v| (*v).clone());
    objects(wanted).map(|object| object.and_then(version))
}

/// Where the credentials and the authorities of a source lie.
fn objects(wanted: &policy::Source) -> [Option<OwnObject>; 2] {
    let secret = wanted.credentials_secret.clone().map(OwnObject::Secret);
    let ca = wanted.ca.clone().map(|ca| match ca {
        CaRef::ConfigMap(name) => OwnObject::ConfigMap(name),
        CaRef::Secret(name) => OwnObject::Secret(name),
    });
    [secret, ca]
}

impl Cache {
    fn find(&self, wanted: &policy::Source, versions: &Versions) -> Option<Source> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = cache
            .get(wanted)
            .filter(|resolved| resolved.versions == *versions)?;
        found.source.clone()
    }

    fn asked(&self) -> Vec<(policy::Source, Versions)> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = cache.iter();
        all.map(|(source, resolved)| (source.clone(), resolved.versions.clone()))
            .collect()
    }

    fn keep(&self, wanted: &policy::Source, resolved: Resolved) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_SOURCES {
            cache.clear();
        }
        cache.insert(wanted.clone(), resolved);
    }
}

/// Most sources kept; more than any cluster has, so that edits cannot fill the memory.
const MAX_SOURCES: usize = 1024;

/// By the keys of the Secret, whatever its type.
async fn credentials(context: &Context, name: &str) -> Result<Credentials, String> {
    let mut data = secret(context, name).await?;
    let mut text = |key: &str| {
        let bytes = data.remove(key)?.0;
        Some(Zeroizing::new(String::from_utf8(bytes).ok()?))
    };
    if let (Some(username), Some(password)) = (text("username"), text("password")) {
        return Ok(Credentials::Basic { username, password });
    }
    if let Some(token) = text("bearerToken") {
        return Ok(Credentials::Bearer(token));
    }
    match (data.remove("tls.crt"), data.remove("tls.key")) {
        (Some(cert), Some(key)) => Ok(Credentials::Tls {
            cert: cert.0,
            key: Zeroizing::new(key.0),
        }),
        _ => Err(format!(
            "Secret {name} in namespace {} has none of username and password, bearerToken, \
             tls.crt and tls.key",
            context.namespace
        )),
    }
}

async fn authority(context: &Context, place: &CaRef) -> Result<Vec<u8>, String> {
    let (kind, name, found) = match place {
        CaRef::Secret(name) => {
            let found = secret(context, name)
                .await?
                .remove(CA_KEY)
                .map(|bytes| bytes.0);
            ("Secret", name, found)
        }
        CaRef::ConfigMap(name) => ("ConfigMap", name, config_map(context, name).await?),
    };
    let namespace = &context.namespace;
    found.ok_or_else(|| format!("{kind} {name} in namespace {namespace} has no {CA_KEY}"))
}

const CA_KEY: &str = "ca.crt";

async fn secret(
    context: &Context,
    name: &str,
) -> Result<std::collections::BTreeMap<String, ByteString>, String> {
    let api = Api::<Secret>::namespaced(context.client.clone(), &context.namespace);
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    let list = within_deadline(api.list(&params))
        .await
        .map_err(|_| unread("Secret", name))?;
    let found = list.items.into_iter().next();
    let found = found.ok_or_else(|| absent("Secret", name, &context.namespace))?;
    Ok(found.data.unwrap_or_default())
}

async fn config_map(context: &Context, name: &str) -> Result<Option<Vec<u8>>, String> {
    let api = Api::<ConfigMap>::namespaced(context.client.clone(), &context.namespace);
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    let list = within_deadline(api.list(&params))
        .await
        .map_err(|_| unread("ConfigMap", name))?;
    let found = list.items.into_iter().next();
    let found = found.ok_or_else(|| absent("ConfigMap", name, &context.namespace))?;
    Ok(found
        .data
        .unwrap_or_default()
        .remove(CA_KEY)
        .map(String::into_bytes))
}

fn absent(kind: &str, name: &str, namespace: &str) -> String {
    format!("{kind} {name} does not exist in namespace {namespace}; create it there")
}

fn unread(kind: &str, name: &str) -> String {
    format!("the API server did not give {kind} {name}")
}
