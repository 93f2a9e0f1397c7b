//! The examples of RFC 7515, which others' code made.

use jiff::Timestamp;

use super::key::Algorithm;
use super::keyring::Keyring;
use super::parse::Jwt;
use super::*;
use crate::auth::Refusal;

/// Appendix A.2.
const RSA_KEY: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
/// Appendix A.3.
const EC_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const EC_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
/// Appendix A.1, signed with a shared secret.
const HS_TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// RFC 7519 section 6.1.
const NONE_TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";

fn key(text: &str) -> Key {
    read_keys(text).unwrap().remove(0)
}

#[test]
fn the_standards_signatures_are_good_and_only_with_their_own_key() {
    let (rsa, ec) = (key(RSA_KEY), key(EC_KEY));
    let (rsa_token, ec_token) = (Jwt::read(RSA_TOKEN).unwrap(), Jwt::read(EC_TOKEN).unwrap());
    assert!(rsa.verifies(rsa_token.signed, &rsa_token.signature));
    assert!(ec.verifies(ec_token.signed, &ec_token.signature));
    assert!(!rsa.verifies(ec_token.signed, &ec_token.signature));
    assert!(!ec.verifies(rsa_token.signed, &rsa_token.signature));
    assert_eq!(rsa_token.issuer(), Some("joe"));
}

#[test]
fn shared_secrets_and_no_signature_are_refused_before_any_key_is_looked_at() {
    for token in [HS_TOKEN, NONE_TOKEN] {
        assert_eq!(Jwt::read(token).err(), Some(Refusal::Algorithm), "{token}");
    }
}

#[test]
fn an_empty_signature_is_never_good() {
    for key in [key(RSA_KEY), key(EC_KEY)] {
        for length in [0, 1, 64, 256] {
            assert!(!key.verifies(b"", &vec![0; length]));
            assert!(!key.verifies(b"message", &vec![0; length]));
        }
    }
}

#[test]
fn keys_are_fetched_when_due_and_not_more_often_and_not_believed_for_ever() {
    let at = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).unwrap();
    let mut ring = Keyring::default();
    assert!(ring.is_due(at(0)));
    ring.note_try(at(0));
    assert!(!ring.is_due(at(5)) && !ring.may_try(at(5)), "at once again");
    assert!(ring.is_due(at(10)), "the first attempt failed");
    ring.replace(vec![key(EC_KEY)], at(10));
    ring.note_try(at(10));
    assert!(ring.may_try(at(20)) && !ring.is_due(at(20)));
    assert!(ring.is_due(at(10 + 600)));
    let count = |at| ring.candidates(Algorithm::Es256, None, at).len();
    assert_eq!(count(at(10 + 24 * 3600)), 1);
    assert_eq!(count(at(11 + 24 * 3600)), 0);
    assert_eq!(ring.candidates(Algorithm::Rs256, None, at(10)).len(), 0);
    assert!(ring.may_try(at(-3600)), "the clock was set back");
    assert_eq!(
        Keyring::fixed(vec![key(EC_KEY)]).candidates(Algorithm::Es256, Some("x"), at(1 << 30)).len(),
        1
    );
}
