//! The control ring: the real gateway (model, planner, store, run loop's decisions) on a data plane in memory that checks
//! every write, and on one that fails. It misses the kernel and the tasks around the gateway.

#[path = "control/adopt.rs"]
mod adopt;
#[path = "control/api.rs"]
mod api;
#[path = "control/decide.rs"]
mod decide;
#[path = "control/faults.rs"]
mod faults;
#[path = "control/names.rs"]
mod names;
#[path = "control/reload.rs"]
mod reload;
#[path = "control/rig.rs"]
mod rig;
#[path = "control/silence.rs"]
mod silence;
