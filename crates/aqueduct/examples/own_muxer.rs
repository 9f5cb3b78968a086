//! A muxer of one's own, for an inventory instead of a film: `own_muxer URL OUTPUT` writes a line for each segment, with
//! its track, Media Sequence Number, duration and decrypted size.

use aqueduct::*;

struct Inventory;

impl Mux for Inventory {
    fn push(&mut self, track: TrackId, item: Item<Clear>, writes: &mut Vec<Write>) -> Result<(), MuxError> {
        if let Item::Segment { info, payload } = item {
            let line = format!(
                "{},{},{},{}\n",
                track.number(),
                info.msn,
                info.duration.as_secs_f64(),
                payload.as_slice().len()
            );
            writes.push(Write::append(line.into_bytes()));
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<Write>) -> Result<Summary, MuxError> {
        Ok(Summary::new("inventory"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, output] = arguments.as_slice() else {
        return Err("usage: own_muxer URL OUTPUT".into());
    };
    let pipeline = Pipeline::new(fetch::Options::default())?.with_muxer(Inventory);
    let presentation = pipeline.resolve(&Input::parse(url)).await?;
    pipeline.run(presentation, Output::file(output.as_ref(), true)?).await?;
    Ok(())
}
