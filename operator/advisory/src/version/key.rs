//! Pieces of keys: numbers and texts whose bytes sort as they do, and that end themselves.

/// Bytes below this value are the length of a number; above it the length takes a second byte.
const SHORT: usize = 0xF0;

/// Writes a run of ASCII digits of any length so that bytes sort as the numbers do: leading zeros go, the length comes
/// first. Digits are at most [`super::VERSION_BYTES_MAX`], so two bytes hold every length.
pub(super) fn digits(digits: &[u8], out: &mut Vec<u8>) {
    let significant = strip_zeros(digits);
    let length = significant.len();
    match u8::try_from(length) {
        Ok(short) if length < SHORT => out.push(short),
        _ => {
            let over = length - SHORT;
            out.push(u8::try_from(SHORT + over / 256).unwrap_or(u8::MAX));
            out.push(u8::try_from(over % 256).unwrap_or(u8::MAX));
        }
    }
    out.extend_from_slice(significant);
}

/// Writes a number in as few bytes as hold it, their count first.
pub(super) fn number(value: u64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let zeros = value.leading_zeros() as usize / 8;
    out.push(u8::try_from(bytes.len() - zeros).unwrap_or(u8::MAX));
    out.extend_from_slice(&bytes[zeros..]);
}

/// Writes a text that holds no NUL, ended by one, so that a prefix sorts first.
pub(super) fn text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text);
    out.push(0);
}

/// The digits without leading zeros; empty for zero.
pub(super) fn strip_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    &digits[zeros..]
}

/// Orders two runs of digits as numbers of any size.
pub(super) fn compare_digits(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    let (a, b) = (strip_zeros(a), strip_zeros(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Splits what satisfies `belongs` off the front.
pub(super) fn take_while(text: &[u8], belongs: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| !belongs(byte)).unwrap_or(text.len());
    text.split_at(end)
}
