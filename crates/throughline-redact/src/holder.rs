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
        let mut lower = [0; LONGEST];
        let lower = lower.get_mut(..key.len())?;
        lower.copy_from_slice(key.as_bytes());
        lower.make_ascii_lowercase();
        Self::among(lower)
    }

    fn among(key: &[u8]) -> Option<Self> {
        match key {
            b"name" | b"key" | b"label" | b"k" | b"n" => Some(Self::Name),
            b"value" | b"val" | b"v" | b"content" | b"data" | b"text" | b"default" | b"defaultvalue"
            | b"current" | b"newvalue" | b"oldvalue" | b"string" | b"stringvalue" => Some(Self::Value),
            // `header_name`, `paramValue`
            [thing @ .., b'n', b'a', b'm', b'e'] | [thing @ .., b'k', b'e', b'y'] => {
                is_thing(without_sign(thing)).then_some(Self::Name)
            }
            [thing @ .., b'v', b'a', b'l', b'u', b'e'] | [thing @ .., b'v', b'a', b'l'] => {
                is_thing(without_sign(thing)).then_some(Self::Value)
            }
            thing => is_thing(thing).then_some(Self::Name),
        }
    }
}

/// The longest key is that of a `parameter_value`.
const LONGEST: usize = "parameter_value".len();

/// What has a name and a value. Alone it stands for the name.
fn is_thing(key: &[u8]) -> bool {
    matches!(
        key,
        b"header"
            | b"field"
            | b"param"
            | b"parameter"
            | b"property"
            | b"variable"
            | b"attribute"
            | b"setting"
            | b"option"
            | b"env"
            | b"var"
            | b"arg"
            | b"argument"
            | b"config"
            | b"cookie"
            | b"item"
    )
}

fn without_sign(thing: &[u8]) -> &[u8] {
    match thing {
        [thing @ .., b'_' | b'-' | b'.'] => thing,
        thing => thing,
    }
}

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
