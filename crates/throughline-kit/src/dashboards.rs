//! The dashboards, a file for each area.

mod api;
mod calls;
mod library;
mod overview;
mod sessions;
mod work;

use crate::dashboard::Dashboard;

/// Every dashboard.
pub(crate) fn all() -> Vec<Dashboard> {
    vec![
        overview::overview(),
        overview::service_health(),
        overview::objectives(),
        api::api(),
        work::workflows(),
        work::workers(),
        work::sagas(),
        work::decisions(),
        calls::transport(),
        calls::functions(),
        sessions::sessions(),
        library::library(),
    ]
}
