//! What happens to files: slips of the pen in their syntax, bytes that have changed.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::random::Random;
use crate::support::pki::pem_text;

/// Ways of damage.
pub struct Corruption;

impl Corruption {
    /// Something of YAML that JSON does not have, or that both parsers could take for something else.
    pub fn yaml(random: &mut Random, text: &str) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let at = random.below(lines.len());
        let line = lines[at];
        let (key, value) = line.split_once(": ").unwrap_or((line, ""));
        let spaces = &line[..line.len() - line.trim_start().len()];
        let changed = match random.below(14) {
            0 => format!("{key}: &anchor {value}"),
            1 => format!("{key}: !!str {value}"),
            2 => format!("{key}: \"{value}\""),
            3 => format!("{key}: '{value}'"),
            4 => format!("{key}: |\n{spaces}    {value}"),
            5 => format!("{key}: >-\n{spaces}    {value}"),
            6 => format!(
                "{key}: {}",
                random.pick(&[
                    "yes",
                    "0x1F",
                    "010",
                    "1e3",
                    ".inf",
                    "2001-01-01",
                    "~",
                    "1_000",
                    "12:30:45",
                    "0o7",
                    "-0",
                    "+1",
                    "NULL",
                    "On",
                    "y"
                ])
            ),
            7 => format!("{line} # a comment"),
            8 => format!("{line}\n{line}"),
            9 => format!("{key}:\t{value}"),
            10 => format!("---\n{line}"),
            11 => format!("{line}\n..."),
            12 => format!("{spaces}? {}\n{spaces}: {value}", key.trim()),
            _ => format!("{spaces}<<: {{x: y}}\n{line}"),
        };
        let mut all: Vec<&str> = lines[..at].to_vec();
        all.push(&changed);
        all.extend(&lines[at + 1..]);
        all.join("\n") + "\n"
    }

    /// Bytes of the text, or of the DER inside, have changed.
    pub fn pem(random: &mut Random, text: &[u8]) -> Vec<u8> {
        let Ok(blocks) = pem::parse_many(text) else { return text.to_vec() };
        if blocks.is_empty() || random.once_in(3) {
            return random.slips(&String::from_utf8_lossy(text)).into_bytes();
        }
        let hit = random.below(blocks.len());
        let mut all = String::new();
        for (at, block) in blocks.iter().enumerate() {
            let mut der = block.contents().to_vec();
            if at == hit && !der.is_empty() {
                Self::bytes(random, &mut der);
            }
            all += &pem_text(block.tag(), &der);
        }
        all.into_bytes()
    }

    /// One byte or two are others, are missing, or are there too much.
    pub fn bytes(random: &mut Random, bytes: &mut Vec<u8>) {
        for _ in 0..=random.below(2) {
            let at = random.below(bytes.len());
            match random.below(5) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.bytes(1)[0],
                2 if bytes.len() > 1 => {
                    bytes.remove(at);
                }
                3 => bytes.truncate(at + 1),
                _ => bytes.push(0),
            }
        }
    }

    /// Base64 as other programs write it.
    pub fn base64(random: &mut Random, bytes: &[u8]) -> String {
        let text = BASE64_STANDARD.encode(bytes);
        match random.below(6) {
            0 => {
                let lines: Vec<&str> = text
                    .as_bytes()
                    .chunks(76)
                    .map(|line| std::str::from_utf8(line).expect("ASCII"))
                    .collect();
                lines.join("\n") + "\n"
            }
            1 => text.trim_end_matches('=').to_owned(),
            2 => text.replace('+', "-").replace('/', "_"),
            3 => random.slips(&text),
            _ => text,
        }
    }
}
