//! Which keys are sensitive: names that say, in any spelling, that the value under them must not be read.

use std::cell::LazyCell;
use std::sync::{Arc, LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use rustc_hash::FxHashSet;

use crate::fold::Folded;
use crate::gate::Gate;
use crate::holder::Holder;
use crate::memo::{self, Memo};
use crate::names::{self, Lists, Place};

/// How many bytes a key may take in lower case to be classified without allocating.
const ON_STACK: usize = 192;

/// What follows a secret in its name is no longer than this, or makes it another thing.
const LONGEST_REST: usize = 48;

/// The longest name in text.
pub(crate) const LONGEST_NAME: usize = memo::LONGEST;

/// What kind of secret a sensitive key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecretKind {
    /// A password, a key: in free text it ends at the next white space.
    Credential,
    /// As a credential, but in prose the word has other meanings: `unexpected token: foo`.
    Ambiguous,
    /// As a credential, but after a colon it extends to the end of the line: `Cookie: a=b; c=d`.
    Header,
    /// A credential of several words: a passphrase.
    Phrase,
    /// Something personal of several words: a name, an address.
    Words,
    /// As words, but a yes or a no tells it too: a diagnosis, and whatever users say is sensitive.
    Fact,
}

impl SecretKind {
    /// Whether it opens doors, rather than being somebody's.
    pub(crate) fn is_credential(self) -> bool {
        matches!(self, Self::Credential | Self::Ambiguous | Self::Header | Self::Phrase)
    }
}

/// What a sensitive key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) kind: SecretKind,
    /// The name has other meanings too: `card`, `pass`. The value must look the part.
    pub(crate) is_weak: bool,
    /// What the key names is the secret itself: `db_password_old`, not `PasswordEncoder`.
    pub(crate) is_head: bool,
}

/// What a name in text says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    /// What it names, if it is sensitive.
    pub(crate) named: Option<Named>,
    /// What it holds of a pair.
    pub(crate) holder: Option<Holder>,
}

#[derive(Debug, Clone, Copy)]
struct Needle {
    place: Place,
    kind: SecretKind,
    is_weak: bool,
    /// Words before it that make it harmless.
    after: names::List,
}

/// Classifies keys.
#[derive(Debug)]
pub(crate) struct Keys {
    automaton: AhoCorasick,
    gate: Gate,
    /// The same for the ends of phrases.
    ends: Gate,
    needles: Vec<Needle>,
    /// Names that do not tell, as they are [compact].
    kept: FxHashSet<Box<[u8]>>,
    lists: &'static Lists,
    /// What is known of names in text, of which there are more than of keys.
    known: Memo<Said, 2048>,
    known_phrases: Memo<Option<Named>>,
}

/// Which of the names that are known are looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) credentials_only: bool,
    pub(crate) eu: bool,
    pub(crate) us: bool,
    pub(crate) phones: bool,
    pub(crate) network: bool,
}

impl Choice {
    /// Whether shapes are looked for that the standard leaves alone.
    pub(crate) fn has_shapes(self) -> bool {
        self.eu || self.phones || self.network
    }
}

/// What most redactors look for, built once in a process: to build it takes longer than most texts.
static STANDARD: OnceLock<Arc<Keys>> = OnceLock::new();

impl Keys {
    /// As [`new`](Self::new), shared by all redactors that look for the standard keys alone; of some keys, which must be
    /// [compact], none tells.
    pub(crate) fn shared(
        choice: Choice,
        more: &[String],
        kept: Vec<String>,
    ) -> Result<Arc<Self>, aho_corasick::BuildError> {
        let is_standard = choice == Choice::default() && more.is_empty() && kept.is_empty();
        match STANDARD.get().filter(|_| is_standard) {
            Some(keys) => Ok(Arc::clone(keys)),
            None if is_standard => {
                let keys = Arc::new(Self::new(choice, more)?);
                Ok(Arc::clone(STANDARD.get_or_init(|| keys)))
            }
            None => {
                let kept = kept.into_iter().map(|key| key.into_bytes().into_boxed_slice()).collect();
                Ok(Arc::new(Self { kept, ..Self::new(choice, more)? }))
            }
        }
    }

    /// The standard keys by choice and some more, which must be [compact] and not empty.
    pub(crate) fn new(choice: Choice, more: &[String]) -> Result<Self, aho_corasick::BuildError> {
        let table = names::table();
        let mut texts: Vec<String> = Vec::new();
        let mut needles = Vec::new();
        for section in table.sections.iter().filter(|section| section.is_chosen(choice)) {
            for &text in &section.names {
                let after = match text {
                    "token" => names::List::BeforeHarmlessToken,
                    "email" => names::List::BeforeHarmlessEmail,
                    "pass" => names::List::BeforeHarmlessPass,
                    _ => names::List::BeforeHarmless,
                };
                texts.push(compact(text));
                needles.push(Needle {
                    place: section.place,
                    kind: section.kind,
                    is_weak: section.is_weak,
                    after,
                });
            }
        }
        let of_people: Vec<String> =
            if choice.credentials_only { Vec::new() } else { table.lists.of_people() };
        let people = of_people.iter().map(|text| (text, SecretKind::Words));
        for (text, kind) in people.chain(more.iter().map(|text| (text, SecretKind::Fact))) {
            texts.push(text.clone());
            let after =
                if kind == SecretKind::Fact { names::List::Nothing } else { names::List::BeforeHarmless };
            needles.push(Needle { place: Place::Word, kind, is_weak: false, after });
        }
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(&texts)?;
        let begins_word = |needle: &Needle| needle.place != Place::Anywhere;
        let gate = Gate::of(texts.iter().map(String::as_str).zip(needles.iter().map(begins_word)));
        let backwards: Vec<String> = texts.iter().map(|text| text.chars().rev().collect()).collect();
        let ends = Gate::of(backwards.iter().map(|text| (text.as_str(), false)));
        Ok(Self {
            automaton,
            gate,
            ends,
            needles,
            kept: FxHashSet::default(),
            lists: &table.lists,
            known: Memo::new(),
            known_phrases: Memo::new(),
        })
    }

    /// What a key names, if it is sensitive.
    pub(crate) fn classify(&self, key: &str) -> Option<Named> {
        if self.gate.may_pass(key) { spelled(key, |spelling| self.find(spelling, false)) } else { None }
    }

    /// As [`classify`](Self::classify), for names in text.
    pub(crate) fn classify_name(&self, name: &str) -> Option<Named> {
        self.said_by(name).named
    }

    /// What a name in text says. Such names are remembered and have a limit: of what is longer nobody knows where it begins.
    pub(crate) fn said_by(&self, name: &str) -> Said {
        if name.len() > LONGEST_NAME {
            return Said::default();
        }
        let said = |named: Option<Named>| Said { named, holder: Holder::of(name) };
        match self.known.get(name) {
            Some(known) => known,
            None if self.gate.may_pass(name) => {
                self.known.get_or(name, || said(spelled(name, |spelling| self.find(spelling, false))))
            }
            // To look at it again takes less than to remember it beside those that find no room.
            None => {
                self.known.put(name, said(None));
                said(None)
            }
        }
    }

    /// As [`classify`](Self::classify), for the words before the colon in prose: `your card number: 4111…`. They
    /// are sensitive only if the sensitive word stands right before the colon, for `password reset failed: timeout`
    /// names no password.
    pub(crate) fn classify_phrase(&self, phrase: &str) -> Option<Named> {
        if !self.ends.may_end(phrase) {
            return None;
        }
        self.known_phrases.get_or(phrase, || spelled(phrase, |spelling| self.find(spelling, true)))
    }

    /// Whether a phrase may be sensitive that ends with this word; `is` says what the words before it name.
    pub(crate) fn may_end_phrase(&self, word: &str) -> bool {
        self.ends.may_end_with(word) || word == "is"
    }

    /// Whether a name is one of those that do not tell.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        !self.kept.is_empty() && spelled(name, |spelling| self.kept.contains(spelling.letters))
    }

    fn find(&self, spelling: Spelling<'_>, at_end: bool) -> Option<Named> {
        let Spelling { letters, starts } = spelling;
        if !self.kept.is_empty() && self.kept.contains(letters) {
            return None;
        }
        let len = letters.len();
        // A plural may stand for its singular: `pins`, `api_keys`.
        let ends = |end: usize| starts[end] || (letters[end] == b's' && starts[end + 1]);
        let word_before = |end: usize| {
            let start = starts[..end].iter().rposition(|&start| start).unwrap_or(0);
            &letters[start..end]
        };
        let has = |list: names::List, word: &[u8]| self.lists.has(list, word);
        // Where the last word starts, if it is one that makes the key speak about a secret.
        let about = LazyCell::new(|| {
            let words = letters.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
            let last = word_before(words);
            has(names::List::About, last).then_some(words - last.len())
        });
        let asks = LazyCell::new(|| {
            let first = (1..=len).find(|&end| starts[end]).unwrap_or(len);
            first < len && has(names::List::Questions, &letters[..first])
        });
        // What follows a secret in its name: is it still one?
        let stays = |end: usize| {
            let mut at = end + usize::from(end < len && letters[end] == b's' && starts[end + 1]);
            if len - at > LONGEST_REST {
                return false;
            }
            while at < len {
                let next = (at + 1..=len).find(|&next| starts[next]).unwrap_or(len);
                let word = &letters[at..next];
                if !has(names::List::Of, word) && !word.iter().all(u8::is_ascii_digit) {
                    return false;
                }
                at = next;
            }
            true
        };
        let found = self.automaton.find_overlapping_iter(letters).filter_map(|found| {
            let needle = self.needles[found.pattern()];
            let (start, end) = (found.start(), found.end());
            let in_place = match needle.place {
                Place::Anywhere => true,
                Place::Word => starts[start] && ends(end),
                Place::Last => starts[start] && starts[end] && (end == len || stays(end)),
                Place::Whole => start == 0 && end == len && !at_end,
            };
            // A key may have many needles, and this looks back: only for those in their place.
            let is_harmless = || {
                let harmless_rest = !starts[end]
                    && self.lists.any(names::List::AfterHarmless, |rest| letters[end..].starts_with(rest));
                harmless_rest || (start > 0 && starts[start] && has(needle.after, word_before(start)))
            };
            let is_about =
                || needle.kind != SecretKind::Fact && (*asks || about.is_some_and(|last| end <= last));
            let at_its_end = || !at_end || stays(end);
            let sensitive = in_place && !is_harmless() && !is_about() && at_its_end();
            sensitive.then(|| Named { kind: needle.kind, is_weak: needle.is_weak, is_head: stays(end) })
        });
        // Of several, the strongest: `card_number` is more than `card`.
        let mut best: Option<Named> = None;
        for named in found {
            let better =
                best.is_none_or(|best| (best.is_weak || !best.is_head) && !named.is_weak && named.is_head);
            if better || best.is_some_and(|best| best.is_weak && !named.is_weak) {
                best = Some(named);
            }
            if best.is_some_and(|best| !best.is_weak && best.is_head) {
                break;
            }
        }
        best
    }
}

/// The letters and digits of a key in lower case, without what separates its words: two keys are the same key
/// if this is the same.
pub(crate) fn compact(key: &str) -> String {
    spelled(key, |spelling| String::from_utf8_lossy(spelling.letters).into_owned())
}

/// The letters and digits of a key in lower case, and where its words start; `starts` is one longer, and ends
/// with `true`.
struct Spelling<'a> {
    letters: &'a [u8],
    starts: &'a [bool],
}

fn spelled<T>(key: &str, read: impl FnOnce(Spelling<'_>) -> T) -> T {
    // In lower case a character takes at most three times its bytes in UTF-8.
    let most = if key.is_ascii() { key.len() } else { 3 * key.len() };
    let letters_of_key = || {
        let near = &**NEAR;
        key.chars().filter_map(|c| near.get(c as usize).map_or_else(|| Letter::of(c), |known| *known))
    };
    if most > ON_STACK {
        let (mut letters, mut starts) = (vec![0; most], vec![false; most + 1]);
        return read(spell(letters_of_key(), &mut letters, &mut starts));
    }
    let (mut letters, mut starts) = ([0; ON_STACK], [false; ON_STACK + 1]);
    let spelling = if key.is_ascii() {
        spell(key.bytes().map(Letter::of_ascii), &mut letters, &mut starts)
    } else {
        spell(letters_of_key(), &mut letters, &mut starts)
    };
    read(spelling)
}

#[inline]
fn spell<'a>(
    key: impl Iterator<Item = Letter> + Clone,
    letters: &'a mut [u8],
    starts: &'a mut [bool],
) -> Spelling<'a> {
    let mut len = 0;
    let mut before = CharClass::Other;
    let mut rest = key;
    let mut upcoming = rest.next();
    while let Some(letter) = upcoming {
        upcoming = rest.next();
        let class = letter.class;
        if class != CharClass::Other {
            starts[len] |= match (before, class) {
                // `SSNs` is one word, `PINCode` is two.
                (CharClass::Upper, CharClass::Upper) => {
                    let next = upcoming.filter(|next| next.class == CharClass::Lower);
                    next.is_some_and(|next| next.lower != 's' || !ends_word(rest.clone().next()))
                }
                (CharClass::Upper, CharClass::Lower) => false,
                (before, class) => before != class,
            };
            if letter.lower.is_ascii() {
                letters[len] = letter.lower as u8;
                len += 1;
            } else {
                len += letter.lower.encode_utf8(&mut letters[len..]).len();
            }
        }
        before = class;
    }
    starts[len] = true;
    Spelling { letters: &letters[..len], starts: &starts[..=len] }
}

fn ends_word(next: Option<Letter>) -> bool {
    next.is_none_or(|next| next.class != CharClass::Lower)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CharClass {
    Lower,
    Upper,
    Digit,
    Other,
}

/// A character of a key: a letter or digit in lower case, or anything between words.
#[derive(Debug, Clone, Copy)]
struct Letter {
    class: CharClass,
    lower: char,
}

/// The letters of Latin, Greek, Cyrillic and others that take two bytes, read from the tables of Unicode once: these are
/// slow to search.
static NEAR: LazyLock<Box<[Option<Letter>]>> = LazyLock::new(|| ('\0'..'\u{800}').map(Letter::of).collect());

impl Letter {
    /// A character without its disguise; `None` for an invisible one.
    fn of(c: char) -> Option<Self> {
        let c = Folded::of_char(c)?;
        let class = match c {
            '\0'..='\x7f' => return Some(Self::of_ascii(c as u8)),
            _ if c.is_uppercase() => CharClass::Upper,
            _ if c.is_alphabetic() => CharClass::Lower,
            _ if c.is_numeric() => CharClass::Digit,
            _ => CharClass::Other,
        };
        // Of the one letter that becomes two characters, the second is the dot of an `i`.
        Some(Self { class, lower: c.to_lowercase().next().unwrap_or(c) })
    }

    #[inline]
    fn of_ascii(byte: u8) -> Self {
        let class = match byte {
            b'a'..=b'z' => CharClass::Lower,
            b'A'..=b'Z' => CharClass::Upper,
            b'0'..=b'9' => CharClass::Digit,
            _ => CharClass::Other,
        };
        Self { class, lower: char::from(byte.to_ascii_lowercase()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(Choice::default(), &[compact("Loan Purpose")]).unwrap()
    }

    #[test]
    fn sensitive_keys_are_found_in_any_spelling() {
        let keys = keys();
        let words = "
            creditCard credit_card Credit-Card CREDIT_CARD creditcard customerCreditCardNumber
            customercreditcardnumber user.credit_card[0] password DB_PASSWORD userPasswordHash passwd
            pwd Pwd db.pwd new-password pin PIN cardPIN card_pin PINs pinCode PINCode pin2 s.s.n. ssn
            userSSN SSNs ssn_last4 applicantSsn cvv cvv2 CVC otp otpCode iban debtorIBAN IBANs dob
            patient_dob dateOfBirth birth_date mrn authorization Authorization proxy-authorization
            http.request.header.authorization apiKey x-api-key API_KEYS AWS_SECRET_ACCESS_KEY
            clientSecret secrets token accessToken csrf_token X-Auth-Token idToken refresh_tokens cookie
            session_cookie set-cookie AccountKey SharedAccessKey connectionString SENTRY_DSN
            private_key_pem credentials auth jwt passphrase seedPhrase firstName last_name patientName
            customer.email userEmail email e-mail cc card phone mobilePhone postcode diagnosis bloodType medicalRecordNumber
            passportNumber accountNumber sort_code driversLicense billing_address address email
            wachtwoord Passwort contraseña CONTRASEÑA ｐａｓｓｗｏｒｄ loan_purpose customerLoanPurpose
            LOAN-PURPOSES loan_purpose_type blood_type allergyType diagnosis_count labResultVersion
            LOAN-PURPOSES diagnosis_type prescription_count phoneTypeOther
        ";
        for key in words.split_whitespace().chain(["credit card", "pass\u{200b}word"]) {
            assert!(keys.classify(key).is_some(), "{key} is sensitive");
        }
    }

    #[test]
    fn innocent_keys_are_left_alone() {
        let keys = keys();
        let words = "
            _ key keys author authors authority authorized secretary secretariat secretion_rate
            token_count tokens total_tokens gen_ai.usage.input_tokens gen_ai.request.max_tokens
            max_token costPerToken tokenizer token_type password_length pin_attempts password_changed_at
            secret_version pinned shipping spinner opinion mapping passenger compass bypass passed
            pass_rate first_pass assessment session session.id user user_id tenant request_id order_id
            idempotency_key primary_key partition_key cache_key public_key workflow_name name filename
            hostname bind_address server.address client.address ip amount currency score risk_band
            status discard_number panel span company classname dobro ibanez cvvx otpx description basic
            input output choice alternatives reasoning confidence decider resource saga dependency
            treatment race signature_valid purpose sex_ratio tint blast_name forecast mobile_app
            email_template send_email emails_sent notifyByEmail card_brand phoneType phone_type passport_version
            street_type iban_count genderRequired
            phone_count
            PHONE_TYPE passport-required ibanLength accountNumberType customer_name_length
        ";
        for key in words.split_whitespace().chain([""]) {
            assert_eq!(keys.classify(key), None, "{key:?} is innocent");
        }
    }

    #[test]
    fn in_prose_the_sensitive_word_stands_before_the_colon() {
        let keys = keys();
        assert!(keys.classify_phrase("the card number").is_some());
        assert!(keys.classify_phrase("Social security number").is_some());
        assert!(keys.classify_phrase("your API keys").is_some());
        assert_eq!(keys.classify_phrase("password reset failed"), None);
        assert_eq!(keys.classify_phrase("unexpected token"), None);
        assert_eq!(keys.classify_phrase("address"), None);
    }

    #[test]
    fn the_capital_of_a_dotted_i_is_an_i() {
        for key in ["PİN", "APİ_KEY", "api_keyİ_PIN", "kartPİN"] {
            assert!(keys().classify(key).is_some(), "{key}");
        }
        assert_eq!(keys().classify("SHİPPİNG"), None);
        assert_eq!(compact("İİ"), "ii");
    }

    #[test]
    fn long_keys_are_classified_too() {
        let long = format!("{}_password", "wide".repeat(1000));
        assert!(keys().classify(&long).is_some());
        assert!(keys().classify(&"ｐｉｎ_".repeat(100)).is_some());
    }
}
