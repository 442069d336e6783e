//! Short texts: durations, tokens, pins, names of nodes.

use nodestrap::testing::cli::{Invocation, SettingSources};
use nodestrap::testing::config::Command;
use nodestrap::testing::error::ErrorKind::Usage;
use nodestrap::testing::node_name::NodeName;
use nodestrap::testing::trust::{Pin, Token};
use serde_json::json;

use super::diff_report::{Case, Class, DiffReport, Refusal};
use super::oracle::{Oracle, given_text};
use super::random::{Random, count};

/// Draws texts, puts each to both, and counts.
pub fn compare<V: std::fmt::Debug + PartialEq>(
    question: &'static str,
    classes: &'static [Class<String, V>],
    mut draw: impl FnMut(&mut Random) -> String,
    ours: impl Fn(&str) -> Result<V, Refusal>,
    mut theirs: impl FnMut(&mut Oracle, &str) -> Result<V, String>,
) {
    let (mut random, mut oracle) = (Random::of(question), Oracle::start());
    let mut diff = DiffReport::new(question, classes);
    for _ in 0..count() {
        let input = draw(&mut random);
        let case = Case { ours: ours(&input), theirs: theirs(&mut oracle, &input), input };
        diff.hold(&case);
    }
    diff.finish();
}

/// A value that is not there, as a refusal without words.
pub fn refused<T>(value: Option<T>) -> Result<T, Refusal> {
    value.ok_or(Refusal::BARE)
}

/// A host, or what somebody takes for one.
pub fn host(random: &mut Random) -> String {
    let name = |random: &mut Random| {
        let length = 1 + random.below(8);
        let alphabet = random.pick(&["abcXYZ019", "abcXYZ019", "abcXYZ019", "abc019-_"]);
        random.text(alphabet, length)
    };
    match random.below(8) {
        0 => random.pick(&["10.0.0.1", "127.0.0.1", "010.0.0.1", "1.2.3", "256.1.1.1", "0x7f.1"]).to_owned(),
        1 => random
            .pick(&["[fd00::1]", "[::1]", "[FD00:0::1]", "[::ffff:10.0.0.1]", "fd00::1", "[fe80::1%25eth0]"])
            .to_owned(),
        2 => random
            .pick(&["localhost", "API", "api.example.", "xn--bcher-kva.example", "b\u{fc}cher.example", ""])
            .to_owned(),
        3 => "a".repeat(60 + random.below(8)) + ".example",
        _ => (0..=random.below(3)).map(|_| name(random)).collect::<Vec<_>>().join("."),
    }
}

/// A port, or what somebody takes for one.
pub fn port(random: &mut Random) -> String {
    match random.below(6) {
        0 => random.pick(&["", "0", "00443", "65535", "65536", "http", "+1", "-1", "4 4"]).to_owned(),
        _ => (1 + random.below(65_535)).to_string(),
    }
}

#[test]
fn durations() {
    const CLASSES: &[Class<String, i128>] = &[
        Class {
            name: "below zero",
            reason: "nobody waits for less than nothing; kubeadm would give up at once",
            explains: |case| case.input.starts_with('-') && case.stricter(Usage, "duration"),
        },
        Class {
            name: "less than a microsecond",
            reason: "Go computes fractions in floating point",
            explains: |case| {
                matches!((&case.ours, &case.theirs), (Ok(ours), Ok(theirs))
                    if (ours - theirs).abs() < 1000 && case.input.contains('.'))
            },
        },
    ];
    let read = |text: &str| {
        let mut invocation = Invocation::default();
        let arguments = [
            "join",
            "h:1",
            "--token=abcdef.0123456789abcdef",
            "--discovery-token-unsafe-skip-ca-verification",
        ];
        let arguments = arguments.map(str::to_owned).into_iter();
        let arguments =
            arguments.chain(["--with-serving-cert".to_owned(), format!("--serving-timeout={text}")]);
        invocation.read(arguments.map(Into::into), &SettingSources::default())?;
        match Command::of(&invocation)? {
            Command::Join(join) => {
                Ok(i128::try_from(join.serving.expect("it is asked for").timeout.as_nanos()).unwrap())
            }
            _ => panic!("a join"),
        }
    };
    let draw = |random: &mut Random| {
        let mut text = String::new();
        if random.once_in(6) {
            text.push_str(random.pick(&["-", "+"]));
        }
        for _ in 0..=random.below(3) {
            let length = random.pick(&[&1, &1, &2, &3, &12, &19, &20]);
            text.push_str(&random.text("0123456789", *length));
            if random.once_in(3) {
                let length = random.below(22);
                text = text + "." + &random.text("0123456789", length);
            }
            text.push_str(
                random.pick(&["h", "m", "s", "ms", "us", "\u{b5}s", "\u{3bc}s", "ns", "", "d", "H"]),
            );
        }
        if random.once_in(3) { random.slips(&text) } else { text }
    };
    compare("durations", CLASSES, draw, read, |oracle, text| {
        let value = oracle.ask("duration", &json!(text))?;
        Ok(i128::from(value.as_i64().expect("a number")))
    });
}

#[test]
fn tokens() {
    let draw = |random: &mut Random| {
        let token = random.token();
        if random.once_in(2) { random.slips(&token) } else { token }
    };
    let ours = |text: &str| Ok(Token::parse(text).is_some());
    compare("tokens", &[], draw, ours, |oracle, text| Ok(oracle.ask("token", &json!(text))? == json!(true)));
}

#[test]
fn pins() {
    let draw = |random: &mut Random| {
        let digits = random.text("0123456789abcdefABCDEF", 64);
        let pin = format!("{}:{digits}", random.pick(&["sha256", "SHA256", "Sha256", "sha512"]));
        if random.once_in(2) { random.slips(&pin) } else { pin }
    };
    let ours = |text: &str| Ok(Pin::parse(text).is_some());
    compare("pins", &[], draw, ours, |oracle, text| Ok(oracle.ask("pins", &json!([text])).is_ok()));
}

#[test]
fn node_names() {
    const CLASSES: &[Class<String, String>] = &[Class {
        name: "every machine's name",
        reason: "two machines of that name would share one Node",
        explains: |case| case.stricter(Usage, "is the name of every machine for itself"),
    }];
    let draw = |random: &mut Random| {
        let text = match random.below(4) {
            0 => random
                .pick(&[
                    "localhost",
                    "LOCALHOST",
                    "(none)",
                    "localhost.localdomain",
                    "n1",
                    "\u{212a}1",
                    "\u{130}",
                ])
                .to_owned(),
            1 => {
                let length = 251 + random.below(5);
                random.text("abc.", length)
            }
            _ => host(random),
        };
        let around = random.pick(&["", "", " ", "\n", "\u{a0}", "\t"]);
        let text = format!("{around}{text}{around}");
        if random.once_in(4) { random.slips(&text) } else { text }
    };
    let ours = |text: &str| NodeName::new(text).map(|name| name.as_str().to_owned()).map_err(Refusal::from);
    compare("names of nodes", CLASSES, draw, ours, |oracle, text| {
        // An empty name is the machine's own for kubeadm.
        if text.is_empty() {
            return Err("empty".to_owned());
        }
        let value = oracle.ask("node name", &json!(text))?;
        if value["problems"].is_null() {
            Ok(given_text(&value["name"]))
        } else {
            Err(value["problems"].to_string())
        }
    });
}
