//! MessagePack, as much of it as a batch needs.

/// An array of arrays, the last of which is being written.
#[derive(Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    /// Where the array that is being written begins, and how much is in it.
    begins: usize,
    items: u32,
}

/// A place that is left for a number.
pub(super) struct Later(usize);

const ARRAY: u8 = 0xdd;
const TEXT: [u8; 3] = [0xd9, 0xda, 0xdb];
const INTEGER: u8 = 0xd3;

impl Packed {
    /// Begins an array of so many arrays.
    pub(super) fn of(arrays: usize) -> Self {
        let mut packed = Self::default();
        packed.head(arrays);
        packed
    }

    fn head(&mut self, items: usize) {
        self.bytes.push(ARRAY);
        self.bytes.extend(u32::try_from(items).unwrap_or(u32::MAX).to_be_bytes());
    }

    /// Begins the next array.
    pub(super) fn begin(&mut self) {
        self.begins = self.bytes.len();
        self.items = 0;
        self.head(0);
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        self.bytes[self.begins + 1..self.begins + 5].copy_from_slice(&self.items.to_be_bytes());
    }

    pub(super) fn number(&mut self, number: impl Into<i64>) {
        let number = number.into();
        match u8::try_from(number) {
            Ok(few @ 0..128) => self.bytes.push(few),
            _ => {
                self.bytes.push(INTEGER);
                self.bytes.extend(number.to_be_bytes());
            }
        }
        self.items += 1;
    }

    pub(super) fn length(&mut self, length: usize) {
        self.number(i64::try_from(length).unwrap_or(i64::MAX));
    }

    /// Leaves a place for a number that is not known yet.
    pub(super) fn later(&mut self) -> Later {
        let later = Later(self.bytes.len() + 1);
        self.bytes.extend([INTEGER, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.items += 1;
        later
    }

    /// Writes the number in the place that was left for it.
    pub(super) fn fill(&mut self, Later(at): Later, length: usize) {
        let number = i64::try_from(length).unwrap_or(i64::MAX);
        self.bytes[at..at + 8].copy_from_slice(&number.to_be_bytes());
    }

    /// How much is in the array that is being written.
    pub(super) fn items(&self) -> usize {
        self.items as usize
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
        match text.len() {
            few @ 0..32 => self.bytes.push(0xa0 | few as u8),
            32..256 => self.bytes.extend([TEXT[0], length[3]]),
            256..65_536 => self.bytes.extend([TEXT[1], length[2], length[3]]),
            _ => {
                self.bytes.push(TEXT[2]);
                self.bytes.extend(length);
            }
        }
        self.bytes.extend(text);
        self.items += 1;
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
