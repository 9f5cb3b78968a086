//! `data:` URLs (RFC 2397) and the local files of a local playlist.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use aqueduct_core::{ByteRange, FetchError, Resource, SafeUrl};
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};

use crate::policy::Policy;

/// Pieces of a local file.
const PIECE: usize = 256 << 10;

/// Decodes a `data:` URL into its media type and its bytes.
pub(crate) fn data_url(url: &SafeUrl) -> Result<(String, Vec<u8>), FetchError> {
    let invalid = |what: &str| FetchError::Invalid {
        url: url.clone(),
        what: what.into(),
    };
    let (head, body) = url
        .url()
        .path()
        .split_once(',')
        .ok_or_else(|| invalid("data: URL without a comma"))?;
    // A query is part of the data: the URL parser split it off.
    let query = url.url().query().map(|query| format!("?{query}")).unwrap_or_default();
    let raw: Vec<u8> = percent_encoding::percent_decode_str(body)
        .chain(percent_encoding::percent_decode_str(&query))
        .collect();
    match head.trim_end().strip_suffix(";base64") {
        None => Ok((head.into(), raw)),
        Some(media_type) => {
            let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
            let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, config);
            let text: Vec<u8> = raw.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let bytes = engine
                .decode(&text)
                .or_else(|_| general_purpose::URL_SAFE_NO_PAD.decode(&text))
                .map_err(|_| invalid("data: URL with broken base64"))?;
            Ok((media_type.into(), bytes))
        }
    }
}

/// An open local file, cut to the range that is wanted.
pub(crate) struct LocalFile {
    file: std::io::Take<std::fs::File>,
    /// Length of what is wanted, in bytes.
    pub(crate) length: u64,
    /// Length of the whole file, in bytes.
    pub(crate) total: u64,
}

impl LocalFile {
    /// Opens the file behind a `file:` URL, if the rules allow it: the user named it, or a local playlist did and
    /// it lies below the playlist's folder, symbolic links followed.
    pub(crate) fn open(policy: &Policy, resource: &Resource) -> Result<Self, FetchError> {
        let url = &resource.url;
        let refused = |reason: &str| FetchError::Refused {
            url: url.clone(),
            reason: reason.into(),
        };
        let io = |source| FetchError::File { url: url.clone(), source };
        let path = url.url().to_file_path().map_err(|()| refused("not the address of a local file"))?;
        if let Some(by) = &resource.named_by {
            match by.url().scheme() {
                "file" => {}
                "data" => return Err(refused("a text without a folder names a local file")),
                _ => return Err(refused("a remote document names a local file")),
            }
            let root = policy.local_root.as_deref().ok_or_else(|| refused("no local folder is open"))?;
            if !is_below(&path, root).map_err(io)? {
                return Err(refused("it lies outside the folder of the playlist"));
            }
        }
        // Before it is opened: opening a pipe would wait for its writer.
        let metadata = std::fs::metadata(&path).map_err(io)?;
        if !metadata.is_file() {
            return Err(refused("it is no regular file"));
        }
        let mut file = std::fs::File::open(&path).map_err(io)?;
        let total = metadata.len();
        let length = match resource.range {
            None => total,
            Some(range) => {
                if range.offset.checked_add(range.length).is_none_or(|end| end > total) {
                    return Err(FetchError::Range {
                        url: url.clone(),
                        what: format!("asked for bytes {range} of a file of {total} bytes"),
                    });
                }
                file.seek(SeekFrom::Start(range.offset)).map_err(io)?;
                range.length
            }
        };
        Ok(Self {
            file: file.take(length),
            length,
            total,
        })
    }

    /// The next piece, empty at the end. It reads on the caller's thread: local pieces are small and quick.
    pub(crate) fn next(&mut self, url: &SafeUrl, piece: &mut Vec<u8>) -> Result<(), FetchError> {
        piece.clear();
        self.file
            .by_ref()
            .take(PIECE as u64)
            .read_to_end(piece)
            .map_err(|source| FetchError::File { url: url.clone(), source })?;
        Ok(())
    }
}

fn is_below(path: &Path, root: &Path) -> std::io::Result<bool> {
    Ok(path.canonicalize()?.starts_with(root.canonicalize()?))
}

/// Cuts `bytes` to a range.
pub(crate) fn slice<'a>(url: &SafeUrl, bytes: &'a [u8], range: Option<ByteRange>) -> Result<&'a [u8], FetchError> {
    let Some(range) = range else { return Ok(bytes) };
    let start = usize::try_from(range.offset).ok();
    let end = range.offset.checked_add(range.length).and_then(|end| usize::try_from(end).ok());
    start
        .zip(end)
        .and_then(|(start, end)| bytes.get(start..end))
        .ok_or_else(|| FetchError::Range {
            url: url.clone(),
            what: format!("asked for bytes {range} of {}", bytes.len()),
        })
}

#[cfg(test)]
mod tests {
    use aqueduct_core::Kind;
    use url::Url;

    use super::*;
    use crate::fetcher::Options;

    // RFC 2397, section 4, and the forms that key servers write.
    #[test]
    fn data_urls_are_decoded() {
        let cases: [(&str, &[u8]); 5] = [
            ("data:,A%20brief%20note", b"A brief note"),
            ("data:text/plain;base64,AAECAw==", &[0, 1, 2, 3]),
            ("data:text/plain;base64,AAECAw", &[0, 1, 2, 3]),
            ("data:;base64,-_-_", &[0xfb, 0xff, 0xbf]),
            ("data:,a?b", b"a?b"),
        ];
        for (url, expected) in cases {
            assert_eq!(data_url(&Url::parse(url).unwrap().into()).unwrap().1, expected, "{url}");
        }
        for url in ["data:nothing", "data:;base64,*"] {
            assert!(data_url(&Url::parse(url).unwrap().into()).is_err(), "{url}");
        }
    }

    #[test]
    fn a_local_playlist_reaches_its_folder_and_nothing_above() {
        let folder = std::env::temp_dir().join(format!("aqueduct-local-{}", std::process::id()));
        let inner = folder.join("show");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("a.ts"), b"inside").unwrap();
        std::fs::write(folder.join("secret"), b"outside").unwrap();
        let url = |name: &str| Url::from_file_path(inner.join(name)).unwrap();
        let list = Resource::new(Kind::Playlist, url("list.m3u8"));
        let policy = Policy::new(&Options {
            local_root: Some(inner.clone()),
            ..Options::default()
        });

        let mut piece = Vec::new();
        let inside = list
            .names(Kind::Segment, url("a.ts"))
            .with_range(Some(ByteRange { offset: 2, length: 3 }));
        let mut file = LocalFile::open(&policy, &inside).unwrap();
        file.next(&inside.url, &mut piece).unwrap();
        assert_eq!((piece.as_slice(), file.total), (&b"sid"[..], 6));

        let above = list.names(Kind::Segment, Url::from_file_path(folder.join("secret")).unwrap());
        assert!(matches!(LocalFile::open(&policy, &above), Err(FetchError::Refused { .. })));
        let remote = Resource::new(Kind::Playlist, Url::parse("http://host.example/").unwrap()).names(Kind::Segment, url("a.ts"));
        assert!(matches!(LocalFile::open(&policy, &remote), Err(FetchError::Refused { .. })));
        // Text that the user gives has no folder, wherever it came from.
        let text = Resource::new(Kind::Document, Url::parse("data:,%23EXTM3U").unwrap());
        for text in [
            text.names(Kind::Segment, url("a.ts")),
            text.names(Kind::Playlist, url("list.m3u8")).names(Kind::Key, url("a.ts")),
        ] {
            let allowed = text.named_by.as_ref().is_some_and(|by| by.url().scheme() == "file");
            assert_eq!(LocalFile::open(&policy, &text).is_ok(), allowed, "{:?}", text.named_by);
        }
        let beyond = list
            .names(Kind::Segment, url("a.ts"))
            .with_range(Some(ByteRange { offset: 2, length: 5 }));
        assert!(matches!(LocalFile::open(&policy, &beyond), Err(FetchError::Range { .. })));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
