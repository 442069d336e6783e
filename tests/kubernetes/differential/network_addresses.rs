//! Places on the network: endpoints, the servers of kubeconfigs, proxies and the exceptions from them.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nodestrap::testing::error::ErrorKind::Usage;
use nodestrap::testing::http::{Endpoint, Proxies, ServerUrl, Unverified};
use serde_json::{Value, json};

use super::diff_report::Class;
use super::network::{Overheard, system};
use super::oracle::given_text;
use super::random::Random;
use super::scalars::{compare, host, port, refused};

/// Host and port, and the path of a server.
type Place = (String, String, String);

/// Go keeps the spelling of a host.
fn place(value: &Value) -> Place {
    let host = given_text(&value["host"]).to_lowercase();
    let host = host.parse::<std::net::IpAddr>().map_or(host, |address| address.to_string());
    let port = given_text(&value["port"]);
    let port = port.parse::<u32>().map_or(port, |port| port.to_string());
    (host, port, given_text(&value["path"]).trim_end_matches('/').to_owned())
}

/// Why fewer texts are places here than for Go, which looks at hardly any of it before it dials.
const PLACES: &[Class<String, Place>] = &[
    Class {
        name: "not an https:// URL",
        reason: "nodestrap speaks TLS only; kubeadm would ask over plain HTTP or guess the scheme",
        explains: |case| case.ours.is_err() && !case.input.starts_with("https://"),
    },
    Class {
        name: "a user, a query or a fragment",
        reason: "no API server's URL has them; a user there would be a credential that nobody vouches for",
        explains: |case| case.ours.is_err() && case.input.contains(['@', '?', '#']),
    },
    Class {
        name: "no host or no port",
        reason: "nothing could be dialled",
        explains: |case| {
            let dialled =
                |(host, port, _): &Place| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
            let is_unsaid =
                case.input.ends_with(':') || case.input.contains(":/") && !case.input.ends_with("https://");
            case.ours.is_err() && (is_unsaid || case.theirs.as_ref().is_ok_and(|place| !dialled(place)))
        },
    },
    Class {
        name: "a host that no certificate names",
        reason: "neither a DNS name nor an address: its certificate could not be verified",
        explains: |case| {
            case.ours.is_err()
                && case.theirs.as_ref().is_ok_and(|(host, _, _)| {
                    let label = |label: &str| {
                        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                        let ends = label.starts_with('-') || label.ends_with('-');
                        (1..64).contains(&label.len()) && !ends && label.bytes().all(plain)
                    };
                    let name = host.strip_suffix('.').unwrap_or(host);
                    let number =
                        name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
                    host.parse::<std::net::IpAddr>().is_err() && (number || !name.split('.').all(label))
                })
        },
    },
    Class {
        name: "an address in brackets or without",
        reason: "IPv6 addresses stand in brackets, others do not",
        explains: |case| {
            case.ours.is_err()
                && case.theirs.as_ref().is_ok_and(|(host, _, _)| {
                    host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_ipv4())
                        == case.input.contains('[')
                })
        },
    },
    Class {
        name: "a path behind an endpoint",
        reason: "kubeadm asks below it; cluster-info names the server, and a path where there is one",
        explains: |case| {
            case.ours.is_err() && !case.input.starts_with("https://") && case.input.contains('/')
        },
    },
    Class {
        name: "odd characters in a path",
        reason: "every character of a URL is one that YAML and HTTP take as it is",
        explains: |case| {
            case.ours.is_err() && {
                let rest = case.input.trim_start_matches("https://");
                let path = &rest[rest.find('/').unwrap_or(rest.len())..];
                !path.chars().all(|c| c.is_ascii_alphanumeric() || "/-._~%".contains(c))
            }
        },
    },
];

#[test]
fn endpoints() {
    let draw = |random: &mut Random| {
        let text = format!("{}:{}", host(random), port(random));
        if random.once_in(4) { random.slips(&text) } else { text }
    };
    let ours = |text: &str| {
        let found = refused(Endpoint::parse(text))?;
        Ok((found.host().to_owned(), found.port().to_string(), String::new()))
    };
    // The texts themselves have no scheme.
    compare("endpoints", &PLACES[1..], draw, ours, |oracle, text| {
        oracle.ask("endpoint", &json!(text)).map(|value| place(&value))
    });
}

#[test]
fn servers() {
    let draw = |random: &mut Random| {
        let scheme =
            random.pick(&["https://", "https://", "https://", "https://", "http://", "HTTPS://", "", "//"]);
        let port = if random.once_in(3) { String::new() } else { format!(":{}", port(random)) };
        let path = random.pick(&[
            "",
            "",
            "/",
            "/k8s/clusters/c-1",
            "/k8s/",
            "/a//b",
            "/?q",
            "/#f",
            "/a b",
            "/%41",
            "/../x",
        ]);
        let text = format!("{scheme}{}{port}{path}", host(random));
        if random.once_in(5) { random.slips(&text) } else { text }
    };
    let ours = |text: &str| {
        let found = refused(ServerUrl::parse(text))?;
        let (endpoint, rest) = (found.endpoint(), text.trim_start_matches("https://"));
        let path = rest[rest.find('/').unwrap_or(rest.len())..].trim_end_matches('/').to_owned();
        Ok((endpoint.host().to_owned(), endpoint.port().to_string(), path))
    };
    compare("servers", PLACES, draw, ours, |oracle, text| {
        let (host, port, path) = place(&oracle.ask("server", &json!(text))?);
        // Go's transport fills the port in when it dials.
        let is_plain = text.to_lowercase().starts_with("https://");
        let port = if port.is_empty() && is_plain { "443".to_owned() } else { port };
        Ok((host, port, path))
    });
}

#[test]
fn exceptions_from_the_proxy() {
    const CLASSES: &[Class<String, bool>] = &[Class {
        name: "names that are not ASCII",
        reason: "a certificate names hosts in ASCII, and so does NO_PROXY here: punycode would take a table of Unicode",
        explains: |case| case.ours == Ok(true) && !case.input.is_ascii(),
    }];
    let draw = |random: &mut Random| {
        let item = |random: &mut Random| {
            let text = match random.below(8) {
                0 => random
                    .pick(&[
                        "*",
                        "*.example",
                        ".example",
                        "example",
                        "10.0.0.0/8",
                        "::/0",
                        "fd00::/8",
                        "0.0.0.0/0",
                    ])
                    .to_owned(),
                1 => format!("10.0.0.1/{}", random.below(36)),
                2 => format!("fd00::1/{}", random.below(132)),
                3 => format!("::ffff:10.0.0.1/{}", random.below(132)),
                4 => format!("{}:{}", host(random), port(random)),
                _ => host(random),
            };
            let text = text.replace(['[', ']'], "");
            if random.once_in(6) { random.slips(&text) } else { text }
        };
        let list: Vec<String> = (0..=random.below(4)).map(|_| item(random)).collect();
        let target = loop {
            let near =
                random.pick(&[&list[0], &list[list.len() - 1]]).trim_start_matches(['*', '.']).to_owned();
            let near = near.split('/').next().unwrap_or_default();
            let near = if near.contains("::") { format!("[{near}]") } else { near.to_owned() };
            let host = match random.below(5) {
                0 => near,
                1 => format!("api.{near}"),
                2 => random
                    .pick(&[
                        "10.0.0.1",
                        "10.200.3.4",
                        "[fd00::1]",
                        "[::ffff:10.0.0.1]",
                        "localhost",
                        "api.example",
                    ])
                    .to_owned(),
                _ => host(random),
            };
            let text = format!("{host}:{}", random.pick(&["6443", "443", "1"]));
            if let Some(endpoint) = Endpoint::parse(&text) {
                break endpoint;
            }
        };
        format!("{target} {}", list.join(random.pick(&[",", ", ", ",,"])))
    };
    let ours = |text: &str| {
        let (target, list) = text.split_once(' ').expect("both");
        let proxies = Proxies::from_environment(|name| match name {
            "HTTPS_PROXY" => Some("http://proxy.example:3128".to_owned()),
            "NO_PROXY" => Some(list.to_owned()),
            _ => None,
        });
        let system = system(SystemTime::now(), Arc::new(Overheard::default()), proxies);
        let endpoint = Endpoint::parse(target).expect("an endpoint");
        let peers = Unverified::to_each(&system, &[endpoint])?;
        Ok(peers[0].route().contains("proxy.example:3128"))
    };
    compare("exceptions from the proxy", CLASSES, draw, ours, |oracle, text| {
        let (target, list) = text.split_once(' ').expect("both");
        let input = json!({"proxy": "http://proxy.example:3128", "noProxy": list, "url": format!("https://{target}")});
        Ok(oracle.ask("proxy", &input)? != json!(""))
    });
}

/// Address and credentials.
type Way = (String, String);

#[test]
fn proxies() {
    const CLASSES: &[Class<String, Option<Way>>] = &[
        Class {
            name: "another kind of proxy",
            reason: "http:// proxies only; the error says so instead of leaving the proxy out",
            explains: |case| case.refused(Usage, "no other kind is supported"),
        },
        Class {
            name: "no URL of a proxy",
            reason: "Go would dial a host that is none, or none at all",
            explains: |case| case.refused(Usage, "is no URL of a proxy"),
        },
        Class {
            name: "a slash in a user or a password",
            reason: "Go takes half of a password for the host and sends it to the name servers",
            explains: |case| case.refused(Usage, "has to be percent-encoded"),
        },
        Class {
            name: "what Go takes for no URL",
            reason: "Go drops the whole variable in silence and goes without a proxy",
            explains: |case| case.refused(Usage, "two hex digits") || case.theirs == Ok(None),
        },
        Class {
            name: "a character that no user and no password has unescaped",
            reason: "what was meant is clear; Go takes the scheme for the host, or finds none",
            explains: |case| {
                let theirs = case.theirs.as_ref().ok().and_then(Option::as_ref);
                case.ours.is_ok()
                    && theirs.is_some_and(|(address, _)| matches!(address.as_str(), "http:80" | ":80"))
            },
        },
    ];
    let draw = |random: &mut Random| {
        let user = |random: &mut Random| {
            let length = 1 + random.below(6);
            random.text("aB1%:-._~!$&'()*+,;= /?#@", length)
        };
        let scheme =
            random.pick(&["http://", "http://", "", "HTTP://", "https://", "socks5://", "http:/", "://"]);
        let user = match random.below(4) {
            0 => user(random) + "@",
            1 => format!(
                "{}:{}@",
                random.text("abc", 3),
                random.pick(&["", "pass", "p%40ss", "p:w", "p w", "%zz", "%4"])
            ),
            _ => String::new(),
        };
        let port = if random.once_in(3) { String::new() } else { format!(":{}", port(random)) };
        let text = format!(
            "{scheme}{user}{}{port}{}",
            host(random),
            random.pick(&["", "", "/", "/path", "?q", "#f"])
        );
        if random.once_in(6) { random.slips(&text) } else { text }
    };
    let ours = |text: &str| {
        let proxies = Proxies::from_environment(|name| (name == "HTTPS_PROXY").then(|| text.to_owned()));
        let heard = Overheard::default();
        let kept = heard.0.clone();
        let system = system(SystemTime::now(), Arc::new(heard), proxies);
        let endpoint = Endpoint::parse("api.example:6443").expect("an endpoint");
        let peers = Unverified::to_each(&system, &[endpoint])?;
        let _ = peers[0].get("/", std::time::Duration::from_secs(1));
        let (address, sent) = kept.lock().unwrap().clone();
        if address == "api.example:6443" {
            return Ok(None);
        }
        let sent = String::from_utf8(sent).expect("text");
        let shown = sent.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: "));
        Ok(Some((address, shown.unwrap_or_default().to_owned())))
    };
    compare("proxies", CLASSES, draw, ours, |oracle, text| {
        let value = oracle.ask("proxy address", &json!(text))?;
        if value.is_null() {
            return Ok(None);
        }
        let (host, port, _) = place(&value);
        let scheme = given_text(&value["scheme"]);
        let port = if port.is_empty() { "80".to_owned() } else { port };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let shown = given_text(&value["authorization"]);
        let shown = shown.strip_prefix("Basic ").map_or(String::new(), |plain| {
            format!("Basic {}", BASE64_STANDARD.encode(BASE64_STANDARD.decode(plain).expect("base64")))
        });
        assert!(scheme != "http" || !host.is_empty() || !port.is_empty());
        Ok(Some((format!("{host}:{port}"), shown)))
    });
}
