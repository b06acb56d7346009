//! Base62 of fixed width over `0-9A-Za-z`. The alphabet is in ASCII order, so texts of one width sort as their
//! numbers do, and a text overflows its width exactly when it sorts after the text of the largest number.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const NONE: u8 = 0xff;

/// The value of each byte, or `NONE`.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut i = 0;
    while i < 62 {
        values[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// Characters that hold 16 bytes.
pub(super) const ID_WIDTH: usize = 22;
/// Characters that hold 32 bytes.
pub(super) const SECRET_WIDTH: usize = 43;
/// Characters that hold 8 bytes.
pub(super) const TAG_WIDTH: usize = 11;

/// The text of the largest 32-byte number.
const LARGEST_SECRET: [u8; SECRET_WIDTH] = encode_words([u32::MAX; 8]);

/// Writes a big-endian number of eight 32-bit words by repeated division.
const fn encode_words<const WIDTH: usize>(mut words: [u32; 8]) -> [u8; WIDTH] {
    let mut text = [b'0'; WIDTH];
    let mut at = WIDTH;
    while at > 0 {
        at -= 1;
        let mut remainder = 0u64;
        let mut i = 0;
        while i < 8 {
            let value = (remainder << 32) | words[i] as u64;
            words[i] = (value / 62) as u32;
            remainder = value % 62;
            i += 1;
        }
        text[at] = ALPHABET[remainder as usize];
    }
    text
}

/// Writes 32 bytes.
pub(super) fn encode_secret(bytes: &[u8; 32]) -> [u8; SECRET_WIDTH] {
    let mut words = [0u32; 8];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = chunk.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
    }
    encode_words(words)
}

/// Writes a 128-bit number.
pub(super) fn encode_id(mut number: u128) -> [u8; ID_WIDTH] {
    let mut text = [b'0'; ID_WIDTH];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    text
}

/// Writes a 64-bit number.
pub(super) fn encode_tag(mut number: u64) -> [u8; TAG_WIDTH] {
    let mut text = [b'0'; TAG_WIDTH];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    text
}

/// Reads a 128-bit number, or `None` when a character is foreign or the number does not fit.
pub(super) fn decode_id(text: &[u8; ID_WIDTH]) -> Option<u128> {
    // 62^11 is more than 64 bits hold, 62^10 is not: three pieces of at most ten digits need no checks inside.
    let piece = |part: &[u8]| {
        let mut number = 0u64;
        let mut foreign = 0u8;
        for byte in part {
            let value = VALUES[usize::from(*byte)];
            foreign |= value & 0x80;
            number = number.wrapping_mul(62).wrapping_add(u64::from(value));
        }
        (foreign == 0).then_some(number)
    };
    let (high, middle, low) = (piece(&text[..2])?, piece(&text[2..12])?, piece(&text[12..])?);
    const TEN: u128 = 62u128.pow(10);
    (u128::from(high) * TEN + u128::from(middle)).checked_mul(TEN)?.checked_add(u128::from(low))
}

/// Whether the text is what [`encode_secret`] writes for some 32 bytes.
pub(super) fn is_canonical_secret(text: &[u8; SECRET_WIDTH]) -> bool {
    is_alphabet(text) && *text <= LARGEST_SECRET
}

/// Whether every byte is of the alphabet.
pub(super) fn is_alphabet(text: &[u8]) -> bool {
    text.iter().fold(0, |foreign, byte| foreign | (VALUES[usize::from(*byte)] & 0x80)) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_come_back(number: u128) {
            prop_assert_eq!(decode_id(&encode_id(number)), Some(number));
        }

        #[test]
        fn a_text_has_a_number_exactly_when_that_number_writes_it(text in "[0-9A-Za-z]{22}") {
            let text: [u8; ID_WIDTH] = text.as_bytes().try_into().unwrap();
            match decode_id(&text) {
                Some(number) => prop_assert_eq!(encode_id(number), text),
                None => prop_assert!(text > encode_id(u128::MAX)),
            }
        }

        #[test]
        fn secrets_are_canonical_as_written(bytes: [u8; 32]) {
            prop_assert!(is_canonical_secret(&encode_secret(&bytes)));
        }

        #[test]
        fn secrets_sort_as_their_bytes(a: [u8; 32], b: [u8; 32]) {
            prop_assert_eq!(encode_secret(&a).cmp(&encode_secret(&b)), a.cmp(&b));
        }

        #[test]
        fn foreign_bytes_are_refused(at in 0usize..22, byte: u8) {
            prop_assume!(!byte.is_ascii_alphanumeric());
            let mut text = encode_id(7);
            text[at] = byte;
            prop_assert_eq!(decode_id(&text), None);
        }
    }

    #[test]
    fn the_largest_numbers_are_the_last_canonical_texts() {
        assert_eq!(encode_secret(&[0xff; 32]), LARGEST_SECRET);
        let mut beyond = LARGEST_SECRET;
        *beyond.last_mut().unwrap() += 1;
        assert!(is_alphabet(&beyond) && !is_canonical_secret(&beyond));
        assert_eq!(decode_id(&[b'z'; ID_WIDTH]), None);
        assert_eq!(encode_tag(u64::MAX).len(), TAG_WIDTH);
    }
}
