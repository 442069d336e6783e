//! What is no package: system extensions, and the OCI archive.

use std::fs;

use crate::scratch::Scratch;
use crate::{artifacts, machines, one, output};

#[test]
fn a_system_extension_holds_the_program_and_what_starts_it() {
    for (machine, program) in machines() {
        let scratch = Scratch::new();
        let root = scratch.path().join("root");
        let image = one("nodestrap-", &format!("{machine}.sysext.raw"));
        output("unsquashfs", ["-quiet", "-no-progress", "-dest", &root.to_string_lossy(), &image]);
        assert!(fs::read(root.join("usr/bin/nodestrap")).expect("the program") == fs::read(program).unwrap());
        let release = root.join("usr/lib/extension-release.d/extension-release.nodestrap");
        let release = fs::read_to_string(release).expect("systemd looks for it by the image's name");
        let architecture = if machine == "x86_64" { "x86-64" } else { "arm64" };
        assert_eq!(release, format!("ID=_any\nARCHITECTURE={architecture}\nEXTENSION_RELOAD_MANAGER=1\n"));
        let unit =
            |name: &str| fs::read_to_string(root.join("usr/lib/systemd/system").join(name)).expect(name);
        assert!(unit("multi-user.target.d/10-nodestrap.conf").contains("Upholds=nodestrap-start.service"));
        assert!(unit("nodestrap-start.service").contains("start nodestrap.service"));
        unit("nodestrap.service");
        let top: Vec<_> =
            fs::read_dir(&root).expect("a folder").map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(top, ["usr"], "an extension with anything else is refused or hides the system's");
    }
}

#[test]
fn the_oci_archive_has_the_program_of_each_machine() {
    let archive = one("nodestrap-", ".oci.tar");
    for (machine, program) in machines() {
        let scratch = Scratch::new();
        let (layout, root) = (scratch.path().join("layout"), scratch.path().join("root"));
        let architecture = if machine == "x86_64" { "amd64" } else { "arm64" };
        // Each digest and size on the way is checked by skopeo.
        let source = format!("oci-archive:{archive}");
        let target = format!("dir:{}", layout.display());
        let policy = ["--insecure-policy", "--override-os=linux", "--override-arch", architecture];
        output("skopeo", policy.into_iter().chain(["copy", "--quiet", &source, &target]));
        fs::create_dir(&root).expect("a folder");
        let manifest = fs::read(layout.join("manifest.json")).expect("a manifest");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        let layers = manifest["layers"].as_array().expect("layers");
        assert_eq!(layers.len(), 1);
        let digest =
            layers[0]["digest"].as_str().and_then(|text| text.strip_prefix("sha256:")).expect("a digest");
        let layer = layout.join(digest);
        output("tar", ["-xf", &layer.to_string_lossy(), "-C", &root.to_string_lossy()]);
        assert!(fs::read(root.join("usr/bin/nodestrap")).expect("the program") == fs::read(program).unwrap());
        assert!(root.join("usr/lib/systemd/system/nodestrap.service").is_file());
    }
    assert_eq!(artifacts(".oci.tar").len(), 1);
}
