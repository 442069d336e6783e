//! The command line: what was typed ([`Typed`]), then what it means ([`Join`]).
//!
//! Flags and spellings are those of `kubeadm join` (`cmd/kubeadm/app/cmd/join.go`), so that the line that
//! `kubeadm token create --print-join-command` prints is taken as it is.

mod duration;
mod help;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};

pub use help::help;

use crate::error::{Error, Failure, Result, Step, foreign};
use crate::http::Endpoint;
use crate::kubelet::NodeRegistration;
use crate::limits;
use crate::secret::Secret;
use crate::trust::{Pin, Pins, Token};

/// What the program is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Join this machine.
    Join(Box<Join>),
    /// Print the help.
    Help,
    /// Print version and commit.
    Version,
}

/// A checked request to join.
#[derive(Debug)]
pub struct Join {
    /// The API server to ask for cluster-info.
    pub endpoint: Endpoint,
    /// The token that signs cluster-info.
    pub discovery_token: Token,
    /// The token that submits the request and goes into bootstrap-kubelet.conf.
    pub tls_bootstrap_token: Token,
    /// Which CA keys are accepted.
    pub pins: Pins,
    /// The node's name, as it was given.
    pub node_name: Option<String>,
    /// Complete the CSR exchange.
    pub with_client_cert: bool,
    /// Leave bootstrap-kubelet.conf and its token in place after success.
    pub keep_bootstrap_kubeconfig: bool,
    /// Fetch the cluster's configuration for kubelets and write it and the kubelet's flags.
    pub with_kubelet_config: bool,
    /// Do not join under the name of a node that is Ready.
    pub refuse_ready_node: bool,
    /// How the node registers.
    pub registration: NodeRegistration,
    /// The directory that stands for `/`, where it is not `/`.
    pub root: Option<PathBuf>,
    /// Cap on everything.
    pub timeout: Option<Duration>,
    /// Deadline of discovery.
    pub discovery_timeout: Duration,
    /// Deadline of the CSR exchange.
    pub tls_bootstrap_timeout: Duration,
}

/// The command line as typed; nothing is checked but its syntax.
#[derive(Debug, Default)]
pub struct Typed {
    /// Where the report goes. Known as soon as it was read, so that a usage error is reported too.
    pub report: Option<PathBuf>,
    command: Option<TypedCommand>,
    endpoint: Option<String>,
    token: Option<Secret<String>>,
    discovery_token: Option<Secret<String>>,
    tls_bootstrap_token: Option<Secret<String>>,
    pins: Vec<String>,
    skip_pins: bool,
    node_name: Option<String>,
    with_client_cert: bool,
    keep_bootstrap_kubeconfig: bool,
    with_kubelet_config: bool,
    refuse_ready_node: bool,
    registration: NodeRegistration,
    root: Option<PathBuf>,
    timeout: Option<Duration>,
    discovery_timeout: Option<Duration>,
    tls_bootstrap_timeout: Option<Duration>,
}

#[derive(Debug, PartialEq, Eq)]
enum TypedCommand {
    Join,
    Help,
    Version,
}

impl Typed {
    /// Reads the arguments (without the program's name) as far as they make sense.
    ///
    /// # Errors
    /// A usage error that names the flag, never its value: that may be a secret in the wrong place.
    pub fn read(&mut self, arguments: impl IntoIterator<Item = OsString>) -> Result<()> {
        let mut parser = Parser::from_args(arguments);
        while let Some(argument) = parser.next().map_err(|e| syntax(&e))? {
            match argument {
                Arg::Short('h') | Arg::Long("help") => {
                    self.command = Some(TypedCommand::Help);
                    return Ok(());
                }
                Arg::Short('V') | Arg::Long("version") => {
                    self.command = Some(TypedCommand::Version);
                    return Ok(());
                }
                Arg::Long(flag) => {
                    let flag = flag.to_owned();
                    self.flag(&flag, &mut parser)?;
                }
                Arg::Short(_) => return Err(usage("unknown option; see nodestrap --help")),
                Arg::Value(word) => self.word(text("the API server", word)?)?,
            }
        }
        Ok(())
    }

    fn word(&mut self, word: String) -> Result<()> {
        match (&self.command, word.as_str()) {
            // The printed join line begins with the program that it was printed for.
            (None, "kubeadm") => {}
            (None, "join") => self.command = Some(TypedCommand::Join),
            (None, "help") => self.command = Some(TypedCommand::Help),
            (None, _) => return Err(usage("unknown command; the command is: nodestrap join")),
            (Some(TypedCommand::Join), _) if self.endpoint.is_none() => self.endpoint = Some(word),
            _ => return Err(usage("more than one API server; give one HOST:PORT")),
        }
        Ok(())
    }

    fn flag(&mut self, flag: &str, parser: &mut Parser) -> Result<()> {
        let mut value = |flag: &str| parser.value().map_err(|_| usage(format!("--{flag} needs a value")));
        match flag {
            "token" => self.token = Some(Secret::new(text(flag, value(flag)?)?)),
            "discovery-token" => self.discovery_token = Some(Secret::new(text(flag, value(flag)?)?)),
            "tls-bootstrap-token" => self.tls_bootstrap_token = Some(Secret::new(text(flag, value(flag)?)?)),
            "discovery-token-ca-cert-hash" => {
                self.pins.extend(text(flag, value(flag)?)?.split(',').map(str::to_owned));
            }
            "discovery-token-unsafe-skip-ca-verification" => self.skip_pins = boolean(flag, parser)?,
            "node-name" => self.node_name = Some(text(flag, value(flag)?)?),
            "with-client-cert" => self.with_client_cert = boolean(flag, parser)?,
            "keep-bootstrap-kubeconfig" => self.keep_bootstrap_kubeconfig = boolean(flag, parser)?,
            "with-kubelet-config" => self.with_kubelet_config = boolean(flag, parser)?,
            "refuse-ready-node" => self.refuse_ready_node = boolean(flag, parser)?,
            "cri-socket" | "kubelet-extra-arg" | "taint" => {
                let text = text(flag, value(flag)?)?;
                self.registration.take(flag, &text).map_err(usage)?;
            }
            "root" => self.root = Some(PathBuf::from(value(flag)?)),
            "report" => self.report = Some(PathBuf::from(value(flag)?)),
            "timeout" => self.timeout = Some(duration(flag, value(flag)?)?),
            "discovery-timeout" => self.discovery_timeout = Some(duration(flag, value(flag)?)?),
            "tls-bootstrap-timeout" => self.tls_bootstrap_timeout = Some(duration(flag, value(flag)?)?),
            "control-plane" => {
                return Err(usage(
                    "--control-plane: nodestrap joins workers only; use kubeadm for this node",
                ));
            }
            // A flag's name is shown, a value that lost its flag is not.
            flag if flag.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') => {
                return Err(usage(format!("unknown option --{flag}; see nodestrap --help")));
            }
            _ => return Err(usage("unknown option; see nodestrap --help")),
        }
        Ok(())
    }

    /// Checks what was typed.
    ///
    /// # Errors
    /// A usage error that names the flag and says what it takes.
    pub fn command(&self) -> Result<Command> {
        match self.command {
            Some(TypedCommand::Help) => return Ok(Command::Help),
            Some(TypedCommand::Version) => return Ok(Command::Version),
            Some(TypedCommand::Join) => {}
            None => return Err(usage("a command is missing; the command is: nodestrap join HOST:PORT")),
        }
        let endpoint =
            self.endpoint.as_deref().ok_or_else(|| usage("the API server is missing; give HOST:PORT"))?;
        let endpoint = Endpoint::parse(endpoint).ok_or_else(|| {
            // Not repeated: it may be a token that lost its flag.
            usage("the word behind join is no API server; give HOST:PORT, an IPv6 address in brackets")
        })?;
        let token = |flag: &str, own: &Option<Secret<String>>| {
            let (flag, text) = match (own, &self.token) {
                (Some(text), _) => (flag, text),
                (None, Some(text)) => ("token", text),
                (None, None) => return Err(usage("the bootstrap token is missing; give --token")),
            };
            Token::parse(text.expose()).ok_or_else(|| {
                usage(format!(
                    "--{flag} is no bootstrap token, which has the form [a-z0-9]{{6}}.[a-z0-9]{{16}}"
                ))
            })
        };
        let registration = &self.registration;
        let says_how = !(registration.taints.is_empty() && registration.kubelet_extra_args.is_empty());
        if says_how && !self.with_kubelet_config {
            return Err(usage("--taint and --kubelet-extra-arg are written with --with-kubelet-config only"));
        }
        Ok(Command::Join(Box::new(Join {
            endpoint,
            discovery_token: token("discovery-token", &self.discovery_token)?,
            tls_bootstrap_token: token("tls-bootstrap-token", &self.tls_bootstrap_token)?,
            pins: self.pins()?,
            node_name: self.node_name.clone(),
            with_client_cert: self.with_client_cert,
            keep_bootstrap_kubeconfig: self.keep_bootstrap_kubeconfig,
            with_kubelet_config: self.with_kubelet_config,
            refuse_ready_node: self.refuse_ready_node,
            registration: registration.clone(),
            root: self.root.clone(),
            timeout: self.timeout,
            discovery_timeout: self.discovery_timeout.unwrap_or(limits::DISCOVERY),
            tls_bootstrap_timeout: self.tls_bootstrap_timeout.unwrap_or(limits::TLS_BOOTSTRAP),
        })))
    }

    /// Pins that are given hold, whatever else is given (`cmd/kubeadm/app/apis/kubeadm/validation`).
    fn pins(&self) -> Result<Pins> {
        if self.pins.is_empty() {
            return if self.skip_pins {
                Ok(Pins::UnsafeSkip)
            } else {
                Err(usage(
                    "the CA pin is missing; give --discovery-token-ca-cert-hash, or \
                     --discovery-token-unsafe-skip-ca-verification to trust whoever knows the token",
                ))
            };
        }
        let pins: Option<Vec<Pin>> = self.pins.iter().map(|pin| Pin::parse(pin)).collect();
        pins.map(Pins::Required)
            .ok_or_else(|| usage("--discovery-token-ca-cert-hash takes sha256: and 64 hex digits"))
    }
}

/// A flag without a value, or with `=true` or `=false`, as Go's flags have it.
fn boolean(flag: &str, parser: &mut Parser) -> Result<bool> {
    match parser.optional_value() {
        None => Ok(true),
        Some(value) => match value.to_str() {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            _ => Err(usage(format!("--{flag} takes true or false"))),
        },
    }
}

fn duration(flag: &str, value: OsString) -> Result<Duration> {
    let time = duration::parse(&text(flag, value)?).filter(|time| !time.is_zero());
    time.ok_or_else(|| usage(format!("--{flag} takes a duration such as 90s or 5m0s")))
}

fn text(what: &str, value: OsString) -> Result<String> {
    value.string().map_err(|_| usage(format!("{what}: the value is not UTF-8")))
}

/// lexopt's own messages quote values.
fn syntax(error: &lexopt::Error) -> Error {
    usage(match error {
        lexopt::Error::UnexpectedValue { option, .. } => format!("{} takes no value", foreign(option)),
        _ => "the command line cannot be read; see nodestrap --help".to_owned(),
    })
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(Step::Options, Failure::Usage, message)
}

#[cfg(test)]
mod tests;
