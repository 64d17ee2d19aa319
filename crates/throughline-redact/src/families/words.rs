//! Names that begin like a token: `re_string_realloc_buffers`, `test_getUserProfileWithoutPermission`.

/// The average word of a name has so many letters; what is random has capitals much closer to each other.
const WORD: usize = 4;

/// No longer name is looked at: what it begins with may stand in it again, and it would be read once more for each.
const LONGEST: usize = 80;

/// Whether a text is made of words: with dashes between them and in lower case, as hardly anything random is, or with capitals where
/// they begin.
pub(super) fn are_all(text: &[u8]) -> bool {
    if text.len() > LONGEST {
        return false;
    }
    let has_capitals = text.iter().any(u8::is_ascii_uppercase);
    if !has_capitals {
        let mut words = text.split(|byte| matches!(byte, b'_' | b'-'));
        return words.clone().nth(1).is_some() && words.all(is_word);
    }
    let letters = text.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let separators = text.iter().filter(|byte| matches!(byte, b'_' | b'-')).count();
    let begins = |pair: &&[u8]| !pair[0].is_ascii_uppercase() && pair[1].is_ascii_uppercase();
    let words = 1 + separators + text.windows(2).filter(begins).count();
    letters + separators == text.len() && words > 1 && letters >= WORD * words
}

/// Letters, and a number of a few digits behind them or alone.
fn is_word(word: &[u8]) -> bool {
    let letters = word.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    word.len() - letters <= 4 && word[letters..].iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_from_what_is_random() {
        for text in [
            "string_realloc_buffers",
            "share_price_daily_history",
            "sha256_update_v2_of_2026",
            "getUserProfileWithoutPermission",
            "userProfile_withoutPermission",
        ] {
            assert!(are_all(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "qhzkwmxnrtbvplsjdgfc",
            "a1b2c3_d4e5f6g7h8j9",
            "kRtWdPxZqLmNbVcYhGfS",
            "QxYzabKdLmNopqRSTuvW",
            "7f3K-9aBcDeFgHiJkLmN",
        ] {
            assert!(!are_all(text.as_bytes()), "{text}");
        }
    }
}
