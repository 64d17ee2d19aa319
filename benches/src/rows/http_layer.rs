//! What the HTTP layer adds to a request.

use super::step::allocations;
use super::{Bench, HTTP};
use crate::duel::{Samples, by_turns, nanos_each};
use crate::peers::tower_stack;
use crate::report::{Line, Target, time};
use crate::requests::{PATH, bare, ours, ours_with_the_peers_exporter, serve};

const REQUESTS: usize = 20_000;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let runtime = &bench.single;
    let bare = bare();
    let (ours, _throughline) = ours()?;
    let (same_exporter, _throughline, own_handle) = ours_with_the_peers_exporter()?;
    let (stack, handle) = tower_stack::around(crate::requests::bare())?;
    let serving = |router: axum::Router| {
        move || nanos_each(REQUESTS, || runtime.block_on(serve(router.clone(), PATH, REQUESTS)))
    };
    let (bare, ours, same_exporter, stack) =
        (serving(bare), serving(ours), serving(same_exporter), serving(stack));
    let [bare, ours, same_exporter, stack] = by_turns(
        HTTP,
        31,
        [
            Box::new(bare),
            Box::new(ours),
            Box::new(|| {
                let nanos = same_exporter();
                own_handle.run_upkeep();
                nanos
            }),
            Box::new(|| {
                let nanos = stack();
                handle.run_upkeep();
                nanos
            }),
        ],
    )?;
    let added = |side: &Samples| side.less(&bare);
    let (ours, same_exporter, stack) = (added(&ours), added(&same_exporter), added(&stack));
    let allocated = allocations()?;
    let allocated = |side: &str| {
        allocated.get(side).copied().unwrap_or(f64::NAN)
            - allocated.get("http-bare").copied().unwrap_or(f64::NAN)
    };
    let (own, peers) = (allocated("http-ours"), allocated("http-stack"));
    let parts = "tower-http 0.7 request ids, TraceLayer, CatchPanic, axum-prometheus 0.10";
    Ok(vec![
        Line {
            what: "what the layer adds to a request".to_owned(),
            ours: time(ours.median()),
            peer: format!("{parts}: {}", time(stack.median())),
            value: ours.ratio_to(&stack),
            target: Target::RatioAtMost(0.7),
        },
        Line {
            what: "the same, into the peers' exporter".to_owned(),
            ours: time(same_exporter.median()),
            peer: format!("the same: {}", time(stack.median())),
            value: same_exporter.ratio_to(&stack),
            target: Target::RatioAtMost(0.7),
        },
        Line {
            what: "allocations that it adds".to_owned(),
            ours: format!("{own:.2}"),
            peer: format!("the same: {peers:.2}"),
            value: (own / peers).into(),
            target: Target::RatioAtMost(0.7),
        },
    ])
}
