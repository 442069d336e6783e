//! Texts without what differs from run to run: times, ports, digests, keys, certificates, temporary paths.

/// What names hold instead of their date.
const DATE: &str = "DATE";
/// The form of one, such as 2026-11-22-08-09-45.
const FORM: &str = "0000-00-00-00-00-00";
/// The least port that the system gives away (`ip_local_port_range`); those that tests choose are smaller.
const PORTS: u32 = 32_768;
/// As long as a line of base64 in PEM, and as a SHA-256 in hexadecimal.
const CODED: usize = 64;
/// What begins the name of a directory of a test.
const SCRATCH: &str = "nodestrap-test-";
/// Who needs more of a case's name has a longer look at the test.
const LONGEST: usize = 120;

/// A text without all of that; `servers` are the ports of the servers of a test, which are told apart by letters.
pub fn plain(text: &str, servers: &[u16]) -> String {
    ports(&words(&scratch(&csr_names(&undated(&blocks(text))))), servers)
}

/// The name of a case, on one line.
pub fn short(name: &str) -> String {
    let plain = plain(name, &[]);
    let line = plain.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    line.take(LONGEST).collect::<String>().trim_end().to_owned()
}

/// A text without the dates in it.
pub fn undated(text: &str) -> String {
    let is_date = |text: &str| {
        text.bytes()
            .zip(FORM.bytes())
            .all(|(b, form)| if form == b'-' { b == b'-' } else { b.is_ascii_digit() })
    };
    let mut rest = text;
    let mut plain = String::new();
    while let Some(first) = rest.chars().next() {
        if rest.len() >= FORM.len() && rest.is_char_boundary(FORM.len()) && is_date(&rest[..FORM.len()]) {
            plain.push_str(DATE);
            rest = &rest[FORM.len()..];
        } else {
            plain.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    plain
}

/// PEM without its content, also where its first byte is missing.
fn blocks(text: &str) -> String {
    let mut parts = text.split("----BEGIN ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.split_once("-----END ").and_then(|(_, rest)| rest.split_once("-----"));
        match (part.split_once("-----"), end) {
            (Some((label, _)), Some((_, rest))) => {
                let is_whole = plain.ends_with('-');
                plain.truncate(plain.len() - usize::from(is_whole));
                plain.extend([if is_whole { "PEM of " } else { "torn PEM of " }, label, rest]);
            }
            _ => plain.extend(["----BEGIN ", part]),
        }
    }
    plain
}

/// What follows a mark, as long as these characters go on, is a star.
fn starred(text: &str, mark: &str, belongs: fn(char) -> bool) -> String {
    let mut parts = text.split(mark);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.extend([mark, "*", part.trim_start_matches(belongs)]);
    }
    plain
}

fn csr_names(text: &str) -> String {
    starred(text, "-csr-", |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// `/tmp/nodestrap-test-17-4/root` is `*/root`, also where it is in a root.
fn scratch(text: &str) -> String {
    let starred = starred(text, SCRATCH, |c| c.is_ascii_digit() || c == '-');
    starred.replace(&format!("{}/{SCRATCH}*", std::env::temp_dir().display()), "*")
}

/// Ports behind a colon.
fn ports(text: &str, servers: &[u16]) -> String {
    let mut parts = text.split(':');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        plain.push(':');
        match part[..end].parse::<u32>() {
            Ok(port) if end == 5 && port >= PORTS && !part[end..].starts_with(char::is_alphanumeric) => {
                // The last one that has got it.
                let server = servers.iter().rposition(|server| u32::from(*server) == port);
                match server.filter(|_| servers.len() > 1) {
                    Some(number) => plain.push(letter(number)),
                    None => plain.push_str("PORT"),
                }
                plain.push_str(&part[end..]);
            }
            _ => plain.push_str(part),
        }
    }
    plain
}

/// The name of a server of a test.
pub fn letter(number: usize) -> char {
    char::from(b'a' + u8::try_from(number).expect("few servers"))
}

/// Base64 and hexadecimal.
fn words(text: &str) -> String {
    let is_coded = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let mut plain = String::new();
    for part in text.split_inclusive(|c: char| !is_coded(c)) {
        let word = part.trim_end_matches(|c| !is_coded(c));
        if word.len() >= CODED {
            plain.extend(["CODED", &part[word.len()..]]);
        } else {
            plain.push_str(part);
        }
    }
    plain
}

#[test]
fn texts_hold_nothing_that_differs_from_run_to_run() {
    let folder = std::env::temp_dir().join("nodestrap-test-17-4/root").display().to_string();
    let coded = "A1b2+/==".repeat(9);
    for (text, expected) in [
        ("kubelet-client-2026-11-22-08-09-45.pem.old-2", "kubelet-client-DATE.pem.old-2"),
        ("https://[::1]:40001/x, localhost:40002 and h:6443", "https://[::1]:a/x, localhost:b and h:6443"),
        ("localhost:54321", "localhost:PORT"),
        (&format!("sha256:54321{}", "ab".repeat(30)), "sha256:CODED"),
        ("a:54321ab", "a:54321ab"),
        ("a node-csr-aB_1-2 b", "a node-csr-* b"),
        (&format!("{folder}/etc"), "*/root/etc"),
        (&format!("data: {coded}\n"), "data: CODED\n"),
        ("-----BEGIN A B-----\nx\n-----END A B-----\nrest", "PEM of A B\nrest"),
        ("----BEGIN A B-----\nx\n-----END A B-----\nrest", "torn PEM of A B\nrest"),
        ("-----BEGIN A-----\ntorn", "-----BEGIN A-----\ntorn"),
    ] {
        assert_eq!(plain(text, &[40_001, 40_002]), expected);
    }
}
