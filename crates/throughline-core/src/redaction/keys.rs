//! Which keys are telling: the value under them goes, whatever it is.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use super::RedactionError;

/// Telling wherever they stand in a key, for they mean nothing else.
const ANYWHERE: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "apikey",
    "secretkey",
    "privatekey",
    "accesskey",
    "accountkey",
    "signingkey",
    "encryptionkey",
    "clientsecret",
    "authorization",
    "authtoken",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "bearertoken",
    "sessiontoken",
    "csrftoken",
    "xsrftoken",
    "connectionstring",
    "creditcard",
    "debitcard",
    "cardnumber",
    "securitycode",
    "cardholder",
    "socialsecurity",
    "dateofbirth",
    "birthdate",
    "birthday",
    "maidenname",
    "taxid",
    "nationalid",
    "passportnumber",
    "driverslicense",
    "driverlicense",
    "drivinglicence",
    "bankaccount",
    "accountnumber",
    "routingnumber",
    "medicalrecord",
    "healthinsurance",
    "insurancenumber",
    "emailaddress",
    "phonenumber",
    "mobilenumber",
    "telephone",
    "firstname",
    "lastname",
    "fullname",
    "surname",
    "customername",
    "patientname",
    "applicantname",
    "streetaddress",
    "homeaddress",
    "postaladdress",
    "billingaddress",
    "shippingaddress",
    "setcookie",
    "credential",
];

/// Telling as a word of their own: `pin` in `card_pin`, not in `shipping`.
const AS_WORD: &[&str] = &[
    "pwd",
    "pin",
    "ssn",
    "cvv",
    "cvv2",
    "cvc",
    "cvc2",
    "otp",
    "totp",
    "iban",
    "bban",
    "dob",
    "secret",
    "secrets",
    "token",
    "email",
    "phone",
    "msisdn",
    "cookie",
    "jwt",
    "dsn",
    "bsn",
    "mrn",
    "ccn",
    "diagnosis",
    "street",
    "sas",
];

/// Telling only as the whole key: `pass` in `pass_rate` is something else.
const AS_WHOLE: &[&str] = &["pass", "pan", "auth", "mail", "mobile", "address", "cc", "card"];

/// Words that make a `token` before or after them a thing to count.
const COUNTED: &[&str] =
    &["count", "counts", "limit", "usage", "budget", "type", "total", "max", "num", "number"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Anywhere,
    Word,
    Token,
    Whole,
}

/// The telling keys.
pub(super) struct Keys {
    finder: Option<AhoCorasick>,
    places: Vec<Where>,
}

impl Keys {
    pub(super) fn new(own: &[String]) -> Result<Self, RedactionError> {
        let mut needles: Vec<String> = Vec::new();
        let mut places = Vec::new();
        let standard = [(ANYWHERE, Where::Anywhere), (AS_WORD, Where::Word), (AS_WHOLE, Where::Whole)];
        for (names, place) in standard {
            for name in names {
                needles.push((*name).to_owned());
                places.push(if *name == "token" { Where::Token } else { place });
            }
        }
        for name in own {
            needles.push(plain(name)?);
            places.push(Where::Word);
        }
        let finder = AhoCorasickBuilder::new()
            .kind(Some(AhoCorasickKind::DFA))
            .match_kind(MatchKind::Standard)
            .build(&needles)
            // Beyond some hundred thousand keys there is no automaton: nothing is taken for clean then.
            .ok();
        Ok(Self { finder, places })
    }

    /// Whether the value under this key must go.
    pub(super) fn is_telling(&self, key: &str) -> bool {
        // A key that was redacted itself says nothing more.
        if key.starts_with("[redacted") {
            return false;
        }
        let Some(finder) = &self.finder else { return true };
        let mut buffer = [0; SHORT];
        let mut long = Vec::new();
        let words = Words::of(key, &mut buffer, &mut long);
        finder.find_overlapping_iter(words.text).any(|found| {
            let (start, end) = (found.start(), found.end());
            let as_word = words.begins(start) && words.ends(end);
            match self.places[found.pattern().as_usize()] {
                Where::Anywhere => true,
                Where::Word => as_word,
                Where::Token => as_word && !words.is_counted(start, end),
                Where::Whole => start == 0 && end == words.text.len(),
            }
        })
    }
}

/// The keys whose values stay, where nothing else does.
pub(super) struct Allowed(std::collections::HashSet<String>);

impl Allowed {
    pub(super) fn new(keys: &[String]) -> Result<Self, RedactionError> {
        keys.iter().map(|key| plain(key)).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        plain(key).is_ok_and(|key| self.0.contains(&key))
    }
}

/// A key without case and punctuation.
fn plain(key: &str) -> Result<String, RedactionError> {
    let (mut buffer, mut long) = ([0; SHORT], Vec::new());
    let words = Words::of(key, &mut buffer, &mut long);
    match std::str::from_utf8(words.text) {
        Ok(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(RedactionError::Key { key: key.to_owned() }),
    }
}

/// Keys of up to this many bytes are judged without an allocation.
const SHORT: usize = 64;

/// A key as lower-case letters and digits, and where its words begin: by punctuation (`credit_card`), by case
/// (`creditCard`, `HTTPCookie`).
struct Words<'a> {
    text: &'a [u8],
    /// Bit n: a word begins at n. Beyond 64 bytes every place counts as one: rather too much is taken out of a key that
    /// long than too little.
    starts: u64,
}

impl<'a> Words<'a> {
    fn of(key: &str, buffer: &'a mut [u8; SHORT], long: &'a mut Vec<u8>) -> Self {
        let (mut length, mut starts, mut before) = (0, 0_u64, b'_');
        let bytes = key.as_bytes();
        for (at, &byte) in bytes.iter().enumerate() {
            if !(byte.is_ascii_alphanumeric() || byte >= 0x80) {
                before = b'_';
                continue;
            }
            let next_is_lower = || bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
            let begins = !(before.is_ascii_alphanumeric() || before >= 0x80)
                || (byte.is_ascii_uppercase() && (!before.is_ascii_uppercase() || next_is_lower()));
            if length < SHORT {
                buffer[length] = byte.to_ascii_lowercase();
                starts |= u64::from(begins) << length;
            } else {
                if long.is_empty() {
                    long.extend_from_slice(&buffer[..]);
                }
                long.push(byte.to_ascii_lowercase());
            }
            length += 1;
            before = byte;
        }
        let text = if long.is_empty() { &buffer[..length] } else { &long[..] };
        Self { text, starts }
    }

    fn begins(&self, at: usize) -> bool {
        at >= SHORT || self.starts & (1 << at) != 0
    }

    /// `pin2` is a `pin` too.
    fn ends(&self, at: usize) -> bool {
        at >= self.text.len() || self.begins(at) || self.text[at].is_ascii_digit()
    }

    fn is_counted(&self, start: usize, end: usize) -> bool {
        let (before, after) = (&self.text[..start], &self.text[end..]);
        COUNTED.iter().any(|word| after.starts_with(word.as_bytes()) || before.ends_with(word.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_keys_are_found_in_any_spelling() {
        let keys = Keys::new(&["loan officer".to_owned()]).unwrap();
        for key in [
            "password",
            "PASSWORD",
            "db_password",
            "userPassword1",
            "dbpassword",
            "creditCard",
            "credit_card",
            "Credit-Card",
            "CREDITCARD",
            "customerCreditCardNumber",
            "card.pin",
            "PIN",
            "pin2",
            "cardPIN",
            "ssn",
            "customer_ssn",
            "IBAN",
            "ibanCode",
            "X-Api-Key",
            "api_key",
            "Authorization",
            "refresh_token",
            "token",
            "csrfToken",
            "client-secret",
            "dateOfBirth",
            "dob",
            "e-mail address",
            "emailAddress",
            "contact_email",
            "Set-Cookie",
            "loanOfficer",
            "LOAN_OFFICER",
            "first_name",
            "pass",
            "otp",
            "cvv2",
            "AccountKey",
        ] {
            assert!(keys.is_telling(key), "{key}");
        }
    }

    #[test]
    fn innocent_keys_are_left_alone() {
        let keys = Keys::new(&[]).unwrap();
        for key in [
            "shipping",
            "author",
            "secretary",
            "pinned",
            "opinion",
            "spinner",
            "passenger",
            "compass",
            "pass_rate",
            "key",
            "keys",
            "token_count",
            "max_tokens",
            "gen_ai.usage.input_tokens",
            "tokenLimit",
            "name",
            "amount",
            "score",
            "tenant",
            "session_id",
            "request_id",
            "address_count",
            "ip_address",
            "company",
            "card_brand",
            "discard",
            "phonetic",
            "emails_sent",
            "stage",
            "span",
            "pan_and_zoom",
            "",
            "__",
            "choice",
            "reasoning",
        ] {
            assert!(!keys.is_telling(key), "{key}");
        }
    }

    #[test]
    fn keys_of_any_length_are_judged() {
        let keys = Keys::new(&[]).unwrap();
        assert!(keys.is_telling(&format!("{}_password", "very_long".repeat(20))));
        assert!(!keys.is_telling(&"harmless".repeat(40)));
    }
}
