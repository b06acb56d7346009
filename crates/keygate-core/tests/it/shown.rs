//! What the management API shows, read again: for those who call it from Rust.

use keygate_core::key::KeyText;
use keygate_core::manager::{CreatedKey, KeyFilter, KeyPage, Revocation};
use serde_json::{Value, json};

use crate::support::{Instance, new_key, operator, org};

#[tokio::test]
async fn a_created_key_comes_back_with_its_text() {
    let created = Instance::new().create(new_key()).await;
    let mut shown = serde_json::to_value(&created).unwrap();
    shown["of_a_newer_version"] = json!([1]);
    let read: CreatedKey = serde_json::from_value(shown.clone()).unwrap();
    assert_eq!((read.text.expose(), &read.key), (created.text.expose(), &created.key));
    let read: CreatedKey = serde_json::from_str(&shown.to_string()).unwrap();
    assert_eq!((read.text.expose(), &read.key), (created.text.expose(), &created.key));
    for text in [json!(null), json!(""), json!(7), json!("mcp_dev_short")] {
        shown["key"] = text;
        assert!(serde_json::from_value::<CreatedKey>(shown.clone()).is_err());
    }
}

#[tokio::test]
async fn a_page_and_a_revocation_come_back_as_they_were() {
    let instance = Instance::new();
    let id = instance.create(new_key()).await.key.id;
    instance.create(new_key()).await;
    let page = instance.manager.list(&operator(), &org("acme"), &KeyFilter::default(), 1, None).await.unwrap();
    assert!(page.next_cursor.is_some());
    let mut shown = serde_json::to_value(&page).unwrap();
    shown["total"] = json!(2);
    assert_eq!(serde_json::from_value::<KeyPage>(shown).unwrap(), page);

    let revoked = instance.manager.revoke(&operator(), id, None).await.unwrap();
    let mut shown = serde_json::to_value(&revoked).unwrap();
    shown["instances"] = json!(3);
    assert_eq!(serde_json::from_value::<Revocation>(shown).unwrap(), revoked);
}

/// A text that was read is as secret as one that was minted, and so is one that was refused.
#[tokio::test]
async fn the_text_of_a_key_is_read_in_its_one_spelling_and_not_shown() {
    let created = Instance::new().create(new_key()).await;
    let text = created.text.expose();
    let read: KeyText = text.parse().unwrap();
    assert_eq!(read.expose(), text);
    assert_eq!(format!("{read:?}"), "KeyText(redacted)");
    for other in
        [format!("{text}x"), format!(" {text}"), text[..text.len() - 1].to_owned(), text.to_uppercase(), String::new()]
    {
        let refused = other.parse::<KeyText>().unwrap_err().to_string();
        let unread = serde_json::from_value::<KeyText>(Value::from(other)).unwrap_err().to_string();
        for message in [refused, unread] {
            assert!(!message.contains(&text[30..60]), "{message}");
        }
    }
}
