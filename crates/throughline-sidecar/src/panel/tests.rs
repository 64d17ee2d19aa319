use super::*;
use crate::snapshot::{Memory, read};

const FIRST: &str = r#"# TYPE http_requests_total counter
http_requests_total{method="GET",status="200"} 1200
http_requests_total{method="GET",status="500"} 12
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.005"} 0
http_request_duration_seconds_bucket{le="0.05"} 600
http_request_duration_seconds_bucket{le="0.5"} 1200
http_request_duration_seconds_bucket{le="+Inf"} 1212
http_request_duration_seconds_sum 100
http_request_duration_seconds_count 1212
# TYPE worker_queue_depth gauge
worker_queue_depth{queue="a"} 3
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 52428800
# TYPE process_start_time_seconds gauge
process_start_time_seconds 900
# TYPE a_metric_with_a_name_that_is_much_longer_than_there_is_room_for_on_a_narrow_screen_total counter
a_metric_with_a_name_that_is_much_longer_than_there_is_room_for_on_a_narrow_screen_total 7
"#;

fn snapshot(second: u32, page: Option<&str>, memory: &mut Memory) -> Snapshot {
    let read = page.map(|page| read(page.as_bytes(), memory, 961.0 + f64::from(second)).unwrap());
    Snapshot {
        at: format!("2026-02-21T13:42:{second:02}.000Z"),
        target: "http://app:8080/metrics".to_owned(),
        up: read.is_some(),
        error: read.is_none().then(|| "connection refused \u{1b}[2J".to_owned()),
        took_ms: 2,
        uptime_seconds: read.as_ref().and_then(|read| read.uptime_seconds),
        restarted: read.as_ref().is_some_and(|read| read.restarted),
        series: read.as_ref().map_or(0, |read| read.summary.samples),
        malformed: 0,
        left_out: 0,
        families: read.map(|read| read.families).unwrap_or_default(),
    }
}

fn draw(panel: &Panel, width: usize) -> String {
    panel.draw(PanelStyle { has_colour: false, width, rows: 20 })
}

#[test]
fn a_panel_fits_into_80_and_120_columns() {
    let mut memory = Memory::new();
    let mut panel = Panel::new();
    panel.add(snapshot(0, Some(FIRST), &mut memory));
    for second in 1..6 {
        let more = FIRST
            .replace(" 1200\n", &format!(" {}\n", 1200 + second * second * 10))
            .replace("} 12\n", &format!("}} {}\n", 12 + second));
        panel.add(snapshot(second, Some(&more), &mut memory));
    }
    for columns in [80, 120] {
        let text = draw(&panel, columns);
        assert!(text.lines().all(|line| line.width() <= columns), "{text}");
        insta::assert_snapshot!(format!("well_at_{columns}_columns"), text);
    }
    panel.add(snapshot(6, None, &mut memory));
    panel.add(snapshot(7, None, &mut memory));
    for columns in [80, 120] {
        let text = draw(&panel, columns);
        assert!(text.lines().all(|line| line.width() <= columns), "{text}");
        insta::assert_snapshot!(format!("away_at_{columns}_columns"), text);
    }
    let again = FIRST.replace(" 900\n", " 965\n").replace(" 1200\n", " 30\n");
    panel.add(snapshot(8, Some(&again), &mut memory));
    let text = draw(&panel, 100);
    assert!(text.contains("(started again)") && !text.contains("away since"), "{text}");
}

#[test]
fn a_target_that_never_answered_says_why_and_nothing_else() {
    let mut panel = Panel::new();
    panel.add(snapshot(0, None, &mut Memory::new()));
    insta::assert_snapshot!(draw(&panel, 80));
}

#[test]
fn a_panel_shows_as_many_rows_as_there_is_room_for() {
    let page: String = (0..30).map(|n| format!("metric_{n:02} 1\n")).collect();
    let mut panel = Panel::new();
    panel.add(snapshot(0, Some(&page), &mut Memory::new()));
    let text = draw(&panel, 80);
    assert!(text.contains("metric_19") && !text.contains("metric_20"), "{text}");
    assert!(text.ends_with("… and 10 more\n"), "{text}");
}

#[test]
fn a_sparkline_has_a_bar_for_each_scrape_and_gaps() {
    assert_eq!(sparkline(&[Some(0.0), Some(3.5), None, Some(7.0)]), "▁▅ █");
    assert_eq!(sparkline(&[Some(0.0), Some(0.0)]), "▁▁");
    assert_eq!(sparkline(&[Some(f64::INFINITY), Some(1.0)]), " █");
}
