//! Known secrets, and the search for them.

use crate::support::example::Ended;

/// What must not be found anywhere, with a name for each to be told by.
#[derive(Default)]
pub(crate) struct Canaries(Vec<(&'static str, Vec<u8>)>);

impl Canaries {
    pub(crate) fn plant(&mut self, name: &'static str, bytes: impl AsRef<[u8]>) {
        assert!(bytes.as_ref().len() >= 8, "{name} would be found by chance");
        self.0.push((name, bytes.as_ref().to_vec()));
    }

    /// A key: its whole text, and the part of it that is its secret.
    pub(crate) fn plant_key(&mut self, key: &str) {
        self.plant("a key", key);
        self.plant("a key's secret part", secret_part(key));
    }

    /// A master secret, in each way it might be written.
    pub(crate) fn plant_master(&mut self, base64: &str) {
        let bytes = decode(base64);
        self.plant("a master secret", base64.trim_end_matches('='));
        self.plant("a master secret's bytes", &bytes);
        let hex = |text: String, byte: &u8| text + &format!("{byte:02x}");
        self.plant("a master secret in hex", bytes.iter().fold(String::new(), hex));
        self.plant("a master secret as a list", format!("{bytes:?}").trim_matches(['[', ']']));
    }

    pub(crate) fn assert_absent(&self, place: &str, found: impl AsRef<[u8]>) {
        let found = found.as_ref();
        for (name, canary) in &self.0 {
            let at = found.windows(canary.len()).position(|window| window == canary);
            if let Some(at) = at {
                let around = &found[at.saturating_sub(200)..(at + canary.len() + 40).min(found.len())];
                panic!("{name} is in {place}: {}", String::from_utf8_lossy(around));
            }
        }
    }

    /// What an example said. The demo key stands in the line that gives it and in the one to paste, and nowhere else.
    pub(crate) fn assert_not_said(&self, ended: &Ended) {
        assert!(ended.stderr.contains("DEBUG"), "the log was not at its loudest");
        self.assert_absent("stderr", &ended.stderr);
        let meant =
            |line: &&str| line.starts_with("API key: ") || line.starts_with("curl ") || line.starts_with("grpcurl ");
        assert_eq!(ended.stdout.lines().filter(meant).count(), 2);
        for line in ended.stdout.lines().filter(|line| !meant(line)) {
            self.assert_absent("stdout", line);
        }
    }
}

/// The 43 characters in the middle of a key's last word.
pub(crate) fn secret_part(key: &str) -> &str {
    let (_, body) = key.rsplit_once('_').unwrap();
    assert_eq!(body.len(), 76);
    &body[22..65]
}

fn decode(base64: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = base64.bytes().filter_map(|digit| alphabet.iter().position(|known| *known == digit));
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0_usize, 0);
    for digit in digits {
        (held, bits) = ((held << 6) | digit, bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    bytes
}

#[test]
fn a_canary_that_is_there_is_found() {
    let mut canaries = Canaries::default();
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    assert_eq!(decode(secret), (0..32).collect::<Vec<u8>>());
    canaries.plant_master(secret);
    canaries.plant_key(&format!("mcp_dev_{}", "k".repeat(76)));
    let bytes: Vec<u8> = (0..32).collect();
    for planted in
        [secret.as_bytes(), &bytes, b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", &[b'k'; 43]]
    {
        let found = [b"before ", planted, b" after"].concat();
        assert!(std::panic::catch_unwind(|| canaries.assert_absent("a test", &found)).is_err());
    }
    canaries.assert_absent("a test", b"nothing of the kind");
}
