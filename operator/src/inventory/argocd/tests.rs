//! Names of releases of Argo CD, and what an Application says of each.

use charttrust_verify::deployer::{ChartOrigin, Place};
use serde_json::{Value, json};

use super::*;
use crate::watch::{Kept as _, MOST, Picked};

/// Longest name of an object.
const NAME: usize = 253;

fn kept(object: &Value) -> Application {
    let picked: Picked<Application> = serde_json::from_str(&object.to_string()).unwrap();
    let kept = Application::of(&picked.value).unwrap();
    let is_short = |at: &str| {
        let list = object.pointer(at).and_then(Value::as_array);
        list.is_none_or(|list| list.len() <= MOST)
    };
    if is_short("/spec/sources") {
        assert_eq!(Some(&kept), Application::of(object).as_ref(), "{object}");
    }
    kept
}

fn chart(url: &str, name: &str) -> Value {
    json!({"repoURL": url, "chart": name, "targetRevision": "1.*"})
}

fn deployed(source: &Value, revision: &str) -> Value {
    json!({"spec": {"source": source}, "status": {"history": [
        {"id": 1, "source": chart("https://old.example.com", "old"), "revision": "0.1.0"},
        {"id": 7, "source": source, "revision": revision},
    ]}})
}

fn object_name(name: &str) -> ObjectName {
    ObjectName {
        namespace: "argocd".to_owned(),
        name: name.to_owned(),
    }
}

fn held(all: &[(&str, Value)]) -> Applications {
    let applications = Applications::new(&Reach::Everywhere);
    for (name, object) in all {
        kept(object);
        applications.hold(object_name(name), object);
    }
    applications
}

#[test]
fn every_form_in_which_an_application_names_its_chart_is_resolved() {
    let place = |url, chart| ChartOrigin::Place(Place::new(url, chart).unwrap());
    let not = || ChartOrigin::Unknown("names no chart repository".to_owned());
    for (url, name, expected, told) in [
        (
            "https://a.example",
            "web",
            place("https://a.example", "web"),
            Some("web"),
        ),
        (
            "https://a.example/b/",
            "web",
            place("https://a.example/b", "web"),
            Some("web"),
        ),
        (
            "a.example/b",
            "web",
            place("oci://a.example/b", "web"),
            Some("web"),
        ),
        (
            "a.example:5000",
            "b/web",
            place("oci://a.example:5000/b", "web"),
            Some("web"),
        ),
        (
            "oci://a.example/b",
            "web",
            place("oci://a.example/b", "web"),
            Some("web"),
        ),
        ("ftp://a.example", "web", not(), Some("web")),
        ("", "web", not(), Some("web")),
        ("https://a.example", "/", not(), None),
    ] {
        let application = kept(&deployed(&chart(url, name), "1.2.3"));
        let [(7, Ok(found))] = application.said(Claim::First)[..] else {
            panic!("{url} {name}");
        };
        assert_eq!(found.origin(), expected, "{url} {name}");
        assert_eq!(
            found.named().ok(),
            told.map(|told| (told, "1.2.3")),
            "{url} {name}"
        );
    }
    let long = kept(&deployed(
        &chart("https://a.example", &"a".repeat(2000)),
        "1.2.3",
    ));
    let [(7, Ok(found))] = long.said(Claim::First)[..] else {
        panic!("a name that nobody keeps is a chart all the same");
    };
    assert!(found.named().is_err());
}

#[test]
fn several_sources_take_the_place_of_one() {
    let mut object = deployed(&chart("https://one.example", "one"), "1.0.0");
    object["status"]["history"][1]["sources"] = json!([
        chart("https://a.example", "a"),
        chart("https://b.example", "b")
    ]);
    object["status"]["history"][1]["revisions"] = json!(["2.0.0", "3.0.0"]);
    let application = kept(&object);
    let said = |claim| {
        let said = application.said(claim);
        let [(7, Ok(found))] = said[..] else {
            panic!("{said:?}")
        };
        let (name, version) = found.named().unwrap();
        (name.to_owned(), version.to_owned())
    };
    assert_eq!(said(Claim::First), ("a".to_owned(), "2.0.0".to_owned()));
    assert_eq!(
        said(Claim::Further(2)),
        ("b".to_owned(), "3.0.0".to_owned())
    );
    let claims: Vec<_> = application.claims().collect();
    assert_eq!(claims, [Claim::First, Claim::Further(2)]);
}

/// Whoever may write an Application may give it as many sources as fit into it.
#[test]
fn sources_that_are_not_kept_are_told() {
    for (count, is_cut) in [(MOST - 1, false), (MOST, true), (10 * MOST, true)] {
        let sources = vec![chart("https://a.example", "a"); count];
        let application = kept(&json!({"spec": {"sources": sources}}));
        assert_eq!(application.is_cut(), is_cut, "{count}");
        assert_eq!(application.claims().count(), count.min(MOST), "{count}");
        assert_eq!(application.unjudged().len(), usize::from(is_cut), "{count}");
    }
}

/// Whoever may write an Application decides how long its texts are, and they are kept of three moments.
#[test]
fn texts_that_are_too_long_together_are_not_kept_and_told() {
    for (length, is_cut) in [(200, false), (300, true), (1000, true)] {
        let long = |number: usize| chart(&format!("https://{number:0>length$}"), "a");
        let sources: Vec<_> = (0..MOST - 1).map(long).collect();
        let application = kept(&json!({"spec": {"sources": sources}}));
        assert_eq!(application.is_cut(), is_cut, "{length}");
        assert_eq!(
            application.unjudged().len(),
            usize::from(is_cut),
            "{length}"
        );
        assert!(application.has(Claim::First) && format!("{application:?}").len() < 16 * 1024);
    }
    // One that has the longest of everything is looked at.
    let longest = |what: &str| format!("{what}{}", "a".repeat(1024 - what.len()));
    let mut one = deployed(&chart(&longest("https://"), &longest("a")), &longest("1"));
    one["spec"]["source"]["targetRevision"] = json!(longest("1"));
    assert!(!kept(&one).is_cut());
}

/// The numbers of two that are judged are never the same, whatever number somebody writes.
#[test]
fn what_was_begun_hides_nothing_that_was_deployed() {
    for number in [
        json!(7),
        json!(u32::MAX),
        json!(u64::MAX),
        json!(-1),
        json!(null),
    ] {
        let mut object = deployed(&chart("https://a.example", "a"), "1.0.0");
        object["status"]["history"][1]["id"] = number.clone();
        let begun = json!({"source": chart("https://a.example", "a"), "revision": "2.0.0"});
        object["status"]["operationState"] = json!({"syncResult": begun});
        let all = held(&[("a", object)]);
        let said = all.said(&release_of(&object_name("a")));
        let versions: Vec<_> = said
            .into_values()
            .map(|said| said.chart.unwrap().1)
            .collect();
        assert_eq!(versions, ["1.0.0", "2.0.0"], "{number}");
    }
}

/// A long name is found by what is noted of it, however many there are; of what goes nothing stays.
#[test]
fn names_that_were_cut_are_found_and_forgotten() {
    let long = |number: usize| format!("{number:l>NAME$}");
    let object =
        |count: usize| json!({"spec": {"sources": vec![chart("https://a.example", "a"); count]}});
    let all = Applications::new(&Reach::Everywhere);
    for number in 0..20 {
        all.hold(object_name(&long(number)), &object(3));
    }
    let releases = all.releases();
    assert_eq!(releases.len(), 60);
    for release in &releases {
        let [found] = &all.claimed(release)[..] else {
            panic!("{release}");
        };
        assert_eq!(chart_of(&found.name, found.claim), *release);
    }
    all.hold(object_name(&long(7)), &object(1));
    let lost = |release: &&ReleaseId| all.claimed(release).is_empty();
    assert_eq!(releases.iter().filter(lost).count(), 2);
    assert_eq!(all.cut.lock().len(), 58);
    for number in 0..20 {
        let now = all.all.find(&object_name(&long(number)));
        all.cut
            .note(&object_name(&long(number)), [now.as_deref(), None]);
    }
    assert!(all.cut.lock().is_empty());
}

#[test]
fn the_name_of_a_release_leads_back_to_each_that_has_it() {
    let one = || deployed(&chart("https://a.example", "a"), "1.0.0");
    let two = || {
        let sources = [
            chart("https://a.example", "a"),
            chart("https://b.example", "b"),
        ];
        json!({"spec": {"sources": sources}})
    };
    let long = "l".repeat(NAME);
    let all = held(&[
        ("a", two()),
        ("a.2", one()),
        ("a.02", one()),
        (&long, two()),
        ("git", json!({})),
    ]);
    let claimed = |name: &str| {
        let claimed = all.claimed(&ReleaseId {
            namespace: "argocd".to_owned(),
            name: name.to_owned(),
        });
        let claimed = claimed.iter().map(|one| (one.name.name.clone(), one.claim));
        claimed.collect::<Vec<_>>()
    };
    let is = |name: &str, claim| (name.to_owned(), claim);
    assert_eq!(claimed("argocd.a"), [is("a", Claim::First)]);
    assert_eq!(
        claimed("argocd.a.2"),
        [is("a.2", Claim::First), is("a", Claim::Further(2))]
    );
    assert_eq!(claimed("argocd.a.02"), [is("a.02", Claim::First)]);
    for nobody in [
        "a",
        "argocd.",
        "argocd.a.1",
        "argocd.a.3",
        "argocd.git",
        "argocd.b",
    ] {
        assert_eq!(claimed(nobody), [], "{nobody}");
    }
    let releases = all.releases();
    assert_eq!(releases.len(), 5, "{releases:?}");
    for release in releases {
        assert!(
            release.name.len() <= NAME && !claimed(&release.name).is_empty(),
            "{release}"
        );
    }
    assert_eq!(all.claimed(&release_of(&object_name(&long))).len(), 1);
}

/// Of what deploys something, and is no chart, it is told that nobody judges it.
#[test]
fn a_source_that_only_has_a_name_for_others_deploys_nothing() {
    let git = "https://git.example.com/a";
    for (source, is_other) in [
        (json!({"repoURL": git, "path": "base"}), true),
        (json!({"repoURL": git}), true),
        (
            json!({"repoURL": git, "path": "base", "ref": "values"}),
            true,
        ),
        (json!({"repoURL": git, "ref": "values"}), false),
        (json!({}), false),
    ] {
        let alone = kept(&json!({"spec": {"source": source}}));
        assert_eq!(alone.is_unaccounted(), is_other, "{source}");
        let sources = [chart("https://a.example", "a"), source.clone()];
        let beside = kept(&json!({"spec": {"sources": sources}}));
        assert!(!beside.is_unaccounted(), "{source}");
        assert_eq!(beside.unjudged().len(), usize::from(is_other), "{source}");
    }
}
