use super::*;

/// Scrapes a page after another; the time is 1000 s after 1970.
fn scrape(pages: &[&str]) -> Vec<Read> {
    let mut memory = Memory::new();
    pages.iter().map(|page| read(page.as_bytes(), &mut memory, 1000.0).unwrap()).collect()
}

fn last(pages: &[&str]) -> Read {
    scrape(pages).pop().unwrap()
}

fn family<'a>(read: &'a Read, name: &str) -> &'a Family {
    read.families.iter().find(|family| family.name == name).unwrap()
}

#[test]
fn a_counter_says_what_is_new_by_series() {
    let pages = [
        "# TYPE a_total counter\na_total{x=\"1\",y=\"1\"} 10\na_total{x=\"2\",y=\"1\"} 100\n",
        // One grew, one started again, one is new; the order of labels does not matter.
        "# TYPE a_total counter\na_total{y=\"1\",x=\"1\"} 15\na_total{x=\"2\",y=\"1\"} 3\na_total{x=\"3\",y=\"1\"} 2\n",
    ];
    let read = scrape(&pages);
    let first = family(&read[0], "a_total");
    assert_eq!((first.value, first.increase, first.series), (110.0, None, 2));
    let second = family(&read[1], "a_total");
    assert_eq!((second.value, second.increase, second.series), (20.0, Some(5.0 + 3.0 + 2.0), 3));
}

#[test]
fn all_that_a_process_counted_since_it_started_again_is_new() {
    let page = |start, count| {
        format!(
            "# TYPE a counter\na_total {count}\n# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {start}\n"
        )
    };
    let [first, grown, again] = [page("900", 10), page("900.0", 12), page("990", 20)];
    let read = scrape(&[&first, &grown, &again]);
    let seen: Vec<_> = read
        .iter()
        .map(|read| (family(read, "a_total").increase, read.uptime_seconds, read.restarted))
        .collect();
    assert_eq!(
        seen,
        [(None, Some(100.0), false), (Some(2.0), Some(100.0), false), (Some(20.0), Some(10.0), true)]
    );
}

#[test]
fn errors_are_known_by_labels_and_by_counters_beside_others() {
    let page = "\
# TYPE http_requests_total counter
http_requests_total{status=\"200\"} 6
http_requests_total{status=\"404\"} 2
http_requests_total{status=\"503\"} 2
# TYPE jobs_total counter
jobs_total{outcome=\"success\"} 3
jobs_total{outcome=\"failed\"} 1
# TYPE requests_total counter
requests_total 5
# TYPE requests_err counter
requests_err 2
# TYPE plain_total counter
plain_total 1
";
    let read = last(&[page]);
    let errors = |name| family(&read, name).errors.map(|errors| (errors.value, errors.share));
    assert_eq!(errors("http_requests_total"), Some((2.0, 0.2)));
    assert_eq!(errors("jobs_total"), Some((1.0, 0.25)));
    assert_eq!(errors("requests_err"), Some((2.0, 0.4)));
    assert_eq!((errors("requests_total"), errors("plain_total")), (None, None));
}

#[test]
fn the_share_of_errors_is_of_what_is_new() {
    let page = |ok, failed| format!("a_total{{code=\"200\"}} {ok}\na_total{{code=\"500\"}} {failed}\n");
    let read = last(&[&page(98, 2), &page(99, 3)]);
    let errors = family(&read, "a_total").errors.unwrap();
    assert_eq!((errors.value, errors.increase, errors.share), (3.0, Some(1.0), 0.5));
}

#[test]
fn percentiles_are_those_of_prometheus_and_of_what_is_new() {
    let page = |counts: [u32; 4]| {
        let [a, b, c, d] = counts;
        format!(
            "# TYPE t_seconds histogram\nt_seconds_bucket{{le=\"0.1\"}} {a}\nt_seconds_bucket{{le=\"1\"}} {b}\n\
             t_seconds_bucket{{le=\"10\"}} {c}\nt_seconds_bucket{{le=\"+Inf\"}} {d}\nt_seconds_sum 7\nt_seconds_count {d}\n"
        )
    };
    let read = scrape(&[&page([0, 10, 10, 10]), &page([0, 10, 10, 10]), &page([20, 30, 30, 31])]);
    let seen = |at: usize| {
        let family = family(&read[at], "t_seconds");
        (family.value, family.increase, family.percentiles.unwrap())
    };
    // Half way through the bucket from 0.1 to 1.
    let at = |rank: f64| 0.1 + 0.9 * rank / 10.0;
    let ever = Percentiles { p50: at(5.0), p95: at(9.5), p99: at(9.9) };
    assert_eq!(seen(0), (10.0, None, ever));
    assert_eq!(seen(1), (10.0, Some(0.0), ever));
    let (count, increase, new) = seen(2);
    assert_eq!((count, increase), (31.0, Some(21.0)));
    assert!((new.p50 - 0.1 * 10.5 / 20.0).abs() < 1e-9, "{new:?}");
    assert_eq!(new.p99, 10.0, "no higher than the last bound that is a number");
}

#[test]
fn a_page_without_types_is_read_by_its_names() {
    let read = last(&[
        "a_total 3\nb_bucket{le=\"1\"} 1\nb_bucket{le=\"+Inf\"} 2\nb_sum 3\nb_count 2\nc 5\napp_uptime_seconds 47.2\n",
    ]);
    let kinds: Vec<_> =
        read.families.iter().map(|family| (family.name.as_str(), family.kind, family.value)).collect();
    assert_eq!(
        kinds,
        [
            ("a_total", Kind::Counter, 3.0),
            ("app_uptime_seconds", Kind::Unknown, 47.2),
            ("b", Kind::Histogram, 2.0),
            ("c", Kind::Unknown, 5.0)
        ]
    );
    assert_eq!(read.uptime_seconds, Some(47.2));
}

#[test]
fn when_a_series_was_created_is_no_metric() {
    let read = last(&["# TYPE a counter\na_total 3\na_created 1700000000\nb_created 5\n"]);
    let names: Vec<_> = read.families.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names, ["a_total", "b_created"]);
}

#[test]
fn what_is_not_a_number_says_nothing() {
    let read = last(&[
        "# TYPE a counter\na_total NaN\na_total{x=\"1\"} 2\n# TYPE s summary\ns{quantile=\"0.5\"} NaN\n",
    ]);
    assert_eq!((family(&read, "a_total").value, family(&read, "a_total").series), (2.0, 2));
    assert_eq!(family(&read, "s").percentiles, None);
}

#[test]
fn what_is_beyond_all_numbers_is_read_back_from_a_history() {
    let read = last(&[
        "a +Inf\nb_total 1e308\nb_total{x=\"1\"} 1e308\nc_bucket{le=\"-Inf\"} 1\nc_bucket{le=\"+Inf\"} 1\nd_uptime_seconds NaN\n",
    ]);
    let stored = serde_json::to_string(&read.families).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Family>>(&stored).unwrap(), read.families, "{stored}");
    assert_eq!((family(&read, "a").value, read.uptime_seconds), (0.0, None));
}

#[test]
fn families_beyond_a_bound_are_counted_and_not_kept() {
    let page: String = (0..MOST_FAMILIES + 7).map(|n| format!("m{n} 1\n")).collect();
    let read = last(&[&page]);
    assert_eq!((read.families.len(), read.left_out, read.summary.samples), (MOST_FAMILIES, 7, 2007));
}

#[test]
fn a_page_that_breaks_off_changes_nothing_that_is_remembered() {
    struct Torn<'a>(&'a [u8]);
    impl io::Read for Torn<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("the connection was closed")),
                read => Ok(read),
            }
        }
    }
    let mut memory = Memory::new();
    read(&b"a_total 5\n"[..], &mut memory, 0.0).unwrap();
    assert!(read(io::BufReader::new(Torn(b"a_total 1\n")), &mut memory, 0.0).is_err());
    let back = read(&b"a_total 7\n"[..], &mut memory, 0.0).unwrap();
    assert_eq!(family(&back, "a_total").increase, Some(2.0));
}

#[test]
fn the_start_times_of_two_processes_on_one_page_are_told_apart() {
    let page = |starts: [(&str, u32); 2], count: u32| {
        let starts = starts
            .map(|(process, start)| format!("process_start_time_seconds{{process=\"{process}\"}} {start}\n"));
        format!("# TYPE a_total counter\na_total {count}\n{}", starts.concat())
    };
    let pages = [
        page([("a", 900), ("b", 500)], 10),
        page([("b", 500), ("a", 900)], 12),
        page([("a", 990), ("b", 500)], 15),
    ];
    let read = scrape(&pages.each_ref().map(String::as_str));
    let restarted: Vec<_> = read.iter().map(|read| read.restarted).collect();
    assert_eq!(restarted, [false, false, true]);
    let uptimes: Vec<_> = read.iter().map(|read| read.uptime_seconds).collect();
    assert_eq!(uptimes, [Some(100.0), Some(100.0), Some(10.0)]);
    // Which of them counts is not known; no series began again.
    let increases: Vec<_> = read.iter().map(|read| family(read, "a_total").increase).collect();
    assert_eq!(increases, [None, Some(2.0), Some(3.0)]);
}

#[test]
fn the_bounds_of_buckets_are_as_many_as_a_histogram_needs() {
    let bounds: String = (0..100_000).map(|n| format!("t_bucket{{le=\"{n}\"}} 1\n")).collect();
    let read = last(&[&format!("{bounds}t_bucket{{le=\"+Inf\"}} 1\nt_count 1\n")]);
    let family = family(&read, "t");
    assert_eq!((family.value, family.percentiles), (1.0, None));
}

#[test]
fn what_a_page_is_remembered_by_has_a_bound() {
    let page: String = (0..3 * MOST_KINDS).map(|n| format!("# TYPE m{n} gauge\n")).collect();
    let name = "m".repeat(LONGEST_NAME + 1);
    let bounds: String = (0..1_000).map(|n| format!("t_bucket{{le=\"{n}\"}} 1\n")).collect();
    let memory = Memory::new();
    let mut reader = Reader::new(&memory);
    let page = format!("{page}# TYPE {name} gauge\n{name} 1\n{bounds}");
    page::read(page.as_bytes(), |said| reader.take(said)).unwrap();
    assert_eq!((reader.kinds.len(), reader.families.len(), reader.left_out), (MOST_KINDS, 1, 1));
    assert_eq!(reader.families[0].buckets.len(), building::MOST_BOUNDS);
}
