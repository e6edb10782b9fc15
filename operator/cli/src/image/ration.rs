//! A bound on what an archive may have before an entry: names of any length are read into memory by whoever reads tar.

use std::{
    cell::Cell,
    io::{self, Read, Seek, SeekFrom},
    rc::Rc,
};

/// Longest head of an entry, with the long names and extended attributes before it; file systems end at 4 KiB for a path.
const HEAD_BYTES_MAX: u64 = 1 << 20;

/// How much may be read before the next entry; none: as much as there is.
#[derive(Clone, Debug, Default)]
pub struct Ration(Rc<Cell<Option<u64>>>);

/// A stream of which no more is given out than the ration.
#[derive(Debug)]
pub struct Rationed<R> {
    stream: R,
    ration: Ration,
}

impl Ration {
    /// Puts a stream on this ration.
    pub fn of<R>(self, stream: R) -> Rationed<R> {
        Rationed { stream, ration: self }
    }

    /// Reads the head of an entry, of which the stream gives out no more than a head may have.
    pub fn for_a_head<T>(&self, read: impl FnOnce() -> T) -> T {
        self.0.set(Some(HEAD_BYTES_MAX));
        let read = read();
        self.0.set(None);
        read
    }
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.ration.0.get() else {
            return self.stream.read(into);
        };
        if left == 0 && !into.is_empty() {
            let what = format!(
                "the name or the attributes of one of its entries are longer than {HEAD_BYTES_MAX} bytes, the limit"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let got = self.stream.read(&mut into[..most])?;
        self.ration.0.set(Some(left - got as u64));
        Ok(got)
    }
}

impl<R: Seek> Seek for Rationed<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.stream.seek(to)
    }
}
