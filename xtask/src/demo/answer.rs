//! What a web server says in its answer and in its log: who it is, what it was asked, and by whom as far as it can see.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddrV4};

use super::topology;

/// An answer, as in `web-1 answers /contoso/3 to 10.2.1.4:40312`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) server: String,
    pub(super) page: String,
    pub(super) client: SocketAddrV4,
}

/// A line of an access log, as in `10.2.1.4:40312 /contoso/3 200`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Visit {
    pub(super) client: SocketAddrV4,
    pub(super) page: String,
    pub(super) status: u16,
}

impl Answer {
    /// Reads an answer; anything that is not exactly one is none.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (server, rest) = line.split_once(" answers ")?;
        let (page, client) = rest.split_once(" to ")?;
        Some(Self { server: server.into(), page: page.into(), client: client.parse().ok()? })
    }
}

impl Visit {
    /// Reads a line of a log.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let client = words.next()?.parse().ok()?;
        let (page, status) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        words.next().is_none().then_some(Self { client, page, status })
    }

    /// True when the visitor is the gateway's own probe.
    pub(super) fn is_probe(&self) -> bool {
        self.client.ip().to_string() == topology::PROBER && self.page == "/"
    }
}

/// True for an address behind which consumers hide.
pub(super) fn is_nat(address: impl Into<IpAddr>) -> bool {
    topology::NAT.contains(&address.into().to_string().as_str())
}

/// What is wrong with the answers to `consumer`, who asked for its pages 1 to `pages`: one sentence each.
pub(super) fn faults(consumer: &str, pages: usize, body: &str) -> Vec<String> {
    let mut open: BTreeMap<String, ()> =
        (1..=pages).map(|page| (format!("/{consumer}/{page}"), ())).collect();
    let mut faults = Vec::new();
    for line in body.lines() {
        let Some(answer) = Answer::parse(line) else {
            faults.push(format!("no answer of a server of the provider: {line:?}"));
            continue;
        };
        if open.remove(&answer.page).is_none() {
            faults.push(format!("an answer to what {consumer} did not ask, or asked once: {line}"));
        }
        if server_number(&answer.server).is_none() {
            faults.push(format!("an answer of an unknown server: {line}"));
        }
        if !is_nat(*answer.client.ip()) {
            faults.push(format!("the server saw another address than a NAT address: {line}"));
        }
    }
    faults.extend(open.into_keys().map(|page| format!("no answer for {page}")));
    faults
}

/// How many answers came from each server, in the order of their numbers.
pub(super) fn spread(body: &str) -> [usize; topology::SERVERS.len()] {
    let mut count = [0; topology::SERVERS.len()];
    for number in body.lines().filter_map(|line| server_number(&Answer::parse(line)?.server)) {
        count[number - 1] += 1;
    }
    count
}

fn server_number(name: &str) -> Option<usize> {
    name.strip_prefix("web-")?.parse().ok().filter(|number| (1..=topology::SERVERS.len()).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_answers_have_no_fault_and_are_counted_by_server() {
        let body = "web-1 answers /contoso/1 to 10.2.1.4:40000\nweb-3 answers /contoso/2 to 10.2.1.5:1024\n";
        assert_eq!(faults("contoso", 2, body), [""; 0]);
        assert_eq!(spread(body), [1, 0, 1]);
    }

    #[test]
    fn every_kind_of_wrong_answer_is_a_fault() {
        let rows = [
            ("web-1 answers /fabrikam/1 to 10.2.1.4:40000", "of another's page"),
            ("web-4 answers /contoso/1 to 10.2.1.4:40000", "of no server"),
            ("web-1 answers /contoso/1 to 10.0.0.10:40000", "with the client's own address"),
            ("web-1 answers /contoso/1 to 10.2.1.4", "without a port"),
            ("<html>502 Bad Gateway</html>", "that is none"),
            ("", "that is missing"),
        ];
        for (body, what) in rows {
            assert!(!faults("contoso", 1, body).is_empty(), "an answer {what} went through");
        }
        let twice = "web-1 answers /contoso/1 to 10.2.1.4:1024\nweb-1 answers /contoso/1 to 10.2.1.4:1025\n";
        assert_eq!(faults("contoso", 1, twice).len(), 1);
    }

    #[test]
    fn log_lines_are_read_and_probes_are_known() {
        let visit = Visit::parse("10.2.1.4:40312 /contoso/3 200").unwrap();
        assert_eq!((visit.page.as_str(), visit.status, visit.is_probe()), ("/contoso/3", 200, false));
        assert!(Visit::parse("10.2.0.1:5 / 200").unwrap().is_probe());
        assert!(!Visit::parse("10.2.0.1:5 /other 200").unwrap().is_probe());
        for line in ["", "10.2.1.4 /contoso/3 200", "10.2.1.4:1 /contoso/3", "10.2.1.4:1 /a 200 x"] {
            assert_eq!(Visit::parse(line), None, "{line}");
        }
    }
}
