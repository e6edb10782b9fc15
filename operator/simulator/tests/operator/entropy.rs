//! The machine's randomness, in the hands of the seed: `getrandom` of this program is ours.
//!
//! Whatever asks for chance (hash maps of std and of ahash, tokio's scheduler) gets what the seed says. Only this test links it; what runs here is one thread at a time.
#![expect(
    unsafe_code,
    reason = "a symbol of the C library is put in another's place, and fills a buffer of its caller's"
)]

use std::sync::atomic::{AtomicU64, Ordering};

static STATE: AtomicU64 = AtomicU64::new(1);

/// Everything that is drawn from now on follows from this.
pub fn seed(seed: u64) {
    STATE.store(seed.wrapping_mul(0xD134_2543_DE82_EF95) | 1, Ordering::Relaxed);
}

/// In the place of the C library's.
///
/// # Safety
///
/// As of the original: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    for at in 0..length {
        let state = STATE.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let [.., byte, _] = (mixed >> 24).to_le_bytes();
        // SAFETY: `at` is below `length`, for which the caller has made room.
        unsafe { buffer.add(at).write(byte) };
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}
