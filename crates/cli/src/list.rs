//! `aqueduct list`: what is on offer, as a table for people or as JSON for programs.

use std::io::Write;
use std::sync::Arc;

use aqueduct::fetch::Jar;
use aqueduct::{Account, Error, Offer, Presentation, SafeUrl, Stop, Track};
use serde_json::{Value, json};

use crate::args::SourceArgs;
use crate::exit::{self, Exit};
use crate::fetch::Source;

/// Every stream that is found is listed, up to this many.
const MOST: usize = 100;

/// Lists what `input` has on offer.
pub(crate) async fn list(args: &SourceArgs, input: &str, as_json: bool, stop: &Stop) -> anyhow::Result<Exit> {
    let jar = args.requests.jar()?;
    let listed = streams(args, input, as_json, &jar, stop).await;
    let kept = args.requests.end(&jar);
    Ok(listed?.max(kept))
}

async fn streams(args: &SourceArgs, input: &str, as_json: bool, jar: &Arc<Jar>, stop: &Stop) -> anyhow::Result<Exit> {
    let source = Source::open(args, args.selection(), input, jar, stop).await?;
    let streams = tokio::select! {
        () = stop.draining() => return Err(Error::Stopped.into()),
        found = source.resolver.streams(&source.input, &source.fetcher, MOST) => found.map_err(Error::Resolve)?,
    };
    if let Some(first) = streams.first() {
        source.explain(args, &first.account);
    }
    let text = if as_json {
        format!("{:#}\n", to_json(&streams))
    } else {
        table(&streams)
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader that went away has seen what it wanted.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            exit::complain(&anyhow::Error::new(error).context("cannot write to standard output"), Exit::Failed);
            Ok(Exit::Failed)
        }
        _ => Ok(Exit::Whole),
    }
}

/// Addresses are whole here, but for user names and passwords: whoever asks for them wants to use them.
fn to_json(streams: &[Presentation]) -> Value {
    let address = |url: &Option<SafeUrl>| {
        let mut url = url.as_ref()?.url().clone();
        // These fail only for URLs that have no host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Some(String::from(url))
    };
    let track = |track: &Track| {
        json!({
            "kind": track.kind.to_string(), "name": track.name, "language": track.language, "url": address(&track.url),
            "segments": track.segments, "bytes": track.bytes, "live": track.live,
            "seconds": track.duration.map(|duration| duration.as_secs_f64()),
        })
    };
    let offer = |offer: &Offer| {
        json!({
            "kind": offer.kind.to_string(), "name": offer.name, "width": offer.resolution.map(|(width, _)| width),
            "height": offer.resolution.map(|(_, height)| height), "frame_rate": offer.frame_rate, "bandwidth": offer.bandwidth,
            "codecs": offer.codecs, "group": offer.group, "language": offer.language, "channels": offer.channels,
            "instream_id": offer.instream_id,
            "characteristics": offer.characteristics, "default": offer.default, "forced": offer.forced, "url": address(&offer.url),
        })
    };
    let streams: Vec<Value> = streams
        .iter()
        .map(|stream| {
            json!({
                "title": stream.title,
                "chosen": stream.tracks.iter().map(track).collect::<Vec<_>>(),
                "offers": stream.offers.iter().map(offer).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "streams": streams })
}

fn table(streams: &[Presentation]) -> String {
    let mut text = String::new();
    for (number, stream) in (1..).zip(streams) {
        let name = stream.title.as_deref().map(crate::name::safe).unwrap_or_default();
        text += &format!("{number}  {name}\n");
        let mut rows: Vec<[String; 7]> = stream.tracks.iter().map(chosen).collect();
        rows.extend(stream.offers.iter().map(offered));
        let widths: [usize; 7] = std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
        for row in rows {
            let cells = row
                .iter()
                .zip(widths)
                .filter(|(_, width)| *width > 0)
                .map(|(cell, width)| format!("{cell:width$}"));
            text += format!("   {}", cells.collect::<Vec<_>>().join("  ")).trim_end();
            text.push('\n');
        }
    }
    exit::printable(&text)
}

fn chosen(track: &Track) -> [String; 7] {
    let mut extent = Vec::new();
    extent.extend(track.live.then(|| "live".to_owned()));
    extent.extend(track.duration.map(|duration| format!("{:.0} s", duration.as_secs_f64())));
    extent.extend(track.segments.map(|segments| format!("{segments} segments")));
    extent.extend(track.bytes.map(|bytes| format!("{bytes} bytes")));
    let url = track.url.as_ref().map(ToString::to_string).unwrap_or_default();
    [
        format!("taken: {}", track.kind),
        track.name.clone(),
        extent.join(", "),
        String::new(),
        String::new(),
        track.language.clone().unwrap_or_default(),
        url,
    ]
}

fn offered(offer: &Offer) -> [String; 7] {
    let picture = offer
        .resolution
        .map(|(width, height)| format!("{width}x{height}"))
        .unwrap_or_default();
    let picture = offer.frame_rate.map_or(picture.clone(), |rate| format!("{picture} {rate} fps"));
    let mut marks: Vec<String> = offer.language.iter().cloned().collect();
    marks.extend(offer.instream_id.clone());
    marks.extend(offer.channels.as_ref().map(|channels| format!("{channels} channels")));
    marks.extend(offer.default.then(|| "default".to_owned()));
    marks.extend(offer.forced.then(|| "forced".to_owned()));
    let rate = offer
        .bandwidth
        .map(|bandwidth| format!("{} kbit/s", bandwidth / 1000))
        .unwrap_or_default();
    [
        offer.kind.to_string(),
        offer.name.clone(),
        picture,
        offer.codecs.join(","),
        rate,
        marks.join(", "),
        String::new(),
    ]
}

/// The account of a search, for people.
pub(crate) fn tell(account: &Account) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(crate::words::told(), "{}", exit::printable(&account.to_string()));
}
