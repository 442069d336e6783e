//! Units of `image/systemd/jwt` whose command is a shell script, as systemd reads them (systemd.syntax(7), systemd.service(5)).

use std::path::Path;
use std::process::Command;

/// The script of a unit, and the environment that the unit gives to it.
pub struct ScriptUnit {
    script: String,
    environment: Vec<(String, String)>,
}

impl ScriptUnit {
    /// Reads `image/systemd/jwt/NAME`.
    ///
    /// # Panics
    /// When its ExecStart is anything but `/bin/sh -euc '…'`, or has an escape that systemd does not know.
    pub fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("image/systemd/jwt").join(name);
        let text = std::fs::read_to_string(path).expect("a unit");
        let text = text.replace("\\\n", " ");
        let values = |key: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let [command] = &values("ExecStart")[..] else { panic!("one ExecStart") };
        let script = command.strip_prefix("/bin/sh -euc '").and_then(|rest| rest.strip_suffix('\''));
        let script = unescape(script.expect("a shell script"));
        let environment = values("Environment")
            .iter()
            .flat_map(|line| line.split(' '))
            .map(|pair| pair.split_once('=').expect("NAME=VALUE"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { script, environment }
    }

    /// The script, run by this shell in a directory with nothing in its environment but the unit's, a path, and what
    /// `/etc/default/nodestrap-jwt` sets.
    pub fn command(&self, shell: &[&str], directory: &Path, settings: &[(&str, &str)]) -> Command {
        let (program, arguments) = shell.split_first().expect("a shell");
        let mut command = Command::new(program);
        command.args(arguments).args(["-euc", &self.script]).current_dir(directory).env_clear();
        let own = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        command.env("PATH", "/usr/bin:/bin").envs(own).envs(settings.iter().copied());
        command
    }
}

/// What systemd makes of a word in single quotes: `$$` is a dollar sign, `%%` a percent sign, and two backslashes are one.
fn unescape(word: &str) -> String {
    let (mut text, mut rest) = (String::new(), word.chars());
    while let Some(character) = rest.next() {
        assert_ne!(character, '\'', "a quote inside quotes");
        if ['$', '%', '\\'].contains(&character) {
            assert_eq!(rest.next(), Some(character), "an escape that is not one, after {text}");
        }
        text.push(character);
    }
    text
}
