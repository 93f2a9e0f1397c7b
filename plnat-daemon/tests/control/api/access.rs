//! The way in: tokens, JSON Web Tokens and certificates over TLS, limits, and what the audit log says.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plnat_daemon::auth::Token;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::client::{Answer, FILE, Served, service_path, trusting};
use crate::rig::Rig;

/// Signs JSON Web Tokens.
struct Signer(EcdsaKeyPair, SystemRandom);

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Self(pair, random)
    }

    fn keys(&self) -> Value {
        let [x, y] = [1..33, 33..65].map(|part| encode(&self.0.public_key().as_ref()[part]));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "k", "x": x, "y": y }] })
    }

    fn sign(&self, head: &Value, claims: &Value) -> String {
        let signed =
            format!("{}.{}", encode(head.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.0.sign(&self.1, signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature.as_ref()))
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An exposed gateway whose configuration file has these lines besides the networks.
fn exposed(rig: Rig, lines: &str, api: &str) -> (Served, PathBuf) {
    let mut rig = rig;
    rig.write(&format!("{FILE}{lines}"));
    rig.gateway.reload().unwrap();
    let (admitted, file) = (rig.admitted.clone(), rig.file());
    (Served::with(rig, &format!("[api]\nlisten = \"127.0.0.1:0\"\n{api}"), Some(admitted)), file)
}

fn principal(name: &str, more: &str) -> String {
    format!(
        "[[principal]]\nname = \"{name}\"\nsubscriptions = [\"contoso\"]\nroles = [\"consumer\"]\n{more}\n"
    )
}

const MINE: &str = "/subscriptions/contoso";

fn bearer(served: &Served, token: &str) -> Answer {
    served.raw("GET", MINE, &[("Authorization", &format!("Bearer {token}"))], b"")
}

#[test]
fn a_token_counts_from_the_reload_that_brings_it_to_the_one_that_takes_it() {
    let (old, new) = (Token::generate().unwrap(), Token::generate().unwrap());
    let lines = |token: &Token| principal("shop", &format!("tokens = [\"{}\"]", token.hash()));
    let (served, file) = exposed(Rig::new(), &lines(&old), "");
    assert_eq!((bearer(&served, old.reveal()).status, bearer(&served, new.reveal()).status), (200, 401));
    served.reload(&file, &format!("{FILE}{}", lines(&new)));
    assert_eq!((bearer(&served, old.reveal()).status, bearer(&served, new.reveal()).status), (401, 200));
    served.reload(&file, FILE);
    assert_eq!((bearer(&served, old.reveal()).status, bearer(&served, new.reveal()).status), (401, 401));
    let shown = bearer(&served, new.reveal());
    assert!(
        shown.head.contains("\r\nwww-authenticate: Bearer error=\"invalid_token\"\r\n"),
        "{}",
        shown.head
    );
    assert_eq!(shown.code(), "AuthenticationFailed");
}

#[test]
fn json_web_tokens_that_are_wrong_in_any_way_get_the_same_401() {
    let (signer, other) = (Signer::new(), Signer::new());
    let rig = Rig::new();
    let keys = rig.file().with_file_name("keys.json");
    std::fs::write(&keys, signer.keys().to_string()).unwrap();
    let lines = format!(
        "[[token_issuer]]\nname = \"login\"\nissuer = \"https://login.example\"\naudiences = [\"plnat\"]\n\
         keys_file = \"{}\"\n{}",
        keys.display(),
        principal("shop", "[[principal.claim]]\nissuer = \"login\"\nclaim = \"sub\"\nvalue = \"ci\"")
    );
    let (served, _) = exposed(rig, &lines, "");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "iss": "https://login.example", "aud": "plnat", "sub": "ci", "exp": now + 600 });
    let with = |change: Value| {
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        claims
    };
    let head = json!({ "alg": "ES256", "kid": "k" });
    let good = signer.sign(&head, &claims);
    assert_eq!(bearer(&served, &good).status, 200);
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    let none = format!("{}.{}.", encode(br#"{"alg":"none"}"#), encode(claims.to_string().as_bytes()));
    let mut refused = vec![
        none.clone(),
        none.trim_end_matches('.').to_owned(),
        format!("{unsigned}."),
        unsigned.to_owned(),
        format!("{good}x"),
        good[..good.len() - 4].to_owned(),
        other.sign(&head, &claims),
        "a.b.c".to_owned(),
    ];
    for head in [
        json!({ "alg": "none", "kid": "k" }),
        json!({ "alg": "HS256", "kid": "k" }),
        json!({ "alg": "ES384", "kid": "k" }),
        json!({ "alg": "ES256", "kid": "k", "crit": ["exp"] }),
        json!({ "kid": "k" }),
    ] {
        refused.push(signer.sign(&head, &claims));
    }
    for change in [
        json!({ "exp": now - 3600 }),
        json!({ "nbf": now + 3600 }),
        json!({ "aud": "another" }),
        json!({ "iss": "https://evil.example" }),
        json!({ "sub": "somebody" }),
        json!({ "sub": null }),
    ] {
        refused.push(signer.sign(&head, &with(change)));
    }
    for token in refused {
        let answer = bearer(&served, &token);
        assert_eq!((answer.status, answer.code()), (401, "AuthenticationFailed"), "{token}");
        assert!(answer.head.contains("invalid_token"), "{}", answer.head);
    }
    for header in ["Basic Y2k6Y2k=", "Bearer", "Bearer  ", "Bearer a b", &format!("Digest {good}"), &good] {
        assert_eq!(served.raw("GET", MINE, &[("Authorization", header)], b"").status, 401, "{header}");
    }
    let twice = [("Authorization", format!("Bearer {good}")), ("Authorization", format!("Bearer {good}"))];
    let twice = [(twice[0].0, twice[0].1.as_str()), (twice[1].0, twice[1].1.as_str())];
    assert_eq!(served.raw("GET", MINE, &twice, b"").status, 401);
}

#[test]
fn a_client_certificate_is_a_proof_and_does_not_make_up_for_a_bad_token() {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let identity = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        (made.der().clone(), key.serialize_der().try_into().unwrap())
    };
    let rig = Rig::new();
    let client_ca = rig.file().with_file_name("clients.pem");
    std::fs::write(&client_ca, authority_pem).unwrap();
    let lines = principal("shop", "certificates = [\"DNS:ci.contoso.example\"]");
    let (served, file) = exposed(rig, &lines, &format!("[api.tls]\nclient_ca = \"{}\"", client_ca.display()));
    let authority = file.with_file_name("tls").join("ca.pem");
    let as_client = |name: &str, headers: &[(&str, &str)]| {
        let tls = trusting(&authority, Some(identity(name))).into();
        served.over(Some(&tls), "GET", MINE, headers, b"").status
    };
    assert_eq!(as_client("ci.contoso.example", &[]), 200);
    assert_eq!(as_client("other.contoso.example", &[]), 401);
    assert_eq!(as_client("ci.contoso.example", &[("Authorization", "Bearer plnat_x")]), 401);
    assert_eq!(
        served.raw("GET", MINE, &[], b"").status,
        401,
        "no certificate is allowed, and proves nothing"
    );
}

#[test]
fn what_is_too_much_is_refused_in_azure_s_words() {
    let token = Token::generate().unwrap();
    let lines = principal("shop", &format!("tokens = [\"{}\"]", token.hash()));
    let limits = "[api.limits]\nrequests_per_second = 1\nburst = 8\nheader_bytes = 8192\nbody_bytes = 2000";
    let (served, _) = exposed(Rig::new(), &lines, limits);
    let bearer = format!("Bearer {}", token.reveal());
    let shown = ("Authorization", bearer.as_str());
    let path = format!("{MINE}/resourceGroups/x");
    let large = served.raw("PUT", &path, &[shown], &[b' '; 2001]);
    assert_eq!((large.status, large.code()), (413, "RequestEntityTooLarge"));
    let padding = "x".repeat(9000);
    let long = served.raw("GET", MINE, &[shown, ("x-padding", &padding)], b"");
    assert_eq!((long.status, long.code()), (431, "RequestHeaderFieldsTooLarge"));
    let many: Vec<Answer> = (0..20).map(|_| served.raw("GET", MINE, &[shown], b"")).collect();
    assert!(many.iter().any(|it| it.status == 200));
    let refused = many.iter().find(|it| it.status == 429).expect("20 at once are more than 8");
    assert_eq!(refused.code(), "TooManyRequests");
    assert!(refused.head.contains("\r\nretry-after: 1\r\n"), "{}", refused.head);
    // Who has no proof has a rate of its own, by address, and does not use up the others'.
    let strangers: Vec<u16> = (0..20).map(|_| served.raw("GET", MINE, &[], b"").status).collect();
    assert!(strangers.contains(&401) && strangers.contains(&429), "{strangers:?}");
}

#[test]
fn the_audit_log_says_who_did_or_tried_what_from_where_with_what_result() {
    let token = Token::generate().unwrap();
    let lines = principal("shop", &format!("tokens = [\"{}\"]", token.hash()));
    let (served, _) = exposed(Rig::new(), &lines, "");
    let bearer = format!("Bearer {}", token.reveal());
    let shown = ("Authorization", bearer.as_str());
    let group = format!("{MINE}/resourceGroups/x");
    let ids: Vec<String> = [
        served.raw("GET", MINE, &[shown], b""),
        served.raw("PUT", &format!("{group}?secret=1"), &[shown], br#"{"location":"west"}"#),
        served.raw("PUT", &group, &[shown], b"nonsense"),
        served.raw("DELETE", &service_path("web"), &[shown], b""),
        served.raw("GET", "/subscriptions/provider", &[shown], b""),
        served.raw("DELETE", &group, &[], b""),
    ]
    .into_iter()
    .map(|answer| {
        let id = answer.head.lines().find_map(|line| line.strip_prefix("x-ms-request-id: "));
        id.expect(&answer.head).to_owned()
    })
    .collect();
    let audit = served.audit();
    let rows: Vec<Value> = audit
        .iter()
        .map(|line| {
            json!([
                line["principal"],
                line["method"],
                line["path"],
                line["outcome"],
                line["status"],
                line["reason"]
            ])
        })
        .collect();
    let web = service_path("web");
    let expected = [
        json!(["shop", "PUT", group, "done", 201, null]),
        json!(["shop", "PUT", group, "failed", 400, "InvalidRequestContent"]),
        json!(["shop", "DELETE", web, "denied", 403, "AuthorizationFailed"]),
        json!(["shop", "GET", "/subscriptions/provider", "denied", 403, "AuthorizationFailed"]),
        json!([null, "DELETE", group, "denied", 401, "nothing was shown"]),
    ];
    assert_eq!(rows, expected);
    for (line, id) in audit.iter().zip(&ids[1..]) {
        assert_eq!(line["request"], id.as_str());
        assert!(line["from"].as_str().unwrap().starts_with("127.0.0.1:"));
        assert!(line["shown"].is_null() || line["shown"] == "token");
        assert!(!line.to_string().contains(token.reveal()));
    }
}

#[test]
fn a_token_is_given_back_to_whoever_shows_it_with_its_name_and_to_nobody_else() {
    let (mine, other) = (Token::generate().unwrap(), Token::generate().unwrap());
    let lines = principal("shop", &format!("tokens = [\"{}\"]", mine.hash()))
        + &principal("desk", &format!("tokens = [\"{}\"]", other.hash()));
    let (served, _) = exposed(Rig::new(), &lines, "");
    let ask = |body: String| {
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        served.raw("POST", "/any/oauth2/v2.0/token", &kind, body.as_bytes())
    };
    let grant = |name: &str, secret: &str| {
        ask(format!("grant_type=client_credentials&client_id={name}&client_secret={secret}&scope=x"))
    };
    let given = grant("SHOP", mine.reveal());
    assert!(given.head.contains("\r\ncache-control: no-store\r\n"), "{}", given.head);
    assert_eq!(given.expect(200)["access_token"], mine.reveal());
    for (name, secret) in [("desk", mine.reveal()), ("shop", "plnat_x"), ("shop", "a.b.c"), ("shop", "")] {
        let refused = grant(name, secret);
        assert_eq!(
            (refused.status, &refused.body["error"]),
            (401, &json!("invalid_client")),
            "{name} {secret}"
        );
        assert!(!refused.body.to_string().contains("another"), "{}", refused.body);
    }
    assert_eq!(ask("grant_type=password&client_id=a&client_secret=b".to_owned()).status, 400);
    assert_eq!(ask("client_id=a".to_owned()).status, 400);
    let endpoints = served.raw("GET", "/metadata/endpoints", &[], b"").expect(200);
    assert_eq!(endpoints["resourceManager"], format!("https://{}", served.address));
    let audit = served.audit();
    let denied: Vec<_> = audit.iter().map(|line| (&line["outcome"], &line["path"])).collect();
    assert_eq!(denied, [(&json!("denied"), &json!("/any/oauth2/v2.0/token")); 4]);
    assert!(!json!(audit).to_string().contains("plnat_"));
}

#[test]
fn the_next_page_is_at_the_address_by_which_the_client_came() {
    let token = Token::generate().unwrap();
    let mut lines = format!(
        "[[principal]]\nname = \"op\"\nsubscriptions = \"*\"\nroles = [\"operator\"]\ntokens = [\"{}\"]\n",
        token.hash()
    );
    for at in 0..501 {
        lines += &format!(
            "[[network]]\nname = \"n\"\nsubscription = \"contoso\"\nresource_group = \"g{at:04}\"\n\
             address_prefixes = [\"10.0.0.0/16\"]\n"
        );
    }
    let (served, _) = exposed(Rig::new(), &lines, "");
    let bearer = format!("Bearer {}", token.reveal());
    let shown = [("Authorization", bearer.as_str())];
    let list = served.raw("GET", &format!("{MINE}/resourceGroups"), &shown, b"").expect(200);
    let next = list["nextLink"].as_str().unwrap();
    let path = next.strip_prefix(&format!("https://{}", served.address)).expect(next);
    let rest = served.raw("GET", path, &shown, b"").expect(200);
    let names = |list: &Value| {
        list["value"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect::<Vec<_>>()
    };
    assert!(rest.get("nextLink").is_none());
    assert_eq!(
        [names(&list), names(&rest)]
            .concat()
            .iter()
            .filter(|it| it.as_str().unwrap().starts_with('g'))
            .count(),
        501
    );
    assert!(Path::new(path).starts_with("/subscriptions"));
}

#[test]
fn a_question_about_what_is_somebody_elses_is_in_the_audit_log_and_one_about_ones_own_is_not() {
    let served = Served::new();
    let ask = |subscription: &str| {
        let body = json!({ "resources": [super::client::network("10.0")] });
        let mut body = body;
        body["resources"][0]["id"] = super::client::net(subscription).into();
        let headers = [("x-test-caller", "provider@contoso")];
        served.call("POST", "/plnat/whatIf", &headers, body.to_string().as_bytes()).expect(200)
    };
    assert!(ask("contoso")["value"][0]["after"].is_object());
    assert_eq!(ask("fabrikam")["value"][0]["error"]["code"], "AuthorizationFailed");
    let audit = served.audit();
    let rows: Vec<_> = audit.iter().map(|it| (&it["path"], &it["outcome"], &it["reason"])).collect();
    let expected = (json!("/plnat/whatIf"), json!("denied"), json!("AuthorizationFailed"));
    assert_eq!(rows, [(&expected.0, &expected.1, &expected.2)]);
}
