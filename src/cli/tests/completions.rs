//! The completions in image/completions are made of the table of flags: COMPLETIONS=write writes them, and each shell is
//! asked what it makes of them.

#![allow(clippy::format_push_string, reason = "texts are put together line by line, in a test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::flags::Group;
use crate::cli::{Flag, Kind};

const NOTE: &str = "Made of the table of flags, by the test cli::tests::completions; do not edit.";

/// The commands, and what completes behind each: flags, and whether a file is its argument.
const COMMANDS: [(&str, &str, Option<&[Flag]>); 4] = [
    ("join", "join this machine to a cluster", None),
    ("ca-hash", "print the pin of each certificate in a PEM file", Some(&[Flag::Report, Flag::Timeout])),
    (
        "verify",
        "verify a cluster-info as a join does",
        Some(&[
            Flag::ClusterInfo,
            Flag::Token,
            Flag::DiscoveryToken,
            Flag::CaCertHash,
            Flag::PinEveryCa,
            Flag::SkipCaVerification,
            Flag::Config,
            Flag::Report,
            Flag::Timeout,
        ]),
    ),
    ("check", "find tokens, keys and identities in an image", Some(&[Flag::Root, Flag::Report])),
];

/// What is completed behind a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Argument {
    None,
    Text(&'static str),
    File,
    Directory,
}

/// One word that begins with dashes.
struct Word {
    name: String,
    argument: Argument,
    repeats: bool,
    help: &'static str,
}

/// All words of a flag: a secret has two.
fn words(flag: Flag) -> Vec<Word> {
    let row = flag.row();
    let argument = match row.value {
        "" => Argument::None,
        "FILE" | "FILE|URL" | "unix://PATH" => Argument::File,
        "DIR" => Argument::Directory,
        value => Argument::Text(value),
    };
    let help = row.help.lines().next().unwrap_or_default();
    let repeats = matches!(row.kind, Kind::List | Kind::Each);
    let word = Word { name: row.name.to_owned(), argument, repeats, help };
    match row.kind {
        Kind::Positional | Kind::Ignored => Vec::new(),
        Kind::Secret => {
            let name = format!("{}-file", row.name);
            vec![word, Word { name, argument: Argument::File, repeats, help }]
        }
        _ => vec![word],
    }
}

fn words_of(flags: Option<&[Flag]>) -> Vec<Word> {
    // What has no effect is typed by nobody.
    let useful = Flag::ALL.into_iter().filter(|flag| flag.row().group != Group::Other);
    let all = flags.map_or_else(|| useful.collect(), <[Flag]>::to_vec);
    all.into_iter().flat_map(words).collect()
}

fn bash() -> String {
    let every = words_of(None);
    let with = |is: fn(Argument) -> bool| {
        let names = every.iter().filter(|word| is(word.argument));
        names.map(|word| format!("--{}", word.name)).collect::<Vec<_>>().join(" | ")
    };
    let files = with(|argument| argument == Argument::File);
    let directories = with(|argument| argument == Argument::Directory);
    let texts = with(|argument| matches!(argument, Argument::Text(_)));
    let names = COMMANDS.map(|(name, ..)| name);
    let mut cases = String::new();
    for (name, _, flags) in COMMANDS {
        let words: Vec<_> = words_of(flags).iter().map(|word| format!("--{}", word.name)).collect();
        cases += &format!("    {name}) words='{}' ;;\n", words.join(" "));
    }
    format!(
        "# bash completion for nodestrap(8). {NOTE}
_nodestrap() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} command='' words word
    # An equals sign is a word of its own.
    if [[ $cur == '=' ]]; then
        cur=''
    elif [[ $prev == '=' ]]; then
        prev=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    COMPREPLY=()
    case $prev in
    {files})
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")
        return
        ;;
    {directories})
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")
        return
        ;;
    {texts}) return ;;
    esac
    for word in \"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do
        case $word in {}) command=$word ;; esac
        [[ -z $command ]] || break
    done
    case $command in
{cases}    *) words='{} --help --version' ;;
    esac
    if [[ $command == ca-hash && $cur != -* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")
}}
complete -F _nodestrap nodestrap
",
        names.join(" | "),
        names.join(" "),
    )
}

/// A text between single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn zsh() -> String {
    let mut text = format!(
        "#compdef nodestrap\n# {NOTE}\n\n_nodestrap() {{\n  local curcontext=$curcontext state line\n"
    );
    text += "  typeset -A opt_args\n  _arguments -C \\\n    '(- *)'{-h,--help}'[print a summary]' \\\n    ";
    text += "'(- *)'{-V,--version}'[print version and commit]' \\\n    '1: :->command' \\\n    '*:: :->arguments' && return\n";
    text += "  case $state in\n  command)\n    local -a commands=(\n";
    for (name, help, _) in COMMANDS {
        text += &format!("      {}\n", quoted(&format!("{name}:{help}")));
    }
    text += "    )\n    _describe command commands\n    ;;\n  arguments)\n    case $words[1] in\n";
    for (name, _, flags) in COMMANDS {
        text += &format!("    {name})\n      _arguments \\\n");
        for Word { name, argument, repeats, help } in words_of(flags) {
            let (value, action) = match argument {
                Argument::None => (String::new(), ""),
                Argument::File => (":file".to_owned(), ":_files"),
                Argument::Directory => (":directory".to_owned(), ":_files -/"),
                Argument::Text(value) => (format!(":{}", value.replace(':', "\\:")), ": "),
            };
            let star = if repeats { "*" } else { "" };
            let equals = if argument == Argument::None { "" } else { "=" };
            let help = help.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
            text += &format!(
                "        {} \\\n",
                quoted(&format!("{star}--{name}{equals}[{help}]{value}{action}"))
            );
        }
        text += match name {
            "join" => "        '1:HOST\\:PORT: '\n",
            "ca-hash" => "        '1:file:_files'\n",
            _ => "        ':: :'\n",
        };
        text += "      ;;\n";
    }
    text + "    esac\n    ;;\n  esac\n}\n\n_nodestrap \"$@\"\n"
}

fn fish() -> String {
    let mut text = format!("# fish completion for nodestrap(8). {NOTE}\ncomplete -c nodestrap -f\n");
    for (option, help) in
        [("-s h -l help", "print a summary"), ("-s V -l version", "print version and commit")]
    {
        text += &format!("complete -c nodestrap -n __fish_use_subcommand {option} -d '{help}'\n");
    }
    for (name, help, _) in COMMANDS {
        text += &format!("complete -c nodestrap -n __fish_use_subcommand -a {name} -d '{help}'\n");
    }
    for (command, _, flags) in COMMANDS {
        let seen = format!("complete -c nodestrap -n '__fish_seen_subcommand_from {command}'");
        for Word { name, argument, help, .. } in words_of(flags) {
            let action = match argument {
                Argument::None => "",
                Argument::File => " -r -F",
                Argument::Directory => " -x -a '(__fish_complete_directories)'",
                Argument::Text(_) => " -x",
            };
            let help = help.replace('\\', "\\\\").replace('\'', "\\'");
            text += &format!("{seen} -l {name}{action} -d '{help}'\n");
        }
        if command == "ca-hash" {
            text += &format!("{seen} -F\n");
        }
    }
    text
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("image/completions")
}

#[test]
fn completions_are_those_of_the_table() {
    for (name, text) in [("nodestrap.bash", bash()), ("_nodestrap", zsh()), ("nodestrap.fish", fish())] {
        let file = folder().join(name);
        if std::env::var_os("COMPLETIONS").is_some_and(|what| what == "write") {
            std::fs::write(&file, &text).unwrap();
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            there == text,
            "{name} is not of today's flags: COMPLETIONS=write cargo test --lib completions"
        );
    }
}

/// What a shell prints for a script, if the machine has the shell. With `CI=true` it must have it.
fn shell(program: &str, arguments: &[&str], script: &str) -> Option<String> {
    let mut command = Command::new("timeout");
    let output =
        command.args(["60", program]).args(arguments).args(["-c", script]).current_dir(folder()).output();
    let output = output.ok().filter(|output| output.status.code() != Some(127));
    let Some(output) = output else {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "{program} is missing: .ci/setup-faults"
        );
        return None;
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{program}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What is typed, and what is among the offers and what is not.
const TYPED: [(&str, &[&str], &[&str]); 8] = [
    ("", &["join", "ca-hash", "verify", "check", "--help"], &["--token"]),
    ("ch", &["check"], &["join"]),
    ("join --discovery-f", &["--discovery-file"], &["--discovery-token"]),
    ("join --token", &["--token", "--token-file"], &["--discovery-token"]),
    ("check --r", &["--root", "--report"], &["--replace"]),
    ("join --config nodestrap.f", &["nodestrap.fish"], &["nodestrap.bash"]),
    ("join --timeout 5s --san x --with-serv", &["--with-serving-cert"], &["--with-client-cert"]),
    ("ca-hash nodestrap.b", &["nodestrap.bash"], &["nodestrap.fish"]),
];

fn offers(program: &str, typed: &str, offered: &str, expected: &[&str], others: &[&str]) {
    let offered: Vec<&str> =
        offered.lines().map(|line| line.split('\t').next().unwrap().trim_end()).collect();
    for word in expected {
        assert!(offered.contains(word), "{program}: {typed:?} offers {offered:?}, without {word}");
    }
    for word in others {
        assert!(!offered.contains(word), "{program}: {typed:?} offers {word}");
    }
}

#[test]
fn bash_completes_commands_flags_and_files() {
    for (typed, expected, others) in TYPED {
        let words: Vec<_> = ["nodestrap"].into_iter().chain(typed.split(' ')).collect();
        let last = words.len() - 1;
        let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            "source ./nodestrap.bash; COMP_WORDS=({}); COMP_CWORD={last}; _nodestrap; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" ")
        );
        let Some(offered) = shell("bash", &["--norc"], &script) else { return };
        offers("bash", typed, &offered, expected, others);
    }
    // As readline splits it.
    let script = "source ./nodestrap.bash; COMP_WORDS=(nodestrap join --config = nodestrap.f); COMP_CWORD=4; _nodestrap; \
                  echo \"${COMPREPLY[@]}\"; COMP_WORDS=(nodestrap join --config =); COMP_CWORD=3; _nodestrap; echo \"${#COMPREPLY[@]}\"";
    let offered = shell("bash", &["--norc"], script).unwrap();
    assert_eq!(offered, "nodestrap.fish\n3\n");
}

#[test]
fn fish_completes_commands_flags_and_files() {
    for (typed, expected, others) in TYPED {
        let script = format!("source ./nodestrap.fish; complete -C 'nodestrap {typed}'");
        let Some(offered) = shell("fish", &["--no-config"], &script) else { return };
        // Dashes are offered behind a dash only.
        let expected: Vec<_> =
            expected.iter().copied().filter(|word| !typed.is_empty() || !word.starts_with('-')).collect();
        offers("fish", typed, &offered, &expected, others);
    }
}

/// In a terminal of its own, since completion is a part of line editing there.
#[test]
fn zsh_completes_commands_flags_and_files() {
    let typed = [
        ("join --discovery-f", "--discovery-file  -- "),
        ("chec", "nodestrap check "),
        ("check --roo", "--root  -- "),
        ("join --config=nodestrap.f", "--config=nodestrap.fish "),
        ("ca-hash nodestrap.b", "nodestrap.bash "),
    ];
    let mut script = "zmodload zsh/zpty; zpty shell 'TERM=dumb zsh -f -i'
        zpty -w shell 'PROMPT=; unsetopt beep; fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; print rea\"\"dy'
        zpty -r shell line '*ready*'\n"
        .to_owned();
    for (typed, expected) in typed {
        script += &format!(
            "zpty -w -n shell $'\\x15nodestrap {typed}\\t'; zpty -r shell line '*{expected}*' && print found\n"
        );
    }
    script += "zpty -d shell";
    let Some(found) = shell("zsh", &["-f"], &script) else { return };
    assert_eq!(found, "found\n".repeat(typed.len()));
}
