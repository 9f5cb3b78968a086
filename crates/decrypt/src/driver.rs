//! The stage: one decrypter between an inlet and an outlet.

use aqueduct_core::{Clear, Decrypt, DecryptError, Encryption, Fetch, Item, Located, Receiver, Sealed, Sender, Stop, Unit};

use crate::KeyStore;

/// Decrypts what comes in, where the bytes are, and hands it on in the same order, until the inlet is closed and
/// empty. It waits for a key when the key changes; what was fetched ahead hides that.
///
/// It ends quietly when the receiver of `outlet` is dropped, and at once, without a word, when `stop` aborts.
///
/// # Errors
///
/// The first unit that cannot be decrypted, with its place.
pub async fn run<D: Decrypt, F: Fetch>(
    mut decrypter: D,
    keys: &KeyStore<F>,
    inlet: Receiver<Item<Sealed>>,
    outlet: Sender<Item<Clear>>,
    stop: Stop,
) -> Result<(), Located<DecryptError>> {
    let work = async {
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
                    let mut payload = open(&mut decrypter, keys, &encryption, payload).await.map_err(located)?;
                    if decrypter.take_cut() {
                        payload.mark_cut();
                    }
                    Item::Segment { info, payload }
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
    sealed.open(|bytes| decrypter.decrypt(encryption, key.as_ref().map_or(&[], |key| key.as_slice()), bytes))
}
