//! Probes and what their verdicts make of backends.

use super::*;
use crate::intent::MemberState::{self, Down, Draining, Up};

fn states(model: &Model) -> Vec<MemberState> {
    model.intent().services[0].rules[0].members.iter().map(|member| member.state).collect()
}

fn observe(world: &mut World, at: &str, healthy: bool) -> Vec<Event> {
    let target = world.model.probes().into_iter().find(|target| target.address == address(at)).unwrap();
    world.model.observe_health(&target, healthy, world.now())
}

#[test]
fn a_backend_is_down_until_its_first_success() {
    let mut world = World::new();
    assert_eq!(states(&world.model), [Down, Down]);
    assert_eq!(kinds(&observe(&mut world, "10.2.0.11", true)), ["health"]);
    assert_eq!(states(&world.model), [Up, Down]);
    assert_eq!(kinds(&observe(&mut world, "10.2.0.11", true)), [""; 0]);
    assert_eq!(kinds(&observe(&mut world, "10.2.0.11", false)), ["health"]);
    assert_eq!(states(&world.model), [Down, Down]);
}

#[test]
fn the_administrator_overrules_the_probe() {
    let mut world = World::new();
    world
        .change(|wanted| {
            let backends = &mut wanted.load_balancers[0].backend_pool[0].backend;
            backends[0].admin_state = AdminState::Up;
            backends[1].admin_state = AdminState::Down;
        })
        .unwrap();
    assert_eq!(states(&world.model), [Up, Draining]);
    assert_eq!(world.model.probes(), []);
}

#[test]
fn all_probed_up_opens_every_probed_backend_while_none_is_up() {
    let mut world = World::new();
    world
        .change(|wanted| {
            let load_balancer = &mut wanted.load_balancers[0];
            load_balancer.probe[0].no_healthy_backends_behavior = NoHealthyBackends::AllProbedUp;
            let mut draining = backend("10.2.0.13");
            draining.admin_state = AdminState::Down;
            load_balancer.backend_pool[0].backend.push(draining);
        })
        .unwrap();
    assert_eq!(states(&world.model), [Up, Up, Draining]);
    observe(&mut world, "10.2.0.12", true);
    assert_eq!(states(&world.model), [Down, Up, Draining]);
    observe(&mut world, "10.2.0.12", false);
    assert_eq!(states(&world.model), [Up, Up, Draining]);
}

#[test]
fn without_a_probe_every_backend_is_up() {
    let mut world = World::new();
    world.change(|wanted| wanted.load_balancers[0].rule[0].probe = None).unwrap();
    assert_eq!(states(&world.model), [Up, Up]);
}

#[test]
fn equal_probes_of_several_rules_are_one() {
    let world = World::new();
    let targets = world.model.probes();
    assert_eq!(targets.len(), 2);
    assert_eq!(targets[0].describe(), "http://10.2.0.11:80/");
    assert_eq!((targets[0].interval_seconds, targets[0].threshold), (5, 1));
}

#[test]
fn verdicts_on_what_is_not_probed_are_ignored_and_forgotten() {
    let mut world = World::new();
    let target = world.model.probes().remove(0);
    observe(&mut world, "10.2.0.11", true);
    world.change(|wanted| _ = wanted.load_balancers[0].backend_pool[0].backend.remove(0)).unwrap();
    assert_eq!(world.model.observe_health(&target, false, world.now()), []);
    world
        .change(|wanted| wanted.load_balancers[0].backend_pool[0].backend.push(backend("10.2.0.11")))
        .unwrap();
    assert_eq!(states(&world.model), [Down, Down]);
}

#[test]
fn verdicts_outlive_a_reload_and_a_restart() {
    let mut world = World::new();
    observe(&mut world, "10.2.0.11", true);
    world.change(|wanted| wanted.services[0].fqdns.clear()).unwrap();
    assert_eq!(states(&world.model), [Up, Down]);
    assert_eq!(states(&Model::restore(&world.model.durable_rows()).model), [Up, Down]);
}
