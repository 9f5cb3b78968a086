//! The selection language: which tracks are taken, in a few words.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Which tracks of one kind are taken: a direction, and conditions that all must hold.
///
/// It is written as words with spaces between them:
///
/// | word | takes |
/// |---|---|
/// | `best`, `worst` | the best or the worst of those that the other words allow |
/// | `all`, `none` | all of them; none |
/// | `720p`, `<=1080p`, `<1080p`, `>=720p`, `>720p` | pictures of that height in lines |
/// | `codec:hevc` | a codec by its common name (`avc`, `hevc`, `av1`, `vp9`, `aac`, `ac3`, `eac3`, `opus`, …) or the start of its RFC 6381 name |
/// | `lang:en,ja` | one track for each language (BCP 47; `en` also takes `en-GB`), in this order |
///
/// ```
/// use aqueduct_resolve::Select;
///
/// let select: Select = "<=1080p codec:avc".parse()?;
/// assert!("1080 lines".parse::<Select>().is_err());
/// # Ok::<(), aqueduct_resolve::SelectError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    pub(crate) take: Take,
    pub(crate) heights: Vec<(Comparison, u32)>,
    pub(crate) codec: Option<String>,
    pub(crate) languages: Vec<String>,
    text: String,
}

/// How many are taken of those that are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    Best,
    Worst,
    All,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    AtMost,
    Below,
    AtLeast,
    Above,
}

/// A word of a selection that is not understood.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{word:?} selects nothing: use best, worst, all, none, 720p, <=1080p, codec:NAME or lang:TAG,TAG")]
pub struct SelectError {
    word: String,
}

impl Select {
    fn only(take: Take, text: &str) -> Self {
        Self {
            take,
            heights: Vec::new(),
            codec: None,
            languages: Vec::new(),
            text: text.into(),
        }
    }

    /// The best one.
    pub fn best() -> Self {
        Self::only(Take::Best, "best")
    }

    /// The worst one.
    pub fn worst() -> Self {
        Self::only(Take::Worst, "worst")
    }

    /// None.
    pub fn none() -> Self {
        Self::only(Take::None, "none")
    }

    /// Whether a picture of this height, in lines, is allowed. An unknown height is allowed when none is asked for.
    pub(crate) fn allows_height(&self, height: Option<u32>) -> bool {
        self.heights.iter().all(|(comparison, limit)| {
            height.is_some_and(|height| match comparison {
                Comparison::Equal => height == *limit,
                Comparison::AtMost => height <= *limit,
                Comparison::Below => height < *limit,
                Comparison::AtLeast => height >= *limit,
                Comparison::Above => height > *limit,
            })
        })
    }

    /// Whether one of these codecs (RFC 6381 names) is allowed.
    pub(crate) fn allows_codecs(&self, codecs: &[String]) -> bool {
        let Some(wanted) = &self.codec else { return true };
        codecs.iter().any(|codec| {
            let codec = codec.to_ascii_lowercase();
            family(wanted).map_or_else(
                || codec.starts_with(wanted.as_str()),
                |names| names.iter().any(|name| codec.starts_with(name)),
            )
        })
    }
}

/// The RFC 6381 names of a codec by its common name.
fn family(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "avc" | "h264" => &["avc1", "avc3"],
        "hevc" | "h265" => &["hvc1", "hev1", "dvh1", "dvhe"],
        "dolby-vision" | "dovi" => &["dvh1", "dvhe", "dva1", "dvav", "dav1"],
        "av1" => &["av01", "dav1"],
        "vp9" => &["vp09", "vp9"],
        "vvc" | "h266" => &["vvc1", "vvi1"],
        "aac" => &["mp4a.40", "mp4a.67"],
        "mp3" => &["mp4a.6b", "mp4a.69", "mp3"],
        "ac3" => &["ac-3", "mp4a.a5"],
        "eac3" | "dolby-digital-plus" => &["ec-3", "mp4a.a6"],
        "ac4" => &["ac-4"],
        "flac" => &["flac"],
        "opus" => &["opus"],
        _ => return None,
    })
}

/// Whether a language tag is one of, or lies below, the wanted one (RFC 4647, 3.3.1: basic filtering).
pub(crate) fn language_matches(wanted: &str, tag: &str) -> bool {
    let (wanted, tag) = (wanted.to_ascii_lowercase(), tag.to_ascii_lowercase());
    tag.strip_prefix(&wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

impl FromStr for Select {
    type Err = SelectError;

    fn from_str(text: &str) -> Result<Self, SelectError> {
        let mut select = Self::only(Take::Best, text.trim());
        let mut taken = None;
        for word in text.split_whitespace() {
            let unknown = || SelectError { word: word.into() };
            match word {
                "best" => taken = Some(Take::Best),
                "worst" => taken = Some(Take::Worst),
                "all" => taken = Some(Take::All),
                "none" => taken = Some(Take::None),
                _ => match word.split_once(':') {
                    Some(("codec", name)) if !name.is_empty() => select.codec = Some(name.to_ascii_lowercase()),
                    Some(("lang", tags)) if !tags.is_empty() => select.languages.extend(tags.split(',').map(|tag| tag.trim().to_owned())),
                    Some(_) => return Err(unknown()),
                    None => {
                        let (comparison, height) = match word.as_bytes() {
                            [b'<', b'=', ..] => (Comparison::AtMost, &word[2..]),
                            [b'>', b'=', ..] => (Comparison::AtLeast, &word[2..]),
                            [b'<', ..] => (Comparison::Below, &word[1..]),
                            [b'>', ..] => (Comparison::Above, &word[1..]),
                            _ => (Comparison::Equal, word),
                        };
                        let height = height
                            .strip_suffix('p')
                            .and_then(|height| height.parse().ok())
                            .ok_or_else(unknown)?;
                        select.heights.push((comparison, height));
                    }
                },
            }
        }
        if select.text.is_empty() || select.languages.iter().any(String::is_empty) {
            return Err(SelectError { word: text.into() });
        }
        select.take = taken.unwrap_or(Take::Best);
        Ok(select)
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_language_is_read() {
        let select: Select = "worst <=1080p >360p codec:HEVC lang:en,ja".parse().unwrap();
        assert_eq!(select.take, Take::Worst);
        assert_eq!(select.heights, [(Comparison::AtMost, 1080), (Comparison::Above, 360)]);
        assert_eq!(
            (select.codec.as_deref(), select.languages.as_slice()),
            (Some("hevc"), &["en".to_owned(), "ja".to_owned()][..])
        );
        for wrong in ["", "1080", "p", "<=p", "size:big", "codec:", "lang:", "lang:en,", "bset"] {
            assert!(wrong.parse::<Select>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn conditions_hold_for_what_they_say() {
        let heights = [
            ("720p", 720, true),
            ("720p", 1080, false),
            ("<=1080p", 1080, true),
            ("<1080p", 1080, false),
            (">=720p", 719, false),
            (">720p", 721, true),
        ];
        for (text, height, allowed) in heights {
            assert_eq!(
                text.parse::<Select>().unwrap().allows_height(Some(height)),
                allowed,
                "{text} {height}"
            );
        }
        assert!(!"720p".parse::<Select>().unwrap().allows_height(None));
        assert!(Select::best().allows_height(None));
        let codecs = [
            ("codec:hevc", "hvc1.1.6.L93.B0", true),
            ("codec:avc", "avc1.64001f", true),
            ("codec:avc", "hev1.1", false),
            ("codec:mp4a.40.5", "mp4a.40.5", true),
        ];
        for (text, codec, allowed) in codecs {
            assert_eq!(
                text.parse::<Select>().unwrap().allows_codecs(&[codec.to_owned()]),
                allowed,
                "{text} {codec}"
            );
        }
        // RFC 4647, 3.3.1, with its example.
        let languages = [
            ("de", "de-DE", true),
            ("de-de", "de-DE-1996", true),
            ("de", "den", false),
            ("EN", "en", true),
            ("en-GB", "en", false),
        ];
        for (wanted, tag, matches) in languages {
            assert_eq!(language_matches(wanted, tag), matches, "{wanted} {tag}");
        }
    }
}
