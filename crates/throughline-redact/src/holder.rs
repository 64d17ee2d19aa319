//! Keys that hold the name of something, or what stands under such a name elsewhere: `{"name": "DB_PASSWORD", "value": "x"}`.

/// What a key holds of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The name of something: `"name": "DB_PASSWORD"`.
    Name,
    /// What stands under a name elsewhere.
    Value,
}

impl Holder {
    /// What a key holds, if it holds a part of a pair.
    #[inline]
    pub(crate) fn of(key: &str) -> Option<Self> {
        let first = *key.as_bytes().first()?;
        let may_be = FIRSTS.get(key.len()).is_some_and(|firsts| firsts & (1 << (first & 0x1f)) != 0);
        if may_be { Self::among(key) } else { None }
    }

    fn among(key: &str) -> Option<Self> {
        let has = |keys: &[&str], key: &str| keys.iter().any(|known| known.eq_ignore_ascii_case(key));
        if has(NAMES, key) || has(THINGS, key) {
            return Some(Self::Name);
        }
        if has(VALUES, key) {
            return Some(Self::Value);
        }
        // `header_name`, `paramValue`
        let of_thing = |part: &&str| {
            let (thing, end) = key.split_at_checked(key.len().saturating_sub(part.len())).unwrap_or_default();
            end.eq_ignore_ascii_case(part) && has(THINGS, thing.trim_end_matches(['_', '-', '.']))
        };
        if NAMES_OF_THINGS.iter().any(of_thing) {
            Some(Self::Name)
        } else if VALUES_OF_THINGS.iter().any(of_thing) {
            Some(Self::Value)
        } else {
            None
        }
    }
}

/// What the name of something stands under.
const NAMES: &[&str] = &["name", "key", "label", "k", "n"];

/// What its value stands under.
const VALUES: &[&str] = &[
    "value",
    "val",
    "v",
    "content",
    "data",
    "text",
    "default",
    "defaultvalue",
    "current",
    "newvalue",
    "oldvalue",
    "string",
    "stringvalue",
];

/// What has a name and a value. Alone it stands for the name.
const THINGS: &[&str] = &[
    "header",
    "field",
    "param",
    "parameter",
    "property",
    "variable",
    "attribute",
    "setting",
    "option",
    "env",
    "var",
    "arg",
    "argument",
    "config",
    "cookie",
    "item",
];

/// How the keys of both begin with the thing and end.
const NAMES_OF_THINGS: &[&str] = &["name", "key"];
const VALUES_OF_THINGS: &[&str] = &["value", "val"];

/// The longest key is that of a `parameter_value`.
const LONGEST: usize = "parameter_value".len();

/// By their length, with which letters they start, a bit for each: most keys are none of them, and one look says so.
const FIRSTS: [u32; LONGEST + 1] = {
    let mut firsts = [0; LONGEST + 1];
    let lists = [NAMES, VALUES, THINGS];
    let mut list = 0;
    while list < lists.len() {
        let mut place = 0;
        while place < lists[list].len() {
            let key = lists[list][place].as_bytes();
            firsts[key.len()] |= 1 << (key[0] & 0x1f);
            place += 1;
        }
        list += 1;
    }
    let mut place = 0;
    while place < THINGS.len() {
        let thing = THINGS[place].as_bytes();
        // From `key` and `val` to `_value`.
        let mut more = 3;
        while more <= "_value".len() {
            firsts[thing.len() + more] |= 1 << (thing[0] & 0x1f);
            more += 1;
        }
        place += 1;
    }
    firsts
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_names_and_values_are_known_in_any_spelling() {
        for key in
            ["name", "Key", "header", "header_name", "headerName", "ParameterKey", "env-key", "param.name"]
        {
            assert_eq!(Holder::of(key), Some(Holder::Name), "{key}");
        }
        for key in ["value", "V", "stringValue", "header_value", "ParameterValue", "env-val", "PARAM_VALUE"] {
            assert_eq!(Holder::of(key), Some(Holder::Value), "{key}");
        }
        for key in [
            "",
            "named",
            "username",
            "file_name",
            "header_size",
            "_value",
            "evaluate",
            "parameter__value",
            "é",
        ] {
            assert_eq!(Holder::of(key), None, "{key}");
        }
    }
}
