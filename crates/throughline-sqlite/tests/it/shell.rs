//! What people see in the `sqlite3` shell.

use std::fmt::Write;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use throughline_model::names::tags;
use throughline_model::testing::run;

use crate::Place;

fn table(connection: &Connection, sql: &str) -> String {
    let mut statement = connection.prepare(sql).unwrap();
    let mut text = statement.column_names().collect::<Vec<_>>().join(" | ") + "\n";
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            let separator = if column == 0 { "" } else { " | " };
            match row.get_ref(column).unwrap() {
                ValueRef::Null => write!(text, "{separator}-"),
                ValueRef::Integer(number) => write!(text, "{separator}{number}"),
                other => write!(text, "{separator}{}", other.as_str().unwrap()),
            }
            .unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_views_read_well() {
    let place = Place::new();
    let mut loan = run("loan-approval").key("loan-42");
    loan.root();
    loan.edit(|event| event.attrs = event.attrs.with("tenant", "acme"));
    let reserve = loan.begin("stage:reserve-funds");
    loan.edit(|event| {
        event.attrs = event.attrs.with("tenant", "acme");
        event.tags.push(tags::COMPENSABLE.into());
        event.data = serde_json::json!({ "input": { "amount": 250 } }).as_object().cloned();
        (event.step_index, event.step_total) = (Some(1), Some(2));
    });
    loan.succeed(reserve);
    let sign = loan.begin("stage:sign");
    loan.pass(Duration::from_millis(1500));
    loan.fail(sign, "Timeout", "nobody answered");
    loan.fail_run("Timeout", "nobody answered");
    let mut open = run("onboarding").key("late").at("1969-12-31T23:59:59.25Z".parse().unwrap());
    open.root();
    let mut importer = place.store().open_importer().unwrap();
    importer.append(&[loan.events(), open.events()].concat()).unwrap();
    importer.finish().unwrap();
    let shell = Connection::open(place.path()).unwrap();
    insta::assert_snapshot!("events", table(&shell, "SELECT * FROM events ORDER BY event"));
    insta::assert_snapshot!("runs", table(&shell, "SELECT * FROM runs ORDER BY run"));
    insta::assert_snapshot!("failures", table(&shell, "SELECT * FROM failures ORDER BY timestamp"));
}
