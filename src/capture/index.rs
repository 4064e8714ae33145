//! The hash of a leg's key -> the leg's place: one flat table, so that the waits for memory of many look-ups overlap.

/// Open addressing, each slot one word: the hash above, the place plus one below; 0 is free. A look-up that finds nothing waiting costs
/// one miss of the cache, and [`Index::first`] lets that of the next one begin before this one's has ended.
#[derive(Debug)]
pub(super) struct Index {
    slots: Vec<u64>,
    len: usize,
}

const SMALLEST: usize = 64;

impl Default for Index {
    fn default() -> Self {
        Self {
            slots: vec![0; SMALLEST],
            len: 0,
        }
    }
}

impl Index {
    const fn home(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    const fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    fn at(&self, at: usize) -> u64 {
        self.slots.get(at).copied().unwrap_or(0)
    }

    fn set(&mut self, at: usize, slot: u64) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }

    /// The first slot that a look-up reads: it nearly always tells all.
    #[inline(always)]
    pub(super) fn first(&self, hash: u32) -> u64 {
        self.at(self.home(hash))
    }

    /// The place that such a slot tells, where it has that hash.
    #[inline(always)]
    pub(super) const fn place(slot: u64, hash: u32) -> Option<u32> {
        if slot >> 32 == hash as u64 && slot != 0 {
            Some((slot as u32).wrapping_sub(1))
        } else {
            None
        }
    }

    /// The place with this hash that `is_it` recognises.
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let slot = self.at(at);
            if slot == 0 {
                return None;
            }
            if let Some(place) = Self::place(slot, hash).filter(|&place| is_it(place)) {
                return Some(place);
            }
            at = self.after(at);
        }
    }

    /// Adds a place that is not there.
    pub(super) fn insert(&mut self, hash: u32, place: u32) {
        if (self.len + 1) * 2 > self.slots.len() {
            let slots = vec![0; self.slots.len() * 2];
            for slot in std::mem::replace(&mut self.slots, slots) {
                if slot != 0 {
                    self.put(slot);
                }
            }
        }
        self.put(u64::from(hash) << 32 | u64::from(place.wrapping_add(1)));
        self.len += 1;
    }

    fn put(&mut self, slot: u64) {
        let mut at = self.home((slot >> 32) as u32);
        while self.at(at) != 0 {
            at = self.after(at);
        }
        self.set(at, slot);
    }

    pub(super) fn remove(&mut self, hash: u32, place: u32) {
        let wanted = u64::from(hash) << 32 | u64::from(place.wrapping_add(1));
        let mut hole = self.home(hash);
        while self.at(hole) != wanted {
            if self.at(hole) == 0 {
                return;
            }
            hole = self.after(hole);
        }
        // What stands behind the hole and may stand in it moves up, so that no look-up ends too early.
        let mask = self.slots.len() - 1;
        let mut next = self.after(hole);
        loop {
            let slot = self.at(next);
            if slot == 0 {
                break;
            }
            let home = self.home((slot >> 32) as u32);
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.set(hole, slot);
                hole = next;
            }
            next = self.after(next);
        }
        self.set(hole, 0);
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Few hashes, so that they meet; every one found again, whatever was added and removed between.
        #[test]
        fn finds_what_is_in_it_and_nothing_else(steps in proptest::collection::vec((any::<bool>(), 0u32..40, prop_oneof![Just(0u32), Just(63), 0..200u32]), 0..400)) {
            let mut index = Index::default();
            let mut model: HashMap<u32, u32> = HashMap::new();
            for (add, place, hash) in steps {
                match (add, model.get(&place).copied()) {
                    (true, None) => {
                        index.insert(hash, place);
                        model.insert(place, hash);
                    }
                    (false, Some(hash)) => {
                        index.remove(hash, place);
                        model.remove(&place);
                    }
                    (false, None) => index.remove(hash, place),
                    (true, Some(_)) => {}
                }
                for place in 0..40 {
                    let hash = model.get(&place).copied();
                    prop_assert_eq!(index.find(hash.unwrap_or(0), |p| p == place).is_some(), hash.is_some());
                }
                prop_assert_eq!(index.len, model.len());
            }
        }
    }

    #[test]
    fn it_grows() {
        let mut index = Index::default();
        let hash = |n: u32| n.wrapping_mul(0x9E37_79B9);
        for n in 0..10_000 {
            index.insert(hash(n), n);
        }
        for n in 0..10_000 {
            assert_eq!(index.find(hash(n), |p| p == n), Some(n));
        }
        assert_eq!(index.find(hash(10_001), |_| true), None);
        assert!(index.slots.len() <= 32_768);
    }
}
