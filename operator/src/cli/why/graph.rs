//! The chain behind a verdict as a picture: a flowchart of Mermaid, which GitHub, GitLab and most wikis draw. Touches
//! nothing.

use crate::api::conditions::Status;
use crate::cli::screen::plain;

/// One link of the chain.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// Its name in the chain.
    pub(super) name: &'static str,
    /// What is known of it.
    pub(super) facts: &'a [String],
    /// The words that are decided here.
    pub(super) reasons: &'a [String],
}

/// A box for each link, those where something is decided marked, and the verdict at the end.
pub(super) fn flowchart(nodes: &[Node<'_>], conclusion: &str, status: Option<Status>) -> String {
    let mut lines = vec!["flowchart TD".to_owned()];
    for node in nodes {
        lines.push(format!("  {}[\"{}\"]", node.name, text(node)));
    }
    lines.push(format!("  verdict([\"{}\"])", escaped(conclusion)));
    let names = nodes.iter().map(|node| node.name);
    let names: Vec<_> = names.chain(["verdict"]).collect();
    lines.push(format!("  {}", names.join(" --> ")));
    let marked = nodes.iter().filter(|node| !node.reasons.is_empty());
    let marked: Vec<_> = marked.map(|node| node.name).collect();
    if !marked.is_empty() {
        lines.push(format!("  class {} decides", marked.join(",")));
    }
    lines.push(format!("  class verdict {}", class(status)));
    lines.extend(CLASSES.map(|class| format!("  classDef {class}")));
    lines.join("\n") + "\n"
}

fn text(node: &Node<'_>) -> String {
    let mut rows = vec![format!("<b>{}</b>", node.name)];
    rows.extend(node.facts.iter().take(FACTS).map(|fact| escaped(fact)));
    let more = node.facts.len().saturating_sub(FACTS);
    if more > 0 {
        rows.push(format!("and {more} more"));
    }
    if node.facts.is_empty() {
        rows.push("nothing is known".to_owned());
    }
    if !node.reasons.is_empty() {
        rows.push(format!("<b>{}</b>", escaped(&node.reasons.join(", "))));
    }
    rows.join("<br/>")
}

/// Foreign text that ends no label and is no markup in one: as entities of Mermaid.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in plain(text).chars() {
        if MARKUP.contains(character) {
            shown.push('#');
            shown += &u32::from(character).to_string();
            shown.push(';');
        } else {
            shown.push(character);
        }
    }
    shown
}

fn class(status: Option<Status>) -> &'static str {
    match status {
        Some(Status::True) => "good",
        Some(Status::False) => "bad",
        Some(Status::Unknown) | None => "open",
    }
}

const MARKUP: &str = "\"#&<>`\\";
/// More facts than these make no picture.
const FACTS: usize = 6;
/// Told apart without colours too, by their borders.
const CLASSES: [&str; 4] = [
    "decides stroke:#b42318,stroke-width:3px",
    "good stroke:#067647,stroke-width:3px",
    "bad stroke:#b42318,stroke-width:3px",
    "open stroke:#475467,stroke-dasharray:4",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(all: &[&str]) -> Vec<String> {
        all.iter().map(|&fact| fact.to_owned()).collect()
    }

    #[test]
    fn the_chain_ends_in_the_verdict_and_what_decides_is_marked() {
        let (release, key) = (
            facts(&["shop/web revision 1"]),
            facts(&["platform: Compromised"]),
        );
        let decided = facts(&["KeyCompromised"]);
        let nodes = [
            Node {
                name: "release",
                facts: &release,
                reasons: &[],
            },
            Node {
                name: "key",
                facts: &key,
                reasons: &decided,
            },
        ];
        let told = flowchart(&nodes, "Trusted=False, KeyCompromised", Some(Status::False));
        for line in [
            "  release[\"<b>release</b><br/>shop/web revision 1\"]",
            "  key[\"<b>key</b><br/>platform: Compromised<br/><b>KeyCompromised</b>\"]",
            "  release --> key --> verdict",
            "  class key decides",
            "  class verdict bad",
        ] {
            assert!(told.lines().any(|one| one == line), "{line} in:\n{told}");
        }
    }

    #[test]
    fn foreign_text_ends_no_label_and_is_no_markup() {
        let hostile = facts(&["\"] --> x[\"<script>alert(1)</script>\n  class x bad`#quot;"]);
        let nodes = [Node {
            name: "source",
            facts: &hostile,
            reasons: &[],
        }];
        let told = flowchart(&nodes, "Trusted=Unknown, Pending", None);
        let label = told.lines().nth(1).unwrap();
        assert_eq!(label.matches('"').count(), 2, "{label}");
        assert!(
            !label.contains("<script") && !label.contains('`'),
            "{label}"
        );
        assert!(!label.contains("#quot;"), "{label}");
        let boxes = told.lines().filter(|line| line.contains("[\"")).count();
        assert_eq!(boxes, 2, "{told}");
        assert!(told.contains("class verdict open"), "{told}");
    }

    #[test]
    fn what_is_too_much_for_a_picture_is_counted() {
        let many = facts(&["a"; FACTS + 2]);
        let none = [];
        let nodes = [
            Node {
                name: "source",
                facts: &many,
                reasons: &[],
            },
            Node {
                name: "key",
                facts: &none,
                reasons: &[],
            },
        ];
        let told = flowchart(
            &nodes,
            "Trusted=True, SignatureVerified",
            Some(Status::True),
        );
        assert!(
            told.contains("a<br/>and 2 more\"]") && told.contains("nothing is known"),
            "{told}"
        );
        assert!(
            told.contains("class verdict good") && !told.contains("class source"),
            "{told}"
        );
    }
}
