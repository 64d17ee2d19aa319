//! The alerts, a file for each area.

mod api;
mod library;
mod objectives;
mod resources;
mod unusual;
mod uptime;
mod work;

use crate::alert::Group;

pub(crate) use objectives::{BUDGET, BURNS, Burn, burn_rate};
pub(crate) use uptime::certificate_left;

/// Every alert.
pub(crate) fn all() -> Vec<Group> {
    vec![
        api::http(),
        api::calls(),
        work::workflows(),
        work::open_runs(),
        work::queues(),
        resources::dependencies(),
        resources::sessions(),
        objectives::burn_rates(),
        unusual::unusual(),
        library::library(),
        uptime::uptime(),
    ]
}
