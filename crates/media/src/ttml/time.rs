//! Time expressions (TTML2 §12.3.1).

/// What the root element says of time (`ttp:` attributes, TTML2 §7.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Clock {
    /// `frameRate` times `frameRateMultiplier`, as a fraction.
    frames: (u64, u64),
    sub_frames: u64,
    ticks: Option<u64>,
    has_frames: bool,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            frames: (30, 1),
            sub_frames: 1,
            ticks: None,
            has_frames: false,
        }
    }
}

impl Clock {
    /// Takes an attribute of the root element. A value that makes no sense is left out.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let number = |text: &str| text.trim().parse().ok().filter(|number| (1..=1_000_000_000_u64).contains(number));
        match name {
            "frameRate" => {
                if let Some(rate) = number(value) {
                    self.frames.0 = self.frames.0 / 30 * rate;
                    self.has_frames = true;
                }
            }
            "frameRateMultiplier" => {
                // `1000 1001`; `1000:1001` in drafts.
                let mut parts = value.split([' ', ':']).filter_map(number);
                if let (Some(over), Some(under)) = (parts.next(), parts.next()) {
                    self.frames = (self.frames.0.saturating_mul(over), under);
                }
            }
            "subFrameRate" => self.sub_frames = number(value).unwrap_or(self.sub_frames),
            "tickRate" => self.ticks = number(value),
            _ => {}
        }
    }

    /// A time in microseconds: a clock time (`00:00:01.5`, `00:00:01:12`) or an offset (`1.5s`, `36f`, `15000000t`).
    pub(super) fn read(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        if text.contains(':') {
            self.clock_time(text)
        } else {
            self.offset(text)
        }
    }

    fn clock_time(&self, text: &str) -> Option<i64> {
        let mut parts = text.split(':');
        let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        let (minutes, whole) = (digits(minutes)?, digits(whole)?);
        if minutes > 59 || whole > 60 {
            return None;
        }
        let seconds = digits(hours)? * 3600 + minutes * 60 + whole;
        let mut time = scale(seconds, 1_000_000, 1) + micros(fraction)?;
        if let Some(frames) = parts.next() {
            let (frames, sub) = frames.split_once('.').unwrap_or((frames, "0"));
            let (rate, under) = self.frames;
            let frames = digits(frames)?.checked_mul(self.sub_frames)?.checked_add(digits(sub)?)?;
            time += scale(
                frames,
                1_000_000 * u128::from(under),
                u128::from(rate) * u128::from(self.sub_frames),
            );
        }
        parts.next().is_none().then_some(time)
    }

    fn offset(&self, text: &str) -> Option<i64> {
        let end = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, metric) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let (rate, under) = self.frames;
        let (over, under) = match metric {
            "h" => (3_600_000_000, 1),
            "m" => (60_000_000, 1),
            "s" => (1_000_000, 1),
            "ms" => (1000, 1),
            "f" => (1_000_000 * u128::from(under), u128::from(rate)),
            "t" => {
                let frames = self.has_frames.then(|| u128::from(rate) * u128::from(self.sub_frames));
                match (self.ticks, frames) {
                    (Some(ticks), _) => (1_000_000, ticks.into()),
                    (None, Some(frames)) => (1_000_000 * u128::from(under), frames),
                    (None, None) => (1_000_000, 1),
                }
            }
            _ => return None,
        };
        // The fraction of a number in millionths.
        let number = u128::from(digits(whole)?) * 1_000_000 + u128::try_from(micros(fraction)?).ok()?;
        i64::try_from(number.checked_mul(over)? / (under * 1_000_000)).ok()
    }
}

/// Up to twelve digits.
fn digits(text: &str) -> Option<u64> {
    let good = (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok())?
}

/// The digits behind a point, in millionths.
fn micros(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{:0<6}", fraction.get(..6).unwrap_or(fraction)).parse().ok()
}

fn scale(value: u64, over: u128, under: u128) -> i64 {
    let scaled = (u128::from(value) * over + under / 2) / under.max(1);
    i64::try_from(scaled).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_standard() {
        let plain: &[(&str, &str)] = &[];
        let film: &[(&str, &str)] = &[("frameRate", "24"), ("frameRateMultiplier", "1000 1001")];
        let ticks: &[(&str, &str)] = &[("tickRate", "10000000")];
        let sub: &[(&str, &str)] = &[("frameRate", "25"), ("subFrameRate", "2")];
        for (attributes, text, expected) in [
            (plain, "00:00:01.5", Some(1_500_000)),
            (plain, "01:02:03", Some(3_723_000_000)),
            (plain, "100:00:00.000", Some(360_000_000_000)),
            (plain, "00:00:01:15", Some(1_500_000)),
            (film, "00:00:00:24", Some(1_001_000)),
            (film, "24f", Some(1_001_000)),
            (sub, "00:00:00:12.1", Some(500_000)),
            (plain, "1.5h", Some(5_400_000_000)),
            (plain, "2m", Some(120_000_000)),
            (plain, "12.345s", Some(12_345_000)),
            (plain, "7ms", Some(7000)),
            (ticks, "15000000t", Some(1_500_000)),
            (plain, "3t", Some(3_000_000)),
            (sub, "50t", Some(1_000_000)),
            (plain, "", None),
            (plain, "12", None),
            (plain, "1x", None),
            (plain, "-1s", None),
            (plain, "00:61:00", None),
            (plain, "1:2:3:4:5", None),
            (plain, "99999999999999999999s", None),
            (plain, "00:00:0é", None),
        ] {
            let mut clock = Clock::default();
            attributes.iter().for_each(|(name, value)| clock.set(name, value));
            assert_eq!(clock.read(text), expected, "{text} {attributes:?}");
        }
    }
}
