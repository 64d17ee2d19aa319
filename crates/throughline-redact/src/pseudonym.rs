//! Keyed pseudonyms: what must stay findable and must not be readable.

use std::fmt::{self, Write};

use hmac_sha256::HMAC;

/// What every pseudonym starts with.
pub(crate) const PREFIX: &str = "pseudonym:";
/// Of the 32 bytes of HMAC-SHA-256; a collision among a billion values is less likely than one in 10^20.
const BYTES: usize = 16;
/// How long every pseudonym is.
pub(crate) const LEN: usize = PREFIX.len() + 2 * BYTES;

/// Makes pseudonyms with one key: the same for the same text, unpredictable without the key.
#[derive(Clone)]
pub(crate) struct Pseudonyms(HMAC);

impl Pseudonyms {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(HMAC::new(key))
    }

    /// `pseudonym:` and 32 hex digits.
    pub(crate) fn of(&self, text: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        let mut pseudonym = String::with_capacity(LEN);
        pseudonym.push_str(PREFIX);
        for byte in &mac.finalize()[..BYTES] {
            // Writing to a `String` cannot fail.
            let _ = write!(pseudonym, "{byte:02x}");
        }
        pseudonym
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(..)")
    }
}

/// How many bytes the pseudonym at the start of a text takes, if there is one.
pub(crate) fn at_start(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(PREFIX)?.as_bytes();
    let hex = digits.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count();
    (hex == 2 * BYTES).then_some(LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_the_known_truncated_hmac() {
        // printf 'alice@example.com' | openssl dgst -sha256 -hmac 'a key of sixteen'
        let pseudonym = Pseudonyms::new(b"a key of sixteen").of("alice@example.com");
        assert_eq!(at_start(&pseudonym), Some(pseudonym.len()));
        assert_eq!(pseudonym, "pseudonym:63b6269873bcc25b1832bbe6f4a37eef");
    }
}
