//! The honest part of the server: cluster-info, certificate signing requests with versions, an approver and a signer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::DnType;
use serde_json::{Value, json};

use super::http::status_object;
use super::{Body, Reply, Request, Route, jws};
use crate::support::pki::{self, Authority};

/// The token that a cluster knows at first.
pub const TOKEN: &str = "abcdef.0123456789abcdef";

/// What the names of nodes as users begin with.
const NODE: &str = "system:node:";
/// Who signs serving certificates.
const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";
/// The cluster's configuration for kubelets, in kubeadm's form.
pub const KUBELET_CONFIG: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
cgroupDriver: systemd
containerRuntimeEndpoint: \"\"
healthzPort: 10248
kind: KubeletConfiguration
rotateCertificates: true
staticPodPath: /etc/kubernetes/manifests
";

/// The cluster behind the server. A script may change any of it.
pub struct Cluster {
    /// Data of cluster-info.
    pub published: BTreeMap<String, String>,
    /// The token that it knows; [`TOKEN`] at first. What signs cluster-info is written anew with [`Self::publish`].
    pub token: String,
    /// Whether that token is good for authentication.
    pub token_is_valid: bool,
    /// A client certificate, DER, that is as good as the token.
    pub bootstrapper: Option<Vec<u8>>,
    /// Whether requests are approved and signed as soon as they are made.
    pub approves: bool,
    /// What `kubelet-config` holds, when it is there.
    pub kubelet_config: Option<String>,
    /// The Nodes, and each one's condition Ready.
    pub nodes: BTreeMap<String, &'static str>,
    /// Whether serving certificates are, as by an add-on: Kubernetes itself has no approver for them.
    pub approves_serving: bool,
    /// Makes the client certificate for a PKCS#10 request.
    pub signer: Box<dyn Fn(&str) -> String + Send>,
    /// Makes the serving certificate for one.
    pub serving_signer: Box<dyn Fn(&str) -> String + Send>,
    items: BTreeMap<String, Value>,
    /// What happened, by version.
    history: Vec<(u64, String, Value)>,
    version: u64,
    created: u64,
}

impl Cluster {
    /// A cluster that names this server.
    pub fn new(authority: Arc<Authority>, server: &str) -> Self {
        let mut cluster = Self {
            published: BTreeMap::new(),
            token: TOKEN.to_owned(),
            token_is_valid: true,
            bootstrapper: None,
            approves: true,
            approves_serving: false,
            kubelet_config: Some(KUBELET_CONFIG.to_owned()),
            nodes: BTreeMap::new(),
            items: BTreeMap::new(),
            history: Vec::new(),
            version: 100,
            created: 0,
            signer: Box::new(|_| String::new()),
            serving_signer: Box::new(|_| String::new()),
        };
        cluster.publish(&jws::kubeconfig(&authority.pem(), server));
        let serving = Arc::clone(&authority);
        cluster.serving_signer = Box::new(move |request| serving.sign_serving(request));
        cluster.signer = Box::new(move |request| authority.sign(request));
        cluster
    }

    /// Publishes a kubeconfig in cluster-info, signed for the token that the cluster knows.
    pub fn publish(&mut self, kubeconfig: &str) {
        self.publish_as(kubeconfig, &jws::sign(&self.token, kubeconfig));
    }

    /// Publishes a kubeconfig with this for a signature.
    pub fn publish_as(&mut self, kubeconfig: &str, signature: &str) {
        self.published.insert("kubeconfig".to_owned(), kubeconfig.to_owned());
        self.published.insert("jws-kubeconfig-abcdef".to_owned(), signature.to_owned());
    }

    /// The published kubeconfig.
    pub fn kubeconfig(&self) -> String {
        self.published["kubeconfig"].clone()
    }

    /// The honest answer.
    pub fn answer(&mut self, request: &Request) -> Reply {
        let authorized = format!("Bearer {}", self.token);
        let is_known = self.user(request).starts_with(NODE)
            || self.bootstrapper.is_some() && self.bootstrapper == request.client;
        match (request.route(), request.header("authorization")) {
            (Route::Other, _) => Reply::text(404, "text/plain", "404 page not found\n"),
            // Its RoleBinding has the anonymous user only.
            (Route::Discovery, Some(_)) => Reply::status(403, "Forbidden"),
            (Route::Discovery, None) => self.config_map(),
            (route, given) if is_known || given == Some(&authorized) && self.token_is_valid => match route {
                Route::Create => self.create(request),
                Route::List => self.list(request),
                Route::KubeletConfig => self.kubelet_config(),
                Route::Node => self.node(request),
                _ => self.watch(request),
            },
            (_, None) => Reply::status(403, "Forbidden"),
            (_, Some(_)) => Reply::status(401, "Unauthorized"),
        }
    }

    /// The user that a request comes from: by the client certificate, where the cluster has issued it, else the token's.
    fn user(&self, request: &Request) -> String {
        let issued = |item: &&Value| {
            let certificate =
                item["status"]["certificate"].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
            let block = certificate.and_then(|pem| pem::parse(pem).ok());
            item["spec"]["signerName"] != SERVING_SIGNER
                && block.is_some_and(|block| Some(block.contents()) == request.client.as_deref())
        };
        let item = self.items.values().find(issued);
        let name = item.and_then(pkcs10).and_then(|pem| common_name(&pem));
        name.unwrap_or_else(|| "system:bootstrap:abcdef".to_owned())
    }

    /// `cluster-info` as it is published now.
    pub fn config_map(&self) -> Reply {
        let metadata = json!({"name": "cluster-info", "namespace": "kube-public", "resourceVersion": "7"});
        let map =
            json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": self.published});
        Reply::json(200, &map)
    }

    fn kubelet_config(&self) -> Reply {
        let Some(text) = &self.kubelet_config else { return Reply::status(404, "NotFound") };
        let metadata = json!({"name": "kubelet-config", "namespace": "kube-system"});
        let data = json!({"kubelet": text});
        Reply::json(
            200,
            &json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data}),
        )
    }

    fn node(&self, request: &Request) -> Reply {
        let name = request.target.rsplit('/').next().unwrap_or_default();
        let Some(ready) = self.nodes.get(name) else { return Reply::status(404, "NotFound") };
        let conditions = json!([
            {"type": "MemoryPressure", "status": "True", "reason": "Test"},
            {"type": "Ready", "status": ready, "reason": "Test", "message": "by the test"},
        ]);
        let (metadata, status) = (json!({"name": name}), json!({"conditions": conditions, "images": []}));
        Reply::json(200, &json!({"kind": "Node", "apiVersion": "v1", "metadata": metadata, "status": status}))
    }

    /// Creates the request, and has it approved and signed where the cluster does that by itself.
    pub fn create(&mut self, request: &Request) -> Reply {
        let Ok(mut object) = serde_json::from_slice::<Value>(&request.body) else {
            return Reply::status(400, "BadRequest");
        };
        if let Some(fault) = fault(&object) {
            return Reply::json(422, &status_object(422, &format!("Invalid: {fault}"), None));
        }
        let user = self.user(request);
        // The NodeRestriction admission plug-in.
        if user.starts_with(NODE) && pkcs10(&object).and_then(|pem| common_name(&pem)) != Some(user.clone()) {
            return Reply::status(403, "Forbidden");
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if self.items.contains_key(&name) {
            return Reply::status(409, "AlreadyExists");
        }
        self.created += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", self.created));
        object["spec"]["username"] = json!(user);
        object["status"] = json!({});
        self.store("ADDED", &name, object);
        let reply = Reply::json(201, &self.items[&name]);
        let serving = self.items[&name]["spec"]["signerName"] == SERVING_SIGNER;
        if if serving { self.approves_serving } else { self.approves } {
            self.approve(&name);
            self.issue(&name);
        }
        reply
    }

    /// The list of requests of one name, without a kind in each item, as the API server has it.
    pub fn list(&self, request: &Request) -> Reply {
        let mut items: Vec<Value> =
            self.items.get(request.selected_name().unwrap_or_default()).cloned().into_iter().collect();
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.remove("kind");
            item.remove("apiVersion");
        }
        let metadata = json!({"resourceVersion": self.version.to_string()});
        let kind = "CertificateSigningRequestList";
        Reply::json(
            200,
            &json!({"kind": kind, "apiVersion": "certificates.k8s.io/v1", "metadata": metadata, "items": items}),
        )
    }

    fn watch(&self, request: &Request) -> Reply {
        let version =
            request.query("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(self.version);
        let seconds = request.query("timeoutSeconds").and_then(|text| text.parse().ok()).unwrap_or(1800);
        let name = request.selected_name().unwrap_or_default().to_owned();
        let timeout = Duration::from_secs(seconds);
        Reply::new(200, Body::Events { name, version, timeout }).header("Content-Type", "application/json")
    }

    /// Events of one name, bookmarks included, after a version.
    pub fn events_after(&self, version: u64, name: &str) -> Vec<(u64, Value)> {
        let wanted =
            |event: &&(u64, String, Value)| event.0 > version && (event.1 == name || event.1.is_empty());
        self.history.iter().filter(wanted).map(|(number, _, event)| (*number, event.clone())).collect()
    }

    /// The names of all requests.
    pub fn names(&self) -> Vec<String> {
        self.items.keys().cloned().collect()
    }

    /// One request.
    pub fn item(&self, name: &str) -> &Value {
        &self.items[name]
    }

    /// Changes a request; watchers get MODIFIED.
    pub fn edit(&mut self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut item = self.items[name].clone();
        change(&mut item);
        self.store("MODIFIED", name, item);
    }

    /// Adds a condition such as `Approved`, `Denied` or `Failed`.
    pub fn condition(&mut self, name: &str, kind: &str) {
        let condition = json!({"type": kind, "status": "True", "reason": "Test", "message": "by the test"});
        self.edit(name, |item| match item["status"]["conditions"].as_array_mut() {
            Some(conditions) => conditions.push(condition),
            None => item["status"]["conditions"] = json!([condition]),
        });
    }

    /// Approves a request.
    pub fn approve(&mut self, name: &str) {
        self.condition(name, "Approved");
    }

    /// Puts the signer's certificate into a request.
    pub fn issue(&mut self, name: &str) {
        let serving = self.items[name]["spec"]["signerName"] == SERVING_SIGNER;
        let signer = if serving { &self.serving_signer } else { &self.signer };
        let certificate = signer(&self.pkcs10(name));
        self.edit(name, |item| item["status"]["certificate"] = json!(BASE64_STANDARD.encode(certificate)));
    }

    /// Approves and issues whatever there is.
    pub fn grant(&mut self) {
        for name in self.names() {
            self.approve(&name);
            self.issue(&name);
        }
    }

    /// The PKCS#10 request in an item, as PEM.
    pub fn pkcs10(&self, name: &str) -> String {
        pkcs10(&self.items[name]).unwrap_or_default()
    }

    /// Deletes a request; watchers get DELETED.
    pub fn delete(&mut self, name: &str) {
        let item = self.items.remove(name).expect("an item to delete");
        self.record("DELETED", name, item);
    }

    /// Sends a bookmark to every watcher.
    pub fn bookmark(&mut self) {
        self.record("BOOKMARK", "", bookmark_object("0"));
    }

    fn store(&mut self, kind: &str, name: &str, item: Value) {
        let item = self.record(kind, name, item);
        self.items.insert(name.to_owned(), item);
    }

    fn record(&mut self, kind: &str, name: &str, mut item: Value) -> Value {
        self.version += 1;
        item["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push((self.version, name.to_owned(), event(kind, &item)));
        item
    }
}

/// The common name that a request asks for.
fn common_name(request: &str) -> Option<String> {
    Some(pki::subject(&pki::parse_request(request).ok()?.params, &DnType::CommonName))
}

/// One event of a watch.
pub fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

/// What a bookmark carries: an empty object of the type that is watched, all fields of its Go type spelled out.
pub fn bookmark_object(version: &str) -> Value {
    json!({
        "kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1",
        "metadata": {"resourceVersion": version}, "spec": {"request": null, "signerName": ""}, "status": {},
    })
}

fn pkcs10(item: &Value) -> Option<String> {
    let request = BASE64_STANDARD.decode(item["spec"]["request"].as_str()?).ok()?;
    String::from_utf8(request).ok()
}

/// What a strict API server and signer would find wrong with a kubelet's request.
fn fault(object: &Value) -> Option<&'static str> {
    let Some(Ok(request)) = pkcs10(object).map(|pem| pki::parse_request(&pem)) else {
        return Some("spec.request");
    };
    if object["kind"] != "CertificateSigningRequest" || object["apiVersion"] != "certificates.k8s.io/v1" {
        return Some("kind");
    }
    let serving = object["spec"]["signerName"] == SERVING_SIGNER;
    if !serving && object["spec"]["signerName"] != "kubernetes.io/kube-apiserver-client-kubelet" {
        return Some("spec.signerName");
    }
    let usage = if serving { "server auth" } else { "client auth" };
    if object["spec"]["usages"] != json!(["digital signature", usage]) {
        return Some("spec.usages");
    }
    let organization = pki::subject(&request.params, &DnType::OrganizationName);
    let common_name = pki::subject(&request.params, &DnType::CommonName);
    if organization != "system:nodes" || !common_name.starts_with("system:node:") {
        return Some("subject");
    }
    (request.params.subject_alt_names.is_empty() == serving).then_some("subject alternative names")
}
