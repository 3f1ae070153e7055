//! The page that shows the cells, as they were seen.

use charttrust_e2e::stage::path;

/// Cells below a heading of the page.
pub(crate) struct Table {
    pub(crate) heading: String,
    pub(crate) columns: Vec<&'static str>,
    /// What is done, and what was seen in each column; nothing where this run did not look.
    pub(crate) rows: Vec<(String, Vec<Option<String>>)>,
}

/// Fails unless the page has these very tables below these headings, and shows those to put there. What this run did
/// not look at stands as it is.
pub(crate) fn shows(tables: &[Table]) {
    let page = std::fs::read_to_string(path("docs/admission-table.md")).unwrap_or_default();
    let differing = tables.iter().filter_map(|table| table.differing(&page));
    let differing: Vec<_> = differing.collect();
    assert!(
        differing.is_empty(),
        "docs/admission-table.md differs from what was seen, which is:\n{}",
        differing.join("\n")
    );
}

impl Table {
    /// How the page must be, if it is not.
    fn differing(&self, page: &str) -> Option<String> {
        let heading = &self.heading;
        let below = page.split(&format!("\n## {heading}\n")).nth(1);
        let section = below.and_then(|below| below.split("\n## ").next());
        let written = section.unwrap_or_default().lines();
        let written: Vec<_> = written.filter(|line| line.starts_with('|')).collect();
        let right = self.text(&written);
        (!right.lines().eq(written)).then(|| format!("## {heading}\n\n{right}"))
    }

    fn text(&self, written: &[&str]) -> String {
        let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
        let columns: Vec<_> = std::iter::once("what is done")
            .chain(self.columns.iter().copied())
            .collect();
        let mut text = line(&columns) + &"|---".repeat(columns.len()) + "|\n";
        for (title, cells) in &self.rows {
            let mut known = written.iter().map(|line| parts(line));
            let known = known.find(|parts| parts.first() == Some(&title.as_str()));
            let known = known.unwrap_or_default();
            let cell = |(index, seen): (usize, &Option<String>)| {
                let kept = known.get(index + 1).copied().unwrap_or("?");
                seen.clone().unwrap_or_else(|| kept.to_owned())
            };
            let cells: Vec<_> = cells.iter().enumerate().map(cell).collect();
            let cells = cells.iter().map(String::as_str);
            text += &line(
                &std::iter::once(title.as_str())
                    .chain(cells)
                    .collect::<Vec<_>>(),
            );
        }
        text
    }
}

fn parts(line: &str) -> Vec<&str> {
    let inside = line.trim_start_matches("| ").trim_end_matches(" |");
    inside.split(" | ").collect()
}

#[test]
fn a_cell_that_was_not_looked_at_stands_as_it_is_and_others_are_compared() {
    let table = |seen: [Option<&str>; 2]| Table {
        heading: "T".to_owned(),
        columns: vec!["a", "b"],
        rows: vec![(
            "`x`".to_owned(),
            seen.map(|seen| seen.map(str::to_owned)).to_vec(),
        )],
    };
    let page = "#\n\n## T\n\n| what is done | a | b |\n|---|---|---|\n| `x` | in | out |\n\n## U\n";
    for seen in [[Some("in"), Some("out")], [None, Some("out")], [None, None]] {
        assert_eq!(table(seen).differing(page), None, "{seen:?}");
    }
    let told = table([None, Some("in")]).differing(page).unwrap();
    assert!(told.ends_with("| `x` | in | in |\n"), "{told}");
    assert!(
        table([None, None])
            .differing("")
            .unwrap()
            .ends_with("| `x` | ? | ? |\n")
    );
}
