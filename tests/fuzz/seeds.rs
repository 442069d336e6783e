//! Writes the seeds of the fuzz targets into tests/fuzz/corpus: what Kubernetes, kubeadm and machines say, in small.
//! `make seeds`; beside these, the corpora hold what the fuzzer once found.

mod answers;
mod targets;

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use answers::{answers, bookmark, chunked, denied, event, issued, json, list, object, status};
use targets::exchange::KUBECONFIG;
use targets::fixtures::{CA, ENDPOINT, KEY, NODE, SERVER, TOKEN, URL};
use targets::{TARGETS, fixtures, jws};

const REQUEST: &str = include_str!("pki/client.csr");
const SERVING: &str = include_str!("pki/serving.csr");
const RSA: &str = include_str!("../vectors/rsa-client.pem");
const KUBELET_CONFIG: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nauthentication:\n  x509:\n    \
    clientCAFile: /etc/kubernetes/pki/ca.crt\ncgroupDriver: systemd\ncontainerRuntimeEndpoint: \"\"\n\
    evictionHard: {}\nkind: KubeletConfiguration\nresolvConf: /etc/resolv.conf\nrotateCertificates: true\n";

fn main() {
    for (target, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        fs::create_dir_all(&folder).expect("a directory");
        for (number, seed) in seeds(target).into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed).expect("a seed");
        }
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "yaml" => texts(&[
            KUBECONFIG,
            KUBELET_CONFIG,
            &cluster_info().to_string(),
            "a: 1\nb: [x, 'true', true, ~, -0.5, 1e3]\n? c\n: - d: >-\n      e\n\n      f\n    g: |\n      h\n",
            "{\"a\": [\"\\u0041\\n\\\"\", {\"b\": null}], \"c\": -1.5E+3}",
            "# nothing\n---\n\"a\\x41\\u2028\": &b !!str c\n...\n",
        ]),
        "kubeconfig" => kubeconfigs(),
        "kubelet_config" => texts(&[
            KUBELET_CONFIG,
            "# by hand\nkind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\nzone: |\n  a: b\n",
            "---\nkind: \"KubeletConfiguration\"\nresolvConf: ''\napiVersion: 'kubelet.config.k8s.io/v1beta1'\n\
             featureGates:\n  A: true\nlist:\n- a\n- b: c\n",
        ]),
        "cluster_info" => {
            let data = cluster_info();
            let signature = jws::sign(TOKEN, KUBECONFIG);
            let block = KUBECONFIG.replace('\n', "\n    ");
            let yaml = format!(
                "apiVersion: v1\nkind: ConfigMap\ndata:\n  kubeconfig: |\n    {}\n  jws-kubeconfig-abcdef: {signature}\n",
                block.trim_end()
            );
            texts(&[
                &data.to_string(),
                &yaml,
                "{\"data\":{\"kubeconfig\":\"\",\"jws-kubeconfig-abcdef\":\"..\"}}",
            ])
        }
        "signed" => texts(&[KUBECONFIG, "Hello from the other side.", "{}", "\u{feff}clusters: []\r\n"]),
        "connection" => {
            let json = cluster_info().to_string().into_bytes();
            vec![json.clone(), chunked(&[cluster_info().to_string()]), [json, vec![0xff, 1]].concat()]
        }
        "certificate" => [CA, SERVER, NODE, RSA].map(der).to_vec(),
        "request" => [REQUEST, SERVING].map(der).to_vec(),
        "bundle" => texts(&[
            CA,
            &format!("{CA}{SERVER}"),
            &CA.replace('\n', "\r\n"),
            &format!("subject: CN = kubernetes\n{CA}\n# and\n{RSA}"),
            KEY,
        ]),
        "pair" => texts(&[&format!("{NODE}{KEY}"), &format!("{KEY}{NODE}{CA}"), RSA, KEY]),
        "join_configuration" => texts(&[CONFIGURATION, OLD_CONFIGURATION]),
        "join_line" => texts(&[
            &join_line(),
            &format!(
                "join \\\n  {ENDPOINT},[fd00::1]:6443 \\\n  --token={TOKEN} --strict=false \\\n --san n1,10.0.0.5"
            ),
            "join --server https://h:6443/k8s --certificate-authority /nowhere/ca.crt --bearer-token a-b.c/d+e==",
            "join h:1 --with-kubelet-config --taint a=b:NoSchedule --kubelet-extra-arg cert-dir=/p --timeout 90s",
        ]),
        "kernel_command_line" => texts(&[
            &format!("BOOT_IMAGE=/vmlinuz root=UUID=0 ro quiet nodestrap.join=\"{}\" y\n", join_line()),
            &format!("\"nodestrap.join=join {ENDPOINT}\" nodestrap.token={TOKEN}"),
            &format!("nodestrap.config={} quiet", BASE64_STANDARD.encode(CONFIGURATION)),
        ]),
        "duration" => texts(&["5m0s", "1.5h", "300ms", "1h2m3s4ms5us6ns", ".5s", "0", "7µs", "0.000000001s"]),
        "address" => texts(&[
            "10.0.0.1:6443,API.Example.org:6443,[FD00::1]:443",
            "[::ffff:10.0.0.1]:1",
            "https://api.example.org:6443/k8s/clusters/c-1/",
            "https://[fd00::1]/%41",
            "node-1.example.org",
            "/var/lib/kubelet/pki",
            "fd00::5",
            TOKEN,
            &fixtures::pin(),
        ]),
        "proxy_variables" => texts(&[
            "http://user:pass%40word@proxy.example.org:3128/\n10.0.0.0/8,.example.org,h:1\napi.example.com:6443",
            "proxy\n*\n10.0.0.1:6443",
            "HTTP://[fd00::1]:8080\nfd00::/8,*.example.org:6443,[fd00::2]:1,::ffff:10.0.0.0/104\n10.1.2.3:6443",
        ]),
        "written" => (0..24_u8)
            .map(|first| (0..64_u8).map(|at| first.wrapping_add(at.wrapping_mul(first))).collect())
            .collect(),
        "identity" => identities(),
        "wire" => vec![
            b"HTTP/1.1 200 Connection established\r\n\r\n\x15\x03\x03\x00\x02\x02\x28".to_vec(),
            b"HTTP/1.0 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n".to_vec(),
            b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03"
                .iter()
                .copied()
                .chain([7; 32])
                .chain(*b"\x00\x13\x01")
                .collect(),
            b"\x15\x03\x03\x00\x02\x01\x00".to_vec(),
            b"HTTP/1.1 400 Bad Request\r\n\r\n400 The plain HTTP request was sent to HTTPS port".to_vec(),
        ],
        "exchange" => exchanges(),
        "join" => joins(),
        other => panic!("no seeds for {other}"),
    }
}

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn der(pem: &str) -> Vec<u8> {
    pem::parse(pem).expect("one block").into_contents()
}

fn cluster_info() -> Value {
    let data = json!({"kubeconfig": KUBECONFIG, "jws-kubeconfig-abcdef": jws::sign(TOKEN, KUBECONFIG)});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info"}, "data": data})
}

fn join_line() -> String {
    format!("kubeadm join {ENDPOINT} --token {TOKEN} --discovery-token-ca-cert-hash {} ", fixtures::pin())
}

const CONFIGURATION: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  bootstrapToken:\n    \
    apiServerEndpoint: 10.0.0.1:6443\n    token: abcdef.0123456789abcdef\n    unsafeSkipCAVerification: true\n    \
    caCertHashes: [\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"]\n  \
    tlsBootstrapToken: fedcba.0123456789abcdef\nnodeRegistration:\n  name: n1\n  criSocket: unix:///run/c.sock\n  \
    taints:\n  - {key: a, value: b, effect: NoSchedule}\n  kubeletExtraArgs:\n  - name: cert-dir\n    value: /p\n\
    timeouts:\n  discovery: 5m0s\n  tlsBootstrap: 1m30s\nunknown: x\n";
const OLD_CONFIGURATION: &str = "{\"apiVersion\":\"kubeadm.k8s.io/v1beta3\",\"kind\":\"JoinConfiguration\",\
    \"caCertPath\":\"/etc/kubernetes/pki/ca.crt\",\"discovery\":{\"file\":{\"kubeConfigPath\":\"/nowhere/d.conf\"},\
    \"timeout\":\"5m0s\"},\"nodeRegistration\":{\"kubeletExtraArgs\":{\"v\":\"2\",\"hostname-override\":\"n1\"}}}";

fn kubeconfigs() -> Vec<Vec<u8>> {
    let ca = BASE64_STANDARD.encode(CA);
    let config = |user: Value| {
        json!({
            "clusters": [{"name": "c", "cluster": {"server": URL, "certificate-authority-data": ca}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x",
            "users": [{"name": "u", "user": user}], "kind": "Config", "apiVersion": "v1",
        })
        .to_string()
    };
    let pair = json!({
        "client-certificate-data": BASE64_STANDARD.encode(NODE), "client-key-data": BASE64_STANDARD.encode(KEY),
    });
    let kubelets =
        nodestrap::testing::kubeconfig::kubelet(URL, &ca, "/var/lib/kubelet/pki/kubelet-client-current.pem");
    texts(&[
        KUBECONFIG,
        &config(json!({"token": TOKEN})),
        &config(json!({"token": "123456.7890123456789012"})),
        &config(pair),
        &config(json!({"exec": {"command": "aws"}, "tokenFile": "/nowhere"})),
        &kubelets,
    ])
}

fn identities() -> Vec<Vec<u8>> {
    let conf = nodestrap::testing::kubeconfig::kubelet(
        URL,
        &BASE64_STANDARD.encode(CA),
        "/var/lib/kubelet/pki/kubelet-client-current.pem",
    );
    let pair = format!("{NODE}{KEY}");
    [[&conf, &pair, CA, SERVER], [&conf, &pair, "", ""], [&conf, NODE, SERVER, NODE], ["", &pair, CA, RSA]]
        .map(|files| files.map(str::as_bytes).join(&0xff))
        .to_vec()
}

fn exchanges() -> Vec<Vec<u8>> {
    let pending = json(&object(1, &json!({})));
    let expired = json!({"code": 410, "message": "too old", "reason": "Expired"});
    let whole = chunked(&[event("BOOKMARK", &bookmark(12)), event("MODIFIED", &object(13, &issued()))]);
    let mut torn = whole.clone();
    torn.splice(300..300, [0xff, 2]);
    torn.splice(200..200, [0xff, 2]);
    vec![
        answers(&[json(&object(2, &issued()))]),
        answers(&[pending.clone(), whole]),
        answers(&[status(409, "", "{}"), list(9, &[object(3, &json!(null))]), torn]),
        answers(&[status(409, "", "{}"), list(9, &[object(3, &denied())])]),
        answers(&[status(429, "Retry-After: 1\r\n", "Too many requests"), list(9, &[]), pending.clone()]),
        answers(&[
            pending.clone(),
            chunked(&[event("ERROR", &expired)]),
            list(9, &[]),
            pending.clone(),
            chunked(&[event("DELETED", &object(14, &json!({})))]),
            list(9, &[object(15, &issued())]),
        ]),
        answers(&[pending, [chunked(&[]), vec![0xff, 1]].concat(), status(410, "Connection: close\r\n", "")]),
        answers(&[status(
            403,
            "",
            "{\"kind\":\"Status\",\"message\":\"no\",\"details\":{\"retryAfterSeconds\":1}}",
        )]),
    ]
}

fn joins() -> Vec<Vec<u8>> {
    let config = json!({"kind": "ConfigMap", "data": {"kubelet": KUBELET_CONFIG}});
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let forbidden =
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}\xff\x01".to_vec();
    vec![
        answers(&[json(&cluster_info()), missing.clone(), json(&config), json(&object(2, &issued()))]),
        answers(&[json(&cluster_info()), json(&ready)]),
        answers(&[
            forbidden,
            json(&cluster_info()),
            missing,
            json(&config),
            json(&object(2, &json!({}))),
            chunked(&[event("ADDED", &object(4, &issued()))]),
        ]),
    ]
}
