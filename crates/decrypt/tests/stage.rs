//! The stage with the key store: protected media as they come from a playlist.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqueduct_core::{
    Encryption, Fetch, FetchError, Fetched, Grant, InitId, InitInfo, Item, Kind, Limits, Resource, Sealed, SegmentInfo, Stop, TrackId,
    channel,
};
use aqueduct_decrypt::{ClearKey, KeyStore, OnLocked, run};
use bytes::BytesMut;
use url::Url;

#[derive(Default)]
struct KeyServer(AtomicUsize);

impl Fetch for KeyServer {
    async fn fetch(&self, resource: &Resource, mut grant: Grant) -> Result<Fetched, FetchError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        grant.write(b"100b6c20940f779a4589152b57d2dacb\n").await?;
        Ok(Fetched::new(resource.url.clone(), grant.seal()))
    }
}

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/{name}.mp4", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn resource(kind: Kind, path: &str) -> Resource {
    Resource::new(kind, Url::parse("http://host.example/").unwrap().join(path).unwrap())
}

/// The initialization section and the first fragment of the vector.
fn parts(file: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let moof = |from: usize| file[from..].windows(4).position(|kind| kind == b"moof").map(|at| from + at - 4);
    let first = moof(0).unwrap();
    let second = moof(first + 8).unwrap_or(file.len());
    (file[..first].to_vec(), file[first..second].to_vec())
}

#[tokio::test]
async fn a_protected_track_flows_through_with_one_request_for_its_key() {
    let track = TrackId::new(0);
    let encryption = Encryption::SampleAes {
        key: resource(Kind::Key, "key"),
        iv: None,
    };
    let (init, segment) = parts(&vector("cbcs-video"));
    let (_, clear) = parts(&vector("clear-video"));
    let address = resource(Kind::Init, "init.mp4");
    let info = InitInfo {
        track,
        id: InitId::of(&address),
        first_msn: 0,
        encryption: encryption.clone(),
        resource: address,
    };
    let (to_decrypt, inlet) = channel(4);
    let (outlet, clear_items) = channel(4);
    let payload = Sealed::unbudgeted(BytesMut::from(&init[..]));
    let sent = to_decrypt
        .send(Item::Init {
            info: Arc::new(info),
            payload,
        })
        .await;
    assert!(sent.is_ok());
    for msn in 0..2 {
        let mut info = SegmentInfo::new(track, msn, Duration::from_secs(1), resource(Kind::Segment, "media.m4s"));
        info.encryption = encryption.clone();
        let payload = Sealed::unbudgeted(BytesMut::from(&segment[..]));
        assert!(
            to_decrypt
                .send(Item::Segment {
                    info: Arc::new(info),
                    payload
                })
                .await
                .is_ok()
        );
    }
    drop(to_decrypt);

    let server = Arc::new(KeyServer::default());
    let keys = KeyStore::new(Arc::clone(&server), Limits::default());
    run(ClearKey::new(), &keys, OnLocked::Abort, inlet, outlet, Stop::new())
        .await
        .unwrap();

    let Ok(Item::Init { payload, .. }) = clear_items.recv().await else {
        panic!("first the initialization section")
    };
    assert!(payload.as_slice().windows(4).any(|kind| kind == b"avc1"));
    let media = |bytes: &[u8]| bytes[bytes.windows(4).position(|kind| kind == b"mdat").unwrap()..].to_vec();
    for msn in 0..2 {
        let Ok(Item::Segment { info, payload }) = clear_items.recv().await else {
            panic!("a segment")
        };
        assert_eq!(info.msn, msn);
        assert_eq!(media(payload.as_slice()), media(&clear));
    }
    assert!(clear_items.recv().await.is_err());
    assert_eq!(server.0.load(Ordering::SeqCst), 1);
}

/// Answers for every key with this status.
struct Refusing(u16);

impl Fetch for Refusing {
    async fn fetch(&self, resource: &Resource, _: Grant) -> Result<Fetched, FetchError> {
        Err(FetchError::Status {
            url: resource.url.clone(),
            status: self.0,
            retry_after: None,
        })
    }
}

#[tokio::test]
async fn a_segment_whose_key_is_gone_is_a_gap_and_a_server_of_keys_that_is_gone_an_error() {
    for (status, locked, expected) in [
        (404, OnLocked::Abort, (0, false)),
        (404, OnLocked::GapWithoutKey, (40, true)),
        (503, OnLocked::GapWithoutKey, (31, false)),
        (503, OnLocked::Gap, (31, false)),
    ] {
        let (to_decrypt, inlet) = channel(40);
        let (outlet, clear) = channel(40);
        for msn in 0..40 {
            let mut info = SegmentInfo::new(TrackId::new(0), msn, Duration::from_secs(1), resource(Kind::Segment, "media.ts"));
            let key = resource(Kind::Key, "key");
            info.encryption = Encryption::Aes128 { key, iv: None };
            let payload = Sealed::unbudgeted(&[0; 16][..]);
            let info = Arc::new(info);
            assert!(to_decrypt.send(Item::Segment { info, payload }).await.is_ok());
        }
        drop(to_decrypt);
        let keys = KeyStore::new(Arc::new(Refusing(status)), Limits::default());
        let ended = run(ClearKey::new(), &keys, locked, inlet, outlet, Stop::new()).await;
        let gaps = std::iter::from_fn(|| clear.try_recv().ok())
            .filter(|item| matches!(item, Item::Gap { .. }))
            .count();
        assert_eq!((gaps, ended.is_ok()), expected, "{status}, {locked:?}");
    }
}
