//! Making again what a few units brought to a finished output, to mend it.

use aqueduct_core::{Clear, Item, Mux, MuxError, Presentation, TrackId, Write, WriteAt};

use crate::remux::SampleWriter;
use crate::{AudioCodec, AudioStream, Concat, Container, Hls, Mp4, Remux, reads_captions};

/// Makes the bytes of single units again, as their muxer wrote them into a finished output.
///
/// That is possible where these bytes depend on nothing but the unit and the one in front of it, of which a demuxer may have
/// held back the last access unit: in a concatenation, and for the samples in an MP4 or in a file of sound alone; others take a
/// [`Replay`](crate::Replay). An index is not made again, and what was only written when another track had come that far may
/// stand elsewhere. So nothing that it makes is to be trusted without a digest.
#[derive(Debug)]
pub struct Remaker {
    presentation: Presentation,
    recipe: Recipe,
    muxer: Muxer,
    /// What comes has initialization sections. It is cut so that no segment goes on in the next.
    sections: bool,
    writes: Vec<Write>,
}

#[derive(Clone, Copy, Debug)]
enum Recipe {
    Concat,
    Mp4 { sound_alone: bool },
    Audio(AudioCodec),
}

#[derive(Debug)]
enum Muxer {
    Concat(Concat),
    Mp4(Box<Remux<Mp4>>),
    Audio(Box<Remux<AudioStream>>),
}

impl Remaker {
    /// What makes units again of an output that its muxer calls `form` ([`Summary::container`]) and that was wanted as
    /// `container` ([`Mux::identity`]); `None` where a unit depends on more than the one in front of it.
    ///
    /// [`Summary::container`]: aqueduct_core::Summary::container
    pub fn new(form: &str, container: &str, presentation: &Presentation) -> Option<Self> {
        // Behind the container's own name stands what else was wanted.
        let is_meant = |wanted: Container| {
            let rest = container.strip_prefix(&wanted.muxer().identity());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        // Each segment of a folder is a file as it came.
        let recipe = if form == Self::CONCATENATION || form == Hls::CONTAINER {
            Recipe::Concat
        } else if form == Mp4::CONTAINER && !reads_captions(container) {
            let sound_alone = is_meant(Container::M4a);
            Recipe::Mp4 { sound_alone }
        } else if form == AudioStream::CONTAINER {
            let codecs = [AudioCodec::Aac, AudioCodec::Mp3, AudioCodec::Ac3, AudioCodec::Eac3];
            Recipe::Audio(codecs.into_iter().find(|codec| is_meant(Container::Audio(*codec)))?)
        } else {
            return None;
        };
        let mut remaker = Self {
            presentation: presentation.clone(),
            recipe,
            muxer: recipe.muxer(),
            sections: false,
            writes: Vec::new(),
        };
        remaker.forget().ok()?;
        Some(remaker)
    }

    /// What comes next does not follow what came last.
    ///
    /// # Errors
    ///
    /// Those of [`Mux::begin`].
    pub fn forget(&mut self) -> Result<(), MuxError> {
        if self.sections {
            return Ok(());
        }
        self.muxer = self.recipe.muxer();
        self.muxer.role().begin(&self.presentation, true)
    }

    /// What [`Concat`] calls its output.
    pub const CONCATENATION: &'static str = "concatenation";

    /// Takes the next unit, and gives the bytes that it brings.
    ///
    /// # Errors
    ///
    /// [`MuxError`]: it is not what can have been there.
    pub fn push(&mut self, track: TrackId, item: Item<Clear>) -> Result<Vec<u8>, MuxError> {
        self.sections |= matches!(item, Item::Init { .. });
        self.muxer.role().push(track, item, &mut self.writes)?;
        Ok(self.take())
    }

    /// What the units that were pushed bring when no other follows.
    ///
    /// # Errors
    ///
    /// [`MuxError`], as for [`push`](Self::push).
    pub fn rest(&mut self) -> Result<Vec<u8>, MuxError> {
        match &mut self.muxer {
            Muxer::Concat(_) => {}
            Muxer::Mp4(muxer) => muxer.rest(&mut self.writes)?,
            Muxer::Audio(muxer) => muxer.rest(&mut self.writes)?,
        }
        Ok(self.take())
    }

    fn take(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for write in self.writes.drain(..).filter(|write| write.at == WriteAt::End) {
            bytes.extend_from_slice(write.data.as_slice());
        }
        bytes
    }
}

impl Recipe {
    fn muxer(self) -> Muxer {
        match self {
            Self::Concat => Muxer::Concat(Concat::new()),
            Self::Mp4 { sound_alone } => {
                let mp4 = Mp4::default().media_alone();
                Muxer::Mp4(Box::new(Remux::new(if sound_alone { mp4.sound_alone() } else { mp4 })))
            }
            Self::Audio(codec) => Muxer::Audio(Box::new(Remux::new(AudioStream::new(codec)))),
        }
    }
}

impl Muxer {
    fn role(&mut self) -> &mut dyn Mux {
        match self {
            Self::Concat(muxer) => muxer,
            Self::Mp4(muxer) => &mut **muxer,
            Self::Audio(muxer) => &mut **muxer,
        }
    }
}
