//! Bytes on their way, with the budget slot that they occupy.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::time::Instant;

use crate::budget::buffer_size;
use crate::{Budget, FetchError, Limits, Meter, Progress, Resource, SafeUrl, Slot, TrackId};

/// Buffers start at most this large, whatever length a server claims.
const FIRST_ALLOCATION: usize = 4 << 20;

/// Bytes and their slot, which is freed when the payload is dropped: after its last byte is written.
struct Payload {
    bytes: BytesMut,
    slot: Option<Slot>,
}

impl Payload {
    fn map<E>(mut self, change: impl FnOnce(BytesMut) -> Result<BytesMut, E>) -> Result<Self, E> {
        self.bytes = change(std::mem::take(&mut self.bytes))?;
        Ok(self)
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.release(std::mem::take(&mut self.bytes));
        }
    }
}

/// Bytes as they were on the wire: possibly encrypted, so nothing that a muxer takes.
pub struct Sealed(Payload);

impl Sealed {
    /// Bytes that occupy no slot of a budget, for tests and for stages that read small things.
    pub fn unbudgeted(bytes: impl Into<BytesMut>) -> Self {
        Self(Payload {
            bytes: bytes.into(),
            slot: None,
        })
    }

    /// Runs `decrypt` over the bytes, in place, and keeps the slot with the result: the one way from sealed
    /// to clear.
    ///
    /// # Errors
    ///
    /// Those of `decrypt`; the bytes are lost then.
    pub fn open<E>(self, decrypt: impl FnOnce(BytesMut) -> Result<BytesMut, E>) -> Result<Clear, E> {
        let payload = self.0.map(decrypt)?;
        Ok(Clear {
            payload,
            cut: false,
            padded: false,
        })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// Plain media bytes.
pub struct Clear {
    payload: Payload,
    cut: bool,
    padded: bool,
}

impl Clear {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.payload.bytes
    }

    /// The same, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.payload.bytes
    }

    /// Puts bytes behind these.
    pub fn append(&mut self, bytes: &[u8]) {
        self.payload.bytes.extend_from_slice(bytes);
    }

    /// Keeps the first `length` bytes, where there are more.
    pub fn truncate(&mut self, length: usize) {
        self.payload.bytes.truncate(length);
    }

    /// Whether these are only the beginning of what was to come, as the stage before found out.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Tells the stages behind that these are only the beginning of what was to come.
    pub fn mark_cut(&mut self) {
        self.cut = true;
    }

    /// Whether a whole block of padding stood behind these, as the stage before found out: all under the same key is padded then.
    pub fn is_padded(&self) -> bool {
        self.padded
    }

    /// Tells the stages behind that a whole block of padding stood behind these.
    pub fn mark_padded(&mut self) {
        self.padded = true;
    }
}

impl AsRef<[u8]> for Clear {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.bytes.len())
    }
}

impl fmt::Debug for Clear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clear({} bytes)", self.payload.bytes.len())
    }
}

/// Leave to receive one body: the size limit, the budget slot that grows with it, and the counters.
///
/// A fetcher [`write`](Grant::write)s what arrives and [`seal`](Grant::seal)s it when it is complete.
pub struct Grant {
    url: SafeUrl,
    limit: u64,
    payload: Payload,
    progress: Progress,
    meter: Option<Arc<Meter>>,
    /// When it was asked for, until the first byte comes.
    asked: Option<Instant>,
    /// Length of what was taken out.
    taken: usize,
}

impl Grant {
    /// Leave to receive `resource` outside any budget, within the limit of its kind: for documents, playlists
    /// and keys, which are small and read at once.
    pub fn unbudgeted(resource: &Resource, limits: &Limits) -> Self {
        Self {
            url: resource.url.clone(),
            limit: limits.bytes(resource.kind),
            payload: Payload {
                bytes: BytesMut::new(),
                slot: None,
            },
            progress: Progress::default(),
            meter: None,
            asked: None,
            taken: 0,
        }
    }

    /// The same with somebody who counts what is seen of the transfer.
    #[must_use]
    pub fn with_meter(mut self, meter: Option<Arc<Meter>>) -> Self {
        self.meter = meter;
        self
    }

    /// The same, asked for now: the meter learns how long the first byte takes.
    #[must_use]
    pub fn asked_now(mut self) -> Self {
        self.asked = self.meter.is_some().then(Instant::now);
        self
    }

    /// Tells that a try failed, whether there will be another or not.
    pub fn failed(&mut self, error: &FetchError) {
        if let Some(meter) = &self.meter {
            meter.failed(error);
            self.asked = None;
        }
    }

    /// Bytes received so far.
    pub fn len(&self) -> usize {
        self.payload.bytes.len()
    }

    /// Whether nothing was received yet.
    pub fn is_empty(&self) -> bool {
        self.payload.bytes.is_empty()
    }

    /// The bytes received so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.payload.bytes
    }

    /// The track that the body is for; `None` outside a budget.
    pub fn track(&self) -> Option<TrackId> {
        self.payload.slot.as_ref().map(Slot::track)
    }

    /// The most that may be received, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Announces the length of the whole body: the budget is taken at once, or what was taken beyond it given back, and a
    /// length over the limit is refused before it is received. Memory is not allocated beyond a first piece: the length is a claim.
    ///
    /// # Errors
    ///
    /// [`FetchError::TooLarge`] when `total` is over the limit.
    pub async fn expect(&mut self, total: u64) -> Result<(), FetchError> {
        let size = buffer_size(self.check(total)?);
        if let Some(slot) = &mut self.payload.slot {
            slot.grow(size).await;
            slot.shrink(size);
        }
        self.allocate(size);
        Ok(())
    }

    /// Takes in the next bytes of the body. Waits while the budget is spent.
    ///
    /// # Errors
    ///
    /// [`FetchError::TooLarge`] when the body grows over the limit.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.put(bytes).await?;
        self.progress.counters().received(bytes.len());
        if let Some(meter) = &self.meter {
            meter.received(bytes.len());
            if let Some(asked) = self.asked.take() {
                meter.answered(asked.elapsed());
            }
        }
        Ok(())
    }

    /// The same for bytes that did not arrive like that: what [`take`](Grant::take)n ones were made into.
    ///
    /// # Errors
    ///
    /// [`FetchError::TooLarge`] when the body grows over the limit.
    pub async fn put(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let size = self.check((self.len() as u64).saturating_add(bytes.len() as u64))?;
        if let Some(slot) = &mut self.payload.slot {
            slot.grow(size.saturating_add(self.taken)).await;
        }
        self.allocate(size);
        self.payload.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes out what was received, to [`put`](Grant::put) something else in its place. The budget counts both until the
    /// body is complete.
    pub fn take(&mut self) -> BytesMut {
        self.taken = self.len();
        std::mem::take(&mut self.payload.bytes)
    }

    /// Puts back what was taken, in place of what was put since.
    pub fn put_back(&mut self, bytes: BytesMut) {
        self.taken = 0;
        self.payload.bytes = bytes;
    }

    /// Forgets what was received, to begin again.
    pub fn restart(&mut self) {
        self.payload.bytes.clear();
    }

    /// The body is complete.
    pub fn seal(mut self) -> Sealed {
        let length = self.len();
        if let Some(slot) = &mut self.payload.slot {
            slot.shrink(length);
        }
        Sealed(self.payload)
    }

    /// Where retries and other news of this transfer are told.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    fn check(&self, total: u64) -> Result<usize, FetchError> {
        usize::try_from(total)
            .ok()
            .filter(|_| total <= self.limit)
            .ok_or_else(|| FetchError::TooLarge {
                url: self.url.clone(),
                limit: self.limit,
            })
    }

    /// A first buffer when there is none; later growth is the buffer's own.
    fn allocate(&mut self, expected: usize) {
        if self.payload.bytes.capacity() == 0 {
            let capacity = expected.min(FIRST_ALLOCATION);
            self.payload.bytes = match &mut self.payload.slot {
                Some(slot) => slot.buffer(capacity),
                None => BytesMut::with_capacity(capacity),
            };
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("url", &self.url)
            .field("len", &self.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Gives out [`Grant`]s for the bodies of one track, out of one budget.
#[derive(Clone, Debug)]
pub struct Lender {
    /// The budget of the process.
    pub budget: Budget,
    /// The track whose bodies are received.
    pub track: TrackId,
    /// The size limits.
    pub limits: Limits,
    /// The counters.
    pub progress: Progress,
}

impl Lender {
    /// Leave to receive `resource`, of which about `expected` bytes are taken from the budget at once. Waits
    /// while the budget is spent. Within a track, call it in the order in which bodies are to leave.
    pub async fn grant(&self, resource: &Resource, expected: usize) -> Grant {
        // As much as the body will take: where nothing is waited for later, nobody waits in a circle.
        let expected = buffer_size(expected.min(usize::try_from(self.limits.bytes(resource.kind)).unwrap_or(usize::MAX)));
        self.over(resource, self.budget.open(self.track, expected).await)
    }

    /// Leave to receive `resource` ahead of all bodies of the track that are here: the budget never refuses it. For a
    /// body that all others wait behind, one at a time.
    pub fn grant_first(&self, resource: &Resource) -> Grant {
        self.over(resource, self.budget.open_first(self.track, 0))
    }

    fn over(&self, resource: &Resource, slot: Slot) -> Grant {
        Grant {
            url: resource.url.clone(),
            limit: self.limits.bytes(resource.kind),
            payload: Payload {
                bytes: BytesMut::new(),
                slot: Some(slot),
            },
            progress: self.progress.clone(),
            meter: None,
            asked: None,
            taken: 0,
        }
    }
}

/// A piece of output. The caller of a muxer writes it; when it is dropped, the budget gets its bytes back.
#[derive(Debug)]
pub struct Write {
    /// Where it goes.
    pub at: WriteAt,
    /// What goes there.
    pub data: Data,
}

impl Write {
    /// Appends `data` to the output.
    pub fn append(data: impl Into<Data>) -> Self {
        Self {
            at: WriteAt::End,
            data: data.into(),
        }
    }
}

/// The place of a [`Write`] in the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteAt {
    /// After all that was appended so far.
    End,
    /// Over bytes that were appended before, counted from the start of the output. Only for outputs that can
    /// seek.
    Offset(u64),
    /// At the beginning of another file of this name, which everything that follows goes into. Only for outputs that are
    /// made of several files ([`Mux::begin`](crate::Mux::begin) is not told: who makes such an output also chooses its
    /// muxer).
    File(Arc<str>),
}

/// The bytes of a [`Write`].
#[derive(Debug)]
pub enum Data {
    /// A segment as it came: nothing is copied.
    Clear(Clear),
    /// Bytes that the muxer made.
    Owned(Vec<u8>),
}

impl Data {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Clear(clear) => clear.as_slice(),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl From<Clear> for Data {
    fn from(clear: Clear) -> Self {
        Self::Clear(clear)
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes)
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::Kind;

    fn resource() -> Resource {
        Resource::new(Kind::Key, Url::parse("http://host.example/key").unwrap())
    }

    #[tokio::test]
    async fn a_slot_is_freed_when_the_bytes_are_written_not_when_they_change_hands() {
        let budget = Budget::new(1000);
        let lender = Lender {
            budget: budget.clone(),
            track: TrackId::new(0),
            limits: Limits::default(),
            progress: Progress::default(),
        };
        let mut grant = lender.grant(&resource(), 500).await;
        grant.write(&[1; 100]).await.unwrap();
        assert_eq!(budget.used(), 500);
        grant.expect(300).await.unwrap();
        assert_eq!(budget.used(), 300, "the length is known now");
        let sealed = grant.seal();
        assert_eq!(budget.used(), 100, "what was expected and did not come is given back");
        let clear = sealed.open(Ok::<_, std::convert::Infallible>).unwrap();
        let write = Write::append(clear);
        assert_eq!(budget.used(), 100);
        drop(write);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_body_over_its_limit_is_refused_when_announced_and_when_received() {
        let limits = Limits {
            key_bytes: 20,
            ..Limits::default()
        };
        let mut grant = Grant::unbudgeted(&resource(), &limits);
        assert!(matches!(grant.expect(21).await, Err(FetchError::TooLarge { limit: 20, .. })));
        grant.write(&[0; 20]).await.unwrap();
        assert!(matches!(grant.write(&[0; 1]).await, Err(FetchError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn a_claimed_length_is_not_allocated() {
        let mut grant = Grant::unbudgeted(
            &Resource {
                kind: Kind::Segment,
                ..resource()
            },
            &Limits::default(),
        );
        grant.expect(500 << 20).await.unwrap();
        assert!(grant.payload.bytes.capacity() <= FIRST_ALLOCATION);
    }
}
