use throughline_redact::Redaction;
fn main() {
    let redactor = Redaction::standard().build().unwrap();
    let path = std::env::args().nth(1).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let mut fails = 0;
    for line in text.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let must = case["must"].as_str().unwrap();
        let (before, after) = match &case["input"] {
            serde_json::Value::String(text) => (text.clone(), redactor.text(text).into_owned()),
            serde_json::Value::Object(map) => {
                let mut map = map.clone();
                let before = serde_json::to_string(&map).unwrap();
                redactor.payload(&mut map);
                (before, serde_json::to_string(&map).unwrap())
            }
            _ => continue,
        };
        let ok = if must == "keep" { before == after } else { before != after };
        if !ok || std::env::args().nth(2).is_some() {
            fails += 1;
            println!("{must} {}: {after:?}", case["kind"]);
        }
    }
    println!("{fails} fail");
}
