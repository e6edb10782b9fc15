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
