//! Several policies: which apply, and that the worst wins.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::check::{self, Case};
use charttrust_verify::key::RevocationReason;
use charttrust_verify::policy::{
    Demands, LabelSelector, Level, Pattern, ReleasePattern, ReleaseRef, Requirement, Selection,
};
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};

use crate::world::{World, policy, rule};

const TRUSTED: Verdict = Verdict::Trusted(Basis::SignatureVerified);
const NO_POLICY: Verdict = Verdict::Unknown(Cause::NoPolicy);

/// Policies that say different things about one good release, by what they say.
fn sayings() -> Vec<(Verdict, World)> {
    let change = |verdict, change: fn(&mut World)| {
        let mut world = World::good();
        world
            .keys
            .push(crate::world::key_named("stolen", &crate::world::person(1)));
        change(&mut world);
        assert_eq!(world.verdict(), verdict);
        (verdict, world)
    };
    vec![
        change(TRUSTED, |_| {}),
        change(Verdict::Trusted(Basis::ArchiveVerified), |world| {
            world.level(Level::Signature);
        }),
        change(Verdict::Unknown(Cause::Unmanaged), |world| {
            world.level(Level::None);
        }),
        change(Verdict::Unknown(Cause::SourceUnknown), |world| {
            world.rule().sources.clear();
        }),
        change(Verdict::Unknown(Cause::Exempt), |world| {
            world.signers(&[], 1);
            world.except(&[Reason::SignerNotTrusted]);
        }),
        change(Verdict::Untrusted(Reason::SignerNotTrusted), |world| {
            world.signers(&[], 1);
        }),
        change(Verdict::Untrusted(Reason::VersionNotAllowed), |world| {
            world.rule().versions = Some(">=2".parse().unwrap());
        }),
        change(Verdict::Untrusted(Reason::KeyCompromised), |world| {
            world.signers(&["stolen"], 1);
            world.revoke("stolen", RevocationReason::Compromised);
        }),
    ]
}

#[test]
fn the_worst_policy_wins_in_any_order() {
    for (one, mut world) in sayings() {
        for (other, second) in sayings() {
            world.policies.truncate(1);
            world.policies.push(second.policies[0].clone());
            let keys = if other == Verdict::Untrusted(Reason::KeyCompromised) {
                second.keys.clone()
            } else {
                world.keys.clone()
            };
            let mut both = world.clone();
            both.keys = keys;
            let worst = Verdict::worst([one, other]).unwrap();
            assert_eq!(both.verdict(), worst, "{one} and {other}");
            both.policies.reverse();
            assert_eq!(both.verdict(), worst, "{other} and {one}");
            let own: Vec<_> = both
                .judge()
                .policies
                .iter()
                .map(|policy| policy.verdict)
                .collect();
            assert_eq!(own, [other, one], "each policy keeps its own verdict");
        }
    }
}

#[test]
fn a_policy_about_others_says_nothing() {
    let mut world = World::good();
    rule(&mut world.policies[0]).charts = vec![Pattern::new("db")];
    assert_eq!(world.verdict(), NO_POLICY);
    world.policies.push(policy("other", &["alice"]));
    assert_eq!(world.verdict(), TRUSTED);
    assert_eq!(world.judge().policies.len(), 1);
    world.policies[1].selection.releases = vec![ReleasePattern::new("back")];
    assert_eq!(world.verdict(), NO_POLICY);
}

#[test]
fn the_first_rule_whose_charts_match_decides() {
    let mut world = World::good();
    let mut lenient = policy("policy", &["nobody"]);
    let strict = rule(&mut world.policies[0]).clone();
    let Demands::Rules(rules) = &mut lenient.demands else {
        panic!()
    };
    rules[0].name = "first".into();
    rules[0].verify.level = Level::None;
    rules.push(strict);
    world.policies = vec![lenient];
    assert_eq!(world.verdict(), Verdict::Unknown(Cause::Unmanaged));
    assert_eq!(world.judge().policies[0].rule.as_deref(), Some("first"));
    world.rule().charts = vec![Pattern::new("db"), Pattern::new("we?")];
    assert_eq!(world.verdict(), Verdict::Unknown(Cause::Unmanaged));
    world.rule().charts = vec![Pattern::new("we?b")];
    assert_eq!(world.verdict(), TRUSTED);
    world.rule().charts = Vec::new();
    assert_eq!(
        world.verdict(),
        TRUSTED,
        "a rule without charts decides about none"
    );
}

#[test]
fn a_suspended_policy_is_judged_by_all_the_same() {
    let mut world = World::good();
    world.policies[0].suspended = true;
    assert_eq!(world.verdict(), TRUSTED);
    world.signers(&[], 1);
    assert_eq!(
        world.verdict(),
        Verdict::Untrusted(Reason::SignerNotTrusted)
    );
}

#[test]
fn an_unusable_policy_is_never_skipped() {
    let mut world = World::good();
    let mut unusable = policy("unusable", &["alice"]);
    let problem = "spec.rules[0].versions".into();
    unusable.demands = Demands::TrustNobody { problem };
    world.policies.push(unusable);
    assert_eq!(
        world.verdict(),
        Verdict::Untrusted(Reason::SignerNotTrusted)
    );
    let judgement = world.judge();
    assert!(
        judgement.findings[0]
            .message
            .contains("spec.rules[0].versions")
    );
    assert_eq!(judgement.findings[0].policy.as_deref(), Some("unusable"));
    world.policies[1].selection.excluded_namespaces = crate::world::names(&["shop"]);
    assert_eq!(world.verdict(), TRUSTED, "unless it is about others");
}

fn selects(selection: Selection, labels: Option<&BTreeMap<String, String>>) -> bool {
    let mut world = World::good();
    world.policies[0].selection = selection;
    let release = ReleaseRef {
        namespace: "shop",
        namespace_labels: labels,
        name: "front",
    };
    let (chart, version, evidence) = ("web", "1.2.3", &world.evidence);
    let case = Case {
        release,
        chart,
        version,
        deployers: &[],
        evidence,
    };
    let verdict = check::judge(&case, &world.policies, world.known(), world.now).verdict;
    verdict != NO_POLICY
}

fn by_label(requirement: Requirement) -> Selection {
    Selection {
        namespaces: Some(LabelSelector(vec![requirement])),
        ..Selection::default()
    }
}

#[test]
fn namespaces_are_selected_by_all_requirements() {
    let labels = BTreeMap::from([("tier".to_owned(), "prod".to_owned())]);
    let none = BTreeMap::new();
    let values = |values: &[&str]| crate::world::names(values);
    let key = || "tier".to_owned();
    for (requirement, with, without) in [
        (Requirement::Exists(key()), true, false),
        (Requirement::DoesNotExist(key()), false, true),
        (
            Requirement::In(key(), values(&["prod", "test"])),
            true,
            false,
        ),
        (Requirement::In(key(), values(&["test"])), false, false),
        (Requirement::In(key(), values(&[])), false, false),
        (Requirement::NotIn(key(), values(&["prod"])), false, true),
        (Requirement::NotIn(key(), values(&["test"])), true, true),
        (Requirement::NotIn(key(), values(&[])), true, true),
    ] {
        assert_eq!(
            selects(by_label(requirement.clone()), Some(&labels)),
            with,
            "{requirement:?}"
        );
        assert_eq!(
            selects(by_label(requirement.clone()), Some(&none)),
            without,
            "{requirement:?}"
        );
        assert!(
            selects(by_label(requirement), None),
            "labels that cannot be read"
        );
    }
    let all = |requirements| Selection {
        namespaces: Some(LabelSelector(requirements)),
        ..Selection::default()
    };
    assert!(
        selects(all(Vec::new()), Some(&none)),
        "an empty selector selects all"
    );
    let (exists, other) = (
        Requirement::Exists(key()),
        Requirement::Exists("team".into()),
    );
    assert!(!selects(all(vec![exists, other]), Some(&labels)));
}

#[test]
fn releases_are_selected_by_name_or_by_namespace_and_name() {
    for (patterns, selected) in [
        (&[][..], true),
        (&["*"], true),
        (&["front"], true),
        (&["back", "f?ont"], true),
        (&["shop/front"], true),
        (&["shop/*"], true),
        (&["*/*"], true),
        (&["front/shop"], false),
        (&["Front"], false),
        (&["shop"], false),
        (&["prod/*"], false),
        (&["hop/front"], false),
    ] {
        let releases = patterns
            .iter()
            .map(|text| ReleasePattern::new(text))
            .collect();
        let selection = Selection {
            releases,
            ..Selection::default()
        };
        assert_eq!(selects(selection, None), selected, "{patterns:?}");
    }
}

#[test]
fn an_excluded_namespace_is_excluded_whatever_else_selects_it() {
    let excluded_namespaces = crate::world::names(&["kube-system", "shop"]);
    let selection = Selection {
        excluded_namespaces,
        releases: vec![ReleasePattern::new("shop/front")],
        ..Selection::default()
    };
    assert!(!selects(selection, None));
}

/// What is said to lie within some namespaces selects nothing elsewhere, whatever labels a namespace has that
/// tell its name truly.
#[test]
fn what_is_within_namespaces_selects_nothing_elsewhere() {
    const NAME: &str = "kubernetes.io/metadata.name";
    let named = |names: &[&str]| {
        let names = names.iter().map(ToString::to_string);
        Requirement::In(NAME.to_owned(), names.collect())
    };
    let tier = || Requirement::Exists("tier".to_owned());
    let releases = |all: &[&str]| Selection {
        releases: all.iter().map(|text| ReleasePattern::new(text)).collect(),
        ..Selection::default()
    };
    let labels = |all: Vec<Requirement>| Selection {
        namespaces: Some(LabelSelector(all)),
        ..Selection::default()
    };
    let within = BTreeSet::from(["bank", "shop"].map(str::to_owned));
    for (selection, expected) in [
        (Selection::default(), false),
        (releases(&["shop/*", "bank/web"]), true),
        (releases(&["shop/*", "web"]), false),
        (releases(&["*/web"]), false),
        (releases(&["sho?/web"]), false),
        (releases(&["yard/web"]), false),
        (labels(vec![named(&["shop"])]), true),
        (labels(vec![tier(), named(&["shop", "bank"])]), true),
        (labels(vec![named(&["shop", "yard"])]), false),
        (labels(vec![tier()]), false),
        (
            labels(vec![Requirement::NotIn(
                NAME.to_owned(),
                BTreeSet::from(["yard".to_owned()]),
            )]),
            false,
        ),
    ] {
        assert_eq!(selection.is_within(&within), expected, "{selection:?}");
        for namespace in ["bank", "shop", "yard", "shopping", "sho", ""] {
            let labels = BTreeMap::from([
                (NAME.to_owned(), namespace.to_owned()),
                ("tier".to_owned(), "a".to_owned()),
            ]);
            let release = ReleaseRef {
                namespace,
                namespace_labels: Some(&labels),
                name: "web",
            };
            let is_elsewhere = !within.contains(namespace);
            if expected && is_elsewhere {
                assert!(!selection.selects(&release), "{selection:?} {namespace}");
            }
        }
    }
}
