//! Styles and regions (TTML2 §8, §9), as far as cues have words for them.

use std::fmt::Write as _;

/// Colours that WebVTT has classes for (W3C WebVTT §5.1), with their names in TTML.
const COLORS: [(&str, &str, [u8; 3]); 8] = [
    ("white", "white", [255, 255, 255]),
    ("lime", "lime", [0, 255, 0]),
    ("cyan", "cyan", [0, 255, 255]),
    ("red", "red", [255, 0, 0]),
    ("yellow", "yellow", [255, 255, 0]),
    ("magenta", "magenta", [255, 0, 255]),
    ("blue", "blue", [0, 0, 255]),
    ("black", "black", [0, 0, 0]),
];

/// What is said of an element; `None` where nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Style {
    pub(super) italic: Option<bool>,
    pub(super) bold: Option<bool>,
    pub(super) underline: Option<bool>,
    /// Class of the colour; `Some(None)` for one that has none, or that is WebVTT's default.
    pub(super) color: Option<Option<&'static str>>,
    /// `align:` of WebVTT.
    pub(super) align: Option<&'static str>,
    display: Option<Display>,
    /// Percent of the picture from the left and from the top.
    origin: Option<(f32, f32)>,
    /// Percent of the picture.
    extent: Option<(f32, f32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Display {
    Before,
    Center,
    After,
}

/// The picture's size in pixels and cells (`tts:extent` and `ttp:cellResolution` of the root).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    pub(super) pixels: Option<(f32, f32)>,
    pub(super) cells: (f32, f32),
}

impl Default for Grid {
    fn default() -> Self {
        Self {
            pixels: None,
            cells: (32.0, 15.0),
        }
    }
}

impl Style {
    /// Takes a `tts:` attribute; one that is of no use is left out.
    pub(super) fn set(&mut self, name: &str, value: &str, grid: &Grid) {
        let value = value.trim();
        match name {
            "fontStyle" => self.italic = Some(matches!(value, "italic" | "oblique" | "reverseOblique")),
            "fontWeight" => self.bold = Some(value == "bold"),
            "textDecoration" => {
                for word in value.split_ascii_whitespace() {
                    match word {
                        "underline" => self.underline = Some(true),
                        "none" | "noUnderline" => self.underline = Some(false),
                        _ => {}
                    }
                }
            }
            "color" => self.color = Some(color(value)),
            "textAlign" => {
                self.align = match value {
                    "left" => Some("left"),
                    "right" => Some("right"),
                    "start" => Some("start"),
                    "end" => Some("end"),
                    "center" => Some("center"),
                    _ => self.align,
                }
            }
            "displayAlign" => {
                self.display = match value {
                    "before" => Some(Display::Before),
                    "center" => Some(Display::Center),
                    "after" => Some(Display::After),
                    _ => self.display,
                }
            }
            "origin" => self.origin = pair(value, grid).or(self.origin),
            "extent" => self.extent = pair(value, grid).or(self.extent),
            _ => {}
        }
    }

    /// This where it says something, and `under` elsewhere.
    pub(super) fn over(self, under: Self) -> Self {
        Self {
            italic: self.italic.or(under.italic),
            bold: self.bold.or(under.bold),
            underline: self.underline.or(under.underline),
            color: self.color.or(under.color),
            align: self.align.or(under.align),
            display: self.display.or(under.display),
            origin: self.origin.or(under.origin),
            extent: self.extent.or(under.extent),
        }
    }

    /// What children inherit: not the place (TTML2 §10.4).
    pub(super) fn inherited(self) -> Self {
        Self {
            display: None,
            origin: None,
            extent: None,
            ..self
        }
    }

    /// Cue settings for text in a region of this style: where it stands, unless that is at the bottom as usual.
    pub(super) fn settings(&self, region: Option<&Self>) -> String {
        let place = region.map_or(*self, |region| self.over(*region));
        let (left, top) = place.origin.unwrap_or((0.0, 0.0));
        let (width, height) = place.extent.unwrap_or((100.0 - left, 100.0 - top));
        let (right, bottom) = (left + width, top + height);
        let mut settings = String::new();
        // Without a region, text stands at the bottom of the picture in every player.
        let display = place
            .display
            .unwrap_or(if place.origin.is_some() { Display::Before } else { Display::After });
        let line = match display {
            Display::Before => Some(top),
            Display::Center => Some((top + bottom) / 2.0),
            Display::After => Some(bottom).filter(|bottom| *bottom < 75.0),
        };
        // Writing to a String does not fail.
        if let Some(line) = line.filter(|_| display != Display::Before || line.is_none_or(|line| line < 75.0)) {
            let anchor = match display {
                Display::Before => "",
                Display::Center => ",center",
                Display::After => ",end",
            };
            let _ = write!(settings, " line:{}%{anchor}", line.clamp(0.0, 100.0).round());
        }
        if let Some(align) = place.align.filter(|align| *align != "center") {
            let edge = if matches!(align, "left" | "start") { left } else { right };
            let _ = write!(settings, " position:{}% align:{align}", edge.clamp(0.0, 100.0).round());
        }
        settings.trim_start().to_owned()
    }

    /// Puts what this says around `text`, which is escaped already.
    pub(super) fn mark(&self, text: &str) -> String {
        let mut marked = text.to_owned();
        for (on, tag) in [(self.underline, "u"), (self.bold, "b"), (self.italic, "i")] {
            if on == Some(true) {
                marked = format!("<{tag}>{marked}</{tag}>");
            }
        }
        match self.color.flatten() {
            Some(class) => format!("<c.{class}>{marked}</c>"),
            None => marked,
        }
    }
}

/// The class of a colour: one that is it exactly. White is the default.
fn color(value: &str) -> Option<&'static str> {
    let rgb = match value.strip_prefix('#') {
        Some(hex) if matches!(hex.len(), 6 | 8) && hex.is_ascii() => {
            let part = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
            [part(0)?, part(2)?, part(4)?]
        }
        Some(_) => return None,
        None => match value.strip_prefix("rgba(").or(value.strip_prefix("rgb(")) {
            Some(list) => {
                let mut parts = list.trim_end_matches(')').split(',').map(|part| part.trim().parse().ok());
                [parts.next()??, parts.next()??, parts.next()??]
            }
            None => COLORS.iter().find(|(_, name, _)| *name == value)?.2,
        },
    };
    let class = COLORS.iter().find(|(_, _, known)| *known == rgb)?.0;
    (class != "white").then_some(class)
}

/// Two lengths, as percent of the picture.
fn pair(value: &str, grid: &Grid) -> Option<(f32, f32)> {
    let mut parts = value.split_ascii_whitespace();
    let (x, y) = (parts.next()?, parts.next()?);
    Some((
        length(x, grid.pixels.map(|pixels| pixels.0), grid.cells.0)?,
        length(y, grid.pixels.map(|pixels| pixels.1), grid.cells.1)?,
    ))
}

fn length(value: &str, pixels: Option<f32>, cells: f32) -> Option<f32> {
    let number = |unit: &str| value.strip_suffix(unit)?.parse::<f32>().ok().filter(|number| number.is_finite());
    number("%")
        .or_else(|| Some(number("px")? * 100.0 / pixels?))
        .or_else(|| Some(number("c")? * 100.0 / cells))
}

/// Two numbers with the same unit: `1280px 720px`, `32 15`.
pub(super) fn size(value: &str, unit: &str) -> Option<(f32, f32)> {
    let mut parts = value
        .split_ascii_whitespace()
        .map(|part| part.strip_suffix(unit)?.parse().ok().filter(|number: &f32| *number >= 1.0));
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(attributes: &[(&str, &str)]) -> Style {
        let grid = Grid {
            pixels: Some((1000.0, 500.0)),
            ..Grid::default()
        };
        let mut style = Style::default();
        attributes.iter().for_each(|(name, value)| style.set(name, value, &grid));
        style
    }

    #[test]
    fn regions_become_settings() {
        for (region, expected) in [
            (&[][..], ""),
            (&[("displayAlign", "after"), ("origin", "10% 10%"), ("extent", "80% 80%")], ""),
            (
                &[("displayAlign", "before"), ("origin", "10% 10%"), ("extent", "80% 80%")],
                "line:10%",
            ),
            (&[("origin", "100px 50px"), ("extent", "500px 100px")], "line:10%"),
            (&[("displayAlign", "center")], "line:50%,center"),
            (&[("displayAlign", "after"), ("extent", "100% 20%")], "line:20%,end"),
            (&[("displayAlign", "before"), ("origin", "0% 80%")], ""),
            (
                &[("textAlign", "left"), ("origin", "16c 0c"), ("displayAlign", "after")],
                "position:50% align:left",
            ),
            (
                &[("textAlign", "end"), ("extent", "90% 100%"), ("displayAlign", "after")],
                "position:90% align:end",
            ),
            (&[("origin", "auto"), ("extent", "NaN% 3em")], ""),
        ] {
            assert_eq!(Style::default().settings(Some(&style(region))), expected, "{region:?}");
        }
    }

    #[test]
    fn text_is_marked_with_what_webvtt_has() {
        for (attributes, expected) in [
            (&[][..], "x"),
            (&[("fontStyle", "italic"), ("fontWeight", "bold")], "<i><b>x</b></i>"),
            (&[("textDecoration", "noLineThrough underline")], "<u>x</u>"),
            (&[("color", "yellow")], "<c.yellow>x</c>"),
            (&[("color", "#00FFFFcc")], "<c.cyan>x</c>"),
            (&[("color", "rgba(255,0,0,255)")], "<c.red>x</c>"),
            (&[("color", "#FFFFFF")], "x"),
            (&[("color", "#123456")], "x"),
            (&[("color", "#é12345")], "x"),
        ] {
            assert_eq!(style(attributes).mark("x"), expected, "{attributes:?}");
        }
    }
}
