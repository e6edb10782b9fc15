//! Bytes of a database file at a place, with what a write-ahead log says instead.

use std::{fs::File, io, os::unix::fs::FileExt};

/// What is wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be read.
    #[error("could not be read ({0})")]
    Io(#[from] io::Error),
    /// Its bytes contradict themselves.
    #[error("is damaged: {0}")]
    Damaged(&'static str),
}

/// How much may still be read of a file. In a sound one nothing lies twice; one whose parts name the same bytes again and again
/// could otherwise be read for days.
#[derive(Debug)]
pub struct Budget {
    left: u64,
}

impl Budget {
    /// So many times the bytes of these files.
    pub fn of<'f>(
        files: impl IntoIterator<Item = &'f File>,
        times: u64,
    ) -> Result<Self, DatabaseError> {
        let mut bytes = 0_u64;
        for file in files {
            bytes = bytes.saturating_add(file.metadata()?.len());
        }
        Ok(Self { left: bytes.saturating_mul(times) })
    }

    /// Takes some bytes of it.
    pub fn take(&mut self, bytes: usize) -> Result<(), DatabaseError> {
        const AGAIN: DatabaseError =
            DatabaseError::Damaged("it names the same bytes again and again");
        self.left = self.left.checked_sub(bytes as u64).ok_or(AGAIN)?;
        Ok(())
    }
}

/// Reads exactly the bytes at an offset.
pub fn bytes_at(file: &File, offset: u64, length: usize) -> Result<Vec<u8>, DatabaseError> {
    let mut bytes = vec![0; length];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(DatabaseError::Damaged("it ends too early"))
        }
        Err(error) => Err(error.into()),
    }
}

/// A number of two, four or eight bytes at an offset.
pub fn number(bytes: &[u8], at: usize, width: usize, big_endian: bool) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    let fold = |sum, byte: &u8| (sum << 8) | u64::from(*byte);
    Some(if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
}
