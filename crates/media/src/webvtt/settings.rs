//! Cue settings (W3C WebVTT §4.2.2, §6.3), as far as simpler formats have words for them.

/// Where a cue stands: a third of the picture in each direction. The default is bottom and centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// 0 at the top, 1 in the middle, 2 at the bottom.
    pub(crate) row: u8,
    /// 0 left, 1 centre, 2 right.
    pub(crate) column: u8,
}

/// Reads settings.
pub(crate) fn place(settings: &str) -> Place {
    let (mut row, mut align, mut position) = (2, 1, None);
    for setting in settings.split_ascii_whitespace() {
        let Some((name, value)) = setting.split_once(':') else { continue };
        let value = value.split(',').next().unwrap_or("");
        match name {
            "line" => row = row_of(value).unwrap_or(row),
            "align" => {
                align = match value {
                    "start" | "left" => 0,
                    "end" | "right" => 2,
                    _ => 1,
                }
            }
            "position" => position = percent(value),
            _ => {}
        }
    }
    let column = match (align, position) {
        // A text that begins in the middle is about centred.
        (0, Some(position)) if position > 33.0 => 1,
        (2, Some(position)) if position < 67.0 => 1,
        (align, _) => align,
    };
    Place { row, column }
}

fn row_of(value: &str) -> Option<u8> {
    if let Some(percent) = percent(value) {
        return Some(match percent {
            ..34.0 => 0,
            ..67.0 => 1,
            _ => 2,
        });
    }
    // Lines count from the top, or with a sign from the bottom. There are about 16 of them.
    let line: i32 = value.parse().ok()?;
    Some(match line {
        0..=5 => 0,
        6..=9 => 1,
        _ => 2,
    })
}

fn percent(value: &str) -> Option<f32> {
    value.strip_suffix('%')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_say_where_a_cue_stands() {
        for (settings, row, column) in [
            ("", 2, 1),
            ("line:0", 0, 1),
            ("line:5% align:center", 0, 1),
            ("line:50%,center", 1, 1),
            ("line:-1", 2, 1),
            ("line:90% position:10% align:start", 2, 0),
            ("align:start position:50%", 2, 1),
            ("align:right", 2, 2),
            ("line:x size:80%", 2, 1),
        ] {
            assert_eq!(place(settings), Place { row, column }, "{settings}");
        }
    }
}
