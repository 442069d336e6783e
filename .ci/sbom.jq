# Of a CycloneDX document by cargo-cyclonedx: only what is in the program, without a path of this machine, and the two
# libraries that no lock file names. $shipped: lines of NAME@VERSION; $rust and $musl: versions.
($shipped | split("\n")) as $names
| def shipped: "\(.name)@\(.version)" | IN($names[]);
def reference: sub("^path\\+file://[^#]*#"; "pkg:cargo/");
def library($name; $version; $licence; $cpe):
    {type: "library", "bom-ref": "\($name)@\($version)", name: $name, version: $version, scope: "required", cpe: $cpe,
     licenses: [{expression: $licence}]};
[.components[] | select(shipped) | .["bom-ref"]] as $references
| .metadata.component |= (del(.components) | .["bom-ref"] |= reference | .purl = "pkg:cargo/\(.name)@\(.version)")
| .components |= map(select(shipped)) + [
    library("rust-std"; $rust; "MIT OR Apache-2.0"; "cpe:2.3:a:rust-lang:rust:\($rust):*:*:*:*:*:*:*"),
    library("musl"; $musl; "MIT"; "cpe:2.3:a:musl-libc:musl:\($musl):*:*:*:*:*:*:*")]
| .dependencies |= [.[] | select((.ref | startswith("path+")) or (.ref | IN($references[])))
    | .ref |= reference
    | if .dependsOn then .dependsOn |= map(select(IN($references[]))) else . end]
