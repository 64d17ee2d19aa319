//! Whether others reach the service.

use crate::alerts::certificate_left;
use crate::dashboard::{Dashboard, Panel, Unit};
use crate::expr::{Expr, hours};

pub(super) fn uptime() -> Dashboard {
    const BY_TARGET: &str = "{{instance}}";
    let success = || Expr::Probed("probe_success");
    let panels = vec![
        Panel::stat("Reachable", Unit::Count, "1 where the last probe from outside had a good answer.")
            .shows(success(), BY_TARGET),
        Panel::stat("Availability in 24 Hours", Unit::Share, "The share of probes that had a good answer.")
            .shows(success().mean(hours(24)), BY_TARGET),
        Panel::stat(
            "Scraped in 24 Hours",
            Unit::Share,
            "The share of scrapes that reached the service from inside.",
        )
        .shows(Expr::Up.mean(hours(24)), BY_TARGET),
        Panel::graph(
            "Probe Duration",
            Unit::Seconds,
            "How long a probe took, from the name to the end of the answer.",
        )
        .shows(Expr::Probed("probe_duration_seconds"), BY_TARGET),
        Panel::graph(
            "Probe Duration by Phase",
            Unit::Seconds,
            "Where the time goes: resolve, connect, tls, processing (by the service), transfer.",
        )
        .shows(Expr::Probed("probe_http_duration_seconds"), "{{instance}} {{phase}}"),
        Panel::graph("Status", Unit::Count, "The status of the answer; 0 if there was none.")
            .shows(Expr::Probed("probe_http_status_code"), BY_TARGET),
        Panel::graph(
            "Certificate Expires In",
            Unit::Seconds,
            "Until the first certificate on the way to the service expires.",
        )
        .shows(certificate_left(), BY_TARGET),
    ];
    Dashboard { name: "uptime", title: "Uptime", about: "Do others reach the service?", panels }
}
