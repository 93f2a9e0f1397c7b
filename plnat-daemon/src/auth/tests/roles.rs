//! What a role allows, and where.

use super::*;

fn caller(subscriptions: &[&str], roles: &[Role]) -> Caller {
    Caller::new(&principal("somebody", subscriptions, roles, vec![]), Shown::Token)
}

#[test]
fn each_role_may_exactly_what_the_table_says() {
    use Action::{Consume, Operate, Provide, Read};
    let all = [Read, Provide, Consume, Operate];
    let table = [
        (Role::Reader, vec![Read]),
        (Role::Provider, vec![Read, Provide]),
        (Role::Consumer, vec![Read, Consume]),
        (Role::Operator, vec![Read, Provide, Consume, Operate]),
    ];
    for (role, allowed) in table {
        let caller = caller(&["contoso"], &[role]);
        for action in all {
            assert_eq!(caller.may(action, &name("contoso")), allowed.contains(&action), "{role} {action:?}");
            assert!(!caller.may(action, &name("fabrikam")), "{role} {action:?}");
            assert!(!caller.may_everywhere(action), "{role} {action:?}");
        }
    }
}

#[test]
fn subscriptions_compare_without_case() {
    let caller = caller(&["Contoso", "11111111-AAAA-1111-1111-111111111111"], &[Role::Consumer]);
    assert!(caller.may(Action::Consume, &name("cOnToSo")));
    assert!(caller.may(Action::Read, &name("11111111-aaaa-1111-1111-111111111111")));
    assert!(!caller.may(Action::Read, &name("contoso-2")));
}

#[test]
fn a_principal_without_roles_or_subscriptions_may_nothing() {
    let (no_role, nowhere) = (caller(&["*"], &[]), caller(&[], &[Role::Operator]));
    for action in [Action::Read, Action::Provide, Action::Consume, Action::Operate] {
        assert!(!no_role.may(action, &name("contoso")) && !no_role.may_everywhere(action));
        assert!(!nowhere.may(action, &name("contoso")) && !nowhere.may_everywhere(action));
    }
}

#[test]
fn an_operator_everywhere_runs_the_gateway_and_an_operator_of_some_does_not() {
    assert!(caller(&["*"], &[Role::Operator]).may_everywhere(Action::Operate));
    assert!(!caller(&["*"], &[Role::Provider, Role::Consumer]).may_everywhere(Action::Operate));
    assert!(!caller(&["a", "b"], &[Role::Operator]).may_everywhere(Action::Operate));
    let socket = Caller::at_socket(name("socket"), Some(0));
    assert!(socket.may_everywhere(Action::Operate));
    assert_eq!(socket.shown().to_string(), "socket uid 0");
}

#[test]
fn proofs_that_lead_to_two_principals_are_refused_when_the_gateway_starts() {
    let hash = Token::generate().unwrap().hash();
    let with = |proofs: Vec<Vec<Proof>>| {
        let principals =
            proofs.into_iter().zip(["a", "b"]).map(|(it, called)| principal(called, &["*"], &[], it));
        Authenticator::new(principals.collect(), vec![issuer()]).err()
    };
    let both = Some(Conflict::Proof(name("a"), name("b")));
    assert_eq!(with(vec![vec![Proof::Token(hash)], vec![Proof::Token(hash)]]), both);
    assert_eq!(with(vec![vec![claim("sub", "x")], vec![claim("sub", "x")]]), both);
    assert_eq!(with(vec![vec![claim("sub", "x")], vec![claim("sub", "y")]]), None);
    let dns = || Proof::Certificate("DNS:a.example.com".parse().unwrap());
    assert_eq!(with(vec![vec![dns()], vec![dns()]]), both);
    let twice = vec![principal("a", &["*"], &[], vec![]), principal("A", &["*"], &[], vec![])];
    assert_eq!(Authenticator::new(twice, vec![]).err(), Some(Conflict::Name(name("A"))));
    let lost = vec![principal("a", &["*"], &[], vec![claim("sub", "x")])];
    let expected = Conflict::NoIssuer { principal: name("a"), issuer: name("entra") };
    assert_eq!(Authenticator::new(lost, vec![]).err(), Some(expected));
    let expected = Conflict::Issuer(name("entra"), name("entra"));
    assert_eq!(Authenticator::new(vec![], vec![issuer(), issuer()]).err(), Some(expected));
    assert_eq!(BTreeSet::from(Role::WORDS.map(|(word, role)| (word.to_owned(), role))).len(), 4);
}
