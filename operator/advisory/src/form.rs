//! Which form a JSON document of a feed has, told by keys at their places: any document may mention another form in a text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The form of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A notice.
    Osv,
    /// CISA's catalogue.
    Kev,
    /// Statements (VEX).
    OpenVex,
    /// Statements (VEX), or a bill of materials.
    CycloneDx,
    /// Statements (VEX).
    Csaf,
    /// A bill of materials, which no feed holds.
    Spdx,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Osv, Self::Kev, Self::OpenVex, Self::CycloneDx, Self::Csaf, Self::Spdx];

    /// Tells it from a document, or from its first bytes where they reach far enough; none: it is none of these, or nothing up to
    /// there tells.
    pub fn of(document: &[u8]) -> Option<Self> {
        let mut found = None;
        // What is cut off ends with an error, and what was seen before it counts.
        let _ = Keys { within: Within::Document, found: &mut found }
            .deserialize(&mut serde_json::Deserializer::from_slice(document));
        found
    }

    /// The key that tells it, as messages name it.
    pub const fn told_by(self) -> &'static str {
        match self {
            Self::Osv => "id, modified, affected",
            Self::Kev => "catalogVersion",
            Self::OpenVex => "@context of openvex.dev",
            Self::CycloneDx => "bomFormat",
            Self::Csaf => "document.csaf_version",
            Self::Spdx => "spdxVersion, or @context of spdx.org",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Osv => "OSV",
            Self::Kev => "KEV",
            Self::OpenVex => "OpenVEX",
            Self::CycloneDx => "CycloneDX",
            Self::Csaf => "CSAF",
            Self::Spdx => "SPDX",
        })
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
    found: &'f mut Option<Form>,
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
        let mut named = false;
        while let Some(key) = map.next_key::<String>()? {
            match (self.within, key.as_str()) {
                (Within::Document, "schema_version" | "modified" | "affected") => {
                    *self.found = Some(Form::Osv);
                }
                (Within::Document, "catalogVersion") => *self.found = Some(Form::Kev),
                (Within::Document, "spdxVersion") => *self.found = Some(Form::Spdx),
                (Within::Document, "bomFormat") => *self.found = Some(Form::CycloneDx),
                (Within::Document, "@context") => {
                    map.next_value_seed(Words { tell: of_context, found: self.found })?;
                }
                (Within::Document, "document") => {
                    map.next_value_seed(Keys { within: Within::CsafHead, found: self.found })?;
                }
                (Within::CsafHead, "csaf_version") => *self.found = Some(Form::Csaf),
                (Within::CsafHead, "category") => {
                    map.next_value_seed(Words { tell: of_category, found: self.found })?;
                }
                (Within::Document | Within::CsafHead, key) => {
                    named |= key == "id" && matches!(self.within, Within::Document);
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if self.found.is_some() {
                return Ok(()); // The rest is an error of its parser, or none.
            }
        }
        // A notice of which nothing but its name is told is one.
        if named {
            *self.found = Some(Form::Osv);
        }
        Ok(())
    }
}

fn of_context(context: &str) -> Option<Form> {
    if context.contains("openvex.dev/ns") {
        return Some(Form::OpenVex);
    }
    context.contains("spdx.org/").then_some(Form::Spdx)
}

fn of_category(category: &str) -> Option<Form> {
    category.starts_with("csaf_").then_some(Form::Csaf)
}

/// Goes through a text, or those of a list or an object, until one tells the format. Nothing of them is kept: there may be millions.
struct Words<'f> {
    tell: fn(&str) -> Option<Form>,
    found: &'f mut Option<Form>,
}

impl<'de> DeserializeSeed<'de> for Words<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Words<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        *self.found = (self.tell)(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { tell, found } = self;
        while found.is_none() && list.next_element_seed(Words { tell, found })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { tell, found } = self;
        while found.is_none() && map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Words { tell, found })?;
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
}
