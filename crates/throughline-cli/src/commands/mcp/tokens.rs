//! How many tokens a text takes, estimated: tokenizers differ, and none is asked.

/// So many letters are a token at most, and so many digits; so many bytes of other scripts.
const LETTERS: usize = 4;
const DIGITS: usize = 2;
const BYTES: usize = 2;
/// So many bytes of plain text are a token in any case.
const CHARS: usize = 4;

/// How many tokens a text takes, rather too many than too few: words by their letters, numbers by their digits, each
/// sign of punctuation and each line end as one, and spaces before words as none; at least a token to four characters.
pub(super) fn estimate(text: &str) -> usize {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Letter,
        Digit,
        Space,
        Sign,
        Other,
    }
    let kind = |c: char| match c {
        'a'..='z' | 'A'..='Z' => Kind::Letter,
        '0'..='9' => Kind::Digit,
        ' ' => Kind::Space,
        c if c.is_ascii() => Kind::Sign,
        _ => Kind::Other,
    };
    let tokens = |kind, bytes: usize| match kind {
        Kind::Letter => bytes.div_ceil(LETTERS),
        Kind::Digit => bytes.div_ceil(DIGITS),
        Kind::Space => usize::from(bytes > 1),
        Kind::Sign => bytes,
        Kind::Other => bytes.div_ceil(BYTES),
    };
    let (mut sum, mut chars) = (0, 0);
    let mut run = (Kind::Space, 0);
    for c in text.chars() {
        chars += 1;
        let kind = kind(c);
        if kind == run.0 {
            run.1 += c.len_utf8();
        } else {
            sum += tokens(run.0, run.1);
            run = (kind, c.len_utf8());
        }
    }
    (sum + tokens(run.0, run.1)).max(usize::div_ceil(chars, CHARS))
}

/// The longest beginning of a text that takes at most so many tokens.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let (mut fits, mut too_long) = (0, text.len() + 1);
    // Longer beginnings take no fewer tokens, so the longest that fits is found by halving.
    while fits + 1 < too_long {
        let middle = text.floor_char_boundary(fits + (too_long - fits) / 2);
        if middle <= fits {
            // Within a character: the next boundary decides.
            let next = text.ceil_char_boundary(fits + 1);
            if next >= too_long || estimate(&text[..next]) > most {
                break;
            }
            fits = next;
        } else if estimate(&text[..middle]) <= most {
            fits = middle;
        } else {
            too_long = middle;
        }
    }
    &text[..fits]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_numbers_and_signs_are_counted_for_what_they_are() {
        for (text, tokens) in [
            ("", 0),
            ("a", 1),
            ("the run", 2),
            ("compensation", 3),
            ("1234", 2),
            ("a74f87c4", 6),
            ("{\"a\":1}", 7),
            ("\n\n", 2),
            ("漢", 2),
        ] {
            assert_eq!(estimate(text), tokens, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_estimate_is_no_less_than_a_token_to_four_characters(text in "\\PC{0,200}") {
            prop_assert!(estimate(&text) * 4 >= text.chars().count());
        }

        #[test]
        fn a_beginning_fits_and_one_character_more_does_not(text in "\\PC{0,80}", most in 0_usize..40) {
            let fits = beginning(&text, most);
            prop_assert!(estimate(fits) <= most);
            if let Some(next) = text[fits.len()..].chars().next() {
                let longer = &text[..fits.len() + next.len_utf8()];
                prop_assert!(estimate(longer) > most, "{longer}");
            }
        }
    }
}
