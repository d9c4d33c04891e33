//! The trace ids of the open weeks, in memory: which group of rows may hold a trace.
//!
//! 65,536 buckets of sorted `u64`s take 8.8 bytes an id and never pause to grow; one large hash table stalled for
//! 772 ms. An entry is 40 bits of a keyed hash and the 24 bits of a group. A sender cannot know the key, so it cannot
//! fill one bucket.
//!
//! A hit is no proof. Who asks compares with what the group holds.

use std::hash::{BuildHasher as _, RandomState};

use crate::trace::TraceId;

/// A group of rows, below [`GROUPS`].
pub type Group = u32;
/// How many groups there can be at once.
pub const GROUPS: u32 = 1 << GROUP_BITS;

const GROUP_BITS: u32 = 24;
const BUCKETS: usize = 1 << 16;
/// A bucket grows by an eighth: that is all the memory that it wastes.
const GROWTH: usize = 8;
/// A bucket with few ids grows by this many: asking for memory takes longer than adding an id.
const LEAST_GROWTH: usize = 16;

/// The index.
#[derive(Debug)]
pub struct TraceIndex {
    key: RandomState,
    buckets: Vec<Vec<u64>>,
}

impl Default for TraceIndex {
    fn default() -> Self {
        Self { key: RandomState::new(), buckets: vec![Vec::new(); BUCKETS] }
    }
}

impl TraceIndex {
    /// The groups that may hold a trace, usually none.
    pub fn find(&self, id: &TraceId) -> impl Iterator<Item = Group> + '_ {
        let (bucket, prefix) = self.place(id);
        let bucket = &self.buckets[bucket];
        let start = bucket.partition_point(|entry| *entry < prefix);
        let is_same = move |entry: &&u64| **entry & !u64::from(GROUPS - 1) == prefix;
        bucket[start..].iter().take_while(is_same).map(|entry| (*entry & u64::from(GROUPS - 1)) as Group)
    }

    /// Adds a trace.
    pub fn insert(&mut self, id: &TraceId, group: Group) {
        let (bucket, prefix) = self.place(id);
        let bucket = &mut self.buckets[bucket];
        let entry = prefix | u64::from(group);
        let place = bucket.partition_point(|there| *there < entry);
        reserve(bucket);
        bucket.insert(place, entry);
    }

    /// Moves a trace to another group, and returns whether it was in the first.
    pub fn relocate(&mut self, id: &TraceId, from: Group, to: Group) -> bool {
        let was_there = self.remove(id, from);
        if was_there {
            self.insert(id, to);
        }
        was_there
    }

    /// Drops a trace, and returns whether it was there.
    pub fn remove(&mut self, id: &TraceId, group: Group) -> bool {
        let (bucket, prefix) = self.place(id);
        let place = self.buckets[bucket].binary_search(&(prefix | u64::from(group)));
        place.map(|place| self.buckets[bucket].remove(place)).is_ok()
    }

    /// Adds many traces in any order; [`TraceIndex::finish`] makes them findable.
    pub fn load(&mut self, ids: &[TraceId], group: Group) {
        for id in ids {
            let (bucket, prefix) = self.place(id);
            let bucket = &mut self.buckets[bucket];
            reserve(bucket);
            bucket.push(prefix | u64::from(group));
        }
    }

    /// Ends a series of [`TraceIndex::load`].
    pub fn finish(&mut self) {
        for bucket in &mut self.buckets {
            bucket.sort_unstable();
        }
    }

    /// Drops all traces of the groups that are not wanted, in the buckets from `from` to `to`: a part at a time, so
    /// that no request waits for all of them.
    pub fn retain(&mut self, from: usize, to: usize, mut is_wanted: impl FnMut(Group) -> bool) {
        for bucket in &mut self.buckets[from..to.min(BUCKETS)] {
            bucket.retain(|entry| is_wanted((*entry & u64::from(GROUPS - 1)) as Group));
            if bucket.len() < bucket.capacity() / 2 {
                bucket.shrink_to_fit();
            }
        }
    }

    /// The number of buckets, for [`TraceIndex::retain`].
    pub const fn buckets() -> usize {
        BUCKETS
    }

    /// The number of traces.
    pub fn len(&self) -> usize {
        self.buckets.iter().map(Vec::len).sum()
    }

    /// Whether there are no traces.
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(Vec::is_empty)
    }

    /// Bytes that the index takes.
    pub fn bytes(&self) -> usize {
        let entries: usize = self.buckets.iter().map(Vec::capacity).sum();
        8 * entries + BUCKETS * size_of::<Vec<u64>>()
    }

    /// The bucket, and the entry of the trace in group 0.
    fn place(&self, id: &TraceId) -> (usize, u64) {
        let hash = self.key.hash_one(id);
        ((hash >> 48) as usize, hash << 16 & !u64::from(GROUPS - 1))
    }
}

fn reserve(bucket: &mut Vec<u64>) {
    if bucket.len() == bucket.capacity() {
        bucket.reserve_exact((bucket.len() / GROWTH).max(LEAST_GROWTH));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> TraceId {
        let mut id = [0x5a; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[test]
    fn what_was_inserted_is_found_and_nothing_else() {
        let mut index = TraceIndex::default();
        for number in 0..10_000 {
            index.insert(&id(number), (number % 1_000) as Group);
        }
        for number in 0..10_000 {
            assert!(index.find(&id(number)).eq([(number % 1_000) as Group]));
        }
        let strangers = (10_000..110_000).filter(|number| index.find(&id(*number)).next().is_some());
        assert_eq!(strangers.count(), 0);
        assert_eq!(index.len(), 10_000);
    }

    #[test]
    fn loading_equals_inserting() {
        let mut index = TraceIndex::default();
        let ids: Vec<TraceId> = (0..1_000).map(id).collect();
        index.load(&ids, 3);
        index.load(&ids[..10], 4);
        index.finish();
        assert!(index.find(&id(5)).eq([3, 4]));
        assert!(index.find(&id(500)).eq([3]));
        assert!(index.relocate(&id(5), 3, GROUPS - 1));
        assert!(!index.relocate(&id(5), 3, 9));
        assert!(index.find(&id(5)).eq([4, GROUPS - 1]));
        index.retain(0, TraceIndex::buckets(), |group| group != 3);
        assert_eq!(index.len(), 11);
    }

    #[test]
    fn an_id_takes_at_most_ten_bytes() {
        // Ten million ids are 152 in a bucket.
        let mut bucket = Vec::new();
        for length in 1..2_000 {
            reserve(&mut bucket);
            bucket.push(0);
            let bytes = 8 * bucket.capacity() + size_of::<Vec<u64>>();
            assert!(length < 100 || bytes <= 10 * length, "{length}: {bytes}");
        }
    }
}
