//! PEM as Go reads and writes it (`encoding/pem`): what is taken here, a kubelet that reads the same file has to find too.

use pem::Pem;

use crate::secret::Secret;

/// The label of PKCS#8 keys, which OpenSSL writes. Those of other private keys end with it.
pub const PKCS8_LABEL: &str = "PRIVATE KEY";

/// The blocks of a text, which may be untrusted, and may hold a key. `None` for what is no PEM, or none to Go: a block
/// begins and ends with lines of its own.
pub fn blocks(text: &[u8]) -> Option<Vec<Pem>> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut is_inside = false;
    let fits = lines.all(|line| {
        if line.iter().copied().all(is_base64_or_blank) {
            return true;
        }
        let (begins, ends) = (contains(line, b"-----BEGIN "), contains(line, b"-----END "));
        if begins || ends {
            is_inside = begins;
            return is_whole_edge(line);
        }
        // Of what is not base64, only blanks are passed over, and headers are read.
        !is_inside || line.iter().all(|byte| byte.is_ascii_graphic() || is_base64_or_blank(*byte))
    });
    if fits { pem::parse_many(text).ok() } else { None }
}

/// The first block that is a private key, as Go takes it (`crypto/tls`, `X509KeyPair`): its label, and what it holds.
pub fn private_key(text: &[u8]) -> Option<(String, Secret<Vec<u8>>)> {
    let block = blocks(text)?.into_iter().find(|block| block.tag().ends_with(PKCS8_LABEL))?;
    Some((block.tag().to_owned(), Secret::new(block.into_contents())))
}

/// One block, with line feeds.
pub fn encode(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}

/// What nearly every line is made of.
fn is_base64_or_blank(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b' ' | b'\t' | b'\r')
}

/// Five dashes, the word, the label, five dashes; only blanks behind.
fn is_whole_edge(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let end = line.iter().rposition(|byte| !b" \t".contains(byte)).map_or(0, |last| last + 1);
    let words = line[..end].strip_prefix(b"-----").and_then(|rest| rest.strip_suffix(b"-----"));
    words.is_some_and(|words| !contains(words, b"--") && !words.starts_with(b"-") && !words.ends_with(b"-"))
}

fn contains(line: &[u8], words: &[u8]) -> bool {
    line.windows(words.len()).any(|window| window == words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_lines_of_their_own() {
        let good = "text\r\n-----BEGIN A-----\r\nAAAA\r\n-----END A----- \t\r\ntext\n";
        assert_eq!(blocks(good.as_bytes()).unwrap().len(), 1);
        assert_eq!(blocks(b"").unwrap(), []);
        for bad in [
            &good.replace("-----BEGIN", " -----BEGIN"),
            &good.replace("-----END", " -----END"),
            &good.replace("\r\n", "\r\r\n"),
            &good.replace(" \t\r\n", "x\n"),
            &good.replace("END A-----", "END A------"),
            &good.replace("AAAA", "AA\u{2028}AA"),
            &good.replace("AAAA", "AA\u{b}AA"),
            "-----BEGIN A-----AAAA-----END A-----",
            "-----BEGIN A-----\nAAAA-----END A-----",
        ] {
            assert_eq!(blocks(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
