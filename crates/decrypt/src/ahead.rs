//! Keys ahead of the segments that need them.

use aqueduct_core::{Decrypt, Fetch, Item, Receiver, Resource, Sender, channel};

use crate::KeyStore;

/// Keys that wait to be fetched. Where there are more, they are fetched when they are needed.
const WAITING: usize = 64;

/// Hands on what is still to be fetched, as it comes, and fetches the keys meanwhile: each when it first comes into
/// force, one at a time, in the order of the playlist.
///
/// A key that cannot be had is no error here: nothing may need it in the end, and what does asks again. It ends when
/// the inlet is closed, or the receiver of `outlet` dropped, and every key was tried; drop it when the track has ended.
pub async fn fetch_ahead<D: Decrypt, F: Fetch>(
    decrypter: D,
    keys: &KeyStore<F>,
    inlet: Receiver<Item<Resource>>,
    outlet: Sender<Item<Resource>>,
) {
    let (wanted, waiting) = channel(WAITING);
    let hand_on = async move {
        let mut last: Option<Resource> = None;
        while let Ok(item) = inlet.recv().await {
            let encryption = match &item {
                Item::Init { info, .. } => Some(&info.encryption),
                Item::Segment { info, .. } => Some(&info.encryption),
                Item::Gap { .. } => None,
            };
            let key = encryption.and_then(|encryption| decrypter.key_ahead(encryption));
            if let Some(key) = key.filter(|key| last.as_ref() != Some(key))
                && wanted.try_send(key.clone()).is_ok()
            {
                last = Some(key.clone());
            }
            if outlet.send(item).await.is_err() {
                break;
            }
        }
    };
    let fetch = async {
        while let Ok(key) = waiting.recv().await {
            if let Err(error) = keys.get(&key).await {
                tracing::debug!(url = %key.url, %error, "key not fetched ahead");
            }
        }
    };
    tokio::join!(hand_on, fetch);
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use aqueduct_core::{Encryption, FetchError, Fetched, GapCause, Grant, InitId, InitInfo, Kind, Limits, SafeUrl, SegmentInfo, TrackId};
    use url::Url;

    use super::*;
    use crate::{ClearKey, UserKeys};

    /// Remembers what was asked for; `/dead` never answers, `/missing` is not there.
    #[derive(Default)]
    struct Keys(Mutex<Vec<String>>);

    impl Fetch for Keys {
        async fn fetch(&self, resource: &Resource, mut grant: Grant) -> Result<Fetched, FetchError> {
            let path = resource.url.url().path().to_owned();
            self.0.lock().unwrap().push(path.clone());
            match path.as_str() {
                "/dead" => std::future::pending().await,
                "/missing" => Err(FetchError::Status {
                    url: resource.url.clone(),
                    status: 404,
                    retry_after: None,
                }),
                _ => {
                    grant.write(&[7; 16]).await?;
                    Ok(Fetched::new(resource.url.clone(), grant.seal()))
                }
            }
        }
    }

    fn resource(kind: Kind, path: &str) -> Resource {
        let url = Url::parse("http://host.example/").unwrap().join(path).unwrap();
        Resource::new(kind, SafeUrl::from(url))
    }

    fn aes128(path: &str) -> Encryption {
        let key = resource(Kind::Key, path);
        Encryption::Aes128 { key, iv: None }
    }

    fn info(msn: u64, encryption: Encryption) -> Arc<SegmentInfo> {
        let mut info = SegmentInfo::new(TrackId::new(0), msn, Duration::from_secs(1), resource(Kind::Segment, "media"));
        info.encryption = encryption;
        Arc::new(info)
    }

    fn segment(msn: u64, encryption: Encryption) -> Item<Resource> {
        let info = info(msn, encryption);
        let payload = info.resource.clone();
        Item::Segment { info, payload }
    }

    fn store() -> (Arc<Keys>, KeyStore<Keys>) {
        let fetch = Arc::new(Keys::default());
        (Arc::clone(&fetch), KeyStore::new(fetch, Limits::default()))
    }

    #[tokio::test]
    async fn keys_are_fetched_once_each_in_the_order_of_the_playlist_and_gaps_need_none() {
        let (fetch, keys) = store();
        let (named, inlet) = channel(16);
        let (outlet, to_fetch) = channel(16);
        let address = resource(Kind::Init, "init.mp4");
        let init = InitInfo {
            track: TrackId::new(0),
            id: InitId::of(&address),
            first_msn: 0,
            encryption: aes128("init"),
            resource: address.clone(),
        };
        let gap = Item::Gap {
            info: info(3, aes128("never")),
            segments: 1,
            cause: GapCause::Tagged,
        };
        let init = Item::Init {
            info: Arc::new(init),
            payload: address,
        };
        for item in [
            init,
            segment(0, aes128("a")),
            segment(1, aes128("a")),
            segment(2, Encryption::None),
            gap,
            segment(4, aes128("missing")),
            segment(5, aes128("b")),
            segment(6, aes128("a")),
        ] {
            named.send(item).await.unwrap();
        }
        drop(named);
        fetch_ahead(ClearKey::new(), &keys, inlet, outlet).await;
        assert_eq!(*fetch.0.lock().unwrap(), ["/init", "/a", "/missing", "/b"]);
        let mut numbers = Vec::new();
        while let Ok(item) = to_fetch.recv().await {
            numbers.push(item.unit().to_string());
        }
        let names = [0, 1, 2, 3, 4, 5, 6].map(|msn| format!("segment {msn}"));
        assert_eq!(numbers[0], "initialization section before segment 0");
        assert_eq!(numbers[1..], names);
        // What needs the key that is missing asks again.
        assert_eq!(keys.get(&resource(Kind::Key, "missing")).await.unwrap_err().status(), Some(404));
    }

    #[tokio::test]
    async fn a_key_that_does_not_come_holds_up_nothing() {
        let (_, keys) = store();
        let (named, inlet) = channel(1);
        let (outlet, to_fetch) = channel(1);
        let feed = async move {
            // More keys than may wait.
            for msn in 0..3 * WAITING as u64 {
                let key = if msn == 0 { "dead".to_owned() } else { msn.to_string() };
                named.send(segment(msn, aes128(&key))).await.unwrap();
            }
        };
        let take = async {
            let mut taken = 0;
            while to_fetch.recv().await.is_ok() {
                taken += 1;
            }
            taken
        };
        let stage = fetch_ahead(ClearKey::new(), &keys, inlet, outlet);
        tokio::select! {
            () = stage => panic!("it waits for the key that does not come"),
            (taken, ()) = async { tokio::join!(take, feed) } => assert_eq!(taken, 3 * WAITING),
        }
    }

    #[tokio::test]
    async fn a_key_that_the_user_holds_or_may_hold_is_not_fetched() {
        let mut plain = UserKeys::new();
        plain.add("07070707070707070707070707070707").unwrap();
        let mut by_kid = UserKeys::new();
        by_kid
            .add("eb676abbcb345e96bbcf616630f1a3da:07070707070707070707070707070707")
            .unwrap();
        let sample_aes = Encryption::SampleAes {
            key: resource(Kind::Key, "samples"),
            iv: None,
        };
        for (held, expected) in [(UserKeys::new(), &["/a", "/samples"][..]), (plain, &[]), (by_kid, &["/a"])] {
            let (fetch, keys) = store();
            let (named, inlet) = channel(2);
            let (outlet, to_fetch) = channel(2);
            named.send(segment(0, aes128("a"))).await.unwrap();
            named.send(segment(1, sample_aes.clone())).await.unwrap();
            drop(named);
            fetch_ahead(ClearKey::new().with_keys(held), &keys, inlet, outlet).await;
            assert_eq!(*fetch.0.lock().unwrap(), expected);
            assert_eq!(to_fetch.len(), 2);
        }
    }
}
