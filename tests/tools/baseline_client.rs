//! The floor of the benchmark: a client that speaks the protocol over one connection and does nothing else.
//!
//! It verifies neither the server nor the signature of cluster-info, and writes no file. What it takes is what the
//! server and the handshake take.
//!
//! usage: baseline_client HOST:PORT TOKEN NODE-NAME

mod protocol;

use std::{env, io};

use protocol::{CLUSTER_INFO, REQUESTS, answer, ask, connect, read, request, text};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, token, name] = &arguments[..] else {
        panic!("usage: baseline_client HOST:PORT TOKEN NODE-NAME")
    };
    let mut connection = connect(address)?;
    ask(&mut connection, &format!("GET {CLUSTER_INFO} HTTP/1.1\r\nHost: {address}\r\n\r\n"))?;
    let (_, cluster_info) = answer(&mut connection)?;
    assert!(cluster_info.get("data").is_some(), "{cluster_info}");

    let head = format!("Host: {address}\r\nAuthorization: Bearer {token}\r\n");
    let body = request(name);
    let post = format!("POST {REQUESTS} HTTP/1.1\r\n{head}Content-Type: application/json\r\n");
    ask(&mut connection, &format!("{post}Content-Length: {}\r\n\r\n{body}", body.len()))?;
    let (_, object) = answer(&mut connection)?;
    let metadata = &object["metadata"];
    let (name, version) = (text(&metadata["name"]), text(&metadata["resourceVersion"]));

    let query = format!("watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={version}");
    ask(&mut connection, &format!("GET {REQUESTS}?{query} HTTP/1.1\r\n{head}\r\n"))?;
    let mut seen = Vec::new();
    while !seen.windows(15).any(|window| window == b"\"certificate\":\"") {
        read(&mut connection, &mut seen)?;
    }
    Ok(())
}
