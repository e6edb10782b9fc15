//! Limits for what strangers wrote: every parser of this crate names the limit that was hit instead of growing.

use std::io::Read;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

/// Deepest nesting of JSON that is read. OSV needs 8, the deepest CycloneDX dependency trees about 20.
pub const JSON_DEPTH_MAX: usize = 64;
/// Longest string in a JSON document, in bytes. The longest `details` text in public data has 70 KB.
pub const JSON_STRING_BYTES_MAX: usize = 1 << 20;

/// A limit that a document hit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitHit {
    /// The document is too large.
    #[error("it is larger than the limit of {bytes_max} bytes")]
    Size {
        /// The limit.
        bytes_max: u64,
    },
    /// Brackets in brackets in brackets.
    #[error("it nests deeper than the limit of {depth_max} levels, at byte {at}")]
    Depth {
        /// The limit.
        depth_max: usize,
        /// Where the first bracket too many stands.
        at: usize,
    },
    /// One string is too long.
    #[error("the string at byte {at} is longer than the limit of {bytes_max} bytes")]
    Text {
        /// The limit.
        bytes_max: usize,
        /// Where the string begins.
        at: usize,
    },
}

/// Why a bounded read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The limit was hit; not more than the limit was read.
    #[error(transparent)]
    Limit(#[from] LimitHit),
    /// The source failed.
    #[error("reading it failed")]
    Io(#[from] std::io::Error),
}

/// Reads everything there is, at most `bytes_max` bytes: a larger source is refused after that many, whatever size it
/// claims to have.
pub fn read_up_to(source: impl Read, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    source.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(LimitHit::Size { bytes_max }.into());
    }
    Ok(bytes)
}

/// Checks size, nesting and string lengths of a JSON text before anything is built from it. One pass, no memory.
pub fn guard_json(bytes: &[u8], bytes_max: u64) -> Result<(), LimitHit> {
    if bytes.len() as u64 > bytes_max {
        return Err(LimitHit::Size { bytes_max });
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = string_end(bytes, at + 1);
                if end - at > JSON_STRING_BYTES_MAX {
                    return Err(LimitHit::Text { bytes_max: JSON_STRING_BYTES_MAX, at });
                }
                at = end;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(LimitHit::Depth { depth_max: JSON_DEPTH_MAX, at });
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The index of the quote that ends the string whose first byte is at `from`, or the end of the text.
pub fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A list in a foreign document that holds at most `MAX` elements; `null` and absence are an empty list.
///
/// The element too many ends the reading of the document, before memory is spent on it.
#[derive(Clone, Debug)]
pub(crate) struct Bounded<T, const MAX: usize>(pub Vec<T>);

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = Bounded<T, MAX>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(out, "a list of at most {MAX} elements")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Bounded::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    if elements.len() == MAX {
                        let why = format!("a list has more elements than the limit of {MAX}");
                        return Err(serde::de::Error::custom(why));
                    }
                    elements.push(element);
                }
                Ok(Bounded(elements))
            }
        }
        deserializer.deserialize_any(Elements(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_larger_than_its_limit_is_read_no_further() {
        let endless = std::io::repeat(b' ');
        assert!(matches!(
            read_up_to(endless, 1000),
            Err(ReadError::Limit(LimitHit::Size { bytes_max: 1000 }))
        ));
        assert_eq!(read_up_to(&b"abc"[..], 3).unwrap(), b"abc");
    }

    #[test]
    fn depth_is_counted_outside_strings_only() {
        let deep = "[".repeat(JSON_DEPTH_MAX + 1);
        assert_eq!(
            guard_json(deep.as_bytes(), 1000),
            Err(LimitHit::Depth { depth_max: JSON_DEPTH_MAX, at: JSON_DEPTH_MAX })
        );
        let flat = format!(r#"["{}\"{}"]"#, "[".repeat(100), "{".repeat(100));
        assert_eq!(guard_json(flat.as_bytes(), 1000), Ok(()));
    }

    #[test]
    fn a_string_over_the_limit_is_named_by_its_place() {
        let text = format!("[\"{}\"]", "x".repeat(JSON_STRING_BYTES_MAX));
        assert!(matches!(guard_json(text.as_bytes(), u64::MAX), Err(LimitHit::Text { at: 1, .. })));
        assert_eq!(guard_json(b"[\"open\\", 100), Ok(()));
    }

    #[test]
    fn a_list_stops_at_its_limit() {
        let read = |text: &str| serde_json::from_str::<Bounded<u8, 2>>(text).map(|list| list.0);
        assert_eq!(read("[1,2]").unwrap(), [1, 2]);
        assert!(read("null").unwrap().is_empty());
        let error = read("[1,2,3]").unwrap_err().to_string();
        assert!(error.contains("limit of 2"), "{error}");
    }
}
