//! One page that shows a run: a drawing of each thing that was measured.

use std::fmt::Write as _;

use super::samples::{Sample, number};
use super::{Soaked, Struck};

/// The page, as HTML without anything from elsewhere.
pub fn written(soaked: &Soaked) -> String {
    let minutes = soaked.samples.len() / 60;
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>charttrust: soak</title>\n\
         <style>{STYLE}</style>\n<h1>{minutes} minutes of churn</h1>\n\
         <p>Each second a release comes, changes or goes, or a key is revoked or not. Grey bands: the API server \
         answers, watches or the network fail. Measured from outside: by the kernel and by the API server's audit \
         log.</p>\n"
    );
    for series in SERIES {
        drawing(&mut page, soaked, &series);
    }
    page.push_str("<h2>In the end</h2>\n<ul>\n");
    for line in soaked.told() {
        let _ = writeln!(page, "<li>{line}</li>");
    }
    page.push_str("</ul>\n</html>\n");
    page
}

struct Series {
    title: &'static str,
    unit: &'static str,
    of: fn(&Sample) -> u64,
}

const SERIES: [Series; 6] = [
    Series {
        title: "Memory",
        unit: "KiB resident",
        of: |sample| sample.memory,
    },
    Series {
        title: "Descriptors",
        unit: "open",
        of: |sample| sample.descriptors,
    },
    Series {
        title: "Requests",
        unit: "to the API server a second",
        of: |sample| sample.requests,
    },
    Series {
        title: "Writes",
        unit: "of objects a second",
        of: |sample| sample.writes,
    },
    Series {
        title: "Age of what is to be done",
        unit: "ms since the longest verdict is wanted that is not there",
        of: |sample| sample.oldest,
    },
    Series {
        title: "Releases",
        unit: "present",
        of: |sample| sample.releases,
    },
];

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 120.0;
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
 svg{width:100%;height:auto;background:#f6f6f6}polyline{fill:none;stroke:#1d5fa8;stroke-width:1.5}\
 rect{fill:#d0d0d0}figure{margin:1.5rem 0}figcaption{font-weight:600}small{font-weight:400;color:#555}\
 @media(prefers-color-scheme:dark){body{background:#16181c;color:#e4e4e4}svg{background:#202329}\
 rect{fill:#3a3e46}polyline{stroke:#7fb4f0}small{color:#aaa}}";

fn drawing(page: &mut String, soaked: &Soaked, series: &Series) {
    let values = soaked.samples.iter().map(series.of);
    let (least, most) = (values.clone().min(), values.max());
    let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
    let end = soaked.samples.last().map_or(1, |last| last.second.max(1));
    let across = |second: u64| number(second) / number(end) * WIDTH;
    let _ = write!(
        page,
        "<figure>\n<figcaption>{} <small>{}, {least} to {most}</small></figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}: {least} to {most} {}\">\n",
        series.title, series.unit, series.title, series.unit
    );
    for Struck { from, to, what } in &soaked.struck {
        let (x, width) = (across(*from), across(to - from).max(1.0));
        let _ = writeln!(
            page,
            "<rect x=\"{x:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{HEIGHT}\"><title>{what}</title></rect>"
        );
    }
    page.push_str("<polyline points=\"");
    for sample in &soaked.samples {
        let share = number((series.of)(sample)) / number(most.max(1));
        let y = HEIGHT - 4.0 - share * (HEIGHT - 8.0);
        let _ = write!(page, "{:.1},{y:.1} ", across(sample.second));
    }
    page.push_str("\"/>\n</svg>\n</figure>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_drawn_from_nothing_to_its_most_and_faults_are_named() {
        let sample = |second| Sample {
            second,
            memory: 1_000 * second,
            ..Sample::default()
        };
        let soaked = Soaked {
            samples: (0..=10).map(sample).collect(),
            struck: vec![Struck {
                from: 5,
                to: 6,
                what: "the network is parted",
            }],
            ..Soaked::default()
        };
        let page = written(&soaked);
        for series in SERIES {
            assert!(page.contains(series.title));
        }
        assert!(page.contains("0.0,116.0 90.0,104.8 "), "{page}");
        assert!(page.contains("900.0,4.0 "));
        assert!(page.contains(
            "<rect x=\"450.0\" y=\"0\" width=\"90.0\" height=\"120\"><title>the network is parted"
        ));
        assert!(!page.contains("NaN"));
        assert!(!written(&Soaked::default()).contains("NaN"));
    }
}
