//! The linter for Multivariant Playlists.

use std::collections::HashSet;

use crate::multivariant::{ClosedCaptions, MultivariantPlaylist, Rendition, RenditionKind, VariantStream};
use crate::position::SourceLine;
use crate::validate::{Linter, Needs, check_key, line_of};

impl MultivariantPlaylist {
    pub(crate) fn lint_into(&self, linter: &mut Linter) {
        self.lint_version(linter);
        let groups: HashSet<(RenditionKind, &str)> = self.renditions.iter().map(|r| (r.kind, r.group_id.as_str())).collect();
        for variant in &self.variants {
            lint_variant(variant, &groups, linter);
            if variant.codecs.is_empty() {
                linter.warning("codecs-missing", "4.4.6.2", variant.line, "EXT-X-STREAM-INF should have CODECS");
            }
        }
        for variant in &self.i_frame_variants {
            lint_variant(variant, &groups, linter);
        }
        let none = |v: &&VariantStream| v.closed_captions == Some(ClosedCaptions::None);
        if self.variants.iter().any(|v| none(&v))
            && let Some(odd) = self.variants.iter().find(|v| !none(v))
        {
            let message = "CLOSED-CAPTIONS=NONE stands in some EXT-X-STREAM-INF, and must then stand in all";
            linter.error("captions-none", "4.4.6.2", odd.line, message);
        }
        self.lint_renditions(linter);
        self.lint_session(linter);
        if self.variants.is_empty() {
            linter.warning("no-variants", "4.1", SourceLine(0), "there is no Variant Stream");
        }
        if let Some(pathway) = self.content_steering.as_ref().and_then(|s| s.pathway_id.as_deref())
            && !self.variants.iter().any(|v| v.pathway_id.as_deref().unwrap_or(".") == pathway)
        {
            let line = line_of(&self.lint, "EXT-X-CONTENT-STEERING");
            linter.error("unknown-pathway", "4.4.6.6", line, "no Variant Stream has this PATHWAY-ID");
        }
    }

    fn lint_version(&self, linter: &mut Linter) {
        let mut needs = Needs::new();
        needs.defines(&self.defines, line_of(&self.lint, "EXT-X-DEFINE"));
        for key in &self.session_keys {
            needs.key(key, line_of(&self.lint, "EXT-X-SESSION-KEY"));
        }
        for rendition in &self.renditions {
            if let Some(id) = &rendition.instream_id {
                needs.at_least(7, "a SERVICE in INSTREAM-ID", rendition.line, id.starts_with("SERVICE"));
                let captions = rendition.kind == RenditionKind::ClosedCaptions;
                needs.at_least(13, "INSTREAM-ID beside closed captions", rendition.line, !captions);
            }
        }
        for variant in self.variants.iter().chain(&self.i_frame_variants) {
            let required = variant.req_video_layout.is_some() || variant.other.iter().any(|a| a.name.starts_with("REQ-"));
            needs.at_least(12, "an attribute that begins with REQ-", variant.line, required);
        }
        needs.check(self.version, &self.lint, linter);
    }

    fn lint_renditions(&self, linter: &mut Linter) {
        let mut names = HashSet::new();
        let mut defaults = HashSet::new();
        for rendition in &self.renditions {
            let group = (rendition.kind, rendition.group_id.as_str());
            if !names.insert((group, rendition.name.as_str())) {
                linter.error(
                    "repeated-name",
                    "4.4.6.1.1",
                    rendition.line,
                    "another Rendition of this Group has the same NAME",
                );
            }
            if rendition.default && !defaults.insert(group) {
                linter.error(
                    "second-default",
                    "4.4.6.1.1",
                    rendition.line,
                    "another Rendition of this Group is the DEFAULT",
                );
            }
            lint_rendition(rendition, linter);
        }
    }

    fn lint_session(&self, linter: &mut Linter) {
        let mut ids = HashSet::new();
        for data in &self.session_data {
            if data.value.is_some() == data.uri.is_some() {
                linter.error(
                    "session-data-value",
                    "4.4.6.4",
                    data.line,
                    "EXT-X-SESSION-DATA needs either VALUE or URI",
                );
            }
            if !ids.insert((&data.data_id, &data.language)) {
                let message = "another EXT-X-SESSION-DATA has the same DATA-ID and LANGUAGE";
                linter.error("repeated-session-data", "4.4.6.4", data.line, message);
            }
        }
        for key in &self.session_keys {
            check_key(key, line_of(&self.lint, "EXT-X-SESSION-KEY"), linter);
        }
    }
}

fn lint_variant(variant: &VariantStream, groups: &HashSet<(RenditionKind, &str)>, linter: &mut Linter) {
    let captions = match &variant.closed_captions {
        Some(ClosedCaptions::Group(group)) => Some(group),
        _ => None,
    };
    for (attribute, kind, group) in [
        ("AUDIO", RenditionKind::Audio, variant.audio.as_ref()),
        ("VIDEO", RenditionKind::Video, variant.video.as_ref()),
        ("SUBTITLES", RenditionKind::Subtitles, variant.subtitles.as_ref()),
        ("CLOSED-CAPTIONS", RenditionKind::ClosedCaptions, captions),
    ] {
        if let Some(group) = group
            && !groups.contains(&(kind, group.as_str()))
        {
            let message = format!("{attribute} names the Group {group:?}, which has no EXT-X-MEDIA");
            linter.error("unknown-group", "4.4.6.2", variant.line, message);
        }
    }
    if variant.average_bandwidth.is_some_and(|average| average > variant.bandwidth) {
        linter.warning(
            "average-above-peak",
            "4.4.6.2",
            variant.line,
            "AVERAGE-BANDWIDTH is larger than BANDWIDTH",
        );
    }
}

fn lint_rendition(rendition: &Rendition, linter: &mut Linter) {
    let section = "4.4.6.1";
    let line = rendition.line;
    match rendition.kind {
        RenditionKind::ClosedCaptions => {
            if rendition.uri.is_some() {
                linter.error("captions-with-uri", section, line, "CLOSED-CAPTIONS must not have a URI");
            }
            let valid = rendition.instream_id.as_deref().is_some_and(is_instream_id);
            if !valid {
                let message = "CLOSED-CAPTIONS needs an INSTREAM-ID of CC1 to CC4 or SERVICE1 to SERVICE63";
                linter.error("captions-without-id", section, line, message);
            }
        }
        RenditionKind::Subtitles if rendition.uri.is_none() => {
            linter.error("subtitles-without-uri", section, line, "SUBTITLES need a URI");
        }
        RenditionKind::Audio if rendition.channels.is_none() => {
            linter.warning("channels-missing", section, line, "an audio Rendition should have CHANNELS");
        }
        _ => {}
    }
    if rendition.forced && rendition.kind != RenditionKind::Subtitles {
        linter.error("forced-without-subtitles", section, line, "FORCED belongs to SUBTITLES alone");
    }
}

fn is_instream_id(id: &str) -> bool {
    if let Some(number) = id.strip_prefix("SERVICE") {
        return number.parse::<u8>().is_ok_and(|n| (1..=63).contains(&n));
    }
    matches!(id, "CC1" | "CC2" | "CC3" | "CC4")
}
