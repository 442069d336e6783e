//! A JWT of each machine's own instead of a shared token, with the AuthenticationConfiguration of `image/cluster`: a machine
//! of one project may bootstrap, and nobody else.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::Command,
    sync::OnceLock,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{
    cluster::{Anonymous, Cluster, Options},
    kubelet::{Containerd, Kubelet},
};
use crate::support::{
    node::Node,
    process::{Daemon, run, try_run, wait_for},
    repository::program,
    unit_file::ScriptUnit,
};
use crate::{
    cluster_manifests::{FOLDER, commands, shell, values, with_values},
    issuer::{Issuer, now},
    kubelet_check,
};

const AUDIENCE: &str = "https://api.example.com";
/// Where the unit that gets the JWT writes it, below the node's root. A real kubelet of these tests sees the directory.
const FILE: &str = "/etc/kubernetes/jwt";

/// A cluster for machines of one project, and the issuer that its API server knows.
pub struct Project {
    pub cluster: Cluster,
    pub issuer: Issuer,
    pin: String,
}

impl Project {
    /// What the README of `image/cluster` says, step by step.
    pub fn start() -> Self {
        let issuer = Issuer::start();
        let [once, _, configuration] = commands();
        let names = format!("audience={AUDIENCE} project=nodes\n");
        let script = format!("cd {FOLDER}\n{}", with_values(&names, &configuration));
        let printed = run(Command::new("bash").args(["-euc", &script]));
        let cluster = Cluster::start(Options {
            algorithm: "ECDSA-P256",
            anonymous: Anonymous::By(Box::leak(configured(&printed, &issuer).into_boxed_str())),
            published: false,
            controllers: "*,bootstrapsigner,tokencleaner",
            ..Options::default()
        });
        shell(&cluster, &with_values(&values(&cluster), &once));
        let ca = cluster.scratch.file("pki/ca.crt");
        let pin = run(Command::new(program()).args(["ca-hash", &ca])).trim().to_owned();
        let project = Self { cluster, issuer, pin };
        project.wait_until_known(&project.issuer.sign(&project.gce("ready")));
        project
    }

    /// The issuer's keys are fetched behind the API server's back, and not there yet when it is ready.
    pub fn wait_until_known(&self, jwt: &str) {
        wait_for("the issuer's keys", || self.whoami(jwt));
    }

    /// Whom the API server takes the bearer of a token for.
    fn whoami(&self, jwt: &str) -> Option<Value> {
        let mut kubectl = self.cluster.tool("kubectl");
        kubectl.env("KUBECONFIG", "/dev/null").arg(format!("--server=https://{}", self.cluster.address()));
        kubectl.arg(format!("--certificate-authority={}", self.cluster.scratch.file("pki/ca.crt")));
        kubectl.args(["--token", jwt, "auth", "whoami", "-o", "json"]);
        let answer = try_run(&mut kubectl).ok()?;
        Some(serde_json::from_str::<Value>(&answer).unwrap()["status"]["userInfo"].take())
    }

    /// The claims of a Google Compute Engine machine's token, one hour long.
    pub fn gce(&self, machine: &str) -> Value {
        json!({
            "iss": self.issuer.url("gce"), "aud": AUDIENCE, "iat": now(), "exp": now() + 3600,
            "sub": "112233445566778899", "azp": "112233445566778899", "email_verified": true,
            "email": "nodes@nodes.iam.gserviceaccount.com",
            "google": {"compute_engine": {
                "project_id": "nodes", "project_number": 1234, "zone": "europe-west1-b", "instance_name": machine,
                "instance_id": "998877", "instance_creation_timestamp": 1_700_000_000,
            }},
        })
    }

    /// The arguments of a join without a bootstrap token.
    pub fn arguments(&self, node: &Node) -> Vec<String> {
        self.arguments_with(node, FILE)
    }

    fn arguments_with(&self, node: &Node, file: &str) -> Vec<String> {
        let file = node.at(file).display().to_string();
        let [endpoint, pin] = [self.cluster.address(), self.pin.clone()];
        vec![endpoint, "--discovery-token-ca-cert-hash".into(), pin, "--bearer-token-file".into(), file]
    }

    /// The same with the client certificate.
    fn with_certificate(&self, node: &Node) -> Vec<String> {
        [self.arguments(node), vec!["--with-client-cert".into()]].concat()
    }

    /// The `spec` of the one CSR that the issuer's machines have created for this node's name.
    fn request_of(&self, node: &Node) -> Value {
        let name = self.cluster.request_of(&node.name);
        self.cluster.json(&["get", "csr", &name])["spec"].take()
    }
}

/// The configuration that the README's command prints, of this issuer's.
fn configured(printed: &str, issuer: &Issuer) -> String {
    let ca = issuer.ca.trim_end().replace('\n', "\n        ");
    let mut text = printed.replace("SCOPE", "/subscriptions/0000/resourcegroups/workers");
    text = text.replace("TRUST_DOMAIN", "example.org");
    for (public, name) in [
        ("https://accounts.google.com", "gce"),
        ("https://sts.windows.net/TENANT/", "azure"),
        ("https://ISSUER", "spiffe"),
    ] {
        let url = format!("url: {public}\n");
        assert!(text.contains(&url), "{text}");
        let own = format!("url: {}\n    certificateAuthority: |\n        {ca}\n", issuer.url(name));
        text = text.replace(&url, &own);
    }
    text
}

fn shared() -> &'static Project {
    static PROJECT: OnceLock<Project> = OnceLock::new();
    PROJECT.get_or_init(Project::start)
}

/// Writes the file as a unit does.
fn write(node: &Node, jwt: &str) {
    let file = node.at(FILE);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let new = file.with_extension("new");
    fs::write(&new, jwt).unwrap();
    fs::rename(&new, &file).unwrap();
}

/// The files of a joined node, and the one with the JWT.
fn assert_joined(project: &Project, node: &Node) {
    fs::remove_file(node.at(FILE)).unwrap();
    node.assert_joined(&project.cluster);
}

#[test]
fn a_machine_joins_with_its_own_jwt_and_its_kubelet_runs() {
    let (project, node) = (shared(), Node::named("machine-1"));
    let jwt = project.issuer.sign(&project.gce(&node.name));
    write(&node, &jwt);
    let outcome = node.join_with(&project.with_certificate(&node)).run();
    outcome.expect("joined");
    assert!(!outcome.stderr.contains(&jwt) && !outcome.report().to_string().contains(&jwt));
    assert_joined(project, &node);

    // What an approver needs to hold the machine to its own name.
    let spec = project.request_of(&node);
    assert_eq!((&spec["username"], &spec["uid"]), (&json!("gce:nodes:machine-1"), &json!("998877")));
    assert_eq!(spec["groups"], json!(["system:bootstrappers:worker", "system:authenticated"]));
    assert_eq!(spec["extra"]["machine.example.com/name"], json!(["machine-1"]));
    assert_eq!(spec["extra"]["machine.example.com/zone"], json!(["europe-west1-b"]));

    fs::create_dir_all(node.at("/var/lib/kubelet")).unwrap();
    let runtime = Containerd::start();
    let _kubelet = kubelet_check::registers(&project.cluster, &node, &runtime);
}

/// The automatic approval does not look at who asks; an approver that does finds the machine's own name.
#[test]
fn another_nodes_name_is_approved_too_and_the_csr_says_which_machine_asked() {
    let (project, node) = (shared(), Node::named("machine-7"));
    write(&node, &project.issuer.sign(&project.gce("machine-6")));
    node.join_with(&project.with_certificate(&node)).run().expect("joined");
    assert_joined(project, &node);
    assert_eq!(project.request_of(&node)["extra"]["machine.example.com/name"], json!(["machine-6"]));
}

/// Without `--with-client-cert` the kubelet itself reads the file that bootstrap-kubelet.conf names.
#[test]
fn a_kubelet_bootstraps_with_the_jwt_in_the_file() {
    let (project, node) = (shared(), Node::named("machine-2"));
    write(&node, &Issuer::forge(&project.gce(&node.name)));
    let outcome = node.join_with(&project.arguments(&node)).run();
    outcome.expect("prepared");
    // It is read by the kubelet, and not before.
    write(&node, &project.issuer.sign(&project.gce(&node.name)));
    let runtime = Containerd::start();
    let mut kubelet = Kubelet::start(&node, &runtime);
    wait_for("the Node", || {
        kubelet.daemon.assert_alive();
        let nodes = project.cluster.kubectl(&["get", "nodes", "-o", "name"]);
        nodes.lines().any(|line| line == "node/machine-2").then_some(())
    });
    assert_eq!(project.request_of(&node)["username"], "gce:nodes:machine-2");
}

/// The shapes of the other platforms' tokens, as the example maps them.
#[test]
fn azures_and_spiffes_tokens_are_machines_of_theirs() {
    let project = shared();
    let of_the_group =
        "/subscriptions/0000/resourcegroups/Workers/providers/Microsoft.Compute/virtualMachines/VM-3";
    let azure = |id: &str| json!({"oid": "0a1b", "sub": "0a1b", "xms_mirid": id});
    let spiffe = |id: &str| json!({"sub": id});
    for (issuer, claims, name) in [
        ("azure", azure(of_the_group), Some("vm-3")),
        ("azure", azure(&of_the_group.replace("Workers", "workers-of-others")), None),
        ("azure", json!({"oid": "0a1b"}), None),
        ("spiffe", spiffe("spiffe://example.org/node/vm-4"), Some("vm-4")),
        ("spiffe", spiffe("spiffe://example.org/database/vm-4"), None),
        ("spiffe", spiffe("spiffe://example.org.evil.example/node/vm-4"), None),
    ] {
        let mut claims = claims;
        for (claim, value) in [("iss", json!(project.issuer.url(issuer))), ("aud", json!([AUDIENCE]))] {
            claims[claim] = value;
        }
        claims["exp"] = json!(now() + 600);
        let user = project.whoami(&project.issuer.sign(&claims));
        assert_eq!(user.is_some(), name.is_some(), "{claims}: {user:?}");
        let Some((user, name)) = user.zip(name) else { continue };
        assert_eq!(user["extra"]["machine.example.com/name"], json!([name]), "{user}");
        let node = Node::named(name);
        write(&node, &project.issuer.sign(&claims));
        let joined = node.join_with(&project.with_certificate(&node)).start();
        joined.finish().expect("joined");
        assert_joined(project, &node);
    }
}

/// The API server says 401 to all of them, and the message what to compare.
#[test]
fn a_jwt_of_another_audience_issuer_time_project_or_key_is_refused() {
    let project = shared();
    let ours = |change: &dyn Fn(&mut Value)| {
        let mut claims = project.gce("machine-9");
        change(&mut claims);
        project.issuer.sign(&claims)
    };
    for (what, jwt) in [
        ("audience", ours(&|claims| claims["aud"] = json!("https://other.example.com"))),
        ("issuer", ours(&|claims| claims["iss"] = json!(project.issuer.url("other")))),
        ("expired", ours(&|claims| claims["exp"] = json!(now() - 60))),
        ("not-yet", ours(&|claims| claims["nbf"] = json!(now() + 3600))),
        ("project", ours(&|claims| claims["google"]["compute_engine"]["project_id"] = json!("others"))),
        ("short-format", ours(&|claims| claims["google"] = Value::Null)),
        ("user", ours(&|claims| drop(claims.as_object_mut().unwrap().remove("google")))),
        ("key", Issuer::forge(&project.gce("machine-9"))),
    ] {
        let node = Node::named(&format!("no-{what}"));
        write(&node, &jwt);
        let mut arguments = project.with_certificate(&node);
        arguments.extend(["--tls-bootstrap-timeout".into(), "2s".into()]);
        let outcome = node.join_with(&arguments).run();
        outcome.expect("refused");
        let help =
            "compare the token's audience (aud), issuer (iss) and time (exp, nbf) with the API server's";
        assert!(outcome.stderr.contains(help), "{what}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains(&jwt) && !outcome.report().to_string().contains(&jwt), "{what}");
        assert!(!project.cluster.signing_requests().contains(&node.name), "{what}");
        assert!(!node.at("/etc/kubernetes/kubelet.conf").exists(), "{what}");
    }
}

/// The unit for Google Compute Engine, as systemd runs its script: its metadata server is not there yet at first.
#[test]
fn the_unit_for_gce_gets_the_jwt_that_joins() {
    let (project, node) = (shared(), Node::named("machine-8"));
    let directory = node.at("/run/nodestrap-jwt");
    fs::create_dir_all(&directory).unwrap();
    let mut arguments = project.arguments_with(&node, "/run/nodestrap-jwt/jwt");
    arguments.push("--with-client-cert".into());
    let mut running = node.join_with(&arguments).start();
    running.line_with("--bearer-token-file");

    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let metadata = format!("http://{}", server.local_addr().unwrap());
    let unit = ScriptUnit::read("nodestrap-jwt-gce.service");
    let settings = [("METADATA", metadata.as_str()), ("AUDIENCE", AUDIENCE), ("RETRY", "0.1")];
    let script = unit.command(&["setpriv", "--pdeathsig", "KILL", "--", "/bin/sh"], &directory, &settings);
    let _script = Daemon::start(script, directory.join("../jwt.log"));
    for reply in ["503 Service Unavailable", "200 OK"] {
        let (mut stream, _) = server.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        assert!(head.contains(&"Metadata-Flavor: Google".to_owned()), "{head:?}");
        let audience =
            head[0].split(['?', '&', ' ']).find_map(|part| part.strip_prefix("audience=")).unwrap();
        let mut claims = project.gce(&node.name);
        // Some versions of curl have the digits in small letters.
        claims["aud"] = json!(audience.to_lowercase().replace("%3a", ":").replace("%2f", "/"));
        let jwt = project.issuer.sign(&claims);
        write!(stream, "HTTP/1.1 {reply}\r\nConnection: close\r\n\r\n{jwt}").unwrap();
    }
    running.finish().expect("joined");
    for directory in ["/run/nodestrap-jwt", "/run/jwt.log"].map(|path| node.at(path)) {
        run(Command::new("rm").arg("-r").arg(directory));
    }
    node.assert_joined(&project.cluster);
    assert_eq!(project.request_of(&node)["username"], "gce:nodes:machine-8");
}

/// The file comes late, and the next token replaces one that ends while the CSR is pending.
#[test]
fn the_jwt_may_come_late_and_be_renewed_while_the_join_waits() {
    let (project, node) = (Project::start(), Node::named("machine-5"));
    let cluster = &project.cluster;
    cluster.stop_controllers();
    let mut running = node.join_with(&project.with_certificate(&node)).start();
    running.line_with("--bearer-token-file");
    assert!(cluster.signing_requests().is_empty());

    let token = |id: &str, seconds: u64| {
        let mut claims = project.gce(&node.name);
        (claims["jti"], claims["exp"]) = (json!(id), json!(now() + seconds));
        project.issuer.sign(&claims)
    };
    let first = token("first", 8);
    write(&node, &first);
    running.pending_request();
    wait_for("the end of the first token", || {
        thread::sleep(Duration::from_millis(500));
        project.whoami(&first).is_none().then_some(())
    });
    write(&node, &token("second", 3600));
    // The watch is torn, and the next one needs a token that is valid.
    cluster.stop_api_server();
    cluster.start_api_server();
    cluster.start_controllers();
    running.finish().expect("joined");
    assert_joined(&project, &node);
    assert_eq!(cluster.signing_requests(), ["machine-5"]);
    let audit = fs::read_to_string(cluster.scratch.file("audit.log")).unwrap();
    for (id, verb) in [("first", "create"), ("second", "watch")] {
        let one = audit.lines().any(|line| {
            line.contains(&format!("\"JTI={id}\"")) && line.contains(&format!("\"verb\":\"{verb}\""))
        });
        assert!(one, "no {verb} with the {id} token");
    }
}
