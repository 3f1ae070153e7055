//! The report as one page that needs nothing else: no network, no script. Touches nothing.
//!
//! Decision: no library of templates. Those escape by default and let a template opt out; here markup can
//! only be text of the program ([`Page::raw`] takes nothing else). The policy of the page's own head forbids
//! scripts and every request besides.

mod drawing;
mod page;
mod people;
mod releases;
mod rest;

use charttrust_verify::verdict::Class;

use self::page::{Page, day_and_time};
use super::model::Report;
use crate::cli::coverage::Standing;
use crate::cli::words;

/// The whole page.
pub(super) fn written(report: &Report) -> String {
    let mut page = Page::default();
    head(&mut page, report);
    summary(&mut page, report);
    page.raw("<main>\n");
    releases::attention(&mut page, report);
    people::lives(&mut page, report);
    people::resting(&mut page, report);
    rest::exceptions(&mut page, report);
    rest::quarantines(&mut page, report);
    rest::policies(&mut page, report);
    rest::history(&mut page, report);
    rest::not_checked(&mut page, report);
    releases::all(&mut page, report);
    page.raw("</main>\n");
    foot(&mut page, report);
    page.written()
}

fn head(page: &mut Page, report: &Report) {
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"referrer\" content=\"no-referrer\">\n<title>")
        .text(&title(report));
    page.raw("</title>\n<style>\n")
        .raw(include_str!("report.css"))
        .raw("</style>\n</head>\n<body>\n");
}

fn title(report: &Report) -> String {
    match &report.about.title {
        Some(title) => format!("Trust of Helm releases: {title}"),
        None => "Trust of Helm releases".to_owned(),
    }
}

/// What somebody has to know who reads nothing else.
fn summary(page: &mut Page, report: &Report) {
    let about = &report.about;
    page.within(("<header>\n<h1>", "</h1>\n"), &title(report));
    page.raw("<p class=\"quiet\">As of ")
        .text(&day_and_time(about.generated));
    page.raw(" · ")
        .text(&scope(report))
        .raw(" · charttrust ")
        .text(about.version)
        .raw("</p>\n");
    if !about.doubts.is_empty() {
        page.raw("<div class=\"warning\"><p><strong>These verdicts may be old.</strong></p>");
        for doubt in &about.doubts {
            page.within(("<p>", "</p>"), doubt);
        }
        page.raw("</div>\n");
    }
    page.within(
        ("<p class=\"lead\"><strong>", "</strong> "),
        &verdict(report),
    );
    page.text(&worst(report)).raw("</p>\n");
    drawing::bar(page, report.counts);
    numbers(page, report);
    page.raw(NAVIGATION).raw("</header>\n");
}

const NAVIGATION: &str = "<nav aria-label=\"Contents\"><ul>\
<li><a href=\"#attention\">What needs attention</a></li><li><a href=\"#signers\">Keys and identities</a></li>\
<li><a href=\"#resting\">What rests on each</a></li><li><a href=\"#exceptions\">Exceptions</a></li>\
<li><a href=\"#quarantines\">Quarantines</a></li><li><a href=\"#policies\">Policies</a></li>\
<li><a href=\"#history\">What changed</a></li><li><a href=\"#not-checked\">What was not checked</a></li>\
<li><a href=\"#releases\">All releases</a></li></ul></nav>\n";

fn scope(report: &Report) -> String {
    let about = &report.about;
    match (&about.namespace, &about.discovered) {
        (Some(namespace), _) => format!("namespace {namespace}"),
        (None, Some(seen)) if !seen.is_empty() => format!("namespaces {}", seen.join(", ")),
        (None, Some(_)) => "all namespaces".to_owned(),
        (None, None) => "all namespaces that the operator looks in".to_owned(),
    }
}

/// The main number.
fn verdict(report: &Report) -> String {
    let counts = report.counts;
    match counts.total {
        0 => "No release is known.".to_owned(),
        1 => format!("{} of 1 release is trusted.", counts.trusted),
        all => format!("{} of {all} releases are trusted.", counts.trusted),
    }
}

/// What is worst about the rest.
fn worst(report: &Report) -> String {
    let of = |class: Class| {
        let class = words::class(class);
        let untrusted = report.standing(Standing::Untrusted);
        untrusted.filter(|one| one.class == Some(class)).count()
    };
    let says = |number: usize, verb: &str| match number {
        1 => format!("1 {verb}s"),
        number => format!("{number} {verb}"),
    };
    let revoked = |number| says(number, "rest") + " on a revoked key or identity";
    let altered = |number| says(number, "show") + " signs of tampering";
    let counts = report.counts;
    match (
        of(Class::Badness),
        of(Class::Tampering),
        counts.untrusted,
        counts.unknown,
    ) {
        (0, 0, 0, 0) if counts.total == 0 => String::new(),
        (0, 0, 0, 0) => "Nothing speaks against any of them.".to_owned(),
        (0, 0, 0, unknown) => format!("None is known to be bad; {unknown} could not be judged."),
        (0, 0, missing, _) => {
            format!("Of {missing} the proof is missing; none shows signs of tampering.")
        }
        (0, tampered, ..) => format!("{}: look at these first.", altered(tampered)),
        (bad, 0, ..) => format!("{}: look at these first.", revoked(bad)),
        (bad, tampered, ..) => format!(
            "{}, and {}: look at these first.",
            revoked(bad),
            altered(tampered)
        ),
    }
}

/// The numbers behind the bar, and what else a week can bring.
fn numbers(page: &mut Page, report: &Report) {
    page.raw("<ul class=\"key\">\n");
    for (standing, name, many) in drawing::parts(report.counts) {
        page.raw("<li class=\"")
            .raw(page::class(standing))
            .raw("\"><strong>");
        page.number(many).raw("</strong>").text(name).raw("</li>\n");
    }
    let ending = people::ending(report);
    for (name, many) in [
        ("contained", report.quarantines.len()),
        (
            "without a record",
            usize::try_from(report.counts.unaccounted).unwrap_or_default(),
        ),
        ("signers no longer Active", ending),
    ] {
        page.raw("<li class=\"none\"><strong>")
            .number(many)
            .raw("</strong>")
            .text(name)
            .raw("</li>\n");
    }
    page.raw("</ul>\n");
}

/// How the report was made.
fn foot(page: &mut Page, report: &Report) {
    let about = &report.about;
    page.raw("<footer>\n<h2>About this report</h2>\n<p>Made by charttrust ")
        .text(about.version);
    page.raw(" at ").text(&day_and_time(about.generated));
    page.raw(", with the rights of whoever ran it. It holds no values of releases, no Secrets and no keys, but it \
              names what is weak: hand it on as such. It takes what the operator has written and checks nothing again.</p>\n<p>");
    for (place, read) in about.reads.iter().enumerate() {
        page.raw(if place == 0 { "Read: " } else { "; " })
            .text(read.what);
        match read.objects {
            Some(many) => page.raw(" (").number(many).raw(")"),
            None => page.raw(" (<strong>not read</strong>)"),
        };
    }
    page.raw(".</p>\n<p>Every word of a verdict is explained by <code>charttrust explain WORD</code>, and every check \
              behind one verdict by <code>charttrust why NAMESPACE/RELEASE</code>.</p>\n</footer>\n</body>\n</html>\n");
}
