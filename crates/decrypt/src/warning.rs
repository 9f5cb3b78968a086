//! What is odd, and goes well all the same.

use std::fmt;

use aqueduct_core::SafeUrl;

/// Something that a server does against the specification, and that was made good. `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The key came as text, in hexadecimal or base64, and was decoded.
    KeyAsText {
        /// Where it is.
        url: SafeUrl,
    },
    /// Segments have no padding, which RFC 8216, 4.3.2.4 asks for: all their bytes were kept.
    Unpadded {
        /// The key that they are encrypted with; `None` for the user's.
        url: Option<SafeUrl>,
    },
    /// Segments pose as something else, which was taken off.
    Disguised {
        /// What they pose as.
        name: &'static str,
    },
    /// Segments are compressed with gzip, inside of what was taken off or decrypted.
    Compressed,
    /// Segments are in the clear, though the playlist names a key, or the user a method.
    NotEncrypted,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyAsText { url } => write!(f, "key {url}: it came as text and was decoded"),
            Self::Unpadded { url: Some(url) } => write!(f, "segments under key {url} are not padded: all their bytes are kept"),
            Self::Unpadded { url: None } => f.write_str("segments are not padded: all their bytes are kept"),
            Self::Disguised { name } => write!(f, "segments pose as a {name}, which is taken off"),
            Self::Compressed => f.write_str("segments are compressed inside, which is undone"),
            Self::NotEncrypted => f.write_str("segments are not encrypted, though a key is named for them"),
        }
    }
}
