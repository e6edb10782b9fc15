//! Paragraphs of `Field: value` lines, as dpkg and apt keep their data, read one at a time from a stream.
//!
//! An index of a distribution is 50 MB and most of it is of no interest to one node. So paragraphs are cut by the empty
//! line alone, the caller looks at the name, and only what it wants is parsed.

use std::io::{self, Read};

use deb822_fast::borrowed::{BorrowedParagraph, BorrowedParagraphIter};
use memchr::memmem;

/// Largest paragraph that is read. The largest in Debian's archive (task packages, kernel sources) is below 100 KiB.
pub const PARAGRAPH_BYTES_MAX: usize = 1 << 20;
/// How much is read at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Most bytes of one stream, unpacked: ten times the largest index of a distribution. A sparse file of a terabyte would hold a scan for
/// an hour.
const STREAM_BYTES_MAX: u64 = 512 << 20;

/// Cuts a stream into paragraphs.
#[derive(Debug)]
pub struct Stanzas<R> {
    stream: R,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    oversized: u64,
    read: u64,
}

impl<R: Read> Stanzas<R> {
    /// Begins at the stream's first byte.
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new(), start: 0, ended: false, oversized: 0, read: 0 }
    }

    /// How many paragraphs were passed over because they were larger than a mebibyte.
    pub fn oversized(&self) -> u64 {
        self.oversized
    }

    /// Calls `each` with every paragraph until the stream ends.
    pub fn for_each(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            let mut cut = self.start;
            while let Some(length) = memmem::find(&self.buffer[cut..], b"\n\n") {
                let paragraph = trim_line_feeds(&self.buffer[cut..=cut + length]);
                if !paragraph.is_empty() {
                    each(paragraph);
                }
                cut += length + 2;
            }
            self.start = cut;
            if self.ended {
                let rest = trim_line_feeds(&self.buffer[self.start..]);
                if rest.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    each(rest);
                }
                self.start = self.buffer.len();
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// Drops what was handed out and reads the next chunk behind what is left.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.len() > PARAGRAPH_BYTES_MAX {
            self.pass_over()?;
        }
        let kept = self.buffer.len();
        self.ended = self.chunk()? == 0;
        debug_assert!(self.buffer.len() >= kept);
        Ok(())
    }

    /// Reads some more; how much.
    fn chunk(&mut self) -> io::Result<usize> {
        let read = (&mut self.stream).take(CHUNK_BYTES as u64).read_to_end(&mut self.buffer)?;
        self.read = self.read.saturating_add(read as u64);
        if self.read > STREAM_BYTES_MAX {
            let message = format!("is larger than the limit of {STREAM_BYTES_MAX} bytes");
            return Err(io::Error::other(message));
        }
        Ok(read)
    }

    /// Throws a paragraph away that is too large, up to the empty line that ends it.
    fn pass_over(&mut self) -> io::Result<()> {
        self.oversized += 1;
        loop {
            // The last byte stays: the empty line may lie across two chunks.
            let last = self.buffer.last().copied();
            self.buffer.clear();
            self.buffer.extend(last);
            if self.chunk()? == 0 {
                self.buffer.clear();
                return Ok(());
            }
            if let Some(end) = memmem::find(&self.buffer, b"\n\n") {
                self.buffer.drain(..end + 2);
                return Ok(());
            }
        }
    }
}

fn trim_line_feeds(paragraph: &[u8]) -> &[u8] {
    let begin = paragraph.iter().position(|byte| *byte != b'\n');
    &paragraph[begin.unwrap_or(paragraph.len())..]
}

/// Value of the field if it is the paragraph's first, which `Package` is in every file that dpkg and apt write.
pub fn first_field<'a>(paragraph: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = paragraph.strip_prefix(name)?.strip_prefix(b": ")?;
    let end = memchr::memchr(b'\n', value).unwrap_or(value.len());
    Some(value[..end].trim_ascii())
}

/// Parses a file's text, paragraph by paragraph; one that is no paragraph is passed over.
pub fn parse(text: &str) -> impl Iterator<Item = Paragraph<'_>> {
    let mut paragraphs = BorrowedParagraphIter::new(text);
    std::iter::from_fn(move || {
        // The parser stands still at its first error, so that the error ends the file.
        paragraphs.next()?.ok().map(Paragraph)
    })
}

/// Fields of one paragraph.
#[derive(Debug)]
pub struct Paragraph<'a>(BorrowedParagraph<'a>);

impl<'a> Paragraph<'a> {
    /// Value of a field, the first line of it; names are compared without regard to case.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.lines(name)?.next()
    }

    /// All lines of a field's value.
    pub fn lines(&self, name: &str) -> Option<impl Iterator<Item = &'a str>> {
        let field = self.0.iter().find(|field| field.name().eq_ignore_ascii_case(name))?;
        Some(field.lines().iter().map(|line| line.trim()))
    }

    /// Value as a number, where it is one.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(input: &[u8]) -> (Vec<String>, u64) {
        let mut stanzas = Stanzas::new(input);
        let mut names = Vec::new();
        stanzas
            .for_each(|paragraph| {
                let name = first_field(paragraph, b"Package").unwrap_or(b"?");
                names.push(String::from_utf8_lossy(name).into_owned());
            })
            .unwrap();
        (names, stanzas.oversized())
    }

    #[test]
    fn paragraphs_are_cut_at_empty_lines_wherever_chunks_end() {
        let mut file = b"\n\n\n".to_vec();
        for number in 0..20_000 {
            file.extend(format!("Package: p{number}\nVersion: 1\n\n").into_bytes());
        }
        file.extend(b"Package: last\nVersion: 1");
        let (names, oversized) = names(&file);

        assert_eq!((names.len(), oversized), (20_001, 0));
        assert_eq!((names[9_999].as_str(), names[20_000].as_str()), ("p9999", "last"));
    }

    #[test]
    fn a_paragraph_without_end_is_passed_over_and_counted() {
        let mut file = b"Package: a\n\nPackage: huge\nDescription: ".to_vec();
        file.resize(3 << 20, b'x');
        file.extend(b"\n\nPackage: b\n");

        assert_eq!(names(&file), (vec!["a".into(), "b".into()], 1));
    }

    #[test]
    fn fields_are_found_in_any_case_and_a_broken_paragraph_ends_nothing_else() {
        let paragraph = parse("package: a\nVERSION: 1:2\nDepends: x,\n y\n").next().unwrap();

        assert_eq!((paragraph.get("Package"), paragraph.get("Version")), (Some("a"), Some("1:2")));
        assert_eq!(paragraph.lines("Depends").unwrap().collect::<Vec<_>>(), ["x,", "y"]);
        assert!(parse("no colon here\n").next().is_none());
    }
}
