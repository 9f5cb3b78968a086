//! Writing Multivariant Playlists.

use std::fmt;

use crate::multivariant::{ClosedCaptions, MultivariantPlaylist, Place, Rendition, SessionData, VariantStream};
use crate::write::{List, Output};

impl fmt::Display for MultivariantPlaylist {
    /// The text of the playlist: what is parsed from it equals this playlist, unless it is empty, because then
    /// it says not of which kind it is.
    ///
    /// URIs are written as they were read. Variable references stay expanded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = Output::default();
        head.line("#EXTM3U");
        head.option("EXT-X-VERSION", self.version);
        let mut out = Output::default();
        out.flag("EXT-X-INDEPENDENT-SEGMENTS", self.independent_segments);
        out.start(self.start.as_ref());
        let mut unknown = self.unknown.iter().peekable();
        let mut write_unknown = |out: &mut Output, place: Place| {
            while let Some(tag) = unknown.next_if(|tag| tag.before <= place) {
                out.line(&tag.text);
            }
        };
        if let Some(steering) = &self.content_steering {
            write_unknown(&mut out, Place::ContentSteering);
            out.attributes("EXT-X-CONTENT-STEERING", |list| {
                list.quoted("SERVER-URI", steering.server_uri.as_written());
                list.maybe_quoted("PATHWAY-ID", steering.pathway_id.as_deref());
                list.others(&steering.other);
            });
        }
        for (n, data) in self.session_data.iter().enumerate() {
            write_unknown(&mut out, Place::SessionData(n));
            write_session_data(data, &mut out);
        }
        for (n, key) in self.session_keys.iter().enumerate() {
            write_unknown(&mut out, Place::SessionKey(n));
            out.key("EXT-X-SESSION-KEY", key);
        }
        for (n, rendition) in self.renditions.iter().enumerate() {
            write_unknown(&mut out, Place::Rendition(n));
            write_rendition(rendition, &mut out);
        }
        for (n, variant) in self.variants.iter().enumerate() {
            write_unknown(&mut out, Place::Variant(n));
            out.attributes("EXT-X-STREAM-INF", |list| write_variant(variant, list));
            out.line(variant.uri.as_written());
        }
        for (n, variant) in self.i_frame_variants.iter().enumerate() {
            write_unknown(&mut out, Place::IFrameVariant(n));
            out.attributes("EXT-X-I-FRAME-STREAM-INF", |list| {
                write_variant(variant, list);
                list.quoted("URI", variant.uri.as_written());
            });
        }
        write_unknown(&mut out, Place::End);
        f.write_str(&head.with_defines(&self.defines, &out.0))
    }
}

fn write_variant(variant: &VariantStream, list: &mut List<'_>) {
    list.maybe_plain("BANDWIDTH", (variant.bandwidth > 0).then_some(variant.bandwidth));
    list.maybe_plain("AVERAGE-BANDWIDTH", variant.average_bandwidth);
    list.maybe_plain("SCORE", variant.score);
    list.joined("CODECS", &variant.codecs, ",");
    list.joined("SUPPLEMENTAL-CODECS", &variant.supplemental_codecs, ",");
    list.maybe_plain("RESOLUTION", variant.resolution);
    list.maybe_plain("FRAME-RATE", variant.frame_rate);
    list.maybe_plain("HDCP-LEVEL", variant.hdcp_level.as_deref());
    list.maybe_quoted("ALLOWED-CPC", variant.allowed_cpc.as_deref());
    list.maybe_plain("VIDEO-RANGE", variant.video_range.as_deref());
    list.maybe_quoted("REQ-VIDEO-LAYOUT", variant.req_video_layout.as_deref());
    list.maybe_quoted("STABLE-VARIANT-ID", variant.stable_variant_id.as_deref());
    list.maybe_quoted("AUDIO", variant.audio.as_deref());
    list.maybe_quoted("VIDEO", variant.video.as_deref());
    list.maybe_quoted("SUBTITLES", variant.subtitles.as_deref());
    match &variant.closed_captions {
        Some(ClosedCaptions::None) => list.plain("CLOSED-CAPTIONS", "NONE"),
        Some(ClosedCaptions::Group(group)) => list.quoted("CLOSED-CAPTIONS", group),
        None => {}
    }
    list.maybe_quoted("PATHWAY-ID", variant.pathway_id.as_deref());
    list.maybe_quoted("NAME", variant.name.as_deref());
    list.others(&variant.other);
}

fn write_rendition(rendition: &Rendition, out: &mut Output) {
    out.attributes("EXT-X-MEDIA", |list| {
        list.plain("TYPE", rendition.kind.as_str());
        list.quoted("GROUP-ID", &rendition.group_id);
        list.maybe_quoted("LANGUAGE", rendition.language.as_deref());
        list.maybe_quoted("ASSOC-LANGUAGE", rendition.assoc_language.as_deref());
        list.quoted("NAME", &rendition.name);
        list.maybe_quoted("STABLE-RENDITION-ID", rendition.stable_rendition_id.as_deref());
        list.yes("DEFAULT", rendition.default);
        list.yes("AUTOSELECT", rendition.autoselect);
        list.yes("FORCED", rendition.forced);
        list.maybe_quoted("INSTREAM-ID", rendition.instream_id.as_deref());
        list.maybe_plain("BIT-DEPTH", rendition.bit_depth);
        list.maybe_plain("SAMPLE-RATE", rendition.sample_rate);
        list.joined("CHARACTERISTICS", &rendition.characteristics, ",");
        list.maybe_quoted("CHANNELS", rendition.channels.as_deref());
        list.maybe_quoted("URI", rendition.uri.as_ref().map(|uri| uri.as_written()));
        list.others(&rendition.other);
    });
}

fn write_session_data(data: &SessionData, out: &mut Output) {
    out.attributes("EXT-X-SESSION-DATA", |list| {
        list.quoted("DATA-ID", &data.data_id);
        list.maybe_quoted("VALUE", data.value.as_deref());
        list.maybe_quoted("URI", data.uri.as_ref().map(|uri| uri.as_written()));
        list.maybe_plain("FORMAT", data.format.as_deref());
        list.maybe_quoted("LANGUAGE", data.language.as_deref());
        list.others(&data.other);
    });
}
