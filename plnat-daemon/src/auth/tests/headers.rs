//! What a request's headers are taken for.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;

fn headers(values: &[&[u8]]) -> HeaderMap {
    let all = values.iter().map(|it| (AUTHORIZATION, HeaderValue::from_bytes(it).unwrap()));
    all.collect()
}

#[test]
fn a_bearer_token_is_taken_in_any_case_of_its_scheme() {
    for text in ["Bearer abc.d_e-f~+/==", "bearer abc.d_e-f~+/==", "BEARER   abc.d_e-f~+/=="] {
        let headers = headers(&[text.as_bytes()]);
        assert_eq!(Credentials::of(&headers, None), Ok(Credentials::Bearer("abc.d_e-f~+/==")), "{text}");
    }
}

#[test]
fn other_headers_are_refused_and_a_certificate_does_not_make_them_good() {
    let long = [b"Bearer ".as_slice(), &vec![b'a'; 20_000]].concat();
    let cases: [(&[&[u8]], Refusal); 10] = [
        (&[b""], Refusal::NotBearer),
        (&[b"Bearer"], Refusal::NotBearer),
        (&[b"Bearer "], Refusal::NotBearer),
        (&[b"Basic dXNlcjpwYXNz"], Refusal::NotBearer),
        (&[b"Bearer a b"], Refusal::NotBearer),
        (&[b"Bearer a\tb"], Refusal::NotBearer),
        (&[b"Bearer \xff"], Refusal::NotBearer),
        (&[b"Bearer a,Bearer b"], Refusal::NotBearer),
        (&[b"Bearer a", b"Bearer a"], Refusal::Several),
        (&[&long], Refusal::TooLong),
    ];
    for (values, refusal) in cases {
        let headers = headers(values);
        assert_eq!(Credentials::of(&headers, Some(b"certificate")), Err(refusal), "{values:?}");
    }
}

#[test]
fn without_a_header_the_certificate_counts_and_without_both_nothing() {
    let headers = HeaderMap::new();
    assert_eq!(Credentials::of(&headers, Some(b"x")), Ok(Credentials::Certificate(b"x")));
    assert_eq!(Credentials::of(&headers, None), Err(Refusal::Nothing));
    assert_eq!(Refusal::Nothing.challenge(), "Bearer");
    assert_eq!(Refusal::Expired.challenge(), Refusal::Signature.challenge());
}

#[test]
fn secrets_are_not_in_what_is_logged() {
    assert_eq!(format!("{:?}", Credentials::Bearer("secret")), "Bearer(…)");
}

proptest! {
    #[test]
    fn whatever_is_in_the_header_it_is_taken_whole_or_refused(
        value in proptest::collection::vec(any::<u8>(), 0..200),
        bearer in any::<bool>(),
    ) {
        let value = if bearer { [b"Bearer ".as_slice(), &value].concat() } else { value };
        if let Ok(header) = HeaderValue::from_bytes(&value) {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, header)]);
            if let Ok(Credentials::Bearer(token)) = Credentials::of(&headers, None) {
                prop_assert!(value.ends_with(token.as_bytes()));
                prop_assert!(!token.is_empty() && token.is_ascii() && !token.contains([' ', ',', '"']));
            }
        }
    }
}
