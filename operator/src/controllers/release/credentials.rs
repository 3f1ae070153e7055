//! Credentials and certificate authorities of sources, read from the operator's own namespace. With
//! `--read-deployer-secrets` credentials of what deploys a release too, from where that lies.

use std::collections::BTreeMap;

use charttrust_verify::policy::{self, CaRef, SecretName};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use zeroize::Zeroizing;

use crate::clock;
use crate::controllers::cache::OwnObject;
use crate::controllers::context::Context;
use crate::controllers::own;
use crate::controllers::store::credentials::{Resolved, Versions};
use crate::controllers::tokens;
use crate::sources::{Credentials, NoLogin, ProvenanceAt, Source, docker_login};
use crate::watch::within_deadline;

/// The source with its credentials. The error names the object and the next step.
pub(in crate::controllers) async fn resolve(
    context: &Context,
    wanted: &policy::Source,
) -> Result<Source, String> {
    let source = declared(context, wanted).await?;
    let credentials = match (&wanted.token_audience, &wanted.deployer_secret) {
        (Some(audience), _) => Some(Credentials::Renewed {
            audience: audience.clone(),
            token: tokens::token(context, (&wanted.url, audience)).await?,
        }),
        (None, Some(secret)) => of_deployer(context, secret, &wanted.url).await?,
        (None, None) => return Ok(source),
    };
    Ok(Source {
        credentials,
        ..source
    })
}

/// What a Secret of a deployer has to be shown at the address that the same object names; nothing if it has
/// authorities only. Read at each look and not kept: it is followed nowhere.
async fn of_deployer(
    context: &Context,
    SecretName { namespace, name }: &SecretName,
    url: &str,
) -> Result<Option<Credentials>, String> {
    let place = place(name, namespace);
    let secrets = Api::<Secret>::namespaced(context.client.clone(), namespace);
    let found = within_deadline(secrets.get_opt(name)).await;
    let found = found.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "the operator may not read {place}; sources.readDeployerSecrets of the chart grants it"
        ),
        _ => format!("the API server did not give {place}"),
    })?;
    let data = found.ok_or_else(|| format!("{place} does not exist"))?.data;
    let data = data.unwrap_or_default();
    let has = |key: &str| data.contains_key(key);
    if has(CA_KEY) && !LOGINS.into_iter().any(has) {
        return Ok(None);
    }
    login(data, &place, url).map(Some)
}

/// The source with a token in place of the one that was refused, if there is another.
pub(in crate::controllers) async fn renewed(
    context: &Context,
    wanted: &policy::Source,
    refused: &Source,
) -> Option<Source> {
    let Some(Credentials::Renewed { audience, token }) = &refused.credentials else {
        return None;
    };
    let tokens = &context.tokens;
    if !tokens.forget(audience, token, clock::tick()) {
        return None;
    }
    let source = resolve(context, wanted).await.ok()?;
    Some(Source {
        mirrors: refused.mirrors.clone(),
        ..source
    })
}

/// The source with what lies in objects.
async fn declared(context: &Context, wanted: &policy::Source) -> Result<Source, String> {
    let versions = versions(context, wanted);
    if let Some(source) = context.store.credentials.find(wanted, &versions) {
        return Ok(source);
    }
    let read = read(context, wanted).await;
    let source = read.as_ref().ok().cloned();
    context
        .store
        .credentials
        .keep(wanted, Resolved { versions, source });
    read
}

async fn read(context: &Context, wanted: &policy::Source) -> Result<Source, String> {
    Ok(Source {
        url: wanted.url.clone(),
        mirrors: wanted.mirrors.clone(),
        credentials: match &wanted.credentials_secret {
            Some(name) => Some(credentials(context, name, &wanted.url).await?),
            None => None,
        },
        ca: match &wanted.ca {
            Some(place) => Some(authority(context, place).await?),
            None => None,
        },
        provenance: match &wanted.provenance {
            Some(elsewhere) => Some(provenance(context, elsewhere).await?),
            None => None,
        },
    })
}

async fn provenance(
    context: &Context,
    elsewhere: &policy::ProvenanceAt,
) -> Result<ProvenanceAt, String> {
    let url = elsewhere.url.clone();
    let credentials = match &elsewhere.credentials_secret {
        Some(name) => Some(credentials(context, name, &url).await?),
        None => None,
    };
    Ok(ProvenanceAt { url, credentials })
}

/// The sources that name an object and were last asked when it was another than now.
pub(in crate::controllers) fn outdated(
    context: &Context,
    object: &OwnObject,
) -> Vec<policy::Source> {
    let asked = context.store.credentials.asked();
    let is_outdated = |(source, versions): &(policy::Source, Versions)| {
        let mut objects = objects(source).into_iter().flatten();
        objects.any(|one| one == *object) && *versions != self::versions(context, source)
    };
    let outdated = asked.into_iter().filter(is_outdated);
    outdated.map(|(source, _)| source).collect()
}

fn versions(context: &Context, wanted: &policy::Source) -> Versions {
    let version = |object: OwnObject| context.cache.own_version(&object).map(|v| (*v).clone());
    objects(wanted).map(|object| object.and_then(version))
}

/// Where the credentials and the authorities of a source, and the credentials for its statements, lie.
fn objects(wanted: &policy::Source) -> [Option<OwnObject>; 3] {
    let secret = wanted.credentials_secret.clone().map(OwnObject::Secret);
    let ca = wanted.ca.clone().map(|ca| match ca {
        CaRef::ConfigMap(name) => OwnObject::ConfigMap(name),
        CaRef::Secret(name) => OwnObject::Secret(name),
    });
    let elsewhere = wanted.provenance.as_ref();
    let of_provenance = elsewhere.and_then(|it| it.credentials_secret.clone());
    [secret, ca, of_provenance.map(OwnObject::Secret)]
}

async fn credentials(context: &Context, name: &str, url: &str) -> Result<Credentials, String> {
    let data = secret(context, name).await?;
    login(data, &place(name, &context.settings.namespace), url)
}

/// By the keys of a Secret, whatever its type. `place` is what it is called.
fn login(
    mut data: BTreeMap<String, ByteString>,
    place: &str,
    url: &str,
) -> Result<Credentials, String> {
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
    if let Some(config) = data.remove(DOCKER_CONFIG) {
        let config = Zeroizing::new(config.0);
        let named = |why: NoLogin| format!("{place}: {DOCKER_CONFIG} {why}");
        return docker_login(&config, url).map_err(named);
    }
    match (data.remove("tls.crt"), data.remove("tls.key")) {
        (Some(cert), Some(key)) => Ok(Credentials::Tls {
            cert: cert.0,
            key: Zeroizing::new(key.0),
        }),
        _ => Err(format!(
            "{place} has none of username and password, bearerToken, .dockerconfigjson, tls.crt and tls.key"
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
    let namespace = &context.settings.namespace;
    found.ok_or_else(|| format!("{kind} {name} in namespace {namespace} has no {CA_KEY}"))
}

fn place(name: &str, namespace: &str) -> String {
    format!("Secret {name} in namespace {namespace}")
}

/// The keys by which something is shown.
const LOGINS: [&str; 5] = [
    "username",
    "password",
    "bearerToken",
    DOCKER_CONFIG,
    "tls.crt",
];
const DOCKER_CONFIG: &str = ".dockerconfigjson";
const CA_KEY: &str = "ca.crt";

async fn secret(context: &Context, name: &str) -> Result<BTreeMap<String, ByteString>, String> {
    let found = own::find::<Secret>(context, name).await;
    let found = found.map_err(|_| unread("Secret", name))?;
    let found = found.ok_or_else(|| absent("Secret", name, &context.settings.namespace))?;
    Ok(found.data.unwrap_or_default())
}

async fn config_map(context: &Context, name: &str) -> Result<Option<Vec<u8>>, String> {
    let found = own::find::<ConfigMap>(context, name).await;
    let found = found.map_err(|_| unread("ConfigMap", name))?;
    let found = found.ok_or_else(|| absent("ConfigMap", name, &context.settings.namespace))?;
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
