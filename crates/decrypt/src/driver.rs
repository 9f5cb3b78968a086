//! The stage: one decrypter between an inlet and an outlet.

use std::sync::Arc;

use aqueduct_core::{
    Clear, Decrypt, DecryptError, Encryption, Fetch, FetchError, GapCause, Item, Located, Receiver, Sealed, SegmentInfo, Sender, Stop, Unit,
};

use crate::KeyStore;

/// Segments in a row whose key might be had later: nobody expects that of the next.
const MOST_FAILED: usize = 32;

/// What to do about a segment that cannot be decrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLocked {
    /// Stop with the error.
    #[default]
    Abort,
    /// Go on, and name it as missing, where its key cannot be had.
    GapWithoutKey,
    /// Go on, and name it as missing, whatever is wrong: what comes is proved by something else.
    Gap,
}

impl OnLocked {
    fn goes_on(self, error: &DecryptError) -> bool {
        match (self, error) {
            // What policy refuses is a decision that stands.
            (Self::Abort, _) | (_, DecryptError::Key(FetchError::Refused { .. })) => false,
            (Self::GapWithoutKey, error) => matches!(error, DecryptError::Key(_) | DecryptError::KeyLength { .. }),
            (Self::Gap, _) => true,
        }
    }
}

/// Decrypts what comes in, where the bytes are, and hands it on in the same order, until the inlet is closed and
/// empty. It waits for a key when the key changes; what was fetched ahead hides that.
///
/// It ends quietly when the receiver of `outlet` is dropped, and at once, without a word, when `stop` aborts.
///
/// # Errors
///
/// The first unit that cannot be decrypted, with its place. Where `locked` goes on behind a segment, that becomes an [`Item::Gap`]; an
/// initialization section that cannot be decrypted, and a server of keys that is gone (32 segments in a row whose key might be had
/// later), remain errors.
pub async fn run<D: Decrypt, F: Fetch>(
    mut decrypter: D,
    keys: &KeyStore<F>,
    locked: OnLocked,
    inlet: Receiver<Item<Sealed>>,
    outlet: Sender<Item<Clear>>,
    stop: Stop,
) -> Result<(), Located<DecryptError>> {
    let work = async {
        let mut failed = 0;
        while let Ok(item) = inlet.recv().await {
            let (track, unit) = (item.track(), item.unit());
            let located = |source| Located::new(track, unit, source);
            let item = match item {
                Item::Gap { info, segments, cause } => Item::Gap { info, segments, cause },
                Item::Init { info, payload } => {
                    let length = payload.as_slice().len();
                    let payload = open(&mut decrypter, keys, &info.encryption, payload).await.map_err(located)?;
                    // A part of it describes nothing.
                    if decrypter.take_cut() {
                        return Err(located(DecryptError::Length { length }));
                    }
                    Item::Init { info, payload }
                }
                Item::Segment { info, payload } => {
                    let encryption = info.encryption.clone().for_segment(info.msn);
                    let opened = open(&mut decrypter, keys, &encryption, payload).await;
                    failed = match &opened {
                        Err(DecryptError::Key(error)) if error.is_retryable() => failed + 1,
                        _ => 0,
                    };
                    match opened {
                        Ok(mut payload) => {
                            if decrypter.take_cut() {
                                payload.mark_cut();
                            }
                            Item::Segment { info, payload }
                        }
                        Err(error) if locked.goes_on(&error) && failed < MOST_FAILED => left_out(info, &error),
                        Err(error) => return Err(located(error)),
                    }
                }
            };
            if outlet.send(item).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    tokio::select! {
        () = stop.aborted() => Ok(()),
        result = work => result,
    }
}

/// A segment that stays locked.
fn left_out(info: Arc<SegmentInfo>, error: &DecryptError) -> Item<Clear> {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let why = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    tracing::warn!(track = %info.track, msn = info.msn, error = %why, "segment left out");
    Item::Gap {
        info,
        segments: 1,
        cause: GapCause::Failed(why),
    }
}

/// The same for a plain file, whose pieces are cut anywhere and need no key but the user's.
///
/// # Errors
///
/// The first piece that cannot be decrypted, with its place.
pub async fn run_file<D: Decrypt>(
    mut decrypter: D,
    inlet: Receiver<Item<Sealed>>,
    outlet: Sender<Item<Clear>>,
    stop: Stop,
) -> Result<(), Located<DecryptError>> {
    let work = async {
        let mut last = None;
        // What waits for the rest of the file, if that is with the decrypter.
        let mut held: Option<Item<Clear>> = None;
        while let Ok(item) = inlet.recv().await {
            let (track, unit) = (item.track(), item.unit());
            last = Some(track);
            let mut open = |sealed: Sealed| {
                let opened = sealed.open(|bytes| decrypter.decrypt_piece(bytes));
                opened.map_err(|source| Located::new(track, unit, source))
            };
            let item = match item {
                Item::Gap { info, segments, cause } => Item::Gap { info, segments, cause },
                Item::Init { info, payload } => Item::Init {
                    info,
                    payload: open(payload)?,
                },
                Item::Segment { info, payload } => Item::Segment {
                    info,
                    payload: open(payload)?,
                },
            };
            let before = held.take();
            let now = if decrypter.holds_back() {
                held = Some(item);
                None
            } else {
                Some(item)
            };
            for item in before.into_iter().chain(now) {
                if outlet.send(item).await.is_err() {
                    return Ok(());
                }
            }
        }
        let mut ended = Ok(());
        // What was stopped is not whole, and somebody else says so.
        if let Some(track) = last.filter(|_| !stop.is_draining()) {
            match decrypter.end_of_file() {
                Ok(rest) => {
                    if let Some(Item::Init { payload, .. } | Item::Segment { payload, .. }) = &mut held {
                        payload.append(&rest);
                    }
                }
                Err(source) => ended = Err(Located::new(track, Unit::Track, source)),
            }
        }
        if let Some(item) = held {
            // Nobody who went away waits for it.
            let _ = outlet.send(item).await;
        }
        ended
    };
    tokio::select! {
        () = stop.aborted() => Ok(()),
        result = work => result,
    }
}

async fn open<D: Decrypt, F: Fetch>(
    decrypter: &mut D,
    keys: &KeyStore<F>,
    encryption: &Encryption,
    sealed: Sealed,
) -> Result<Clear, DecryptError> {
    let key = match decrypter.key(encryption) {
        Some(resource) => Some(keys.get(resource).await.map_err(DecryptError::Key)?),
        None => None,
    };
    let mut clear = sealed.open(|bytes| decrypter.decrypt(encryption, key.as_ref().map_or(&[], |key| key.as_slice()), bytes))?;
    if decrypter.take_padded() {
        clear.mark_padded();
    }
    Ok(clear)
}
