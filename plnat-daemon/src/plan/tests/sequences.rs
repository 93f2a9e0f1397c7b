//! Random changes in sequence, with sessions, failures, restarts and sweeps in between.

use proptest::prelude::*;

use crate::dataplane::Capacity;
use crate::plan::PlanError;

use super::rig::Rig;
use super::world::{GENES, decode};

/// What happens next.
#[derive(Clone, Debug)]
enum Action {
    /// These genes become others.
    Mutate(Vec<(usize, u8)>),
    /// The control loop runs once.
    Install,
    /// The control loop runs once, and its nth call fails.
    Fail(u64),
    /// Clients come.
    Open,
    /// The sweep does half of its pass.
    Sweep,
    /// The daemon is killed and starts again.
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    let mutation = proptest::collection::vec((0..GENES, any::<u8>()), 1..5);
    prop_oneof![
        4 => mutation.prop_map(Action::Mutate),
        4 => Just(Action::Install),
        1 => (1..20u64).prop_map(Action::Fail),
        2 => Just(Action::Open),
        3 => Just(Action::Sweep),
        1 => Just(Action::Restart),
    ]
}

fn run(capacity: Capacity, mut genes: Vec<u8>, actions: Vec<Action>) {
    let mut rig = Rig::new(capacity);
    for action in actions {
        match action {
            Action::Mutate(mutations) => mutations.into_iter().for_each(|(at, gene)| genes[at] = gene),
            Action::Install => install(&mut rig, &genes),
            Action::Fail(nth) => {
                rig.faults.nth(nth);
                install(&mut rig, &genes);
            }
            Action::Open => rig.open_sessions(),
            Action::Sweep => _ = rig.half_a_sweep(),
            Action::Restart => rig.restart(),
        }
        rig.sessions_stand_on_what_they_stood_on();
    }
    rig.faults.nth(u64::MAX);
    let (intent, ground) = decode(&genes);
    if rig.install(&intent, &ground).is_ok() {
        rig.settle(&intent, &ground);
    }
}

fn install(rig: &mut Rig, genes: &[u8]) {
    let (intent, ground) = decode(genes);
    match rig.install(&intent, &ground) {
        Ok(_) | Err(PlanError::Full { .. }) => {}
        // A network's endpoint and NAT addresses come from different ranges, so nothing else is left.
        Err(error) => panic!("{error}"),
    }
}

fn ample() -> Capacity {
    Capacity { sessions: 256, maglev_entries: 60_000, ..Capacity::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_running_is_misled_whatever_happens(
        genes in proptest::collection::vec(any::<u8>(), GENES),
        actions in proptest::collection::vec(action(), 1..60),
    ) {
        run(ample(), genes, actions);
    }

    #[test]
    fn tight_maps_refuse_whole_plans_and_nothing_else(
        genes in proptest::collection::vec(any::<u8>(), GENES),
        actions in proptest::collection::vec(action(), 1..60),
        room in 4u32..40,
    ) {
        let capacity = Capacity {
            endpoints: room, services: 1 + room / 8, rules: 1 + room / 4, backends: room,
            port_blocks: room * 2, maglev_entries: room * 100, ..ample()
        };
        run(capacity, genes, actions);
    }

    #[test]
    fn a_plane_that_fails_now_and_then_is_right_in_the_end(
        genes in proptest::collection::vec(any::<u8>(), GENES),
        changes in proptest::collection::vec(
            proptest::collection::vec((0..GENES, any::<u8>()), 1..20), 1..6),
        per_mille in 10u32..300,
    ) {
        let mut genes = genes;
        let mut rig = Rig::new(ample());
        for change in changes {
            change.into_iter().for_each(|(at, gene)| genes[at] = gene);
            let (intent, ground) = decode(&genes);
            rig.faults.fraction(per_mille);
            for _ in 0..3 {
                if rig.install(&intent, &ground).unwrap() {
                    rig.open_sessions();
                    rig.half_a_sweep();
                }
            }
            rig.faults.fraction(0);
            rig.settle(&intent, &ground);
            prop_assert!(!rig.planner.rests());
        }
    }
}
