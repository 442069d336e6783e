//! How the cluster is found: one of five ways, and the credential that goes with it.

use std::path::{Path, PathBuf};

use super::settings::{ENDPOINT, Settings};
use super::{sources, usage};
use crate::discovery::ClusterInfo;
use crate::error::{Error, Result};
use crate::http::{Endpoint, ServerUrl};
use crate::kubeconfig::{Cluster, Kubeconfig, User};
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
        /// Which CA keys are accepted.
        pins: Pins,
    },
    /// A signed cluster-info from anywhere: nobody is asked.
    ClusterInfo(Published),
    /// Server and CA by the operator's own word, from a kubeconfig or from flags.
    Given(GivenCluster),
    /// Not at all: this file, which is removed after a join, is not there. A machine that is joined needs none.
    TokenGone(PathBuf),
}

/// The settings that each name a way. The stronger source decides; two ways from one source are a contradiction.
const WAYS: [&str; 5] = [ENDPOINT, "cluster-info", "discovery-file", "bootstrap-kubeconfig", "server"];

/// Decides the way, and which token requests the certificate.
///
/// # Errors
/// A usage error that says what is missing, contradictory or unreadable.
pub(super) fn decide(settings: &Settings) -> Result<(Discovery, Secret<String>)> {
    let ways = || WAYS.iter().filter_map(|way| Some((*way, settings.origin(way)?)));
    let strongest = ways().map(|(_, origin)| origin).max();
    let mut chosen = ways().filter(|(_, origin)| Some(*origin) == strongest).map(|(way, _)| way);
    let way = chosen.next().ok_or_else(|| usage("the API server is missing; give HOST:PORT"))?;
    if let Some(other) = chosen.next() {
        return Err(usage(format!("{way} and {other} are two ways to find the cluster; give one of them")));
    }
    let value = settings.value(way).unwrap_or_default();
    match way {
        ENDPOINT => {
            // Not repeated: it may be a token that lost its flag.
            let endpoints = Endpoint::parse_list(value).ok_or_else(|| {
                usage(
                    "the given word is no API server; give HOST:PORT without https://, an IPv6 address in brackets, \
                     several with commas between",
                )
            })?;
            let (token, pins) = (bootstrap_token(settings, "discovery-token")?, pins(settings)?);
            Ok((Discovery::Token { endpoints, token, pins }, request_token(settings)?))
        }
        "cluster-info" => Ok((Discovery::ClusterInfo(published(value, settings)?), request_token(settings)?)),
        "server" => {
            let server = server_url("--server", value)?;
            let file = settings.value("certificate-authority").ok_or_else(|| {
                usage("--server needs --certificate-authority FILE, the CA that it is verified by")
            })?;
            let authorities = bundle(file)?;
            Ok((Discovery::Given(GivenCluster { server, authorities }), request_token(settings)?))
        }
        _ => from_kubeconfig(value, settings),
    }
}

/// A cluster-info in a file, with the token and the pins to judge it by.
///
/// # Errors
/// A usage error that says what is missing or unreadable.
pub(super) fn published(file: &str, settings: &Settings) -> Result<Published> {
    let info = ClusterInfo::from_text(sources::read_file(Path::new(file))?.expose())?;
    Ok(Published { info, token: bootstrap_token(settings, "discovery-token")?, pins: pins(settings)? })
}

/// The certificates in a PEM file.
///
/// # Errors
/// A usage error that names the file and says what is wrong with it.
pub(super) fn bundle(file: &str) -> Result<Bundle> {
    let pem = sources::read_file(Path::new(file))?.expose().clone().into_bytes();
    Bundle::from_pem(pem).map_err(|problem| unusable(file, &problem))
}

/// A kubeconfig that the operator put on the machine: kubeadm's discovery file, or the kubelet's bootstrap kubeconfig.
///
/// Unlike kubeadm, the file must bring the CA: nothing is asked over a connection that the machine's public roots would
/// vouch for.
fn from_kubeconfig(file: &str, settings: &Settings) -> Result<(Discovery, Secret<String>)> {
    let text = sources::read_file(Path::new(file))?;
    let config =
        Kubeconfig::parse(text.expose()).map_err(|e| unusable(file, "it is no kubeconfig").caused_by(e))?;
    let cluster = config.discovery_cluster().map_err(|e| unusable(file, "it is of no use").caused_by(e))?;
    if cluster.insecure_skip_tls_verify {
        return Err(unusable(file, "it has insecure-skip-tls-verify; give it the cluster's CA instead"));
    }
    let server = server_url(file, &cluster.server)?;
    let authorities = authorities(file, cluster).map_err(|problem| unusable(file, &problem))?;
    let own = config.current().and_then(|(_, user)| own_token(file, user).transpose()).transpose()?;
    let token = match (request_token(settings), own) {
        (Ok(token), _) => token,
        (Err(_), Some(own)) => own,
        (Err(error), None) if settings.stronger(["tls-bootstrap-token", "token"]).is_some() => {
            return Err(error);
        }
        (Err(_), None) => {
            return Err(unusable(
                file,
                "it has no bearer token; add one, or give --tls-bootstrap-token-file",
            ));
        }
    };
    Ok((Discovery::Given(GivenCluster { server, authorities }), token))
}

fn authorities(file: &str, cluster: &Cluster) -> std::result::Result<Bundle, String> {
    match (cluster.certificate_authority_data.as_str(), cluster.certificate_authority.as_str()) {
        ("", "") => Err("it has no certificate authority; add the cluster's CA".to_owned()),
        ("", name) => {
            let text = sources::read_file(&beside(file, name)).map_err(|e| e.to_string())?;
            Bundle::from_pem(text.expose().clone().into_bytes())
        }
        (data, _) => Bundle::from_base64(data),
    }
}

/// A token file beats a token (`k8s.io/client-go/tools/clientcmd`).
fn own_token(file: &str, user: &User) -> Result<Option<Secret<String>>> {
    if user.token_file.is_empty() {
        return Ok(Some(user.token.clone()).filter(|token| !token.expose().is_empty()));
    }
    let text = sources::read_file(&beside(file, &user.token_file))?;
    Ok(Some(Secret::new(text.expose().trim_end().to_owned())))
}

/// Relative names are relative to the kubeconfig.
fn beside(file: &str, name: &str) -> PathBuf {
    Path::new(file).parent().unwrap_or(Path::new("")).join(name)
}

fn server_url(what: &str, text: &str) -> Result<ServerUrl> {
    ServerUrl::parse(text)
        .ok_or_else(|| unusable(what, "its server is no https:// URL of a host, a port and a path"))
}

fn unusable(file: &str, problem: &str) -> Error {
    usage(format!("{file} cannot be used: {problem}"))
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

/// The token that requests the certificate: a bootstrap token, or with `--bearer-token` any other (static tokens of
/// `--token-auth-file`, service account tokens).
fn request_token(settings: &Settings) -> Result<Secret<String>> {
    match (settings.stronger(["tls-bootstrap-token", "token"]), settings.value("bearer-token")) {
        (None, Some(token)) => {
            // RFC 6750, section 2.1, b64token.
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
            if token.is_empty() || !token.chars().all(plain) {
                return Err(usage("--bearer-token has characters that no bearer token has"));
            }
            Ok(Secret::new(token.to_owned()))
        }
        _ => bootstrap_token(settings, "tls-bootstrap-token").map(|token| token.whole().clone()),
    }
}

/// Pins that are given hold, whatever else is given (`cmd/kubeadm/app/apis/kubeadm/validation`).
fn pins(settings: &Settings) -> Result<Pins> {
    let pins: Option<Vec<Pin>> = settings.list("discovery-token-ca-cert-hash").map(Pin::parse).collect();
    let each = settings.is_on("pin-every-ca");
    match pins {
        Some(pins) if !pins.is_empty() && each => Ok(Pins::EachRequired(pins)),
        Some(pins) if !pins.is_empty() => Ok(Pins::Required(pins)),
        Some(_) if !each && settings.is_on("discovery-token-unsafe-skip-ca-verification") => {
            Ok(Pins::UnsafeSkip)
        }
        Some(_) => Err(usage(
            "the CA pin is missing; give --discovery-token-ca-cert-hash, or \
             --discovery-token-unsafe-skip-ca-verification to trust whoever knows the token",
        )),
        None => Err(usage("--discovery-token-ca-cert-hash takes sha256: and 64 hex digits")),
    }
}
