//! Tests of the whole planner against the plane in memory.

mod rig;
mod rows;
mod sequences;
mod size;
mod world;
