//! The agent that chooses how a loan is secured. A rule-based scorer stands behind the trait; a language model could.

use crate::application::Application;

/// Chooses between alternatives.
pub(crate) trait Agent: Send + Sync {
    /// The agent's name, as decisions record it.
    fn name(&self) -> &'static str;

    /// Weighs the ways to secure a loan.
    fn choose(&self, application: &Application, score: u32) -> Choice;
}

/// What an agent chose, and why.
pub(crate) struct Choice {
    pub(crate) alternatives: [(&'static str, f64); 3],
    pub(crate) chosen: &'static str,
    pub(crate) reasoning: String,
}

impl Choice {
    /// How sure the agent is: the score of what it chose.
    pub(crate) fn confidence(&self) -> f64 {
        self.alternatives.iter().find(|(name, _)| *name == self.chosen).map_or(0.0, |(_, score)| *score)
    }
}

/// Scores by income and collateral.
pub(crate) struct RuleBased;

impl Agent for RuleBased {
    fn name(&self) -> &'static str {
        "rules-7"
    }

    fn choose(&self, application: &Application, score: u32) -> Choice {
        let burden = f64::from(application.amount) / f64::from(application.income.max(1));
        let unsecured = (f64::from(score) / 1000.0 - burden / 4.0).clamp(0.05, 0.9);
        let secured = if application.collateral == "none" { 0.1 } else { 0.95 - unsecured };
        let review = (1.0 - unsecured - secured).clamp(0.05, 0.9);
        let alternatives = [("unsecured", unsecured), ("secured", secured), ("manual-review", review)];
        let chosen =
            alternatives.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or("manual-review", |best| best.0);
        let reasoning =
            format!("a loan of {burden:.1} incomes, bureau score {score}, {}", application.collateral);
        Choice { alternatives, chosen, reasoning }
    }
}
