//! A resolver of one's own, for a stream that has numbered segments and no playlist:
//! `own_resolver BASE-URL COUNT OUTPUT` fetches `BASE-URL/0.ts`, `1.ts`, …

use std::sync::Arc;
use std::time::Duration;

use aqueduct::*;

/// What a segment plays.
const SEGMENT: Duration = Duration::from_secs(2);

struct Numbered(Url, u64);

impl Resolve for Numbered {
    async fn resolve<F: Fetch>(&self, _: &Input, _: &F) -> Result<Presentation, ResolveError> {
        let mut track = Track::new(TrackId::new(0), TrackKind::Main, "numbered");
        // What is known ahead makes the progress tell how much is left, and the index stand in front of the film.
        track.segments = Some(self.1);
        track.duration = Some(SEGMENT.saturating_mul(self.1.try_into().unwrap_or(u32::MAX)));
        Ok(Presentation::new(vec![track]))
    }

    async fn follow<F: Fetch>(&self, track: &Track, _: &F, outlet: Sender<Item<Resource>>, _: Stop) -> Result<(), ResolveError> {
        for msn in 0..self.1 {
            let url = self
                .0
                .join(&format!("{msn}.ts"))
                .map_err(|error| ResolveError::Other(error.into()))?;
            let resource = Resource::new(Kind::Segment, url);
            let info = Arc::new(SegmentInfo::new(track.id, msn, SEGMENT, resource.clone()));
            if outlet.send(Item::Segment { info, payload: resource }).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, count, output] = arguments.as_slice() else {
        return Err("usage: own_resolver BASE-URL COUNT OUTPUT".into());
    };
    let numbered = Numbered(Url::parse(base)?, count.parse()?);
    let pipeline = Pipeline::new(fetch::Options::default())?.with_resolver(numbered);
    let presentation = pipeline.resolve(&Input::parse(base)).await?;
    pipeline.run(presentation, Output::file(output.as_ref(), true)?).await?;
    Ok(())
}
