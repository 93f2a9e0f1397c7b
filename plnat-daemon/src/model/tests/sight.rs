//! Services that somebody does not see.

use std::collections::BTreeSet;

use super::*;

/// What is done to find a service, and whether it is found.
fn steps(world: &World, reference: &ServiceRef, subscription: &str) -> (Vec<&'static str>, bool) {
    let mut steps = vec![];
    let subscription: Name = subscription.parse().unwrap();
    let found = world.model.sight().of(reference, &subscription, &mut |step| steps.push(step)).is_some();
    (steps, found)
}

#[test]
fn what_is_not_there_and_what_is_not_visible_are_found_out_in_the_same_steps() {
    let mut wanted = declaration();
    wanted.services[0].visibility = Audience::Only(BTreeSet::from([name("contoso"), name("adatum")]));
    wanted.services[0].auto_approval = Audience::Nobody;
    wanted.services[0].consumers.reject = BTreeSet::from([name("adatum")]);
    wanted.endpoints.retain(|it| it.id.subscription == name("contoso"));
    let mut world = World::default();
    world.declare(&wanted).unwrap();
    let web = wanted.services[0].id.clone();
    let alias = world.model.service(&web).unwrap().alias;
    let absent = ResourceId { name: name("absent"), ..web.clone() };
    for (there, absent) in [
        (ServiceRef::Id(web), ServiceRef::Id(absent)),
        (ServiceRef::Alias(alias.clone()), ServiceRef::Alias(alias.replace("web.", "wab."))),
    ] {
        let (seen, found) = steps(&world, &there, "contoso");
        assert!(found && seen.len() >= 4);
        let all = [(&there, "fabrikam"), (&there, "adatum"), (&absent, "fabrikam"), (&absent, "provider")];
        for (reference, subscription) in all {
            let not_seen = steps(&world, reference, subscription);
            assert_eq!(not_seen, (seen.clone(), false), "{reference} {subscription}");
        }
        assert!(steps(&world, &there, "provider").1, "its own is always seen");
    }
}
