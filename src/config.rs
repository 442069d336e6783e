//! What settings mean together: the one command that is asked for, and of a join all that it goes by ([`JoinConfig`]).
//!
//! Each flag that a join knows is a field here, in its own type: no stage reads a setting by its name.

mod discovery;
mod method;
mod values;

use std::path::PathBuf;
use std::time::Duration;

pub use method::LazyMethod;

use crate::cli::{Flag, Invocation, Settings, Verb};
use crate::error::{Error, Result, usage};
use crate::input::{self, Missing, Reader};
use crate::kubelet::NodeRegistration;
use crate::limits;
use crate::node::Layout;
use crate::trust::{CaBundle, Pins, UnverifiedClusterInfo};
use crate::x509::AltNames;

/// What the program is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Join this machine.
    Join(Box<JoinConfig>),
    /// Print the pins of these certificates.
    CaHash(CaBundle),
    /// Verify a cluster-info; what a user should know stands beside it, one line each.
    Verify(Box<UnverifiedClusterInfo>, Vec<String>),
    /// Check the image in this directory.
    Check(PathBuf),
    /// Print what was decided for this join, and where each value came from.
    PrintConfig(Box<JoinConfig>, String),
    /// Print for what the join is.
    PrintRole(&'static str),
    /// Print the help.
    Help,
    /// Print version and commit.
    Version,
}

/// A checked request to join.
#[derive(Debug)]
pub struct JoinConfig {
    /// How the cluster is found, and what submits the request and goes into bootstrap-kubelet.conf.
    pub method: LazyMethod,
    /// Which CA keys are accepted, however the cluster is found.
    pub pins: Pins,
    /// A source of settings that is named and cannot be read: what it would say of the node is not known.
    pub unread: Option<Missing>,
    /// Files with tokens that go once the machine is joined.
    pub token_files: Vec<PathBuf>,
    /// The node's name, as it was given.
    pub node_name: Option<String>,
    /// Find and trust the cluster, and write nothing.
    pub dry_run: bool,
    /// Complete the CSR exchange.
    pub with_client_cert: bool,
    /// Get a serving certificate too.
    pub serving: Option<Serving>,
    /// How long the certificates are to last.
    pub expiration_seconds: Option<u32>,
    /// Leave bootstrap-kubelet.conf and its token in place after success.
    pub keep_bootstrap_kubeconfig: bool,
    /// Fetch the cluster's configuration for kubelets and write it and the kubelet's flags.
    pub with_kubelet_config: bool,
    /// The directory of the administrator's patches to that, below the root.
    pub patches: Option<String>,
    /// Do not join under the name of a node that is Ready.
    pub refuse_ready_node: bool,
    /// How the node registers.
    pub registration: NodeRegistration,
    /// Where the node's files lie below the root.
    pub layout: Layout,
    /// Move aside what another cluster or node has left, instead of refusing it.
    pub replace: bool,
    /// The directory that stands for `/`, where it is not `/`.
    pub root: Option<PathBuf>,
    /// Cap on everything.
    pub timeout: Option<Duration>,
    /// The longest that the first request is put off; zero for not at all.
    pub splay: Duration,
    /// Deadline of discovery.
    pub discovery_timeout: Duration,
    /// Deadline of the CSR exchange.
    pub tls_bootstrap_timeout: Duration,
    /// What a user should know, one line each.
    pub warnings: Vec<String>,
}

/// Whether a node's cluster is the one that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It has a CA key that is given.
    Same,
    /// CA keys are given, and it has none of them.
    Other,
    /// No key is given.
    Unknown,
}

impl JoinConfig {
    /// Decides what the settings mean together.
    fn of(settings: &Settings) -> Result<Self> {
        let removes = settings.is_on(Flag::RemoveTokenFile);
        let files = settings.secret_files().filter(|file| removes && *file != input::STANDARD_INPUT);
        let pins = discovery::pins(settings)?;
        Ok(Self {
            method: LazyMethod::of(settings, &pins)?,
            pins,
            unread: settings.unread.clone(),
            token_files: files.map(PathBuf::from).collect(),
            node_name: values::node_name(settings)?,
            dry_run: settings.is_on(Flag::DryRun),
            with_client_cert: values::with_client_cert(settings),
            serving: values::serving(settings)?,
            expiration_seconds: values::expiration_seconds(settings)?,
            keep_bootstrap_kubeconfig: settings.is_on(Flag::KeepBootstrapKubeconfig),
            with_kubelet_config: settings.is_on(Flag::WithKubeletConfig),
            patches: values::patches(settings)?,
            refuse_ready_node: settings.is_on(Flag::RefuseReadyNode),
            registration: values::registration(settings)?,
            layout: values::layout(settings)?,
            replace: settings.is_on(Flag::Replace),
            root: settings.value(Flag::Root).map(PathBuf::from),
            timeout: settings.duration(Flag::Timeout)?,
            splay: settings.any_duration(Flag::Splay)?.unwrap_or_default(),
            discovery_timeout: settings.duration(Flag::DiscoveryTimeout)?.unwrap_or(limits::DISCOVERY),
            tls_bootstrap_timeout: settings
                .duration(Flag::TlsBootstrapTimeout)?
                .unwrap_or(limits::TLS_BOOTSTRAP),
            warnings: values::warnings(settings)?,
        })
    }

    /// How long a run can take that nothing but its own deadlines ends: the wait for a pipe and discovery, each as long as
    /// `--discovery-timeout` says, the splay, and both certificates.
    pub fn longest_run(&self) -> Duration {
        let discovery = self.discovery_timeout;
        let serving = self.serving.as_ref().map_or(Duration::ZERO, |serving| serving.timeout);
        [discovery, discovery, self.splay, self.tls_bootstrap_timeout, serving]
            .into_iter()
            .fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Compares a node's cluster, by its CA `keys` as [`crate::x509::Certificate::pin`] has them, with what is given: pins
    /// and CAs. No server is contacted, so a CA behind a URL is not among them.
    pub fn compare(&self, keys: &[String]) -> Comparison {
        let ca = self.method.ca().map(CaBundle::pins).unwrap_or_default();
        if ca.is_empty() && self.pins.given().is_empty() {
            return Comparison::Unknown;
        }
        let is_given = |key: &String| self.pins.contains(key) || ca.contains(key);
        if keys.iter().any(is_given) { Comparison::Same } else { Comparison::Other }
    }
}

/// What serving certificate is asked for.
#[derive(Debug)]
pub struct Serving {
    /// The hosts that were given; empty for the node's own name and address.
    pub names: AltNames,
    /// How long it is waited for; zero to look once.
    pub timeout: Duration,
}

impl Command {
    /// Checks what was said.
    ///
    /// # Errors
    /// A usage error that names the setting and says what it takes.
    pub fn of(invocation: &Invocation) -> Result<Self> {
        let settings = &invocation.settings;
        match invocation.verb {
            Some(Verb::Help) => return Ok(Self::Help),
            Some(Verb::Version) => return Ok(Self::Version),
            Some(Verb::Join) => {}
            Some(Verb::CaHash) => {
                let file = settings.value(Flag::File).ok_or_else(|| usage("ca-hash expects FILE"))?;
                reject_other_flags(settings, &[Flag::File, Flag::Report, Flag::Timeout])?;
                let mut reader = invocation.reader()?;
                let ca = discovery::ca_bundle("ca-hash", file, &mut reader)?;
                return needed(ca, reader).map(Self::CaHash);
            }
            // With every flag of a join, so that a join's own command can be checked.
            Some(Verb::Verify) => {
                if settings.origin(Flag::ClusterInfo).is_none() {
                    return Err(usage("verify expects --cluster-info FILE"));
                }
                let info = unverified_cluster_info(invocation)?;
                return Ok(Self::Verify(Box::new(info), values::warnings(settings)?));
            }
            Some(Verb::Check) => {
                reject_other_flags(settings, &[Flag::Root, Flag::Report])?;
                return Ok(Self::Check(settings.value(Flag::Root).unwrap_or("/").into()));
            }
            None => {
                return Err(
                    usage("no command given").with_help("to join a machine: nodestrap join HOST:PORT")
                );
            }
        }
        let prints_role = settings.is_on(Flag::PrintRole);
        if prints_role && let Some(unread) = &settings.unread {
            return Err(unread.clone().into());
        }
        if settings.is_on(Flag::ControlPlane) {
            if prints_role {
                return Ok(Self::PrintRole("control-plane"));
            }
            let label = settings.label(Flag::ControlPlane);
            return Err(usage(format!("{label}: nodestrap joins workers only"))
                .with_help("use kubeadm for control plane nodes"));
        }
        values::refuse_unsupported(settings)?;
        let join = Box::new(JoinConfig::of(settings)?);
        if prints_role {
            return Ok(Self::PrintRole("worker"));
        }
        if settings.is_on(Flag::PrintConfig) {
            return Ok(Self::PrintConfig(join, settings.print()));
        }
        Ok(Self::Join(join))
    }
}

fn unverified_cluster_info(invocation: &Invocation) -> Result<UnverifiedClusterInfo> {
    let mut reader = invocation.reader()?;
    let mut settings = invocation.settings.clone();
    if let Some(unread) = settings.unread.take() {
        reader.note(unread);
    }
    settings.read_secrets(&mut reader)?;
    let info = discovery::unverified(&settings, &mut reader)?;
    needed(info, reader)
}

fn reject_other_flags(settings: &Settings, flags: &[Flag]) -> Result<()> {
    let Some(unexpected) = settings.first_unexpected(flags) else { return Ok(()) };
    Err(usage(format!("--{} is not valid for this command", unexpected.row().name)))
}

/// What has to be there now.
fn needed<T>(found: Option<T>, reader: Reader) -> Result<T> {
    match (found, reader.missing()) {
        (Some(found), None) => Ok(found),
        (_, missing) => Err(missing.map_or_else(|| usage("a setting is missing"), Error::from)),
    }
}

#[cfg(test)]
mod tests;
