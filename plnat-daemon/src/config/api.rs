//! `[api]`: the port for providers and consumers.

use std::net::SocketAddr;

use toml::de::DeValue;

use super::gateway::Gateway;
use super::section::Section;
use super::value::{Complaint, number, path, text, truth};
use crate::audit::AuditSpec;
use crate::limits::Rate;
use crate::serve::ServeLimits;
use crate::tls::{ServerIdentity, TlsSpec};

/// The API's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Api {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its TLS; none on a loopback address where `http = true`.
    pub tls: Option<TlsSpec>,
    /// What connections may use up.
    pub limits: ServeLimits,
    /// Requests of each principal.
    pub rate: Rate,
    /// Where it is written who did what.
    pub audit: AuditSpec,
}

/// Directory of the gateway's own certificates in the state directory.
const OWN: &str = "tls";
/// Requests of a principal unless the file says otherwise.
const RATE: Rate = Rate { per_second: 50, burst: 200 };
/// Name of the audit log in the state directory.
const AUDIT: &str = "audit.log";
/// Bytes of one file of the audit log unless the file says otherwise.
const AUDIT_BYTES: u64 = 64 << 20;
/// Former files of the audit log unless the file says otherwise.
const AUDIT_FILES: u32 = 8;

/// The API's settings; none when it listens nowhere.
pub(super) fn read(root: &Section<'_>, gateway: &Gateway) -> Option<Api> {
    let section = root.table("api")?;
    let listen = section.optional("listen", listener).flatten();
    let http = section.optional("http", truth).unwrap_or(false);
    let tls = section.table("tls");
    if let Some(listen) = listen.filter(|it| http && !it.ip().to_canonical().is_loopback()) {
        let message = format!("`http` on {listen} would send tokens in the clear");
        section.reader.wrong(section.span_of("http"), message, "remove it, or listen on a loopback address");
    }
    if let (true, Some(tls)) = (http, &tls) {
        let message = "`http` is true, and there is [api.tls]";
        section.reader.wrong(tls.span.clone(), message, "remove one of the two");
    }
    let own = || ServerIdentity::Own { directory: gateway.state_dir.join(OWN), names: vec![] };
    let tls = match tls {
        Some(tls) => Some(read_tls(&tls, own())),
        None => (!http).then(|| TlsSpec { identity: own(), client_ca: None }),
    };
    let (limits, rate) =
        section.table("limits").map_or((ServeLimits::default(), RATE), |it| read_limits(&it));
    let audit = read_audit(section.table("audit").as_ref(), gateway);
    section.finish();
    listen.map(|listen| Api { listen, tls, limits, rate, audit })
}

fn read_audit(section: Option<&Section<'_>>, gateway: &Gateway) -> AuditSpec {
    let mut audit =
        AuditSpec { path: gateway.state_dir.join(AUDIT), file_bytes: AUDIT_BYTES, files: AUDIT_FILES };
    if let Some(section) = section {
        audit.file_bytes = section.optional("file_bytes", number(65_536..=1 << 34)).unwrap_or(AUDIT_BYTES);
        audit.files = section.optional("files", number(0..=1000)).unwrap_or(AUDIT_FILES);
        section.finish();
    }
    audit
}

fn read_tls(section: &Section<'_>, own: ServerIdentity) -> TlsSpec {
    let certificate = section.optional("certificate", path);
    let key = section.optional("key", path);
    let names = section.list("names", "[\"gateway.example.com\"]", host);
    let client_ca = section.optional("client_ca", path);
    let has = |key| section.has(key);
    for (one, other) in [("certificate", "key"), ("key", "certificate")] {
        if has(one) && !has(other) {
            let message = format!("`{one}` is there, and `{other}` is not");
            let help = format!("write {other} = \"/…\" too, or neither: the gateway makes its own then");
            section.reader.wrong(section.span_of(one), message, help);
        }
    }
    if has("certificate") && has("names") {
        let message = "`names` are for the gateway's own certificate, and another is given";
        section.reader.wrong(section.span_of("names"), message, "remove one of the two");
    }
    section.finish();
    let identity = match (certificate, key, own) {
        (Some(certificate), Some(key), _) => ServerIdentity::Given { certificate, key },
        (_, _, ServerIdentity::Own { directory, .. }) => ServerIdentity::Own { directory, names },
        (_, _, given) => given,
    };
    TlsSpec { identity, client_ca }
}

fn read_limits(section: &Section<'_>) -> (ServeLimits, Rate) {
    let default = ServeLimits::default();
    let size = |key, range, default: usize| {
        section.optional(key, number::<i64>(range)).map_or(default, |it| it as usize)
    };
    let limits = ServeLimits {
        connections: size("connections", 1..=1 << 16, default.connections),
        connections_per_address: size(
            "connections_per_address",
            1..=1 << 16,
            default.connections_per_address,
        ),
        header_bytes: size("header_bytes", 8192..=1 << 20, default.header_bytes),
        body_bytes: size("body_bytes", 1024..=1 << 26, default.body_bytes),
        ..default
    };
    let rate = Rate {
        per_second: section.optional("requests_per_second", number(1..=100_000)).unwrap_or(RATE.per_second),
        burst: section.optional("burst", number(1..=100_000)).unwrap_or(RATE.burst),
    };
    section.finish();
    (limits, rate)
}

fn listener(value: &DeValue<'_>) -> Result<Option<SocketAddr>, Complaint> {
    let text = text(value)?;
    if text == "off" {
        return Ok(None);
    }
    let help = || "write \"127.0.0.1:8443\", or \"off\"".to_owned();
    text.parse().map(Some).map_err(|_| (format!("`{text}` is no address with a port"), help()))
}

/// A DNS name or an address.
fn host(value: &DeValue<'_>) -> Result<String, Complaint> {
    let text = text(value)?;
    let name = rustls::pki_types::ServerName::try_from(text.as_str());
    if name.is_ok() {
        return Ok(text);
    }
    let help = "write a name like \"gateway.example.com\", or an address, without port".to_owned();
    Err((format!("`{text}` is neither a DNS name nor an address"), help))
}
