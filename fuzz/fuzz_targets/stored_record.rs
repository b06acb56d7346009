//! Any bytes as a stored record: they are refused, or are a record that comes back as it is.

#![no_main]

use keygate_core::record::{HeaderView, KeyRecord};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let header = HeaderView::read(bytes);
    let Ok(record) = KeyRecord::decode(bytes) else { return };
    let header = header.expect("a record has a header");
    assert_eq!(header.organization, record.key.organization.as_str());
    assert_eq!(header.revision, record.key.revision);
    let written = record.encode().expect("a record that was read can be written");
    assert_eq!(KeyRecord::decode(&written).expect("what is written can be read"), record);
});
