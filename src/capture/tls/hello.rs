//! The handshake messages of a TLS leg that are readable -> what both sides agreed on: version, cipher suite, names (RFC 5246 7.4, RFC 8446 4).

/// Types of the messages that are looked into (RFC 8446 4).
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const ENCRYPTED_EXTENSIONS: u8 = 8;
pub(super) const FINISHED: u8 = 20;
pub(super) const KEY_UPDATE: u8 = 24;

/// A message beyond this is passed over.
const MAX_MESSAGE: usize = 16 * 1024;
/// Of a name, bytes that are kept.
const MAX_NAME: usize = 255;
/// The random of a HelloRetryRequest (RFC 8446 4.1.3).
const RETRY: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
    0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

pub(super) const TLS12: u16 = 0x0303;
pub(super) const TLS13: u16 = 0x0304;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientHello {
    pub(super) random: [u8; 32],
    /// Host name (RFC 6066 3).
    pub(super) server_name: Option<String>,
    /// Protocols offered (RFC 7301), `, ` between them.
    pub(super) alpn: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerHello {
    pub(super) random: [u8; 32],
    /// As `supported_versions` names it, else the legacy field.
    pub(super) version: u16,
    pub(super) cipher: u16,
    pub(super) alpn: Option<String>,
    /// RFC 7366.
    pub(super) encrypt_then_mac: bool,
    /// It asks for another ClientHello.
    pub(super) retry: bool,
}

/// A message that was collected whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) body: Vec<u8>,
}

/// Takes a flow's handshake bytes and gives the messages that matter, however records cut them.
#[derive(Debug, Default)]
pub(super) struct Messages {
    held: Vec<u8>,
    skip: usize,
}

impl Messages {
    pub(super) fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<Message>) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let step = self.skip.min(bytes.len());
                self.skip -= step;
                bytes = bytes.get(step..).unwrap_or_default();
                continue;
            }
            let wanted = self.wanted();
            let take = wanted.saturating_sub(self.held.len()).min(bytes.len());
            self.held
                .extend_from_slice(bytes.get(..take).unwrap_or_default());
            bytes = bytes.get(take..).unwrap_or_default();
            let &[kind, a, b, c, ..] = self.held.as_slice() else {
                continue;
            };
            let len = (usize::from(a) << 16) | (usize::from(b) << 8) | usize::from(c);
            let looked_into = matches!(
                kind,
                CLIENT_HELLO | SERVER_HELLO | ENCRYPTED_EXTENSIONS | FINISHED | KEY_UPDATE
            );
            if !looked_into || len > MAX_MESSAGE {
                self.skip = len;
                self.held = Vec::new();
            } else if self.held.len() == 4 + len {
                let mut body = std::mem::take(&mut self.held);
                body.drain(..4);
                out.push(Message { kind, body });
            }
        }
    }

    /// Bytes that must be together before the next step.
    fn wanted(&self) -> usize {
        match *self.held.as_slice() {
            [_, a, b, c, ..] => {
                4 + ((usize::from(a) << 16) | (usize::from(b) << 8) | usize::from(c))
            }
            _ => 4,
        }
    }

    /// Bytes are lost: what was begun is given up.
    pub(super) fn lose(&mut self) {
        self.held = Vec::new();
        self.skip = 0;
    }
}

/// Reads fields off the front of a message.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn take(&mut self, n: usize) -> Option<&'b [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    fn number(&mut self, bytes: usize) -> Option<usize> {
        self.take(bytes)
            .map(|l| l.iter().fold(0, |v, &x| v << 8 | usize::from(x)))
    }
    /// A field with its length before it.
    fn vector(&mut self, width: usize) -> Option<&'b [u8]> {
        let n = self.number(width)?;
        self.take(n)
    }
    fn random(&mut self) -> Option<[u8; 32]> {
        self.take(32)?.try_into().ok()
    }
    /// Extensions, as far as they are there.
    fn extensions(&mut self) -> Vec<(usize, &'b [u8])> {
        let mut all = Vec::new();
        let n = self.number(2).unwrap_or(0).min(self.0.len());
        let mut list = Fields(self.take(n).unwrap_or_default());
        while let Some(kind) = list.number(2) {
            let Some(body) = list.vector(2) else { break };
            all.push((kind, body));
        }
        all
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..bytes.len().min(MAX_NAME)).unwrap_or_default()).into_owned()
}

fn protocols(body: &[u8]) -> Option<String> {
    let mut list = Fields(Fields(body).vector(2)?);
    let mut names: Vec<String> = Vec::new();
    while let Some(name) = list.vector(1) {
        if names.len() < 8 {
            names.push(text(name));
        }
    }
    (!names.is_empty()).then(|| names.join(", "))
}

pub(super) fn client_hello(body: &[u8]) -> Option<ClientHello> {
    let mut b = Fields(body);
    b.take(2)?;
    let random = b.random()?;
    // Session, cipher suites, compressions.
    for width in [1, 2, 1] {
        b.vector(width)?;
    }
    let mut hello = ClientHello {
        random,
        server_name: None,
        alpn: None,
    };
    for (kind, body) in b.extensions() {
        match kind {
            0 => {
                let mut f = Fields(body);
                hello.server_name = f.take(3).and_then(|_| f.vector(2)).map(text);
            }
            16 => hello.alpn = protocols(body),
            _ => {}
        }
    }
    Some(hello)
}

pub(super) fn server_hello(body: &[u8]) -> Option<ServerHello> {
    let mut b = Fields(body);
    let legacy = u16::try_from(b.number(2)?).ok()?;
    let random = b.random()?;
    b.vector(1)?;
    let cipher = u16::try_from(b.number(2)?).ok()?;
    b.take(1)?;
    let mut hello = ServerHello {
        random,
        version: legacy,
        cipher,
        alpn: None,
        encrypt_then_mac: false,
        retry: random == RETRY,
    };
    for (kind, body) in b.extensions() {
        match (kind, body) {
            (43, &[high, low]) => hello.version = u16::from_be_bytes([high, low]),
            (16, body) => hello.alpn = protocols(body),
            (22, _) => hello.encrypt_then_mac = true,
            _ => {}
        }
    }
    Some(hello)
}

/// The protocol that the server chose, which TLS 1.3 tells under encryption only.
pub(super) fn chosen_protocol(encrypted_extensions: &[u8]) -> Option<String> {
    Fields(encrypted_extensions)
        .extensions()
        .into_iter()
        .find(|(kind, _)| *kind == 16)
        .and_then(|(_, body)| protocols(body))
}
