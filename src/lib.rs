//! The examples and end-to-end tests of Throughline, and the code of the guide and of the pages on configuration, logs, redaction and stores.

/// The pages of `docs/guide`, `docs/configuration.md`, `docs/logging.md`, `docs/redaction.md` and `docs/write-a-store.md`, whose code is compiled and run.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../docs/guide/choosing-a-store.md")]
    struct ChoosingAStore;
    #[doc = include_str!("../docs/guide/browsers.md")]
    struct Browsers;
    #[doc = include_str!("../docs/guide/business.md")]
    struct Business;
    #[doc = include_str!("../docs/configuration.md")]
    struct Configuration;
    #[doc = include_str!("../docs/guide/reading-a-story.md")]
    struct ReadingAStory;
    #[doc = include_str!("../docs/guide/starting-up-after-a-crash.md")]
    struct StartingUpAfterACrash;
    #[doc = include_str!("../docs/guide/looking-at-runs.md")]
    struct LookingAtRuns;
    #[doc = include_str!("../docs/logging.md")]
    struct Logging;
    #[doc = include_str!("../docs/redaction.md")]
    struct Redaction;
    #[doc = include_str!("../docs/guide/reporting-to-sentry.md")]
    struct ReportingToSentry;
    #[doc = include_str!("../docs/guide/sagas-in-handlers.md")]
    struct SagasInHandlers;
    #[doc = include_str!("../docs/guide/steps-and-errors.md")]
    struct StepsAndErrors;
    #[doc = include_str!("../docs/guide/testing.md")]
    struct Testing;
    #[doc = include_str!("../docs/guide/opentelemetry.md")]
    struct OpenTelemetry;
    #[doc = include_str!("../docs/guide/watching-live.md")]
    struct WatchingLive;
    #[doc = include_str!("../docs/guide/what-a-run-is.md")]
    struct WhatARunIs;
    #[doc = include_str!("../docs/guide/workers.md")]
    struct Workers;
    #[doc = include_str!("../docs/write-a-store.md")]
    struct WriteAStore;
}
