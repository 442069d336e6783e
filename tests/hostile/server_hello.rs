//! Answers to a ClientHello by hand: what a server says first is not encrypted, so it can be anything.

/// A record of a type (RFC 8446, section 5.1).
pub fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a record's length").to_be_bytes();
    [&[kind, 3, 3], &length[..], content].concat()
}

/// A handshake message of a type in a record of its own.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a length").to_be_bytes();
    record(HANDSHAKE, &[&[kind], &length[1..], body].concat())
}

/// An alert.
pub fn alert(level: u8, description: u8) -> Vec<u8> {
    record(21, &[level, description])
}

pub const HANDSHAKE: u8 = 22;
pub const SERVER_HELLO: u8 = 2;

/// The random that makes a ServerHello a HelloRetryRequest (RFC 8446, section 4.1.3).
pub const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// A ServerHello in its parts, all of which a client checks.
#[derive(Clone)]
pub struct Hello {
    pub version: [u8; 2],
    pub random: [u8; 32],
    /// `None`: the client's.
    pub session: Option<Vec<u8>>,
    pub suite: [u8; 2],
    pub compression: u8,
    pub extensions: Vec<(u16, Vec<u8>)>,
}

pub const SUPPORTED_VERSIONS: u16 = 43;
pub const KEY_SHARE: u16 = 51;
pub const ALPN: u16 = 16;

impl Hello {
    /// What a server of TLS 1.3 says, with a share of P-256 that is a point of that curve.
    pub fn tls13() -> Self {
        let share = [&[0, 23, 0, 65][..], &generator()].concat();
        Self {
            version: [3, 3],
            random: [7; 32],
            session: None,
            suite: [0x13, 1],
            compression: 0,
            extensions: vec![(SUPPORTED_VERSIONS, vec![3, 4]), (KEY_SHARE, share)],
        }
    }

    /// What a server of TLS 1.2 says: ECDHE with ECDSA and AES-128-GCM, extended_master_secret.
    pub fn tls12() -> Self {
        let extensions = vec![(23, Vec::new())];
        Self { suite: [0xc0, 0x2b], session: Some(Vec::new()), extensions, ..Self::tls13() }
    }

    /// With another extension, or another value of one.
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.extensions.retain(|(own, _)| *own != kind);
        self.extensions.push((kind, value.to_vec()));
        self
    }

    /// The message's body, as an answer to the first record of a client.
    pub fn body(&self, client: &[u8]) -> Vec<u8> {
        // Record header, message header, version and random: then the session's length.
        let length = usize::from(client.get(43).copied().unwrap_or_default());
        let session =
            self.session.clone().unwrap_or_else(|| client.get(44..44 + length).unwrap_or_default().to_vec());
        let mut extensions = Vec::new();
        for (kind, value) in &self.extensions {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(u16::try_from(value.len()).expect("a length").to_be_bytes());
            extensions.extend(value);
        }
        let mut body = [&self.version[..], &self.random].concat();
        body.push(u8::try_from(session.len()).expect("a length"));
        body.extend(session);
        body.extend(self.suite);
        body.push(self.compression);
        body.extend(u16::try_from(extensions.len()).expect("a length").to_be_bytes());
        body.extend(extensions);
        body
    }
}

/// The generator of P-256, uncompressed (SEC 2, section 2.4.2).
fn generator() -> Vec<u8> {
    const X: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    const Y: &str = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let digits = [X, Y].concat();
    let bytes = (0..64).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).expect("digits"));
    std::iter::once(4).chain(bytes).collect()
}
