//! Tokens of the operator's own `ServiceAccount`, for sources whose policy asks for them.
//!
//! Asks the API server for tokens and writes nothing: they live in memory, and end by themselves. A policy
//! alone has none sent: an administrator pairs each host with its audience (`--token-audience`).

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use zeroize::Zeroizing;

use super::context::Context;
use super::own;
use super::store::tokens::{Account, Refused, SHORTEST_LIFE, Token};
use crate::clock;
use crate::watch::within_deadline;

/// A token that may be sent to an address. The error says what to do.
pub(super) async fn token(
    context: &Context,
    (address, audience): (&str, &str),
) -> Result<Zeroizing<String>, String> {
    let tokens = &context.tokens;
    let account = checked(context, address, audience).await?;
    let _turn = tokens.turn.lock().await;
    if let Some(kept) = tokens.find(audience, clock::tick()) {
        return Ok(kept.text);
    }
    let asked = clock::tick();
    let (text, life) = request(context, &account.name, audience).await?;
    let token = Token {
        issued: asked,
        ends: asked + life.saturating_sub(life / 5),
        text: text.clone(),
    };
    tokens.keep(audience, token);
    Ok(text)
}

async fn checked<'a>(
    context: &'a Context,
    address: &str,
    audience: &str,
) -> Result<&'a Account, String> {
    let (tokens, pairs) = (&context.tokens, &context.settings.token_audiences);
    let told = |refused: Refused| format!("the audience {audience:?} {refused}");
    // Before anything is asked for.
    tokens.check(pairs, (address, audience)).map_err(told)?;
    let was_known = tokens.are_known();
    let account = tokens.account.get_or_try_init(|| learn(context)).await?;
    if !was_known {
        context.judge_policies_again();
    }
    tokens.check(pairs, (address, audience)).map_err(told)?;
    Ok(account)
}

/// Who the operator is, and which audiences are the API server's: those of a token that names none.
async fn learn(context: &Context) -> Result<Account, String> {
    let reviews = Api::<SelfSubjectReview>::all(context.client.clone());
    let (params, review) = (PostParams::default(), SelfSubjectReview::default());
    let answer = within_deadline(reviews.create(&params, &review)).await;
    let answer = answer.map_err(|_| "the API server did not say who the operator is".to_owned())?;
    let user = answer.status.and_then(|status| status.user_info?.username);
    let prefix = format!("system:serviceaccount:{}:", context.settings.namespace);
    let name = user.as_deref().and_then(|user| user.strip_prefix(&prefix));
    let name = name.ok_or_else(|| {
        let namespace = &context.settings.namespace;
        format!("kubernetesToken needs an operator that runs as a ServiceAccount of namespace {namespace}")
    })?;
    let answer = issue(context, name, Vec::new()).await?;
    let of_api_server: BTreeSet<_> = answer.spec.audiences.into_iter().collect();
    if of_api_server.is_empty() {
        return Err("the API server did not say which audiences are its own".to_owned());
    }
    Ok(Account {
        name: name.to_owned(),
        of_api_server,
    })
}

/// A token, and how long it is good for.
async fn request(
    context: &Context,
    account: &str,
    audience: &str,
) -> Result<(Zeroizing<String>, Duration), String> {
    let answer = issue(context, account, vec![audience.to_owned()]).await?;
    let none = || format!("the API server gave no token for the audience {audience:?}");
    let status = answer.status.ok_or_else(none)?;
    let text = Zeroizing::new(status.token);
    if answer.spec.audiences != [audience] || text.is_empty() {
        return Err(none());
    }
    let life = status.expiration_timestamp.0.duration_since(clock::now());
    let life = Duration::try_from(life).unwrap_or_default();
    Ok((text, life.clamp(SHORTEST_LIFE, LIFE)))
}

async fn issue(
    context: &Context,
    account: &str,
    audiences: Vec<String>,
) -> Result<TokenRequest, String> {
    let accounts = own::api::<ServiceAccount>(context);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences,
            expiration_seconds: i64::try_from(LIFE.as_secs()).ok(),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    let answer = within_deadline(accounts.create_token_request(account, &params, &request)).await;
    answer.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "the operator may not ask for tokens of its ServiceAccount {account}; sources.tokenAudiences of \
             the chart grants it"
        ),
        _ => format!("the API server gave no token of the ServiceAccount {account}"),
    })
}

/// How long a token is asked for.
const LIFE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use charttrust_verify::policy::Source;
    use serde_json::json;

    use super::*;
    use crate::controllers::release::credentials::{renewed, resolve};
    use crate::controllers::testing::{POLICY, Scene};
    use crate::fake_cluster::API_SERVER;
    use crate::sources::Credentials;

    const ADDRESS: &str = "https://charts.example.com";
    const AUDIENCE: &str = "charts.test";

    async fn paired(pairs: &[&str]) -> Scene {
        let mut scene = Scene::automatic().await;
        let pairs = pairs.iter().map(|pair| pair.parse().unwrap());
        scene.context.settings.token_audiences = pairs.collect();
        scene
    }

    fn wanted(url: &str, audience: &str) -> Source {
        Source {
            token_audience: Some(audience.to_owned()),
            ..Source::at(url)
        }
    }

    /// For whom tokens were asked for.
    fn asked(scene: &Scene) -> Vec<String> {
        let writes = scene.cluster.writes();
        let tokens = writes.iter().filter(|write| write.path.ends_with("/token"));
        let audiences = tokens.map(|write| write.body["spec"]["audiences"].to_string());
        audiences.collect()
    }

    fn sent(source: &crate::sources::Source) -> String {
        match &source.credentials {
            Some(Credentials::Renewed { token, .. }) => token.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_for_its_audience() {
        let scene = paired(&["charts.example.com=charts.test"]).await;
        let source = wanted(ADDRESS, AUDIENCE);
        let (one, other) = tokio::join!(
            resolve(&scene.context, &source),
            resolve(&scene.context, &source)
        );
        assert_eq!(sent(&one.unwrap()), sent(&other.unwrap()));
        // The first names none, and says by that which audiences are the API server's.
        let audiences = asked(&scene);
        assert!(audiences.len() == 2, "{audiences:?}");
        assert_eq!(audiences[1], json!([AUDIENCE]).to_string());
        let path = "/api/v1/namespaces/charttrust-system/serviceaccounts/operator/token";
        let writes = scene.cluster.writes();
        let mut tokens = writes.iter().filter(|write| write.path.ends_with("/token"));
        assert!(tokens.all(|write| write.path == path));
    }

    /// Whoever may write policies has no token made, and none sent.
    #[tokio::test]
    async fn a_forged_policy_has_no_token_made() {
        let pairs = [
            "charts.example.com=charts.test",
            "other.example.com=other.test",
        ];
        for (url, audience) in [
            (ADDRESS, "other.test"),
            (ADDRESS, "anything"),
            (ADDRESS, API_SERVER),
            ("https://charts.example.com:8443", AUDIENCE),
            ("http://charts.example.com", AUDIENCE),
            ("https://evil.example.com", AUDIENCE),
            ("https://other.example.com", AUDIENCE),
            ("oci://charts.example.com.evil.example/x", AUDIENCE),
            ("oci://evil.example/charts.example.com", AUDIENCE),
        ] {
            let scene = paired(&pairs).await;
            let error = resolve(&scene.context, &wanted(url, audience))
                .await
                .unwrap_err();
            assert!(
                error.contains("--token-audience"),
                "{url} {audience}: {error}"
            );
            assert_eq!(asked(&scene), [""; 0], "{url} {audience}");
        }
    }

    /// Not even an administrator has such a token sent.
    #[tokio::test]
    async fn no_token_for_the_api_server_is_asked_for_whoever_pairs_it() {
        let pair = format!("charts.example.com={API_SERVER}");
        let scene = paired(&[&pair]).await;
        for _ in 0..2 {
            let error = resolve(&scene.context, &wanted(ADDRESS, API_SERVER))
                .await
                .unwrap_err();
            assert!(error.contains("act as the operator"), "{error}");
        }
        assert_eq!(asked(&scene).len(), 1, "the one that names no audience");
        // And the policy is told to be invalid from now on.
        let refused = scene.context.tokens.check(
            &scene.context.settings.token_audiences,
            (ADDRESS, API_SERVER),
        );
        assert_eq!(refused, Err(Refused::ApiServer));
        let task = crate::controllers::task::Task::Policy(POLICY.to_owned());
        assert!(scene.context.queues.tasks.due_at(&task).is_some());
    }

    /// Time stands still at no other moment: what is asked meanwhile would be late at once.
    async fn later(time: std::time::Duration) {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    }

    #[tokio::test]
    async fn a_token_that_is_refused_is_replaced_but_not_at_every_look() {
        let scene = paired(&["charts.example.com=charts.test"]).await;
        let source = wanted(ADDRESS, AUDIENCE);
        let first = resolve(&scene.context, &source).await.unwrap();
        assert!(
            renewed(&scene.context, &source, &first).await.is_none(),
            "it is new"
        );
        later(SHORTEST_LIFE).await;
        let second = renewed(&scene.context, &source, &first).await.unwrap();
        assert_ne!(sent(&first), sent(&second));
        // Who was refused with the first takes the second.
        let third = renewed(&scene.context, &source, &first).await.unwrap();
        assert_eq!(sent(&second), sent(&third));
        assert_eq!(asked(&scene).len(), 3);
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_ends() {
        let scene = paired(&["charts.example.com=charts.test"]).await;
        let source = wanted(ADDRESS, AUDIENCE);
        let first = resolve(&scene.context, &source).await.unwrap();
        for (after, is_same) in [(LIFE / 2, true), (LIFE / 2, false)] {
            later(after).await;
            let now = resolve(&scene.context, &source).await.unwrap();
            assert_eq!(sent(&now) == sent(&first), is_same);
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_told() {
        let scene = paired(&["charts.example.com=charts.test"]).await;
        scene.cluster.refuse("POST", "/token", (403, "Forbidden"));
        let error = resolve(&scene.context, &wanted(ADDRESS, AUDIENCE))
            .await
            .unwrap_err();
        assert!(error.contains("sources.tokenAudiences"), "{error}");
    }
}
