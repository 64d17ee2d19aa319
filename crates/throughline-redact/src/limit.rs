//! The size of payloads: what is beyond the limit is cut, the largest values first, with marks that say how much.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value};

/// The least that is left to a value before whole fields are dropped; room for a key and a mark.
const LEAST: usize = 96;
/// What a mark for dropped fields or items takes at most: `"[cut]":"[cut: … fields, … bytes]",`.
const MARK: usize = 80;
/// How far a cut moves back to where no word or number is cut in two.
const SEAM: usize = 64;

/// At least as many bytes as the JSON of a text has: an escape takes up to six.
pub(crate) fn most_bytes(text: &str) -> usize {
    6 * text.len() + 2
}

/// Cuts an object to so many bytes of JSON. `hits` says whether there is something sensitive in a text: what a
/// cut brings to light is hidden.
pub(crate) fn fit(fields: &mut Map<String, Value>, limit: usize, hits: &dyn Fn(&str) -> bool) {
    let size = Size::of_fields(fields);
    if size.bytes > limit {
        Cut { hits }.fields(fields, &size, limit);
    }
}

/// Cuts a text to so many bytes of JSON without its quotes, with a mark at its end.
pub(crate) fn cut_text(text: &str, limit: usize, hits: &dyn Fn(&str) -> bool) -> String {
    // `…[cut: 18446744073709551615 bytes]`
    let room = limit.saturating_sub(36);
    let (mut keep, mut used) = (0, 0);
    for (at, c) in text.char_indices() {
        used += escaped_len(c);
        if used > room {
            break;
        }
        keep = at + c.len_utf8();
    }
    let head = &text[..keep];
    let seam = head.char_indices().rev().take(SEAM).find(|(_, c)| c.is_whitespace());
    let head = seam.map_or(head, |(at, _)| &head[..at]);
    let cut = format!("{head}…[cut: {} bytes]", text.len() - head.len());
    if hits(&cut) { format!("[redacted][cut: {} bytes]", text.len()) } else { cut }
}

/// How many bytes a character takes in JSON.
fn escaped_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

/// How many bytes the JSON of something has.
fn json_len(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A value is always JSON, and counting cannot fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// How many bytes of JSON a value has, and each of its parts. It is computed once for the whole value: computed for each level
/// anew, the innermost values would be counted as often as they are deep.
struct Size {
    bytes: usize,
    parts: Vec<Part>,
}

struct Part {
    /// The key with its colon; nothing in an array.
    key: usize,
    value: Size,
}

impl Part {
    /// The part with the comma behind it.
    fn bytes(&self) -> usize {
        self.key + self.value.bytes + 1
    }
}

impl Size {
    fn of(value: &Value) -> Self {
        match value {
            Value::Array(items) => {
                Self::of_parts(items.iter().map(|item| Part { key: 0, value: Self::of(item) }).collect())
            }
            Value::Object(fields) => Self::of_fields(fields),
            leaf => Self { bytes: json_len(leaf), parts: Vec::new() },
        }
    }

    fn of_fields(fields: &Map<String, Value>) -> Self {
        let part = |(key, value)| Part { key: json_len(key) + 1, value: Self::of(value) };
        Self::of_parts(fields.iter().map(part).collect())
    }

    /// Brackets, and the parts with commas between.
    fn of_parts(parts: Vec<Part>) -> Self {
        let with_commas: usize = parts.iter().map(Part::bytes).sum();
        Self { bytes: 2 + with_commas.saturating_sub(1), parts }
    }

    fn of_each_part(&self) -> Vec<usize> {
        self.parts.iter().map(Part::bytes).collect()
    }
}

struct Cut<'h> {
    hits: &'h dyn Fn(&str) -> bool,
}

impl Cut<'_> {
    fn value(&self, value: &mut Value, size: &Size, limit: usize) {
        match value {
            Value::String(text) => *text = cut_text(text, limit.saturating_sub(2), self.hits),
            Value::Array(items) => self.items(items, size, limit),
            Value::Object(fields) => self.fields(fields, size, limit),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn items(&self, items: &mut Vec<Value>, size: &Size, limit: usize) {
        let sizes = size.of_each_part();
        let share = Share::of(&sizes, limit.saturating_sub(2));
        items.truncate(share.kept);
        for (item, part) in items.iter_mut().zip(&size.parts) {
            if part.bytes() > share.each {
                self.value(item, &part.value, share.each - 1);
            }
        }
        if share.kept < sizes.len() {
            let (count, bytes) = (sizes.len() - share.kept, sizes[share.kept..].iter().sum::<usize>());
            items.push(Value::String(format!("[cut: {count} items, {bytes} bytes]")));
        }
    }

    fn fields(&self, fields: &mut Map<String, Value>, size: &Size, limit: usize) {
        // Room for the mark is kept in any case: a field with a long key may have to go as well.
        let share = Share::of(&size.of_each_part(), limit.saturating_sub(2 + MARK));
        let (mut count, mut bytes) = (0_usize, 0);
        let mut parts = size.parts.iter().enumerate();
        fields.retain(|_, value| {
            // There is a part for each field.
            let Some((place, part)) = parts.next() else { return true };
            let (size, around) = (part.bytes(), part.key + 1);
            let fits = place < share.kept && (size <= share.each || around + LEAST / 2 <= share.each);
            if !fits {
                count += 1;
                bytes += size;
            } else if size > share.each {
                self.value(value, &part.value, share.each - around);
            }
            fits
        });
        if count > 0 {
            let mark = format!("[cut: {count} fields, {bytes} bytes]");
            fields.insert("[cut]".to_owned(), Value::String(mark));
        }
    }
}

/// How a limit is shared among values.
#[derive(Debug, PartialEq, Eq)]
struct Share {
    /// How many values are kept, from the first.
    kept: usize,
    /// How many bytes each of them may take.
    each: usize,
}

impl Share {
    /// Small values are kept whole, and the large ones share what is left in equal parts. If there are so many that
    /// [`LEAST`] for each is too much, the last ones go.
    fn of(sizes: &[usize], limit: usize) -> Self {
        let fits_at_least = |limit: usize| {
            let used = sizes.iter().scan(0, |used, size| {
                *used += (*size).min(LEAST);
                Some(*used)
            });
            used.take_while(|used| *used <= limit).count()
        };
        let (mut kept, mut left) = (fits_at_least(limit), limit);
        if kept < sizes.len() {
            left = limit.saturating_sub(MARK);
            kept = fits_at_least(left);
        }
        let mut sorted = sizes[..kept].to_vec();
        sorted.sort_unstable();
        let mut each = usize::MAX;
        for (place, &size) in sorted.iter().enumerate() {
            let part = left / (kept - place);
            if size > part {
                each = part;
                break;
            }
            left -= size;
        }
        Self { kept, each }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cut(mut data: Value, limit: usize) -> Value {
        fit(data.as_object_mut().unwrap(), limit, &|_| false);
        assert!(json_len(&data) <= limit, "{} > {limit}: {data}", json_len(&data));
        data
    }

    #[test]
    fn the_largest_value_is_cut_and_the_others_stay() {
        let cut = cut(json!({"id": 7, "report": "word ".repeat(1000), "note": "kept", "list": [1, 2]}), 1000);
        assert_eq!((&cut["id"], &cut["note"], &cut["list"]), (&json!(7), &json!("kept"), &json!([1, 2])));
        let report = cut["report"].as_str().unwrap();
        let (head, mark) = report.split_once('…').unwrap();
        assert!(head.ends_with("word") && head.len() > 700, "{report}");
        assert_eq!(mark, format!("[cut: {} bytes]", 5000 - head.len()));
    }

    #[test]
    fn long_lists_and_wide_objects_lose_their_ends() {
        let list = cut(json!({"list": (0..10_000).collect::<Vec<_>>(), "id": 7}), 1000);
        let items = list["list"].as_array().unwrap();
        assert!(items.len() > 100 && items[5] == 5, "{list}");
        assert!(items.last().unwrap().as_str().unwrap().starts_with("[cut: 9"), "{list}");

        let wide: Map<String, Value> = (0..1000).map(|n| (format!("k{n:04}"), json!(n))).collect();
        let wide = cut(Value::Object(wide), 1000);
        assert!(wide["[cut]"].as_str().unwrap().ends_with("bytes]") && wide["k0003"] == 3, "{wide}");
    }

    #[test]
    fn a_cut_that_brings_something_to_light_hides_it() {
        let text = "x".repeat(400);
        assert_eq!(cut_text(&text, 100, &|_| true), "[redacted][cut: 400 bytes]");
        assert!(cut_text(&text, 100, &|_| false).len() <= 100);
        assert!(cut_text(&"\u{1}\"é".repeat(400), 100, &|_| false).len() <= 100);
    }

    #[test]
    fn large_values_share_what_small_ones_leave() {
        assert_eq!(Share::of(&[10, 1000, 20, 1000], 500), Share { kept: 4, each: 235 });
        assert_eq!(Share::of(&[10, 20], 500), Share { kept: 2, each: usize::MAX });
        assert_eq!(Share::of(&[100; 10], 500).kept, 4);
    }
}
