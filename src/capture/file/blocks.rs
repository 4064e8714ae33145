//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng) -> its interfaces and packets.

use super::{Format, Found, MAX_RECORD, Order, PacketFile, SECTION, Step, u16_at, u32_at};
use crate::model::{Moment, SECOND_NS, add_anomaly};

/// A header block (section, interface) larger than this is garbage.
const MAX_HEADER_BLOCK: usize = 1024 * 1024;
/// A block that is only passed over may be this large.
const MAX_SKIPPED: usize = 64 * 1024 * 1024;
/// Interfaces remembered per section.
const MAX_INTERFACES: usize = 65_536;
pub(super) const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
pub(super) const ENHANCED_PACKET: u32 = 6;
pub(super) const BYTE_ORDER: u32 = 0x1A2B_3C4D;

/// How an interface counts time (pcapng, `if_tsresol` and `if_tsoffset`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Interface {
    link: u16,
    snaplen: u32,
    resolution: u8,
    offset_s: i64,
}

impl Interface {
    fn moment(&self, ticks: u64) -> Moment {
        let power = u32::from(self.resolution & 0x7f);
        let ns = if self.resolution & 0x80 != 0 {
            (u128::from(ticks) * SECOND_NS as u128)
                .checked_shr(power)
                .unwrap_or(0)
        } else if power <= 9 {
            u128::from(ticks) * 10u128.pow(9 - power)
        } else {
            10u128
                .checked_pow(power - 9)
                .map_or(0, |d| u128::from(ticks) / d)
        };
        let ns = i64::try_from(ns).unwrap_or(i64::MAX);
        Moment(ns.saturating_add(self.offset_s.saturating_mul(SECOND_NS)))
    }

    fn tick_ns(&self) -> i64 {
        let power = u32::from(self.resolution & 0x7f);
        if self.resolution & 0x80 != 0 {
            SECOND_NS.checked_shr(power).unwrap_or(0).max(1)
        } else if power >= 9 {
            1
        } else {
            10i64.pow(9 - power)
        }
    }
}

/// Whether `head` begins with a whole enhanced packet block that contradicts itself nowhere.
pub(super) fn sound_packet(head: &[u8], order: Order, interfaces: usize) -> bool {
    let total = u32_at(head, 4, order) as usize;
    let captured = u32_at(head, 20, order) as usize;
    u32_at(head, 0, order) == ENHANCED_PACKET
        && (32..=MAX_RECORD).contains(&total)
        && total <= head.len()
        && total.is_multiple_of(4)
        && u32_at(head, total - 4, order) as usize == total
        && captured <= total - 32
        && (u32_at(head, 8, order) as usize) < interfaces
}

impl PacketFile<'_> {
    pub(super) fn block(&mut self) -> Step {
        if !self.fill(12) {
            return self.tail();
        }
        let head = self.view();
        let Format::Blocks { order, .. } = self.format else {
            return Step::End;
        };
        let mut order = order;
        let kind_bytes = [head[0], head[1], head[2], head[3]];
        if u32::from_be_bytes(kind_bytes) == SECTION {
            order = match u32_at(head, 8, Order::Little) {
                BYTE_ORDER => Order::Little,
                x if x.swap_bytes() == BYTE_ORDER => Order::Big,
                _ => return self.resync_blocks(),
            };
        }
        let kind = order.u32(kind_bytes);
        let total = u32_at(head, 4, order) as usize;
        if total < 12 {
            return self.resync_blocks();
        }
        // The length counts the padding; writers that forget it are read as if they had not.
        let total = total.next_multiple_of(4);
        match kind {
            SECTION | INTERFACE if total <= MAX_HEADER_BLOCK => {
                if !self.fill(total) {
                    return self.tail();
                }
                if kind == SECTION {
                    self.format = Format::Blocks {
                        order,
                        interfaces: Vec::new(),
                    };
                } else {
                    self.interface(total, order);
                }
                self.from += total;
                Step::Again
            }
            ENHANCED_PACKET | SIMPLE_PACKET | OLD_PACKET if total <= MAX_RECORD + 4096 => {
                if !self.fill(total) {
                    let trailer_missing = self.available() + 4 >= total;
                    if !trailer_missing && total > 262_144 + 4096 {
                        return self.resync_blocks();
                    }
                    return self.tail();
                }
                if u32_at(self.view(), total - 4, order) as usize != total {
                    return self.resync_blocks();
                }
                self.packet_block(kind, total, order)
            }
            SECTION | INTERFACE | ENHANCED_PACKET | SIMPLE_PACKET | OLD_PACKET => {
                self.resync_blocks()
            }
            // Name resolution, statistics, secrets, custom blocks; garbage is told by its two lengths.
            _ if total > MAX_SKIPPED => self.resync_blocks(),
            _ => {
                if total <= MAX_HEADER_BLOCK
                    && self.fill(total)
                    && self.trailer(total, order) != total
                {
                    return self.resync_blocks();
                }
                if self.skip(total as u64) {
                    return Step::Again;
                }
                self.note("truncated-tail", 1, "the file ends inside a block");
                Step::End
            }
        }
    }

    /// A block's length as its end repeats it.
    fn trailer(&self, total: usize, order: Order) -> usize {
        u32_at(self.view(), total.saturating_sub(4), order) as usize
    }

    fn interface(&mut self, total: usize, order: Order) {
        let block = self.view();
        let block = block.get(..total - 4).unwrap_or_default();
        let mut known = Interface {
            link: u16_at(block, 8, order),
            snaplen: u32_at(block, 12, order),
            resolution: 6,
            offset_s: 0,
        };
        let mut options = block.get(16..).unwrap_or_default();
        while let Some(head) = options.get(..4) {
            let code = u16_at(head, 0, order);
            let len = usize::from(u16_at(head, 2, order));
            let Some(value) = options.get(4..4 + len) else {
                break;
            };
            match (code, value) {
                (0, _) => break,
                (9, [resolution, ..]) => known.resolution = *resolution,
                (14, [_, _, _, _, _, _, _, _]) => {
                    let low = u64::from(u32_at(
                        value,
                        if order == Order::Little { 0 } else { 4 },
                        order,
                    ));
                    let high = u64::from(u32_at(
                        value,
                        if order == Order::Little { 4 } else { 0 },
                        order,
                    ));
                    known.offset_s = (high << 32 | low) as i64;
                }
                _ => {}
            }
            options = options
                .get(4 + len.next_multiple_of(4)..)
                .unwrap_or_default();
        }
        if let Format::Blocks { interfaces, .. } = &mut self.format
            && interfaces.len() < MAX_INTERFACES
        {
            interfaces.push(known);
        }
    }

    fn packet_block(&mut self, kind: u32, total: usize, order: Order) -> Step {
        let block = self.view();
        let (data_from, number, captured, wire_len, ticks) = match kind {
            SIMPLE_PACKET => (12, 0, None, u32_at(block, 8, order), None),
            OLD_PACKET | ENHANCED_PACKET => {
                let number = if kind == OLD_PACKET {
                    u32::from(u16_at(block, 8, order))
                } else {
                    u32_at(block, 8, order)
                };
                let ticks =
                    u64::from(u32_at(block, 12, order)) << 32 | u64::from(u32_at(block, 16, order));
                (
                    28,
                    number,
                    Some(u32_at(block, 20, order)),
                    u32_at(block, 24, order),
                    Some(ticks),
                )
            }
            _ => return Step::End,
        };
        let room = total.saturating_sub(data_from + 4);
        let interface = match &self.format {
            Format::Blocks { interfaces, .. } => interfaces.get(number as usize).copied(),
            _ => None,
        };
        let Some(interface) = interface else {
            self.packets += 1;
            self.odd += 1;
            add_anomaly(
                &mut self.anomalies,
                "unknown-interface",
                1,
                self.packets,
                "a packet of an interface that the file does not describe was left out",
            );
            self.from += total;
            return Step::Again;
        };
        let captured = captured.map_or_else(
            || {
                let snaplen = if interface.snaplen == 0 {
                    u32::MAX
                } else {
                    interface.snaplen
                };
                room.min(wire_len.min(snaplen) as usize)
            },
            |c| c as usize,
        );
        if captured > room {
            return self.resync_blocks();
        }
        let at = ticks.map_or(self.last, |t| interface.moment(t));
        if ticks.is_none() {
            self.note(
                "no-time-stamps",
                1,
                "simple packet blocks carry no time: the packet before lends its own",
            );
        }
        Step::Packet(Found {
            header_len: data_from,
            total,
            data_from,
            data_len: captured,
            at,
            tick_ns: interface.tick_ns(),
            link: interface.link,
            interface: number,
            wire_len,
        })
    }

    /// Looks for the next block whose two lengths agree.
    fn resync_blocks(&mut self) -> Step {
        self.note(
            "corrupt-record",
            1,
            "bytes that are no block were passed over",
        );
        self.odd += 1;
        let Format::Blocks { order, .. } = self.format else {
            return Step::End;
        };
        self.from += 4.min(self.available());
        loop {
            if !self.fill(32) {
                self.from = self.to;
                return Step::End;
            }
            let view = self.view();
            let hit = (0..=view.len() - 12).find(|&i| {
                let b = view.get(i..).unwrap_or_default();
                let kind = u32_at(b, 0, order);
                let total = u32_at(b, 4, order) as usize;
                let section = u32_at(b, 0, Order::Big) == SECTION;
                section
                    || (matches!(kind, ENHANCED_PACKET | INTERFACE)
                        && (20..=MAX_RECORD).contains(&total)
                        && total.is_multiple_of(4))
            });
            let Some(i) = hit else {
                self.from += self.available() - 11;
                continue;
            };
            self.from += i;
            let mut order = order;
            if u32_at(self.view(), 0, Order::Big) == SECTION {
                order = match u32_at(self.view(), 8, Order::Little) {
                    BYTE_ORDER => Order::Little,
                    x if x.swap_bytes() == BYTE_ORDER => Order::Big,
                    _ => {
                        self.from += 1;
                        continue;
                    }
                };
            }
            let total = u32_at(self.view(), 4, order) as usize;
            if (12..=MAX_RECORD).contains(&total)
                && self.fill(total)
                && u32_at(self.view(), total - 4, order) as usize == total
            {
                return Step::Again;
            }
            self.from += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_an_interface_is_its_own() {
        let moment = |resolution, offset_s, ticks| {
            Interface {
                link: 1,
                snaplen: 0,
                resolution,
                offset_s,
            }
            .moment(ticks)
            .0
        };
        assert_eq!(moment(6, 0, 1_500_000), 1_500_000_000);
        assert_eq!(moment(9, 0, 7), 7);
        assert_eq!(moment(12, 0, 7_000), 7);
        assert_eq!(moment(0, 5, 7), 12 * SECOND_NS);
        assert_eq!(moment(0x80 | 10, 0, 1024), SECOND_NS);
        assert_eq!(moment(127, 0, 9), 0);
        assert_eq!(moment(255, 0, 9), 0);
    }
}
