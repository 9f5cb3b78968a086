//! Which key and which IV each unit of a playlist has.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use aqueduct_core::{Encryption, Fetch, FetchError, Fetched, Grant, Input, Item, Resolve, Resource, Stop, channel};
use aqueduct_resolve::PageResolver;
use url::Url;

/// Nothing has to be fetched for a playlist that is here.
struct Nothing;

impl Fetch for Nothing {
    async fn fetch(&self, resource: &Resource, _: Grant) -> Result<Fetched, FetchError> {
        panic!("{resource} was asked for")
    }
}

fn told(encryption: &Encryption) -> String {
    let name = |key: &Resource| key.url.url().path().trim_start_matches('/').to_owned();
    let iv = encryption
        .iv()
        .map_or("no IV".to_owned(), |iv| format!("{:x}", u128::from_be_bytes(iv.0)));
    match encryption {
        Encryption::None => "clear".to_owned(),
        Encryption::Other { keys, .. } => format!("{keys:?} {iv}"),
        other => format!("{} {iv}", name(other.key().unwrap())),
    }
}

/// Each unit with its key and IV.
async fn units(playlist: &str) -> Vec<String> {
    let input = Input::Text {
        bytes: playlist.as_bytes().to_vec(),
        base: Some(Url::parse("http://host.example/").unwrap().into()),
    };
    let resolver = PageResolver::default();
    let presentation = resolver.resolve(&input, &Nothing).await.unwrap();
    let (outlet, items) = channel(64);
    resolver
        .follow(&presentation.tracks[0], &Nothing, outlet, Stop::new())
        .await
        .unwrap();
    let mut units = Vec::new();
    while let Ok(item) = items.recv().await {
        units.push(match item {
            Item::Init { info, .. } => format!("{}: {}", info.resource.url.url().path(), told(&info.encryption)),
            Item::Segment { info, .. } => format!("{}: {}", info.msn, told(&info.encryption.clone().for_segment(info.msn))),
            Item::Gap { info, .. } => format!("{}: gap", info.msn),
        });
    }
    units
}

const HEAD: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n";

// RFC 8216, 4.3.2.4 and 5.2: the Media Sequence Number as a 128-bit big-endian number, unless the key has an IV.
#[tokio::test]
async fn an_implicit_iv_counts_on_over_discontinuities_gaps_keys_and_32_bits() {
    let playlist = format!(
        "{HEAD}#EXT-X-MEDIA-SEQUENCE:4294967294\n#EXT-X-KEY:METHOD=AES-128,URI=\"a\"\n#EXTINF:2,\n0\n\
         #EXT-X-DISCONTINUITY\n#EXTINF:2,\n1\n#EXT-X-GAP\n#EXTINF:2,\n2\n#EXT-X-KEY:METHOD=AES-128,URI=\"b\"\n#EXTINF:2,\n3\n\
         #EXT-X-KEY:METHOD=AES-128,URI=\"b\",IV=0xABC\n#EXTINF:2,\n4\n#EXTINF:2,\n5\n\
         #EXT-X-KEY:METHOD=NONE\n#EXTINF:2,\n6\n#EXT-X-KEY:METHOD=AES-128,URI=\"a\"\n#EXTINF:2,\n7\n#EXT-X-ENDLIST\n"
    );
    let expected = [
        "4294967294: a fffffffe",
        "4294967295: a ffffffff",
        "4294967296: gap",
        "4294967297: b 100000001",
        // An explicit one holds for all segments of its key.
        "4294967298: b abc",
        "4294967299: b abc",
        "4294967300: clear",
        "4294967301: a 100000005",
    ];
    assert_eq!(units(&playlist).await, expected);
    let greatest =
        format!("{HEAD}#EXT-X-MEDIA-SEQUENCE:18446744073709551614\n#EXT-X-KEY:METHOD=AES-128,URI=\"a\"\n#EXTINF:2,\n0\n#EXT-X-ENDLIST\n");
    assert_eq!(units(&greatest).await, ["18446744073709551614: a fffffffffffffffe"]);
}

// RFC 8216, 4.3.2.5: an initialization section has the key that is in force where its EXT-X-MAP stands, and that must have
// an IV, since the section has no number.
#[tokio::test]
async fn an_initialization_section_has_the_key_of_its_place_and_no_implicit_iv() {
    let playlist = format!(
        "{HEAD}#EXT-X-KEY:METHOD=AES-128,URI=\"a\",IV=0x99\n#EXT-X-MAP:URI=\"first\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"b\"\n\
         #EXTINF:2,\n0\n#EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI=\"second\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"c\"\n#EXTINF:2,\n1\n\
         #EXT-X-MAP:URI=\"third\"\n#EXTINF:2,\n2\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"first\"\n#EXTINF:2,\n3\n#EXT-X-ENDLIST\n"
    );
    let expected = [
        "/first: a 99",
        "0: b 0",
        "/second: clear",
        "1: c 1",
        "/third: c no IV",
        "2: c 2",
        "/first: c no IV",
        "3: c 3",
    ];
    assert_eq!(units(&playlist).await, expected);
}

// RFC 8216, 4.3.2.4: several keys of different KEYFORMAT may be in force, and METHOD=NONE ends them all.
#[tokio::test]
async fn of_several_keys_the_one_that_lies_open_is_taken() {
    const DRM: &str = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n";
    const OPEN: &str = "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"a\",IV=0x1,KEYFORMAT=\"identity\"\n";
    // Its segments carry their IVs; an attribute, which is forbidden, changes nothing.
    const GCM: &str = "#EXT-X-KEY:METHOD=AES-256-GCM,URI=\"a\",IV=0x2\n";
    const UNKNOWN: &str = "#EXT-X-KEY:METHOD=ROT-13,URI=\"a\",IV=0x2\n";
    for (keys, expected) in [
        ([DRM, OPEN].concat(), "0: a 1"),
        ([OPEN, DRM].concat(), "0: a 1"),
        (DRM.to_owned(), "0: [(\"SAMPLE-AES\", \"com.apple.streamingkeydelivery\")] 0"),
        (GCM.to_owned(), "0: a no IV"),
        (GCM.replace("GCM", "CTR"), "0: a 2"),
        (UNKNOWN.to_owned(), "0: [(\"ROT-13\", \"identity\")] 2"),
        ([OPEN, DRM, "#EXT-X-KEY:METHOD=NONE\n"].concat(), "0: clear"),
    ] {
        let playlist = format!("{HEAD}{keys}#EXTINF:2,\n0\n#EXT-X-ENDLIST\n");
        assert_eq!(units(&playlist).await, [expected], "{keys}");
    }
}
