//! What the program is asked to do: settings from all sources ([`Surroundings`], a configuration file, the command
//! line), then what they mean together ([`Join`]).
//!
//! Flags and spellings are those of `kubeadm join` (`cmd/kubeadm/app/cmd/join.go`), so that the line that
//! `kubeadm token create --print-join-command` prints is taken as it is.

mod args;
mod configuration;
mod discovery;
mod duration;
mod env_file;
mod flags;
mod help;
mod method;
mod settings;
mod sources;
mod values;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use help::help;
pub use method::LazyMethod;
pub use sources::Surroundings;

use crate::clock::{Clock, Deadline};
use crate::error::{Error, Result, usage};
use crate::input::{self, Missing, Reader, Wait};
use crate::kubelet::NodeRegistration;
use crate::limits;
use crate::node::Layout;
use crate::trust::{CaBundle, Pins, UnverifiedClusterInfo};
use crate::x509::AltNames;
use args::Verb;
use env_file::Variables;
use flags::Flag;
use settings::{Origin, Settings};

/// What the program is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Join this machine.
    Join(Box<Join>),
    /// Print the pins of these certificates.
    CaHash(CaBundle),
    /// Verify a cluster-info; what a user should know stands beside it, one line each.
    Verify(Box<UnverifiedClusterInfo>, Vec<String>),
    /// Check the image in this directory.
    Check(PathBuf),
    /// Print what was decided for this join, and where each value came from.
    PrintConfig(Box<Join>, String),
    /// Print for what the join is.
    PrintRole(&'static str),
    /// Print the help.
    Help,
    /// Print version and commit.
    Version,
}

/// A checked request to join.
#[derive(Debug)]
pub struct Join {
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

impl Join {
    /// Compares a node's cluster, by its CA `keys` as [`crate::x509::Certificate::pin`] has them, with what is given: pins
    /// and CAs. Nobody is asked, so a CA behind a URL is not among them.
    #[must_use]
    pub fn compare(&self, keys: &[String]) -> Comparison {
        let ca = self.method.ca().map(CaBundle::pins).unwrap_or_default();
        if ca.is_empty() && self.pins.given().is_empty() {
            return Comparison::Unknown;
        }
        let is_given = |key: &String| self.pins.name(key) || ca.contains(key);
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

/// All that was said, from all sources.
#[derive(Debug, Default)]
pub struct Options {
    settings: Settings,
    verb: Option<Verb>,
    clock: Option<Arc<dyn Clock>>,
    variables: Variables,
}

impl Options {
    /// Reads the arguments (without the program's name), and for a join what else the machine says. What could be read
    /// before an error counts: the report goes where it was asked for.
    ///
    /// # Errors
    /// A usage error that names flag or source, never its value: that may be a secret in the wrong place.
    pub fn read(
        &mut self,
        arguments: impl IntoIterator<Item = OsString>,
        surroundings: &Surroundings,
    ) -> Result<()> {
        self.clock = Some(surroundings.clock.clone());
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        self.verb = args::read(arguments.iter().cloned(), Origin::Flags, &mut self.settings)?;
        if !matches!(self.verb, Some(Verb::Join | Verb::Verify)) {
            return Ok(());
        }
        let missing = self.read_env_file(arguments)?;
        let mut reader = self.reader()?;
        if let Some(missing) = missing {
            reader.note(missing);
        }
        let settings = &mut self.settings;
        surroundings.read(&self.variables, settings, &mut reader)?;
        if let Some(file) = settings.value(Flag::Config).map(str::to_owned)
            && let Some(text) = reader.text(&settings.label(Flag::Config), &file)?
        {
            configuration::read(text.expose(), Origin::Configuration, settings)?;
        }
        // What is missing may not be missed: that, the join finds out.
        settings.unread = reader.missing();
        settings.reads_standard_input_once()
    }

    /// A reader that waits as long as a run may.
    fn reader(&self) -> Result<Reader> {
        let Some(clock) = self.clock.clone() else { return Ok(Reader::of_files()) };
        let cap = self.duration(Flag::Timeout)?.map(Deadline::at);
        let patience = self.duration(Flag::DiscoveryTimeout)?.unwrap_or(limits::DISCOVERY);
        let deadline = Deadline::after(&*clock, patience).earlier(cap);
        Ok(Reader::waiting(Wait { clock, deadline }))
    }

    /// Reads the file of variables, where one is given. Its arguments come behind the own ones, as in the unit. Returns what
    /// is missing.
    fn read_env_file(&mut self, mut arguments: Vec<OsString>) -> Result<Option<Missing>> {
        let Some(file) = self.settings.value(Flag::EnvFile).map(str::to_owned) else { return Ok(None) };
        let mut reader = self.reader()?;
        let Some(text) =
            reader.text_or_nothing(&self.settings.label(Flag::EnvFile), &file, Path::new(&file))?
        else {
            return Ok(reader.missing());
        };
        self.variables = Variables::parse(text.expose());
        let more = self.variables.arguments();
        let more = more.map_err(|problem| {
            usage(format!("NODESTRAP_ARGS cannot be read: {problem}")).with_help("correct it")
        })?;
        if !more.is_empty() {
            arguments.extend(more.into_iter().map(OsString::from));
            self.settings = Settings::default();
            self.verb = args::read(arguments, Origin::Flags, &mut self.settings)?;
        }
        if self.settings.value(Flag::EnvFile) == Some(&file) {
            return Ok(None);
        }
        Err(usage("--env-file is not valid in NODESTRAP_ARGS").with_help("put the variables into one file"))
    }

    /// A variable of the environment, where the file of variables has it; an empty one is unset.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name)
    }

    /// Whether anything says which cluster to join, or by what right, also a source that cannot be read. An image may have
    /// the other settings for all of its machines.
    #[must_use]
    pub fn names_cluster(&self) -> bool {
        const CLUSTER: [Flag; 11] = [
            Flag::Endpoint,
            Flag::Config,
            Flag::Token,
            Flag::DiscoveryToken,
            Flag::TlsBootstrapToken,
            Flag::BearerToken,
            Flag::CaCertHash,
            Flag::DiscoveryFile,
            Flag::ClusterInfo,
            Flag::Server,
            Flag::BootstrapKubeconfig,
        ];
        self.settings.unread.is_some() || CLUSTER.into_iter().any(|flag| self.settings.is_set(flag))
    }

    /// Where the report goes, if anywhere.
    #[must_use]
    pub fn report(&self) -> Option<&Path> {
        self.settings.value(Flag::Report).map(Path::new)
    }

    /// Checks what was said.
    ///
    /// # Errors
    /// A usage error that names the setting and says what it takes.
    pub fn command(&self) -> Result<Command> {
        match self.verb {
            Some(Verb::Help) => return Ok(Command::Help),
            Some(Verb::Version) => return Ok(Command::Version),
            Some(Verb::Join) => {}
            Some(Verb::CaHash) => {
                let file = self.settings.value(Flag::File).ok_or_else(|| usage("ca-hash expects FILE"))?;
                self.reject_other_flags(&[Flag::File, Flag::Report, Flag::Timeout])?;
                let mut reader = self.reader()?;
                let ca = discovery::ca_bundle("ca-hash", file, &mut reader)?;
                return needed(ca, reader).map(Command::CaHash);
            }
            Some(Verb::Verify) => {
                if self.settings.origin(Flag::ClusterInfo).is_none() {
                    return Err(usage("verify expects --cluster-info FILE"));
                }
                let info = self.unverified_cluster_info()?;
                return Ok(Command::Verify(Box::new(info), self.warnings()?));
            }
            Some(Verb::Check) => {
                self.reject_other_flags(&[Flag::Root, Flag::Report])?;
                return Ok(Command::Check(self.settings.value(Flag::Root).unwrap_or("/").into()));
            }
            None => {
                return Err(
                    usage("no command given").with_help("to join a machine: nodestrap join HOST:PORT")
                );
            }
        }
        let prints_role = self.settings.is_on(Flag::PrintRole);
        if let (Some(unread), true) = (self.settings.unread.clone(), prints_role) {
            return Err(unread.into());
        }
        if self.is_control_plane() {
            if prints_role {
                return Ok(Command::PrintRole("control-plane"));
            }
            let label = self.settings.label(Flag::ControlPlane);
            return Err(usage(format!("{label}: nodestrap joins workers only"))
                .with_help("use kubeadm for control plane nodes"));
        }
        self.refuse_unsupported()?;
        let join = Box::new(self.join()?);
        if prints_role {
            return Ok(Command::PrintRole("worker"));
        }
        if self.settings.is_on(Flag::PrintConfig) {
            return Ok(Command::PrintConfig(join, self.settings.print()));
        }
        Ok(Command::Join(join))
    }

    fn unverified_cluster_info(&self) -> Result<UnverifiedClusterInfo> {
        let mut reader = self.reader()?;
        let mut settings = self.settings.clone();
        if let Some(unread) = settings.unread.take() {
            reader.note(unread);
        }
        settings.read_secrets(&mut reader)?;
        let info = discovery::unverified(&settings, &mut reader)?;
        needed(info, reader)
    }

    fn reject_other_flags(&self, flags: &[Flag]) -> Result<()> {
        let Some(unexpected) = self.settings.first_unexpected(flags) else { return Ok(()) };
        Err(usage(format!("--{} is not valid for this command", unexpected.row().name)))
    }

    fn join(&self) -> Result<Join> {
        let settings = &self.settings;
        let removes = settings.is_on(Flag::RemoveTokenFile);
        let files = settings.secret_files().filter(|file| removes && *file != input::STANDARD_INPUT);
        let pins = discovery::pins(settings)?;
        Ok(Join {
            method: LazyMethod::of(settings, &pins)?,
            pins,
            unread: settings.unread.clone(),
            token_files: files.map(PathBuf::from).collect(),
            node_name: self.node_name()?,
            dry_run: settings.is_on(Flag::DryRun),
            with_client_cert: self.with_client_cert(),
            serving: self.serving()?,
            expiration_seconds: self.expiration_seconds()?,
            keep_bootstrap_kubeconfig: settings.is_on(Flag::KeepBootstrapKubeconfig),
            with_kubelet_config: settings.is_on(Flag::WithKubeletConfig),
            patches: self.patches()?,
            refuse_ready_node: settings.is_on(Flag::RefuseReadyNode),
            registration: self.registration()?,
            layout: self.layout()?,
            replace: settings.is_on(Flag::Replace),
            root: settings.value(Flag::Root).map(PathBuf::from),
            timeout: self.duration(Flag::Timeout)?,
            splay: self.any_duration(Flag::Splay)?.unwrap_or_default(),
            discovery_timeout: self.duration(Flag::DiscoveryTimeout)?.unwrap_or(limits::DISCOVERY),
            tls_bootstrap_timeout: self.duration(Flag::TlsBootstrapTimeout)?.unwrap_or(limits::TLS_BOOTSTRAP),
            warnings: self.warnings()?,
        })
    }
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
