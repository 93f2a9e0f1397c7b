//! Handshakes with certificates that are made, renewed, replaced and wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::ToSpan;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, ServerConnection};

use super::*;
use crate::auth::{CertificateIdentity, CertificateMatch};

fn now() -> Timestamp {
    Timestamp::now()
}

fn own(directory: &Path, names: &[&str]) -> TlsSpec {
    let names = names.iter().map(|&it| it.to_owned()).collect();
    TlsSpec { identity: ServerIdentity::Own { directory: directory.join("tls"), names }, client_ca: None }
}

fn open(spec: &TlsSpec) -> Tls {
    Tls::open(spec.clone(), now()).unwrap()
}

type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A handshake in memory with a client that believes `authority`; both sides when it succeeds.
fn handshake(
    server: Arc<ServerConfig>,
    authority: &str,
    name: &str,
    shown: Option<Shown>,
) -> Result<(ClientConnection, ServerConnection), String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        // Unlike the usual way, this one does not look whether they belong together.
        Some((chain, key)) => {
            let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
            let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
            builder.with_client_cert_resolver(Arc::new(shown))
        }
    };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    for _ in 0..8 {
        let mut wire = vec![];
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        }
        let mut wire = vec![];
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets().map_err(|error| format!("client: {error}"))?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn serial(tls: &Tls) -> Vec<u8> {
    let (client, _) = handshake(tls.config(), &tls.authority().unwrap().unwrap(), "localhost", None).unwrap();
    client.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn the_gateways_own_certificate_is_good_for_its_names_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let tls = open(&own(directory.path(), &["Gateway.example.com", "192.0.2.7", "2001:db8::7"]));
    let authority = tls.authority().unwrap().unwrap();
    for name in ["gateway.example.com", "192.0.2.7", "2001:db8::7", "localhost", "127.0.0.1", "::1"] {
        handshake(tls.config(), &authority, name, None).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["example.com", "www.gateway.example.com", "192.0.2.8"] {
        assert!(handshake(tls.config(), &authority, name, None).is_err(), "{name}");
    }
    let other = tempfile::tempdir().unwrap();
    let stranger = open(&own(other.path(), &[])).authority().unwrap().unwrap();
    assert!(handshake(tls.config(), &stranger, "localhost", None).is_err(), "another gateway's authority");
}

#[test]
fn keys_are_closed_to_others_and_opened_ones_are_closed_again() {
    let directory = tempfile::tempdir().unwrap();
    let spec = own(directory.path(), &[]);
    open(&spec);
    let mode = |name: &str| {
        let path = directory.path().join("tls").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("ca-key.pem"), mode("server.pem"), mode("ca.pem")), (0o600, 0o600, 0o644));
    let key = directory.path().join("tls/ca-key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    open(&spec);
    assert_eq!(mode("ca-key.pem"), 0o600);
    let mut names: Vec<_> =
        fs::read_dir(directory.path().join("tls")).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["ca-key.pem", "ca.pem", "server.pem"], "no drafts stay behind");
}

#[test]
fn a_restart_keeps_the_certificate_and_time_and_names_renew_it() {
    let directory = tempfile::tempdir().unwrap();
    let spec = own(directory.path(), &["a.example"]);
    let first = open(&spec);
    let authority = first.authority().unwrap().unwrap();
    let before = serial(&first);
    assert_eq!(serial(&open(&spec)), before);
    assert!(!first.refresh(now()).unwrap());
    assert!(!first.refresh(now() + (59 * 24).hours()).unwrap(), "31 days left");
    assert!(first.refresh(now() + (61 * 24).hours()).unwrap(), "29 days left");
    assert_eq!(first.authority().unwrap().unwrap(), authority, "clients need not be told");
    let after = CertificateIdentity::read(&first.config_certificate()).unwrap();
    assert!(after.not_after > now().as_second() + 140 * 86_400);
    let other = open(&own(directory.path(), &["b.example"]));
    assert!(handshake(other.config(), &authority, "b.example", None).is_ok());
    assert!(handshake(other.config(), &authority, "a.example", None).is_err());
    // The clock was wrong when it was made, far in the future.
    assert!(open(&spec).refresh(now() + (200 * 24).hours()).unwrap());
    assert!(handshake(open(&spec).config(), &authority, "a.example", None).is_ok());
}

#[test]
fn an_authority_that_nears_its_end_is_made_anew_with_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let spec = own(directory.path(), &[]);
    let tls = open(&spec);
    let old = tls.authority().unwrap().unwrap();
    let later = now() + (9 * 366 * 24).hours();
    assert!(tls.refresh(later).unwrap());
    assert_ne!(tls.authority().unwrap().unwrap(), old);
    // Who believed the old one believes what the new one signs.
    let certificate = tls.config_certificate();
    let parsed = rustls::server::ParsedCertificate::try_from(&certificate).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(old.as_bytes()).unwrap()).unwrap();
    let time = Duration::from_secs(u64::try_from(later.as_second()).unwrap());
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let time = rustls::pki_types::UnixTime::since_unix_epoch(time);
    rustls::client::verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], time, algorithms.all)
        .unwrap();
}

#[test]
fn a_damaged_authority_key_is_said_and_stays_and_the_rest_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let spec = own(directory.path(), &[]);
    let authority = open(&spec).authority().unwrap().unwrap();
    let path = |name: &str| directory.path().join("tls").join(name);
    for (name, damage) in [("ca.pem", ""), ("server.pem", "x"), ("ca.pem", "x"), ("server.pem", "")] {
        fs::write(path(name), damage).unwrap();
        let tls = open(&spec);
        assert!(handshake(tls.config(), &authority, "localhost", None).is_ok(), "{name}");
    }
    // Another authority's certificate and another's server certificate are not taken.
    let other = tempfile::tempdir().unwrap();
    open(&own(other.path(), &[]));
    for name in ["ca.pem", "server.pem"] {
        fs::copy(other.path().join("tls").join(name), path(name)).unwrap();
        assert!(handshake(open(&spec).config(), &authority, "localhost", None).is_ok(), "{name}");
    }
    fs::write(path("ca-key.pem"), "damaged").unwrap();
    let error = Tls::open(spec, now()).err().unwrap().to_string();
    assert!(error.contains("ca-key.pem") && error.contains("restore"), "{error}");
    assert_eq!(fs::read_to_string(path("ca-key.pem")).unwrap(), "damaged");
}

/// An authority of the operator.
struct Operator {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Operator {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String, Shown) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (made.pem(), key.serialize_pem(), (vec![made.der().clone()], der))
    }
}

fn given(directory: &Path) -> TlsSpec {
    let (certificate, key) = (directory.join("server.crt"), directory.join("server.key"));
    TlsSpec { identity: ServerIdentity::Given { certificate, key }, client_ca: None }
}

fn put(directory: &Path, certificate: &str, key: &str) {
    fs::write(directory.join("server.crt"), certificate).unwrap();
    fs::write(directory.join("server.key"), key).unwrap();
}

#[test]
fn changed_files_count_for_the_next_handshake_and_bad_ones_never() {
    let (directory, operator) = (tempfile::tempdir().unwrap(), Operator::new());
    let (first, first_key, _) = operator.issue("a.example", |_| {});
    let (second, second_key, _) = operator.issue("b.example", |_| {});
    put(directory.path(), &first, &first_key);
    let tls = open(&given(directory.path()));
    let (mut client, mut server) = handshake(tls.config(), &operator.pem, "a.example", None).unwrap();
    assert!(!tls.refresh(now()).unwrap());
    // Half of a change, and nonsense.
    for (certificate, key) in [
        (&second, &first_key),
        (&first, &second_key),
        (&String::new(), &first_key),
        (&first, &"x".to_owned()),
    ] {
        put(directory.path(), certificate, key);
        assert!(tls.refresh(now()).is_err());
        assert!(handshake(tls.config(), &operator.pem, "a.example", None).is_ok());
    }
    fs::remove_file(directory.path().join("server.key")).unwrap();
    assert!(tls.refresh(now()).unwrap_err().to_string().contains("server.key"));
    put(directory.path(), &second, &second_key);
    assert!(tls.refresh(now()).unwrap());
    assert!(handshake(tls.config(), &operator.pem, "b.example", None).is_ok());
    // The connection from before goes on.
    std::io::Write::write_all(&mut client.writer(), b"still here").unwrap();
    let mut wire = vec![];
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets().unwrap();
    let mut said = [0; 10];
    std::io::Read::read_exact(&mut server.reader(), &mut said).unwrap();
    assert_eq!(&said, b"still here");
}

#[test]
fn client_certificates_are_verified_and_may_be_left_out() {
    let (directory, operator, clients, strangers) =
        (tempfile::tempdir().unwrap(), Operator::new(), Operator::new(), Operator::new());
    let (certificate, key, _) = operator.issue("a.example", |_| {});
    put(directory.path(), &certificate, &key);
    let ca = directory.path().join("clients.pem");
    fs::write(&ca, &clients.pem).unwrap();
    let tls = open(&TlsSpec { client_ca: Some(ca.clone()), ..given(directory.path()) });
    let shake = |shown| handshake(tls.config(), &operator.pem, "a.example", shown);
    let (_, server) = shake(None).unwrap();
    assert_eq!(server.peer_certificates(), None);
    let (_, _, good) = clients.issue("ci.contoso.example", |_| {});
    let (_, server) = shake(Some((good.0.clone(), good.1.clone_key()))).unwrap();
    let shown = CertificateIdentity::read(&server.peer_certificates().unwrap()[0]).unwrap();
    assert!(shown.fits(&CertificateMatch::Dns("ci.contoso.example".into())));
    let (_, _, over) =
        clients.issue("ci.contoso.example", |it| it.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(shake(Some(over)).is_err(), "expired");
    let (_, _, foreign) = strangers.issue("ci.contoso.example", |_| {});
    assert!(shake(Some(foreign)).is_err(), "of another authority");
    let (_, _, other_key) = clients.issue("x", |_| {});
    assert!(shake(Some((good.0.clone(), other_key.1))).is_err(), "without its key");
    // The authority is replaced: its certificates count no more.
    fs::write(&ca, &strangers.pem).unwrap();
    assert!(tls.refresh(now()).unwrap());
    assert!(handshake(tls.config(), &operator.pem, "a.example", Some(good)).is_err());
}

impl Tls {
    /// The server's certificate as it stands in the file.
    fn config_certificate(&self) -> CertificateDer<'static> {
        let ServerIdentity::Own { directory, .. } = &self.spec.identity else { panic!("given") };
        CertificateDer::from_pem_file(directory.join("server.pem")).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(at in any::<prop::sample::Index>(), put in "\\PC{0,8}", remove in 0usize..60, which in 0usize..2) {
        let (directory, operator) = (tempfile::tempdir().unwrap(), Operator::new());
        let (certificate, key, _) = operator.issue("a.example", |_| {});
        let mut texts = [certificate, key];
        let at = at.index(texts[which].len());
        let end = (at + remove).min(texts[which].len());
        texts[which].replace_range(at..end, &put);
        super::tests::put(directory.path(), &texts[0], &texts[1]);
        if let Ok(tls) = Tls::open(given(directory.path()), now()) {
            // What is accepted also works, if only with what was not damaged.
            let _ = handshake(tls.config(), &operator.pem, "a.example", None);
        }
    }
}
