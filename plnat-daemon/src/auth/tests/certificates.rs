//! Client certificates.

use proptest::prelude::*;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType};

use super::*;

fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2028, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn client() -> Vec<u8> {
    made(|params| {
        params.distinguished_name.push(DnType::OrganizationName, "Contoso, Inc.");
        params.distinguished_name.push(DnType::CommonName, "ci");
        params.subject_alt_names = vec![
            SanType::DnsName(Ia5String::try_from("CI.contoso.example").unwrap()),
            SanType::URI(Ia5String::try_from("spiffe://contoso/CI").unwrap()),
            SanType::Rfc822Name(Ia5String::try_from("ci@contoso.example").unwrap()),
            SanType::IpAddress("10.0.0.7".parse().unwrap()),
            SanType::IpAddress("fd00::7".parse().unwrap()),
        ];
    })
}

fn door(proof: &str) -> Authenticator {
    let proofs = vec![Proof::Certificate(proof.parse().unwrap())];
    Authenticator::new(vec![principal("contoso", &["contoso"], &[Role::Consumer], proofs)], vec![]).unwrap()
}

#[test]
fn a_certificate_is_known_by_each_thing_it_says_and_by_nothing_else() {
    let der = client();
    let fingerprint = CertificateIdentity::read(&der).unwrap().fingerprint_text();
    let with_colons: Vec<_> =
        fingerprint.as_bytes().chunks(2).map(|it| String::from_utf8_lossy(it)).collect();
    let known = [
        format!("sha256:{fingerprint}"),
        format!("sha256:{}", with_colons.join(":").to_uppercase()),
        r"subject:CN=ci,O=Contoso\, Inc.".into(),
        "DNS:ci.CONTOSO.example".into(),
        "URI:spiffe://contoso/CI".into(),
        "email:ci@contoso.example".into(),
        "IP:10.0.0.7".into(),
        "IP:fd00::7".into(),
    ];
    for proof in known {
        let caller = door(&proof).authenticate(Credentials::Certificate(&der), now()).unwrap();
        assert_eq!(caller.principal(), &name("contoso"), "{proof}");
        assert_eq!(caller.shown(), &Shown::Certificate { fingerprint: fingerprint.clone() });
    }
    let unknown = [
        format!("sha256:{}", "0".repeat(64)),
        "subject:CN=ci".into(),
        "subject:CN=ci,O=Contoso, Inc.".into(),
        r"subject:O=Contoso\, Inc.,CN=ci".into(),
        "DNS:contoso.example".into(),
        "DNS:*.contoso.example".into(),
        "URI:spiffe://contoso/ci".into(),
        "email:CI@contoso.example".into(),
        "IP:10.0.0.8".into(),
    ];
    for proof in unknown {
        let refused = door(&proof).authenticate(Credentials::Certificate(&der), now());
        assert!(matches!(refused, Err(Refusal::Nobody { .. })), "{proof}: {refused:?}");
    }
}

/// Whoever gets a certificate with a free text in it must not become somebody else.
#[test]
fn a_value_cannot_be_taken_for_another_attribute() {
    let subject = |common: &str| {
        let der = made(|params| params.distinguished_name.push(DnType::CommonName, common));
        CertificateIdentity::read(&der).unwrap().subject
    };
    assert_eq!(subject("ci,O=Contoso"), r"CN=ci\,O=Contoso");
    assert_eq!(subject("ci+O=Contoso"), r"CN=ci\+O=Contoso");
    assert_eq!(subject(r"ci\,O=Contoso"), r"CN=ci\\\,O=Contoso");
    assert_eq!(subject(" #a "), r"CN=\ #a\ ");
    assert_eq!(subject("#a"), r"CN=\#a");
    assert_eq!(subject("a\0b"), r"CN=a\00b");
    assert_eq!(subject("Zoë"), "CN=Zoë");
    let other = made(|params| {
        params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 3]), DnValue::Utf8String("x".into()));
    });
    assert_eq!(CertificateIdentity::read(&other).unwrap().subject, "1.2.3=#78");
}

#[test]
fn a_certificate_without_a_subject_is_not_one_with_an_empty_subject() {
    let der = made(|_| {});
    assert_eq!(CertificateIdentity::read(&der).unwrap().subject, "");
    assert!(!CertificateIdentity::read(&der).unwrap().fits(&CertificateMatch::Subject(String::new())));
    assert!("subject:".parse::<CertificateMatch>().is_err());
}

#[test]
fn a_certificate_counts_in_its_time_only() {
    let der = client();
    let door = door("DNS:ci.contoso.example");
    for (time, good) in
        [("2025-12-31T23:59:59Z", false), ("2026-01-01T00:00:00Z", true), ("2028-01-01T00:00:01Z", false)]
    {
        let result = door.authenticate(Credentials::Certificate(&der), time.parse().unwrap());
        assert_eq!(result.is_ok(), good, "{time}");
        assert!(good || result == Err(Refusal::CertificateTime), "{time}");
    }
}

#[test]
fn a_certificate_that_two_principals_may_show_is_nobodys() {
    let proofs = |text: &str| vec![Proof::Certificate(text.parse().unwrap())];
    let door = Authenticator::new(
        vec![
            principal("a", &["*"], &[Role::Reader], proofs("DNS:ci.contoso.example")),
            principal("b", &["*"], &[Role::Operator], proofs("IP:10.0.0.7")),
        ],
        vec![],
    );
    let refused = door.unwrap().authenticate(Credentials::Certificate(&client()), now());
    assert!(matches!(refused, Err(Refusal::Ambiguous { .. })), "{refused:?}");
}

#[test]
fn what_matches_no_certificate_is_refused_and_the_rest_reads_back() {
    for text in ["", "x", "sha256:", "sha256:00", "dns:a", "DNS:", "IP:10.0.0.0/8", "IP:a", "CN=ci"] {
        assert!(text.parse::<CertificateMatch>().is_err(), "{text}");
    }
    for text in [
        "subject:CN=a,O=b",
        "DNS:a.b",
        "URI:x:y",
        "email:a@b",
        "IP:::1",
        &format!("sha256:{}", "ab".repeat(32)),
    ] {
        assert_eq!(text.parse::<CertificateMatch>().unwrap().to_string(), text);
    }
}

proptest! {
    #[test]
    fn damaged_certificates_never_panic_and_never_have_the_fingerprint(
        at in any::<prop::sample::Index>(),
        put in proptest::collection::vec(any::<u8>(), 0..6),
        remove in 0usize..6,
    ) {
        let der = client();
        let identity = CertificateIdentity::read(&der).unwrap();
        let mut damaged = der.clone();
        let at = at.index(der.len());
        damaged.splice(at..(at + remove).min(der.len()), put);
        prop_assume!(damaged != der);
        let wanted = CertificateMatch::Fingerprint(identity.fingerprint);
        if let Ok(other) = CertificateIdentity::read(&damaged) {
            prop_assert!(!other.fits(&wanted));
        }
    }

    #[test]
    fn bytes_are_no_certificate(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(CertificateIdentity::read(&bytes).is_err());
    }
}
