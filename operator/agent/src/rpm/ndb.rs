//! `Packages.db`: rpm's own format (SUSE's default). Slots in front name the places of blobs, all little-endian, all
//! places in blocks of 16 bytes.

use std::fs::File;

use super::{
    header::HEADER_BYTES_MAX,
    pages::{Budget, DatabaseError, bytes_at, number},
};

const HEADER_MAGIC: u64 = 0x506d_7052; // "RpmP"
const SLOT_MAGIC: u64 = 0x746f_6c53; // "Slot"
const BLOB_MAGIC: u64 = 0x5362_6c42; // "BlbS"
const PAGE_BYTES: u64 = 4096;
const BLOCK_BYTES: u64 = 16;
/// Most pages of slots: room for half a million packages.
const SLOT_PAGES_MAX: u64 = 2048;

/// Calls `each` with every package's header.
pub fn for_each(file: &File, each: &mut impl FnMut(&[u8])) -> Result<(), DatabaseError> {
    let little = |bytes: &[u8], at| number(bytes, at, 4, false).unwrap_or(0);
    let head = bytes_at(file, 0, 32)?;
    if little(&head, 0) != HEADER_MAGIC || little(&head, 4) != 0 {
        return Err(DatabaseError::Damaged("it is no Packages.db of version 0"));
    }
    let pages = little(&head, 12);
    if pages == 0 || pages > SLOT_PAGES_MAX {
        return Err(DatabaseError::Damaged("its number of slots is none"));
    }
    let mut budget = Budget::of([file], 1)?;
    for page in 0..pages {
        let slots = bytes_at(file, page * PAGE_BYTES, 4096)?;
        // The file's header takes the place of the first two slots.
        let skipped = if page == 0 { 2 } else { 0 };
        for slot in slots.chunks_exact(16).skip(skipped) {
            if little(slot, 0) != SLOT_MAGIC {
                return Err(DatabaseError::Damaged("a slot has no mark"));
            }
            let package = little(slot, 4);
            if package != 0 {
                let blob = blob(file, package, little(slot, 8) * BLOCK_BYTES)?;
                budget.take(blob.len())?;
                each(&blob);
            }
        }
    }
    Ok(())
}

fn blob(file: &File, package: u64, offset: u64) -> Result<Vec<u8>, DatabaseError> {
    let head = bytes_at(file, offset, 16)?;
    let little = |at| number(&head, at, 4, false).unwrap_or(0);
    if little(0) != BLOB_MAGIC || little(4) != package {
        return Err(DatabaseError::Damaged("a slot names a place without its package"));
    }
    let length = usize::try_from(little(12)).unwrap_or(usize::MAX);
    if length > HEADER_BYTES_MAX {
        return Err(DatabaseError::Damaged("a package is larger than any"));
    }
    bytes_at(file, offset + BLOCK_BYTES, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One slot page with one package behind it.
    fn file(blob: &[u8], length: u32) -> File {
        let mut bytes = Vec::new();
        for word in [0x506d_7052_u32, 0, 1, 1, 0, 0, 0, 0] {
            bytes.extend(word.to_le_bytes());
        }
        for slot in 0..254_u32 {
            for word in [0x746f_6c53, u32::from(slot == 0), if slot == 0 { 256 } else { 0 }, 0] {
                bytes.extend(word.to_le_bytes());
            }
        }
        for word in [0x5362_6c42_u32, 1, 0, length] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(blob);
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        file
    }

    #[test]
    fn a_blob_is_found_through_its_slot() {
        let mut found = Vec::new();
        for_each(&file(b"header", 6), &mut |blob: &[u8]| {
            found.push(blob.to_vec());
        })
        .unwrap();
        assert_eq!(found, [b"header"]);
    }

    #[test]
    fn a_length_that_lies_reserves_no_memory() {
        for length in [7, u32::MAX] {
            assert!(for_each(&file(b"header", length), &mut |_: &[u8]| {}).is_err());
        }
    }
}
