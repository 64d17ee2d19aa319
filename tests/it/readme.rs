//! The quick start of the README compiles.

use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Loan {
    amount: u32,
}

#[derive(Serialize)]
struct Offer {
    score: u32,
}

struct ApiError(Box<dyn std::error::Error>);

impl<E: std::error::Error + 'static> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.0.to_string().into_response()
    }
}

mod bureau {
    pub(super) async fn score(loan: &super::Loan) -> Result<u32, std::io::Error> {
        Ok(800 - loan.amount / 100)
    }
}

async fn quick_start() -> Result<(), Box<dyn std::error::Error>> {
    // quick start: begin
    use axum::{Json, Router, routing::post};
    use throughline::{LayerExt as _, SqliteStore, Throughline, Traced};

    let throughline = Throughline::builder("loan-service").store(SqliteStore::new("traces.db")).build()?;
    let app: Router = Router::new().route("/loans", post(apply)).layer(throughline.layer());

    async fn apply(Traced(ctx): Traced, Json(loan): Json<Loan>) -> Result<Json<Offer>, ApiError> {
        let score = ctx.trace("stage:credit-check", bureau::score(&loan)).await??;
        Ok(Json(Offer { score }))
    }
    // quick start: end
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    Ok(axum::serve(listener, app).await?)
}

#[test]
fn the_quick_start_of_the_readme_is_the_one_that_compiles() {
    // It would write into the current folder and serve for ever, so it is compiled and not run.
    let _compiled = quick_start;
    let own = include_str!("readme.rs");
    let (_, rest) = own.split_once("// quick start: begin\n").unwrap();
    let (code, _) = rest.split_once("    // quick start: end").unwrap();
    let code: String =
        code.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&code), "README.md should have this quick start:\n\n{code}");
}
