//! How the cluster is found: one of five ways, and the credential that goes with it.

use std::path::Path;

use super::settings::{ENDPOINT, Settings};
use super::vouched::Vouched;
use super::{sources, usage};
use crate::discovery::ClusterInfo;
use crate::error::Result;
use crate::http::{Endpoint, ServerUrl};
use crate::identity::Credentials;
use crate::secret::Secret;
use crate::trust::{Bundle, GivenCluster, Pin, Pins, Published, Token};

/// How the cluster is found.
#[derive(Debug)]
pub enum Discovery {
    /// Ask the API server for cluster-info.
    Token {
        /// Whom to ask; any one of them will do. Never empty.
        endpoints: Vec<Endpoint>,
        /// The token that signs cluster-info.
        token: Token,
        /// What requests the certificate.
        credentials: Credentials,
    },
    /// A signed cluster-info from anywhere: the API server is not asked.
    ClusterInfo {
        /// The ConfigMap, not verified yet.
        info: Source<ClusterInfo>,
        /// The token that signs it.
        token: Token,
        /// What requests the certificate.
        credentials: Credentials,
    },
    /// Server and CA by the operator's own word, from a kubeconfig or from flags.
    Given(Vouched),
    /// The same from a kubeconfig that has to be fetched first.
    Kubeconfig {
        /// Where it is.
        download: Download,
        /// The operator's token, instead of what the kubeconfig's user is known by.
        token: Option<Secret<String>>,
    },
    /// Not at all, and this is what is missing: nobody has said where the cluster is, or a token's file is not there. A
    /// machine that is joined needs neither.
    Unknown(String),
}

/// Something that a file has told already, or that has to be fetched.
#[derive(Debug)]
pub enum Source<T> {
    /// It was read.
    Read(T),
    /// It lies there.
    Behind(Download),
}

/// A file behind a URL.
#[derive(Debug)]
pub struct Download {
    /// Where it is.
    pub url: ServerUrl,
    /// The CAs that its server is verified by; without them the public roots.
    pub authorities: Option<Bundle>,
}

/// The settings that each name a way. The stronger source decides; two ways from one source are a contradiction.
const WAYS: [&str; 5] = [ENDPOINT, "cluster-info", "discovery-file", "bootstrap-kubeconfig", "server"];

/// Decides the way, and what the machine is known by on it.
///
/// # Errors
/// A usage error that says what is missing, contradictory or unreadable.
pub(super) fn decide(settings: &Settings, pins: &Pins) -> Result<Discovery> {
    let ways = || WAYS.iter().filter_map(|way| Some((*way, settings.origin(way)?)));
    let strongest = ways().map(|(_, origin)| origin).max();
    let mut chosen = ways().filter(|(_, origin)| Some(*origin) == strongest).map(|(way, _)| way);
    let Some(way) = chosen.next() else {
        return Ok(Discovery::Unknown("the API server is missing; give HOST:PORT".to_owned()));
    };
    if let Some(other) = chosen.next() {
        return Err(usage(format!("{way} and {other} are two ways to find the cluster; give one of them")));
    }
    if let Some((file, _)) = settings.secret_files().find(|(_, gone)| *gone) {
        return Ok(Discovery::Unknown(format!("the token's file {file} is not there; write a new one")));
    }
    let value = settings.value(way).unwrap_or_default();
    let is_url = matches!(way, "cluster-info" | "discovery-file") && value.contains("://");
    if settings.value("discovery-ca").is_some() && !is_url {
        return Err(usage("--discovery-ca is for the https:// URL of a --discovery-file or --cluster-info"));
    }
    let discovery = match way {
        ENDPOINT => {
            // Not repeated: it may be a token that lost its flag.
            let endpoints = Endpoint::parse_list(value).ok_or_else(|| {
                usage(
                    "the given word is no API server; give HOST:PORT without https://, an IPv6 address in brackets, \
                     several with commas between",
                )
            })?;
            let token = bootstrap_token(settings, "discovery-token")?;
            Discovery::Token { endpoints, token, credentials: request_token(settings)?.into() }
        }
        "cluster-info" => {
            let source = match Place::of(way, value, settings)? {
                Place::File(file) => Source::Read(sources::read_file(file)?),
                Place::Url(download) => Source::Behind(download),
            };
            let token = bootstrap_token(settings, "discovery-token")?;
            let info = match source {
                Source::Read(text) => Source::Read(cluster_info(&text, &token)?),
                Source::Behind(download) => Source::Behind(download),
            };
            Discovery::ClusterInfo { info, token, credentials: request_token(settings)?.into() }
        }
        "server" => {
            let server = ServerUrl::parse(value)
                .ok_or_else(|| usage("--server takes an https:// URL of a host, a port and a path"))?;
            let file = settings.value("certificate-authority").ok_or_else(|| {
                usage("--server needs --certificate-authority FILE, the CA that it is verified by")
            })?;
            let cluster = GivenCluster { server, authorities: bundle(file)? };
            Discovery::Given(Vouched { cluster, credentials: request_token(settings)?.into() })
        }
        // The rest are kubeconfigs. The kubelet's own is a file, for the kubelet too.
        _ => match (Place::of(way, value, settings)?, operators_token(settings)?) {
            (Place::File(file), token) => {
                Discovery::Given(Vouched::from_file(file, way == "bootstrap-kubeconfig", token)?)
            }
            (Place::Url(download), token) if way == "discovery-file" => {
                Discovery::Kubeconfig { download, token }
            }
            (Place::Url(_), _) => {
                return Err(usage(format!(
                    "--{way} takes a file; --discovery-file takes an https:// URL too"
                )));
            }
        },
    };
    require_pin(settings, pins, matches!(way, ENDPOINT | "cluster-info"))?;
    Ok(discovery)
}

/// A cluster-info in a file, with the token and the pins to judge it by.
///
/// # Errors
/// A usage error that says what is missing or unreadable.
pub(super) fn published(file: &str, settings: &Settings) -> Result<Published> {
    let pins = pins(settings)?;
    let text = sources::read_file(Path::new(file))?;
    let token = bootstrap_token(settings, "discovery-token")?;
    require_pin(settings, &pins, true)?;
    Ok(Published { info: cluster_info(&text, &token)?, token, pins })
}

fn cluster_info(text: &Secret<String>, token: &Token) -> Result<ClusterInfo> {
    ClusterInfo::from_text(text.expose(), token.id()).map_err(|e| {
        usage("the given cluster-info is no ConfigMap in JSON or YAML; give it as kubectl prints it")
            .caused_by(e)
    })
}

/// What a setting names that takes a file or an `https://` URL, as kubeadm tells them apart
/// (`cmd/kubeadm/app/discovery`, `isHTTPSURL`).
enum Place<'a> {
    File(&'a Path),
    Url(Download),
}

impl<'a> Place<'a> {
    /// # Errors
    /// A usage error for another URL, which is not repeated: it may hold a password. And for a CA that cannot be used.
    fn of(name: &str, value: &'a str, settings: &Settings) -> Result<Self> {
        if !value.contains("://") {
            return Ok(Self::File(Path::new(value)));
        }
        let url = ServerUrl::parse(value).ok_or_else(|| {
            usage(format!(
                "--{name} takes a file or an https:// URL of a host, a port and a path, without user or query"
            ))
        })?;
        let authorities = settings.value("discovery-ca").map(bundle).transpose()?;
        Ok(Self::Url(Download { url, authorities }))
    }
}

/// The certificates in a PEM file.
///
/// # Errors
/// A usage error that names the file and says what is wrong with it.
pub(super) fn bundle(file: &str) -> Result<Bundle> {
    let pem = sources::read_file(Path::new(file))?.expose().clone().into_bytes();
    Bundle::from_pem(pem).map_err(|problem| usage(format!("{file} cannot be used: {problem}")))
}

/// The token for one of the two purposes; `--token` serves both.
fn bootstrap_token(settings: &Settings, purpose: &str) -> Result<Token> {
    let Some((name, text, origin)) = settings.stronger([purpose, "token"]) else {
        return Err(usage("the bootstrap token is missing; give --token-file or --token"));
    };
    Token::parse(text).ok_or_else(|| {
        usage(format!(
            "--{name} ({origin}) is no bootstrap token, which has the form [a-z0-9]{{6}}.[a-z0-9]{{16}}"
        ))
    })
}

/// The token that the operator wants to be used instead of a kubeconfig's own user.
fn operators_token(settings: &Settings) -> Result<Option<Secret<String>>> {
    let given = ["tls-bootstrap-token", "token", "bearer-token"].map(|name| settings.origin(name));
    given.iter().any(Option::is_some).then(|| request_token(settings)).transpose()
}

/// The token that requests the certificate: a bootstrap token, or with `--bearer-token` any other (static tokens of
/// `--token-auth-file`, service account tokens).
fn request_token(settings: &Settings) -> Result<Secret<String>> {
    match (settings.stronger(["tls-bootstrap-token", "token"]), settings.value("bearer-token")) {
        (None, Some(token)) => {
            if token.is_empty() || !is_bearer_token(token) {
                return Err(usage("--bearer-token has characters that no bearer token has"));
            }
            Ok(Secret::new(token.to_owned()))
        }
        _ => bootstrap_token(settings, "tls-bootstrap-token").map(|token| token.whole().clone()),
    }
}

/// Whether a text holds only what a bearer token can (RFC 6750, section 2.1, b64token): it goes into a header, and into
/// a kubeconfig.
pub(super) fn is_bearer_token(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+/=".contains(c))
}

/// The pins. Those that are given hold, whatever the way and whatever else is given
/// (`cmd/kubeadm/app/apis/kubeadm/validation`; kubeadm itself looks at them on one way only).
///
/// # Errors
/// A usage error for what is no pin.
pub(super) fn pins(settings: &Settings) -> Result<Pins> {
    let pins: Option<Vec<Pin>> = settings.list("discovery-token-ca-cert-hash").map(Pin::parse).collect();
    let pins = pins.ok_or_else(|| usage("--discovery-token-ca-cert-hash takes sha256: and 64 hex digits"))?;
    Ok(match pins.is_empty() {
        true => Pins::None,
        false if settings.is_on("pin-every-ca") => Pins::EachRequired(pins),
        false => Pins::Required(pins),
    })
}

/// Refuses to do without a pin where nobody has allowed it; where content is `signed` with a token, that is always asked.
fn require_pin(settings: &Settings, pins: &Pins, signed: bool) -> Result<()> {
    if !matches!(pins, Pins::None) {
        return Ok(());
    }
    if settings.is_on("pin-every-ca") {
        return Err(usage(
            "the CA pin is missing, and --pin-every-ca wants one for each CA; give --discovery-token-ca-cert-hash",
        ));
    }
    if signed && !settings.is_on("discovery-token-unsafe-skip-ca-verification") {
        return Err(usage(
            "the CA pin is missing; give --discovery-token-ca-cert-hash, or \
             --discovery-token-unsafe-skip-ca-verification to trust whoever knows the token",
        ));
    }
    Ok(())
}
