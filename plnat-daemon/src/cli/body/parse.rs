//! Parts of resources as they are written on the command line.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;

use crate::model::Name;

/// `NAME=VALUE`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Tag {
    pub(super) name: String,
    pub(super) value: String,
}

/// `NAME=PREFIX`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Subnet {
    pub(super) name: Name,
    pub(super) prefix: Ipv4Net,
}

/// `NAME=SUBNET[@ADDRESS]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Frontend {
    pub(super) name: Name,
    pub(super) subnet: Name,
    pub(super) address: Option<Ipv4Addr>,
}

/// `[POOL=]ADDRESS[*WEIGHT]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Backend {
    pub(super) pool: Option<Name>,
    pub(super) address: Ipv4Addr,
    pub(super) weight: Option<u32>,
}

/// `[NAME=]PROTOCOL:PORT[:BACKEND PORT]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Rule {
    pub(super) name: Name,
    pub(super) protocol: &'static str,
    pub(super) port: u16,
    pub(super) backend_port: u16,
}

/// `[NAME=](tcp|http|https):PORT[/PATH]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Probe {
    pub(super) name: Name,
    pub(super) protocol: &'static str,
    pub(super) port: u16,
    pub(super) path: Option<String>,
}

impl FromStr for Tag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
        Ok(Self { name: name.into(), value: value.into() })
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, prefix) = text.split_once('=').ok_or("write NAME=PREFIX, as in servers=10.2.0.0/24")?;
        Ok(Self { name: read(name)?, prefix: read(prefix)? })
    }
}

impl FromStr for Frontend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, place) = text.split_once('=').ok_or("write NAME=SUBNET or NAME=SUBNET@ADDRESS")?;
        let (subnet, address) = match place.split_once('@') {
            Some((subnet, address)) => (subnet, Some(read(address)?)),
            None => (place, None),
        };
        Ok(Self { name: read(name)?, subnet: read(subnet)?, address })
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pool, rest) = match text.split_once('=') {
            Some((pool, rest)) => (Some(read(pool)?), rest),
            None => (None, text),
        };
        let (address, weight) = match rest.split_once('*') {
            Some((address, weight)) => (address, Some(read(weight)?)),
            None => (rest, None),
        };
        Ok(Self { pool, address: read(address)?, weight })
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = named(text)?;
        let (protocol, ports) = rest.split_once(':').ok_or("write tcp:PORT, udp:PORT or all:0")?;
        let protocol = word(protocol, &["Tcp", "Udp", "All"])?;
        let (port, backend_port) = match ports.split_once(':') {
            Some((port, backend)) => (read(port)?, read(backend)?),
            None => (read(ports)?, read(ports)?),
        };
        let name = name.map_or_else(|| own_name(protocol, port), Ok)?;
        Ok(Self { name, protocol, port, backend_port })
    }
}

impl FromStr for Probe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = named(text)?;
        let (protocol, place) =
            rest.split_once(':').ok_or("write tcp:PORT, http:PORT/PATH or https:PORT/PATH")?;
        let protocol = word(protocol, &["Tcp", "Http", "Https"])?;
        let (port, path) = match place.find('/') {
            Some(at) => (&place[..at], Some(place[at..].to_owned())),
            None if protocol == "Tcp" => (place, None),
            None => (place, Some("/".to_owned())),
        };
        let port = read(port)?;
        let name = name.map_or_else(|| own_name(protocol, port), Ok)?;
        Ok(Self { name, protocol, port, path })
    }
}

/// `NAME=` before something with a colon. A path may hold a `=` as well.
fn named(text: &str) -> Result<(Option<Name>, &str), String> {
    let colon = text.find(':').unwrap_or(text.len());
    match text[..colon].split_once('=') {
        Some((name, _)) => Ok((Some(read(name)?), &text[name.len() + 1..])),
        None => Ok((None, text)),
    }
}

fn own_name(protocol: &str, port: u16) -> Result<Name, String> {
    read(&format!("{}-{port}", protocol.to_lowercase()))
}

fn word(text: &str, words: &[&'static str]) -> Result<&'static str, String> {
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied();
    found.ok_or_else(|| format!("`{text}` is none of {}", words.join(", ").to_lowercase()))
}

fn read<T: FromStr>(text: &str) -> Result<T, String>
where
    T::Err: Display,
{
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parse<T: FromStr<Err = String>>(text: &str) -> T {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn rules_and_probes_have_names_of_their_own() {
        let rule: Rule = parse("tcp:443:8443");
        assert_eq!(
            (rule.name.as_str(), rule.protocol, rule.port, rule.backend_port),
            ("tcp-443", "Tcp", 443, 8443)
        );
        let rule: Rule = parse("every=ALL:0");
        assert_eq!((rule.name.as_str(), rule.protocol, rule.port, rule.backend_port), ("every", "All", 0, 0));
        let probe: Probe = parse("http:80/health?deep=1:2");
        assert_eq!((probe.name.as_str(), probe.path.as_deref()), ("http-80", Some("/health?deep=1:2")));
        let probe: Probe = parse("up=https:8443");
        assert_eq!((probe.name.as_str(), probe.protocol, probe.path.as_deref()), ("up", "Https", Some("/")));
        assert_eq!(parse::<Probe>("tcp:22").path, None);
    }

    #[test]
    fn addresses_may_come_with_more() {
        let backend: Backend = parse("blue=10.0.0.1*3");
        assert_eq!((backend.pool.map(|it| it.lower()), backend.weight), (Some("blue".into()), Some(3)));
        let frontend: Frontend = parse("fe=servers@10.2.0.4");
        assert_eq!(frontend.address, Some(Ipv4Addr::new(10, 2, 0, 4)));
        assert_eq!(parse::<Frontend>("fe=servers").address, None);
        assert_eq!(parse::<Tag>("a=b=c").value, "b=c");
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for text in ["", "tcp", "tcp:", "tcp:65536", "sctp:1", "tcp:1:2:3", "=tcp:1", "a b=tcp:1", "tcp:-1"] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
        for text in ["", "http", "http:/x", "ftp:1", "http:x/"] {
            assert!(text.parse::<Probe>().is_err(), "{text}");
        }
        for text in ["", "10.0.0", "10.0.0.1*", "10.0.0.1*-1", "=10.0.0.1", "10.0.0.1*2*3"] {
            assert!(text.parse::<Backend>().is_err(), "{text}");
        }
        for text in ["", "fe", "fe=", "fe=a@", "fe=a@b"] {
            assert!(text.parse::<Frontend>().is_err(), "{text}");
        }
        for text in ["a", "a=10.0.0.0", "=10.0.0.0/8"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }
}
