//! What a machine is told: a JoinConfiguration, a join line, the kernel's command line.

use std::ffi::OsString;

use nodestrap::testing::cli::{Invocation, SettingSources};
use nodestrap::testing::config::Command;
use nodestrap::testing::error::ErrorKind;
use nodestrap::testing::secret::Secret;

use super::{fixtures, is_one_line, text};

/// Anything that is no JoinConfiguration is an error of usage; a line break behind it changes nothing.
pub fn join_configuration(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    let given = |text: &str| SettingSources {
        config: Some(Secret::new(text.to_owned())),
        ..SettingSources::default()
    };
    let (said, again) = (say(&given(text)), say(&given(&format!("{text}\n"))));
    // A block scalar at the end may take the line break for its own, and errors name lines.
    if !text.contains(['|', '>']) && !said.as_ref().is_err_and(|error| error.contains("invalid YAML")) {
        assert_eq!(said, again);
    }
    said.is_ok()
}

/// The same of join lines; `kubeadm` before one changes nothing either, and its token is in no output.
pub fn join_line(data: &[u8]) -> bool {
    let Some(line) = text(data) else { return false };
    let given =
        |line: &str| SettingSources { join: Some(Secret::new(line.to_owned())), ..SettingSources::default() };
    let said = say(&given(line));
    hides_the_token(line, &said);
    assert_eq!(said, say(&given(&format!(" {line}\n"))));
    if let Some(rest) = line.strip_prefix("kubeadm join ") {
        assert_eq!(said, say(&given(&format!("join {rest}"))));
    }
    said.is_ok()
}

/// The same of the kernel's command line; one that does not speak of this program says nothing.
pub fn kernel_command_line(data: &[u8]) -> bool {
    let Some(line) = text(data) else { return false };
    let given = |line: &str| SettingSources {
        kernel_command_line: Some(Secret::new(line.to_owned())),
        ..SettingSources::default()
    };
    let said = say(&given(line));
    hides_the_token(line, &said);
    if !line.contains("nodestrap.") {
        assert_eq!(said, say(&SettingSources::default()));
    }
    if line.matches('"').count() % 2 == 0 {
        assert_eq!(said, say(&given(&format!("quiet {line}\n"))));
    }
    said.is_ok()
}

/// What a join says that is told this: its settings, or what is wrong.
fn say(surroundings: &SettingSources) -> Result<String, String> {
    let arguments = ["join", "--print-config", "--root", "/nowhere"].map(OsString::from);
    let mut invocation = Invocation::default();
    match invocation.read(arguments, surroundings).and_then(|()| Command::of(&invocation)) {
        Ok(Command::PrintConfig(_, text)) => Ok(text),
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
            is_one_line(&error.to_string());
            Err(error.to_string())
        }
    }
}

/// The secret part of the token, where it stands behind its flag and nowhere else, is not repeated.
fn hides_the_token(line: &str, said: &Result<String, String>) {
    let (Ok(said) | Err(said)) = said;
    let mut words = line.split(' ').skip_while(|word| *word != "--token");
    let behind_its_flag = words.nth(1) == Some(fixtures::TOKEN);
    if behind_its_flag && line.matches(fixtures::SECRET).count() == 1 {
        assert!(!said.contains(fixtures::SECRET), "{said}");
    }
}
