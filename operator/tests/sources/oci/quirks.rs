//! What real registries do, and which test shows that we bear it. None of them can be reached from here: what is
//! known of them is their documentation and what others report.

use std::path::Path;

/// A registry, what it does, and the tests: a file, without its ending, and a test in it.
type Row = (&'static str, &'static str, &'static [&'static str]);

const ORIGIN: &str = "src/sources/origin/oci";

const QUIRKS: &[Row] = &[
    (
        "Docker Hub",
        "three names, one of which redirects to a page for people",
        &[
            "src name::an_address_is_a_registry_and_a_path",
            "src realm::credentials_go_to_the_registrys_own_token_service",
        ],
    ),
    (
        "Docker Hub",
        "a GET of a manifest counts, a HEAD does not",
        &[
            "answers::a_signed_chart_costs_three_requests_and_then_one",
            "answers::a_tag_that_moves_is_followed_by_digest",
        ],
    ),
    (
        "GHCR",
        "no answer without a token, be it an anonymous one",
        &["registries::github_wants_a_token_for_what_is_public_and_credentials_come_first"],
    ),
    (
        "GHCR",
        "Retry-After as seconds, as a date and as a Go duration",
        &[
            "answers::a_registry_is_left_alone_as_long_as_it_asks",
            "answers::a_limit_at_the_head_of_a_known_tag_is_obeyed_too",
        ],
    ),
    (
        "GHCR",
        "all who come without a login share one allowance",
        &[
            "logins::many_who_ask_at_once_share_one_token",
            "logins::the_next_chart_needs_a_token_and_no_refusal_first",
        ],
    ),
    (
        "ECR",
        "user and password, no digest in a header, blobs behind a signed address",
        &[
            "registries::amazon_asks_for_a_user_says_no_digest_and_keeps_blobs_in_s3",
            "logins::a_registry_that_asks_for_user_and_password_gets_them_when_it_asks",
            "logins::a_blob_elsewhere_is_fetched_without_anything_of_ours",
            "blobs::the_query_of_a_signed_address_is_not_told",
        ],
    ),
    (
        "GAR",
        "the user oauth2accesstoken",
        &["registries::google_takes_an_access_token_for_a_password"],
    ),
    (
        "ACR",
        "tokens below /oauth2, for a user or for an identity token",
        &[
            "registries::azure_hands_out_tokens_to_a_user_below_oauth2",
            "logins::an_identity_token_is_exchanged_by_post_and_shown_to_nobody_else",
        ],
    ),
    (
        "Harbor, Artifactory",
        "the realm has a path, a HEAD has no digest, a 401 stands for a 404",
        &[
            "registries::artifactory_has_prefixes_headers_of_its_own_and_no_404",
            "logins::a_token_is_asked_for_once_without_credentials_too",
            "manifests::a_registry_that_says_no_digest_is_asked_for_the_manifest_again",
        ],
    ),
    (
        "Harbor",
        "NOT_FOUND for what may be private",
        &["src refusal::only_the_registrys_own_word_says_that_a_manifest_is_not_there"],
    ),
    (
        "Artifactory, proxies",
        "a Content-Length that is wrong, or none",
        &["hostile::bodies_count_by_their_bytes_whatever_length_they_claim"],
    ),
    (
        "Chainguard",
        "403 for a token of another scope",
        &[
            "registries::chainguard_answers_a_token_of_another_repository_with_403",
            "logins::each_identity_and_each_repository_has_a_token_of_its_own",
        ],
    ),
    (
        "ECR public",
        "a token service of its own, which exchanges user and password",
        &["logins::a_token_is_asked_for_to_pull_this_repository_and_nothing_else"],
    ),
    (
        "distribution, GHCR",
        "no list of what refers to a manifest, but an index under a tag",
        &[
            "referrers::a_registry_without_a_list_has_an_index_under_a_tag",
            "referrers::where_there_is_none_three_places_were_asked_and_then_two",
            "src memory::a_repository_is_taken_to_have_no_list_of_referrers_for_a_day",
        ],
    ),
    (
        "any that lists referrers",
        "no type in the list, or that of an empty configuration; no narrower list than asked for",
        &[
            "referrers::a_descriptor_hides_a_bundle_only_by_naming_something_else",
            "referrers::a_registry_is_asked_for_all_that_refers_to_a_manifest",
        ],
    ),
    (
        "Harbor",
        "NOT_FOUND for a tag that is not there",
        &["referrers::a_404_without_the_registrys_own_word_counts_once_the_tags_are_read"],
    ),
    (
        "distribution",
        "no HEAD behind some proxies",
        &["hostile::a_registry_that_changes_its_answers_between_requests_has_its_words"],
    ),
    (
        "Quay, Red Hat",
        "Docker's media types; encoded manifests",
        &[
            "registries::manifests_in_dockers_words_are_as_good",
            "manifests::an_encoded_manifest_was_not_asked_for",
        ],
    ),
    (
        "any",
        "several challenges, commas in quotes",
        &[
            "logins::of_several_challenges_one_is_answered_that_may_be",
            "src challenge::challenges_of_real_registries_are_read",
        ],
    ),
    (
        "any",
        "no service, no scope",
        &["registries::a_challenge_may_leave_out_service_and_scope"],
    ),
    (
        "any",
        "a second 401",
        &[
            "logins::credentials_that_are_refused_are_told_and_not_tried_again",
            "logins::a_401_with_nothing_that_could_be_answered_is_told",
        ],
    ),
    (
        "any",
        "401, 403 and 404 for what may be private",
        &["answers::what_could_be_hidden_is_never_not_found"],
    ),
    (
        "any",
        "a tag has no +, may have a v",
        &[
            "answers::a_version_is_found_under_the_tag_that_publishers_give_it",
            "verify::a_tag_may_have_a_v_before_the_version_of_its_chart",
        ],
    ),
    (
        "any",
        "tags in pages",
        &[
            "answers::tags_are_read_to_their_last_page",
            "src tags::the_next_page_is_of_the_same_registry",
        ],
    ),
    (
        "any",
        "redirects of blobs: three, guarded, without credentials elsewhere, with them at home",
        &[
            "blobs::three_redirects_of_a_blob_are_followed_and_not_four",
            "blobs::every_hop_passes_the_guard_and_gets_nothing_of_ours",
            "blobs::credentials_stay_with_the_origin_of_the_registry",
        ],
    ),
    (
        "any",
        "tokens that end",
        &["logins::a_token_that_ends_meanwhile_is_asked_for_anew"],
    ),
    (
        "any",
        "a tag that moves after Flux has deployed what it stood for",
        &["deployed::the_manifest_that_was_deployed_counts_where_the_tag_has_another_archive"],
    ),
    (
        "hostile",
        "the realm of somebody else, of user-info, of a metadata address, in punycode, over http",
        &[
            "realms::credentials_do_not_go_to_the_token_service_of_somebody_else",
            "src realm::credentials_go_to_no_other",
            "src realm::nothing_is_asked_where_nobody_may_be_asked",
        ],
    ),
    (
        "hostile",
        "a realm that redirects",
        &["realms::a_token_service_that_redirects_is_not_followed"],
    ),
    (
        "hostile",
        "another answer to a GET than to a HEAD, to a second GET, to the same digest",
        &["hostile::a_registry_that_changes_its_answers_between_requests_has_its_words"],
    ),
    (
        "hostile",
        "an index for a manifest, two archives, the archive last, 5 MiB of manifest",
        &["hostile::whatever_lies_at_the_tag_has_its_word"],
    ),
    (
        "hostile",
        "a wrong digest; an endless blob",
        &[
            "hostile::whatever_is_answered_instead_has_its_word",
            "hostile::bodies_count_by_their_bytes_whatever_length_they_claim",
        ],
    ),
];

/// The text of a file with tests.
fn source(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = match file.strip_prefix("src ") {
        Some(name) => root.join(ORIGIN).join(name),
        None => root.join("tests/sources/oci").join(file),
    };
    std::fs::read_to_string(path.with_extension("rs")).unwrap_or_default()
}

#[test]
fn every_row_names_tests_that_there_are() {
    for (registry, quirk, tests) in QUIRKS {
        assert!(!tests.is_empty(), "{registry}: {quirk}");
        for test in *tests {
            let (file, name) = test.split_once("::").unwrap();
            let text = source(file);
            let before = text
                .split(&format!("fn {name}()"))
                .next()
                .unwrap_or_default();
            assert!(
                before.len() < text.len(),
                "{registry}, {quirk}: there is no {test}"
            );
            let attribute = before.trim_end().trim_end_matches("async").trim_end();
            let is_test = attribute.ends_with("#[test]") || attribute.ends_with("#[tokio::test]");
            assert!(is_test, "{registry}, {quirk}: {test} is no test");
        }
    }
}

/// Whoever names a registry among those that were tried on a scripted one finds it here.
#[test]
fn the_registries_of_the_documentation_have_rows() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/registries.md");
    let page = std::fs::read_to_string(page).unwrap();
    let told = page.split("All others (").nth(1).unwrap();
    let told = told.split(')').next().unwrap();
    for name in told.split(", ") {
        let has_row = QUIRKS
            .iter()
            .any(|(registry, _, _)| registry.contains(name.trim()));
        assert!(has_row, "{name} has no row");
    }
}
