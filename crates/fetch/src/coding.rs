//! Bodies that come compressed, asked for or not, declared or not.
//!
//! Each format says where it ends, so that a body cut short is told. gzip carries a checksum as well, and so proves what it is
//! even where nobody declares it.

use std::io::{self, Read};

use aqueduct_core::{FetchError, Grant, Kind, Resource, SafeUrl};
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use reqwest::header::{self, HeaderMap};

use crate::sniff;

/// Decompressed bytes are handed on in pieces of this size.
const PIECE: usize = 64 << 10;

/// What a body may become in any case, in bytes; beyond that, so many times what it was packed. Media hardly shrinks, and text
/// is small: what grows more was made to fill memory.
const GROWS_TO: usize = 32 << 20;
const GROWS_BY: usize = 64;

/// The largest window of Zstandard, as a power of two: 8 MiB, which is what HTTP allows (RFC 9659, 3).
const ZSTD_WINDOW: u32 = 23;

/// The code for the window that Brotli leaves unused (RFC 7932, 9.1), and that announces one of up to 1 GiB.
const LARGE_WINDOW: u8 = 0x11;

/// A content coding (RFC 9110, 8.4.1) that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950, or its contents alone (RFC 1951), as some servers send them.
    Deflate,
    /// RFC 7932. Its window is 16 MiB at most: the extension for larger ones is none that HTTP knows.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    fn decoder(self, packed: &[u8]) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match self {
            Self::Gzip => Box::new(Members {
                decoder: GzDecoder::new(packed),
                ended: 0,
            }),
            Self::Deflate if is_zlib(packed) => Box::new(ZlibDecoder::new(packed)),
            Self::Deflate => Box::new(DeflateDecoder::new(packed)),
            Self::Brotli if packed.first().is_some_and(|first| first & 0x7f == LARGE_WINDOW) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a window of more than 16 MiB"));
            }
            Self::Brotli => Box::new(brotli::Decompressor::new(packed, PIECE)),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(packed)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Box::new(decoder)
            }
        })
    }
}

/// Gzip, member by member (RFC 1952, 2.2), of which there may be 2¹⁶. Zeros behind the last are padding, as `gzip` has it.
struct Members<'a> {
    decoder: GzDecoder<&'a [u8]>,
    ended: u16,
}

/// How many members are passed over in one read: many that hold nothing are long work.
const MEMBERS_AT_ONCE: usize = 16;

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..MEMBERS_AT_ONCE {
            let length = self.decoder.read(buffer)?;
            let rest = *self.decoder.get_ref();
            if length > 0 || buffer.is_empty() || rest.iter().all(|byte| *byte == 0) {
                return Ok(length);
            }
            let too_many = || io::Error::new(io::ErrorKind::InvalidData, "too many members");
            self.ended = self.ended.checked_add(1).ok_or_else(too_many)?;
            self.decoder = GzDecoder::new(rest);
        }
        Err(io::ErrorKind::Interrupted.into())
    }
}

/// The codings that text is asked for in.
pub(crate) const ACCEPTED: &str = "gzip, br, zstd, deflate";

/// Whether something of this kind is asked for compressed.
pub(crate) fn is_text(kind: Kind) -> bool {
    matches!(kind, Kind::Document | Kind::Playlist)
}

/// The coding that an answer declares. A part of something compressed is of no use. What is no coding at all (`utf-8`,
/// `none`, `aws-chunked` of what is stored without) says nothing of the body.
pub(crate) fn declared(resource: &Resource, url: &SafeUrl, headers: &HeaderMap) -> Result<Option<Coding>, FetchError> {
    let whole = resource.range.is_none() && resource.kind != Kind::File;
    let values = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut found = None;
    for name in values.flat_map(|value| value.split(',')).map(str::trim) {
        let coding = match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "deflate" => Some(Coding::Deflate),
            "br" => Some(Coding::Brotli),
            "zstd" => Some(Coding::Zstd),
            // Servers write these, and mean the body as it is: a transfer coding, a charset, nothing.
            "" | "identity" | "none" | "binary" | "aws-chunked" | "chunked" => continue,
            charset if charset.starts_with("utf-") || charset.starts_with("iso-8859-") => continue,
            _ => None,
        };
        if coding.is_none() || found.is_some() || !whole {
            return Err(FetchError::Invalid {
                url: url.clone(),
                what: format!("it comes with Content-Encoding {name}, which was not asked for"),
            });
        }
        found = coding;
    }
    Ok(found)
}

/// Whether bytes begin with a header of zlib (RFC 1950, 2.2): its method is deflate, and its first two bytes are a
/// multiple of 31.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [method, flags, ..] if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

/// How gzip with deflate in it begins (RFC 1952, 2.3.1).
pub(crate) const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// Whether bytes begin like gzip with deflate in it: neither text nor MPEG-TS, MP4, ADTS, MP3 or WebVTT does.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&GZIP_MAGIC)
}

/// Whether these first bytes are text in the declared coding, or under gzip that nobody declares.
pub(crate) fn is_packed_text(declared: Option<Coding>, head: &[u8]) -> bool {
    let Some(coding) = declared.or_else(|| is_gzip(head).then_some(Coding::Gzip)) else {
        return false;
    };
    let mut clear = Vec::new();
    if let Ok(decoder) = coding.decoder(head) {
        // The head ends somewhere: an error at its end is no news, and what came before it counts.
        let _ = decoder.take(sniff::HEAD as u64).read_to_end(&mut clear);
    }
    // A coding may tell nothing before a whole block of it is here.
    (declared.is_some() || !clear.is_empty()) && !sniff::is_binary(&clear)
}

/// Replaces a whole body by what it is without its coding: the declared one, and gzip where the body begins like that.
/// What only looks like gzip, as ciphertext may, stays as it is.
pub(crate) async fn undo(declared: Option<Coding>, url: &SafeUrl, grant: &mut Grant) -> Result<(), FetchError> {
    if let Some(coding) = declared {
        let packed = grant.take();
        if let Err(error) = unpack(coding, url, &packed, grant).await? {
            return Err(FetchError::Invalid {
                url: url.clone(),
                what: format!("its Content-Encoding {} cannot be undone: {error}", coding.name()),
            });
        }
    }
    if is_gzip(grant.as_slice()) {
        let packed = grant.take();
        if unpack(Coding::Gzip, url, &packed, grant).await?.is_err() {
            grant.put_back(packed);
        }
    }
    Ok(())
}

/// Unpacks a body; within, whether it is in that coding and whole.
async fn unpack(coding: Coding, url: &SafeUrl, packed: &[u8], grant: &mut Grant) -> Result<io::Result<()>, FetchError> {
    let most = packed.len().saturating_mul(GROWS_BY).max(GROWS_TO);
    let mut decoder = match coding.decoder(packed) {
        Ok(decoder) => decoder,
        Err(error) => return Ok(Err(error)),
    };
    let mut piece = vec![0; PIECE];
    loop {
        // A small body may become a large one: others use this thread, too.
        tokio::task::consume_budget().await;
        match decoder.read(&mut piece) {
            Ok(0) => return Ok(Ok(())),
            Ok(length) if grant.len() + length > most => {
                return Err(FetchError::TooLarge {
                    url: url.clone(),
                    limit: most as u64,
                });
            }
            // Over the limit is over the limit, however small it was packed.
            Ok(length) => grant.put(&piece[..length]).await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use aqueduct_core::Limits;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use url::Url;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn undone(declared: Option<Coding>, body: &[u8]) -> Result<Vec<u8>, FetchError> {
        let key = Resource::new(Kind::Key, Url::parse("http://host.example/").unwrap());
        let mut grant = Grant::unbudgeted(&key, &Limits::default());
        grant.write(body).await?;
        undo(declared, &key.url, &mut grant).await?;
        Ok(grant.as_slice().to_vec())
    }

    #[tokio::test]
    async fn a_coding_is_undone_where_the_body_is_whole() {
        let clear = b"#EXTM3U".repeat(100);
        let mut broken = gzip(&clear);
        let last = broken.len() - 5;
        broken[last] ^= 1;
        let both = [gzip(b"one "), gzip(b"two")].concat();
        let padded = [&*gzip(&clear), &[0; 512]].concat();
        let followed = [&*gzip(&clear), b"more"].concat();
        // From `printf '#EXTM3U' | brotli -c`, the same with `--large_window=28`, and `printf '#EXTM3U' | zstd -c`.
        let brotli = b"\x0f\x03\x80\x23\x45\x58\x54\x4d\x33\x55\x03";
        let large_window = b"\x11\x1c\x0c\x00\x02\x23\x45\x58\x54\x4d\x33\x55\x03";
        let zstd = b"\x28\xb5\x2f\xfd\x04\x58\x39\x00\x00\x23\x45\x58\x54\x4d\x33\x55\x72\x0d\xb0\x35";
        type Case<'a> = (&'a str, Option<Coding>, &'a [u8], Option<&'a [u8]>);
        let cases: [Case; 25] = [
            ("declared", Some(Coding::Gzip), &gzip(&clear), Some(&clear)),
            ("declared deflate", Some(Coding::Deflate), &zlib(&clear), Some(&clear)),
            ("bare deflate", Some(Coding::Deflate), &deflate(&clear), Some(&clear)),
            ("bare deflate, cut short", Some(Coding::Deflate), &deflate(&clear)[..9], None),
            ("deflate declared and plain", Some(Coding::Deflate), &clear, None),
            ("declared, in members", Some(Coding::Gzip), &both, Some(b"one two")),
            ("padded", None, &padded, Some(&clear)),
            ("declared and padded", Some(Coding::Gzip), &padded, Some(&clear)),
            ("more behind it", None, &followed, Some(&followed)),
            ("declared, and more behind it", Some(Coding::Gzip), &followed, None),
            ("declared once, done twice", Some(Coding::Gzip), &gzip(&gzip(&clear)), Some(&clear)),
            ("undeclared", None, &gzip(&clear), Some(&clear)),
            ("in members", None, &both, Some(b"one two")),
            ("plain", None, &clear, Some(&clear)),
            ("looks like gzip only", None, &broken, Some(&broken)),
            ("cut short", None, &gzip(&clear)[..20], Some(&gzip(&clear)[..20])),
            ("declared and broken", Some(Coding::Gzip), &broken, None),
            ("declared and plain", Some(Coding::Gzip), &clear, None),
            ("Brotli", Some(Coding::Brotli), brotli, Some(b"#EXTM3U")),
            ("Brotli, cut short", Some(Coding::Brotli), &brotli[..brotli.len() - 1], None),
            ("Brotli with a large window", Some(Coding::Brotli), large_window, None),
            ("Brotli declared and plain", Some(Coding::Brotli), &clear, None),
            ("Zstandard", Some(Coding::Zstd), zstd, Some(b"#EXTM3U")),
            ("Zstandard, cut short", Some(Coding::Zstd), &zstd[..zstd.len() - 1], None),
            ("Zstandard declared and plain", Some(Coding::Zstd), &clear, None),
        ];
        for (name, declared, body, expected) in cases {
            let undone = undone(declared, body).await;
            assert_eq!(undone.as_deref().ok(), expected, "{name}: {undone:?}");
        }
    }

    #[tokio::test]
    async fn members_that_hold_nothing_come_to_an_end() {
        let empty = gzip(b"").repeat(1 << 16);
        assert_eq!(undone(Some(Coding::Gzip), &gzip(b"").repeat(1000)).await.unwrap(), b"");
        let segment = Resource::new(Kind::Segment, Url::parse("http://host.example/").unwrap());
        let mut grant = Grant::unbudgeted(&segment, &Limits::default());
        grant.write(&[empty, gzip(b"x")].concat()).await.unwrap();
        let error = undo(Some(Coding::Gzip), &segment.url, &mut grant).await.unwrap_err();
        assert!(matches!(error, FetchError::Invalid { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn others_get_their_turn_while_a_large_body_is_unpacked() {
        let members = [gzip(b"").repeat(60_000), gzip(b"x")].concat();
        for (name, packed, length) in [("large", gzip(&vec![0; GROWS_TO]), GROWS_TO), ("of many members", members, 1)] {
            let segment = Resource::new(Kind::Segment, Url::parse("http://host.example/").unwrap());
            let mut grant = Grant::unbudgeted(&segment, &Limits::default());
            grant.write(&packed).await.unwrap();
            let unpacking = tokio::spawn(async move { undo(None, &segment.url, &mut grant).await.map(|()| grant.len()) });
            let mut turns = 0;
            while !unpacking.is_finished() {
                tokio::task::yield_now().await;
                turns += 1;
            }
            assert_eq!(unpacking.await.unwrap().unwrap(), length, "{name}");
            assert!(turns > 2, "{name}: {turns}");
        }
    }

    #[tokio::test]
    async fn a_small_body_cannot_become_a_large_one() {
        let bomb = gzip(&vec![0; 10 << 20]);
        assert!(bomb.len() < 16 << 10);
        assert!(matches!(undone(None, &bomb).await, Err(FetchError::TooLarge { .. })));
        // Nor where a large one would be no surprise.
        let bomb = gzip(&vec![0; GROWS_TO + 1]);
        let segment = Resource::new(Kind::Segment, Url::parse("http://host.example/").unwrap());
        for declared in [None, Some(Coding::Gzip)] {
            let mut grant = Grant::unbudgeted(&segment, &Limits::default());
            grant.write(&bomb).await.unwrap();
            let error = undo(declared, &segment.url, &mut grant).await.unwrap_err();
            assert!(
                matches!(error, FetchError::TooLarge { limit, .. } if limit == GROWS_TO as u64),
                "{error:?}"
            );
        }
    }

    #[test]
    fn text_in_a_coding_is_told_by_its_head() {
        let page = "<html>".repeat(10_000);
        let film = [0, 0, 0, 32, b'f', b't', b'y', b'p'];
        let (packed, packed_film) = (gzip(page.as_bytes()), gzip(&film));
        for declared in [None, Some(Coding::Gzip)] {
            assert!(is_packed_text(declared, &packed[..60]));
            assert!(!is_packed_text(declared, &packed_film));
        }
        assert!(is_packed_text(Some(Coding::Deflate), &zlib(page.as_bytes())[..60]));
        assert!(!is_packed_text(Some(Coding::Deflate), &deflate(&film)));
        assert!(!is_packed_text(None, b"<html>"));
        assert!(!is_packed_text(None, &GZIP_MAGIC));
    }
}
