//! The requests of a run.

use std::fmt::Write as _;

use crate::support::api::{Request, TOKEN};

/// Longer sequences of requests than this do not repeat.
const LONGEST_CYCLE: usize = 4;

/// What is short for the paths and queries of a join.
const USUAL: [(&str, &str); 8] = [
    ("/api/v1/namespaces/kube-public/configmaps/", ""),
    ("/api/v1/namespaces/kube-system/configmaps/", ""),
    ("/api/v1/nodes/", "nodes/"),
    ("/apis/certificates.k8s.io/v1/certificatesigningrequests", "csr"),
    ("metadata.name%3D", ""),
    ("GET csr?watch=1&fieldSelector=", "WATCH "),
    ("&resourceVersion=*&allowWatchBookmarks=true&timeoutSeconds=*", ""),
    ("GET csr?fieldSelector=", "LIST "),
];

/// Method, path, query and credential.
pub fn line(request: &Request) -> String {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let query: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((key @ ("resourceVersion" | "timeoutSeconds"), _)) => format!("{key}=*"),
            _ => pair.to_owned(),
        })
        .collect();
    let mut line = format!("{} {path}", request.method);
    if !query.is_empty() {
        let _ = write!(line, "?{}", query.join("&"));
    }
    for (long, short) in USUAL {
        line = line.replace(long, short);
    }
    let bearer = request
        .header("authorization")
        .map(|value| if value == format!("Bearer {TOKEN}") { " token" } else { " other token" });
    line + bearer.unwrap_or_default() + if request.client.is_some() { " certificate" } else { "" }
}

/// Takes what a sequence repeats out of it, if nothing has changed meanwhile.
pub fn once(lines: &mut Vec<(String, String)>) {
    for cycle in 1..=LONGEST_CYCLE {
        let mut at = 0;
        while at + cycle < lines.len() {
            let repeats = |by: usize| {
                lines
                    .get(at + cycle + by)
                    .is_some_and(|(line, changes)| *line == lines[at + by].0 && changes.is_empty())
            };
            let same = (0..cycle).take_while(|by| repeats(*by)).count();
            if same == cycle {
                lines.drain(at + cycle..at + 2 * cycle);
            } else {
                at += 1;
            }
        }
    }
}

/// Takes the beginning of a repetition off the end, which may have come before or after the files were written: those that
/// are there at the end are told.
pub fn cut(lines: &mut Vec<(String, String)>) {
    for cycle in 1..=LONGEST_CYCLE {
        let repeats = |at: usize| at >= cycle && lines[at].0 == lines[at - cycle].0;
        let end = (0..lines.len()).rev().find(|at| !repeats(*at)).map_or(0, |at| at + 1);
        lines.truncate(end);
    }
}

#[test]
fn repetitions_count_once() {
    let lines = |text: &str| -> Vec<(String, String)> {
        text.split(' ')
            .map(|word| {
                word.split_once('+')
                    .map_or((word.to_owned(), String::new()), |(a, b)| (a.to_owned(), b.to_owned()))
            })
            .collect()
    };
    for (text, expected) in
        [("a b c", "a b c"), ("a a+x a b", "a a+x b"), ("a+x a a b", "a+x b"), ("a b c b c b c d", "a b c d")]
    {
        let mut found = lines(text);
        once(&mut found);
        assert_eq!(found, lines(expected), "{text}");
    }
    for (text, expected) in
        [("a b c b", "a b c"), ("a b c", "a b c"), ("a b c b+x", "a b c"), ("a b c a b", "a b c")]
    {
        let mut found = lines(text);
        cut(&mut found);
        assert_eq!(found, lines(expected), "{text}");
    }
}
