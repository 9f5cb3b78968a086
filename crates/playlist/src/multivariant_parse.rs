//! Reads a Multivariant Playlist.

use crate::attributes::{Attribute, AttributeReader, AttributeValue, Tools};
use crate::context::Context;
use crate::error::PlaylistError;
use crate::key::Key;
use crate::lint::Lint;
use crate::m3u8::{VariantText, VariantValues};
use crate::media::Start;
use crate::multivariant::{
    ClosedCaptions, ContentSteering, MultivariantPlaylist, Place, Rendition, RenditionKind, Resolution, SessionData, UnknownTag,
    VariantStream,
};
use crate::number;
use crate::position::SourceLine;
use crate::text::{Line, Lines};
use crate::uri::Uri;
use crate::variables::Define;
use crate::warning::WarningKind;

/// An `EXT-X-STREAM-INF` whose URI has not come yet, in two halves: what m3u8-rs reads, and the rest.
struct Half {
    values: VariantValues,
    rest: VariantRest,
}

/// What m3u8-rs has no fields for, or reads too strictly.
struct VariantRest {
    score: Option<f64>,
    supplemental_codecs: Vec<String>,
    hdcp_level: Option<String>,
    allowed_cpc: Option<String>,
    video_range: Option<String>,
    req_video_layout: Option<String>,
    stable_variant_id: Option<String>,
    closed_captions: Option<ClosedCaptions>,
    pathway_id: Option<String>,
    name: Option<String>,
    other: Vec<Attribute>,
    line: SourceLine,
}

pub(crate) struct MultivariantParser<'c, 't> {
    context: &'c Context,
    tools: Tools,
    lint: Lint,
    playlist: MultivariantPlaylist,
    pending: Option<(Half, Line<'t>)>,
    text: VariantText,
    /// The other halves of what is in `text`, each with its URI and whether it is for I-frames.
    halves: Vec<(VariantRest, Uri, bool)>,
    variants: usize,
    i_frame_variants: usize,
    /// Unknown tags from here on stand before an item that has not come yet.
    unplaced: usize,
    entries: usize,
}

impl<'c, 't> MultivariantParser<'c, 't> {
    pub(crate) fn new(tools: Tools, context: &'c Context) -> Self {
        Self {
            context,
            tools,
            lint: Lint::default(),
            playlist: MultivariantPlaylist::default(),
            pending: None,
            text: VariantText::default(),
            halves: Vec::new(),
            variants: 0,
            i_frame_variants: 0,
            unplaced: 0,
            entries: 0,
        }
    }

    pub(crate) fn run(mut self, lines: Lines<'t>) -> Result<(MultivariantPlaylist, Tools, Lint), PlaylistError> {
        for line in lines {
            if line.text.is_empty() {
                continue;
            }
            if line.text.len() != line.raw.len() {
                self.warn(WarningKind::SpaceAroundLine, line, line.raw);
            }
            match line.text.strip_prefix('#') {
                Some(tag) if tag.starts_with("EXT") => {
                    let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
                    self.tag(line, name.trim_end(), value).map_err(|e| e.in_line(line))?;
                }
                Some(_) => {}
                None => self.uri(line).map_err(|e| e.in_line(line))?,
            }
        }
        self.finish()
    }

    fn warn(&mut self, kind: WarningKind, line: Line<'_>, at: &str) {
        self.tools.report.warn(kind, line, at);
    }

    fn reader<'s>(&'s mut self, line: Line<'t>, value: &'t str) -> AttributeReader<'t, 's> {
        AttributeReader::new(&mut self.tools, line, value)
    }

    fn first(&mut self, name: &'static str, line: Line<'_>) -> bool {
        let first = self.lint.first(name, line.number);
        if !first {
            self.warn(WarningKind::RepeatedTag(name), line, line.text);
        }
        first
    }

    /// The unknown tags since the last item stand before this one.
    fn place(&mut self, place: Place) -> Result<(), PlaylistError> {
        for tag in self.playlist.unknown.iter_mut().skip(self.unplaced) {
            tag.before = place;
        }
        self.unplaced = self.playlist.unknown.len();
        self.entries += 1;
        if self.entries > self.context.limits.entries {
            return Err(PlaylistError::too_large(
                "entries of a Multivariant Playlist",
                self.context.limits.entries,
            ));
        }
        Ok(())
    }

    fn tag(&mut self, line: Line<'t>, name: &'t str, value: &'t str) -> Result<(), PlaylistError> {
        match name {
            "EXT-X-STREAM-INF" => {
                if let Some((_, unused)) = self.pending.take() {
                    self.warn(WarningKind::VariantWithoutUri, unused, unused.text);
                }
                let half = Half::read(self.reader(line, value))?;
                self.pending = Some((half, line));
            }
            "EXT-X-I-FRAME-STREAM-INF" => {
                let mut reader = self.reader(line, value);
                reader.missing("URI");
                if let Some(uri) = reader.uri("URI")? {
                    let half = Half::read(reader)?;
                    self.place(Place::IFrameVariant(self.i_frame_variants))?;
                    self.i_frame_variants += 1;
                    self.push(half, uri, true);
                }
            }
            "EXT-X-MEDIA" => {
                if let Some(rendition) = read_rendition(self.reader(line, value))? {
                    self.place(Place::Rendition(self.playlist.renditions.len()))?;
                    self.playlist.renditions.push(rendition);
                }
            }
            "EXT-X-SESSION-DATA" => {
                let data = read_session_data(self.reader(line, value))?;
                self.place(Place::SessionData(self.playlist.session_data.len()))?;
                self.playlist.session_data.push(data);
            }
            "EXT-X-SESSION-KEY" => match Key::read(self.reader(line, value)) {
                Ok(Some(key)) => {
                    self.lint.first("EXT-X-SESSION-KEY", line.number);
                    self.place(Place::SessionKey(self.playlist.session_keys.len()))?;
                    self.playlist.session_keys.push(key);
                }
                Ok(None) => self.warn(WarningKind::BadTag("EXT-X-SESSION-KEY"), line, value),
                // It only announces a key; the Media Playlist will have to say it, too.
                Err(PlaylistError::BadUri { .. }) => self.warn(WarningKind::BadUri, line, value),
                Err(error) => return Err(error),
            },
            "EXT-X-CONTENT-STEERING" => {
                if self.first("EXT-X-CONTENT-STEERING", line) {
                    let mut reader = self.reader(line, value);
                    reader.missing("SERVER-URI");
                    if let Some(server_uri) = reader.uri("SERVER-URI")? {
                        let steering = ContentSteering {
                            server_uri,
                            pathway_id: reader.string("PATHWAY-ID")?,
                            other: reader.rest()?,
                        };
                        self.place(Place::ContentSteering)?;
                        self.playlist.content_steering = Some(steering);
                    }
                }
            }
            _ => self.other_tag(line, name, value)?,
        }
        Ok(())
    }

    fn other_tag(&mut self, line: Line<'t>, name: &'t str, value: &'t str) -> Result<(), PlaylistError> {
        match name {
            "EXTM3U" => self.warn(WarningKind::RepeatedTag("EXTM3U"), line, line.text),
            "EXT-X-VERSION" => {
                if self.first("EXT-X-VERSION", line) {
                    match number::integer(value) {
                        (version, None) => self.playlist.version = Some(version),
                        _ => self.warn(WarningKind::BadTag("EXT-X-VERSION"), line, value),
                    }
                }
            }
            "EXT-X-INDEPENDENT-SEGMENTS" => {
                self.first("EXT-X-INDEPENDENT-SEGMENTS", line);
                self.playlist.independent_segments = true;
            }
            "EXT-X-START" => {
                if self.first("EXT-X-START", line) {
                    self.playlist.start = Start::read(self.reader(line, value))?;
                }
            }
            "EXT-X-DEFINE" => {
                self.lint.first("EXT-X-DEFINE", line.number);
                let reader = AttributeReader::new(&mut self.tools, line, value);
                let define = Define::read(reader, &self.context.base, &self.context.imports)?;
                self.playlist.defines.extend(define);
            }
            _ => match foreign(name) {
                Some(name) => self.warn(WarningKind::ForeignTag(name), line, line.text),
                None => {
                    if self.playlist.unknown.len() >= self.context.limits.tags {
                        return Err(PlaylistError::too_large("tags", self.context.limits.tags));
                    }
                    self.playlist.unknown.push(UnknownTag {
                        text: line.text.into(),
                        before: Place::End,
                        line: SourceLine(line.number),
                    });
                }
            },
        }
        Ok(())
    }

    fn uri(&mut self, line: Line<'t>) -> Result<(), PlaylistError> {
        let Some((half, _)) = self.pending.take() else {
            self.warn(WarningKind::UriWithoutVariant, line, line.text);
            return Ok(());
        };
        let text = self.tools.substitution.expand(line.text, line, &mut self.tools.report)?;
        let text = text.trim();
        if text.starts_with('?') {
            self.warn(WarningKind::QueryOnlyUri, line, line.text);
        }
        match Uri::new(&self.tools.base, text) {
            Ok(uri) => {
                self.place(Place::Variant(self.variants))?;
                self.variants += 1;
                self.push(half, uri, false);
            }
            Err(_) => self.warn(WarningKind::BadUri, line, line.text),
        }
        Ok(())
    }

    fn push(&mut self, half: Half, uri: Uri, i_frames: bool) {
        self.text.push(&half.values, i_frames);
        self.halves.push((half.rest, uri, i_frames));
    }

    fn finish(mut self) -> Result<(MultivariantPlaylist, Tools, Lint), PlaylistError> {
        if let Some((_, unused)) = self.pending.take() {
            self.warn(WarningKind::VariantWithoutUri, unused, unused.text);
        }
        for (values, (rest, uri, i_frames)) in self.text.read()?.into_iter().zip(self.halves) {
            let variant = rest.join(values, uri);
            if i_frames {
                self.playlist.i_frame_variants.push(variant);
            } else {
                self.playlist.variants.push(variant);
            }
        }
        self.playlist.unknown.sort_by_key(|tag| tag.before);
        self.playlist.variables = std::mem::take(&mut self.tools.substitution.variables);
        Ok((self.playlist, self.tools, self.lint))
    }
}

impl Half {
    fn read(mut reader: AttributeReader<'_, '_>) -> Result<Self, PlaylistError> {
        reader.missing("BANDWIDTH");
        let filled = |text: Option<String>| text.filter(|t| !t.is_empty());
        let values = VariantValues {
            bandwidth: reader.integer("BANDWIDTH").unwrap_or(0),
            average_bandwidth: reader.integer("AVERAGE-BANDWIDTH"),
            codecs: filled(Some(reader.list("CODECS", ',')?.join(","))),
            resolution: reader.known("RESOLUTION", Resolution::parse),
            frame_rate: reader.float("FRAME-RATE"),
            audio: filled(reader.string("AUDIO")?),
            video: filled(reader.string("VIDEO")?),
            subtitles: filled(reader.string("SUBTITLES")?),
        };
        let rest = VariantRest {
            score: reader.float("SCORE"),
            supplemental_codecs: reader.list("SUPPLEMENTAL-CODECS", ',')?,
            hdcp_level: reader.word("HDCP-LEVEL"),
            allowed_cpc: reader.string("ALLOWED-CPC")?,
            video_range: reader.word("VIDEO-RANGE"),
            req_video_layout: reader.string("REQ-VIDEO-LAYOUT")?,
            stable_variant_id: reader.string("STABLE-VARIANT-ID")?,
            closed_captions: reader.either("CLOSED-CAPTIONS")?.and_then(|value| match value {
                AttributeValue::Plain(word) if &*word == "NONE" => Some(ClosedCaptions::None),
                AttributeValue::Plain(group) | AttributeValue::Quoted(group) => {
                    (!group.is_empty()).then(|| ClosedCaptions::Group(group.into_string()))
                }
            }),
            pathway_id: reader.string("PATHWAY-ID")?,
            name: reader.string("NAME")?,
            line: SourceLine(reader.line.number),
            other: reader.rest()?,
        };
        Ok(Self { values, rest })
    }
}

impl VariantRest {
    fn join(self, values: VariantValues, uri: Uri) -> VariantStream {
        let codecs = values.codecs.unwrap_or_default();
        let codecs = codecs.split(',').map(str::trim).filter(|c| !c.is_empty()).map(str::to_owned);
        VariantStream {
            uri,
            bandwidth: values.bandwidth,
            average_bandwidth: values.average_bandwidth,
            score: self.score,
            codecs: codecs.collect(),
            supplemental_codecs: self.supplemental_codecs,
            resolution: values.resolution,
            frame_rate: values.frame_rate,
            hdcp_level: self.hdcp_level,
            allowed_cpc: self.allowed_cpc,
            video_range: self.video_range,
            req_video_layout: self.req_video_layout,
            stable_variant_id: self.stable_variant_id,
            audio: values.audio,
            video: values.video,
            subtitles: values.subtitles,
            closed_captions: self.closed_captions,
            pathway_id: self.pathway_id,
            name: self.name,
            other: self.other,
            line: self.line,
        }
    }
}

fn read_rendition(mut reader: AttributeReader<'_, '_>) -> Result<Option<Rendition>, PlaylistError> {
    for name in ["TYPE", "GROUP-ID", "NAME"] {
        reader.missing(name);
    }
    let Some(kind) = reader.known("TYPE", RenditionKind::parse) else {
        return Ok(None);
    };
    let has_uri = reader.has("URI");
    let uri = reader.uri("URI")?;
    // Without its URI it would be taken for one that is within the Variant Streams.
    if has_uri && uri.is_none() {
        return Ok(None);
    }
    Ok(Some(Rendition {
        kind,
        uri,
        group_id: reader.string("GROUP-ID")?.unwrap_or_default(),
        language: reader.string("LANGUAGE")?,
        assoc_language: reader.string("ASSOC-LANGUAGE")?,
        name: reader.string("NAME")?.unwrap_or_default(),
        stable_rendition_id: reader.string("STABLE-RENDITION-ID")?,
        default: reader.yes("DEFAULT").unwrap_or(false),
        autoselect: reader.yes("AUTOSELECT").unwrap_or(false),
        forced: reader.yes("FORCED").unwrap_or(false),
        instream_id: reader.string("INSTREAM-ID")?,
        bit_depth: reader.integer("BIT-DEPTH"),
        sample_rate: reader.integer("SAMPLE-RATE"),
        characteristics: reader.list("CHARACTERISTICS", ',')?,
        channels: reader.string("CHANNELS")?,
        line: SourceLine(reader.line.number),
        other: reader.rest()?,
    }))
}

fn read_session_data(mut reader: AttributeReader<'_, '_>) -> Result<SessionData, PlaylistError> {
    reader.missing("DATA-ID");
    Ok(SessionData {
        data_id: reader.string("DATA-ID")?.unwrap_or_default(),
        value: reader.string("VALUE")?,
        uri: reader.uri("URI")?,
        format: reader.word("FORMAT"),
        language: reader.string("LANGUAGE")?,
        line: SourceLine(reader.line.number),
        other: reader.rest()?,
    })
}

/// The name of a tag that belongs into a Media Playlist (4.4.3 to 4.4.5).
fn foreign(name: &str) -> Option<&'static str> {
    const MEDIA: [&str; 21] = [
        "EXTINF",
        "EXT-X-TARGETDURATION",
        "EXT-X-MEDIA-SEQUENCE",
        "EXT-X-DISCONTINUITY-SEQUENCE",
        "EXT-X-ENDLIST",
        "EXT-X-PLAYLIST-TYPE",
        "EXT-X-I-FRAMES-ONLY",
        "EXT-X-PART-INF",
        "EXT-X-SERVER-CONTROL",
        "EXT-X-BYTERANGE",
        "EXT-X-DISCONTINUITY",
        "EXT-X-KEY",
        "EXT-X-MAP",
        "EXT-X-PROGRAM-DATE-TIME",
        "EXT-X-GAP",
        "EXT-X-BITRATE",
        "EXT-X-PART",
        "EXT-X-DATERANGE",
        "EXT-X-SKIP",
        "EXT-X-PRELOAD-HINT",
        "EXT-X-RENDITION-REPORT",
    ];
    MEDIA.into_iter().find(|&tag| tag == name)
}
