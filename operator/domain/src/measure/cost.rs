//! What patch management costs a year (PROCESS 5.3).
//!
//! Money is in hundredths of whatever currency the figures are given in: pence, cents.

/// What was spent on patch management, for one year.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expenses {
    /// Minutes that administrators worked on it.
    pub administrator_minutes: u64,
    /// What an administrator's hour costs.
    pub hourly_rate: u64,
    /// Tools.
    pub tools: Vec<Tool>,
    /// What went wrong all the same.
    pub failures: Failures,
}

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Maintenance a year.
    pub maintenance: u64,
    /// Price of its purchase or last upgrade.
    pub price: u64,
    /// Years that it lasts, at least 1; the price is spread over them.
    pub years_of_life: u32,
}

/// Failures of the programme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// What incidents cost that patching in time would have prevented.
    pub incidents: u64,
    /// What breakage cost that patching caused.
    pub breakage: u64,
}

/// What it costs a year.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Administrators' time.
    pub administration: u64,
    /// Tools: maintenance, and prices spread over their years.
    pub tools: u64,
    /// Failures of the programme.
    pub failures: u64,
    /// All together.
    pub total: u64,
}

/// Why figures give no cost.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CostError {
    /// A tool that lasts no year.
    #[error("tool {0} lasts 0 years; write at least 1 in yearsOfLife")]
    NoLife(usize),
    /// Beyond what can be counted.
    #[error(
        "the figures add up to more than can be counted; write smaller ones, in one currency's hundredths"
    )]
    TooMuch,
}

/// What it costs a year: time, Σ maintenance + Σ (price ÷ years of life), failures. Fractions of the smallest coin are rounded
/// once, in the sum of the tools.
pub fn cost(expenses: &Expenses) -> Result<Cost, CostError> {
    let administration = u128::from(expenses.administrator_minutes)
        .checked_mul(u128::from(expenses.hourly_rate))
        .map(|product| (product + 30) / 60)
        .ok_or(CostError::TooMuch)?;
    let tools = tools(&expenses.tools)?;
    let failures = u128::from(expenses.failures.incidents) + u128::from(expenses.failures.breakage);
    let small = |number: u128| u64::try_from(number).map_err(|_| CostError::TooMuch);
    Ok(Cost {
        administration: small(administration)?,
        tools: small(tools)?,
        failures: small(failures)?,
        total: small(administration + tools + failures)?,
    })
}

/// Kept in millionths until the end: a third of a coin here and there adds up.
fn tools(tools: &[Tool]) -> Result<u128, CostError> {
    const MILLION: u128 = 1_000_000;
    let mut millionths: u128 = 0;
    for (index, tool) in tools.iter().enumerate() {
        let years = u128::from(tool.years_of_life);
        if years == 0 {
            return Err(CostError::NoLife(index + 1));
        }
        let a_year =
            u128::from(tool.maintenance) * MILLION + u128::from(tool.price) * MILLION / years;
        millionths = millionths.checked_add(a_year).ok_or(CostError::TooMuch)?;
    }
    Ok((millionths + MILLION / 2) / MILLION)
}
