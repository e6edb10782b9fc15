//! How well the programme does: exposure, response time, cost, coverage (PROCESS 5).

mod cost;
mod coverage;
mod exposure;
mod response;

pub use cost::{Cost, CostError, Expenses, Failures, Tool, cost};
pub use coverage::{Coverage, Standing, coverage, deadlines};
pub use exposure::{Exposure, Sums, exposure};
pub use response::{Response, Responses, Spread, Times, responses};
