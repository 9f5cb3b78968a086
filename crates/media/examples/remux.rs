//! Puts MPEG-TS segments into one MP4 file: `cargo run -p aqueduct-media --example remux -- out.mp4 0.ts 1.ts ...`
//!
//! This is the crate used alone. It takes times as they are: a stream with discontinuities needs
//! [`aqueduct_media::timeline`] in between.

use std::{
    collections::HashMap,
    error::Error,
    fs::{self, File},
    io::{BufWriter, Seek, SeekFrom, Write},
};

use aqueduct_media::{
    Event,
    mp4::{Options, Writer},
    ts::Demuxer,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut file = BufWriter::new(File::create(arguments.next().ok_or("no output named")?)?);
    let mut demuxer = Demuxer::default();
    let (mut writer, start) = Writer::start(&Options::default());
    file.write_all(&start)?;

    let mut tracks = HashMap::new();
    let mut events = Vec::new();
    let mut segments = arguments.peekable();
    while let Some(path) = segments.next() {
        demuxer.push(&fs::read(path)?, &mut events);
        demuxer.boundary(&mut events);
        if segments.peek().is_none() {
            demuxer.finish(&mut events);
        }
        for event in events.drain(..) {
            match event {
                Event::Config { track, config } => match tracks.get(&track) {
                    Some(&number) => writer.configure(number, &config)?,
                    None => {
                        tracks.insert(track, writer.add_track(&config));
                    }
                },
                Event::Sample { track, sample } => {
                    let number = *tracks.get(&track).ok_or("a sample before its track")?;
                    writer.add(number, &sample, sample.data.len())?;
                    file.write_all(&sample.data)?;
                }
            }
        }
    }

    let finish = writer.finish()?;
    file.write_all(&finish.append)?;
    for patch in finish.patches {
        file.seek(SeekFrom::Start(patch.offset))?;
        file.write_all(&patch.bytes)?;
    }
    file.flush()?;
    if demuxer.stats().is_damaged() {
        return Err(format!("the input is damaged: {:?}", demuxer.stats()).into());
    }
    Ok(())
}
