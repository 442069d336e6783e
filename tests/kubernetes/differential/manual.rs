//! What the manual page says of the kubelet, beside the kubelet.

use serde_json::json;

use super::oracle::Oracle;

/// Each flag that the kubelet has lost in 1.37, and no other.
#[test]
fn the_manual_lists_the_flags_that_the_kubelet_has_lost() {
    let flags = |mut oracle: Oracle| -> Vec<String> {
        let names = oracle.ask("flags", &json!("kubelet")).expect("the kubelet's flags");
        names.as_array().expect("a list").iter().map(|name| name.as_str().expect("text").to_owned()).collect()
    };
    let (before, after) = (flags(Oracle::of("1.36")), flags(Oracle::of("1.37")));
    let gone: Vec<_> = before.iter().filter(|name| !after.contains(name)).map(String::as_str).collect();
    let manual = include_str!("../../../image/man/nodestrap.8");
    let (_, rest) = manual.split_once("with flags that it has lost:\n").expect("the list");
    let (list, _) = rest.split_once(" .\n").expect("its end");
    let listed: Vec<_> = list.split_whitespace().filter(|word| ![".Li", ","].contains(word)).collect();
    assert_eq!(listed, gone);
}
