//! What a JoinConfiguration says in one version and not in the other, and what says nothing.

use super::*;

#[test]
fn a_field_of_the_other_version_is_unknown() {
    let known = "apiVersion: kubeadm.k8s.io/VERSION\nkind: JoinConfiguration\ndiscovery: {bootstrapToken: {token: \
                 cccccc.0123456789abcdef, apiServerEndpoint: 'h:1', unsafeSkipCAVerification: true}FIELD}\n";
    let read = |version: &str, field: &str, line: &str| {
        let text = known.replace("VERSION", version).replace("FIELD", field) + line;
        parse_in("join", &configured(&text)).map(|command| match command {
            Command::Join(join) => join.warnings,
            other => panic!("{other:?}"),
        })
    };
    for (field, line, version) in [
        ("", "dryRun: true\n", "v1beta4"),
        ("", "timeouts: {discovery: 7s}\n", "v1beta4"),
        ("", "nodeRegistration: {imagePullSerial: true}\n", "v1beta4"),
        (", timeout: 7s", "", "v1beta3"),
    ] {
        for other in ["v1beta3", "v1beta4"] {
            let warnings = read(other, field, line).unwrap();
            assert_eq!(warnings.is_empty(), version == other, "{line}{field} in {other}: {warnings:?}");
        }
    }
    for (arguments, version) in [("{v: '2'}", "v1beta3"), ("[{name: v, value: '2'}]", "v1beta4")] {
        for other in ["v1beta3", "v1beta4"] {
            let line = format!("nodeRegistration: {{kubeletExtraArgs: {arguments}}}\n");
            assert_eq!(read(other, "", &line).is_ok(), version == other, "{line} in {other}");
        }
    }
}

#[test]
fn an_empty_text_in_a_configuration_says_nothing() {
    let text = CONFIGURATION.replace("name: from-config", "name: ''");
    assert_eq!(join_in("join", &configured(&text)).node_name, None);
}
