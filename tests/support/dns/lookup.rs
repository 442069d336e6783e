//! Looks a name up with the shipped program, among files of the case's own: every address that it connects to refuses.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::{Case, Expected, serve};

/// Nobody listens here.
const PORT: u16 = 6443;
/// The addresses of the machine in the namespace; all of 127.0.0.0/8 is among them.
const NETWORK: &str = "ip link set lo up
for address in 10.9.0.1/24 169.254.9.1/24 2001:db8::1/128 2001:db8::2/128 fd00::1/128 fe80::53/64; do
    ip address add $address dev lo nodad 2>/dev/null || ip address add $address dev lo
done
echo n1.corp.example > /proc/sys/kernel/hostname
exec \"$@\"";
/// Takes a directory of the case's own for `/etc`.
const FILES: &str = r#"mount --bind "$0" /etc && exec "$@""#;

/// What came of a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The addresses, and whether IPv6 comes first.
    Addresses(BTreeSet<IpAddr>, bool),
    /// Why there are none.
    Fails(String),
}

/// Runs a test again in a network namespace, which needs root, as all of CI has it. `false` in there.
pub fn again(test: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var_os("NODESTRAP_NAMES").is_some() {
        return false;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "--uts", "sh", "-euc", NETWORK, "sh"]).arg(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", test])
        .envs(variables.iter().copied())
        .env("NODESTRAP_NAMES", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    true
}

/// Starts the servers that are asked where resolv.conf names none, of which only the second is of use. It is also there
/// at an address with a zone.
pub fn defaults() {
    let count = Arc::new(AtomicUsize::new(0));
    let zoned = SocketAddrV6::new("fe80::53".parse().expect("an address"), 53, 0, 1);
    for (server, address) in
        ["127.0.0.1:53".parse().expect("an address"), "[::1]:53".parse().expect("one"), zoned.into()]
            .into_iter()
            .enumerate()
    {
        serve(
            address,
            |asked| if asked.server == 0 { asked.code(2) } else { asked.has(&["127.0.9.2"]) },
            server,
            &count,
        );
    }
}

/// A case among its files, and with its servers.
pub struct Resolver<'a> {
    case: &'a Case,
    folder: PathBuf,
}

impl<'a> Resolver<'a> {
    /// Starts the servers of the case with this number, in this one of the networks 127.0.0.0/16 to 127.255.0.0/16, and
    /// writes its files into a folder.
    pub fn new(case: &'a Case, network: u8, number: usize, folder: &Path) -> Self {
        let folder = folder.join(format!("{network}-{number}"));
        fs::create_dir(&folder).expect("a folder");
        let count = Arc::new(AtomicUsize::new(0));
        let mut text = case.resolv_conf.to_owned();
        for server in 1..=4 {
            let address = Ipv4Addr::new(127, network, u8::try_from(number).expect("few cases"), server);
            let name = format!("S{server}");
            if text.contains(&name) {
                serve(SocketAddr::from((address, 53)), case.says, server.into(), &count);
                text = text.replace(&name, &address.to_string());
            }
        }
        if !text.is_empty() {
            fs::write(folder.join("resolv.conf"), text).expect("resolv.conf");
        }
        fs::write(folder.join("hosts"), case.hosts).expect("hosts");
        Self { case, folder }
    }

    /// Its folder, which is `/etc` to what runs in it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What runs a command among its files, before that command.
    pub fn words(&self) -> Vec<OsString> {
        let words = ["unshare", "--mount", "sh", "-c", FILES].map(OsString::from);
        words.into_iter().chain([self.folder.clone().into()]).collect()
    }

    /// The same, as a command that lacks its last words.
    pub fn command(&self) -> Command {
        let words = self.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// What the program finds. It is stopped once it has told how its first attempt ended.
    ///
    /// # Panics
    /// When it tells nothing.
    pub fn look(&self, program: &Path) -> Found {
        let at = |name: &str| self.folder.with_extension(name).display().to_string();
        let (log, root, token) = (at("strace"), at("root"), at("token"));
        fs::write(&token, "abcdef.0123456789abcdef\n").expect("a token's file");
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("its mode");
        fs::create_dir_all(&root).expect("a root");
        let mut command = self.command();
        command.args(["strace", "-f", "-qq", "-e", "trace=execve,connect", "-o", &log]);
        command.arg(program).arg("join").arg(format!("{}:{PORT}", self.case.host));
        command.args(["--token-file", &token, "--discovery-token-unsafe-skip-ca-verification"]);
        command.args(["--node-name", "n1", "--root", &root, "--timeout", "40s"]);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("unshare");
        let mut said = String::new();
        BufReader::new(child.stderr.take().expect("a pipe")).read_line(&mut said).expect("a line");
        let trace = fs::read_to_string(&log).expect("strace's log");
        // The program, not strace, which would leave it behind.
        let process = trace.split(' ').next().and_then(|number| number.parse().ok()).expect("its number");
        let process = rustix::process::Pid::from_raw(process).expect("a process");
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        child.wait().expect("its end");
        assert!(said.starts_with("nodestrap: "), "{}: {said}", self.case.name);
        let tried: Vec<IpAddr> = trace.lines().filter_map(connected).collect();
        match tried.first() {
            Some(first) => Found::Addresses(tried.iter().copied().collect(), first.is_ipv6()),
            None => Found::Fails(said),
        }
    }

    /// Asserts that it is what the table says.
    pub fn check(&self, found: &Found) {
        let case = self.case.name;
        match (&self.case.expected, found) {
            (Expected::Addresses(expected), Found::Addresses(tried, v6)) => {
                let expected: Vec<IpAddr> =
                    expected.iter().map(|text| text.parse().expect("an address")).collect();
                assert_eq!(expected.iter().copied().collect::<BTreeSet<_>>(), *tried, "{case}");
                assert_eq!(expected[0].is_ipv6(), *v6, "{case}: the family that comes first");
            }
            (Expected::Count(count), Found::Addresses(tried, v6)) => {
                assert_eq!((tried.len(), *v6), (*count, false), "{case}");
            }
            (Expected::Fails(words), Found::Fails(said)) => {
                let resolve = format!("cannot resolve {}: ", self.case.host.trim_end_matches('.'));
                let servers = servers(said);
                assert!(said.contains(&resolve) && servers.contains(words), "{case}: {said}");
            }
            (_, found) => panic!("{case}: {found:?}"),
        }
    }
}

/// Text with a case's servers named as in the table.
fn servers(text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for word in words.iter_mut().filter(|word| word.starts_with("127.1.")) {
        *word = format!("S{}", word.rsplit('.').next().unwrap_or_default());
    }
    words.join(" ")
}

/// The address behind a line of strace that connects to the API server.
fn connected(line: &str) -> Option<IpAddr> {
    let rest = line.split_once(&format!("_port=htons({PORT})"))?.1;
    rest.split('"').find_map(|word| word.parse().ok())
}
