//! How the cluster is found: one of five ways, and the credential that goes with it.

use super::flags::Flag;
use super::reader::{Reader, read_from};
use super::settings::Settings;
use super::usage;
use super::vouched::Vouched;
use crate::csr::Credentials;
use crate::discovery::ClusterInfo;
use crate::error::Result;
use crate::http::{Endpoint, ServerUrl};
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

impl Discovery {
    /// The tokens that it was told, by which servers will know this machine or it knows them.
    pub fn tokens(&self) -> impl Iterator<Item = &Secret<String>> {
        let (signing, requesting) = match self {
            Self::Token { token, credentials, .. } | Self::ClusterInfo { token, credentials, .. } => {
                (Some(token.whole()), credentials.token())
            }
            Self::Given(Vouched { credentials, .. }) => (None, credentials.token()),
            Self::Kubeconfig { token, .. } => (None, token.as_ref()),
        };
        signing.into_iter().chain(requesting)
    }

    /// The hosts that are asked first.
    #[must_use]
    pub fn hosts(&self) -> Vec<&str> {
        let place = match self {
            Self::Token { endpoints, .. } => return endpoints.iter().map(Endpoint::host).collect(),
            Self::ClusterInfo { info: Source::Read(_), .. } => return Vec::new(),
            Self::ClusterInfo { info: Source::Behind(file), .. }
            | Self::Kubeconfig { download: file, .. } => &file.url,
            Self::Given(given) => &given.cluster.server,
        };
        vec![place.endpoint().host()]
    }
}

/// The settings that each name a way. The stronger source decides; two ways from one source are a contradiction.
const WAYS: [Flag; 5] =
    [Flag::Endpoint, Flag::ClusterInfo, Flag::DiscoveryFile, Flag::BootstrapKubeconfig, Flag::Server];

/// Decides the way, and what the machine is known by on it. `None` where `reader` misses something; CAs on the operator's
/// word are in `given` then too.
///
/// # Errors
/// A usage error for what is wrong in itself: contradictory, or malformed.
pub(super) fn decide(
    settings: &Settings,
    pins: &Pins,
    reader: &mut Reader,
    given: &mut Option<Bundle>,
) -> Result<Option<Discovery>> {
    let Some(way) = way(settings)? else {
        return Ok(reader.lacks("API server address not set", Some("set HOST:PORT")));
    };
    let value = settings.value(way).unwrap_or_default();
    let label = settings.label(way);
    let is_url = matches!(way, Flag::ClusterInfo | Flag::DiscoveryFile) && value.contains("://");
    if settings.value(Flag::DiscoveryCa).is_some() && !is_url {
        return Err(usage(
            "--discovery-ca is valid only with an https:// URL in --discovery-file or --cluster-info",
        ));
    }
    let discovery = match way {
        Flag::Endpoint => {
            // Not repeated: it may be a token that lost its flag.
            let endpoints = Endpoint::parse_list(value).ok_or_else(|| {
                usage(format!("{label}: invalid API server address")).with_help(
                    "give HOST:PORT without https://, an IPv6 address in \
                     brackets, several with commas between",
                )
            })?;
            by_token(settings, reader)?.map(|(token, credentials)| Discovery::Token {
                endpoints,
                token,
                credentials,
            })
        }
        Flag::ClusterInfo => {
            let source = match Place::of(way, value, settings, reader)? {
                Place::File(file) => reader.text(&label, file)?.map(Source::Read),
                Place::Url(download) => download.map(Source::Behind),
            };
            let by_token = by_token(settings, reader)?;
            let (Some(source), Some((token, credentials))) = (source, by_token) else { return Ok(None) };
            let info = match source {
                Source::Read(text) => Source::Read(cluster_info(&read_from(&label, value), &text, &token)?),
                Source::Behind(download) => Source::Behind(download),
            };
            Some(Discovery::ClusterInfo { info, token, credentials })
        }
        Flag::Server => {
            let server = ServerUrl::parse(value)
                .ok_or_else(|| usage(format!("{label} expects an https:// URL with host, port and path")))?;
            *given = match settings.value(Flag::CertificateAuthority) {
                Some(file) => bundle(&settings.label(Flag::CertificateAuthority), file, reader)?,
                None => reader.lacks("--server requires --certificate-authority FILE", None),
            };
            let token = request_token(settings, reader)?;
            given.clone().zip(token).map(|(authorities, token)| {
                let cluster = GivenCluster { server, authorities };
                Discovery::Given(Vouched { cluster, credentials: token.into() })
            })
        }
        // The rest are kubeconfigs. The kubelet's own is a file, for the kubelet too.
        _ => {
            let token = operators_token(settings, reader)?;
            match Place::of(way, value, settings, reader)? {
                Place::File(file) => {
                    let kubelets = way == Flag::BootstrapKubeconfig;
                    Vouched::from_file(&label, file, kubelets, token, reader, given)?.map(Discovery::Given)
                }
                Place::Url(download) if way == Flag::DiscoveryFile => {
                    download.map(|download| Discovery::Kubeconfig { download, token })
                }
                Place::Url(_) => {
                    return Err(
                        usage(format!("{label} expects a file")).with_help("for a URL use --discovery-file")
                    );
                }
            }
        }
    };
    needs_pin(settings, pins, matches!(way, Flag::Endpoint | Flag::ClusterInfo), reader);
    Ok(discovery)
}

/// The way that is said by the strongest source, if any.
///
/// # Errors
/// A usage error for two of them.
fn way(settings: &Settings) -> Result<Option<Flag>> {
    let ignored = ignored_endpoint(settings);
    let ways = || {
        let said = WAYS.into_iter().filter_map(|way| Some((way, settings.origin(way)?)));
        said.filter(|(way, _)| !(ignored && *way == Flag::Endpoint))
    };
    let strongest = ways().map(|(_, origin)| origin).max();
    let mut chosen = ways().filter(|(_, origin)| Some(*origin) == strongest).map(|(way, _)| way);
    match (chosen.next(), chosen.next()) {
        (Some(way), Some(other)) => Err(usage(format!(
            "{} and {} are mutually exclusive",
            settings.label(way),
            settings.label(other)
        ))
        .with_help("use one of them")),
        (way, _) => Ok(way),
    }
}

/// Whether the endpoint says nothing: beside a configuration that names a discovery file kubeadm does not look at it,
/// wherever it comes from (`cmd/kubeadm/app/cmd/join.go`).
pub(super) fn ignored_endpoint(settings: &Settings) -> bool {
    settings.origin(Flag::Endpoint).is_some()
        && !settings.is_configured(Flag::Endpoint)
        && settings.is_configured(Flag::DiscoveryFile)
}

/// A cluster-info in a file, with the token and the pins to judge it by; `None` where `reader` misses something.
///
/// # Errors
/// A usage error that says what is malformed.
pub(super) fn published(settings: &Settings, reader: &mut Reader) -> Result<Option<Published>> {
    let (flag, pins) = (Flag::ClusterInfo, pins(settings)?);
    let (label, file) = (settings.label(flag), settings.value(flag).unwrap_or_default());
    let text = reader.text(&label, file)?;
    let token = bootstrap_token(settings, reader, Flag::DiscoveryToken)?;
    needs_pin(settings, &pins, true, reader);
    let (Some(text), Some(token)) = (text, token) else { return Ok(None) };
    let info = cluster_info(&read_from(&label, file), &text, &token)?;
    Ok(Some(Published { info, token, pins }))
}

fn cluster_info(who: &str, text: &Secret<String>, token: &Token) -> Result<ClusterInfo> {
    ClusterInfo::from_text(text.expose(), token.id()).map_err(|e| {
        usage(format!("{who} is not a ConfigMap (JSON or YAML)"))
            .with_help("get it with: kubectl get configmap cluster-info -n kube-public -o yaml")
            .caused_by(e)
    })
}

/// What a setting names that takes a file or an `https://` URL, as kubeadm tells them apart
/// (`cmd/kubeadm/app/discovery`, `isHTTPSURL`).
enum Place<'a> {
    File(&'a str),
    /// None where the CA for it is missing.
    Url(Option<Download>),
}

impl<'a> Place<'a> {
    /// # Errors
    /// A usage error for another URL, which is not repeated: it may hold a password. And for a CA that cannot be used.
    fn of(flag: Flag, value: &'a str, settings: &Settings, reader: &mut Reader) -> Result<Self> {
        if !value.contains("://") {
            return Ok(Self::File(value));
        }
        let url = ServerUrl::parse(value).ok_or_else(|| {
            usage(format!(
                "{} expects a file, or an https:// URL with host, port and path, without user or query",
                settings.label(flag)
            ))
        })?;
        let Some(file) = settings.value(Flag::DiscoveryCa) else {
            return Ok(Self::Url(Some(Download { url, authorities: None })));
        };
        let authorities = bundle(&settings.label(Flag::DiscoveryCa), file, reader)?;
        Ok(Self::Url(authorities.map(|authorities| Download { url, authorities: Some(authorities) })))
    }
}

/// The certificates in a PEM file; `None` where it is missing.
///
/// # Errors
/// A usage error that names the file and says what is wrong with it.
pub(super) fn bundle(label: &str, file: &str, reader: &mut Reader) -> Result<Option<Bundle>> {
    let Some(pem) = reader.text(label, file)? else { return Ok(None) };
    let bundle = Bundle::from_pem(pem.expose().clone().into_bytes());
    bundle.map(Some).map_err(|problem| usage(format!("{}: {problem}", read_from(label, file))))
}

/// The tokens of the ways that have two; `None` where `reader` misses one.
fn by_token(settings: &Settings, reader: &mut Reader) -> Result<Option<(Token, Credentials)>> {
    let token = bootstrap_token(settings, reader, Flag::DiscoveryToken)?;
    let request = request_token(settings, reader)?;
    Ok(token.zip(request).map(|(token, request)| (token, request.into())))
}

/// The token for one of the two purposes; `--token` serves both.
fn bootstrap_token(settings: &Settings, reader: &mut Reader, purpose: Flag) -> Result<Option<Token>> {
    let Some((flag, text)) = settings.preferred([purpose, Flag::Token]) else {
        return Ok(reader.lacks("bootstrap token not set", Some("set --token-file or --token")));
    };
    Token::parse(text).map(Some).ok_or_else(|| {
        usage(format!(
            "{} is not a bootstrap token of the form [a-z0-9]{{6}}.[a-z0-9]{{16}}",
            settings.label(flag)
        ))
    })
}

/// The token that the operator wants to be used instead of a kubeconfig's own user.
fn operators_token(settings: &Settings, reader: &mut Reader) -> Result<Option<Secret<String>>> {
    let given = [Flag::TlsBootstrapToken, Flag::Token, Flag::BearerToken].map(|flag| settings.origin(flag));
    if given.iter().any(Option::is_some) { request_token(settings, reader) } else { Ok(None) }
}

/// The token that requests the certificate: a bootstrap token, or with `--bearer-token` any other (static tokens of
/// `--token-auth-file`, service account tokens).
fn request_token(settings: &Settings, reader: &mut Reader) -> Result<Option<Secret<String>>> {
    match (settings.preferred([Flag::TlsBootstrapToken, Flag::Token]), settings.value(Flag::BearerToken)) {
        (None, Some(token)) => {
            if token.is_empty() || !is_bearer_token(token) {
                let label = settings.label(Flag::BearerToken);
                return Err(usage(format!("{label} has characters that are not valid in a bearer token")));
            }
            Ok(Some(Secret::new(token.to_owned())))
        }
        _ => {
            let token = bootstrap_token(settings, reader, Flag::TlsBootstrapToken)?;
            Ok(token.map(|token| token.whole().clone()))
        }
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
    let flag = Flag::CaCertHash;
    let pins: Option<Vec<Pin>> = settings.list(flag).map(Pin::parse).collect();
    let pins =
        pins.ok_or_else(|| usage(format!("{} expects sha256: and 64 hex digits", settings.label(flag))))?;
    Ok(match pins.is_empty() {
        true => Pins::None,
        false if settings.is_on(Flag::PinEveryCa) => Pins::EachRequired(pins),
        false => Pins::Required(pins),
    })
}

/// Does not do without a pin where nobody has allowed it; where content is `signed` with a token, that is always asked.
fn needs_pin(settings: &Settings, pins: &Pins, signed: bool, reader: &mut Reader) {
    if !matches!(pins, Pins::None) {
        return;
    }
    if settings.is_on(Flag::PinEveryCa) {
        reader.lacks::<()>(
            "CA pin not set, and --pin-every-ca requires one for each CA",
            Some("set --discovery-token-ca-cert-hash"),
        );
    } else if signed && !settings.is_on(Flag::SkipCaVerification) {
        reader.lacks::<()>(
            "CA pin not set",
            Some(
                "give --discovery-token-ca-cert-hash, or --discovery-token-unsafe-skip-ca-verification to trust whoever \
                 knows the token",
            ),
        );
    }
}
