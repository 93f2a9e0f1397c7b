//! From intent to records: slots, look-up tables and port blocks, and the difference to what is installed. No I/O.
//!
//! The run of one change, which the control loop repeats until nothing is left to do:
//! 1. [`Planner::draft`] takes what changed and makes the records of that alone; its rows ([`Planner::changes`]) go into
//!    the store, and [`Planner::keep`] makes it the plan, or [`Planner::give_up`] forgets it;
//! 2. [`Planner::writes`] makes the writes; each one that the data plane took is noted by [`apply`];
//! 3. when all were taken, [`Planner::installed`] gives a mark;
//! 4. if [`needs_sweep`] said so, or [`Planner::rests`], one full pass of the sweep follows, then
//!    [`Planner::swept`] with the mark, and, where it says so, the next plan.

mod arena;
mod assigned;
mod check;
mod difference;
mod draft;
mod error;
mod ground;
mod keys;
mod planner;
mod records;
mod shares;
mod slots;
mod state;
mod summary;
mod tables;
#[cfg(test)]
mod tests;
mod touched;

pub(crate) use difference::region;
pub use difference::{apply, difference, needs_sweep};
pub use draft::Draft;
pub use error::{PlanError, RowError};
pub use ground::{Ground, GroundInterface, NextHop, above, of_host};
pub use keys::{BackendKey, BlockKey, EndpointKey, RuleName, ServiceKey};
pub use planner::{NatBlock, Planner};
pub use records::{Records, Table, Write};
pub use summary::{Summary, summary};
