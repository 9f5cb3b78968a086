//! Choosing the muxer: by the wanted container, and by what the media turns out to be.

mod chosen;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use aqueduct_core::{Clear, GapCause, Item, Loss, Mux, MuxError, Presentation, SegmentInfo, Summary, TrackId, TrackKind, Write};

use aqueduct_media::cea608::Channel;
use aqueduct_media::mkv::TextForm;
use aqueduct_media::timed_text::Coding;
use aqueduct_media::{ProtectionWatch, packed, ts};

pub(crate) use self::chosen::Chosen;
use crate::checkpoint;
use crate::subtitles::Watch;
use crate::whole::{Fault, cut_box, cut_packet};
use crate::{AudioCodec, AudioStream, Concat, Mkv, Mp4, Mp4Muxer, Origin, Remux, SubtitleFormat, Subtitles};

/// What kind of file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Container {
    /// One progressive MP4 (ISO 14496-12), index included; fragmented MP4 where the output cannot seek.
    Mp4,
    /// Fragmented MP4: the initialization section and the segments as they come where one track brings them in that form,
    /// and made of the samples otherwise.
    Fmp4,
    /// One Matroska file, its index at the end; a segment of unknown size where the output cannot seek.
    Mkv,
    /// A Matroska file of the sound alone.
    Mka,
    /// MPEG-TS: the segments as they come where one track brings them in that form, and made of the samples otherwise.
    Ts,
    /// An MP4 of the sound alone.
    M4a,
    /// The sound alone, without a container.
    Audio(AudioCodec),
    /// Opus alone, in Ogg.
    Ogg,
    /// The clear segments in a folder, each a file, with playlists of their own. It needs an output that is a folder.
    Hls,
    /// The clear segments as they come, whatever they are.
    Raw,
    /// What the stream is in already: the segments of one track as they come, fragmented MP4 on one timeline.
    AsIs,
    /// Subtitles alone, joined into one file.
    Subtitles(SubtitleFormat),
}

impl Container {
    /// The container that a file extension (in lower case) stands for.
    pub fn from_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "mp4" | "m4v" | "mov" => Self::Mp4,
            "m4a" => Self::M4a,
            "m4s" | "cmfv" | "cmfa" => Self::Fmp4,
            "mkv" => Self::Mkv,
            "mka" => Self::Mka,
            "ts" | "m2ts" | "mts" => Self::Ts,
            "aac" => Self::Audio(AudioCodec::Aac),
            "mp3" => Self::Audio(AudioCodec::Mp3),
            "ac3" => Self::Audio(AudioCodec::Ac3),
            "ec3" | "eac3" => Self::Audio(AudioCodec::Eac3),
            "flac" => Self::Audio(AudioCodec::Flac),
            "opus" => Self::Ogg,
            "hls" => Self::Hls,
            "raw" => Self::Raw,
            "vtt" => Self::Subtitles(SubtitleFormat::WebVtt),
            "srt" => Self::Subtitles(SubtitleFormat::SubRip),
            _ => return None,
        })
    }

    /// Whether a plain file of this kind stays as it is: it has a container already, and most are not segments. One of
    /// transport packets or of frames is taken apart where another container is wanted.
    fn keeps(self, media: Media) -> bool {
        match self {
            Self::Ts => !matches!(media, Media::PackedAudio),
            Self::Audio(_) => media != Media::MpegTs,
            _ => !matches!(media, Media::MpegTs | Media::PackedAudio),
        }
    }

    /// Whether pictures have no place in it.
    pub fn is_sound_alone(self) -> bool {
        matches!(self, Self::M4a | Self::Mka | Self::Audio(_) | Self::Ogg)
    }

    /// A muxer that makes this container of whatever comes.
    pub fn muxer(self) -> Auto {
        Auto {
            container: self,
            begun: None,
            chosen: None,
            media: Vec::new(),
            watch: Watch::default(),
            protection: Box::default(),
            keeps_protected: false,
            keeps_cut: false,
            loss: None,
            coding: Coding::default(),
            captions: None,
            chapters: true,
        }
    }
}

/// The bundled muxer: it looks at the first bytes, and then leaves the work to [`Concat`] or a [`Remux`].
#[derive(Debug)]
pub struct Auto {
    container: Container,
    begun: Option<Box<(Presentation, bool)>>,
    chosen: Option<Chosen>,
    /// What the segments of each track are.
    media: Vec<(TrackId, Media)>,
    watch: Watch,
    /// What a plain file says of encrypted media, and whether it is kept all the same.
    protection: Box<ProtectionWatch>,
    keeps_protected: bool,
    /// Whether segments that are not whole are kept as far as they are of use, and what the last one lacks.
    keeps_cut: bool,
    loss: Option<Loss>,
    coding: Coding,
    captions: Option<Channel>,
    chapters: bool,
}

/// What media is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Media {
    MpegTs,
    IsoBmff,
    /// AAC in ADTS, MP3, AC-3 or E-AC-3, with ID3 tags or not (RFC 8216, 3.4).
    PackedAudio,
    /// A page: the answer of a server that says 200 and means an error.
    Page,
    Other,
}

impl Media {
    pub(crate) fn of(head: &[u8]) -> Self {
        const BOXES: [&[u8; 4]; 14] = [
            b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"ssix", b"emsg", b"prft", b"mdat", b"free", b"skip", b"uuid", b"pdin", b"bloc",
        ];
        if head.get(4..8).is_some_and(|kind| BOXES.iter().any(|known| known[..] == *kind)) {
            return Self::IsoBmff;
        }
        let text = head.trim_ascii_start();
        if [&b"<!doctype html"[..], b"<html", b"<head", b"<?xml"]
            .iter()
            .any(|tag| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag)))
        {
            return Self::Page;
        }
        // In what is short, a byte near the end passes for the only packet behind junk.
        if packed::is_packed(head) {
            Self::PackedAudio
        } else if ts::find_packets(head).is_some() {
            Self::MpegTs
        } else {
            Self::Other
        }
    }
}

impl Auto {
    /// The time that other muxers of the same presentation count from.
    pub fn origin(&self) -> Origin {
        self.watch.origin()
    }

    fn choose(&mut self, head: &[u8], subtitles: bool) -> Result<(), MuxError> {
        let chosen = self.chosen.insert(self.choice(head, subtitles)?);
        if let Some((presentation, seekable)) = self.begun.as_deref() {
            chosen.muxer().begin(presentation, *seekable)?;
        }
        Ok(())
    }

    /// What makes the container of media that begins with `head`.
    fn choice(&self, head: &[u8], subtitles: bool) -> Result<Chosen, MuxError> {
        let media = Media::of(head);
        let joined = self.joined() > 1;
        let seekable = self.begun.as_deref().is_none_or(|(_, seekable)| *seekable);
        let chosen = match (self.container, media) {
            (container, _) if self.captions.is_some() && !self.takes_captions(container, media, seekable) => {
                return Err(MuxError::Unsupported {
                    what:
                        "captions stay in the video: a file ending in .mp4 or .mkv that is made of segments has them as a track, and one \
                           ending in .vtt or .srt is made of them"
                            .into(),
                });
            }
            // A plain file has its container already.
            (Container::Subtitles(_), _) if self.plain_file() => Chosen::Concat(Concat::new()),
            (Container::Subtitles(format), _) => {
                let muxer = Subtitles::new(format, None);
                Chosen::Subtitles(Box::new(match self.captions {
                    Some(channel) => muxer.of_captions(channel).titled(&self.told(channel)),
                    None => muxer,
                }))
            }
            // They tell nothing of the rest.
            (Container::Mp4, _) if subtitles => Chosen::Mp4(self.mp4()),
            (Container::Mkv, _) if subtitles => Chosen::Mkv(self.mkv()),
            (_, Media::Page) if !self.plain_file() => return Err(page()),
            // A plain file has its container already.
            (Container::AsIs, Media::IsoBmff) if !self.plain_file() => Chosen::Concat(Concat::of_fragments()),
            (Container::AsIs, Media::MpegTs) if !self.plain_file() => Chosen::Concat(Concat::of_transport()),
            (Container::Raw | Container::AsIs, _) => Chosen::Concat(Concat::new()),
            (Container::Hls, _) => Chosen::Hls(Box::default()),
            (container, _) if self.plain_file() && container.keeps(media) => Chosen::Concat(Concat::new()),
            (_, Media::Page | Media::Other) => {
                return Err(MuxError::Unsupported {
                    what: "the segments are neither MPEG-TS, fragmented MP4 nor packed audio; --format raw keeps them as they are".into(),
                });
            }
            (Container::Ts, Media::MpegTs) if !joined => Chosen::Concat(Concat::of_transport()),
            (Container::Fmp4, Media::IsoBmff) if !joined => Chosen::Concat(Concat::of_fragments()),
            (Container::Ts, _) => Chosen::Ts(Box::default()),
            // One pass without going back, as a pipe needs it.
            (Container::Mp4, Media::IsoBmff) if !seekable && !joined => Chosen::Concat(Concat::of_fragments()),
            (Container::Mp4, _) if !seekable => Chosen::Fmp4(Box::default()),
            (Container::Mp4, _) => Chosen::Mp4(self.mp4()),
            (Container::Mkv, _) => Chosen::Mkv(self.mkv()),
            (Container::Mka, _) => Chosen::Mkv(Box::new(Remux::new(Mkv::default().sound_alone()))),
            (Container::M4a, _) => Chosen::Mp4(Box::new(Remux::new(Mp4::default().sound_alone()))),
            (Container::Audio(codec), _) => Chosen::Audio(Box::new(Remux::new(AudioStream::new(codec)))),
            (Container::Ogg, _) => Chosen::Ogg(Box::default()),
            (Container::Fmp4, _) => Chosen::Fmp4(Box::default()),
        };
        tracing::debug!(?media, container = ?self.container, "muxer chosen");
        Ok(chosen)
    }

    /// Whether captions inside the video can become a track of this, or all of it.
    fn takes_captions(&self, container: Container, media: Media, seekable: bool) -> bool {
        let stays = self.plain_file() && container.keeps(media);
        match container {
            Container::Mp4 => seekable && !stays,
            Container::Mkv => !stays,
            Container::Subtitles(_) => !self.plain_file(),
            _ => false,
        }
    }

    /// What the Multivariant Playlist says of captions: their name and language.
    fn told(&self, channel: Channel) -> String {
        let tracks = self.begun.as_deref().into_iter().flat_map(|(presentation, _)| &presentation.tracks);
        let told = tracks.flat_map(|track| &track.captions);
        let found = told
            .into_iter()
            .find(|captions| Channel::named(&captions.instream_id) == Some(channel));
        found.map_or_else(String::new, |captions| {
            let language = captions.language.as_ref().map(|language| format!(" ({language})"));
            captions.name.clone() + &language.unwrap_or_default()
        })
    }

    /// How many tracks go into the one file.
    fn joined(&self) -> usize {
        let tracks = self.begun.as_deref().into_iter().flat_map(|(presentation, _)| &presentation.tracks);
        tracks.filter(|track| track.kind != TrackKind::Subtitles).count()
    }

    /// The same with subtitles that have no output of their own written so, in containers that can hold them.
    #[must_use]
    pub fn with_subtitles(mut self, coding: Coding) -> Self {
        self.coding = coding;
        self
    }

    /// The same, with a channel of the captions inside the video as a file of subtitles, or as a track of an MP4 or Matroska file.
    #[must_use]
    pub fn with_captions(mut self, channel: Option<Channel>) -> Self {
        self.captions = channel;
        self
    }

    /// The same, with or without the chapters of the presentation in an MP4 or Matroska file. Without a word they are there.
    #[must_use]
    pub fn with_chapters(mut self, chapters: bool) -> Self {
        self.chapters = chapters;
        self
    }

    /// The same, which keeps a plain file as it is though its media are encrypted. Without a word such a file is refused: it
    /// would be taken for one that plays.
    #[must_use]
    pub fn keeping_protected(mut self, keeps: bool) -> Self {
        self.keeps_protected = keeps;
        self
    }

    /// The same, which keeps what is whole of a segment that was cut short, and goes on without one that is no media at all
    /// ([`Mux::take_loss`] tells). Without a word both are errors.
    #[must_use]
    pub fn keeping_cut(mut self, keeps: bool) -> Self {
        self.keeps_cut = keeps;
        self
    }

    /// A muxer with the same options that has seen nothing.
    pub(crate) fn another(&self) -> Self {
        let muxer = self.container.muxer();
        muxer
            .with_subtitles(self.coding)
            .with_captions(self.captions)
            .with_chapters(self.chapters)
            .keeping_protected(self.keeps_protected)
            .keeping_cut(self.keeps_cut)
    }

    /// What is made of the media that came, if that is known by now.
    pub(crate) fn chosen(&mut self) -> Option<&mut Chosen> {
        self.chosen.as_mut()
    }

    /// So much of a track is passed over, as `info` says. `dropped` gets what is written of what came before it.
    pub(crate) fn skip(&mut self, track: TrackId, info: Arc<SegmentInfo>, dropped: &mut Vec<Write>) -> Result<(), MuxError> {
        let Some(chosen) = &mut self.chosen else { return Ok(()) };
        chosen.skip(track, &info, dropped)?;
        if self.is_subtitles(track) {
            return Ok(());
        }
        let passed = Item::Gap {
            info,
            segments: 1,
            cause: GapCause::Tagged,
        };
        self.watch.see(track, &passed);
        let added = self.chosen.as_ref().and_then(|chosen| chosen.added(track));
        self.watch.placed(track, added);
        Ok(())
    }

    fn mp4(&self) -> Box<Mp4Muxer> {
        let muxer = Mp4Muxer::default().with_subtitles(self.coding, self.watch.origin());
        Box::new(muxer.with_captions(self.captions))
    }

    fn mkv(&self) -> Box<Remux<Mkv>> {
        let form = match self.coding {
            Coding::Wvtt => TextForm::WebVtt,
            _ => TextForm::SubRip,
        };
        let muxer = Remux::new(Mkv::new(form)).with_subtitles(Coding::Cues, self.watch.origin());
        Box::new(muxer.with_captions(self.captions))
    }

    fn is_subtitles(&self, track: TrackId) -> bool {
        let tracks = self.begun.as_deref().map_or(&[][..], |(presentation, _)| &presentation.tracks);
        tracks.iter().any(|known| known.id == track && known.kind == TrackKind::Subtitles)
    }

    fn plain_file(&self) -> bool {
        self.begun
            .as_deref()
            .is_some_and(|(presentation, _)| presentation.tracks.iter().any(|track| track.kind == TrackKind::File))
    }

    /// Refuses what this output can never hold.
    fn refuse(&mut self, track: TrackId, segment: &[u8]) -> Result<(), MuxError> {
        if self.plain_file()
            && !self.keeps_protected
            && let Some(protected) = self.protection.see(segment)
        {
            return Err(MuxError::Unsupported {
                what: format!("{protected}: --key KID:KEY opens it, and without a key --format raw keeps it as it is"),
            });
        }
        if self.takes_all() || self.container == Container::Raw || !matches!(self.chosen, Some(Chosen::Concat(_))) {
            return Ok(());
        }
        let found = Media::of(segment);
        match self.media.iter().find(|(known, _)| *known == track) {
            Some((_, known)) if found != *known && matches!(found, Media::MpegTs | Media::IsoBmff) => Err(MuxError::Unsupported {
                what: "the stream changes its container here, which a concatenation cannot follow: name the output .mp4, or begin another \
                       file there with --split changes"
                    .into(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether segments may be anything. What is no text of subtitles, their reader refuses; TTML is XML, as some pages are.
    fn takes_all(&self) -> bool {
        self.plain_file() || matches!(self.container, Container::Subtitles(_))
    }

    /// What is wrong with a segment, if that is [to be left out](Self::keeping_cut). Otherwise it is an error: a server that
    /// answers with a page or an error message, and says 200, would leave it in the film; one that cuts a segment short and gets
    /// its length wrong would go unnoticed.
    pub(crate) fn fault(&mut self, track: TrackId, item: &Item<Clear>) -> Result<Option<Fault>, MuxError> {
        let Item::Segment { payload, .. } = item else { return Ok(None) };
        match self.fault_of(track, payload.as_slice()) {
            Some(fault) if !self.keeps_cut => Err(MuxError::NotWhole { what: fault.what().into() }),
            fault => Ok(fault),
        }
    }

    fn fault_of(&mut self, track: TrackId, segment: &[u8]) -> Option<Fault> {
        if self.takes_all() {
            return None;
        }
        let found = Media::of(segment);
        if found == Media::Page {
            return Some(Fault::Page);
        }
        if self.container == Container::Raw {
            return None;
        }
        let known = match self.media.iter().find(|(known, _)| *known == track) {
            Some((_, media)) => *media,
            None => {
                self.media.push((track, found));
                found
            }
        };
        match found {
            // A stream may change its kind at a discontinuity, but not to nothing known, and not where nobody looks into it.
            Media::Other if known != Media::Other => Some(Fault::Unknown),
            Media::MpegTs => cut_packet(segment).map(Fault::Packet),
            Media::IsoBmff => cut_box(segment).map(Fault::Box),
            _ => None,
        }
    }

    /// What a segment with this fault lacks, and how many of its bytes are kept, by what becomes of it here: a part of its samples is of
    /// no use where segments stay as they are.
    pub(crate) fn loss(&self, segment: &[u8], fault: Fault) -> (Loss, usize) {
        let stays = match &self.chosen {
            Some(chosen) => chosen.keeps_segments(),
            None => self.choice(segment, false).is_ok_and(|chosen| chosen.keeps_segments()),
        };
        let kept = fault.kept(segment.len(), !stays);
        (fault.loss(kept, segment.len()), kept)
    }

    /// Hands an item to the muxer that makes something of it, which is chosen by the first.
    fn mux(&mut self, track: TrackId, item: Item<Clear>, subtitles: bool, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        if let Item::Segment { payload, .. } = &item
            && !subtitles
        {
            self.refuse(track, payload.as_slice())?;
        }
        let fault = if subtitles { None } else { self.fault(track, &item)? };
        let ends_early = fault.is_some() || matches!(&item, Item::Segment { payload, .. } if payload.is_cut());
        let of_use = fault.is_none_or(Fault::is_of_use);
        match (&self.chosen, &item) {
            (Some(_), _) => {}
            // Nothing is lost: the driver names every gap, and there is no media yet that it would stand in.
            (None, Item::Init { payload, .. } | Item::Segment { payload, .. }) if of_use => self.choose(payload.as_slice(), subtitles)?,
            (None, _) => {}
        }
        let item = match fault {
            Some(fault) => self.trim(item, fault),
            None => item,
        };
        let Some(chosen) = &mut self.chosen else { return Ok(()) };
        let is_cut = ends_early && matches!(item, Item::Segment { .. });
        chosen.muxer().push(track, item, writes)?;
        if is_cut {
            chosen.cut(track);
        }
        Ok(())
    }

    /// Leaves of a segment what is of use: the samples that are whole where they are taken out one by one, and what stands for
    /// itself otherwise.
    fn trim(&mut self, item: Item<Clear>, fault: Fault) -> Item<Clear> {
        let Item::Segment { info, mut payload } = item else { return item };
        let (loss, kept) = self.loss(payload.as_slice(), fault);
        payload.truncate(kept);
        let item = match &loss {
            Loss { kept: true, .. } => Item::Segment { info, payload },
            Loss { why, .. } => gap(info, why.clone()),
        };
        self.loss = Some(loss);
        item
    }
}

/// What stands for a segment of which nothing is of use.
pub(crate) fn gap(info: Arc<SegmentInfo>, why: String) -> Item<Clear> {
    Item::Gap {
        info,
        segments: 1,
        cause: GapCause::Failed(why),
    }
}

/// How the identity says that captions are read.
const OF_CAPTIONS: &str = " of captions ";

/// Whether a muxer that calls what it makes so ([`Mux::identity`]) reads the captions inside the video: what it makes of a
/// segment depends on those before.
pub fn reads_captions(identity: &str) -> bool {
    identity.contains(OF_CAPTIONS)
}

fn page() -> MuxError {
    MuxError::Media {
        what: Fault::Page.what().into(),
    }
}

impl Mux for Auto {
    fn begin(&mut self, presentation: &Presentation, seekable: bool) -> Result<(), MuxError> {
        if matches!(self.container, Container::Subtitles(_)) && presentation.tracks.len() > 1 {
            return Err(MuxError::Unsupported {
                what: "a file of subtitles holds one track: choose it with --subs, as in --subs lang:en".into(),
            });
        }
        let mut presentation = presentation.clone();
        if !self.chapters {
            presentation.chapters.clear();
        }
        self.begun = Some(Box::new((presentation, seekable)));
        if self.container == Container::Hls {
            // It has a place for gaps before the first segment too.
            self.choose(&[], false)?;
        }
        Ok(())
    }

    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        let subtitles = self.is_subtitles(track);
        if !subtitles {
            self.watch.see(track, &item);
        }
        self.mux(track, item, subtitles, writes)?;
        if !subtitles {
            let added = self.chosen.as_ref().and_then(|chosen| chosen.added(track));
            self.watch.placed(track, added);
            if let Some(chosen) = &mut self.chosen {
                chosen.read_on(writes)?;
            }
        }
        Ok(())
    }

    fn take_loss(&mut self) -> Option<Loss> {
        self.loss.take()
    }

    fn identity(&self) -> String {
        let mut identity = format!("{:?}", self.container);
        if let Some(channel) = self.captions {
            identity.push_str(&format!("{OF_CAPTIONS}{channel:?}"));
        }
        if self.coding != Coding::default() {
            identity.push_str(&format!(" with subtitles as {:?}", self.coding));
        }
        let has_chapters = matches!(self.container, Container::Mp4 | Container::M4a | Container::Mkv | Container::Mka);
        if !self.chapters && has_chapters {
            identity.push_str(" without chapters");
        }
        if self.keeps_protected {
            identity.push_str(" though it is encrypted");
        }
        identity
    }

    fn checkpoint(&mut self, state: &mut Vec<u8>) -> bool {
        let saved = checkpoint::save(&(&self.media, &self.watch, &self.protection, &self.chosen), state);
        if let Some(chosen) = self.chosen.as_mut().filter(|_| saved) {
            chosen.mark_saved();
        }
        saved
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), MuxError> {
        let (media, watch, protection, mut chosen) = checkpoint::read::<(_, _, _, Option<Chosen>)>(state)?;
        if let (Some(chosen), Some(earlier)) = (&mut chosen, self.chosen.take()) {
            chosen.put_behind(earlier);
        }
        self.media = media;
        self.protection = protection;
        self.chosen = chosen;
        match &mut self.chosen {
            Some(Chosen::Mp4(muxer)) => muxer.set_origin(self.watch.origin()),
            Some(Chosen::Mkv(muxer)) => muxer.set_origin(self.watch.origin()),
            _ => {}
        }
        self.watch.take_up(watch);
        Ok(())
    }

    fn finish(&mut self, writes: &mut Vec<Write>) -> Result<Summary, MuxError> {
        match &mut self.chosen {
            Some(chosen) => chosen.muxer().finish(writes),
            None => Ok(Summary::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_with_other_options_is_another_output() {
        let captions = |channel| {
            let muxer = Container::Subtitles(SubtitleFormat::SubRip).muxer();
            muxer.with_captions(channel).identity()
        };
        let mp4 = |coding| Container::Mp4.muxer().with_subtitles(coding).identity();
        let made = [
            captions(None),
            captions(Some(Channel::Cc1)),
            captions(Some(Channel::Cc2)),
            mp4(Coding::Tx3g),
            mp4(Coding::Wvtt),
            Container::Mp4.muxer().with_chapters(false).identity(),
            Container::Mkv.muxer().identity(),
            Container::Mkv.muxer().with_chapters(false).identity(),
        ];
        for (number, one) in made.iter().enumerate() {
            assert!(!made[..number].contains(one), "{one}");
        }
    }

    #[test]
    fn media_is_known_by_its_first_bytes() {
        let mut packets = vec![0xff; 188 * 4];
        for at in (0..packets.len()).step_by(188) {
            packets[at] = 0x47;
        }
        let junk: Vec<u8> = b"\x89PNG junk".iter().copied().chain(packets.clone()).collect();
        let cases: [(&[u8], Media); 10] = [
            (b"\r\n<!DOCTYPE html><title>Log in</title>", Media::Page),
            (b"<?xml version=\"1.0\"?><Error/>", Media::Page),
            // ISO 14496-3, 1.A.2.2: an ADTS header, AAC LC at 48 kHz, stereo, 32 bytes.
            (&[0xff, 0xf1, 0x4c, 0x80, 0x04, 0x1f, 0xfc, 0x00], Media::PackedAudio),
            (&packets, Media::MpegTs),
            (&junk, Media::MpegTs),
            (b"\x00\x00\x00\x18ftypiso5", Media::IsoBmff),
            (b"\x00\x00\x00\x18stypmsdh", Media::IsoBmff),
            (b"ID3\x04\x00\x00\x00\x00\x00\x3f", Media::Other),
            (b"G", Media::Other),
            (b"", Media::Other),
        ];
        for (head, media) in cases {
            assert_eq!(Media::of(head), media, "{:?}", &head[..head.len().min(12)]);
        }
    }
}
