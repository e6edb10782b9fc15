//! `rpmdb.sqlite`: the table `Packages(hnum INTEGER PRIMARY KEY, blob BLOB)` of an SQLite file, with its write-ahead log.
//!
//! Only what that table needs is read (<https://www.sqlite.org/fileformat2.html>): no statement is run, no index used, and
//! the file is not locked: a log is followed up to its last whole commit.

use std::{collections::BTreeMap, fs::File};

use super::{
    header::HEADER_BYTES_MAX,
    pages::{Budget, DatabaseError, bytes_at, number},
};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes of the file's own header, in front of the first page's.
const FILE_HEADER_BYTES: usize = 100;
const LOG_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;
const LOG_MAGIC: u64 = 0x377f_0682;
/// Deepest tree; SQLite's own limit.
const DEPTH_MAX: usize = 20;
/// Most pages of a log: 16 GiB of 4 KiB.
const PAGES_MAX: u64 = 4 << 20;
const LEAF: u8 = 0x0d;
const INTERIOR: u8 = 0x05;

/// An SQLite file that is open for reading.
#[derive(Debug)]
pub struct Sqlite {
    file: File,
    log: Option<File>,
    page_bytes: usize,
    usable_bytes: usize,
    /// Pages that the log has newer, and where in the log they begin.
    logged: BTreeMap<u64, u64>,
    budget: Budget,
}

impl Sqlite {
    /// Opens a file, and the log beside it.
    pub fn open(file: File, log: Option<File>) -> Result<Self, DatabaseError> {
        let head = bytes_at(&file, 0, FILE_HEADER_BYTES)?;
        if !head.starts_with(MAGIC) {
            return Err(DatabaseError::Damaged("it is no SQLite file"));
        }
        let page_bytes = match number(&head, 16, 2, true) {
            Some(1) => 65_536,
            Some(size) if size >= 512 && size.is_power_of_two() => {
                usize::try_from(size).unwrap_or(65_536)
            }
            _ => return Err(DatabaseError::Damaged("its page size is none")),
        };
        let reserved = usize::from(head[20]);
        // SQLite's own rule: at least 480 bytes of a page are usable.
        let usable_bytes = page_bytes - reserved.min(page_bytes - 480);
        let logged = match &log {
            Some(log) => pages_of(log, page_bytes),
            None => BTreeMap::new(),
        };
        // Two trees are walked, in which each page stands once; and rows are copied out of their pages.
        let budget = Budget::of([Some(&file), log.as_ref()].into_iter().flatten(), 3)?;
        Ok(Self { file, log, page_bytes, usable_bytes, logged, budget })
    }

    /// Calls `each` with the blob of every row of `Packages`.
    pub fn for_each(&mut self, each: &mut impl FnMut(&[u8])) -> Result<(), DatabaseError> {
        let mut root = None;
        self.walk(1, 0, &mut |row| {
            let column = |at| columns(row, at);
            if column(0) == Some(b"table") && column(1) == Some(b"Packages") {
                root = column(3).and_then(|bytes| number(bytes, 0, bytes.len(), true));
            }
        })?;
        let root = root.ok_or(DatabaseError::Damaged("it has no table Packages"))?;
        self.walk(root, 0, &mut |row| {
            if let Some(blob) = columns(row, 1) {
                each(blob);
            }
        })
    }

    fn page(&mut self, page: u64) -> Result<Vec<u8>, DatabaseError> {
        if page == 0 {
            return Err(DatabaseError::Damaged("a row goes on nowhere"));
        }
        self.budget.take(self.page_bytes)?;
        if let (Some(offset), Some(log)) = (self.logged.get(&page), &self.log) {
            return bytes_at(log, *offset, self.page_bytes);
        }
        let offset = (page - 1).checked_mul(self.page_bytes as u64);
        let offset = offset.ok_or(DatabaseError::Damaged("a page is outside of it"))?;
        bytes_at(&self.file, offset, self.page_bytes)
    }

    /// Calls `each` with the record of every row below a page of a table's tree.
    fn walk(
        &mut self,
        page: u64,
        depth: usize,
        each: &mut impl FnMut(&[u8]),
    ) -> Result<(), DatabaseError> {
        const CELL: DatabaseError = DatabaseError::Damaged("a cell is outside of its page");
        if depth > DEPTH_MAX {
            return Err(DatabaseError::Damaged("its tree is too deep"));
        }
        let bytes = self.page(page)?;
        let start = if page == 1 { FILE_HEADER_BYTES } else { 0 };
        let kind = *bytes.get(start).ok_or(CELL)?;
        let cells = usize::try_from(number(&bytes, start + 3, 2, true).ok_or(CELL)?).unwrap_or(0);
        let pointers = start + if kind == INTERIOR { 12 } else { 8 };
        for cell in 0..cells {
            let at = number(&bytes, pointers + 2 * cell, 2, true).ok_or(CELL)?;
            let cell = bytes.get(usize::try_from(at).unwrap_or(usize::MAX)..).ok_or(CELL)?;
            match kind {
                INTERIOR => self.walk(number(cell, 0, 4, true).ok_or(CELL)?, depth + 1, each)?,
                LEAF => each(&self.record(cell)?),
                _ => return Err(DatabaseError::Damaged("a page is of no table")),
            }
        }
        if kind == INTERIOR {
            self.walk(number(&bytes, start + 8, 4, true).ok_or(CELL)?, depth + 1, each)?;
        }
        Ok(())
    }

    /// The record of a leaf's cell, with what overflows onto other pages.
    fn record(&mut self, cell: &[u8]) -> Result<Vec<u8>, DatabaseError> {
        const SHORT: DatabaseError = DatabaseError::Damaged("a row ends too early");
        let (length, rest) = varint(cell).ok_or(SHORT)?;
        let (_, rest) = varint(rest).ok_or(SHORT)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= HEADER_BYTES_MAX);
        let length = length.ok_or(DatabaseError::Damaged("a row is larger than any package's"))?;
        let local = local_bytes(length, self.usable_bytes);
        self.budget.take(local)?;
        let mut record = rest.get(..local).ok_or(SHORT)?.to_vec();
        let mut next = if local < length { number(rest, local, 4, true).ok_or(SHORT)? } else { 0 };
        while record.len() < length {
            let page = self.page(next)?;
            let wanted = (length - record.len()).min(self.usable_bytes - 4);
            record.extend(&page[4..4 + wanted]);
            next = number(&page, 0, 4, true).ok_or(SHORT)?;
        }
        Ok(record)
    }
}

/// How much of a row of `length` bytes is on its leaf (section 1.6 of the format).
fn local_bytes(length: usize, usable: usize) -> usize {
    let most = usable - 35;
    if length <= most {
        return length;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let surplus = least + (length - least) % (usable - 4);
    if surplus <= most { surplus } else { least }
}

/// A number of one to nine bytes, seven bits each.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        if at == 8 {
            return Some(((value << 8) | u64::from(*byte), &bytes[9..]));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

/// One column of a record. Integers are returned as their bytes; the shorthands for 0 and 1 as none.
fn columns(record: &[u8], wanted: usize) -> Option<&[u8]> {
    let (header_bytes, _) = varint(record)?;
    let header_bytes = usize::try_from(header_bytes).ok()?;
    let (_, mut types) = varint(record.get(..header_bytes)?)?;
    let mut body = record.get(header_bytes..)?;
    for at in 0.. {
        let (kind, rest) = varint(types)?;
        types = rest;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            _ => usize::try_from(kind.checked_sub(12)? / 2).ok()?,
        };
        let column = body.get(..length)?;
        if at == wanted {
            return Some(column);
        }
        body = &body[length..];
    }
    None
}

/// Pages of a write-ahead log up to its last commit. A frame counts if its salts are the log's and its running checksum
/// is right: what follows is left over from before the log was last reset.
fn pages_of(log: &File, page_bytes: usize) -> BTreeMap<u64, u64> {
    let mut committed = BTreeMap::new();
    let Ok(head) = bytes_at(log, 0, 32) else {
        return committed;
    };
    let magic = number(&head, 0, 4, true).unwrap_or(0);
    if magic & !1 != LOG_MAGIC || number(&head, 8, 4, true) != Some(page_bytes as u64) {
        return committed;
    }
    let big_endian = magic & 1 == 1;
    let mut sum = checksum((0, 0), &head[..24], big_endian);
    let mut pending = BTreeMap::new();
    let mut offset = LOG_HEADER_BYTES;
    for _ in 0..PAGES_MAX {
        let frame_bytes = usize::try_from(FRAME_HEADER_BYTES).unwrap_or(24) + page_bytes;
        let Ok(frame) = bytes_at(log, offset, frame_bytes) else {
            break;
        };
        sum = checksum(sum, &frame[..8], big_endian);
        sum = checksum(sum, &frame[24..], big_endian);
        let stored = (number(&frame, 16, 4, true), number(&frame, 20, 4, true));
        let right = stored == (Some(u64::from(sum.0)), Some(u64::from(sum.1)));
        if frame[8..16] != head[16..24] || !right {
            break;
        }
        pending.insert(number(&frame, 0, 4, true).unwrap_or(0), offset + FRAME_HEADER_BYTES);
        if number(&frame, 4, 4, true).is_some_and(|size| size != 0) {
            committed.append(&mut pending);
        }
        offset += frame_bytes as u64;
    }
    committed
}

fn checksum(start: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let word = |at: &[u8]| {
        let word = number(at, 0, 4, big_endian).unwrap_or(0);
        u32::try_from(word).unwrap_or(0)
    };
    bytes.chunks_exact(8).fold(start, |(first, second), pair| {
        let first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
        let second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
        (first, second)
    })
}
