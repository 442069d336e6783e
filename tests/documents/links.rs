//! Where the documents' links lead.

use std::fs;

use super::{documents, root};

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut in_block = false;
    let headings = text.lines().filter(move |line| {
        in_block ^= line.starts_with("```");
        !in_block && line.starts_with('#')
    });
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let anchor =
        |line: &str| line.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect();
    headings.map(|line| -> String { anchor(line) }).map(|title| title.replace(' ', "-")).collect()
}

#[test]
fn every_link_leads_to_a_file_or_a_heading() {
    let mut followed = 0;
    for (name, text) in documents() {
        let document = root().join(&name);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().expect("a first part")) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { document.clone() } else { document.with_file_name(path) };
            assert!(target.exists(), "{name} links to {link}");
            let found = || anchors(&fs::read_to_string(&target).expect("text")).iter().any(|a| a == anchor);
            assert!(anchor.is_empty() || found(), "{name} links to {link}");
            followed += 1;
        }
    }
    assert!(followed > 50, "{followed} links were found");
}
