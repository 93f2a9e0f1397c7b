//! JSON Web Tokens.

use proptest::prelude::*;

use super::*;

/// RSA and EC signers, and a door that knows both and binds their tokens by `sub` and `groups`.
fn world() -> (Authenticator, Signer, Signer) {
    let (rsa, ec) = (Signer::rsa(), Signer::ec());
    let issuer = issuer();
    issuer.replace_keys(keys_of(&[rsa.jwk("r1"), ec.jwk("e1")]), now());
    let principals = vec![
        principal("contoso", &["contoso"], &[Role::Consumer], vec![claim("sub", "contoso-ci")]),
        principal("admins", &["*"], &[Role::Operator], vec![claim("groups", "gateway-admins")]),
    ];
    (Authenticator::new(principals, vec![issuer]).unwrap(), rsa, ec)
}

fn show(door: &Authenticator, token: &str) -> Result<Caller, Refusal> {
    door.authenticate(Credentials::Bearer(token), now())
}

#[test]
fn a_good_token_of_either_algorithm_is_its_principals() {
    let (door, rsa, ec) = world();
    for token in [rsa.token("r1", &claims()), ec.token("e1", &claims())] {
        let caller = show(&door, &token).unwrap();
        assert_eq!(caller.principal(), &name("contoso"));
        assert_eq!(caller.shown().to_string(), "jwt entra contoso-ci");
    }
    let admin = with(json!({ "sub": "someone", "groups": ["others", "gateway-admins"] }));
    assert_eq!(show(&door, &ec.token("e1", &admin)).unwrap().principal(), &name("admins"));
    assert!(show(&door, &ec.sign(&json!({ "alg": "ES256" }), &claims())).is_ok(), "without key id and type");
    assert!(show(&door, &ec.sign(&json!({ "alg": "ES256", "typ": "at+JWT" }), &claims())).is_ok());
}

#[test]
fn each_claim_is_looked_at() {
    let (door, _, ec) = world();
    let now = now().as_second();
    let unknown = |subject: &str| Refusal::Nobody { shown: format!("jwt entra {subject}") };
    let cases = [
        (json!({ "exp": now + 1 }), None),
        (json!({ "exp": now - 59 }), None),
        (json!({ "exp": now - 60 }), Some(Refusal::Expired)),
        (json!({ "exp": 0 }), Some(Refusal::Expired)),
        (json!({ "exp": -1e300 }), Some(Refusal::Expired)),
        (json!({ "exp": null }), Some(Refusal::Malformed)),
        (json!({ "exp": (now + 600).to_string() }), Some(Refusal::Malformed)),
        (json!({ "exp": [now + 600] }), Some(Refusal::Malformed)),
        (json!({ "exp": true }), Some(Refusal::Malformed)),
        (json!({ "nbf": now + 60 }), None),
        (json!({ "nbf": now + 61 }), Some(Refusal::NotYet)),
        (json!({ "nbf": (now + 900).to_string() }), Some(Refusal::Malformed)),
        (json!({ "iat": now + 61 }), Some(Refusal::NotYet)),
        (json!({ "nbf": null, "iat": null }), None),
        (json!({ "aud": null }), Some(Refusal::Audience)),
        (json!({ "aud": "api://plnat" }), None),
        (json!({ "aud": ["x", "api://plnat"] }), None),
        (json!({ "aud": [] }), Some(Refusal::Audience)),
        (json!({ "aud": ["x", 1, "api://plnat"] }), Some(Refusal::Audience)),
        (json!({ "aud": "API://plnat" }), Some(Refusal::Audience)),
        (json!({ "aud": { "api://plnat": 1 } }), Some(Refusal::Audience)),
        (json!({ "iss": null }), Some(Refusal::Malformed)),
        (json!({ "iss": [ISSUER] }), Some(Refusal::Malformed)),
        (json!({ "iss": format!("{ISSUER}/") }), Some(Refusal::UnknownIssuer)),
        (json!({ "sub": "other" }), Some(unknown("other"))),
        (json!({ "sub": "Contoso-ci" }), Some(unknown("Contoso-ci"))),
        (json!({ "sub": { "contoso-ci": 1 } }), Some(Refusal::Nobody { shown: "jwt entra".into() })),
        (
            json!({ "groups": ["gateway-admins"] }),
            Some(Refusal::Ambiguous { shown: "jwt entra contoso-ci".into() }),
        ),
    ];
    for (change, refusal) in cases {
        let result = show(&door, &ec.token("e1", &with(change.clone())));
        assert_eq!(result.err(), refusal, "{change}");
    }
}

#[test]
fn each_part_of_the_header_is_looked_at() {
    let (door, _, ec) = world();
    let cases = [
        (json!({ "alg": "none" }), Refusal::Algorithm),
        (json!({ "alg": "None" }), Refusal::Algorithm),
        (json!({ "alg": "HS256" }), Refusal::Algorithm),
        (json!({ "alg": "es256" }), Refusal::Algorithm),
        (json!({ "alg": "ES384" }), Refusal::Algorithm),
        (json!({ "alg": "PS256" }), Refusal::Algorithm),
        (json!({ "alg": ["ES256"] }), Refusal::Malformed),
        (json!({}), Refusal::Malformed),
        (json!([]), Refusal::Malformed),
        (json!({ "alg": "ES256", "kid": 1 }), Refusal::Malformed),
        (json!({ "alg": "ES256", "typ": "JWE" }), Refusal::Malformed),
        (json!({ "alg": "ES256", "typ": 1 }), Refusal::Malformed),
        (json!({ "alg": "ES256", "crit": ["exp"] }), Refusal::Malformed),
        (json!({ "alg": "ES256", "b64": false, "crit": ["b64"] }), Refusal::Malformed),
        (json!({ "alg": "ES256", "kid": "e2" }), Refusal::UnknownKey { issuer: name("entra") }),
        (json!({ "alg": "ES256", "kid": "r1" }), Refusal::UnknownKey { issuer: name("entra") }),
        (json!({ "alg": "RS256", "kid": "e1" }), Refusal::UnknownKey { issuer: name("entra") }),
        (json!({ "alg": "RS256", "kid": "r1" }), Refusal::Signature),
    ];
    for (header, refusal) in cases {
        assert_eq!(show(&door, &ec.sign(&header, &claims())).err(), Some(refusal), "{header}");
    }
}

/// The classic: the public RSA key as an HMAC secret.
#[test]
fn a_public_key_is_no_shared_secret() {
    let (door, rsa, _) = world();
    let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": "r1" });
    let signed = format!("{}.{}", part(&header), part(&claims()));
    for secret in [RSA_PUBLIC.to_owned(), rsa.jwk("r1").to_string(), rsa.jwk("r1")["n"].to_string()] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        let tag = ring::hmac::sign(&key, signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(show(&door, &token).err(), Some(Refusal::Algorithm));
    }
}

#[test]
fn a_key_that_the_header_brings_along_is_not_used() {
    let (door, ..) = world();
    let stranger = Signer::ec();
    for header in [
        json!({ "alg": "ES256", "kid": "e1", "jwk": stranger.jwk("e1") }),
        json!({ "alg": "ES256", "kid": "e1", "jku": "https://evil.example.com/keys" }),
        json!({ "alg": "ES256", "kid": "e1", "x5c": ["MIIB"] }),
    ] {
        assert_eq!(show(&door, &stranger.sign(&header, &claims())).err(), Some(Refusal::Signature));
    }
}

#[test]
fn an_issuer_cannot_speak_for_another() {
    let (ec, other) = (Signer::ec(), Signer::ec());
    let (mine, theirs) = (issuer(), |spec: IssuerSpec| Arc::new(Issuer::new(spec)));
    let spec =
        IssuerSpec { name: name("partner"), issuer: "https://partner.example".into(), ..mine.spec().clone() };
    let partner = theirs(spec);
    mine.replace_keys(keys_of(&[ec.jwk("k")]), now());
    partner.replace_keys(keys_of(&[other.jwk("k")]), now());
    let principals =
        vec![principal("contoso", &["contoso"], &[Role::Consumer], vec![claim("sub", "contoso-ci")])];
    let door = Authenticator::new(principals, vec![mine, partner]).unwrap();
    assert!(show(&door, &ec.token("k", &claims())).is_ok());
    assert_eq!(show(&door, &other.token("k", &claims())).err(), Some(Refusal::Signature));
    let own_name = with(json!({ "iss": "https://partner.example" }));
    let nobody = Refusal::Nobody { shown: "jwt partner contoso-ci".into() };
    assert_eq!(show(&door, &other.token("k", &own_name)).err(), Some(nobody));
}

#[test]
fn keys_that_rotate_come_and_go() {
    let (old, new) = (Signer::ec(), Signer::ec());
    let issuer = issuer();
    let principals =
        vec![principal("contoso", &["contoso"], &[Role::Consumer], vec![claim("sub", "contoso-ci")])];
    let door = Authenticator::new(principals, vec![issuer.clone()]).unwrap();
    let unknown = Some(Refusal::UnknownKey { issuer: name("entra") });
    let (by_old, by_new) = (old.token("1", &claims()), new.token("2", &claims()));
    assert_eq!(show(&door, &by_old).err(), unknown, "before any key came");
    issuer.replace_keys(keys_of(&[old.jwk("1")]), now());
    assert!(show(&door, &by_old).is_ok());
    assert_eq!(show(&door, &by_new).err(), unknown);
    issuer.replace_keys(keys_of(&[old.jwk("1"), new.jwk("2")]), now());
    assert!(show(&door, &by_old).is_ok() && show(&door, &by_new).is_ok());
    issuer.replace_keys(keys_of(&[new.jwk("2")]), now());
    assert_eq!(show(&door, &by_old).err(), unknown, "a withdrawn key");
    assert!(show(&door, &by_new).is_ok());
}

#[test]
fn keys_are_read_from_what_issuers_publish() {
    let (rsa, ec) = (Signer::rsa(), Signer::ec());
    let mut encryption = ec.jwk("x");
    encryption["use"] = json!("enc");
    let mut wrong_algorithm = ec.jwk("x");
    wrong_algorithm["alg"] = json!("RS256");
    let mut short = ec.jwk("x");
    short["x"] = json!("AAAA");
    let oct = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" });
    let all = json!({ "keys": [rsa.jwk("r"), encryption, wrong_algorithm, short, oct, 1, ec.jwk("e")] });
    assert_eq!(read_keys(&all.to_string()).unwrap().len(), 2);
    assert_eq!(read_keys(&ec.jwk("e").to_string()).unwrap().len(), 1, "a key alone");
    assert_eq!(read_keys(RSA_PUBLIC).unwrap().len(), 1);
    assert_eq!(read_keys(&format!("{RSA_PUBLIC}{RSA_PUBLIC}")).unwrap().len(), 2);
    let certificate = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
    assert_eq!(read_keys(&certificate.cert.pem()).unwrap().len(), 1, "a P-256 certificate");
}

#[test]
fn a_pem_key_verifies_tokens_with_any_key_id() {
    let rsa = Signer::rsa();
    let issuer = issuer();
    issuer.fix_keys(read_keys(RSA_PUBLIC).unwrap());
    let principals =
        vec![principal("contoso", &["contoso"], &[Role::Consumer], vec![claim("sub", "contoso-ci")])];
    let door = Authenticator::new(principals, vec![issuer]).unwrap();
    assert!(show(&door, &rsa.token("anything", &claims())).is_ok());
}

#[test]
fn unfit_and_private_keys_are_refused() {
    let mut private = Signer::ec().jwk("x");
    private["d"] = json!("AAAA");
    for (text, expected) in [
        (RSA.to_owned(), BadKeys::Private),
        (private.to_string(), BadKeys::Private),
        (json!({ "kty": "oct", "k": "c2VjcmV0" }).to_string(), BadKeys::Private),
        (include_str!("rsa1024.pub.pem").to_owned(), BadKeys::None),
        (include_str!("p384.pub.pem").to_owned(), BadKeys::None),
        (json!({ "keys": [] }).to_string(), BadKeys::None),
        ("{}".to_owned(), BadKeys::None),
    ] {
        assert_eq!(read_keys(&text).err(), Some(expected), "{text}");
    }
    for text in
        ["", "x", "[]", "{\"keys\": 1}", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
    {
        assert!(matches!(read_keys(text), Err(BadKeys::Form(_))), "{text}: {:?}", read_keys(text));
    }
    let many: Vec<_> = (0..65).map(|id| Signer::ec().jwk(&id.to_string())).collect();
    assert_eq!(read_keys(&json!({ "keys": many }).to_string()).err(), Some(BadKeys::Many));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Also where base64 has several texts for the same bytes.
    #[test]
    fn a_token_with_any_character_changed_is_refused(
        at in any::<prop::sample::Index>(), put in "[A-Za-z0-9_.=-]", which in any::<bool>(),
    ) {
        let (door, rsa, ec) = world();
        let token = if which { rsa.token("r1", &claims()) } else { ec.token("e1", &claims()) };
        let mut damaged = token.clone();
        let at = at.index(token.len());
        damaged.replace_range(at..=at, &put);
        prop_assume!(damaged != token);
        prop_assert!(show(&door, &damaged).is_err());
    }

    #[test]
    fn parts_that_were_cut_doubled_or_swapped_are_refused(order in proptest::collection::vec(0usize..4, 0..6)) {
        let (door, _, ec) = world();
        let token = ec.token("e1", &claims());
        let mut parts: Vec<&str> = token.split('.').collect();
        parts.push("");
        let mixed = order.iter().map(|&at| parts[at]).collect::<Vec<_>>().join(".");
        prop_assume!(mixed != token);
        prop_assert!(show(&door, &mixed).is_err());
    }

    #[test]
    fn whatever_an_attacker_signs_himself_is_refused(
        header in "\\{(\"(alg|kid|typ|jku)\":(\"(none|RS256|ES256|e1|r1|JWT)\"|[0-9]|null|\\{\\}),?){0,4}\\}",
        claims in "\\{(\"(iss|sub|aud|exp)\":(\"[a-z]{0,5}\"|[0-9]{1,12}|null|\\[\\]),?){0,5}\\}",
        signature in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let (door, ..) = world();
        let part = |it: &[u8]| URL_SAFE_NO_PAD.encode(it);
        let token = format!("{}.{}.{}", part(header.as_bytes()), part(claims.as_bytes()), part(&signature));
        prop_assert!(show(&door, &token).is_err());
    }

    #[test]
    fn whatever_is_shown_nobody_panics(token in "[A-Za-z0-9_.=-]{0,200}|\\PC{0,60}") {
        let (door, ..) = world();
        prop_assert!(show(&door, &token).is_err());
    }

    #[test]
    fn whatever_an_issuer_publishes_nobody_panics(text in "\\PC{0,200}|\\{\"keys\":\\[\\{(\"[a-z]{1,3}\":\"[A-Za-z0-9_-]{0,50}\",?){0,6}\\}\\]\\}") {
        let _ = read_keys(&text);
    }
}
