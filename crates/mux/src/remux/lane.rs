//! One track of the presentation, and the tracks of the file that it brings.

use std::sync::Arc;

use aqueduct_core::{ClosedCaptions, TrackId, TrackKind};
use aqueduct_media::{
    Language, Roles, Sample, TrackConfig,
    cea608::Channel,
    time::{rescale, to_flicks},
    timeline::{Clock, Start},
};

use serde::{Deserialize, Serialize};

use super::{embed::Embedded, source::Source};

/// One track of the presentation: a stream that may hold several tracks of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Lane {
    pub(super) id: TrackId,
    /// What makes a track of it, for a subtitle Rendition.
    pub(super) embedded: Option<Embedded>,
    pub(super) tags: Tags,
    pub(super) source: Option<Source>,
    /// What sources before this one had to tell.
    pub(super) notes: Vec<String>,
    /// Discontinuity Sequence Number of what came last.
    pub(super) period: Option<u64>,
    pub(super) outputs: Vec<OutputTrack>,
}

/// What the playlist says of a track.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Tags {
    pub(super) language: Option<Language>,
    /// As the playlist has it (BCP 47).
    language_tag: Option<String>,
    pub(super) name: Option<String>,
    pub(super) roles: Roles,
}

impl Tags {
    pub(super) fn of(track: &aqueduct_core::Track) -> Self {
        Self {
            language: track.language.as_deref().map(Language::from_bcp47),
            language_tag: track.language.clone(),
            // The name of a Rendition tells it from its like; that of a Variant Stream is a resolution.
            name: matches!(track.kind, TrackKind::Audio | TrackKind::Subtitles).then(|| track.name.clone()),
            roles: Roles {
                default: track.default,
                forced: track.forced,
                // Media Characteristic Tags (rfc8216bis, 4.4.6.1).
                hearing_impaired: track.is_for("public.accessibility.describes-music-and-sound"),
                visual_impaired: track.is_for("public.accessibility.describes-video"),
            },
        }
    }

    /// Of the captions inside the pictures. Without a name they are called by their channel.
    pub(super) fn of_captions(channel: Channel, told: Option<&ClosedCaptions>) -> Self {
        let language = told.and_then(|told| told.language.clone());
        let name = told.map(|told| told.name.clone()).filter(|name| !name.is_empty());
        Self {
            language: language.as_deref().map(Language::from_bcp47),
            language_tag: language,
            name: Some(name.unwrap_or_else(|| channel.name().to_owned())),
            roles: Roles::default(),
        }
    }

    /// The configuration with what the playlist knows better.
    pub(super) fn apply(&self, config: &TrackConfig) -> TrackConfig {
        let mut config = config.clone();
        config.language = self.language.unwrap_or(config.language);
        config.language_tag = self.language_tag.clone().or(config.language_tag);
        config.name = self.name.clone().or(config.name);
        config.roles = Roles {
            hearing_impaired: self.roles.hearing_impaired || config.roles.hearing_impaired,
            visual_impaired: self.roles.visual_impaired || config.roles.visual_impaired,
            ..self.roles
        };
        config
    }
}

impl Lane {
    pub(super) fn of(lanes: &mut Vec<Self>, id: TrackId) -> &mut Self {
        let at = lanes.iter().position(|lane| lane.id == id).unwrap_or_else(|| {
            lanes.push(Self {
                id,
                embedded: None,
                tags: Tags::default(),
                source: None,
                notes: Vec::new(),
                period: None,
                outputs: Vec::new(),
            });
            lanes.len() - 1
        });
        &mut lanes[at]
    }

    /// Whether every lane but this one has shown what it brings.
    pub(super) fn others_are_known(lanes: &[Self], id: TrackId) -> bool {
        let mut others = lanes.iter().filter(|lane| lane.id != id && lane.embedded.is_none());
        others.all(|lane| !lane.outputs.is_empty())
    }
}

/// A track of the file, as its demuxer sees it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OutputTrack {
    /// Its number there; `None` while a new demuxer has not come to it.
    pub(super) source: Option<aqueduct_media::TrackId>,
    pub(super) kind: aqueduct_media::TrackKind,
    language: Language,
    /// In the file and on the timeline; `None` where the file does without it.
    pub(super) number: Option<usize>,
    /// Of the samples that come next, as the demuxer tells it.
    pub(super) config: Arc<TrackConfig>,
    pub(super) timescale: u32,
    pub(super) clock: Clock,
    /// The edit list that the file has for this track: what it adds, and in which timescale.
    edit: (i64, u32),
    /// What brings samples under another edit list into line, in ticks.
    shift: i64,
}

impl OutputTrack {
    pub(super) fn new(source: aqueduct_media::TrackId, number: Option<usize>, clock: Clock, config: &TrackConfig) -> Self {
        Self {
            source: Some(source),
            kind: config.kind,
            language: config.language,
            number,
            config: Arc::new(config.clone()),
            timescale: config.timescale,
            clock,
            edit: (config.presentation_offset.unwrap_or(0), config.timescale),
            shift: 0,
        }
    }

    /// Lets one of `outputs` that wait go on with a track that a new demuxer brings: one of the same kind, and where
    /// several wait, of the same language before the first in order.
    pub(super) fn attach(outputs: &mut [Self], (source, clock): (aqueduct_media::TrackId, Clock), config: &TrackConfig) {
        if outputs.iter().any(|output| output.source == Some(source)) {
            return;
        }
        let waits = |output: &Self| output.source.is_none() && output.kind == config.kind;
        let same = outputs
            .iter()
            .position(|output| waits(output) && output.language == config.language);
        if let Some(at) = same.or_else(|| outputs.iter().position(waits)) {
            outputs[at].source = Some(source);
            outputs[at].clock = clock;
        }
    }

    pub(super) fn configure(&mut self, config: &Arc<TrackConfig>) {
        self.config = Arc::clone(config);
        self.timescale = config.timescale;
        self.shift = self.shift_under(config);
    }

    fn shift_under(&self, config: &TrackConfig) -> i64 {
        let (offset, timescale) = self.edit;
        config.presentation_offset.unwrap_or(0) - rescale(offset, timescale, config.timescale)
    }

    /// Where a segment begins with it, which may bring another configuration.
    pub(super) fn start(&self, number: usize, config: Option<&TrackConfig>, dts: i64) -> Start {
        let shift = config.map_or(self.shift, |config| self.shift_under(config));
        Start {
            track: number,
            dts: dts.saturating_add(shift),
            timescale: config.map_or(self.timescale, |config| config.timescale),
            kind: self.kind,
        }
    }

    /// From when to when a sample is presented, on the clock of its source, in flicks; of one without a length at a moment.
    pub(super) fn presented<D>(&self, sample: &Sample<D>) -> (i64, i64) {
        let (offset, timescale) = self.edit;
        let start = sample.pts.saturating_add(rescale(offset, timescale, self.timescale));
        let end = start.saturating_add(sample.duration.unwrap_or(1).into());
        (to_flicks(start, self.timescale), to_flicks(end, self.timescale))
    }

    pub(super) fn align<D>(&self, mut sample: Sample<D>) -> Sample<D> {
        sample.dts = sample.dts.saturating_add(self.shift);
        sample.pts = sample.pts.saturating_add(self.shift);
        sample
    }
}
