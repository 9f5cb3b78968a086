//! A stream of which nothing but a report is left.

use aqueduct_core::{
    DocumentRead, Fetch, Input, Item, Presentation, Resolve, ResolveError, Resource, Sender, Stop, Track, TrackId, TrackKind,
};
use url::Url;

use super::Damage;

impl Damage {
    /// What the report tells of the stream, to be [mended](crate::Pipeline::repair) over [`ByReport`] where its playlist cannot be had any
    /// more; `None` where that is of no use. What is damaged is asked for at the addresses in the report then, and so is what is missing of
    /// a stream that was live; `input`, an address that led to the stream, counts as what names them.
    pub fn by_report(&mut self, input: &Input) -> Option<Presentation> {
        // What is local may name whatever it likes, and a report is no such thing.
        let Input::Url(led) = input else { return None };
        if !matches!(led.url().scheme(), "http" | "https") {
            return None;
        }
        let output = self.report.output();
        let tracks = output.tracks.iter().map(|known| {
            let kind = match known.kind.as_str() {
                "main" => TrackKind::Main,
                "audio" => TrackKind::Audio,
                "subtitles" => TrackKind::Subtitles,
                _ => return None,
            };
            let mut track = Track::new(TrackId::new(known.number), kind, known.name.clone());
            track.language.clone_from(&known.language);
            track.url = Some(Url::parse(known.address.as_deref()?).ok()?.into());
            Some(track)
        });
        let mut presentation = Presentation::new(tracks.collect::<Option<_>>()?);
        let told = output.input.as_deref().and_then(|input| Url::parse(input).ok());
        presentation.account.documents = Vec::from_iter(told.map(|url| DocumentRead {
            url: url.into(),
            depth: 0,
            found: Vec::new(),
        }));
        (self.is_alone, self.led) = (true, Some(led.clone()));
        Some(presentation)
    }
}

/// The resolver of a stream that nothing but a report tells of: it names nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByReport;

impl Resolve for ByReport {
    async fn resolve<F: Fetch>(&self, _: &Input, _: &F) -> Result<Presentation, ResolveError> {
        let what = "only the report tells of the stream".into();
        Err(ResolveError::Input { what })
    }

    async fn follow<F: Fetch>(&self, _: &Track, _: &F, _: Sender<Item<Resource>>, _: Stop) -> Result<(), ResolveError> {
        Ok(())
    }
}
