//! Date ranges (rfc8216bis, 4.4.5.1) and the interstitials in them (appendix D).

use std::time::Duration;

use url::Url;

use crate::attributes::{self, Attribute, AttributeReader};
use crate::datetime::DateTime;
use crate::error::PlaylistError;
use crate::number;
use crate::position::SourceLine;

/// A date range: `EXT-X-DATERANGE` (rfc8216bis, 4.4.5.1).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DateRange {
    /// `ID`, which tags that describe the same range have in common.
    pub id: String,
    /// `CLASS`: what the attributes mean.
    pub class: Option<String>,
    /// `START-DATE`.
    pub start_date: Option<DateTime>,
    /// `CUE`: `PRE`, `POST`, `ONCE`.
    pub cue: Vec<String>,
    /// `END-DATE`.
    pub end_date: Option<DateTime>,
    /// `DURATION`.
    pub duration: Option<Duration>,
    /// `PLANNED-DURATION`: how long it is going to be.
    pub planned_duration: Option<Duration>,
    /// `SCTE35-CMD`: a `splice_info_section`.
    pub scte35_cmd: Option<Vec<u8>>,
    /// `SCTE35-OUT`: a `splice_info_section` that begins a break.
    pub scte35_out: Option<Vec<u8>>,
    /// `SCTE35-IN`: a `splice_info_section` that ends it.
    pub scte35_in: Option<Vec<u8>>,
    /// `END-ON-NEXT`: whether it ends where the next range of its class begins.
    pub end_on_next: bool,
    /// Client attributes (`X-…`), and others without a field of their own.
    pub other: Vec<Attribute>,
    /// The line of the tag.
    pub line: SourceLine,
    pub(crate) base: std::sync::Arc<Url>,
}

/// The `CLASS` of interstitials.
const INTERSTITIAL: &str = "com.apple.hls.interstitial";

impl DateRange {
    pub(crate) fn read(mut reader: AttributeReader<'_, '_>) -> Result<Self, PlaylistError> {
        reader.missing("ID");
        Ok(Self {
            id: reader.string("ID")?.unwrap_or_default(),
            class: reader.string("CLASS")?,
            start_date: reader.date("START-DATE")?,
            cue: reader.list("CUE", ',')?,
            end_date: reader.date("END-DATE")?,
            duration: reader.duration("DURATION"),
            planned_duration: reader.duration("PLANNED-DURATION"),
            scte35_cmd: reader.hex("SCTE35-CMD")?,
            scte35_out: reader.hex("SCTE35-OUT")?,
            scte35_in: reader.hex("SCTE35-IN")?,
            end_on_next: reader.known("END-ON-NEXT", |v| (v == "YES").then_some(true)).unwrap_or(false),
            line: SourceLine(reader.line.number),
            base: std::sync::Arc::clone(&reader.tools.base),
            other: reader.rest()?,
        })
    }

    /// The text of a client attribute, such as `X-COM-EXAMPLE-AD-ID`.
    pub fn client_attribute(&self, name: &str) -> Option<&str> {
        attributes::find(&self.other, name).map(|value| value.as_str())
    }

    /// What an interstitial says; `None` for a range of another class (appendix D).
    pub fn interstitial(&self) -> Option<Interstitial> {
        if self.class.as_deref() != Some(INTERSTITIAL) {
            return None;
        }
        let text = |name| self.client_attribute(name);
        let url = |name| text(name).and_then(|uri| self.base.join(uri).ok());
        let seconds = |name| text(name).and_then(length);
        let words = |name| -> Vec<String> {
            let words = text(name).unwrap_or_default().split(',').map(str::trim);
            words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
        };
        Some(Interstitial {
            asset_uri: url("X-ASSET-URI"),
            asset_list: url("X-ASSET-LIST"),
            resume_offset: text("X-RESUME-OFFSET").and_then(number::signed),
            playout_limit: seconds("X-PLAYOUT-LIMIT"),
            snap: words("X-SNAP"),
            restrict: words("X-RESTRICT"),
            content_may_vary: text("X-CONTENT-MAY-VARY") != Some("NO"),
            timeline_occupies_range: text("X-TIMELINE-OCCUPIES") == Some("RANGE"),
            timeline_style_primary: text("X-TIMELINE-STYLE") == Some("PRIMARY"),
            skip_control_offset: seconds("X-SKIP-CONTROL-OFFSET"),
            skip_control_duration: seconds("X-SKIP-CONTROL-DURATION"),
            skip_control_label: text("X-SKIP-CONTROL-LABEL-ID").map(str::to_owned),
        })
    }
}

fn length(text: &str) -> Option<Duration> {
    let (nanos, flaw) = number::billionths(text);
    flaw.is_none().then(|| Duration::from_nanos(nanos))
}

/// Content that is to be shown in the middle of the stream (rfc8216bis, appendix D).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Interstitial {
    /// `X-ASSET-URI`: the Multivariant Playlist of its only asset.
    pub asset_uri: Option<Url>,
    /// `X-ASSET-LIST`: a JSON list of assets.
    pub asset_list: Option<Url>,
    /// `X-RESUME-OFFSET`: how many seconds of the primary content to skip, from its start; without it as many
    /// as the interstitial took.
    pub resume_offset: Option<f64>,
    /// `X-PLAYOUT-LIMIT`: how much of it may be shown.
    pub playout_limit: Option<Duration>,
    /// `X-SNAP`: `IN`, `OUT`.
    pub snap: Vec<String>,
    /// `X-RESTRICT`: `SKIP`, `JUMP`.
    pub restrict: Vec<String>,
    /// `X-CONTENT-MAY-VARY`: whether viewers may get different content; they may unless it says `NO`.
    pub content_may_vary: bool,
    /// `X-TIMELINE-OCCUPIES=RANGE` rather than `POINT`.
    pub timeline_occupies_range: bool,
    /// `X-TIMELINE-STYLE=PRIMARY` rather than `HIGHLIGHT`.
    pub timeline_style_primary: bool,
    /// `X-SKIP-CONTROL-OFFSET`: when a skip button appears.
    pub skip_control_offset: Option<Duration>,
    /// `X-SKIP-CONTROL-DURATION`: how long it stays.
    pub skip_control_duration: Option<Duration>,
    /// `X-SKIP-CONTROL-LABEL-ID`: which label it has.
    pub skip_control_label: Option<String>,
}
