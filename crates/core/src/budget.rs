//! The byte budget: one bound for all payloads of the process.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use tokio::sync::Notify;

use crate::TrackId;

/// A bound on the bytes of all payloads together. Clones share it.
///
/// A payload occupies a [`Slot`] from its first byte received to its last byte written. A slot waits while
/// the budget is spent, with one exception that keeps a budget smaller than a single segment going: the
/// oldest live slot of each track is never refused. So at most one segment per track stands above the bound.
///
/// Buffers of dropped payloads are kept for the next ones of about their size, within the same bound: fresh memory
/// costs a page fault every 4 KiB. A slot with a used buffer counts for as much as the buffer can hold. Smaller ones are not
/// kept: they cost more to keep than to make, and a stream may have any number of them.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    limit: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Default)]
struct State {
    used: usize,
    peak: usize,
    /// The age of the next slot. Those that are opened ahead of others count down from there.
    opened: u64,
    /// Live slots of each track, by age.
    live: HashMap<TrackId, BTreeSet<u64>>,
    /// Buffers to use again, and the sum of their capacities.
    spare: Vec<BytesMut>,
    spare_bytes: usize,
}

/// The smallest buffer that is kept, in bytes.
const LEAST_SPARE: usize = 4096;

/// The size of a buffer for so many bytes: one of eight between a power of two and the next, so that bodies of about the
/// same size can use each other's buffers.
pub(crate) fn buffer_size(bytes: usize) -> usize {
    match bytes.checked_ilog2() {
        Some(power) if bytes >= LEAST_SPARE => bytes.checked_next_multiple_of(1 << (power - 3)).unwrap_or(bytes),
        _ => bytes,
    }
}

/// There is as much room for ages below as above.
const FIRST_AGE: u64 = 1 << 63;

impl State {
    fn is_oldest(&self, track: TrackId, age: u64) -> bool {
        self.live.get(&track).and_then(BTreeSet::first) == Some(&age)
    }

    /// The largest spare buffer for about `expected` bytes: neither much too small nor so large that it would waste the budget.
    fn take_spare(&mut self, expected: usize) -> Option<BytesMut> {
        let sizes = expected / 2..=expected.saturating_add(expected / 2).saturating_add(4096);
        let sizes = self
            .spare
            .iter()
            .map(BytesMut::capacity)
            .enumerate()
            .filter(|(_, size)| sizes.contains(size));
        let (at, _) = sizes.max_by_key(|(_, size)| *size)?;
        let buffer = self.spare.swap_remove(at);
        self.spare_bytes -= buffer.capacity();
        Some(buffer)
    }

    fn take(&mut self, bytes: usize, limit: usize) {
        self.used = self.used.saturating_add(bytes);
        self.peak = self.peak.max(self.used);
        while self.used.saturating_add(self.spare_bytes) > limit {
            let Some(buffer) = self.spare.pop() else { break };
            self.spare_bytes -= buffer.capacity();
        }
    }
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            state: Mutex::new(State {
                opened: FIRST_AGE,
                ..State::default()
            }),
            freed: Notify::new(),
        }))
    }

    /// Opens a slot of `track` that holds `expected` bytes already. Waits while the budget is spent, unless
    /// the track has no other live slot. The order of calls within a track is the age of its slots.
    pub async fn open(&self, track: TrackId, expected: usize) -> Slot {
        loop {
            let mut freed = std::pin::pin!(self.0.freed.notified());
            freed.as_mut().enable();
            {
                let mut state = self.0.lock();
                let first = state.live.get(&track).is_none_or(BTreeSet::is_empty);
                if first || state.used.saturating_add(expected) <= self.0.limit {
                    let age = state.opened;
                    state.opened += 1;
                    return self.slot(&mut state, track, age, expected);
                }
            }
            freed.await;
        }
    }

    /// Opens a slot of `track` ahead of all that live: it becomes the oldest, and is never refused. For what all others
    /// of the track wait behind, one at a time.
    pub fn open_first(&self, track: TrackId, expected: usize) -> Slot {
        let mut state = self.0.lock();
        let oldest = state.live.get(&track).and_then(BTreeSet::first).copied();
        let age = oldest.unwrap_or(state.opened).saturating_sub(1);
        self.slot(&mut state, track, age, expected)
    }

    fn slot(&self, state: &mut State, track: TrackId, age: u64, expected: usize) -> Slot {
        state.live.entry(track).or_default().insert(age);
        // Before the bytes that are taken now push spare buffers out: one of them will hold these bytes.
        let spare = state.take_spare(expected);
        let floor = spare.as_ref().map_or(0, BytesMut::capacity);
        let bytes = expected.max(floor);
        state.take(bytes, self.0.limit);
        Slot {
            shared: Arc::clone(&self.0),
            track,
            age,
            bytes,
            spare,
            floor,
        }
    }

    /// The bound, in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes occupied now.
    pub fn used(&self) -> usize {
        self.0.lock().used
    }

    /// The most that was ever occupied at once, in bytes.
    pub fn peak(&self) -> usize {
        self.0.lock().peak
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("limit", &self.limit())
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements that can panic: there are none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the [`Budget`]; dropping it gives the bytes back.
pub struct Slot {
    shared: Arc<Shared>,
    track: TrackId,
    age: u64,
    bytes: usize,
    /// A used buffer for these bytes, and what it can hold: so much of it is memory in use, filled or not.
    spare: Option<BytesMut>,
    floor: usize,
}

impl Slot {
    /// Grows the slot to `total` bytes. Waits while the budget is spent, unless this is the oldest live slot
    /// of its track.
    pub async fn grow(&mut self, total: usize) {
        let Some(more) = total.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return;
        };
        loop {
            let mut freed = std::pin::pin!(self.shared.freed.notified());
            freed.as_mut().enable();
            {
                let mut state = self.shared.lock();
                let fits = state.used.saturating_add(more) <= self.shared.limit;
                if fits || state.is_oldest(self.track, self.age) {
                    state.take(more, self.shared.limit);
                    self.bytes = total;
                    return;
                }
            }
            freed.await;
        }
    }

    /// Shrinks the slot to `total` bytes, or to what its used buffer can hold.
    pub fn shrink(&mut self, total: usize) {
        let total = total.max(self.floor);
        if let Some(less) = self.bytes.checked_sub(total).filter(|less| *less > 0) {
            self.bytes = total;
            self.shared.lock().used -= less;
            self.shared.freed.notify_waiters();
        }
    }

    /// The track that it belongs to.
    pub fn track(&self) -> TrackId {
        self.track
    }

    /// Bytes that the slot occupies.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A buffer with room for `capacity` bytes: the used one, if there is one and it is large enough. To grow a smaller one
    /// would copy it and double it.
    pub(crate) fn buffer(&mut self, capacity: usize) -> BytesMut {
        self.spare.take().filter(|spare| spare.capacity() >= capacity).unwrap_or_else(|| {
            self.floor = 0;
            BytesMut::with_capacity(capacity)
        })
    }

    /// Gives the bytes back, and the buffer for the next payload.
    pub(crate) fn release(self, mut buffer: BytesMut) {
        buffer.clear();
        // What a stage took off the front is still memory: it counts, and is used again.
        let _ = buffer.try_reclaim(buffer.capacity() + 1);
        let mut state = self.shared.lock();
        let after = (state.used - self.bytes)
            .saturating_add(state.spare_bytes)
            .saturating_add(buffer.capacity());
        if buffer.capacity() >= LEAST_SPARE && after <= self.shared.limit {
            state.spare_bytes += buffer.capacity();
            state.spare.push(buffer);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.used -= self.bytes;
            if let Some(ages) = state.live.get_mut(&self.track) {
                ages.remove(&self.age);
            }
        }
        self.shared.freed.notify_waiters();
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("track", &self.track)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    const VIDEO: TrackId = TrackId::new(0);
    const AUDIO: TrackId = TrackId::new(1);

    fn pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        matches!(future.poll(&mut context), Poll::Pending)
    }

    #[tokio::test]
    async fn a_spent_budget_makes_younger_slots_wait_until_bytes_are_written() {
        let budget = Budget::new(100);
        let oldest = budget.open(VIDEO, 80).await;
        let mut next = std::pin::pin!(budget.open(VIDEO, 40));
        assert!(pending(next.as_mut()));
        drop(oldest);
        assert_eq!(next.await.bytes(), 40);
        assert_eq!(budget.used(), 0);
        assert_eq!(budget.peak(), 80);
    }

    #[tokio::test]
    async fn the_oldest_slot_of_each_track_is_never_refused() {
        let budget = Budget::new(100);
        let mut video = budget.open(VIDEO, 90).await;
        let mut audio = budget.open(AUDIO, 90).await;
        video.grow(500).await;
        audio.grow(500).await;
        assert_eq!(budget.used(), 1000);
        let mut younger = std::pin::pin!(budget.open(VIDEO, 0));
        assert!(pending(younger.as_mut()));
        drop(audio);
        assert!(pending(younger.as_mut()));
        drop(video);
        let mut younger = younger.await;
        younger.grow(101).await;
        assert_eq!(budget.used(), 101);
    }

    #[tokio::test]
    async fn a_slot_ahead_of_all_is_never_refused() {
        let budget = Budget::new(100);
        let _before = budget.open(VIDEO, 100).await;
        for _ in 0..2 {
            let mut first = budget.open_first(VIDEO, 10);
            first.grow(500).await;
            assert_eq!(budget.used(), 600);
        }
        let mut first = budget.open_first(VIDEO, 0);
        let mut second = budget.open_first(VIDEO, 0);
        second.grow(50).await;
        assert!(pending(std::pin::pin!(first.grow(50))), "one at a time");
    }

    #[tokio::test]
    async fn shrinking_wakes_those_who_wait() {
        let budget = Budget::new(100);
        let mut first = budget.open(VIDEO, 100).await;
        let mut second = std::pin::pin!(budget.open(VIDEO, 60));
        assert!(pending(second.as_mut()));
        first.shrink(40);
        assert_eq!(second.await.bytes(), 60);
    }

    #[tokio::test]
    async fn a_used_buffer_that_is_too_small_gives_way_to_one_that_need_not_grow() {
        let budget = Budget::new(100_000);
        let mut slot = budget.open(VIDEO, 10_000).await;
        let buffer = slot.buffer(10_000);
        slot.release(buffer);
        let mut slot = budget.open(VIDEO, 10_000).await;
        slot.grow(10_001).await;
        let larger = slot.buffer(10_001);
        assert!(larger.capacity() >= 10_001);
        slot.shrink(500);
        assert_eq!(budget.used(), 500, "the small one is gone");
        slot.release(larger);
        assert_eq!(budget.open(VIDEO, 10_000).await.bytes(), 10_001, "the larger one stays");
    }

    #[tokio::test]
    async fn what_was_taken_off_the_front_of_a_buffer_still_counts() {
        let budget = Budget::new(1 << 20);
        let mut slot = budget.open(VIDEO, 600_000).await;
        let mut buffer = slot.buffer(600_000);
        let address = buffer.as_ptr();
        for front in [16, 590_000] {
            buffer.resize(600_000, 1);
            bytes::Buf::advance(&mut buffer, front);
            slot.release(buffer);
            assert_eq!(budget.0.lock().spare_bytes, 600_000, "{front} taken off");
            slot = budget.open(VIDEO, 600_000).await;
            buffer = slot.buffer(600_000);
            assert_eq!(buffer.as_ptr(), address, "{front} taken off: the buffer is used again");
        }
    }

    #[tokio::test]
    async fn small_buffers_are_not_kept() {
        let budget = Budget::new(1 << 20);
        for _ in 0..1000 {
            let mut slot = budget.open(VIDEO, 100_000).await;
            let buffer = slot.buffer(1);
            slot.release(buffer);
        }
        assert_eq!(budget.0.lock().spare.len(), 0);
    }

    #[test]
    fn a_buffer_wastes_an_eighth_at_most() {
        for (bytes, size) in [
            (0, 0),
            (4095, 4095),
            (4096, 4096),
            (4097, 4608),
            (2_033_984, 2 << 20),
            ((2 << 20) + 1, (2 << 20) + (256 << 10)),
        ] {
            assert_eq!(buffer_size(bytes), size, "{bytes}");
        }
        assert_eq!(buffer_size(usize::MAX), usize::MAX);
    }

    #[tokio::test]
    async fn spare_buffers_stay_within_the_budget() {
        let budget = Budget::new(1 << 20);
        let mut slot = budget.open(VIDEO, 1 << 20).await;
        let buffer = slot.buffer(1 << 20);
        let address = buffer.as_ptr();
        slot.release(buffer);
        let mut slot = budget.open(VIDEO, 1 << 20).await;
        let again = slot.buffer(1 << 20);
        assert_eq!(again.as_ptr(), address, "the buffer is used again");
        slot.release(again);
        let small = budget.open(AUDIO, 1000).await;
        assert!(small.spare.is_none(), "a large buffer is no place for a few bytes");
        drop(small);
        let full = budget.open(VIDEO, 2 << 20).await;
        assert_eq!(budget.0.lock().spare_bytes, 0, "live bytes push spare buffers out");
        drop(full);
    }
}
