//! Instants and durations as people read them: local, as short as they can be without being mistaken.

use hozen_domain::calendar::time_zone;
use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};

/// How long it is to an instant that is read as a time of the day, if that is less than a minute: the time would say nothing.
pub fn within_a_minute(of: Timestamp, now: Timestamp) -> Option<String> {
    let left = of.duration_since(now);
    (left < SignedDuration::from_mins(1)).then(|| words(left.max(SignedDuration::ZERO)))
}

/// The zone in which people read.
#[derive(Clone, Debug)]
pub struct Local {
    zone: TimeZone,
}

impl Local {
    /// By IANA name; UTC where the name is not known (intake has checked it).
    pub fn named(zone: &str) -> Self {
        Self { zone: time_zone(zone).unwrap_or(TimeZone::UTC) }
    }

    fn at(&self, at: Timestamp) -> Zoned {
        at.to_zoned(self.zone.clone())
    }

    /// `09:14`.
    pub fn time(&self, at: Timestamp) -> String {
        self.at(at).strftime("%H:%M").to_string()
    }

    /// `Thu 19 Nov`.
    pub fn day(&self, at: Timestamp) -> String {
        self.at(at).strftime("%a %-d %b").to_string()
    }

    /// `Thu 19 Nov 09:14`, with the year if it is not that of `reader`.
    pub fn full(&self, at: Timestamp, reader: Timestamp) -> String {
        let at = self.at(at);
        let format = if at.year() == self.at(reader).year() {
            "%a %-d %b %H:%M"
        } else {
            "%a %-d %b %Y %H:%M"
        };
        at.strftime(format).to_string()
    }

    /// `10:53` on the reader's day, `Fri 09:14` within the week after it, else [`Self::full`].
    pub fn short(&self, at: Timestamp, reader: Timestamp) -> String {
        let (there, here) = (self.at(at), self.at(reader));
        let days = (there.date() - here.date()).get_days();
        let format = match days {
            0 => "%H:%M",
            1..=6 => "%a %H:%M",
            _ => return self.full(at, reader),
        };
        there.strftime(format).to_string()
    }

    /// The beginning of the day in which an instant falls.
    pub fn midnight(&self, at: Timestamp) -> Timestamp {
        self.at(at).start_of_day().map_or(at, |day| day.timestamp())
    }

    /// Whether both are on one day here.
    pub fn same_day(&self, a: Timestamp, b: Timestamp) -> bool {
        self.at(a).date() == self.at(b).date()
    }

    /// A sentence of the domain, which knows no zone: its instants in UTC (`2026-11-19T00:14:00Z`) become local ones.
    pub fn sentence(&self, text: &str, reader: Timestamp) -> String {
        let mut local = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, instant, after)) = next_instant(rest) {
            local.push_str(before);
            local.push_str(&self.full(instant, reader));
            rest = after;
        }
        local.push_str(rest);
        local
    }
}

/// Splits a text around its first instant in RFC 3339, UTC.
fn next_instant(text: &str) -> Option<(&str, Timestamp, &str)> {
    let mut from = 0;
    while let Some(z) = text[from..].find('Z').map(|z| from + z) {
        let begins = text[..z]
            .rfind(|c: char| !matches!(c, '0'..='9' | '-' | ':' | 'T' | '.'))
            .map_or(0, |before| before + text[before..].chars().next().map_or(1, char::len_utf8));
        if let Ok(instant) = text[begins..=z].parse() {
            return Some((&text[..begins], instant, &text[z + 1..]));
        }
        from = z + 1;
    }
    None
}

/// `41 s`, `2 min 10 s`, `1 h 06 min`, `3 d 4 h`.
pub fn words(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |big: i64, unit: &str, small: i64, lesser: &str| {
        if small == 0 { format!("{big} {unit}") } else { format!("{big} {unit} {small} {lesser}") }
    };
    if minutes == 0 {
        format!("{seconds} s")
    } else if hours == 0 {
        two(minutes, "min", seconds % 60, "s")
    } else if days < 3 {
        match minutes % 60 {
            0 => format!("{hours} h"),
            left => format!("{hours} h {left:02} min"),
        }
    } else {
        two(days, "d", hours % 24, "h")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_instant_is_told_as_shortly_as_the_reader_can_place_it() {
        let tokyo = Local::named("Asia/Tokyo");
        let reader = at("2026-11-19T00:14:00Z");
        assert_eq!(tokyo.short(at("2026-11-19T01:53:00Z"), reader), "10:53");
        assert_eq!(tokyo.short(at("2026-11-20T00:14:00Z"), reader), "Fri 09:14");
        assert_eq!(tokyo.short(at("2026-11-26T00:14:00Z"), reader), "Thu 26 Nov 09:14");
        assert_eq!(tokyo.short(at("2026-11-17T13:10:00Z"), reader), "Tue 17 Nov 22:10");
        assert_eq!(tokyo.short(at("2027-01-18T00:14:00Z"), reader), "Mon 18 Jan 2027 09:14");
    }

    #[test]
    fn instants_in_sentences_become_local_and_nothing_else_changes() {
        let tokyo = Local::named("Asia/Tokyo");
        let reader = at("2026-11-19T00:14:00Z");
        let local = |text: &str| tokyo.sentence(text, reader);
        assert_eq!(
            local("its last report is of 2026-11-17T13:10:00Z, then silence"),
            "its last report is of Tue 17 Nov 22:10, then silence"
        );
        assert_eq!(local("2026-11-17T13:10:00.5Z"), "Tue 17 Nov 22:10");
        assert_eq!(local("Zürich–Z 12Z ZZ"), "Zürich–Z 12Z ZZ");
        assert_eq!(local("§2026-11-17T13:10:00Z§"), "§Tue 17 Nov 22:10§");
    }

    #[test]
    fn a_duration_has_at_most_two_units() {
        let told = |seconds| words(SignedDuration::from_secs(seconds));
        assert_eq!(told(41), "41 s");
        assert_eq!(told(130), "2 min 10 s");
        assert_eq!(told(3_960), "1 h 06 min");
        assert_eq!(told(7_200), "2 h");
        assert_eq!(told(172_800), "48 h");
        assert_eq!(told(273_600), "3 d 4 h");
    }
}
