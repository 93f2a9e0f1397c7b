//! Tokens of ours.

use proptest::prelude::*;

use super::*;

fn two() -> (Authenticator, Token, Token) {
    let (a, b) = (Token::generate().unwrap(), Token::generate().unwrap());
    let principals = vec![
        principal("contoso", &["contoso"], &[Role::Consumer], vec![Proof::Token(a.hash())]),
        principal("fabrikam", &["fabrikam"], &[Role::Provider], vec![Proof::Token(b.hash())]),
    ];
    (Authenticator::new(principals, vec![]).unwrap(), a, b)
}

#[test]
fn a_token_is_its_owners() {
    let (door, a, b) = two();
    let caller = door.authenticate(Credentials::Bearer(a.reveal()), now()).unwrap();
    assert_eq!(caller.principal(), &name("contoso"));
    assert!(caller.may(Action::Consume, &name("contoso")) && !caller.may(Action::Read, &name("fabrikam")));
    let caller = door.authenticate(Credentials::Bearer(b.reveal()), now()).unwrap();
    assert_eq!(caller.principal(), &name("fabrikam"));
}

#[test]
fn an_unknown_token_is_nobodys_not_even_the_firsts() {
    let (door, ..) = two();
    let other = Token::generate().unwrap();
    let refused = door.authenticate(Credentials::Bearer(other.reveal()), now());
    assert_eq!(refused, Err(Refusal::UnknownToken));
    let empty = Authenticator::new(vec![], vec![]).unwrap();
    assert_eq!(empty.authenticate(Credentials::Bearer(other.reveal()), now()), Err(Refusal::UnknownToken));
}

#[test]
fn the_hash_reads_back_and_the_secret_is_not_shown() {
    let token = Token::generate().unwrap();
    let text = token.hash().to_string();
    assert_eq!(text.len(), 71);
    assert_eq!(text.parse::<TokenHash>(), Ok(token.hash()));
    assert_eq!(text.to_uppercase().replace("SHA", "sha").parse::<TokenHash>(), Ok(token.hash()));
    assert_eq!(token.reveal().parse::<TokenHash>(), Err(BadTokenHash::Token));
    assert!(!format!("{token:?}").contains(&token.reveal()[6..]));
    for text in
        ["", "sha256:", &text[1..], &text[..70], &format!("{text}0"), &text.replace("sha256", "sha512")]
    {
        assert_eq!(text.parse::<TokenHash>(), Err(BadTokenHash::Form), "{text}");
    }
}

/// A password of somebody's own, hashed by hand into the configuration, lets nobody in: it could be guessed.
#[test]
fn a_hashed_password_is_no_token() {
    for password in ["hunter2", "plnat_hunter2", "plnat_AAAA"] {
        let proofs = vec![Proof::Token(TokenHash::of(password))];
        let door =
            Authenticator::new(vec![principal("a", &["*"], &[Role::Operator], proofs)], vec![]).unwrap();
        let refused = door.authenticate(Credentials::Bearer(password), now());
        assert_eq!(refused, Err(Refusal::Malformed), "{password}");
    }
}

#[test]
fn two_tokens_are_never_the_same() {
    let all: BTreeSet<String> = (0..100).map(|_| Token::generate().unwrap().reveal().to_owned()).collect();
    assert_eq!(all.len(), 100);
}

proptest! {
    #[test]
    fn a_token_with_any_character_changed_is_refused(at in 0usize..49, put in "[ -~]") {
        let (door, a, _) = two();
        let mut text = a.reveal().to_owned();
        text.replace_range(at..=at, &put);
        prop_assume!(text != a.reveal());
        prop_assert!(door.authenticate(Credentials::Bearer(&text), now()).is_err());
    }

    #[test]
    fn whatever_is_shown_nobody_panics_and_nobody_is_let_in(text in "\\PC{0,80}|plnat_[A-Za-z0-9_-]{0,60}") {
        let (door, ..) = two();
        prop_assert!(door.authenticate(Credentials::Bearer(&text), now()).is_err());
        prop_assert!(text.parse::<TokenHash>().is_err());
    }
}
