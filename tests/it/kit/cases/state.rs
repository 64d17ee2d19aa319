//! What a service depends on, and what it makes.

use throughline::metrics::catalogue::*;

use super::{Case, bad, dependency, sandboxes};

pub(super) fn dependencies() -> Vec<Case> {
    let (calls, health) = (DEPENDENCY_DURATION.description(), HEALTH_CHECK_STATUS.description());
    let checked = vec![
        Case::new(
            "DatabaseConnectionFailure",
            "critical",
            health,
            &[("check", "store")],
            1,
            "throughline does not reach its database: the check store fails",
            |tape, phase, _| {
                tape.set(&HEALTH_CHECK_STATUS, ["store"], bad(phase, 0.0, 1.0));
                // A name that only contains one of a database.
                tape.set(&HEALTH_CHECK_STATUS, ["dbus-adapter-restored"], 0.0);
            },
        ),
        Case::new(
            "RedisConnectionFailure",
            "critical",
            health,
            &[("check", "redis")],
            1,
            "throughline does not reach Redis",
            |tape, phase, _| tape.set(&HEALTH_CHECK_STATUS, ["redis"], bad(phase, 0.0, 1.0)),
        ),
        Case::new(
            "HighMemoryUsage",
            "warning",
            PROCESS_RESIDENT_MEMORY.description(),
            &[("instance", "one")],
            10,
            "one uses 2GiB of memory",
            |tape, phase, _| {
                tape.set(&PROCESS_RESIDENT_MEMORY, [], bad(phase, 2_147_483_649.0, 2_147_483_648.0));
            },
        ),
    ];
    let called = vec![
        Case::new(
            "DatabaseUnavailable",
            "critical",
            calls,
            &[("target", "ledger")],
            2,
            "11% of the calls to ledger fail",
            |tape, phase, _| {
                dependency(tape, "db", "ledger", bad(phase, 11, 9));
                dependency(tape, "http", "bank", 50);
            },
        ),
        Case::new(
            "RedisConnectionFailure",
            "critical",
            calls,
            &[("target", "prices")],
            1,
            "throughline does not reach Redis (prices)",
            |tape, phase, _| dependency(tape, "redis", "prices", bad(phase, 51, 49)),
        ),
    ];
    checked.into_iter().map(|case| case.window(0)).chain(called).collect()
}

pub(super) fn sessions() -> Vec<Case> {
    const SANDBOX: &[(&str, &str)] = &[("kind", "sandbox")];
    const SESSION: [&str; 2] = ["session", "success"];
    let metric = PROVISIONING_DURATION.description();
    vec![
        Case::new(
            "AllSandboxCreationFailing",
            "critical",
            metric,
            SANDBOX,
            5,
            "51% of the attempts to create a sandbox fail",
            |tape, phase, _| sandboxes(tape, bad(phase, 51, 49)),
        ),
        // Where none ever succeeded.
        Case::new(
            "AllSandboxCreationFailing",
            "critical",
            metric,
            SANDBOX,
            5,
            "100% of the attempts to create a sandbox fail",
            |tape, phase, _| tape.time(&PROVISIONING_DURATION, ["sandbox", "failed"], bad(phase, 10, 0), 1.0),
        ),
        // Between 60 s and 120 s, after 2 of 7.
        Case::new(
            "SandboxBootSlow",
            "warning",
            metric,
            SANDBOX,
            10,
            "A sandbox takes 1m 17s to create for 1 in 20",
            |tape, phase, _| {
                tape.time(&PROVISIONING_DURATION, ["sandbox", "success"], bad(phase, 93, 96), 40.0);
                tape.time(&PROVISIONING_DURATION, ["sandbox", "success"], bad(phase, 7, 4), 100.0);
            },
        ),
        // Ten an hour are not less than ten. The last of nine is made before it fires: where ticks are half as long, twice as many
        // are made in an hour, and it fires once none is made any more.
        Case::new(
            "LowSessions",
            "info",
            metric,
            &[],
            30,
            "Only 9 sessions were created in an hour",
            |tape, phase, tick| {
                let made = tick % 6 == 0 && (phase != 1 || (tick % 60 != 54 && tick <= 90));
                tape.time(&PROVISIONING_DURATION, SESSION, usize::from(made), 1.0);
            },
        )
        .window(60),
    ]
}
