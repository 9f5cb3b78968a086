//! Which muxer made an output, by what it called it.

use aqueduct_core::Mux;
use aqueduct_media::cea608::Channel;
use aqueduct_media::timed_text::Coding;

use crate::{AudioCodec, Auto, Container, SubtitleFormat};

/// What makes one file that can be made again by itself.
const CONTAINERS: [Container; 16] = [
    Container::Mp4,
    Container::Fmp4,
    Container::Mkv,
    Container::Mka,
    Container::Ts,
    Container::M4a,
    Container::Audio(AudioCodec::Aac),
    Container::Audio(AudioCodec::Mp3),
    Container::Audio(AudioCodec::Ac3),
    Container::Audio(AudioCodec::Eac3),
    Container::Audio(AudioCodec::Flac),
    Container::Ogg,
    Container::Raw,
    Container::AsIs,
    Container::Subtitles(SubtitleFormat::WebVtt),
    Container::Subtitles(SubtitleFormat::SubRip),
];

impl Auto {
    /// The muxer that calls what it makes so ([`Mux::identity`]): the one of a report, say. `None` where that is another one, such
    /// as that of subtitles beside a film, whose times count from what is in the film.
    pub fn named(identity: &str) -> Option<Self> {
        let captions = [None, Some(Channel::Cc1), Some(Channel::Cc2), Some(Channel::Cc3), Some(Channel::Cc4)];
        let container = |container: &Container| {
            let rest = identity.strip_prefix(&container.muxer().identity());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
                .then_some(*container)
        };
        let container = CONTAINERS.iter().find_map(container)?;
        for captions in captions {
            for coding in [Coding::Tx3g, Coding::Wvtt, Coding::Cues] {
                for (chapters, protected) in [(true, false), (false, false), (true, true), (false, true)] {
                    let muxer = container
                        .muxer()
                        .with_captions(captions)
                        .with_subtitles(coding)
                        .with_chapters(chapters)
                        .keeping_protected(protected);
                    if muxer.identity() == identity {
                        return Some(muxer);
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_muxer_is_found_by_what_it_calls_its_output() {
        let srt = Container::Subtitles(SubtitleFormat::SubRip);
        let made = [
            Container::Mp4.muxer(),
            Container::Mp4.muxer().with_chapters(false),
            Container::Mp4.muxer().with_subtitles(Coding::Wvtt).with_chapters(false),
            Container::Mkv.muxer().with_chapters(false),
            Container::Raw.muxer().keeping_protected(true),
            Container::Audio(AudioCodec::Eac3).muxer(),
            srt.muxer().with_captions(Some(Channel::Cc3)),
        ];
        for muxer in made {
            let identity = muxer.identity();
            assert_eq!(Auto::named(&identity).map(|muxer| muxer.identity()), Some(identity));
        }
        for identity in [
            "",
            "WebVTT",
            "Mp",
            "Mp4x",
            "Mp4 of something else",
            "Mp4 by discontinuity",
            "own_muxer::Own",
        ] {
            assert!(Auto::named(identity).is_none(), "{identity}");
        }
    }
}
