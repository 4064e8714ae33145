//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng) -> its interfaces and packets.

use super::{Format, Found, MAX_RECORD, Order, PacketFile, Record, Sound, Step, u16_at, u32_at};
use crate::model::{Moment, SECOND_NS, add_anomaly};
use pcap_parser::{
    BOM_MAGIC, Block, DSB_MAGIC as SECRETS, EPB_MAGIC as ENHANCED_PACKET, IDB_MAGIC as INTERFACE,
    InterfaceDescriptionBlock, InterfaceStatisticsBlock, OptionCode, SHB_MAGIC as SECTION,
    SPB_MAGIC as SIMPLE_PACKET, SecretsType, parse_block_be, parse_block_le,
};

/// A larger block is not read but passed over; a section or interface larger than this is garbage.
const MAX_HEADER_BLOCK: usize = 1024 * 1024;
/// A block that is only passed over may be this large.
const MAX_SKIPPED: usize = 64 * 1024 * 1024;
/// Keys that are held until the next packet.
const MAX_SECRETS: usize = 16 * 1024 * 1024;
/// Interfaces remembered per section.
const MAX_INTERFACES: usize = 65_536;
/// Of an interface's name, characters that are kept.
const MAX_NAME: usize = 64;
/// The obsolete packet block, which pcap-parser leaves unread.
const OLD_PACKET: u32 = 2;
/// Blocks that are no packets and that Wireshark numbers as if they were: systemd's journal, custom blocks to copy and not to copy.
const COUNTED: [u32; 3] = [9, 0x0BAD, 0x4000_0BAD];

/// How an interface counts time (pcapng, `if_tsresol` and `if_tsoffset`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Interface {
    link: u16,
    snaplen: u32,
    resolution: u8,
    /// Nanoseconds of a tick, where it is as many of them; else 0.
    unit_ns: u64,
    offset_s: i64,
    /// Packets that its last statistics said were dropped.
    dropped: u64,
}

/// The interfaces of a section, and their names.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    known: Vec<Interface>,
    names: Vec<String>,
}

impl Interfaces {
    /// The packet of the enhanced packet block that `head` begins with, where the block is whole and contradicts itself nowhere.
    #[inline(always)]
    pub(super) fn sound<'b>(&self, head: &'b [u8], order: Order) -> Option<Sound<'b>> {
        let total = u32_at(head.first_chunk::<8>()?, 4, order) as usize;
        if !(32..=MAX_RECORD).contains(&total) || !total.is_multiple_of(4) {
            return None;
        }
        let (block, behind) = head.split_at_checked(total)?;
        let (block, trailer) = block.split_last_chunk::<4>()?;
        let (fields, rest) = block.split_first_chunk::<28>()?;
        let data = rest.get(..u32_at(fields, 20, order) as usize)?;
        if u32_at(fields, 0, order) != ENHANCED_PACKET || order.u32(*trailer) as usize != total {
            return None;
        }
        let number = u32_at(fields, 8, order);
        let interface = self.known.get(number as usize)?;
        let ticks =
            u64::from(u32_at(fields, 12, order)) << 32 | u64::from(u32_at(fields, 16, order));
        let record = Record {
            ordinal: 0,
            start: 0,
            len: total as u32,
            at: interface.moment(ticks),
            tick_ns: interface.tick_ns(),
            link: interface.link,
            interface: number,
            data,
            wire_len: u32_at(fields, 24, order).max(data.len() as u32),
        };
        Some((record, behind))
    }
}

impl Interface {
    /// pcap-parser reads the clock's offset as little endian whatever the section's order.
    fn described(block: &InterfaceDescriptionBlock<'_>, order: Order) -> Self {
        Self {
            link: (block.linktype.0 & 0xffff) as u16,
            snaplen: block.snaplen,
            resolution: block.if_tsresol,
            unit_ns: unit_ns(block.if_tsresol),
            offset_s: match order {
                Order::Little => block.if_tsoffset,
                Order::Big => block.if_tsoffset.swap_bytes(),
            },
            dropped: 0,
        }
    }

    fn moment(&self, ticks: u64) -> Moment {
        let quick = ticks.checked_mul(self.unit_ns).filter(|&ns| ns > 0);
        if let Some(ns) = quick.and_then(|ns| i64::try_from(ns).ok()) {
            return Moment(ns.saturating_add(self.offset_s.saturating_mul(SECOND_NS)));
        }
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
        if self.unit_ns > 0 {
            return self.unit_ns as i64;
        }
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

/// What a block that is no packet says.
enum Described {
    Section(Order),
    Interface(Interface, String),
    /// Packets dropped so far at an interface.
    Dropped(u32, u64),
    /// Lines of a TLS key log.
    TlsSecrets,
    /// Of protocols that are not decrypted.
    Secrets,
    /// Names, journals, processes, custom and unknown blocks: nothing that is used.
    Unused,
    Damaged,
}

fn describe(block: &[u8], order: Order) -> Described {
    let parsed = match order {
        Order::Little => parse_block_le(block),
        Order::Big => parse_block_be(block),
    };
    match parsed {
        Ok((_, Block::SectionHeader(b))) => Described::Section(if b.big_endian() {
            Order::Big
        } else {
            Order::Little
        }),
        Ok((_, Block::InterfaceDescription(b))) => {
            let name = b.if_name().and_then(Result::ok).unwrap_or_default();
            Described::Interface(
                Interface::described(&b, order),
                name.chars().take(MAX_NAME).collect(),
            )
        }
        Ok((_, Block::InterfaceStatistics(b))) => Described::Dropped(b.if_id, drops(&b, order)),
        Ok((_, Block::DecryptionSecrets(b))) if b.secrets_type == SecretsType::TlsKeyLog => {
            Described::TlsSecrets
        }
        Ok((_, Block::DecryptionSecrets(_))) => Described::Secrets,
        Ok((_, Block::Unknown(b))) if b.block_len1 != b.block_len2 => Described::Damaged,
        Ok(_) => Described::Unused,
        Err(_) => Described::Damaged,
    }
}

/// `isb_ifdrop` and `isb_osdrop` together.
fn drops(block: &InterfaceStatisticsBlock<'_>, order: Order) -> u64 {
    let counts = block
        .options
        .iter()
        .filter(|o| matches!(o.code, OptionCode::IsbIfDrop | OptionCode::IsbOsDrop))
        .filter_map(|o| o.as_bytes().ok()?.first_chunk::<8>().copied());
    counts.fold(0, |sum: u64, b| {
        sum.saturating_add(match order {
            Order::Little => u64::from_le_bytes(b),
            Order::Big => u64::from_be_bytes(b),
        })
    })
}

/// The byte order of the section header block that `head` begins with.
fn section_order(head: &[u8]) -> Option<Order> {
    match u32_at(head, 8, Order::Little) {
        BOM_MAGIC => Some(Order::Little),
        x if x.swap_bytes() == BOM_MAGIC => Some(Order::Big),
        _ => None,
    }
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
            let Some(own) = section_order(head) else {
                return self.resync_blocks();
            };
            order = own;
        }
        let kind = order.u32(kind_bytes);
        let total = u32_at(head, 4, order) as usize;
        if total < 12 {
            return self.resync_blocks();
        }
        // The length counts the padding; writers that forget it are read as if they had not.
        let total = total.next_multiple_of(4);
        match kind {
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
            ENHANCED_PACKET | SIMPLE_PACKET | OLD_PACKET => self.resync_blocks(),
            SECTION | INTERFACE if total > MAX_HEADER_BLOCK => self.resync_blocks(),
            _ if total > MAX_SKIPPED => self.resync_blocks(),
            SECRETS if total <= MAX_SECRETS => {
                if self.fill(total) {
                    self.description(kind, total, order)
                } else {
                    self.tail()
                }
            }
            SECRETS => {
                self.note(
                    "too-many-keys",
                    1,
                    "keys beyond 16 MiB before one packet were left out",
                );
                if self.skip(total as u64) {
                    return Step::Again;
                }
                self.tail()
            }
            _ if total > MAX_HEADER_BLOCK => {
                if self.skip(total as u64) {
                    self.numbered += u64::from(COUNTED.contains(&kind));
                    return Step::Again;
                }
                self.note("truncated-tail", 1, "the file ends inside a block");
                Step::End
            }
            _ if !self.fill(total) => self.tail(),
            _ => self.description(kind, total, order),
        }
    }

    /// A block that is no packet, whole in the buffer.
    fn description(&mut self, kind: u32, total: usize, order: Order) -> Step {
        let block = self.view().get(..total).unwrap_or_default();
        let described = describe(block, order);
        let secrets_len = u32_at(block, 12, order) as usize;
        let closed = u32_at(block, total - 4, order) as usize == total;
        let Format::Blocks { interfaces, .. } = &mut self.format else {
            return Step::End;
        };
        match described {
            Described::Section(order) => {
                self.format = Format::Blocks {
                    order,
                    interfaces: Interfaces::default(),
                };
            }
            Described::Interface(interface, name) => {
                if interfaces.known.len() < MAX_INTERFACES {
                    interfaces.known.push(interface);
                    interfaces.names.push(name);
                }
            }
            Described::Dropped(number, dropped) => {
                let number = number as usize;
                if let Some(interface) = interfaces.known.get_mut(number) {
                    let more = dropped.saturating_sub(interface.dropped);
                    interface.dropped = interface.dropped.max(dropped);
                    let name = interfaces.names.get(number).cloned().unwrap_or_default();
                    if more > 0 {
                        let note = format!(
                            "packets that the capture itself says it dropped, first at interface {number} {name}"
                        );
                        self.note("capture-drops", more, note.trim_end());
                    }
                }
            }
            Described::TlsSecrets => {
                // Behind the block's head, the kind of secrets and their length.
                let from = self.from + 16;
                let to = from.saturating_add(secrets_len).min(self.from + total - 4);
                if self.secrets.len() + secrets_len > MAX_SECRETS {
                    self.note(
                        "too-many-keys",
                        1,
                        "keys beyond 16 MiB before one packet were left out",
                    );
                } else {
                    self.secrets
                        .extend_from_slice(self.buffer.get(from..to).unwrap_or_default());
                    self.secrets.push(b'\n');
                }
            }
            Described::Secrets => self.note(
                "unused-secrets",
                1,
                "the file carries keys of other protocols than TLS: nothing is decrypted with them",
            ),
            Described::Unused => {}
            // Two lengths that agree tell a block from garbage.
            Described::Damaged if closed && !matches!(kind, SECTION | INTERFACE) => self.note(
                "unread-block",
                1,
                "blocks that are no packets and contradict themselves were passed over",
            ),
            Described::Damaged => return self.resync_blocks(),
        }
        self.numbered += u64::from(COUNTED.contains(&kind));
        self.from += total;
        Step::Again
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
            Format::Blocks { interfaces, .. } => interfaces.known.get(number as usize).copied(),
            _ => None,
        };
        let Some(interface) = interface else {
            self.packets += 1;
            self.odd += 1;
            add_anomaly(
                &mut self.anomalies,
                "unknown-interface",
                1,
                self.packets + self.numbered,
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
                let Some(own) = section_order(self.view()) else {
                    self.from += 1;
                    continue;
                };
                order = own;
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

/// Nanoseconds in one tick of `if_tsresol`, 0 where that is no whole number of them.
fn unit_ns(resolution: u8) -> u64 {
    match resolution {
        power @ 0..=9 => 10u64.pow(u32::from(9 - power)),
        _ => 0,
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
                unit_ns: unit_ns(resolution),
                offset_s,
                dropped: 0,
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
