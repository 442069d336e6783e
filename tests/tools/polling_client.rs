//! A client as scripts are written: it asks again every second, whatever the answer was, until it has what it wants.

use std::{io, thread, time::Duration};

use serde_json::Value;

use crate::protocol::{CLUSTER_INFO, Connection, REQUESTS, answer, ask, connect, request, text};

/// The first argument that makes the fleet's executable such a client.
pub const WORD: &str = "polling-client";
/// What it calls itself.
pub const AGENT: &str = "polling-client";
const PAUSE: Duration = Duration::from_secs(1);

/// Joins as `polling-client HOST:PORT TOKEN NODE-NAME`, on one connection while that lasts.
pub fn main(arguments: &[String]) {
    let [address, token, name] = arguments else { panic!("polling-client HOST:PORT TOKEN NODE-NAME") };
    let mut line = Line { address, connection: None };
    let anonymous = format!("Host: {address}\r\nUser-Agent: {AGENT}\r\n");
    line.until(&format!("GET {CLUSTER_INFO} HTTP/1.1\r\n{anonymous}\r\n"), |object| {
        object.get("data").is_some()
    });

    let head = format!("{anonymous}Authorization: Bearer {token}\r\n");
    let body = request(name);
    let post = format!(
        "POST {REQUESTS} HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let made = line.until(&post, |object| object["metadata"].get("name").is_some());
    let name = text(&made["metadata"]["name"]);
    line.until(&format!("GET {REQUESTS}/{name} HTTP/1.1\r\n{head}\r\n"), |object| {
        object["status"].get("certificate").is_some()
    });
}

struct Line<'a> {
    address: &'a str,
    connection: Option<Connection>,
}

impl Line<'_> {
    /// Sends a request every second until the answer is good.
    fn until(&mut self, request: &str, is_good: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.once(request) {
                Ok((200..=299, object)) if is_good(&object) => return object,
                Ok(_) => {}
                Err(_) => self.connection = None,
            }
            thread::sleep(PAUSE);
        }
    }

    fn once(&mut self, request: &str) -> io::Result<(u16, Value)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.address)?,
        };
        ask(&mut connection, request)?;
        let answer = answer(&mut connection)?;
        self.connection = Some(connection);
        Ok(answer)
    }
}
