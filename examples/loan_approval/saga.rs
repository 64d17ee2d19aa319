//! The saga of a loan: nine steps, of which four are undone if a later one fails.

use std::sync::Arc;

use serde_json::json;
use throughline::TraceContext;
use throughline::saga::{Saga, SagaFailed};

use crate::agent::Agent;
use crate::application::{Application, LoanError, Offer, RegistryError};
use crate::service::Desk;

/// Everything that an application goes through.
pub(crate) async fn approve(
    ctx: TraceContext,
    application: Application,
    agent: Arc<dyn Agent>,
    desk: Desk,
) -> Result<Offer, SagaFailed<LoanError>> {
    let saga = ctx.saga("loan-approval").steps(9);
    match saga.run(|saga| steps(saga, application, agent, desk)).await {
        Ok(outcome) => outcome,
        Err(not_started) => Err(SagaFailed::before_anything(not_started.into())),
    }
}

async fn steps(
    saga: Saga,
    application: Application,
    agent: Arc<dyn Agent>,
    desk: Desk,
) -> Result<Offer, LoanError> {
    let id = application.id.clone();
    saga.step("stage:validate")
        .input(application.clone())
        .run(|application, _ctx| async move {
            match application.amount {
                1_000..=100_000 => Ok(()),
                amount => Err(LoanError::BadAmount(amount)),
            }
        })
        .await??;

    saga.step("stage:open-file")
        .input(id.clone())
        .resource(format!("file {id}"))
        .compensate(|_id, _ctx| async { Ok::<_, LoanError>(()) })
        .run(|_id, _ctx| async { Ok::<_, LoanError>(()) })
        .await??;

    // Both checks run at once, inside one step.
    let score = saga
        .step("stage:checks")
        .input(application.clone())
        .run(|application, ctx| async move {
            let (score, known) =
                tokio::join!(credit_score(&ctx, &application), know_your_customer(&ctx, &application));
            known?;
            score
        })
        .await??;

    let choice = agent.choose(&application, score);
    let decision = choice
        .alternatives
        .iter()
        .fold(saga.decision("ai:collateral"), |decision, (name, score)| decision.consider(*name, *score))
        .choose(choice.chosen)
        .reasoning(choice.reasoning.clone())
        .confidence(choice.confidence())
        .decider(agent.name())
        .await?;
    if choice.chosen == "manual-review" {
        saga.step("stage:manual-review")
            .attr("desk", "loans")
            .decided_by(&decision)
            .run(|_, _ctx| async {
                desk.wait(&id).await;
                Ok::<_, LoanError>(())
            })
            .await??;
    }

    saga.step("stage:reserve-funds")
        .input(application.clone())
        .resource(format!("reservation r-{id}"))
        .compensate(|application, _ctx| async move {
            // The treasury looks twice at large amounts.
            if application.amount > 50_000 { Err(LoanError::ReservationFrozen) } else { Ok(()) }
        })
        .run(|_application, ctx| async move {
            ctx.dependency("db", "treasury", async { Ok::<_, LoanError>(()) }).await?
        })
        .await??;

    saga.step("stage:register-collateral")
        .input(json!({ "loan": id, "collateral": application.collateral, "secured": choice.chosen == "secured" }))
        .decided_by(&decision)
        .compensate(|_input, _ctx| async { Ok::<_, LoanError>(()) })
        .run(|_input, _ctx| async {
            match application.collateral.as_str() {
                boat @ "boat" if choice.chosen == "secured" => {
                    Err(LoanError::CollateralRefused(RegistryError(boat.to_owned())))
                }
                _ => Ok(()),
            }
        })
        .await??;

    let rate_percent = saga.trace_infallible("stage:price", async { price(&application, score) }).await?;

    let contract = saga
        .step("stage:sign-contract")
        .input(id.clone())
        .compensate(|_id, _ctx| async { Ok::<_, LoanError>(()) })
        .run(|id, ctx| async move {
            let contract = format!("c-{id}");
            ctx.annotate("resource", format!("contract {contract}"));
            Ok::<_, LoanError>(contract)
        })
        .await??;

    // A client that hangs up while this is delivered gets no money: what was done for it is undone.
    saga.trace_infallible("stage:notify", desk.deliver_notice(&id)).await?;
    saga.trace("stage:pay-out", async { Ok::<_, LoanError>(()) }).await??;
    Ok(Offer { loan: id, contract, rate_percent })
}

/// Asks the bureau, which does not answer every first time.
async fn credit_score(ctx: &TraceContext, application: &Application) -> Result<u32, LoanError> {
    let flaky = application.income % 2 == 1;
    ctx.step("stage:credit-score")
        .tag("expensive")
        .retry(3, |ctx, attempt| async move {
            ctx.dependency("http", "credit-bureau", async {
                if flaky && attempt == 1 {
                    return Err(LoanError::BureauTimeout(std::io::ErrorKind::TimedOut.into()));
                }
                Ok(400 + application.income / 200)
            })
            .await?
        })
        .await?
}

/// Knowing the customer is a workflow of its own, with a trace of its own.
async fn know_your_customer(ctx: &TraceContext, application: &Application) -> Result<(), LoanError> {
    ctx.child_workflow("know-your-customer")
        .key(format!("kyc-{}", application.id))
        .input(&application.applicant)
        .run(|ctx| async move {
            ctx.trace("stage:sanction-lists", async { Ok::<_, LoanError>(()) }).await??;
            ctx.trace("stage:identity", async { Ok::<_, LoanError>(()) }).await?
        })
        .await?
}

/// The price of the risk. Of all applications one has a score that the table was not made for.
fn price(application: &Application, score: u32) -> f64 {
    const TABLE: [f64; 7] = [9.9, 8.4, 7.2, 6.1, 5.3, 4.6, 4.1];
    let class = (score.saturating_sub(300) / 100) as usize;
    assert!(class < TABLE.len(), "no price for risk class {class} ({} of income)", application.income);
    TABLE[class]
}
