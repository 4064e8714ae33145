//! The two ends of a leg -> one key for both directions, its hash and its lane.

use super::LANES;
use std::hash::{BuildHasher, RandomState};

/// One end of a leg. IPv4 addresses are held as IPv4-mapped IPv6 ones (RFC 4291 2.5.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Endpoint {
    /// The upper and the lower half of the address: a `u128` would make it a third larger.
    addr: [u64; 2],
    pub(super) port: u16,
}

impl Endpoint {
    pub(super) const fn new(addr: u128, port: u16) -> Self {
        Self {
            addr: [(addr >> 64) as u64, addr as u64],
            port,
        }
    }

    /// As `self > other`, without a branch: which of two ends sends is anyone's guess.
    const fn follows(&self, other: &Self) -> bool {
        let (a, b) = (self.host(), other.host());
        (a > b) | ((a == b) & (self.port > other.port))
    }

    /// The address as a number.
    pub(super) const fn host(&self) -> u128 {
        (self.addr[0] as u128) << 64 | self.addr[1] as u128
    }

    pub(super) fn socket(self) -> std::net::SocketAddr {
        let v6 = std::net::Ipv6Addr::from(self.host());
        let ip = v6
            .to_ipv4_mapped()
            .map_or(std::net::IpAddr::V6(v6), std::net::IpAddr::V4);
        std::net::SocketAddr::new(ip, self.port)
    }
}

/// The lower and the higher endpoint of a leg, without gaps between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    hosts: [[u64; 2]; 2],
    ports: [u16; 2],
}

/// What no sender of packets knows: addresses cannot be chosen so that many legs share a hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seeds([u64; 4]);

impl Default for Seeds {
    fn default() -> Self {
        let random = RandomState::new();
        Self([0, 1, 2, 3].map(|n| random.hash_one(n)))
    }
}

/// An odd number without a pattern: the upper bits of a product with it depend on all bits.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Both halves of the product, folded: each bit depends on all of `a` and of `b`.
const fn folded(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    product as u64 ^ (product >> 64) as u64
}

impl Ends {
    /// Of a segment from `src` to `dst`; and which of them sent it, 0 the lower one, 1 the higher.
    #[inline(always)]
    pub(super) const fn of(src: &Endpoint, dst: &Endpoint) -> (Self, u8) {
        let swap = src.follows(dst);
        let (low, high) = if swap { (dst, src) } else { (src, dst) };
        let ends = Self {
            hosts: [low.addr, high.addr],
            ports: [low.port, high.port],
        };
        (ends, swap as u8)
    }

    /// As [`Self::of`], of two ends in words as [`Self::words`] makes them.
    #[inline(always)]
    pub(super) const fn of_words(src: u64, dst: u64) -> (Self, u8) {
        let swap = src > dst;
        let (low, high) = if swap { (dst, src) } else { (src, dst) };
        let ends = Self {
            hosts: [[0, low >> 16], [0, high >> 16]],
            ports: [low as u16, high as u16],
        };
        (ends, swap as u8)
    }

    /// The lower and the higher one.
    pub(super) const fn both(&self) -> [Endpoint; 2] {
        let ([low, high], [low_port, high_port]) = (self.hosts, self.ports);
        [
            Endpoint {
                addr: low,
                port: low_port,
            },
            Endpoint {
                addr: high,
                port: high_port,
            },
        ]
    }

    /// Reads a word of it, so that the processor fetches it.
    pub(super) const fn touch(&self) -> u64 {
        self.ports[0] as u64
    }

    /// Each end in one word that it alone has, where both addresses are short ones, as those of IPv4 are.
    #[inline(always)]
    const fn words(&self) -> Option<[u64; 2]> {
        let [[a, low], [b, high]] = self.hosts;
        if a | b | (low | high) >> 48 == 0 {
            Some([
                low << 16 | self.ports[0] as u64,
                high << 16 | self.ports[1] as u64,
            ])
        } else {
            None
        }
    }

    #[inline(always)]
    pub(super) const fn hash(&self, Seeds(seeds): &Seeds) -> u32 {
        let [low, high] = match self.words() {
            Some(words) => words,
            None => {
                let [[a, b], [c, d]] = self.hosts;
                let ports = (self.ports[0] as u64) << 16 | self.ports[1] as u64;
                let low = folded(a ^ seeds[2], b ^ seeds[3]);
                let high = folded(c ^ seeds[3], d ^ seeds[2]);
                [low.wrapping_add(ports), high]
            }
        };
        // Where one of both is always the same, as a server's is, its product with the others is too regular by itself.
        (folded(low ^ seeds[0], high ^ seeds[1]).wrapping_mul(SPREAD) >> 32) as u32
    }

    /// The lane, the same in every run.
    #[inline(always)]
    pub(super) const fn lane(&self) -> usize {
        let [low, high] = match self.words() {
            Some(words) => words,
            None => {
                let [[a, b], [c, d]] = self.hosts;
                let ports = (self.ports[0] as u64) << 16 | self.ports[1] as u64;
                [a ^ b.rotate_left(32) ^ ports, c ^ d.rotate_left(32)]
            }
        };
        // The upper bits of the product depend on all of both.
        let mixed = (low ^ high.rotate_left(24)).wrapping_mul(SPREAD);
        (((mixed >> 32) * LANES as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end() -> impl Strategy<Value = Endpoint> {
        let address = prop_oneof![
            any::<u32>().prop_map(|v4| 0xffff_0000_0000 | u128::from(v4)),
            any::<u128>(),
            0u128..4,
        ];
        (address, any::<u16>()).prop_map(|(address, port)| Endpoint::new(address, port))
    }

    proptest! {
        #[test]
        fn both_ways_have_one_key(a in end(), b in end()) {
            let (there, from) = Ends::of(&a, &b);
            let (back, to) = Ends::of(&b, &a);
            prop_assert_eq!(there, back);
            let seeds = Seeds::default();
            prop_assert_eq!(there.hash(&seeds), back.hash(&seeds));
            prop_assert_eq!(there.lane(), back.lane());
            prop_assert_eq!(there.both()[usize::from(from)], a);
            prop_assert_eq!(there.both()[usize::from(to)], b);
            prop_assert!(there.both()[0] <= there.both()[1]);
            if let Some([low, high]) = there.words() {
                prop_assert_eq!(Ends::of_words(low, high), (there, 0));
                prop_assert_eq!(Ends::of_words(high, low), (there, u8::from(low != high)));
            }
        }
    }

    #[test]
    fn ends_near_each_other_are_spread() {
        let server = Endpoint::new(0xffff_0a00_0001, 443);
        let seeds = Seeds::default();
        let mut lanes = [0; LANES];
        let mut hashes = std::collections::HashSet::new();
        for n in 0..8000u32 {
            let client = Endpoint::new(
                0xffff_0a01_0000 | u128::from(n >> 4),
                40_000 + (n & 15) as u16,
            );
            let (ends, _) = Ends::of(&client, &server);
            lanes[ends.lane()] += 1;
            hashes.insert(ends.hash(&seeds) & 0xffff);
        }
        assert!(lanes.iter().all(|&n| (500..2000).contains(&n)), "{lanes:?}");
        assert!(hashes.len() > 7000, "{}", hashes.len());
    }
}
