//! Promises 1 and 2: exactly one string is accepted for a key, and a forgery costs no I/O.

use keygate_core::context::RequestContext;
use keygate_core::denial::DenialReason;
use keygate_core::key::{MAX_KEY_LENGTH, PresentedKey};
use keygate_core::manager::Attempt;
use keygate_core::names::{Environment, Prefix};
use proptest::prelude::*;

use crate::support::{self, Instance, block_on, new_key, new_key_with, ring};

const ALPHABET: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// All letters and digits, and what a form, a shell, a URL or a copy from a page adds or changes.
const CHARACTERS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-+/=.:*?%&#\"'`\\|~ \t\r\n\0\u{7f}éＡ\u{200b}\u{feff}";

/// Offsets of the parts of the text `mcp_dev_...`.
const ID: usize = 8;
const SECRET: usize = ID + 22;
const TAG: usize = SECRET + 43;

/// Refused without the store, whatever its form.
async fn refused_for_nothing(instance: &Instance, text: &str) {
    instance.store.reset_calls();
    let reason = instance.refusal(text).await;
    assert!(matches!(reason, DenialReason::MalformedKey | DenialReason::InvalidKey), "{text:?}: {reason}");
    assert_eq!(instance.store.calls().total(), 0, "{text:?}");
}

/// Decided without the store, and refused.
fn refused_at_once(instance: &Instance, text: &[u8]) -> bool {
    match instance.manager.attempt(text, &RequestContext::new()) {
        Attempt::Decided(Err(denial)) => {
            matches!(denial.reason(), DenialReason::MalformedKey | DenialReason::InvalidKey)
        }
        _ => false,
    }
}

#[tokio::test]
async fn a_key_has_the_form_that_a_secret_scanner_looks_for() {
    let instance = Instance::new();
    let text = instance.create(new_key()).await.text;
    let parts: Vec<&str> = text.expose().split('_').collect();
    assert_eq!(parts[..2], ["mcp", "dev"]);
    assert!(parts[2].len() == 76 && parts[2].bytes().all(|b| b.is_ascii_alphanumeric()));
    assert_eq!(parts.len(), 3);
}

#[tokio::test]
async fn every_change_of_one_character_at_every_place_is_refused_for_nothing() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let text = created.text.expose();
    for at in 0..text.len() {
        for character in CHARACTERS.chars().filter(|character| *character != char::from(text.as_bytes()[at])) {
            let changed: String = [&text[..at], character.encode_utf8(&mut [0; 4]), &text[at + 1..]].concat();
            refused_for_nothing(&instance, &changed).await;
        }
    }
    assert!(instance.validate(text).await.is_ok());
}

#[tokio::test]
async fn every_insertion_and_every_deletion_of_one_character_is_refused_for_nothing() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let text = created.text.expose();
    for at in 0..=text.len() {
        for character in CHARACTERS.chars() {
            let longer: String = [&text[..at], character.encode_utf8(&mut [0; 4]), &text[at..]].concat();
            refused_for_nothing(&instance, &longer).await;
        }
    }
    for at in 0..text.len() {
        refused_for_nothing(&instance, &[&text[..at], &text[at + 1..]].concat()).await;
    }
    for at in 0..text.len() - 1 {
        let mut swapped = text.as_bytes().to_vec();
        swapped.swap(at, at + 1);
        if swapped != text.as_bytes() {
            assert!(refused_at_once(&instance, &swapped));
        }
    }
}

#[tokio::test]
async fn nothing_is_trimmed_folded_or_padded() {
    let instance = Instance::new();
    let created = instance.create(new_key()).await;
    let text = created.text.expose();
    let others = [
        format!(" {text}"),
        format!("{text}\n"),
        format!("\"{text}\""),
        format!("{text}="),
        format!("Bearer {text}"),
        format!("\u{feff}{text}"),
        format!("{text}{text}"),
        format!("{text},{text}"),
        text.to_uppercase(),
        text.to_lowercase(),
        text.replace("mcp_dev_", ""),
        text.replace("mcp_dev_", "mcp_prod_"),
        text.replace("mcp_dev_", "mcp__dev_"),
        text.replace("mcp_dev_", "mcpdev_"),
        text.replace("mcp_dev_", "mc_pdev_"),
        text.replace("mcp_dev_", "_mcp_dev_"),
        text.replace('_', "-"),
        text.replace("_", "%5F"),
        String::new(),
    ];
    for other in others {
        refused_for_nothing(&instance, &other).await;
    }
}

#[tokio::test]
async fn a_number_that_overflows_its_width_is_no_second_spelling() {
    let instance = Instance::new();
    for _ in 0..32 {
        let created = instance.create(new_key()).await;
        let text = created.text.expose();
        // The same number once around: 62^22 is more than 2^128 and 62^11 more than 2^64.
        let id = around(&text[ID..SECRET], 128).expect("four numbers of 22 digits share 16 bytes");
        let other = [&text[..ID], &id, &text[SECRET..]].concat();
        assert!(PresentedKey::parse(other.as_bytes()).is_err());
        refused_for_nothing(&instance, &other).await;

        let tag = around(&text[TAG..], 64).expect("two or three numbers of 11 digits share 8 bytes");
        refused_for_nothing(&instance, &[&text[..TAG], &tag].concat()).await;

        for (part, width) in [(ID..SECRET, 22), (SECRET..TAG, 43), (TAG..text.len(), 11)] {
            let other = [&text[..part.start], &"z".repeat(width), &text[part.end..]].concat();
            refused_for_nothing(&instance, &other).await;
        }
    }
}

/// The digits of a number plus 2^`bits`, if that many digits hold it.
fn around(digits: &str, bits: u32) -> Option<String> {
    let value = |digit: char| ALPHABET.find(digit).expect("a digit");
    let mut sum = vec![0; digits.len()];
    *sum.last_mut()? = 1;
    for _ in 0..bits {
        let mut carry = 0;
        for digit in sum.iter_mut().rev() {
            let doubled = *digit * 2 + carry;
            (*digit, carry) = (doubled % 62, doubled / 62);
        }
        assert_eq!(carry, 0);
    }
    let mut carry = 0;
    for (digit, other) in sum.iter_mut().rev().zip(digits.chars().rev()) {
        let added = *digit + value(other) + carry;
        (*digit, carry) = (added % 62, added / 62);
    }
    (carry == 0).then(|| sum.into_iter().map(|digit| char::from(ALPHABET.as_bytes()[digit])).collect())
}

#[tokio::test]
async fn a_key_of_another_deployment_is_invalid_for_nothing() {
    let (ours, theirs) = (Instance::under(ring(&[1, 2])), Instance::under(ring(&[3])));
    ours.manager.open().await.unwrap();
    let foreign = theirs.create(new_key()).await;
    ours.store.reset_calls();
    assert_eq!(ours.refusal(foreign.text.expose()).await, DenialReason::InvalidKey);
    assert_eq!(ours.store.calls().total(), 0);
    assert!(matches!(
        ours.manager.attempt(foreign.text.expose().as_bytes(), &RequestContext::new()),
        Attempt::Decided(Err(_))
    ));
}

#[tokio::test]
async fn parts_of_two_genuine_keys_make_no_third() {
    let instance = Instance::new();
    let (a, b) = (instance.create(new_key()).await, instance.create(new_key()).await);
    let (a, b) = (a.text.expose(), b.text.expose());
    for cut in [SECRET, SECRET + 20, TAG] {
        refused_for_nothing(&instance, &[&a[..cut], &b[cut..]].concat()).await;
    }
}

#[tokio::test]
async fn keys_made_under_another_prefix_stay_valid() {
    let old = Instance::new();
    let created = old.create(new_key()).await;
    let renamed = Instance::built(ring(&[1]), |builder| builder.prefix(Prefix::new("acme").unwrap()));
    let fresh = renamed.create(new_key()).await;
    assert!(fresh.text.expose().starts_with("acme_dev_"));
    let beside = old.beside(ring(&[1]));
    assert!(beside.validate(created.text.expose()).await.is_ok());
}

#[tokio::test]
async fn the_longest_key_is_read_and_one_byte_more_is_not() {
    let long = "p".repeat(16);
    let instance = Instance::built(ring(&[1]), |builder| {
        builder.prefix(Prefix::new(&long).unwrap()).environment(Environment::new(&long).unwrap())
    });
    let created = instance.create(new_key_with(|_| ())).await;
    let text = created.text.expose();
    assert_eq!(text.len(), MAX_KEY_LENGTH);
    assert!(instance.validate(text).await.is_ok());
    assert!(PresentedKey::parse(format!("p{text}").as_bytes()).is_err());
    // A text of any length is refused by its length.
    refused_for_nothing(&instance, &"a".repeat(10_000_000)).await;
}

#[test]
fn the_id_in_a_text_is_the_id_of_the_key() {
    block_on(async {
        let instance = Instance::new();
        for _ in 0..100 {
            let created = instance.create(new_key()).await;
            assert_eq!(PresentedKey::parse(created.text.expose().as_bytes()).unwrap().id(), created.key.id);
        }
    });
}

proptest! {
    #![proptest_config(support::property())]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = PresentedKey::parse(&bytes);
    }

    #[test]
    fn no_text_near_the_form_makes_it_panic(
        head in "[a-z0-9_]{0,40}", body in "[0-9A-Za-z]{70,80}", tail in "\\PC{0,3}",
    ) {
        let text = format!("{head}{body}{tail}");
        if let Ok(presented) = PresentedKey::parse(text.as_bytes()) {
            // What parses has the form and nothing else.
            prop_assert!(text.len() <= MAX_KEY_LENGTH && text.is_ascii());
            prop_assert_eq!(text.bytes().filter(|byte| *byte == b'_').count(), 2);
            prop_assert_eq!(presented.id().to_string().len(), 36);
        }
    }

    /// Several edits at once, at random.
    #[test]
    fn no_other_text_near_a_key_is_accepted(
        edits in prop::collection::vec((0usize..90, 0usize..3, any::<prop::sample::Index>()), 1..6),
    ) {
        let instance = Instance::new();
        let text = block_on(instance.create(new_key())).text;
        let characters: Vec<char> = CHARACTERS.chars().collect();
        let mut edited: Vec<char> = text.expose().chars().collect();
        for (at, kind, character) in edits {
            let character = *character.get(&characters);
            match kind {
                0 if at < edited.len() => edited[at] = character,
                1 if at < edited.len() => drop(edited.remove(at)),
                _ => edited.insert(at.min(edited.len()), character),
            }
        }
        let edited: String = edited.into_iter().collect();
        prop_assume!(edited != text.expose());
        prop_assert!(refused_at_once(&instance, edited.as_bytes()), "{}", edited);
    }

    /// A text of the right form under a random tag: a forger has one chance in 2^64.
    #[test]
    fn no_made_up_key_is_accepted(body in "[0-6][0-9A-Za-z]{75}") {
        let instance = Instance::new();
        block_on(instance.manager.open()).unwrap();
        instance.store.reset_calls();
        let made_up = format!("mcp_dev_{body}");
        prop_assert!(refused_at_once(&instance, made_up.as_bytes()));
        prop_assert_eq!(instance.store.calls().total(), 0);
    }
}
