//! The sensitive keys of [`Redaction::standard`](crate::Redaction::standard): under which names banks, hospitals
//! and software services keep what nobody else should read.
//!
//! Needles are written without separators: `creditcard` stands for `creditCard`, `credit_card`, `Credit-Card`.
//! Each also stands for its plural.

/// Credentials that are recognised inside compounds too, as in `dbpasswordold`. Only what no innocent word
/// contains belongs here.
pub(crate) const CREDENTIALS_ANYWHERE: &[&str] = &[
    "accesskey",
    "accesstoken",
    "accountkey",
    "apikey",
    "apitoken",
    "authorisation",
    "authorization",
    "authtoken",
    "backupcode",
    "basicauth",
    "bearertoken",
    "clientsecret",
    "connectionstring",
    "credential",
    "csrftoken",
    "decryptionkey",
    "encryptionkey",
    "jsessionid",
    "licensekey",
    "magstripe",
    "masterkey",
    "oauthtoken",
    "onetimecode",
    "passcode",
    "passkey",
    "passwd",
    "password",
    "phpsessid",
    "pinblock",
    "privatekey",
    "recoverycode",
    "refreshtoken",
    "secret",
    "securityanswer",
    "securitycode",
    "securitytoken",
    "sessionkey",
    "sessiontoken",
    "sharedkey",
    "signingkey",
    "sshkey",
    "verificationcode",
    "xsrftoken",
    // Dutch, German, French, Spanish, Portuguese.
    "wachtwoord",
    "kennwort",
    "passwort",
    "motdepasse",
    "contrasena",
    "contraseña",
];

/// Credentials that are recognised as whole words only: `pin` is in `shipping` too.
pub(crate) const CREDENTIALS_WORD: &[&str] = &[
    "amzsignature",
    "bearer",
    "connstr",
    "csc",
    "csrf",
    "cvc",
    "cvv",
    "dbpass",
    "dsn",
    "googsignature",
    "idtoken",
    "jwt",
    "otp",
    "pin",
    "pincode",
    "pswd",
    "pw",
    "pwd",
    "senha",
    "smtppass",
    "totp",
    "userpass",
    "xsrf",
];

/// Credentials that are recognised as the last word only: an `access_token` is one, a `token_count` is not.
/// Their plurals are left alone: `input_tokens` counts, it does not open doors.
pub(crate) const CREDENTIALS_LAST: &[&str] = &["token"];

/// Credentials that are recognised as the last words, and fill the rest of a header's line.
pub(crate) const HEADERS: &[&str] = &["cookie", "setcookie"];

/// Words before `token` that make it a unit of text or a place in a list.
pub(crate) const BEFORE_HARMLESS_TOKEN: &[&str] = &[
    "bos",
    "cancel",
    "cancellation",
    "completion",
    "continuation",
    "eos",
    "first",
    "input",
    "last",
    "mask",
    "max",
    "min",
    "next",
    "output",
    "pad",
    "page",
    "per",
    "prompt",
    "sep",
    "special",
    "stop",
    "total",
    "unexpected",
    "unk",
];

/// Credentials that are recognised as the whole key only, for they are everyday words.
pub(crate) const CREDENTIALS_WHOLE: &[&str] = &["auth", "cookies", "pass", "sas", "sig", "signature"];

/// Secrets of several words.
pub(crate) const PHRASES: &[&str] = &["mnemonic", "passphrase", "recoveryphrase", "seedphrase"];

/// What makes a key speak *about* a secret: `password_length`, `token_type`, `pin_attempts`, `phone_type`.
pub(crate) const MEASURES: &[&str] = &[
    "at", "attempts", "count", "enabled", "file", "length", "path", "policy", "required", "retries",
    "strength", "ttl", "type", "version",
];

/// What follows `secret` in words that have nothing to do with one: secretary, secretion.
pub(crate) const AFTER_HARMLESS_SECRET: &[&str] = &["ar", "ion", "ory"];

/// Personal data that is recognised inside compounds too.
pub(crate) const PERSONAL_ANYWHERE: &[&str] = &[
    "aadhaar",
    "accountholder",
    "accountnumber",
    "acctnumber",
    "addressline",
    "bankaccount",
    "beneficiaryname",
    "billingaddress",
    "birthdate",
    "birthday",
    "birthplace",
    "cardexpir",
    "cardholder",
    "creditcard",
    "dateofbirth",
    "debitcard",
    "driverlicen",
    "driverslicen",
    "drivinglicen",
    "emailaddress",
    "familyname",
    "firstname",
    "fullname",
    "givenname",
    "healthinsurance",
    "homeaddress",
    "insurancenumber",
    "licenceplate",
    "licenseplate",
    "mailingaddress",
    "maidenname",
    "medicarenumber",
    "middlename",
    "mobilenumber",
    "msisdn",
    "nationalid",
    "nationalinsurance",
    "nhsnumber",
    "passport",
    "phonenumber",
    "placeofbirth",
    "postaladdress",
    "residentialaddress",
    "routingnumber",
    "shippingaddress",
    "socialinsurance",
    "socialsecurity",
    "socialsecuritynumber",
    "streetaddress",
    "telephonenumber",
    // Dutch, German, French.
    "achternaam",
    "burgerservicenummer",
    "geboortedatum",
    "geburtsdatum",
    "kontonummer",
    "datedenaissance",
    "personnummer",
    "rekeningnummer",
    "telefoonnummer",
];

/// Personal data that is recognised as whole words only.
pub(crate) const PERSONAL_WORD: &[&str] = &[
    "accountno",
    "acctno",
    "bban",
    "bsn",
    "cardexp",
    "cardno",
    "cardnum",
    "cardnumber",
    "ccn",
    "ccnum",
    "ccnumber",
    "cpf",
    "dob",
    "gender",
    "iban",
    "itin",
    "lastname",
    "mrn",
    "nachname",
    "nino",
    "pan",
    "phone",
    "postalcode",
    "postcode",
    "sortcode",
    "ssn",
    "street",
    "surname",
    "taxid",
    "telephone",
    "tin",
    "voornaam",
    "vorname",
    "zipcode",
];

/// Facts about people of which a yes, a no or a kind tells enough, recognised inside compounds too.
pub(crate) const FACTS_ANYWHERE: &[&str] = &[
    "biometric",
    "bloodgroup",
    "bloodtype",
    "ethnicity",
    "ethnicorigin",
    "labresult",
    "maritalstatus",
    "medicalhistory",
    "medicalrecord",
    "politicalopinion",
    "sexualorientation",
    "tradeunion",
];

/// Facts about people that are recognised as whole words only.
pub(crate) const FACTS_WORD: &[&str] = &[
    "allergies",
    "allergy",
    "diagnoses",
    "diagnosis",
    "hiv",
    "medication",
    "nationality",
    "prescription",
    "religion",
];

/// Personal data that is recognised as the whole key only: an `address` may also be a server's
/// `bind_address`.
pub(crate) const PERSONAL_WHOLE: &[&str] = &["address", "card", "cc", "mail", "mobile"];

/// Personal data that is recognised as the last word only: a `contact_email` is, an `email_template` is not.
pub(crate) const PERSONAL_LAST: &[&str] = &["email"];

/// Words before `email` that make it something that is done.
pub(crate) const BEFORE_HARMLESS_EMAIL: &[&str] = &[
    "by", "compose", "confirm", "notify", "on", "queue", "render", "resend", "send", "sends", "sent",
    "verify", "via",
];

/// Whose [`PERSONAL_OF`] are personal: `patient_name` is, `workflow_name` is not.
pub(crate) const PEOPLE: &[&str] = &[
    "applicant",
    "borrower",
    "contact",
    "customer",
    "debtor",
    "employee",
    "guarantor",
    "holder",
    "member",
    "patient",
    "payee",
    "payer",
    "physician",
    "spouse",
];

/// What is personal when it is somebody's.
pub(crate) const PERSONAL_OF: &[&str] = &["address", "mobile", "name"];

/// Words that follow the colon in prose *about* a secret, as in `invalid password: must have a digit`.
pub(crate) const PROSE: &[&str] = &[
    "a",
    "access",
    "already",
    "an",
    "cannot",
    "denied",
    "does",
    "empty",
    "error",
    "expected",
    "expired",
    "failed",
    "false",
    "has",
    "incorrect",
    "invalid",
    "is",
    "malformed",
    "missing",
    "must",
    "nil",
    "no",
    "none",
    "not",
    "null",
    "rejected",
    "required",
    "revoked",
    "should",
    "the",
    "too",
    "true",
    "undefined",
    "unexpected",
    "unknown",
    "was",
    "wrong",
];

/// How names end that stand for what happened: before a colon and a space they are no keys.
pub(crate) const OUTCOMES: &[&str] =
    &["error", "exception", "failure", "failed", "rejected", "denied", "warning"];
