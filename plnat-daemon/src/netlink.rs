//! x
pub mod facts;
