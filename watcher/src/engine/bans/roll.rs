//! The table of bans. Each stands in a slot of 64 bytes and is found by its subject, over an index of four bytes a ban:
//! a million take 75 MB, and nothing else is allocated for one.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;

use crate::engine::Lease;
use crate::jail::JailName;
use crate::subject::Subject;

/// A ban, in force or remembered.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) subject: Subject,
    pub(super) lease: Lease,
    /// Whether its end was told: it is a memory.
    pub(super) is_over: bool,
}

/// Where a ban stands. The slot of one that was removed is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u32);

#[derive(Debug, Default)]
pub(super) struct Roll {
    slots: Vec<Option<Entry>>,
    free: Vec<Slot>,
    index: HashTable<Slot>,
    hasher: foldhash::fast::RandomState,
    /// How many bans stand beside another one of the same subject.
    crowded: usize,
}

impl Roll {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Makes room for so many more at once, instead of by and by.
    pub(super) fn reserve(&mut self, count: usize) {
        self.slots.reserve_exact(count);
        let Roll { slots, index, hasher, .. } = self;
        index.reserve(count, |slot| hash(slots, hasher, *slot));
    }

    /// Whether some subject has more than one ban.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded > 0
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Entry> {
        entry(&self.slots, slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    /// The ban of a subject by a jail.
    pub(super) fn find(&self, subject: &Subject, jail: &JailName) -> Option<Slot> {
        self.of(subject).find(|(_, entry)| entry.lease.jail == *jail).map(|(slot, _)| slot)
    }

    /// The bans of a subject, in no order.
    pub(super) fn of<'s>(&'s self, subject: &'s Subject) -> impl Iterator<Item = (Slot, &'s Entry)> {
        let same = self.index.iter_hash(self.hasher.hash_one(subject));
        same.filter_map(|slot| Some((*slot, self.get(*slot)?))).filter(|(_, entry)| entry.subject == *subject)
    }

    /// Every ban, in the order of the slots, which depends on nothing but what was done before.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        self.iter_from(0)
    }

    fn iter_from(&self, first: usize) -> impl Iterator<Item = (Slot, &Entry)> {
        let slots = (u32::try_from(first).unwrap_or(u32::MAX)..).map(Slot);
        let slots = slots.zip(self.slots.get(first..).unwrap_or_default());
        slots.filter_map(|(slot, entry)| Some((slot, entry.as_ref()?)))
    }

    /// The bans in one of the parts of so many slots each; none behind the last. A ban stays where it is.
    pub(super) fn part(&self, number: usize, size: usize) -> Option<impl Iterator<Item = (Slot, &Entry)>> {
        let first = number.checked_mul(size).filter(|first| *first < self.slots.len())?;
        Some(self.iter_from(first).take_while(move |(slot, _)| (slot.0 as usize) < first + size))
    }

    /// Some ban of a subject.
    pub(super) fn first(&self, subject: &Subject) -> Option<&Entry> {
        let slot = self.of(subject).next().map(|(slot, _)| slot);
        slot.and_then(|slot| self.get(slot))
    }

    /// Writes down a ban; one of the same jail and subject goes, and is given.
    pub(super) fn insert(&mut self, entry: Entry) -> (Slot, Option<Entry>) {
        let (mut found, mut is_alone) = (None, true);
        for (slot, other) in self.of(&entry.subject) {
            is_alone = false;
            if other.lease.jail == entry.lease.jail {
                found = Some(slot);
            }
        }
        if let Some(slot) = found {
            return (slot, self.put(slot, entry));
        }
        self.crowded += usize::from(!is_alone);
        let code = self.hasher.hash_one(&entry.subject);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // Four thousand million slots would take more memory than there is.
            Slot(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        });
        self.put(slot, entry);
        let Roll { slots, index, hasher, .. } = self;
        index.insert_unique(code, slot, |slot| hash(slots, hasher, *slot));
        (slot, None)
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Entry> {
        let code = hash(&self.slots, &self.hasher, slot);
        let entry = self.slots.get_mut(slot.0 as usize)?.take()?;
        if let Ok(found) = self.index.find_entry(code, |other| *other == slot) {
            found.remove();
        }
        self.free.push(slot);
        if self.of(&entry.subject).next().is_some() {
            self.crowded -= 1;
        }
        Some(entry)
    }

    fn put(&mut self, slot: Slot, entry: Entry) -> Option<Entry> {
        self.slots.get_mut(slot.0 as usize)?.replace(entry)
    }
}

fn entry(slots: &[Option<Entry>], slot: Slot) -> Option<&Entry> {
    slots.get(slot.0 as usize)?.as_ref()
}

fn hash(slots: &[Option<Entry>], hasher: &foldhash::fast::RandomState, slot: Slot) -> u64 {
    entry(slots, slot).map_or(0, |entry| hasher.hash_one(&entry.subject))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use logline::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::Terms;
    use crate::jail::{Mode, Ports};

    #[test]
    fn a_ban_takes_64_bytes() {
        assert_eq!((size_of::<Option<Entry>>(), size_of::<Lease>()), (64, 32));
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_map_holds(steps in prop::collection::vec((0..6u8, 0..3u8, any::<bool>()), 1..200)) {
            let (mut roll, mut map) = (Roll::default(), BTreeMap::new());
            for (n, (host, jail, adds)) in (0..).zip(steps) {
                let subject: Subject = format!("192.0.2.{host}").parse().unwrap();
                let jail: JailName = format!("j{jail}").into();
                let at = Timestamp::from_seconds(n);
                let key = (subject.clone(), jail.clone());
                if adds {
                    let terms = Terms { jail, mode: Mode::Enforce, ports: Ports::All, reason: None };
                    let lease = Lease { from: at, until: at, terms: terms.into(), before: 0 };
                    roll.insert(Entry { subject, lease, is_over: false });
                    map.insert(key, at);
                } else {
                    let gone = roll.find(&subject, &jail).and_then(|slot| roll.remove(slot));
                    prop_assert_eq!(gone.map(|entry| entry.lease.from), map.remove(&key));
                }
                let held: BTreeMap<_, _> = roll
                    .iter()
                    .map(|(_, entry)| ((entry.subject.clone(), entry.lease.jail.clone()), entry.lease.from))
                    .collect();
                prop_assert_eq!((&held, roll.len()), (&map, map.len()));
                let subjects: std::collections::BTreeSet<_> = map.keys().map(|(subject, _)| subject).collect();
                prop_assert_eq!(roll.is_crowded(), subjects.len() < map.len());
            }
        }
    }
}
