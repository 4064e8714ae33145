//! A cipher suite's number -> how its records are protected (IANA TLS parameters; RFC 5246, 5288, 5289, 7905, 8446).

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
}

impl Hash {
    #[cfg(feature = "tls")]
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
    /// The length of the AES key, and the hash of the MAC.
    AesCbc(usize, Hash),
}

impl Cipher {
    #[cfg(feature = "tls")]
    pub(super) const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
            Self::AesCbc(len, _) => len,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) cipher: Cipher,
    /// Of the key derivation.
    pub(super) prf: Hash,
}

/// `None` for suites whose records are not read: CCM, ARIA, Camellia, 3DES, RC4, NULL.
pub(super) const fn suite(number: u16) -> Option<Suite> {
    use Cipher::{Aes128Gcm, Aes256Gcm, AesCbc, ChaCha20Poly1305};
    use Hash::{Sha1, Sha256, Sha384};
    let (cipher, prf) = match number {
        0x1301 => (Aes128Gcm, Sha256),
        0x1302 => (Aes256Gcm, Sha384),
        0x1303 => (ChaCha20Poly1305, Sha256),
        0x009C | 0x009E | 0x00A0 | 0x00A2 | 0x00A4 | 0x00A6 | 0x00A8 | 0x00AA | 0x00AC | 0xC02B
        | 0xC02D | 0xC02F | 0xC031 | 0xD001 => (Aes128Gcm, Sha256),
        0x009D | 0x009F | 0x00A1 | 0x00A3 | 0x00A5 | 0x00A7 | 0x00A9 | 0x00AB | 0x00AD | 0xC02C
        | 0xC02E | 0xC030 | 0xC032 | 0xD002 => (Aes256Gcm, Sha384),
        0xCCA8..=0xCCAE => (ChaCha20Poly1305, Sha256),
        0x002F..=0x0034 | 0x008C | 0xC004 | 0xC009 | 0xC00E | 0xC013 | 0xC018 | 0xC035 => {
            (AesCbc(16, Sha1), Sha256)
        }
        0x0035..=0x003A | 0x008D | 0xC005 | 0xC00A | 0xC00F | 0xC014 | 0xC019 | 0xC036 => {
            (AesCbc(32, Sha1), Sha256)
        }
        0x003C
        | 0x003E..=0x0040
        | 0x0067
        | 0x006C
        | 0x00AE
        | 0xC023
        | 0xC025
        | 0xC027
        | 0xC029
        | 0xC037 => (AesCbc(16, Sha256), Sha256),
        0x003D | 0x0068..=0x006B | 0x006D => (AesCbc(32, Sha256), Sha256),
        0x00AF | 0xC024 | 0xC026 | 0xC028 | 0xC02A | 0xC038 => {
            // RFC 5487 gives 0x00AF a 32-byte key as RFC 5289 gives the others.
            (AesCbc(32, Sha384), Sha384)
        }
        _ => return None,
    };
    Some(Suite { cipher, prf })
}

/// Plaintext bytes of a record of `len` bytes, where its protection adds a fixed number (TLS 1.3: without its inner type,
/// and with its padding, if any); `None` for block ciphers and what is not known.
pub(super) const fn plain_len(version: u16, number: u16, len: usize) -> Option<usize> {
    let extra = if version >= super::hello::TLS13 {
        // Tag and inner type (RFC 8446 5.2).
        17
    } else {
        match suite(number) {
            // Explicit nonce and tag (RFC 5288 3).
            Some(Suite {
                cipher: Cipher::Aes128Gcm | Cipher::Aes256Gcm,
                ..
            }) => 24,
            Some(Suite {
                cipher: Cipher::ChaCha20Poly1305,
                ..
            }) => 16,
            _ => return None,
        }
    };
    len.checked_sub(extra)
}
