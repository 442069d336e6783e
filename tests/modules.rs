//! The modules of src/, and which of them name which: every path that begins with `crate`, `super` or `self`, in groups too,
//! followed through re-exports to the file that has the item. Unit tests may name anything.

use std::collections::{BTreeMap, BTreeSet};

/// A module, by the names from the root to it.
pub type Path = Vec<String>;

/// The modules with their code.
pub struct Modules {
    code: BTreeMap<Path, String>,
    /// What a module re-exports under a name, as a path from the root.
    exports: BTreeMap<(Path, String), Path>,
}

impl Modules {
    /// Takes files, by their path below src/, with their text.
    pub fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut code = BTreeMap::new();
        for (name, text) in files {
            let name = name.strip_suffix(".rs").expect("a source file");
            let path: Path = name.split('/').map(str::to_owned).collect();
            if !path.iter().any(|part| part == "tests") && !matches!(name, "lib" | "main") {
                code.insert(path, without_tests(&text));
            }
        }
        let mut exports = BTreeMap::new();
        for (module, text) in &code {
            for line in statements(text).filter(|line| line.starts_with("pub")) {
                let Some((_, used)) = line.split_once(" use ") else { continue };
                for path in paths(used) {
                    let last = path.last().expect("a name").clone();
                    exports.insert((module.clone(), last), from_root(&path, module));
                }
            }
        }
        Self { code, exports }
    }

    /// Each module with the other modules that its code names.
    pub fn edges(&self) -> BTreeMap<&Path, BTreeSet<Path>> {
        let edges = self.code.iter().map(|(module, text)| {
            let mut named = BTreeSet::new();
            for start in ["crate::", "super::", "self::"] {
                for (at, _) in text.match_indices(start) {
                    let before = text[..at].chars().next_back();
                    if before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':')) {
                        named.extend(paths(&text[at..]).iter().filter_map(|path| {
                            self.file_of(from_root(path, module)).filter(|other| other != module)
                        }));
                    }
                }
            }
            (module, named)
        });
        edges.collect()
    }

    /// The module that has the item of this path.
    fn file_of(&self, mut path: Path) -> Option<Path> {
        // A re-export of a re-export is followed too, and nothing is re-exported in circles.
        for _ in 0..8 {
            let length = (1..=path.len()).rev().find(|length| self.code.contains_key(&path[..*length]))?;
            let module = path[..length].to_vec();
            let item = path.get(length).map(|item| (module.clone(), item.clone()));
            match item.and_then(|item| self.exports.get(&item)) {
                Some(origin) if *origin != path => {
                    path = [origin.clone(), path[length + 1..].to_vec()].concat();
                }
                _ => return Some(module),
            }
        }
        panic!("{path:?} is re-exported in a circle");
    }
}

/// The code without comments and without the unit tests at its end.
fn without_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The items of the code that end with a semicolon, each on one line.
fn statements(text: &str) -> impl Iterator<Item = String> {
    text.split(';').map(|part| {
        let start = part.rfind("\npub").map_or(0, |at| at + 1);
        part[start..].replace('\n', " ")
    })
}

/// The paths that a text begins with, one for each name of its groups.
fn paths(text: &str) -> Vec<Path> {
    let mut found = Vec::new();
    read(text, &Vec::new(), &mut found);
    found
}

/// Reads one path, or a group, and returns what is behind it.
fn read<'a>(text: &'a str, before: &Path, found: &mut Vec<Path>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
            if let Some(end) = rest.strip_prefix('}') {
                return end;
            }
            let next = read(rest, before, found);
            assert!(next.len() < rest.len(), "no path begins with {rest}");
            // Under another name.
            rest = next.find([',', '}']).map_or("", |at| &next[at..]);
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = [before.clone(), vec![name.to_owned()]].concat();
    match rest.strip_prefix("::").filter(|rest| !rest.starts_with('<')) {
        Some(rest) => read(rest, &path, found),
        None => {
            found.push(path);
            rest
        }
    }
}

/// A path of a module's code as one from the root.
fn from_root(path: &Path, module: &Path) -> Path {
    let mut from = if path[0] == "crate" { Vec::new() } else { module.clone() };
    for part in path {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => {
                from.pop();
            }
            part => from.push(part.to_owned()),
        }
    }
    from
}

#[test]
fn paths_lead_to_the_file_that_has_the_item() {
    let files = [
        (
            "a.rs",
            "mod b;\nmod c;\npub use b::{Item, other as Other};\npub(crate) use c::Last;\n// crate::z\n",
        ),
        ("a/b.rs", "use super::{\n    Own,\n    c::{self, Thing as Named},\n};\nuse self::inner::X;\n"),
        ("a/c.rs", "fn f() { super::Item::new(); crate::z::g::<u8>() }\n"),
        ("z.rs", "use crate::a::Last;\nuse crate::a::c;\n#[cfg(test)]\nmod tests { use crate::a::Item; }\n"),
        ("z/tests.rs", "use crate::a::Item;\n"),
    ];
    let modules = Modules::of(files.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let edges: Vec<String> = modules
        .edges()
        .iter()
        .flat_map(|(from, to)| to.iter().map(|to| format!("{} {}", from.join("::"), to.join("::"))))
        .collect();
    assert_eq!(edges, ["a::b a", "a::b a::c", "a::c a::b", "a::c z", "z a::c"]);
}
