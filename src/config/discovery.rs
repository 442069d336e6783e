//! Which discovery method is meant, and the credentials that go with it.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use crate::cli::{Flag, Kind, Settings};
use crate::credentials::{Credentials, TokenFile, is_bearer_token};
use crate::discovery::{KubeconfigSource, Method, RemoteFile, StaticCluster};
use crate::error::{Result, usage};
use crate::http::{Endpoint, ServerUrl};
use crate::input::{Reader, STANDARD_INPUT, read_from};
use crate::secret::Secret;
use crate::trust::{CaBundle, ClusterInfo, Pin, Pins, Token, UnverifiedClusterInfo};

/// Decides the method, and the credentials on it. The CAs of a static configuration, and the method, each without a
/// value where `reader` lacks something for it.
///
/// # Errors
/// A usage error for what is wrong in itself: contradictory, or malformed.
pub(super) fn discovery_method(
    settings: &Settings,
    pins: &Pins,
    token_file: Option<TokenFile>,
    reader: &mut Reader,
) -> Result<(Option<CaBundle>, Option<Method>)> {
    let Some(flag) = method_flag(settings)? else {
        return Ok((
            None,
            reader.lacks(
                "API server address not set",
                Some("set HOST:PORT, --config, or a join command: credential nodestrap.join, NODESTRAP_JOIN"),
            ),
        ));
    };
    let value = settings.value(flag).unwrap_or_default();
    let is_url = matches!(flag, Flag::ClusterInfo | Flag::DiscoveryFile) && value.contains("://");
    if settings.value(Flag::DiscoveryCa).is_some() && !is_url {
        return Err(usage(
            "--discovery-ca is valid only with an https:// URL in --discovery-file or --cluster-info",
        ));
    }
    if settings.is_set(Flag::CertificateAuthority) && !settings.is_set(Flag::Server) {
        let label = settings.label(Flag::CertificateAuthority);
        return Err(usage(format!("{label} is valid only with --server")).with_help(
            "pin the CA with --discovery-token-ca-cert-hash; nodestrap ca-hash FILE prints its hash",
        ));
    }
    let method = match flag {
        Flag::Endpoint if is_without_bootstrap_token(settings, token_file.as_ref()) => {
            return Ok((None, by_pin(value, settings, pins, token_file, reader)?));
        }
        Flag::Endpoint => (None, by_endpoints(value, settings, reader)?),
        Flag::ClusterInfo => (None, by_cluster_info(value, pins, settings, reader)?),
        Flag::Server => by_server(value, settings, reader)?,
        // The rest are kubeconfigs.
        _ => by_kubeconfig(flag, value, settings, reader)?,
    };
    needs_pin(settings, pins, matches!(flag, Flag::Endpoint | Flag::ClusterInfo), reader);
    Ok(method)
}

/// The setting of the method that the source of highest precedence names, if any; two methods from one source are a
/// contradiction.
///
/// # Errors
/// A usage error for two of them.
fn method_flag(settings: &Settings) -> Result<Option<Flag>> {
    let is_ignored = ignored_endpoint(settings);
    let named = || {
        let methods = Flag::ALL.into_iter().filter(|flag| flag.names_method());
        let given = methods.filter_map(|flag| Some((flag, settings.origin(flag)?)));
        given.filter(|(flag, _)| !(is_ignored && *flag == Flag::Endpoint))
    };
    let highest = named().map(|(_, origin)| origin).max();
    let mut chosen = named().filter(|(_, origin)| Some(*origin) == highest).map(|(flag, _)| flag);
    match (chosen.next(), chosen.next()) {
        (Some(flag), Some(other)) => Err(usage(format!(
            "{} and {} are mutually exclusive",
            settings.label(flag),
            settings.label(other)
        ))
        .with_help("use one of them")),
        (flag, _) => Ok(flag),
    }
}

/// The file of the bearer token where that is used instead of a bootstrap token: it is not read before the cluster is
/// trusted. What cannot be read twice, such as a pipe, is read once as other files are.
pub(super) fn token_file(settings: &mut Settings) -> Option<TokenFile> {
    let is_other = |flag: Flag| match flag {
        Flag::Endpoint | Flag::BearerToken => false,
        Flag::CertificateAuthority => true,
        _ => flag.names_method() || flag.row().kind == Kind::Secret,
    };
    let has_other = Flag::ALL.into_iter().any(|flag| is_other(flag) && settings.is_set(flag));
    if !settings.is_set(Flag::Endpoint) || has_other {
        return None;
    }
    let is_rereadable = |file: &str| {
        file != STANDARD_INPUT && std::fs::metadata(file).map_or(true, |found| !found.file_type().is_fifo())
    };
    if !settings.secret_file(Flag::BearerToken).is_some_and(is_rereadable) {
        return None;
    }
    let root = settings.value(Flag::Root).unwrap_or("/").to_owned();
    let file = settings.take_file(Flag::BearerToken);
    file.map(|(label, file)| TokenFile::new(label, file, Path::new(&root)))
}

/// Whether no bootstrap token is set, but a bearer token.
fn is_without_bootstrap_token(settings: &Settings, token_file: Option<&TokenFile>) -> bool {
    (token_file.is_some() || settings.is_set(Flag::BearerToken)) && !has_bootstrap_token(settings)
}

fn has_bootstrap_token(settings: &Settings) -> bool {
    [Flag::Token, Flag::DiscoveryToken, Flag::TlsBootstrapToken].into_iter().any(|flag| settings.is_set(flag))
}

/// Whether a bearer token is set beside the bootstrap token that is used instead: for an endpoint and for a signed
/// cluster-info.
pub(super) fn has_unused_bearer_token(settings: &Settings) -> bool {
    [Flag::Endpoint, Flag::ClusterInfo].into_iter().any(|flag| settings.is_set(flag))
        && settings.is_set(Flag::BearerToken)
        && has_bootstrap_token(settings)
}

/// The API server is known by a pin alone.
fn by_pin(
    value: &str,
    settings: &Settings,
    pins: &Pins,
    token_file: Option<TokenFile>,
    reader: &mut Reader,
) -> Result<Option<Method>> {
    if settings.is_on(Flag::SkipCaVerification) {
        return Err(usage("--discovery-token-unsafe-skip-ca-verification requires a bootstrap token")
            .with_help("without one, pin the cluster's CA with --discovery-token-ca-cert-hash"));
    }
    let endpoints = endpoints(value, settings)?;
    let credentials = match token_file {
        Some(file) => Some(Credentials::from(file)),
        None => request_token(settings, reader)?.map(Credentials::from),
    };
    let leaves_bootstrap = settings.is_on(Flag::KeepBootstrapKubeconfig)
        || ![Flag::WithClientCert, Flag::WithServingCert].into_iter().any(|flag| settings.is_on(flag));
    if leaves_bootstrap && credentials.as_ref().is_some_and(|own| !own.fit_kubelet()) {
        return Err(usage("--bearer-token-file: a kubelet cannot read the file at this path").with_help(
            "use an absolute path that stays, or let nodestrap request the certificate: --with-client-cert",
        ));
    }
    if matches!(pins, Pins::None) {
        let help = "without a bootstrap token a pin is required: set --discovery-token-ca-cert-hash, or --token-file";
        reader.lacks::<()>("CA pin not set", Some(help));
    }
    Ok(credentials.map(|credentials| Method::Pinned { endpoints, credentials }))
}

fn endpoints(value: &str, settings: &Settings) -> Result<Vec<Endpoint>> {
    // Not repeated: it may be a token that lost its flag.
    Endpoint::parse_list(value).ok_or_else(|| {
        usage(format!("{}: invalid API server address", settings.label(Flag::Endpoint))).with_help(
            "give HOST:PORT without https://, an IPv6 address in \
             brackets, several with commas between",
        )
    })
}

fn by_endpoints(value: &str, settings: &Settings, reader: &mut Reader) -> Result<Option<Method>> {
    let endpoints = endpoints(value, settings)?;
    let tokens = tokens(settings, reader)?;
    Ok(tokens.map(|(token, credentials)| Method::Token { endpoints, token, credentials }))
}

fn by_cluster_info(
    value: &str,
    pins: &Pins,
    settings: &Settings,
    reader: &mut Reader,
) -> Result<Option<Method>> {
    let flag = Flag::ClusterInfo;
    let label = settings.label(flag);
    match Location::of(flag, value, settings, reader)? {
        Location::File(file) => {
            let text = reader.text(&label, file)?;
            let (Some(text), Some((token, credentials))) = (text, tokens(settings, reader)?) else {
                return Ok(None);
            };
            let info = cluster_info(&read_from(&label, value), &text, &token)?;
            let info = UnverifiedClusterInfo { info, token, pins: pins.clone() };
            Ok(Some(Method::LoadedClusterInfo { info, credentials }))
        }
        Location::Url(file) => {
            let method = file.zip(tokens(settings, reader)?);
            Ok(method.map(|(file, (token, credentials))| Method::RemoteClusterInfo {
                file,
                token,
                credentials,
            }))
        }
    }
}

fn by_server(
    value: &str,
    settings: &Settings,
    reader: &mut Reader,
) -> Result<(Option<CaBundle>, Option<Method>)> {
    let flag = Flag::CertificateAuthority;
    let server = ServerUrl::parse(value).ok_or_else(|| {
        usage(format!("{} expects an https:// URL with host, port and path", settings.label(Flag::Server)))
    })?;
    let ca = match settings.value(flag) {
        Some(file) => ca_bundle(&settings.label(flag), file, reader)?,
        None => reader.lacks("--server requires --certificate-authority FILE", None),
    };
    let both = ca.clone().zip(request_token(settings, reader)?);
    let cluster = both.map(|(ca, token)| StaticCluster { server, ca, credentials: token.into() });
    Ok((ca, cluster.map(Method::Static)))
}

/// The kubelet's own bootstrap kubeconfig is a file, for the kubelet too.
fn by_kubeconfig(
    flag: Flag,
    value: &str,
    settings: &Settings,
    reader: &mut Reader,
) -> Result<(Option<CaBundle>, Option<Method>)> {
    let (label, for_kubelet) = (settings.label(flag), flag == Flag::BootstrapKubeconfig);
    let token = operators_token(settings, reader)?;
    match Location::of(flag, value, settings, reader)? {
        Location::File(file) => {
            let Some(text) = reader.text(&label, file)? else { return Ok((None, None)) };
            let source = KubeconfigSource::file(&label, file, for_kubelet);
            let (ca, cluster) = source.read(text.expose(), token, reader)?;
            Ok((ca, cluster.map(Method::Static)))
        }
        Location::Url(file) if !for_kubelet => {
            Ok((None, file.map(|file| Method::RemoteKubeconfig { file, token })))
        }
        Location::Url(_) => {
            Err(usage(format!("{label} expects a file")).with_help("for a URL use --discovery-file"))
        }
    }
}

/// Whether the endpoint is ignored: with a configuration that names a discovery file kubeadm does not look at it,
/// wherever it comes from (`cmd/kubeadm/app/cmd/join.go`).
pub(super) fn ignored_endpoint(settings: &Settings) -> bool {
    settings.origin(Flag::Endpoint).is_some()
        && !settings.is_configured(Flag::Endpoint)
        && settings.is_configured(Flag::DiscoveryFile)
}

/// A cluster-info in a file, with the token and the pins to verify it by; `None` where `reader` lacks something.
///
/// # Errors
/// A usage error that says what is malformed.
pub(super) fn unverified(settings: &Settings, reader: &mut Reader) -> Result<Option<UnverifiedClusterInfo>> {
    let (flag, pins) = (Flag::ClusterInfo, pins(settings)?);
    let (label, file) = (settings.label(flag), settings.value(flag).unwrap_or_default());
    let text = reader.text(&label, file)?;
    let token = bootstrap_token(settings, reader, Flag::DiscoveryToken)?;
    needs_pin(settings, &pins, true, reader);
    let (Some(text), Some(token)) = (text, token) else { return Ok(None) };
    let info = cluster_info(&read_from(&label, file), &text, &token)?;
    Ok(Some(UnverifiedClusterInfo { info, token, pins }))
}

fn cluster_info(who: &str, text: &Secret<String>, token: &Token) -> Result<ClusterInfo> {
    ClusterInfo::from_text(text.expose(), token.id()).map_err(|e| {
        usage(format!("{who} is not a ConfigMap (JSON or YAML)"))
            .with_help("get it with: kubectl get configmap cluster-info -n kube-public -o yaml")
            .caused_by(e)
    })
}

/// What a setting names that expects a file or an `https://` URL, as kubeadm distinguishes them
/// (`cmd/kubeadm/app/discovery`, `isHTTPSURL`).
enum Location<'a> {
    File(&'a str),
    /// None where the CA for it is missing.
    Url(Option<RemoteFile>),
}

impl<'a> Location<'a> {
    /// # Errors
    /// A usage error for another URL, which is not repeated: it may hold a password. And for an unusable CA.
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
            return Ok(Self::Url(Some(RemoteFile { url, ca: None })));
        };
        let ca = ca_bundle(&settings.label(Flag::DiscoveryCa), file, reader)?;
        Ok(Self::Url(ca.map(|ca| RemoteFile { url, ca: Some(ca) })))
    }
}

/// The certificates in a PEM file; `None` where it is missing.
///
/// # Errors
/// A usage error that names the file and says what is wrong with it.
pub(super) fn ca_bundle(label: &str, file: &str, reader: &mut Reader) -> Result<Option<CaBundle>> {
    let Some(pem) = reader.text(label, file)? else { return Ok(None) };
    let ca = CaBundle::from_pem(pem.expose().clone().into_bytes());
    ca.map(Some).map_err(|problem| usage(format!("{}: {problem}", read_from(label, file))))
}

/// The tokens of the methods that have two; `None` where `reader` lacks one.
fn tokens(settings: &Settings, reader: &mut Reader) -> Result<Option<(Token, Credentials)>> {
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
            Ok(token.map(|token| token.as_bearer().clone()))
        }
    }
}

/// The pins. Those that are given hold, whatever the method and whatever else is given
/// (`cmd/kubeadm/app/apis/kubeadm/validation`; kubeadm itself looks at them with one method only).
///
/// # Errors
/// A usage error for what is not a pin.
pub(super) fn pins(settings: &Settings) -> Result<Pins> {
    let flag = Flag::CaCertHash;
    let pins: Option<Vec<Pin>> = settings.list(flag).map(Pin::parse).collect();
    let pins =
        pins.ok_or_else(|| usage(format!("{} expects sha256: and 64 hex digits", settings.label(flag))))?;
    Ok(match pins.is_empty() {
        true => Pins::None,
        false if settings.is_on(Flag::PinEveryCa) => Pins::EveryCa(pins),
        false => Pins::AnyCa(pins),
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
                "set --discovery-token-ca-cert-hash; with --discovery-token-unsafe-skip-ca-verification anyone with \
                 the token can impersonate the cluster",
            ),
        );
    }
}
