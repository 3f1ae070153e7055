//! The page that shows the cells, as they were seen.

use charttrust_e2e::stage::path;

/// Fails unless the page has these very tables below these headings, and shows those to put there.
pub(crate) fn shows(tables: &[(String, String)]) {
    let page = std::fs::read_to_string(path("docs/admission-table.md")).unwrap_or_default();
    let differing = tables.iter().filter(|(heading, table)| {
        let below = page.split(&format!("\n## {heading}\n")).nth(1);
        let section = below.and_then(|below| below.split("\n## ").next());
        let written = section.unwrap_or_default().lines();
        let written = written.filter(|line| line.starts_with('|'));
        !written.eq(table.lines())
    });
    let differing: Vec<_> = differing
        .map(|(heading, table)| format!("## {heading}\n\n{table}"))
        .collect();
    assert!(
        differing.is_empty(),
        "docs/admission-table.md differs from what was seen, which is:\n{}",
        differing.join("\n")
    );
}

/// A table with these columns.
pub(crate) fn table(columns: &[&str], rows: &[(String, Vec<String>)]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let titles: Vec<_> = columns.iter().map(|&title| title.to_owned()).collect();
    let mut text = line(&titles) + &"|---".repeat(columns.len()) + "|\n";
    for (title, cells) in rows {
        let all: Vec<_> = std::iter::once(title).chain(cells).cloned().collect();
        text += &line(&all);
    }
    text
}
