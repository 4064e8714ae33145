//! The bytes of one flow of a TLS leg -> the server name of its ClientHello and its alerts; nothing is decrypted.

/// A ClientHello beyond this is not looked at.
const MAX_HELLO: usize = 16 * 1024;

/// Whether bytes begin a TLS record (RFC 8446 5.1): type, version 3.x, a length that is allowed.
pub(super) fn begins_record(bytes: &[u8]) -> bool {
    match bytes {
        [20..=24, 3, 0..=4, high, low, ..] => {
            let len = u16::from_be_bytes([*high, *low]);
            len > 0 && len <= 16_384 + 2048
        }
        _ => false,
    }
}

/// An alert as it stood in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alert {
    /// 1 warning, 2 fatal (RFC 8446 6); 0 where it is encrypted.
    pub(super) level: u8,
    pub(super) description: u8,
}

/// Walks the records of one flow.
#[derive(Debug, Default)]
pub(super) struct TlsFlow {
    lost: bool,
    head: [u8; 5],
    head_len: usize,
    left: usize,
    /// Body of the record at hand, as far as it is wanted.
    body: Vec<u8>,
    wanted: usize,
    records: u64,
    /// ChangeCipherSpec or application data went by: alerts are encrypted from here on.
    encrypted: bool,
}

impl TlsFlow {
    /// Takes the next bytes of the flow; alerts go to `alerts`, the server name is returned when it is met.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        cut: u32,
        alerts: &mut Vec<Alert>,
    ) -> Option<String> {
        let mut name = None;
        if self.lost {
            if !begins_record(bytes) {
                return None;
            }
            self.lost = false;
            self.encrypted = true;
            self.head_len = 0;
            self.left = 0;
        }
        while !bytes.is_empty() {
            if self.head_len < 5 {
                let take = (5 - self.head_len).min(bytes.len());
                if let (Some(to), Some(from)) = (
                    self.head.get_mut(self.head_len..self.head_len + take),
                    bytes.get(..take),
                ) {
                    to.copy_from_slice(from);
                }
                self.head_len += take;
                bytes = bytes.get(take..).unwrap_or_default();
                if self.head_len < 5 {
                    break;
                }
                if !begins_record(&self.head) {
                    self.lost = true;
                    return name;
                }
                self.left = usize::from(u16::from_be_bytes([self.head[3], self.head[4]]));
                self.wanted = match self.head[0] {
                    22 if self.records == 0 => self.left.min(MAX_HELLO),
                    21 => 2,
                    _ => 0,
                };
                self.body.clear();
                self.records += 1;
            }
            let take = self.left.min(bytes.len());
            let keep = self.wanted.saturating_sub(self.body.len()).min(take);
            self.body
                .extend_from_slice(bytes.get(..keep).unwrap_or_default());
            self.left -= take;
            bytes = bytes.get(take..).unwrap_or_default();
            if self.left == 0 {
                self.head_len = 0;
                name = self.record(alerts).or(name);
            }
        }
        if cut > 0 {
            self.gap(cut);
        }
        name
    }

    pub(super) fn gap(&mut self, count: u32) {
        let count = count as usize;
        if self.head_len < 5 || count > self.left {
            self.lost = true;
            return;
        }
        self.left -= count;
        self.wanted = 0;
        if self.left == 0 {
            self.head_len = 0;
        }
    }

    fn record(&mut self, alerts: &mut Vec<Alert>) -> Option<String> {
        let len = u16::from_be_bytes([self.head[3], self.head[4]]);
        match self.head[0] {
            20 | 23 => self.encrypted = true,
            21 if len == 2 && !self.encrypted => {
                if let [level, description] = *self.body.as_slice() {
                    alerts.push(Alert { level, description });
                }
            }
            21 => alerts.push(Alert {
                level: 0,
                description: 0,
            }),
            22 if self.records == 1 => return server_name(&std::mem::take(&mut self.body)),
            _ => {}
        }
        None
    }
}

/// The host name in a ClientHello's server_name extension (RFC 6066 3).
fn server_name(hello: &[u8]) -> Option<String> {
    fn take<'b>(b: &mut &'b [u8], n: usize) -> Option<&'b [u8]> {
        let (head, rest) = b.split_at_checked(n)?;
        *b = rest;
        Some(head)
    }
    fn length(b: &mut &[u8], bytes: usize) -> Option<usize> {
        take(b, bytes).map(|l| l.iter().fold(0, |v, &x| v << 8 | usize::from(x)))
    }
    let mut b = hello;
    if take(&mut b, 1)? != [1] {
        return None;
    }
    take(&mut b, 3 + 2 + 32)?;
    for width in [1, 2, 1] {
        let n = length(&mut b, width)?;
        take(&mut b, n)?;
    }
    let n = length(&mut b, 2)?.min(b.len());
    let mut extensions = take(&mut b, n)?;
    loop {
        let kind = length(&mut extensions, 2)?;
        let n = length(&mut extensions, 2)?;
        let mut body = take(&mut extensions, n)?;
        if kind == 0 {
            take(&mut body, 3)?;
            let n = length(&mut body, 2)?;
            return take(&mut body, n).map(|name| String::from_utf8_lossy(name).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello(name: &str) -> Vec<u8> {
        let n = name.len();
        let mut list = vec![0, (n + 3) as u8, 0, 0, n as u8];
        list.extend_from_slice(name.as_bytes());
        let mut extension = vec![0, 0, 0, list.len() as u8];
        extension.extend(list);
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0, 0, extension.len() as u8]);
        body.extend(extension);
        let mut out = vec![
            22,
            3,
            1,
            0,
            (body.len() + 4) as u8,
            1,
            0,
            0,
            body.len() as u8,
        ];
        out.extend(body);
        out
    }

    #[test]
    fn the_server_name_is_found_in_pieces_too() {
        for step in [1, 7, 500] {
            let mut flow = TlsFlow::default();
            let mut alerts = Vec::new();
            let found: Vec<String> = hello("chat.example")
                .chunks(step)
                .filter_map(|c| flow.feed(c, 0, &mut alerts))
                .collect();
            assert_eq!(found, ["chat.example"], "{step}");
        }
    }

    #[test]
    fn alerts_are_told_apart() {
        let mut flow = TlsFlow::default();
        let mut alerts = Vec::new();
        flow.feed(&[21, 3, 3, 0, 2, 2, 40], 0, &mut alerts);
        flow.feed(&[23, 3, 3, 0, 1, 9], 0, &mut alerts);
        flow.feed(&[21, 3, 3, 0, 19], 19, &mut alerts);
        flow.feed(
            &[&[21u8, 3, 3, 0, 26][..], &[5; 26]].concat(),
            0,
            &mut alerts,
        );
        assert_eq!(
            alerts,
            [
                Alert {
                    level: 2,
                    description: 40
                },
                Alert {
                    level: 0,
                    description: 0
                }
            ]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..80), 0u32..30), 0..20)) {
            let mut flow = TlsFlow::default();
            let mut alerts = Vec::new();
            for (bytes, cut) in chunks {
                let _ = flow.feed(&bytes, cut, &mut alerts);
            }
            let _ = server_name(&[]);
        }
    }
}
