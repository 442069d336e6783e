//! What a service manager hears by `$NOTIFY_SOCKET`, and that nothing hangs on its listening.

use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::api::{Api, Cluster, Reply, Route, TOKEN};
use crate::support::node::{KUBELET_CONF, Node};
use crate::support::run::Finished;

/// A service manager's socket beside a node, and the variable that names it.
fn listen(node: &Node, is_abstract: bool) -> (UnixDatagram, String) {
    let path = node.beside("notify").display().to_string();
    let (address, variable) = if is_abstract {
        (SocketAddr::from_abstract_name(path.as_bytes()), format!("@{path}"))
    } else {
        (SocketAddr::from_pathname(&path), path)
    };
    let socket = UnixDatagram::bind_addr(&address.expect("a name that fits")).expect("a socket");
    socket.set_nonblocking(true).expect("a socket that does not wait");
    (socket, variable)
}

/// All that was sent by a run that has ended.
fn heard(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = vec![0; 65_536];
    let mut messages = Vec::new();
    while let Ok(length) = socket.recv(&mut buffer) {
        messages.push(String::from_utf8(buffer[..length].to_vec()).expect("text"));
    }
    let secret = TOKEN.split_once('.').expect("a dot").1;
    assert!(!messages.concat().contains(secret), "a secret was sent");
    messages
}

/// The lines on standard error as messages; help is told with its error.
fn said(run: &Finished) -> Vec<String> {
    let with_help = run.stderr.replace("\nnodestrap: help: ", "; help: ");
    with_help.lines().map(|line| line.replacen("nodestrap: ", "STATUS=", 1)).collect()
}

#[test]
fn it_hears_each_line_and_the_good_end() {
    for is_abstract in [false, true] {
        let (api, node) = (Api::start(), Node::new());
        let (socket, variable) = listen(&node, is_abstract);
        let run = node.join(&api).with_cert().env("NOTIFY_SOCKET", &variable).run();
        run.expect("joined");
        let messages = heard(&socket);
        let (last, lines) = messages.split_last().expect("messages");
        assert_eq!((last.as_str(), lines), ("READY=1\nSTATUS=joined: n1", said(&run).as_slice()));

        node.join(&api).with_cert().env("NOTIFY_SOCKET", &variable).run().expect("already-joined");
        assert_eq!(heard(&socket).last().map(String::as_str), Some("READY=1\nSTATUS=already-joined: n1"));
    }
}

#[test]
fn it_hears_what_is_waited_for_and_no_good_end_of_a_failure() {
    let (api, node) = (Api::start(), Node::new());
    let (socket, variable) = listen(&node, false);
    api.on(Route::Discovery, |number, _, _| (number == 0).then(|| Reply::status(403, "Forbidden")));
    api.cluster(|cluster| cluster.approves = false);
    let join = node.join(&api).with_cert().args("--tls-bootstrap-timeout 5s");
    let run = join.env("NOTIFY_SOCKET", &variable).run();
    run.expect("pending");
    let messages = heard(&socket);
    for words in ["STATUS=discovery: ", "STATUS=approval: CSR ", "STATUS=error: approval: "] {
        run.check(
            messages.iter().any(|message| message.starts_with(words)),
            &format!("{words}: {messages:?}"),
        );
    }
    run.check(!messages.concat().contains("READY="), "it has not joined");

    api.cluster(Cluster::grant);
    let run = node.join(&api).env("NOTIFY_SOCKET", &variable).args("--timeout soon").run();
    run.expect("usage");
    assert_eq!(heard(&socket), said(&run));
}

#[test]
fn what_a_server_says_is_no_assignment() {
    let (api, node) = (Api::start(), Node::new());
    let (socket, variable) = listen(&node, false);
    let text = format!("no\nMAINPID=1\r\nREADY=1\n{}", "x".repeat(10_000));
    api.on(Route::Create, move |_, _, _| Some(Reply::text(422, "text/plain", &text)));
    let run = node.join(&api).with_cert().env("NOTIFY_SOCKET", &variable).run();
    run.expect("denied").says(&["MAINPID=1"]);
    let messages = heard(&socket);
    assert!(messages.iter().all(|message| message.lines().count() == 1 && message.len() <= 4096));
    assert!(messages.iter().all(|message| message.starts_with("STATUS=")), "{messages:#?}");
}

/// What standard error does not show, the manager does not show either: it keeps it, for every user to read.
#[test]
fn it_hears_no_secret() {
    let secret = TOKEN.split_once('.').expect("a dot").1;
    // A token in a file's place, and with a slip that leaves its shape.
    for words in [&["--token-file", TOKEN][..], &["--node-name", "abcdef.0123456789abcdef"], &[TOKEN]] {
        let (api, node) = (Api::start(), Node::new());
        let (socket, variable) = listen(&node, false);
        let run = node.join(&api).env("NOTIFY_SOCKET", &variable).args(&words.join(" ")).run();
        run.check(run.code == Some(2), "a usage error");
        assert_eq!(heard(&socket), said(&run));
    }
    // A server that repeats the bearer in all its forms, and one that names the user of a URL.
    let (api, node) = (Api::start(), Node::new());
    let (socket, variable) = listen(&node, true);
    let echo = format!("Bearer {TOKEN}, {secret}, https://u:hunter2@h/ {}", BASE64_STANDARD.encode(TOKEN));
    let plain = echo.clone();
    api.on(Route::Discovery, move |number, _, _| {
        (number == 0).then(|| Reply::text(503, "text/plain", &plain))
    });
    api.on(Route::Create, move |_, _, _| Some(Reply::text(422, "text/plain", &echo)));
    let run = node.join(&api).with_cert().env("NOTIFY_SOCKET", &variable).secret("hunter2").run();
    run.expect("denied");
    let messages = heard(&socket);
    assert_eq!(messages, said(&run));
    let all = messages.concat();
    assert!(all.contains("Bearer ***") && !all.contains("hunter2"), "{all}");
    assert!(!all.contains(&BASE64_STANDARD.encode(TOKEN)), "{all}");
    // The name of the node in the last word, too, unless it is in use.
    let (socket, variable) = listen(&node, false);
    let api = Api::start();
    let node = Node::new();
    let run =
        node.join(&api).name("node01.prodclustereast1").with_cert().env("NOTIFY_SOCKET", &variable).run();
    run.expect("joined");
    let last = heard(&socket).pop();
    assert_eq!(last.as_deref(), Some("READY=1\nSTATUS=joined: node01.prodclustereast1"));
}

#[test]
fn nobody_has_to_listen() {
    let (api, node) = (Api::start(), Node::new());
    // A queue that is full already, and stays so.
    let (socket, variable) = listen(&node, false);
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.set_nonblocking(true).expect("a socket that does not wait");
    let full = loop {
        if let Err(error) = sender.send_to(b"X=1", node.beside("notify")) {
            break error.kind();
        }
    };
    assert_eq!(full, ErrorKind::WouldBlock);
    node.join(&api).with_cert().env("NOTIFY_SOCKET", &variable).run().expect("joined");
    assert!(heard(&socket).iter().all(|message| message == "X=1"));

    let file = node.beside("file");
    fs::write(&file, "x").expect("a file");
    let cases = [
        node.beside("nowhere").display().to_string(),
        file.display().to_string(),
        "@nodestrap-nobody-listens".to_owned(),
        "vsock:2:1".to_owned(),
        format!("/{}", "x".repeat(5_000)),
    ];
    crate::support::all(&cases, Clone::clone, |variable| {
        let node = Node::new();
        node.join(&api).with_cert().env("NOTIFY_SOCKET", variable).run().expect("joined");
        assert!(node.has(KUBELET_CONF));
    });
    assert_eq!(fs::read(&file).expect("the file"), b"x");
}

/// Without the variable there is no socket but the connection's: seen from outside, by the system calls.
#[test]
fn without_the_variable_nothing_is_sent() {
    let (api, node) = (Api::start(), Node::new());
    let (run, log) = node.join(&api).with_cert().traced(["-e", "trace=socket"]);
    run.expect("joined");
    assert!(log.contains("SOCK_STREAM") && !log.contains("AF_UNIX"), "{log}");
}
