//! Which of the formats a document has, told by keys at their places: any document may mention another format in a text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// The format of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenVEX.
    OpenVex,
    /// CycloneDX.
    CycloneDx,
    /// CSAF.
    Csaf,
}

impl Format {
    /// Tells it from a document, or from its first bytes where they reach far enough; none: it is none of the three, or nothing up to
    /// there tells.
    pub fn of(head: &[u8]) -> Option<Self> {
        let mut found = None;
        // What is cut off ends with an error, and what was seen before it counts.
        let _ = Keys { within: Within::Document, found: &mut found }
            .deserialize(&mut serde_json::Deserializer::from_slice(head));
        found
    }
}

#[derive(Clone, Copy)]
enum Within {
    Document,
    /// `document` of CSAF.
    CsafHead,
}

/// Goes through the keys of an object until one tells the format.
struct Keys<'f> {
    within: Within,
    found: &'f mut Option<Format>,
}

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match (self.within, key.as_str()) {
                (Within::Document, "bomFormat") => *self.found = Some(Format::CycloneDx),
                (Within::Document, "@context") => {
                    let context: Value = map.next_value()?;
                    if context.to_string().contains("openvex.dev/ns") {
                        *self.found = Some(Format::OpenVex);
                    }
                }
                (Within::Document, "document") => {
                    map.next_value_seed(Keys { within: Within::CsafHead, found: self.found })?;
                }
                (Within::CsafHead, "csaf_version") => *self.found = Some(Format::Csaf),
                (Within::CsafHead, "category") => {
                    let category: Value = map.next_value()?;
                    if category.as_str().is_some_and(|category| category.starts_with("csaf_")) {
                        *self.found = Some(Format::Csaf);
                    }
                }
                (Within::Document | Within::CsafHead, _) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if self.found.is_some() {
                return Ok(()); // The rest is an error of its parser, or none.
            }
        }
        Ok(())
    }
}
