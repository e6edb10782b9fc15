//! `Packages`: a hash of Berkeley DB (RHEL 8 and older). Headers are values that overflow onto chains of pages; keys are
//! not looked at.

use std::fs::File;

use super::{
    header::HEADER_BYTES_MAX,
    pages::{Budget, DatabaseError, bytes_at, number},
};

const HASH_MAGIC: u64 = 0x0006_1561;
const HASH_META: u8 = 8;
const HASH_UNSORTED: u8 = 2;
const HASH: u8 = 13;
const OVERFLOW: u8 = 7;
/// Kind of an entry whose value is on other pages.
const OFF_PAGE: u8 = 3;
const PAGE_HEADER_BYTES: usize = 26;

struct Bdb<'a> {
    file: &'a File,
    big_endian: bool,
    page_bytes: usize,
    last: u64,
    budget: Budget,
}

/// Calls `each` with every package's header.
pub fn for_each(file: &File, each: &mut impl FnMut(&[u8])) -> Result<(), DatabaseError> {
    let head = bytes_at(file, 0, 512)?;
    let big_endian = match (number(&head, 12, 4, false), number(&head, 12, 4, true)) {
        (Some(HASH_MAGIC), _) => false,
        (_, Some(HASH_MAGIC)) => true,
        _ => return Err(DatabaseError::Damaged("it is no hash of Berkeley DB")),
    };
    if head[24] != 0 || head[25] != HASH_META {
        return Err(DatabaseError::Damaged("it is encrypted, or no hash"));
    }
    let page_bytes = number(&head, 20, 4, big_endian).unwrap_or(0);
    if !(512..=65_536).contains(&page_bytes) || !page_bytes.is_power_of_two() {
        return Err(DatabaseError::Damaged("its page size is none"));
    }
    let mut database = Bdb {
        file,
        big_endian,
        page_bytes: usize::try_from(page_bytes).unwrap_or(65_536),
        last: number(&head, 32, 4, big_endian).unwrap_or(0),
        // Each page is looked at once, and once more where a value goes on in it.
        budget: Budget::of([file], 2)?,
    };
    for page in 1..=database.last {
        let bytes = database.page(page)?;
        if matches!(bytes[25], HASH | HASH_UNSORTED) {
            database.values(&bytes, each)?;
        }
    }
    Ok(())
}

impl Bdb<'_> {
    fn page(&mut self, page: u64) -> Result<Vec<u8>, DatabaseError> {
        self.budget.take(self.page_bytes)?;
        bytes_at(self.file, page * self.page_bytes as u64, self.page_bytes)
    }

    fn number(&self, bytes: &[u8], at: usize, width: usize) -> Result<usize, DatabaseError> {
        let number = number(bytes, at, width, self.big_endian);
        number
            .and_then(|number| usize::try_from(number).ok())
            .ok_or(DatabaseError::Damaged("an entry is outside of its page"))
    }

    /// Values of a page: every second entry, the first being a key.
    fn values(&mut self, page: &[u8], each: &mut impl FnMut(&[u8])) -> Result<(), DatabaseError> {
        let entries = self.number(page, 20, 2)?;
        for entry in (1..entries).step_by(2) {
            let at = self.number(page, PAGE_HEADER_BYTES + 2 * entry, 2)?;
            // A small value is no package: rpm keeps its next free number so.
            if page.get(at) != Some(&OFF_PAGE) {
                continue;
            }
            let first = self.number(page, at + 4, 4)?;
            let length = self.number(page, at + 8, 4)?;
            if length > HEADER_BYTES_MAX {
                return Err(DatabaseError::Damaged("a package is larger than any"));
            }
            each(&self.chain(first, length)?);
        }
        Ok(())
    }

    fn chain(&mut self, first: usize, length: usize) -> Result<Vec<u8>, DatabaseError> {
        let mut value = Vec::new();
        let mut next = first;
        while value.len() < length {
            if next == 0 {
                return Err(DatabaseError::Damaged("a chain of pages ends too early"));
            }
            let page = self.page(next as u64)?;
            let used = self.number(&page, 22, 2)?;
            let data = page.get(PAGE_HEADER_BYTES..PAGE_HEADER_BYTES + used);
            if page[25] != OVERFLOW || used == 0 {
                return Err(DatabaseError::Damaged("a chain leads to a page of another kind"));
            }
            value.extend(data.ok_or(DatabaseError::Damaged("a page is fuller than it is large"))?);
            next = self.number(&page, 16, 4)?;
        }
        value.truncate(length);
        Ok(value)
    }
}
