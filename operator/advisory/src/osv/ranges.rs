//! From a range's events to half-open intervals, as the schema's evaluation algorithm reads them.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use smol_str::SmolStr;

use super::OsvError;
use super::document::name;
use crate::notice::{Range, RangeEnd, VersionOrder};
use crate::version::{Scheme, VersionKey};

/// One event of a range; the schema allows exactly one key.
#[derive(Clone, Debug)]
pub(super) struct Event<'a> {
    kind: Kind,
    version: Cow<'a, str>,
}

/// What happens at an event's version. In the order in which two events at one version take effect: what is fixed and
/// introduced again at the same version is affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Fixed,
    Introduced,
    LastAffected,
    Limit,
}

impl<'de: 'a, 'a> Deserialize<'de> for Event<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneKey;
        impl<'de> Visitor<'de> for OneKey {
            type Value = Event<'de>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an event with one of introduced, fixed, last_affected, limit")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event<'de>, A::Error> {
                let mut event = None;
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    let kind = match key.as_ref() {
                        "introduced" => Kind::Introduced,
                        "fixed" => Kind::Fixed,
                        "last_affected" => Kind::LastAffected,
                        "limit" => Kind::Limit,
                        _ => {
                            map.next_value::<serde::de::IgnoredAny>()?;
                            continue;
                        }
                    };
                    if event.is_some() {
                        return Err(A::Error::custom("an event has more than one of its keys"));
                    }
                    let version = map.next_value::<BorrowedText<'de>>()?.0;
                    event = Some(Event { kind, version });
                }
                event.ok_or_else(|| {
                    A::Error::custom("an event has none of introduced, fixed, last_affected, limit")
                })
            }
        }
        deserializer.deserialize_map(OneKey)
    }
}

/// `Cow` as serde borrows it only when told.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, str>);

/// What is wrong with a list of events.
#[derive(Debug)]
pub(super) enum EventsError {
    NothingIntroduced,
    Version(OsvError),
}

impl EventsError {
    /// As an error of the document, at this path.
    pub(super) fn at(self, path: &str) -> OsvError {
        match self {
            Self::NothingIntroduced => OsvError::field(path, "", "at least one event `introduced`"),
            Self::Version(error) => error,
        }
    }
}

/// The intervals of a range. Events may stand in any order (schema, "affected\[\].ranges\[\].events"): they are sorted by
/// version where every version can be read, and else taken in the order of the document.
pub(super) fn intervals(
    events: &[Event<'_>],
    order: VersionOrder,
    scheme: Option<Scheme>,
) -> Result<Vec<Range>, EventsError> {
    let mut intervals: Vec<Range> = Vec::new();
    let mut open: Option<SmolStr> = None;
    let mut introduced = false;
    for event in sorted(events, scheme) {
        let version = name("event", &event.version).map_err(EventsError::Version)?;
        let end = match event.kind {
            Kind::Introduced => {
                introduced = true;
                open.get_or_insert(version);
                continue;
            }
            Kind::Fixed => RangeEnd::Fixed(version),
            Kind::LastAffected => RangeEnd::LastAffected(version),
            // `*` is the schema's word for "no limit".
            Kind::Limit if version == "*" => continue,
            Kind::Limit => RangeEnd::Limit(version),
        };
        if let Some(introduced) = open.take() {
            intervals.push(Range { order, introduced, end });
        }
    }
    if !introduced {
        return Err(EventsError::NothingIntroduced);
    }
    intervals.extend(open.map(|introduced| Range { order, introduced, end: RangeEnd::Open }));
    Ok(intervals)
}

fn sorted<'e, 'a>(events: &'e [Event<'a>], scheme: Option<Scheme>) -> Vec<&'e Event<'a>> {
    let in_document_order = || events.iter().collect();
    let Some(scheme) = scheme else {
        return in_document_order();
    };
    let keyed: Result<Vec<(VersionKey, Kind, &Event<'_>)>, _> = events
        .iter()
        .map(|event| {
            let key = if event.kind == Kind::Introduced {
                scheme.introduced_key(&event.version)
            } else {
                scheme.key(&event.version)
            };
            key.map(|key| (key, event.kind, event))
        })
        .collect();
    match keyed {
        Ok(mut keyed) => {
            keyed.sort_by(|(a, a_kind, _), (b, b_kind, _)| (a, a_kind).cmp(&(b, b_kind)));
            keyed.into_iter().map(|(_, _, event)| event).collect()
        }
        Err(_) => in_document_order(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(events: &str) -> Vec<(String, RangeEnd)> {
        let events: Vec<Event<'_>> = serde_json::from_str(events).unwrap();
        intervals(&events, VersionOrder::Ecosystem, Some(Scheme::Semver))
            .unwrap()
            .into_iter()
            .map(|range| (range.introduced.to_string(), range.end))
            .collect()
    }

    #[test]
    fn several_pairs_are_several_intervals_in_any_order() {
        let two = [
            ("0".to_owned(), RangeEnd::Fixed("1.4.2".into())),
            ("2.0.0".to_owned(), RangeEnd::LastAffected("2.3.0".into())),
        ];
        let text = r#"[{"introduced":"0"},{"fixed":"1.4.2"},{"introduced":"2.0.0"},{"last_affected":"2.3.0"}]"#;
        assert_eq!(read(text), two);
        let text = r#"[{"last_affected":"2.3.0"},{"introduced":"2.0.0"},{"fixed":"1.4.2"},{"introduced":"0"}]"#;
        assert_eq!(read(text), two);
    }

    #[test]
    fn what_is_never_fixed_stays_open() {
        assert_eq!(read(r#"[{"introduced":"1.0.0"}]"#), [("1.0.0".to_owned(), RangeEnd::Open)]);
        assert_eq!(
            read(r#"[{"introduced":"0"},{"limit":"*"}]"#),
            [("0".to_owned(), RangeEnd::Open)]
        );
    }

    #[test]
    fn a_limit_ends_an_interval_without_naming_a_fix() {
        assert_eq!(
            read(r#"[{"introduced":"0"},{"limit":"3.0.0"}]"#),
            [("0".to_owned(), RangeEnd::Limit("3.0.0".into()))]
        );
    }

    #[test]
    fn fixed_and_introduced_at_one_version_is_affected_there() {
        let text =
            r#"[{"introduced":"0"},{"introduced":"1.0.0"},{"fixed":"1.0.0"},{"fixed":"2.0.0"}]"#;
        assert_eq!(read(text).len(), 2);
    }

    #[test]
    fn events_need_one_key_and_one_introduction() {
        assert!(serde_json::from_str::<Event<'_>>(r#"{"introduced":"0","fixed":"1"}"#).is_err());
        assert!(serde_json::from_str::<Event<'_>>(r#"{"database":"x"}"#).is_err());
        let events: Vec<Event<'_>> = serde_json::from_str(r#"[{"fixed":"1"}]"#).unwrap();
        assert!(matches!(
            intervals(&events, VersionOrder::Ecosystem, None),
            Err(EventsError::NothingIntroduced)
        ));
    }
}
