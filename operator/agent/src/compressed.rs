//! Streams that may be compressed: apt keeps its indices as it is configured to, dnf as the repository made them.

use std::io::{self, Read};

/// Memory that an xz stream may ask for. `xz -9` asks for 64 MiB.
const XZ_MEMORY_KIB_MAX: u32 = 80 << 10;
/// Window that a zstd stream may ask for. `zstd -19` asks for 8 MiB.
const ZSTD_WINDOW_BYTES_MAX: usize = 64 << 20;

/// How a file is compressed, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`
    Gzip,
    /// `.lz4`
    Lz4,
    /// `.xz`
    Xz,
    /// `.zst`
    Zstd,
}

impl Compression {
    /// Every way that can be read, in the order in which apt looks for a file.
    pub const ALL: [Self; 5] = [Self::None, Self::Zstd, Self::Lz4, Self::Gzip, Self::Xz];

    /// End of the names of files that are compressed so.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Lz4 => ".lz4",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }

    /// By the end of a file's name.
    pub fn of(name: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|way| *way != Self::None && name.ends_with(way.suffix()))
            .unwrap_or(Self::None)
    }

    /// Unpacks a stream, at most `limit` bytes of it; the byte after them is an error.
    pub fn unpack<'a>(
        self,
        stream: impl Read + 'a,
        limit: u64,
    ) -> io::Result<Limited<Box<dyn Read + 'a>>> {
        let unpacked: Box<dyn Read> = match self {
            Self::None => Box::new(stream),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(stream)),
            Self::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(stream)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(
                io::BufReader::new(stream),
                true,
                XZ_MEMORY_KIB_MAX,
            )),
            Self::Zstd => Box::new(
                ruzstd::decoding::StreamingDecoder::new_with_max_window_size(
                    stream,
                    ZSTD_WINDOW_BYTES_MAX as u64,
                )
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?,
            ),
        };
        Ok(Limited { stream: unpacked, limit, left: limit })
    }
}

/// A stream that fails, rather than ends, where it is longer than it may be: a truncated index would hide updates.
#[derive(Debug)]
pub struct Limited<R> {
    stream: R,
    limit: u64,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let message = format!("unpacks to more than the limit of {} bytes", self.limit);
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![0; 1 << 20]).unwrap();
        let bomb = packer.finish().unwrap();

        let mut content = Vec::new();
        let unpacked = Compression::Gzip.unpack(&bomb[..], 1000).unwrap();
        let refused = { unpacked }.read_to_end(&mut content).unwrap_err();
        assert!(refused.to_string().contains("limit of 1000 bytes"), "{refused}");
    }

    #[test]
    fn the_name_tells_the_way() {
        assert_eq!(Compression::of("primary.xml.zst"), Compression::Zstd);
        assert_eq!(Compression::of("Packages"), Compression::None);
    }
}
