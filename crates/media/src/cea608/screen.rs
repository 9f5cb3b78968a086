//! The screen of captions: 15 rows of 32 characters.

use serde::{Deserialize, Serialize};

pub(super) const ROWS: u8 = 15;
pub(super) const COLUMNS: u8 = 32;

/// How a character looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Looks {
    pub(super) italic: bool,
    pub(super) underline: bool,
}

/// One place, with or without a character.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cell {
    character: Option<char>,
    looks: Looks,
}

impl Cell {
    pub(super) fn new(character: char, looks: Looks) -> Self {
        Self {
            character: Some(character),
            looks,
        }
    }
}

type Row = [Cell; COLUMNS as usize];

/// What is shown, or will be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Screen {
    rows: [Row; ROWS as usize],
}

impl Screen {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.iter().flatten().all(|cell| cell.character.is_none())
    }

    pub(super) fn put(&mut self, row: u8, column: u8, cell: Cell) {
        if let Some(place) = self.rows.get_mut(usize::from(row)).and_then(|row| row.get_mut(usize::from(column))) {
            *place = cell;
        }
    }

    pub(super) fn clear_from(&mut self, row: u8, column: u8) {
        for column in column..COLUMNS {
            self.put(row, column, Cell::default());
        }
    }

    /// Moves the `rows` rows that end with `base` up by one, and empties the last.
    pub(super) fn roll(&mut self, base: u8, rows: u8) {
        let first = usize::from((base + 1).saturating_sub(rows));
        let base = usize::from(base.min(ROWS - 1));
        for row in first..base {
            self.rows[row] = self.rows[row + 1];
        }
        self.rows[base] = Row::default();
        // Rows above the window are of an earlier, taller one.
        self.rows[..first].fill(Row::default());
    }

    /// Moves the `rows` rows that end with one row, so that they end with another.
    pub(super) fn move_rows(&mut self, from: u8, to: u8, rows: u8) {
        let before = std::mem::take(&mut self.rows);
        for up in 0..rows {
            if let (Some(from), Some(to)) = (from.checked_sub(up), to.checked_sub(up)) {
                self.rows[usize::from(to)] = before[usize::from(from)];
            }
        }
    }

    /// The text, with the markup of WebVTT.
    pub(super) fn text(&self) -> String {
        let lines = self.rows.iter().map(line).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Where the text stands, unless that is at the bottom as usual (§ safe area: the rows fill the middle 80 percent).
    pub(super) fn settings(&self) -> String {
        let first = self.rows.iter().position(|row| !line(row).is_empty()).unwrap_or(0);
        let last = self.rows.iter().rposition(|row| !line(row).is_empty()).unwrap_or(0);
        if last >= 11 {
            return String::new();
        }
        format!("line:{}%", 10 + first * 80 / usize::from(ROWS))
    }
}

fn line(row: &Row) -> String {
    let begin = row.iter().position(|cell| cell.character.is_some_and(|character| character != ' '));
    let end = row
        .iter()
        .rposition(|cell| cell.character.is_some_and(|character| character != ' '));
    let (Some(begin), Some(end)) = (begin, end) else {
        return String::new();
    };
    let mut text = String::new();
    let mut looks = Looks::default();
    for cell in row.iter().take(end + 1).skip(begin) {
        let character = cell.character.unwrap_or(' ');
        if cell.looks != looks && character != ' ' {
            close(&mut text, looks);
            looks = cell.looks;
            for (on, tag) in [(looks.italic, "<i>"), (looks.underline, "<u>")] {
                text.push_str(if on { tag } else { "" });
            }
        }
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            other => text.push(other),
        }
    }
    close(&mut text, looks);
    text
}

fn close(text: &mut String, looks: Looks) {
    // A space between looks belongs to neither.
    let spaces = text.len() - text.trim_end_matches(' ').len();
    text.truncate(text.len() - spaces);
    for (on, tag) in [(looks.underline, "</u>"), (looks.italic, "</i>")] {
        text.push_str(if on { tag } else { "" });
    }
    text.extend(std::iter::repeat_n(' ', spaces));
}
