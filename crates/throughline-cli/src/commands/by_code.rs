//! `throughline undo` and `throughline resume`: what the answers advise is done by the service's own code, and no command
//! can do it. Without these, the parser would suggest `abandon` and `prune`, of which the one closes and the other deletes.

use crate::error::CliError;

/// How a run is undone.
pub(super) fn undo() -> CliError {
    CliError::Usage(
        "a run is undone by the service itself, because undoing its steps takes the service's own code; nothing was changed\n\
         In the service:  throughline.undo(ID, \"saga\").step(\"stage:...\", input, compensation).run().await\n\
         What to undo:    throughline compensations ID\n\
         To read:         docs/guide/sagas-in-handlers.md, \"Undoing later\""
            .to_owned(),
    )
}

/// How a run is resumed.
pub(super) fn resume() -> CliError {
    CliError::Usage(
        "a run is resumed by the service itself, because its steps are code; nothing was changed\n\
         In the service:  throughline.resume(ID), followed by .run(...) with the function of the workflow\n\
         What to resume:  throughline running\n\
         To read:         docs/guide/starting-up-after-a-crash.md"
            .to_owned(),
    )
}
