//! The units of `image/systemd/jwt` that keep a machine's JWT in a file: their own scripts, beside fakes of what they ask.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::scratch::Scratch;
use crate::support::unit_file::ScriptUnit;

/// Debian's shell, and what `/bin/sh` is on Flatcar and Fedora.
const SHELLS: [&[&str]; 2] = [&["/bin/sh"], &["bash", "--posix"]];
const UNITS: [&str; 3] = ["gce", "azure", "spiffe"];
/// For what takes a part of a second.
const PATIENCE: Duration = Duration::from_mins(1);

/// The token of this number.
fn jwt(number: usize) -> String {
    format!("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtYWNoaW5lIn0.c2lnbmF0dXJl-{number}_")
}

/// What a platform answers, with this token in it.
fn answer(unit: &str, jwt: &str) -> String {
    match unit {
        "gce" => jwt.to_owned(),
        "azure" => format!(
            "{{\"access_token\":\"{jwt}\",\"client_id\":\"0a1b-2c3d\",\"expires_in\":\"86400\",\"expires_on\":\"1789000000\",\
             \"ext_expires_in\":\"86399\",\"not_before\":\"1788900000\",\"resource\":\"https://api.example.com\",\
             \"token_type\":\"Bearer\"}}"
        ),
        _ => format!(
            "token(spiffe://example.org/node/vm-1):\n\t{jwt}\nbundle(spiffe://example.org):\n\t{{\n    \"keys\": [\n        \
             {{\n            \"kid\": \"a.b.c\"\n        }}\n    ]\n}}\n"
        ),
    }
}

/// What answers in turn, the last answer for ever: a metadata service, and an agent's program.
struct Platform {
    scratch: Scratch,
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Platform {
    /// Each answer is a status and a body.
    fn start(answers: Vec<(&'static str, String)>) -> Self {
        let scratch = Scratch::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        // The agent asks the same server, as curl does; only its arguments are the agent's.
        let agent = format!("exec curl -q -fsSL --max-redirs 0 --noproxy '*' {address}/agent");
        for (program, does) in [("spire-agent", agent.as_str())]
            .into_iter()
            .chain(["curl", "sed", "tr", "rm", "mv", "sleep"].map(|name| (name, "")))
        {
            let run =
                if does.is_empty() { format!("exec /usr/bin/{program} \"$@\"") } else { does.to_owned() };
            let script = format!(
                "#!/bin/sh\nprintf '%s\\n' \"{program} $*\" >>{}\nPATH=/usr/bin:/bin\n{run}\n",
                scratch.path().join("arguments").display()
            );
            let file = scratch.path().join(program);
            fs::write(&file, script).expect("a program");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        fs::create_dir(scratch.path().join("run")).expect("a directory");
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for (number, mut stream) in listener.incoming().flatten().enumerate() {
                let lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
                let head: Vec<String> =
                    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                seen.lock().expect("requests").push(head.join("\n"));
                let (status, body) = &answers[number.min(answers.len() - 1)];
                let _ = write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{body}");
            }
        });
        Self { scratch, address, requests }
    }

    /// Runs a unit's script with more settings, until the value is dropped.
    fn run(&self, unit: &str, shell: &[&str], settings: &[(&str, &str)]) -> Script {
        let programs = format!("{}:/usr/bin:/bin", self.scratch.path().display());
        let settings = [
            &[("PATH", programs.as_str()), ("METADATA", &self.address), ("RETRY", "0.1")][..],
            &[("AUDIENCE", "https://api.example.com/a&b")],
            settings,
        ]
        .concat();
        let unit = ScriptUnit::read(&format!("nodestrap-jwt-{unit}.service"));
        let mut command = unit.command(shell, &self.run_directory(), &settings);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        Script(command.spawn().expect("it starts"))
    }

    fn run_directory(&self) -> std::path::PathBuf {
        self.scratch.path().join("run")
    }

    /// The token that is in the file; `None` while there is none.
    fn token(&self) -> Option<String> {
        let text = fs::read_to_string(self.run_directory().join("jwt")).ok()?;
        Some(text.trim_end_matches('\n').to_owned())
    }

    fn wait_for(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "waited in vain for {what}: {:?}", self.token());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The requests so far.
    fn asked(&self) -> Vec<String> {
        self.requests.lock().expect("requests").clone()
    }

    /// What its programs were started with.
    fn arguments(&self) -> String {
        fs::read_to_string(self.scratch.path().join("arguments")).unwrap_or_default()
    }
}

/// A script that runs, and all that it has started.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.0.id().try_into().expect("a process id")).expect("not 0");
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn each_unit_asks_as_its_platform_wants_and_writes_a_file_for_root_alone() {
    let audience = "https%3A%2F%2Fapi.example.com%2Fa%26b";
    let gce = format!(
        "GET /computeMetadata/v1/instance/service-accounts/default/identity?audience={audience}&format=full HTTP/1.1"
    );
    let azure = format!("GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource={audience}");
    let agent = "spire-agent api fetch jwt -timeout 10s -audience https://api.example.com/a&b -socketPath";
    let default = "/tmp/spire-agent/public/api.sock";
    for shell in SHELLS {
        for (unit, settings, line, header, arguments) in [
            ("gce", vec![], gce.clone(), "Metadata-Flavor: Google", String::new()),
            ("azure", vec![], format!("{azure} HTTP/1.1"), "Metadata: true", String::new()),
            (
                "azure",
                vec![("CLIENT_ID", "0a1b&2c")],
                format!("{azure}&client_id=0a1b%262c HTTP/1.1"),
                "Metadata: true",
                String::new(),
            ),
            ("spiffe", vec![], "GET /agent HTTP/1.1".into(), "", format!("{agent} {default}\n")),
            (
                "spiffe",
                vec![("SOCKET", "/run/a b.sock"), ("SPIFFE_ID", "spiffe://example.org/node/vm-1")],
                "GET /agent HTTP/1.1".into(),
                "",
                format!("{agent} /run/a b.sock -spiffeID spiffe://example.org/node/vm-1\n"),
            ),
        ] {
            let platform = Platform::start(vec![("200 OK", answer(unit, &jwt(1)))]);
            let script = platform.run(unit, shell, &settings);
            platform.wait_for("the token", |platform| platform.token() == Some(jwt(1)));
            let request = platform.asked().remove(0);
            // Some versions of curl have the digits after a percent sign in small letters.
            let first = request.lines().next().unwrap_or_default();
            assert_eq!(first.to_lowercase(), line.to_lowercase());
            assert!(header.is_empty() || request.lines().any(|line| line == header), "{request}");
            drop(script);
            assert_eq!(names(&platform.run_directory()), ["jwt"], "{unit}");
            let metadata = fs::metadata(platform.run_directory().join("jwt")).expect("a file");
            assert_eq!(metadata.permissions().mode() & 0o7777, 0o600, "{unit}");
            let given = platform.arguments();
            assert!(given.contains(&arguments), "{given}");
            assert!(given.contains("mv jwt.new jwt") && !given.contains("eyJ"), "{given}");
        }
    }
}

#[test]
fn what_is_no_token_is_not_written_and_asked_for_again() {
    let page = "<html>\n<body>Please sign in. a.b.c</body>\n</html>\n".to_owned();
    for shell in SHELLS {
        for unit in UNITS {
            let whole = answer(unit, &jwt(1));
            let cut = format!("200 OK\r\nContent-Length: {}", whole.len() + 10);
            let huge = format!("200 OK\r\nContent-Length: {}", 1 << 20);
            let [cut, huge] = [cut, huge].map(|status| &*status.leak());
            let bad = vec![
                ("404 Not Found", whole.clone()),
                ("500 Internal Server Error", String::new()),
                ("302 Found\r\nLocation: /elsewhere", whole.clone()),
                ("200 OK", String::new()),
                ("200 OK", page.clone()),
                (
                    "200 OK",
                    "{\"error\":\"invalid_request\",\"error_description\":\"Identity not found\"}".into(),
                ),
                (cut, whole.clone()),
                (huge, "x".repeat(1 << 20)),
            ];
            let count = bad.len();
            let platform = Platform::start([bad, vec![("200 OK", answer(unit, &jwt(2)))]].concat());
            let script = platform.run(unit, shell, &[]);
            platform.wait_for("the token", |platform| {
                let token = platform.token();
                assert!(token.is_none() || platform.asked().len() > count, "{unit}: {token:?}");
                token.is_some()
            });
            assert_eq!(platform.token(), Some(jwt(2)), "{unit}");
            drop(script);
            assert_eq!(names(&platform.run_directory()), ["jwt"], "{unit}");
            assert!(!platform.asked().iter().any(|request| request.contains("/elsewhere")));
        }
    }
}

#[test]
fn the_token_is_renewed_and_stays_while_the_endpoint_fails() {
    for unit in UNITS {
        let good = |number| ("200 OK", answer(unit, &jwt(number)));
        let bad = || ("503 Service Unavailable", String::new());
        let platform = Platform::start(vec![good(1), bad(), bad(), good(2), good(3)]);
        let script = platform.run(unit, SHELLS[0], &[("INTERVAL", "0.1")]);
        platform.wait_for("the first token", |platform| platform.token().is_some());
        // Whoever reads it finds a whole one, whenever.
        platform.wait_for("the third token", |platform| {
            let token = platform.token();
            assert!((1..=3).any(|number| token == Some(jwt(number))), "{unit}: {token:?}");
            token == Some(jwt(3))
        });
        drop(script);
        assert!(platform.asked().len() >= 5);
    }
}

#[test]
fn a_unit_without_an_audience_says_so() {
    for unit in UNITS {
        let platform = Platform::start(vec![("200 OK", answer(unit, &jwt(1)))]);
        let mut script = platform.run(unit, SHELLS[0], &[("AUDIENCE", "")]);
        assert!(!script.0.wait().expect("it ends").success());
        let mut said = String::new();
        let stderr = script.0.stderr.take().expect("a pipe");
        std::io::Read::read_to_string(&mut { stderr }, &mut said).expect("text");
        assert!(said.contains("AUDIENCE") && said.contains("/etc/default/nodestrap-jwt"), "{said}");
        assert!(platform.asked().is_empty() && platform.token().is_none());
    }
}
