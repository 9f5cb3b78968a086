//! Dates, in the form of ISO 8601 that rfc8216bis asks for (4.4.4.6).

use std::fmt;
use std::time::Duration;

/// A point in time, to the microsecond, with the time zone that it was written in.
///
/// Two of them are equal if they were written in the same zone; compare [`DateTime::unix_micros`] to compare
/// the points in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime {
    micros: i64,
    zone_minutes: i16,
}

const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400;
/// The first of January of the years 0 and 10,000: what four digits can write.
const FIRST: i64 = -62_167_219_200 * MICROS;
const LAST: i64 = 253_402_300_800 * MICROS;
/// A day of room, so that the local time has four digits, too.
const MARGIN: i64 = DAY * MICROS;

impl DateTime {
    /// Milliseconds since the beginning of 1970, in UTC, rounded down.
    pub fn unix_millis(self) -> i64 {
        self.micros.div_euclid(1000)
    }

    /// Microseconds since the beginning of 1970, in UTC.
    pub fn unix_micros(self) -> i64 {
        self.micros
    }

    /// How far the time zone that it was written in is ahead of UTC, in minutes.
    pub fn zone_minutes(self) -> i16 {
        self.zone_minutes
    }

    /// A point in time in UTC, in microseconds since the beginning of 1970; `None` outside of the years 0 to
    /// 9999.
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        ((FIRST + MARGIN)..(LAST - MARGIN))
            .contains(&micros)
            .then_some(Self { micros, zone_minutes: 0 })
    }

    /// The point in time that is later by `by`; `None` beyond the year 9999.
    pub fn after(self, by: Duration) -> Option<Self> {
        let by = i64::try_from(by.as_micros()).ok()?;
        let later = Self::from_unix_micros(self.micros.checked_add(by)?)?;
        Some(Self {
            zone_minutes: self.zone_minutes,
            ..later
        })
    }

    pub(crate) fn in_zone(self, zone_minutes: i16) -> Self {
        Self { zone_minutes, ..self }
    }

    /// Reads a date; what is odd about its spelling.
    pub(crate) fn parse(text: &str) -> Option<(Self, Spelling)> {
        let mut spelling = Spelling::Good;
        let mut input = Input(text.trim().as_bytes());
        let year = input.digits(4)?;
        let dashed = input.eat(b'-');
        let month = input.digits(2)?;
        if dashed && !input.eat(b'-') {
            return None;
        }
        let day = input.digits(2)?;
        let (mut hour, mut minute, mut second, mut micros) = (0, 0, 0, 0);
        let mut zone = None;
        if !input.0.is_empty() {
            if input.eat(b' ') || input.eat(b't') {
                spelling = Spelling::Odd;
            } else if !input.eat(b'T') {
                return None;
            }
            hour = input.digits(2)?;
            let colons = input.eat(b':');
            minute = input.digits(2)?;
            if if colons {
                input.eat(b':')
            } else {
                input.0.first().is_some_and(u8::is_ascii_digit)
            } {
                second = input.digits(2)?;
                if input.eat(b'.') || input.eat(b',') {
                    micros = input.fraction()?;
                }
            }
            if input.eat(b' ') {
                spelling = Spelling::Odd;
            }
            zone = input.zone()?;
        }
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 || !input.0.is_empty() {
            return None;
        }
        if zone.is_none() {
            spelling = Spelling::NoZone;
        }
        let zone = zone.unwrap_or(0);
        let seconds = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second - i64::from(zone) * 60;
        let date = Self::from_unix_micros(seconds * MICROS + micros)?;
        Some((date.in_zone(zone), spelling))
    }
}

/// How a date was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    Good,
    Odd,
    NoZone,
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((&b, rest)) if b == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits
            .iter()
            .try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    }

    /// A fraction of a second in microseconds; further digits do not count.
    fn fraction(&mut self) -> Option<i64> {
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        let value = self.digits(count.min(6))?;
        self.0 = self.0.get(count.saturating_sub(6)..)?;
        (count.min(6)..6).try_fold(value, |n, _| Some(n * 10))
    }

    /// Minutes ahead of UTC; `Some(None)` if there is no zone.
    fn zone(&mut self) -> Option<Option<i16>> {
        if self.0.is_empty() {
            return Some(None);
        }
        if self.eat(b'Z') || self.eat(b'z') {
            return Some(Some(0));
        }
        let ahead = self.eat(b'+');
        if !ahead && !self.eat(b'-') {
            return None;
        }
        let hours = self.digits(2)?;
        let minutes = if self.eat(b':') || !self.0.is_empty() { self.digits(2)? } else { 0 };
        let minutes = i16::try_from(hours * 60 + minutes).ok().filter(|_| hours < 24 && minutes < 60)?;
        Some(Some(if ahead { minutes } else { -minutes }))
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for DateTime {
    /// `2010-02-19T14:54:23.031+08:00`, with as many digits as it takes and at least three.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.micros + i64::from(self.zone_minutes) * 60 * MICROS;
        let (seconds, micros) = (local.div_euclid(MICROS), local.rem_euclid(MICROS));
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY));
        let time = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if micros % 1000 == 0 {
            write!(f, ".{:03}", micros / 1000)?;
        } else {
            write!(f, ".{micros:06}")?;
        }
        match self.zone_minutes {
            0 => f.write_str("Z"),
            zone => write!(
                f,
                "{}{:02}:{:02}",
                if zone < 0 { '-' } else { '+' },
                zone.unsigned_abs() / 60,
                zone.unsigned_abs() % 60
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_the_forms_of_iso_8601() {
        use Spelling::*;
        // Seconds from `date -u -d ... +%s`.
        for (text, millis, spelling) in [
            ("1970-01-01T00:00:00Z", 0, Good),
            ("2010-02-19T14:54:23.031+08:00", 1_266_562_463_031, Good),
            ("2010-02-19T14:54:23.031+0800", 1_266_562_463_031, Good),
            ("20100219T065423.031Z", 1_266_562_463_031, Good),
            ("2010-02-19T06:54:23,031Z", 1_266_562_463_031, Good),
            ("2010-02-19 06:54:23.031Z", 1_266_562_463_031, Odd),
            ("2010-02-19T06:54:23.031", 1_266_562_463_031, NoZone),
            ("2000-02-29T12:00Z", 951_825_600_000, Good),
            ("1969-12-31T23:59:59.500-00:30", 1_799_500, Good),
            ("2024-12-31T23:59:60Z", 1_735_689_600_000, Good),
            ("2024-12-31", 1_735_603_200_000, NoZone),
        ] {
            let (date, odd) = DateTime::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((date.unix_millis(), odd), (millis, spelling), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "yesterday",
            "2010-13-01T00:00:00Z",
            "2010-02-19T1:2:3Z",
            "2010-02-19T00:00:00X",
            "2010-02-19T00:00:00Zx",
            "0000-01-01T00:00:00Z",
        ] {
            assert_eq!(DateTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_is_written_in_its_zone() {
        for text in [
            "2010-02-19T14:54:23.031+08:00",
            "1969-12-31T23:59:59.500Z",
            "2000-02-29T00:00:00.000-03:30",
            "2026-11-20T13:05:24.000001Z",
        ] {
            assert_eq!(DateTime::parse(text).unwrap().0.to_string(), text);
        }
    }
}
