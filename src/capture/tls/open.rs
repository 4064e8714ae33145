//! Protected records of one flow, and the secrets of its session -> what is inside them (RFC 5246 6.2.3, RFC 7905, RFC 7366, RFC 8446 5.2).

use super::keylog::{Label, Secrets};
use super::suite::{Cipher, Hash, Suite};
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};
use chacha20poly1305::ChaCha20Poly1305;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384};

const TAG: usize = 16;
const BLOCK: usize = 16;
/// Records that may be missing before one that is tried.
const MAX_SLACK: u64 = 1024;
/// Ciphertext that may be tried in vain: without a bound, a flow that was cut would cost its square.
const MAX_TRIED: usize = 8 * 1024 * 1024;

#[derive(Clone)]
enum Seal {
    Aes128(Box<Aes128Gcm>),
    Aes256(Box<Aes256Gcm>),
    ChaCha(Box<ChaCha20Poly1305>),
    Cbc {
        key: Vec<u8>,
        mac: Vec<u8>,
        hash: Hash,
        encrypt_then_mac: bool,
    },
}

/// Keys of one flow, from one change of them to the next.
#[derive(Clone)]
struct Keys {
    seal: Seal,
    iv: [u8; 12],
    /// TLS 1.3.
    modern: bool,
    /// Of TLS 1.3: what the next keys follow from.
    secret: Vec<u8>,
}

/// Opens the records of one flow in their order, and finds its place again behind lost ones.
pub(super) struct Opener {
    suite: Suite,
    keys: Keys,
    /// Number of the next record (RFC 5246 6.1).
    next: u64,
    /// So many records before it may be missing.
    slack: u64,
    /// Secrets of TLS 1.3 that come into use later.
    later: Vec<Vec<u8>>,
    /// The explicit nonce of the last GCM record, which most senders count up.
    nonce: Option<u64>,
    tried: usize,
    pub(super) opened: u64,
    pub(super) failed: u64,
}

impl std::fmt::Debug for Opener {
    /// Keys are not printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Opener({:?}, {} opened, {} failed)",
            self.suite.cipher, self.opened, self.failed
        )
    }
}

impl Opener {
    /// Of the client's and of the server's flow, from the master secret on (RFC 5246 6.3).
    pub(super) fn tls12(
        suite: Suite,
        encrypt_then_mac: bool,
        secrets: &Secrets,
        client_random: &[u8; 32],
        server_random: &[u8; 32],
    ) -> Option<[Self; 2]> {
        let master = secrets.get(Label::Master).filter(|m| m.len() == 48)?;
        let (key_len, mac_len, iv_len) = match suite.cipher {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => (suite.cipher.key_len(), 0, 4),
            Cipher::ChaCha20Poly1305 => (32, 0, 12),
            Cipher::AesCbc(key, hash) => (key, hash.len(), 0),
        };
        let mut block = vec![0; 2 * (key_len + mac_len + iv_len)];
        let seed = [&b"key expansion"[..], server_random, client_random].concat();
        prf(suite.prf, master, &seed, &mut block);
        let mut rest = block.as_slice();
        let mut take = |n: usize| {
            let (head, tail) = rest.split_at_checked(n).unwrap_or_default();
            rest = tail;
            head
        };
        let macs = [take(mac_len), take(mac_len)];
        let keys = [take(key_len), take(key_len)];
        let ivs = [take(iv_len), take(iv_len)];
        let opener = |side: usize| {
            let mut iv = [0; 12];
            iv.get_mut(..iv_len)?.copy_from_slice(ivs.get(side)?);
            let seal = seal(
                suite.cipher,
                keys.get(side)?,
                macs.get(side)?,
                encrypt_then_mac,
            )?;
            Some(Self::new(
                suite,
                Keys {
                    seal,
                    iv,
                    modern: false,
                    secret: Vec::new(),
                },
                Vec::new(),
            ))
        };
        Some([opener(0)?, opener(1)?])
    }

    /// Of one flow, from the secrets that it uses one after the other (RFC 8446 7.3).
    pub(super) fn tls13(suite: Suite, secrets: &Secrets, labels: [Label; 2]) -> Option<Self> {
        let mut all = labels
            .into_iter()
            .filter_map(|l| secrets.get(l))
            .filter(|s| s.len() == suite.prf.len())
            .map(<[u8]>::to_vec);
        let first = all.next()?;
        let keys = modern(suite, first)?;
        Some(Self::new(suite, keys, all.collect()))
    }

    const fn new(suite: Suite, keys: Keys, later: Vec<Vec<u8>>) -> Self {
        Self {
            suite,
            keys,
            next: 0,
            slack: 0,
            later,
            nonce: None,
            tried: 0,
            opened: 0,
            failed: 0,
        }
    }

    /// The first secret served its time: the handshake is over.
    pub(super) fn handshake_done(&mut self) {
        if !self.later.is_empty() {
            let secret = self.later.remove(0);
            self.change(secret);
        }
    }

    /// The sender announced new keys (RFC 8446 7.2).
    pub(super) fn update(&mut self) {
        let next = updated(self.suite.prf, &self.keys.secret);
        self.change(next);
    }

    fn change(&mut self, secret: Vec<u8>) {
        if let Some(keys) = modern(self.suite, secret) {
            self.keys = keys;
            self.next = 0;
            self.slack = 0;
        }
    }

    /// `bytes` of records are not in the capture.
    pub(super) fn lose(&mut self, bytes: u64) {
        // The smallest record: header, tag, and one byte.
        self.slack = self.slack.saturating_add(bytes / 22 + 1).min(MAX_SLACK);
    }

    /// Opens a record: its inner type is returned, its plaintext left in `plain`. `None` where no key fits.
    pub(super) fn open(&mut self, head: [u8; 5], body: &[u8], plain: &mut Vec<u8>) -> Option<u8> {
        let hint = self.by_nonce(body);
        if let Some(kind) = hint
            .into_iter()
            .chain([self.next])
            .find_map(|n| Some((n, attempt(&self.keys, n, head, body, plain)?)))
            .map(|(n, kind)| self.accept(n, kind, body))
        {
            return Some(kind);
        }
        self.tried += body.len();
        for ahead in 1..=self.slack {
            if self.tried > MAX_TRIED {
                break;
            }
            self.tried += body.len();
            let number = self.next.saturating_add(ahead);
            if let Some(kind) = attempt(&self.keys, number, head, body, plain) {
                return Some(self.accept(number, kind, body));
            }
        }
        if let Some(kind) = self.with_next_keys(head, body, plain) {
            return Some(kind);
        }
        self.failed += 1;
        // It took a number, whosever it was.
        self.slack = self.slack.saturating_add(1).min(MAX_SLACK);
        None
    }

    /// A record behind a change of keys that nobody saw.
    fn with_next_keys(&mut self, head: [u8; 5], body: &[u8], plain: &mut Vec<u8>) -> Option<u8> {
        if !self.keys.modern || self.tried > MAX_TRIED {
            return None;
        }
        let secret = match self.later.first() {
            Some(secret) => secret.clone(),
            None if self.slack > 0 && self.opened > 0 => updated(self.suite.prf, &self.keys.secret),
            None => return None,
        };
        let keys = modern(self.suite, secret)?;
        for number in 0..=self.slack {
            self.tried += body.len();
            if self.tried > MAX_TRIED {
                return None;
            }
            if let Some(kind) = attempt(&keys, number, head, body, plain) {
                if !self.later.is_empty() {
                    self.later.remove(0);
                }
                self.keys = keys;
                return Some(self.accept(number, kind, body));
            }
        }
        None
    }

    fn accept(&mut self, number: u64, kind: u8, body: &[u8]) -> u8 {
        self.next = number.saturating_add(1);
        self.slack = 0;
        self.opened += 1;
        self.tried = 0;
        self.nonce = body.first_chunk().map(|b| u64::from_be_bytes(*b));
        kind
    }

    /// The number that the explicit nonce tells, where records are missing.
    fn by_nonce(&self, body: &[u8]) -> Option<u64> {
        let gcm = matches!(self.keys.seal, Seal::Aes128(_) | Seal::Aes256(_));
        if self.slack == 0 || self.keys.modern || !gcm {
            return None;
        }
        let now = u64::from_be_bytes(*body.first_chunk()?);
        let ahead = now.wrapping_sub(self.nonce?);
        (1..1 << 20)
            .contains(&ahead)
            .then(|| self.next.saturating_add(ahead - 1))
    }
}

fn seal(cipher: Cipher, key: &[u8], mac: &[u8], encrypt_then_mac: bool) -> Option<Seal> {
    Some(match cipher {
        Cipher::Aes128Gcm => Seal::Aes128(Box::new(Aes128Gcm::new_from_slice(key).ok()?)),
        Cipher::Aes256Gcm => Seal::Aes256(Box::new(Aes256Gcm::new_from_slice(key).ok()?)),
        Cipher::ChaCha20Poly1305 => {
            Seal::ChaCha(Box::new(ChaCha20Poly1305::new_from_slice(key).ok()?))
        }
        Cipher::AesCbc(_, hash) => Seal::Cbc {
            key: key.to_vec(),
            mac: mac.to_vec(),
            hash,
            encrypt_then_mac,
        },
    })
}

fn modern(suite: Suite, secret: Vec<u8>) -> Option<Keys> {
    let mut key = vec![0; suite.cipher.key_len()];
    let mut iv = [0; 12];
    expand_label(suite.prf, &secret, b"key", &mut key)?;
    expand_label(suite.prf, &secret, b"iv", &mut iv)?;
    let seal = match suite.cipher {
        Cipher::AesCbc(..) => return None,
        cipher => seal(cipher, &key, &[], false)?,
    };
    Some(Keys {
        seal,
        iv,
        modern: true,
        secret,
    })
}

fn updated(hash: Hash, secret: &[u8]) -> Vec<u8> {
    let mut next = vec![0; hash.len()];
    let _ = expand_label(hash, secret, b"traffic upd", &mut next);
    next
}

/// HKDF-Expand-Label with an empty context (RFC 8446 7.1).
fn expand_label(hash: Hash, secret: &[u8], label: &[u8], out: &mut [u8]) -> Option<()> {
    let len = u16::try_from(out.len()).ok()?;
    let label_len = u8::try_from(label.len() + 6).ok()?;
    let info = [&len.to_be_bytes()[..], &[label_len], b"tls13 ", label, &[0]].concat();
    match hash {
        Hash::Sha384 => Hkdf::<Sha384>::from_prk(secret)
            .ok()?
            .expand(&info, out)
            .ok(),
        _ => Hkdf::<Sha256>::from_prk(secret)
            .ok()?
            .expand(&info, out)
            .ok(),
    }
}

/// The pseudorandom function of TLS 1.2; `seed` has the label before it (RFC 5246 5).
fn prf(hash: Hash, secret: &[u8], seed: &[u8], out: &mut [u8]) {
    let mut a = seed.to_vec();
    for chunk in out.chunks_mut(hash.len()) {
        a = hmac(hash, secret, &[&a]);
        let block = hmac(hash, secret, &[&a, seed]);
        for (to, from) in chunk.iter_mut().zip(block) {
            *to = from;
        }
    }
}

fn hmac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    fn run<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        // HMAC takes keys of any length (RFC 2104 2).
        let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else {
            return Vec::new();
        };
        parts.iter().for_each(|p| mac.update(p));
        mac.finalize().into_bytes().to_vec()
    }
    match hash {
        Hash::Sha1 => run::<Hmac<Sha1>>(key, parts),
        Hash::Sha256 => run::<Hmac<Sha256>>(key, parts),
        Hash::Sha384 => run::<Hmac<Sha384>>(key, parts),
    }
}

/// Tries to open a record as the flow's `number`th under `keys`.
fn attempt(
    keys: &Keys,
    number: u64,
    head: [u8; 5],
    body: &[u8],
    plain: &mut Vec<u8>,
) -> Option<u8> {
    plain.clear();
    if let Seal::Cbc {
        key,
        mac,
        hash,
        encrypt_then_mac,
    } = &keys.seal
    {
        let numbered = [&number.to_be_bytes()[..], head.get(..3)?].concat();
        return block_cipher((key, mac, *hash, *encrypt_then_mac), &numbered, body, plain)
            .then_some(head[0]);
    }
    let mut nonce = keys.iv;
    let mut sealed = body;
    if keys.modern || matches!(keys.seal, Seal::ChaCha(_)) {
        for (n, s) in nonce.iter_mut().skip(4).zip(number.to_be_bytes()) {
            *n ^= s;
        }
    } else {
        let (explicit, rest) = body.split_at_checked(8)?;
        nonce.get_mut(4..)?.copy_from_slice(explicit);
        sealed = rest;
    }
    let (text, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
    let aad = if keys.modern {
        head.to_vec()
    } else {
        let len = u16::try_from(text.len()).ok()?;
        [
            &number.to_be_bytes()[..],
            head.get(..3)?,
            &len.to_be_bytes(),
        ]
        .concat()
    };
    plain.extend_from_slice(text);
    let tag: [u8; TAG] = tag.try_into().ok()?;
    let (nonce, tag) = (nonce.into(), tag.into());
    let buffer = plain.as_mut_slice().into();
    let opened = match &keys.seal {
        Seal::Aes128(c) => c.decrypt_inout_detached(&nonce, &aad, buffer, &tag),
        Seal::Aes256(c) => c.decrypt_inout_detached(&nonce, &aad, buffer, &tag),
        Seal::ChaCha(c) => c.decrypt_inout_detached(&nonce, &aad, buffer, &tag),
        Seal::Cbc { .. } => return None,
    };
    opened.ok()?;
    if !keys.modern {
        return Some(head[0]);
    }
    // The inner type stands behind the content and before the padding (RFC 8446 5.4).
    let end = plain.iter().rposition(|&b| b != 0)?;
    let kind = plain.get(end).copied();
    plain.truncate(end);
    kind
}

/// AES-CBC with HMAC (RFC 5246 6.2.3.2), the MAC inside the ciphertext or behind it (RFC 7366).
fn block_cipher(
    (key, mac, hash, encrypt_then_mac): (&[u8], &[u8], Hash, bool),
    numbered: &[u8],
    body: &[u8],
    plain: &mut Vec<u8>,
) -> bool {
    let with_len = |len: usize| {
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        [numbered, &len.to_be_bytes()].concat()
    };
    let mut sealed = body;
    if encrypt_then_mac {
        let Some((text, tag)) = body
            .len()
            .checked_sub(hash.len())
            .and_then(|at| body.split_at_checked(at))
        else {
            return false;
        };
        if hmac(hash, mac, &[&with_len(text.len()), text]) != tag {
            return false;
        }
        sealed = text;
    }
    let Some((iv, text)) = sealed.split_at_checked(BLOCK) else {
        return false;
    };
    if text.is_empty() || text.len() % BLOCK != 0 || !decrypt_blocks(key, iv, text, plain) {
        return false;
    }
    let padding = usize::from(plain.last().copied().unwrap_or(0));
    let Some(end) = plain.len().checked_sub(padding + 1) else {
        return false;
    };
    let padded = plain
        .get(end..)
        .unwrap_or_default()
        .iter()
        .all(|&b| usize::from(b) == padding);
    if !padded {
        return false;
    }
    plain.truncate(end);
    if encrypt_then_mac {
        return true;
    }
    let Some(end) = plain.len().checked_sub(hash.len()) else {
        return false;
    };
    let (text, tag) = plain.split_at_checked(end).unwrap_or_default();
    let right = hmac(hash, mac, &[&with_len(text.len()), text]) == tag;
    plain.truncate(end);
    right
}

fn decrypt_blocks(key: &[u8], iv: &[u8], text: &[u8], plain: &mut Vec<u8>) -> bool {
    fn run<D: BlockModeDecrypt + KeyIvInit>(
        key: &[u8],
        iv: &[u8],
        text: &[u8],
        plain: &mut Vec<u8>,
    ) -> bool {
        let Ok(mut cipher) = D::new_from_slices(key, iv) else {
            return false;
        };
        for chunk in text.chunks_exact(D::block_size()) {
            let Ok(mut block) = aes::cipher::Block::<D>::try_from(chunk) else {
                return false;
            };
            cipher.decrypt_block(&mut block);
            plain.extend_from_slice(&block);
        }
        true
    }
    match key.len() {
        16 => run::<cbc::Decryptor<aes::Aes128>>(key, iv, text, plain),
        _ => run::<cbc::Decryptor<aes::Aes256>>(key, iv, text, plain),
    }
}
