//! Advertisement cues that packagers write without the specification knowing them.

use std::time::Duration;

use crate::number;
use crate::position::SourceLine;

/// An advertisement cue: one of the tags that are in use since before `EXT-X-DATERANGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cue {
    /// What it says.
    pub kind: CueKind,
    /// What stands behind the colon, as it is written.
    pub value: Box<str>,
    /// The line of the tag.
    pub line: SourceLine,
}

/// What a [`Cue`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CueKind {
    /// `EXT-X-CUE-OUT`: a break begins.
    Out {
        /// How long it is going to be.
        duration: Option<Duration>,
    },
    /// `EXT-X-CUE-OUT-CONT`: the break goes on.
    Continue {
        /// How much of it is over.
        elapsed: Option<Duration>,
        /// How long it is in all.
        duration: Option<Duration>,
        /// The SCTE-35 message in base64, as it is written.
        scte35: Option<Box<str>>,
    },
    /// `EXT-X-CUE-IN`: the break is over.
    In,
    /// `EXT-OATCLS-SCTE35`: an SCTE-35 message in base64, which is [`Cue::value`].
    Scte35,
    /// `EXT-X-ASSET`: what the break shows, as attributes in [`Cue::value`].
    Asset,
}

impl Cue {
    /// Reads a cue from the name of its tag, behind `#`, and its value.
    pub(crate) fn read(name: &str, value: &str, line: u32) -> Option<Self> {
        let value = value.trim();
        let kind = match name {
            "EXT-X-CUE-OUT" => CueKind::Out {
                duration: seconds(value).or_else(|| seconds(field(value, "DURATION")?)),
            },
            "EXT-X-CUE-OUT-CONT" => {
                let (elapsed, duration) = match value.split_once('/') {
                    Some((elapsed, duration)) if !value.contains('=') => (Some(elapsed), Some(duration)),
                    _ => (field(value, "ElapsedTime"), field(value, "Duration")),
                };
                CueKind::Continue {
                    elapsed: elapsed.and_then(seconds),
                    duration: duration.and_then(seconds),
                    scte35: field(value, "SCTE35").map(Into::into),
                }
            }
            "EXT-X-CUE-IN" => CueKind::In,
            "EXT-OATCLS-SCTE35" => CueKind::Scte35,
            "EXT-X-ASSET" => CueKind::Asset,
            _ => return None,
        };
        Some(Self {
            kind,
            value: value.into(),
            line: SourceLine(line),
        })
    }

    /// The name of the tag, without `#`.
    pub fn tag_name(&self) -> &'static str {
        match self.kind {
            CueKind::Out { .. } => "EXT-X-CUE-OUT",
            CueKind::Continue { .. } => "EXT-X-CUE-OUT-CONT",
            CueKind::In => "EXT-X-CUE-IN",
            CueKind::Scte35 => "EXT-OATCLS-SCTE35",
            CueKind::Asset => "EXT-X-ASSET",
        }
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let (nanos, flaw) = number::billionths(text);
    flaw.is_none().then(|| Duration::from_nanos(nanos))
}

/// The value of a field of `Name=value,Name=value`; names are compared without regard to case.
fn field<'v>(value: &'v str, name: &str) -> Option<&'v str> {
    value
        .split(',')
        .filter_map(|part| part.split_once('='))
        .find(|(n, _)| n.trim().eq_ignore_ascii_case(name))
        .map(|(_, v)| v.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_are_read_in_all_their_dialects() {
        let secs = |s| Some(Duration::from_secs(s));
        for (name, value, kind) in [
            ("EXT-X-CUE-OUT", "", CueKind::Out { duration: None }),
            ("EXT-X-CUE-OUT", "30", CueKind::Out { duration: secs(30) }),
            ("EXT-X-CUE-OUT", "DURATION=30.0", CueKind::Out { duration: secs(30) }),
            ("EXT-X-CUE-OUT", "ID=1, Duration=\"30\"", CueKind::Out { duration: secs(30) }),
            ("EXT-X-CUE-IN", "", CueKind::In),
            ("EXT-OATCLS-SCTE35", "/DAlAAAA", CueKind::Scte35),
            ("EXT-X-ASSET", "CAID=0x10", CueKind::Asset),
            (
                "EXT-X-CUE-OUT-CONT",
                "10/30",
                CueKind::Continue {
                    elapsed: secs(10),
                    duration: secs(30),
                    scte35: None,
                },
            ),
            (
                "EXT-X-CUE-OUT-CONT",
                "ElapsedTime=10,Duration=30,SCTE35=/DA/==",
                CueKind::Continue {
                    elapsed: secs(10),
                    duration: secs(30),
                    scte35: Some("/DA/==".into()),
                },
            ),
        ] {
            let cue = Cue::read(name, value, 1).unwrap();
            assert_eq!(cue.kind, kind, "{name}:{value}");
            assert_eq!(cue.tag_name(), name);
        }
        assert_eq!(Cue::read("EXT-X-CUE", "", 1), None);
    }
}
