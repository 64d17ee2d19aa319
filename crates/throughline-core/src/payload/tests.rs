//! One odd field leaves the others alone; and what JSON has is what serde_json makes of it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::*;

/// What refuses to be serialised.
struct Refuses;

impl Serialize for Refuses {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("the lock is poisoned"))
    }
}

/// What has no text.
struct Speechless;

impl Display for Speechless {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[derive(Serialize)]
enum Shape {
    Point,
    Circle(Refuses),
    Box(f64, Refuses),
    Named { of: Refuses, size: u8 },
}

#[test]
fn one_odd_field_is_marked_and_the_others_are_kept() {
    #[derive(Serialize)]
    struct Input {
        amount: u32,
        lock: Refuses,
        list: (u8, Refuses, Option<Refuses>),
        map: BTreeMap<&'static str, Result<u8, Refuses>>,
        shapes: [Shape; 4],
        #[serde(serialize_with = "as_text")]
        name: Speechless,
        last: bool,
    }
    let mark = "[not serialisable: the lock is poisoned]";
    let payload = to_payload(&Input {
        amount: 5,
        lock: Refuses,
        list: (1, Refuses, Some(Refuses)),
        map: [("a", Ok(1)), ("b", Err(Refuses))].into(),
        shapes: [
            Shape::Point,
            Shape::Circle(Refuses),
            Shape::Box(0.5, Refuses),
            Shape::Named { of: Refuses, size: 3 },
        ],
        name: Speechless,
        last: true,
    });
    assert_eq!(
        payload,
        json!({
            "amount": 5,
            "lock": mark,
            "list": [1, mark, mark],
            "map": {"a": {"Ok": 1}, "b": {"Err": mark}},
            "shapes": ["Point", {"Circle": mark}, {"Box": [0.5, mark]}, {"Named": {"of": mark, "size": 3}}],
            "name": "[not serialisable: it has no text]",
            "last": true,
        })
    );
    assert_eq!(to_payload(&Refuses), mark);
}

#[test]
fn integers_of_more_than_64_bits_keep_their_digits() {
    let payload =
        to_payload(&(u128::MAX, i128::MIN, 7_u128, -7_i128, u128::from(u64::MAX), i128::from(i64::MIN)));
    assert_eq!(
        payload,
        json!([
            "340282366920938463463374607431768211455",
            "-170141183460469231731687303715884105728",
            7,
            -7,
            u64::MAX,
            i64::MIN
        ])
    );
}

#[test]
fn floats_that_are_no_numbers_are_named() {
    let payload = to_payload(&(f64::NAN, f64::INFINITY, f32::NEG_INFINITY, 0.5_f32, -0.0));
    assert_eq!(payload, json!(["NaN", "Infinity", "-Infinity", 0.5, -0.0]));
}

#[test]
fn maps_keep_their_values_whatever_their_keys_are() {
    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    struct Place {
        x: i8,
        y: i8,
    }
    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    #[serde(untagged)]
    enum Key {
        Text(&'static str),
        Number(u128),
        Pair(u8, &'static str),
        Place(Place),
        Maybe(Option<bool>),
        List(Vec<u8>),
    }
    let keys = [
        Key::Text("a"),
        Key::Text("1"),
        Key::Number(1),
        Key::Number(u128::MAX),
        Key::Pair(1, "b"),
        Key::Place(Place { x: 1, y: -1 }),
        Key::Maybe(None),
        Key::Maybe(Some(true)),
        Key::List(vec![]),
    ];
    let map: BTreeMap<Key, usize> = keys.into_iter().zip(1..).collect();
    assert_eq!(
        to_payload(&map),
        json!({
            "a": 1,
            "1": 2,
            "1 (2)": 3,
            "340282366920938463463374607431768211455": 4,
            "[1,\"b\"]": 5,
            "{\"x\":1,\"y\":-1}": 6,
            "null": 7,
            "true": 8,
            "[]": 9,
        })
    );
}

#[test]
fn what_nests_without_end_is_cut() {
    #[derive(Serialize)]
    struct Link {
        next: Option<Box<Link>>,
    }
    /// It leaves no trace in JSON.
    #[derive(Serialize)]
    struct Wrapped(Option<Box<Wrapped>>);

    let mut link = Link { next: None };
    let mut wrapped = Wrapped(None);
    for _ in 0..20_000 {
        link = Link { next: Some(Box::new(link)) };
        wrapped = Wrapped(Some(Box::new(wrapped)));
    }
    let mut depth = 0;
    let payload = to_payload(&link);
    let mut at = &payload;
    while let Some(next) = at.get("next") {
        (at, depth) = (next, depth + 1);
    }
    assert_eq!((depth, at), (DEPTH / 2, &json!("[cut: nested too deep]")));
    assert_eq!(to_payload(&wrapped), "[cut: nested too deep]");
    // Their destructors go as deep as they do, which is none of our business.
    while let Some(next) = link.next.take() {
        link = *next;
    }
    while let Some(next) = wrapped.0.take() {
        wrapped = *next;
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(".{0,4}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

#[derive(Serialize)]
struct Typed {
    value: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    maybe: Option<f32>,
    unit: (),
    #[serde(flatten)]
    more: BTreeMap<u8, char>,
    #[serde(serialize_with = "as_bytes")]
    bytes: Vec<u8>,
}

fn as_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

proptest! {
    #[test]
    fn what_json_has_is_what_serde_json_makes_of_it(
        value in any_json(),
        maybe in proptest::option::of(any::<f32>()),
        more in proptest::collection::btree_map(any::<u8>(), any::<char>(), 0..4),
        bytes in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let typed = Typed { value, maybe, unit: (), more, bytes };
        prop_assert_eq!(to_payload(&typed), serde_json::to_value(&typed).unwrap());
    }
}
