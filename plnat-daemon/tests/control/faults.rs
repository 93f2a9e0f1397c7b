//! A kernel that refuses calls: nothing is half done for long, and what is revoked is revoked first.

use plnat_common::record::endpoint_state;
use plnat_daemon::control::Code;
use plnat_daemon::control::types::Decision::{Approve, Reject};
use plnat_daemon::run::Message;
use proptest::prelude::*;

use crate::rig::{DEMO, INTERFACES, Rig, network};

#[test]
fn a_decision_that_the_kernel_does_not_take_is_said_and_made_up_for() {
    let mut rig = Rig::new();
    rig.faults.nth(1);
    let answer = rig.decide("web-for-adatum", Approve);
    assert_eq!(answer.unwrap_err().code, Code::Unavailable);
    assert!(rig.status().problems.iter().any(|it| it.contains("data plane")));
    rig.settle();
    assert_eq!(rig.status().problems, Vec::<String>::new());
    assert_eq!(rig.endpoint_record(4).unwrap().state, endpoint_state::APPROVED);
}

#[test]
fn a_revocation_acts_although_the_sweep_behind_it_fails() {
    let mut rig = Rig::new();
    rig.open(2, 1000);
    // The first call is the endpoint's record, the second the sweep.
    rig.faults.nth(2);
    let _ = rig.decide("web-for-contoso", Reject);
    assert_eq!(rig.endpoint_record(2).unwrap().state, endpoint_state::REJECTED);
    rig.settle();
    assert_eq!(rig.sessions().len(), 0);
    rig.shape();
}

#[derive(Clone, Debug)]
enum Step {
    Approve(usize),
    Reject(usize),
    Health(u8, bool),
    File(usize),
    Network(usize),
    Session(u32, u16),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4usize).prop_map(Step::Approve),
        (0..4usize).prop_map(Step::Reject),
        (11..=13u8, any::<bool>()).prop_map(|(host, up)| Step::Health(host, up)),
        (0..4usize).prop_map(Step::File),
        (1..=INTERFACES.len()).prop_map(Step::Network),
        (2..=5u32, 1000..20_000u16).prop_map(|(link, port)| Step::Session(link, port)),
        Just(Step::Restart),
    ]
}

fn file(number: usize) -> String {
    match number {
        0 => DEMO.to_owned(),
        1 => DEMO.replace("10.2.1.5", "10.2.1.9"),
        2 => DEMO.replace("    { ip_address = \"10.2.0.12\" },\n", ""),
        _ => DEMO.replace("frontend_port = 80", "frontend_port = 8080"),
    }
}

/// Makes the steps with `per_mille` of all calls failing, then lets the gateway settle with none failing.
fn play(steps: &[Step], per_mille: u32) -> Rig {
    const ENDPOINTS: [&str; 4] =
        ["web-for-contoso", "web-for-fabrikam", "web-for-adatum", "web-for-northwind"];
    let mut rig = Rig::new();
    for step in steps {
        rig.faults.fraction(per_mille);
        match step {
            Step::Approve(who) => _ = rig.decide(ENDPOINTS[*who], Approve),
            Step::Reject(who) => _ = rig.decide(ENDPOINTS[*who], Reject),
            Step::Health(host, up) => rig.probe(*host, *up),
            Step::File(number) => {
                rig.write(&file(*number));
                let _ = rig.gateway.reload();
            }
            Step::Network(count) => rig.gateway.take(network(&INTERFACES[..*count])),
            Step::Session(link, port) => {
                let records = rig.plane.records();
                let open = rig.endpoint_record(*link).is_some_and(|it| it.state == endpoint_state::APPROVED);
                if open && records.backends.values().any(|it| it.state == 1) {
                    rig.open(*link, *port);
                }
            }
            Step::Restart => {
                rig.faults.fraction(0);
                rig = rig.restart();
            }
        }
        assert_eq!(rig.plane.violations(), Vec::<String>::new(), "after {step:?}");
    }
    rig.faults.fraction(0);
    rig.gateway.take(network(INTERFACES));
    rig.settle();
    rig
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_the_end_is_what_it_would_have_been(
        steps in proptest::collection::vec(step(), 1..20),
        per_mille in 50..500u32,
    ) {
        let mut smooth = play(&steps, 0);
        let mut rough = play(&steps, per_mille);
        let states = |rig: &mut Rig| -> Vec<_> {
            rig.connections().into_iter().map(|it| (it.endpoint, it.state)).collect()
        };
        prop_assert_eq!(states(&mut rough), states(&mut smooth));
        let problems = rough.status().problems;
        prop_assert!(!problems.iter().any(|it| it.contains("data plane")), "{:?}", problems);
        let (a, b) = (rough.shape(), smooth.shape());
        prop_assert_eq!(a.addresses.keys().collect::<Vec<_>>(), b.addresses.keys().collect::<Vec<_>>());
        prop_assert_eq!(a.rule_index.len(), b.rule_index.len());
        let backends = |records: &plnat_daemon::plan::Records| {
            let mut all: Vec<_> = records.backends.values().map(|it| (it.address, it.state, it.egress)).collect();
            all.sort_unstable();
            all
        };
        prop_assert_eq!(backends(&a), backends(&b));
        // Every session that is left stands on what allows it.
        for session in rough.sessions() {
            prop_assert!(rough.connections().iter().any(|it| {
                it.endpoint == session.endpoint && format!("{:?}", it.state) == "Approved"
            }), "{session:?}");
        }
    }
}

#[test]
fn a_message_that_nobody_waits_for_is_no_fault() {
    let mut rig = Rig::new();
    let (reply, answer) = tokio::sync::oneshot::channel();
    drop(answer);
    rig.gateway.take(Message::Call(plnat_daemon::control::Call::Status(reply)));
    assert_eq!(rig.status().problems, Vec::<String>::new());
}
