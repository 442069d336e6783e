//! Where secrets lie in images, beside the node's own files.

/// What a secret in a location means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Location {
    /// The node's own: every machine of the image would have it.
    Node,
    /// Where nodestrap reads settings, or systemd its credentials: it may be meant.
    Settings,
    /// What others read before or beside nodestrap. Much else lies there, so that what cannot be read is passed over:
    /// device nodes of masked units, kernels.
    Boot,
}

/// All of them, each a file or a directory. Where two lead to one file, the first decides.
pub(super) const LOCATIONS: [(Location, &[&str]); 3] = [
    (Location::Node, &["/etc/kubernetes", "/var/lib/kubelet"]),
    (
        Location::Settings,
        &[
            "/etc/nodestrap",
            "/etc/default/nodestrap",
            "/etc/sysconfig/nodestrap",
            // systemd.exec(5), `LoadCredential=`. What is encrypted in them cannot be looked into.
            "/etc/credstore",
            "/run/credstore",
            "/usr/local/lib/credstore",
            "/usr/lib/credstore",
            "/etc/credstore.encrypted",
            "/run/credstore.encrypted",
            "/usr/local/lib/credstore.encrypted",
            "/usr/lib/credstore.encrypted",
        ],
    ),
    (
        Location::Boot,
        &[
            // Units, their drop-ins, and what the manager gives all of them (systemd.unit(5), environment.d(5)).
            "/etc/systemd",
            "/run/systemd/system",
            "/usr/local/lib/systemd",
            "/usr/lib/systemd/system",
            "/lib/systemd/system",
            "/usr/lib/systemd/system.conf.d",
            "/etc/environment",
            "/etc/environment.d",
            "/etc/rc.local",
            // Kernel command lines (kernel-install(8), dracut.cmdline(7), bootc, zipl) and boot loaders.
            "/etc/kernel/cmdline",
            "/etc/kernel/cmdline.d",
            "/usr/lib/kernel/cmdline",
            "/usr/lib/kernel/cmdline.d",
            "/etc/cmdline",
            "/etc/cmdline.d",
            "/etc/dracut.conf",
            "/etc/dracut.conf.d",
            "/usr/lib/bootc/kargs.d",
            "/etc/zipl.conf",
            "/etc/default/grub",
            "/etc/default/grub.d",
            "/etc/grub.d",
            "/etc/default/u-boot",
            "/etc/default/extlinux",
            "/boot",
            "/efi",
            // cloud-init's seeds and what it has kept of earlier boots, other agents' too.
            "/var/lib/cloud",
            "/etc/cloud",
            "/var/lib/waagent",
            "/var/log/cloud-init.log",
            "/var/log/cloud-init-output.log",
            "/user-data",
            // What installers leave: subiquity, Anaconda, Flatcar's; and what was typed while the image was made.
            "/autoinstall.yaml",
            "/var/log/installer",
            "/root/anaconda-ks.cfg",
            "/root/original-ks.cfg",
            "/var/lib/flatcar-install",
            "/root/.bash_history",
            "/root/.kube",
            // Ignition and Combustion.
            "/usr/lib/ignition",
            "/etc/ignition",
            "/ignition",
            "/combustion",
            "/config.ign",
            "/oem",
            "/usr/share/oem",
        ],
    ),
];
