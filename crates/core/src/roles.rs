//! The four roles. A pipeline is generic over them, so any one can be replaced.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use serde::{Deserialize, Serialize};

use crate::{
    Clear, DecryptError, Encryption, FetchError, Grant, Input, Item, Iv, Lender, MuxError, Presentation, Receiver, ResolveError, Resource,
    SafeUrl, Sealed, Sender, Stop, Track, TrackId, Write,
};

/// From an input to tracks, and from each track to what to fetch.
///
/// Requests go through the [`Fetch`] that is handed in, so that one client carries cookies, limits and policy.
pub trait Resolve: Send + Sync + 'static {
    /// Finds the tracks.
    ///
    /// # Errors
    ///
    /// [`ResolveError`]: nothing found, a document or playlist that cannot be had or read.
    fn resolve<F: Fetch>(&self, input: &Input, fetch: &F) -> impl Future<Output = Result<Presentation, ResolveError>> + Send;

    /// Emits the track's items in playlist order, for as long as the stream lives. It waits while `outlet` is
    /// full, ends quietly when its receiver is dropped, and emits nothing more once `stop` drains.
    ///
    /// # Errors
    ///
    /// [`ResolveError`]: a playlist that can no longer be had or read.
    fn follow<F: Fetch>(
        &self,
        track: &Track,
        fetch: &F,
        outlet: Sender<Item<Resource>>,
        stop: Stop,
    ) -> impl Future<Output = Result<(), ResolveError>> + Send;

    /// Finds another place of a unit of the track: from a redundant Variant Stream or another pathway, or under a fresh
    /// address. `None` when there is none that was not tried. Without an implementation of its own, a resolver knows of
    /// none.
    fn elsewhere<F: Fetch>(&self, track: &Track, lost: &Lost, fetch: &F) -> impl Future<Output = Option<Place>> + Send {
        let _ = (track, lost, fetch);
        async { None }
    }

    /// Tells what redundant Variant Streams and other pathways (RFC 8216, 6.2.4; rfc8216bis, 7) have as this unit of the track, so
    /// that one which came from there is known again. Without an implementation of its own, a resolver knows of none.
    fn counterparts<F: Fetch>(&self, track: &Track, unit: &Item<Resource>, fetch: &F) -> impl Future<Output = Vec<Counterpart>> + Send {
        let _ = (track, unit, fetch);
        async { Vec::new() }
    }
}

/// A unit that could not be had where it should be.
#[derive(Debug)]
pub struct Lost {
    /// The unit, with the address that failed last.
    pub item: Item<Resource>,
    /// The HTTP status code, where that is what went wrong last.
    pub status: Option<u16>,
    /// All addresses that failed.
    pub tried: Vec<Resource>,
}

/// Another place where a unit can be had.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it is.
    pub resource: Resource,
    /// How it is encrypted there.
    pub encryption: Encryption,
}

/// What stands for a unit elsewhere: the same by another address.
#[derive(Clone, Debug)]
pub struct Counterpart {
    /// Where it is.
    pub resource: Resource,
    /// Its playing time there; of an initialization section zero.
    pub duration: Duration,
    /// Its Discontinuity Sequence Number there; of an initialization section 0.
    pub discontinuity_sequence: u64,
}

/// From an address to bytes: complete, or not at all.
pub trait Fetch: Send + Sync + 'static {
    /// Fetches one resource into `grant`. The bytes are those of [`Resource::range`] where it is given, and
    /// the whole body otherwise. Tries that failed are told to [`Grant::failed`].
    ///
    /// # Errors
    ///
    /// [`FetchError`], after whatever retries the fetcher makes.
    fn fetch(&self, resource: &Resource, grant: Grant) -> impl Future<Output = Result<Fetched, FetchError>> + Send;

    /// Fetches [`Part`]s of one resource that follow each other, in order, until `parts` is closed and empty. Each is
    /// answered for by itself, and may fail by itself.
    ///
    /// Without an implementation of its own, a fetcher asks for each by itself.
    fn fetch_parts(&self, parts: &Receiver<Part>) -> impl Future<Output = ()> + Send {
        async move {
            while let Ok(part) = parts.recv().await {
                let fetched = self.fetch(&part.resource, part.grant).await;
                // Nobody may want it any more.
                let _ = part.answer.send(fetched).await;
            }
        }
    }

    /// Fetches a resource of any size ([`Kind::File`](crate::Kind::File)) and hands it on piece by piece, in
    /// order. Ends quietly when the receiver of `outlet` is dropped.
    ///
    /// The bytes are complete when this returns `Ok`. Without an implementation of its own, a fetcher hands
    /// on one piece.
    ///
    /// # Errors
    ///
    /// [`FetchError`]; pieces that were handed on stay so.
    fn stream(&self, resource: &Resource, lender: &Lender, outlet: &Sender<Sealed>) -> impl Future<Output = Result<(), FetchError>> + Send {
        async move {
            let grant = lender.grant(resource, 0).await;
            let fetched = self.fetch(resource, grant).await?;
            // A dropped receiver means stop quietly.
            let _ = outlet.send(fetched.body).await;
            Ok(())
        }
    }
}

/// A byte range of a resource, ahead of others that follow it without a gap.
#[derive(Debug)]
pub struct Part {
    /// Where it is, with its range.
    pub resource: Resource,
    /// Leave to receive it.
    pub grant: Grant,
    /// How many bytes behind it belong to parts that come next: a fetcher may ask for them along with it.
    pub ahead: u64,
    /// Where it goes; there is room for one.
    pub answer: Sender<Result<Fetched, FetchError>>,
}

impl<F: Fetch> Fetch for Arc<F> {
    fn fetch(&self, resource: &Resource, grant: Grant) -> impl Future<Output = Result<Fetched, FetchError>> + Send {
        F::fetch(self, resource, grant)
    }

    fn fetch_parts(&self, parts: &Receiver<Part>) -> impl Future<Output = ()> + Send {
        F::fetch_parts(self, parts)
    }

    fn stream(&self, resource: &Resource, lender: &Lender, outlet: &Sender<Sealed>) -> impl Future<Output = Result<(), FetchError>> + Send {
        F::stream(self, resource, lender, outlet)
    }
}

/// What a fetcher brings back.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// The bytes.
    pub body: Sealed,
    /// Where they came from, after redirects.
    pub url: SafeUrl,
    /// `Content-Type`, as sent.
    pub content_type: Option<String>,
    /// Length of the whole resource, in bytes, where the server told it.
    pub total_length: Option<u64>,
    /// Whether the server says that it serves byte ranges.
    pub accepts_ranges: bool,
    /// What tells this version of the resource from others: its `ETag`, its `Last-Modified`, or
    /// its length where it has neither.
    pub version: Option<Arc<str>>,
    /// Whether `body` is all that was asked for. Only a [`Kind::Document`](crate::Kind::Document) that turned
    /// out to be media may be cut.
    pub whole: bool,
}

impl Fetched {
    /// A complete body from `url`.
    pub fn new(url: SafeUrl, body: Sealed) -> Self {
        Self {
            body,
            url,
            content_type: None,
            total_length: None,
            accepts_ranges: false,
            version: None,
            whole: true,
        }
    }
}

/// Whether all is padded under the key at this address, as far as it is known.
pub type PaddedKeys = Arc<dyn Fn(&SafeUrl) -> bool + Send + Sync>;

/// From sealed bytes to clear ones: CPU work only, in place.
///
/// Each track has a decrypter of its own, cloned from the pipeline's.
pub trait Decrypt: Clone + Send + 'static {
    /// The resource whose bytes [`decrypt`](Decrypt::decrypt) needs as `key`; `None` when it needs none.
    fn key<'a>(&self, encryption: &'a Encryption) -> Option<&'a Resource> {
        encryption.key()
    }

    /// The same for a unit that is still to be fetched, so that its key can be fetched ahead of it; `None` where that
    /// cannot be told yet. Nothing of the track was decrypted by this one before.
    fn key_ahead<'a>(&self, encryption: &'a Encryption) -> Option<&'a Resource> {
        self.key(encryption)
    }

    /// What the user gave it that changes what it makes of the same bytes. An output that was begun with one is not taken up
    /// with another. Keys are told by a digest with this `salt`, and never
    /// themselves. Without an implementation of its own, nothing.
    fn given(&self, salt: &[u8; 16]) -> Vec<Given> {
        let _ = salt;
        Vec::new()
    }

    /// Decrypts one whole segment or initialization section. `key` holds the bytes of the resource that
    /// [`key`](Decrypt::key) named, and nothing when it named none. An IV is always filled in for a segment.
    ///
    /// # Errors
    ///
    /// [`DecryptError`]: what the key, the IV or the bytes lack.
    fn decrypt(&mut self, encryption: &Encryption, key: &[u8], bytes: BytesMut) -> Result<BytesMut, DecryptError>;

    /// Whether what is there of a segment that came cut short is to be decrypted, and not an error. It is an error without a word,
    /// and always without an implementation of its own.
    fn keep_cut(&mut self, keeps: bool) {
        let _ = keeps;
    }

    /// Whether what [`decrypt`](Decrypt::decrypt) gave last is only the beginning of it, because it came cut short.
    fn take_cut(&mut self) -> bool {
        false
    }

    /// Whether a whole block of padding stood behind what [`decrypt`](Decrypt::decrypt) gave last, as shows that the server pads all under
    /// the same key: who pads only to fill a block adds less.
    fn take_padded(&mut self) -> bool {
        false
    }

    /// Tells what earlier runs have seen of that. What ends without padding under such a key came cut short.
    fn expect_padding(&mut self, under: PaddedKeys) {
        let _ = under;
    }

    /// Decrypts the next piece of a plain file, of which no playlist tells anything: pieces are cut anywhere and come in order,
    /// the first one first. What it holds back comes with a later one, so that all of them together are as long as before. Without
    /// an implementation of its own, each stands for itself.
    ///
    /// # Errors
    ///
    /// As for [`decrypt`](Decrypt::decrypt).
    fn decrypt_piece(&mut self, bytes: BytesMut) -> Result<BytesMut, DecryptError> {
        self.decrypt(&Encryption::None, &[], bytes)
    }

    /// Whether some of the pieces so far is held back.
    fn holds_back(&self) -> bool {
        false
    }

    /// The last piece of a plain file came: gives what was held back.
    ///
    /// # Errors
    ///
    /// [`DecryptError::Media`], when something is held back that is not there whole.
    fn end_of_file(&mut self) -> Result<BytesMut, DecryptError> {
        Ok(BytesMut::new())
    }
}

/// Something that the user gave to decrypt with, as it can be told to anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// What it is, for people: "the key of 16 bytes".
    pub name: String,
    /// What tells it from others.
    pub value: String,
    /// What it has a part in: an output that has some of that cannot go on with it when it was begun without.
    pub changes: Changes,
}

/// What something that the user gave has a part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Changes {
    /// Every segment.
    All,
    /// What the playlist says is encrypted.
    Encrypted,
    /// What nothing else opens, so that it may come later.
    Locked,
}

impl Given {
    /// Something that is no secret, and has a part in `changes`.
    pub fn new(name: impl Into<String>, value: impl Into<String>, changes: Changes) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            changes,
        }
    }
}

/// From clear items to output bytes: no I/O, no waiting. The caller writes.
pub trait Mux: Send + 'static {
    /// Tells what is coming, before the first item. `seekable` says whether [`WriteAt::Offset`] may be used.
    ///
    /// # Errors
    ///
    /// [`MuxError::Unsupported`] when these tracks do not fit the container.
    ///
    /// [`WriteAt::Offset`]: crate::WriteAt::Offset
    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError> {
        let _ = (presentation, seekable);
        Ok(())
    }

    /// Takes the next item of a track and appends to `writes` what can be written now. Items of a track come
    /// in order; the track that is furthest behind in playing time comes next.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: media that the container cannot hold.
    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError>;

    /// Takes what the item that was pushed last lacks, where this muxer was told to go on without. Each such item is named in
    /// the report, and the output is not whole.
    fn take_loss(&mut self) -> Option<Loss> {
        None
    }

    /// Names what is made: what was begun under one name is not taken up under another.
    fn identity(&self) -> String {
        std::any::type_name::<Self>().into()
    }

    /// Appends to `state` what [`restore`](Mux::restore) needs in order to go on from here in another process: what changed
    /// since the last call that returned `true`, so that the parts together grow no faster than the output. `false` when
    /// it cannot be taken up from here: an output that was cut off goes on from an earlier place then, or is begun anew.
    fn checkpoint(&mut self, state: &mut Vec<u8>) -> bool {
        let _ = state;
        false
    }

    /// Takes up what an earlier process did. It comes after [`begin`](Mux::begin) and before the first item, once for each
    /// part that [`checkpoint`](Mux::checkpoint) gave, in their order.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: a part that is not of this muxer, or that does not fit those before.
    fn restore(&mut self, state: &[u8]) -> Result<(), MuxError> {
        let _ = state;
        Err(MuxError::Unsupported {
            what: "this container cannot be taken up again after a break".into(),
        })
    }

    /// No more items: appends what completes the output.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: media that the container cannot hold.
    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError>;
}

/// What a Media Segment lacks that came, but not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What is wrong with it, and how much of it is kept, as a fragment for people.
    pub why: String,
    /// Whether some of it is in the output. A segment of which nothing is of use is a gap.
    pub kept: bool,
}

/// What a muxer made of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The container, for people: "MPEG-TS", "MP4".
    pub container: String,
    /// What was repaired or dropped, as fragments for people.
    pub notes: Vec<String>,
}

impl Summary {
    /// A summary without notes.
    pub fn new(container: impl Into<String>) -> Self {
        Self {
            container: container.into(),
            notes: Vec::new(),
        }
    }
}

impl Encryption {
    /// The same with the IV filled in for the segment `msn`, where the playlist gives none (RFC 8216, 5.2).
    #[must_use]
    pub fn for_segment(mut self, msn: u64) -> Self {
        match &mut self {
            Self::None | Self::Aes256Gcm { .. } => {}
            Self::Aes128 { iv, .. }
            | Self::Aes256 { iv, .. }
            | Self::Aes256Ctr { iv, .. }
            | Self::SampleAes { iv, .. }
            | Self::SampleAesCtr { iv, .. }
            | Self::Other { iv, .. } => *iv = iv.or(Some(Iv::from_media_sequence_number(msn))),
        }
        self
    }
}
