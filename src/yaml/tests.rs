use super::*;

fn problem(text: &str) -> &'static str {
    to_json(text).expect_err("must be refused").problem
}

#[test]
fn maps_lists_and_scalars_become_json() {
    let yaml =
        "a: 1\nb: [x, 'true', true, ~, -0.5]\nc:\n- name: \"q\\\"\\n\"\n  d: {}\ne:\nf: |\n  l1\n  l2\n";
    let json =
        r#"{"a":1,"b":["x","true",true,null,-0.5],"c":[{"name":"q\"\n","d":{}}],"e":null,"f":"l1\nl2\n"}"#;
    assert_eq!(to_json(yaml).unwrap(), json);
}

#[test]
fn json_is_yaml() {
    let json = r#"{"a":[{"b":"c d"},null,false],"e":12}"#;
    assert_eq!(to_json(json).unwrap(), json);
}

#[test]
fn an_empty_text_is_null() {
    assert_eq!(to_json("").unwrap(), "null");
    assert_eq!(to_json("# nothing\n").unwrap(), "null");
}

#[test]
fn what_json_cannot_say_is_refused() {
    assert_eq!(problem("a: &x 1\nb: *x\n"), "anchors are not supported");
    assert_eq!(problem("a: *x\n"), "syntax error");
    for tagged in ["a: !!binary x\n", "a: !!seq [1]\n", "a: !!map {b: 1}\n", "!!map\na: 1\n"] {
        assert_eq!(problem(tagged), "tags are not supported", "{tagged}");
    }
    for anchored in ["a: &x [1]\n", "a: &x {b: 1}\n", "- &x\n  - 1\n"] {
        assert_eq!(problem(anchored), "anchors are not supported", "{anchored}");
    }
    assert_eq!(problem("a: 1\na: 2\n"), "duplicate key");
    assert_eq!(problem("a: 1\n<<: {b: 2}\n"), "merge keys are not supported");
    assert_eq!(problem("? [a]\n: b\n"), "a key is not a plain string");
    assert_eq!(problem("a: 1\n---\nb: 2\n"), "more than one document");
    assert_eq!(problem("a: [1\n"), "syntax error");
}

#[test]
fn a_tab_that_indents_is_told_with_its_line() {
    for (text, line) in [
        ("a:\n\tb: 1\n", 2),
        ("a: 1\nb:\n  c: 1\n\td: 2\n", 4),
        ("a: 1\n\n\n\tb: 1\n", 4),
        ("a: 1\nb:\n  - x\n \t- y\n", 4),
        ("a: 1 2\n   3\n\tb: 1\n", 3),
    ] {
        let error = to_json(text).unwrap_err();
        assert_eq!(error, YamlError { line, problem: "a tab is not valid as indentation" }, "{text:?}");
    }
    assert_eq!(to_json("a: |\n  \tb\nc: [\n").unwrap_err().problem, "syntax error");
    assert!(to_json("c: |\n  \td\n").is_ok());
}

/// Behind it could stand what another reader of the same text sees.
#[test]
fn a_nul_is_no_end_of_a_text() {
    for text in ["a: 1\n\0", "a: 1\n\0b: 2\n", "\0", "a: 1\n--- \0", "[a, \0]", "a: |\n  x\n\0  y\n"] {
        assert!(documents(text, None).is_err(), "{text:?}");
    }
}

#[test]
fn work_is_bounded() {
    assert_eq!(problem(&"[".repeat(100)), "nested too deeply");
    assert_eq!(problem(&"- x\n".repeat(limits::YAML_NODES + 1)), "too many nodes");
    assert_eq!(problem(&" ".repeat(limits::YAML_BYTES + 1)), "longer than 1 MiB");
    assert_eq!(to_json(&" ".repeat(limits::YAML_BYTES)).unwrap(), "null");
    // The list itself is one.
    assert!(to_json(&"- x\n".repeat(limits::YAML_NODES - 1)).is_ok());
    assert_eq!(problem(&"- x\n".repeat(limits::YAML_NODES)), "too many nodes");
}

#[test]
fn what_the_scanner_holds_is_bounded_and_legal_flow_style_is_read() {
    let much = "too much in brackets or braces: write it in lines";
    let fill = |text: &str| text.repeat((limits::YAML_BYTES - 64) / text.len());
    for (before, part, problem_) in [
        ("# x\n{", "a:,", much),
        ("\n{", "\"\":1,", much),
        ("x: [{", "a: b,\n ", much),
        ("- [", "0,", much),
        ("[[", "[],", much),
        ("[{", "a: b,", much),
        ("[{", "? ", much),
        ("%X", " a", much),
        ("# a\n%X", " a", much),
        ("", "%TAG !a! x\n", "syntax error"),
        ("[", "[],", "too many nodes"),
        ("[", "a: b,", "too many nodes"),
        ("{", "a:,", "duplicate key"),
        ("{x: {", "a:,", "duplicate key"),
    ] {
        let text = format!("{before}{}", fill(part));
        assert_eq!(problem(&text), problem_, "{before}{part}");
    }
    for part in ["{a:,", "[0,", "{,", "[ #", "{\"a\": [],"] {
        let sum: String = fill(part);
        for text in [
            format!("a: '{sum}'\n"),
            format!("a: \"{}\"\n", sum.replace('"', "\\\"")),
            format!("a: |\n  {sum}\n"),
            format!("a: >-\n  {sum}\n"),
            format!("# {sum}\na: x\n"),
            format!("a: [x] # {sum}\n"),
            format!("{{a: '{sum}'}}\n"),
            format!("a: x{}\n", sum.replace([' ', '#'], "")),
        ] {
            assert!(text.len() > limits::YAML_BYTES || to_json(&text).is_ok(), "{}", &text[..20]);
        }
    }
    // As many entries as any kubeconfig has, in one pair of braces, and more in many.
    let map = |count: usize| -> String {
        (0..count).map(|n| ["k", &n.to_string(), ": [v, {a: b}],\n"].concat()).collect()
    };
    assert!(to_json(&format!("{{{}}}", map(limits::YAML_NODES / 6))).is_ok());
    assert!(to_json(&format!("# in braces\n{{{}}}", map(900))).is_ok());
    assert!(to_json(&"- {a: [b, c]}\n".repeat(limits::YAML_NODES / 6)).is_ok());
}

#[test]
fn the_scanner_may_hold_as_much_as_the_limit_says_and_not_one_token_more() {
    // A directive holds its parameters.
    let directive = |parameters: usize| to_json(&format!("%X{}\n--- a\n", " a".repeat(parameters)));
    assert_eq!(directive(limits::YAML_TOKENS - 3).as_deref(), Ok("\"a\""));
    let error = directive(limits::YAML_TOKENS - 2).unwrap_err();
    assert_eq!(error.problem, "too much in brackets or braces: write it in lines");
}

#[test]
fn of_a_map_only_the_named_entries_are_kept_and_counted() {
    let many: Vec<_> = (0..20_000).map(|n| format!("  k{n}: [x, {{y: z}}]\n")).collect();
    let many = many.concat();
    let text = format!("x: &no\ndata:\n{many}  a: '1'\n  b: {{c: [2]}}\ny: {{data: {{a: 3}}}}\n")
        .replace(" &no", "");
    assert_eq!(entries(&text, "data", &["a", "b"]).unwrap(), r#"{"data":{"a":"1","b":{"c":[2]}}}"#);
    for (text, json) in [
        ("data: ~", r#"{"data":null}"#),
        ("b: {a: 1}\ndata: {b: {a: 2}}", r#"{"data":{}}"#),
        ("data: [a, {a: 1, b: 2}]", r#"{"data":["a",{"a":1,"b":2}]}"#),
        ("[a]", r#"["a"]"#),
        ("", "null"),
        ("{b: [[{}], 1], data: {b: 1, a: 2, c: 3}, c: 4}", r#"{"data":{"a":2}}"#),
        ("b: 1\nb: 2\ndata: {b: 1, b: 2, a: 3}", r#"{"data":{"a":3}}"#),
    ] {
        assert_eq!(entries(text, "data", &["a"]).as_deref(), Ok(json), "{text}");
    }
    for text in ["data: {a: 1, a: 2}", "data: {a: 1}\ndata: {}", "b: &x 1", "a: 1\n---\na: 1"] {
        assert!(entries(text, "data", &["a"]).is_err(), "{text}");
    }
}

#[test]
fn of_a_tree_no_text_is_left() {
    let mut tree = serde_json::json!({"a": "secret", "b": ["secret", {"c": ["secret", 1, null]}], "d": true});
    wipe(&mut tree);
    assert_eq!(tree, serde_json::json!({"a": "", "b": ["", {"c": ["", 1, null]}], "d": true}));
}
