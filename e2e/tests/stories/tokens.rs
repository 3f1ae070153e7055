//! Tokens of the operator's own `ServiceAccount`, on the API server that gives them.

use std::collections::BTreeSet;

use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, Story};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::setup::{API_SERVER, AUDIENCE, story, taking_tokens};

/// As whom the API server knows the bearer of a token, asked for an audience; `None` if it takes it for none.
async fn known_as(story: &Story, token: &str, audiences: &[&str]) -> Option<String> {
    let spec = TokenReviewSpec {
        audiences: Some(audiences.iter().map(|it| (*it).to_owned()).collect()),
        token: Some(token.to_owned()),
    };
    let review = TokenReview {
        spec,
        ..TokenReview::default()
    };
    let reviews = Api::<TokenReview>::all(story.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    let status = story.done("review a token", answer).status.unwrap();
    let is_known = status.authenticated == Some(true);
    status.user.filter(|_| is_known)?.username
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_knows_the_cluster_is_sent_tokens_for_itself_and_nobody_else_is() {
    let story = story("tokens", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let repository = taking_tokens().await;
    let chart = story
        .package(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.done("publish", repository.publish(&story.helm, &chart).await);
    let rule = |url: &str, audience: &str| {
        let source = json!({"url": url, "kubernetesToken": {"audience": audience}});
        story.rule("*", &[&key], json!({"sources": [source]}))
    };
    let honest = rule(&repository.url(), AUDIENCE);
    story
        .policy("policy", &[], json!({"interval": "1s", "rules": [honest]}))
        .await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;

    // The token is for this audience: the API server itself does not take it.
    let bearers = || -> BTreeSet<String> { repository.bearers().into_iter().collect() };
    let first = bearers().pop_first().expect("a token was sent");
    let operator = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:charttrust");
    assert_eq!(known_as(&story, &first, &[AUDIENCE]).await, Some(operator));
    assert_eq!(known_as(&story, &first, &[]).await, None);

    // One that is refused is replaced.
    repository.refuse_bearer(&first);
    let trusts = story.trusts();
    story
        .until("web", "another token is sent", |_| bearers().len() > 1)
        .await;
    story
        .expect_condition(&trusts, "web", "Fresh=True/LookSucceeded")
        .await;

    // Whoever may write policies has none sent to himself, and none for anybody else.
    for (number, (url, audience, told)) in [
        (story.repository.url(), AUDIENCE, "--token-audience"),
        (repository.url(), "other.test", "--token-audience"),
        (repository.url(), API_SERVER, "act as the operator"),
    ]
    .into_iter()
    .enumerate()
    {
        let spec = json!({"interval": "1s", "rules": [rule(&url, audience)]});
        let forged = story.policy(&format!("forged-{number}"), &[], spec).await;
        let (policies, invalid) = (story.policies(), "Ready=False/InvalidSpec");
        let message = story.expect_condition(&policies, &forged, invalid).await;
        assert!(message.contains(told), "{message}");
    }
    story.expect("web", "SignerNotTrusted").await;
    assert_eq!(story.repository.bearers(), [""; 0]);
    for token in bearers() {
        assert_eq!(known_as(&story, &token, &[]).await, None);
        assert_eq!(known_as(&story, &token, &["other.test"]).await, None);
    }
}
