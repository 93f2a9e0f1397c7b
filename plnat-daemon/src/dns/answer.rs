//! What a DNS message is answered with: bytes in, bytes out, nothing else.

use std::net::Ipv4Addr;

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::tally::Outcome;
use crate::model::{NAME_TTL, NetworkNames};

/// Bytes of a message's header (RFC 1035 section 4.1.1).
pub const HEADER: usize = 12;
/// Longest answer to a client that says nothing (RFC 1035 section 4.2.1).
const PLAIN: u16 = 512;
/// Longest answer to a client that takes more: passes every link unfragmented.
pub const LONGEST: u16 = 1232;
/// Bit of the third byte of a header: the message is a response.
const RESPONSE: u8 = 0x80;
/// Bits of the third byte of a header: kind of query.
const OP_CODE: u8 = 0x78;
/// Bit of the third byte of a header: recursion desired.
const RECURSION_DESIRED: u8 = 1;
/// Version of EDNS that we speak (RFC 6891).
const EDNS_VERSION: u8 = 0;

/// What to do about a message.
#[derive(Debug)]
pub enum Reaction {
    /// Nothing: it is no query.
    Silence,
    /// Send this.
    Answer(Vec<u8>, Outcome),
    /// Ask somebody else.
    Forward(Box<Question>),
}

/// A question for somebody else.
#[derive(Clone, Debug)]
pub struct Question {
    /// The client's message.
    request: Message,
}

/// Reacts to a message from a link with these names; `forwards`: whether there is somebody to ask for other names.
pub fn react(message: &[u8], names: &NetworkNames, forwards: bool) -> Reaction {
    let Some(header) = message.first_chunk::<HEADER>() else { return Reaction::Silence };
    if header[2] & RESPONSE != 0 {
        return Reaction::Silence;
    }
    if header[2] & OP_CODE != 0 {
        return Reaction::Answer(bare(header, ResponseCode::NotImp), Outcome::Refused);
    }
    // Before the decoder makes room for as many questions as the header promises.
    if header[4..6] != [0, 1] {
        return Reaction::Answer(bare(header, ResponseCode::FormErr), Outcome::Malformed);
    }
    match Message::from_vec(message) {
        Ok(request) if request.queries.len() == 1 => answer(request, names, forwards),
        _ => Reaction::Answer(bare(header, ResponseCode::FormErr), Outcome::Malformed),
    }
}

fn answer(request: Message, names: &NetworkNames, forwards: bool) -> Reaction {
    let mut response = Response::new(&request, forwards);
    if request.edns.as_ref().is_some_and(|edns| edns.version() != EDNS_VERSION) {
        return response.end(ResponseCode::BADVERS, Outcome::Refused);
    }
    let query = response.query.clone();
    let transfer = matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR);
    if query.query_class() != DNSClass::IN || transfer {
        return response.end(ResponseCode::Refused, Outcome::Refused);
    }
    match names.get(&key(query.name())) {
        Some(addresses) if addresses.is_empty() => {
            response.message.metadata.authoritative = true;
            response.message.add_authority(soa(query.name()));
            response.end(ResponseCode::NXDomain, Outcome::NoName)
        }
        Some(addresses) => {
            response.message.metadata.authoritative = true;
            let address = |&address: &Ipv4Addr| {
                Record::from_rdata(query.name().clone(), NAME_TTL, RData::A(A(address)))
            };
            match query.query_type() {
                // One kind of record is enough for who wants any (RFC 8482 section 4.1).
                RecordType::A | RecordType::ANY => {
                    response.message.add_answers(addresses.iter().map(address));
                    response.end(ResponseCode::NoError, Outcome::Address)
                }
                RecordType::SOA => {
                    response.message.add_answer(soa(query.name()));
                    response.end(ResponseCode::NoError, Outcome::NoData)
                }
                _ => {
                    response.message.add_authority(soa(query.name()));
                    response.end(ResponseCode::NoError, Outcome::NoData)
                }
            }
        }
        None if forwards => Reaction::Forward(Box::new(Question { request })),
        None => response.end(ResponseCode::Refused, Outcome::Refused),
    }
}

/// A name as [`NetworkNames`] has it.
fn key(name: &Name) -> String {
    let mut key = name.to_ascii();
    key.make_ascii_lowercase();
    key.truncate(key.trim_end_matches('.').len());
    key
}

/// The record that says how long a negative answer may be kept (RFC 2308): each name is a zone of its own.
fn soa(owner: &Name) -> Record {
    let server = Name::from_ascii("plnat.invalid.").unwrap_or_default();
    let times = NAME_TTL as i32;
    let soa = SOA::new(server.clone(), server, 1, times, times, times, NAME_TTL);
    Record::from_rdata(owner.clone(), NAME_TTL, RData::SOA(soa))
}

/// The shortest answer there is: a header without a question.
fn bare(header: &[u8; HEADER], code: ResponseCode) -> Vec<u8> {
    let [a, b, flags, ..] = *header;
    let flags = RESPONSE | flags & (OP_CODE | RECURSION_DESIRED);
    vec![a, b, flags, code.low(), 0, 0, 0, 0, 0, 0, 0, 0]
}

/// A response in the making.
struct Response {
    message: Message,
    query: Query,
    limit: usize,
}

impl Response {
    /// A response to a request with one question.
    fn new(request: &Message, forwards: bool) -> Self {
        let mut message = Message::response(request.metadata.id, OpCode::Query);
        message.metadata.recursion_desired = request.metadata.recursion_desired;
        message.metadata.checking_disabled = request.metadata.checking_disabled;
        message.metadata.recursion_available = forwards;
        // With the case of the question, by which careful clients know the answer for theirs.
        let query = request.queries.first().cloned().unwrap_or_default();
        message.add_query(query.clone());
        if let Some(edns) = &request.edns {
            message.set_edns(options(edns));
        }
        Self { message, query, limit: limit(request) }
    }

    fn end(mut self, code: ResponseCode, outcome: Outcome) -> Reaction {
        self.message.metadata.response_code = code;
        match self.message.to_vec() {
            Ok(bytes) if bytes.len() <= self.limit => Reaction::Answer(bytes, outcome),
            Ok(_) => {
                self.message.answers.clear();
                self.message.authorities.clear();
                self.message.metadata.truncation = true;
                self.message.to_vec().map_or(Reaction::Silence, |bytes| Reaction::Answer(bytes, outcome))
            }
            Err(_) => Reaction::Silence,
        }
    }
}

/// Longest answer that the client takes.
fn limit(request: &Message) -> usize {
    request.edns.as_ref().map_or(PLAIN, |edns| edns.max_payload().clamp(PLAIN, LONGEST)).into()
}

/// Our options beside a client's or for a resolver: only the wish for signatures is passed on (RFC 3225).
fn options(theirs: &Edns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(LONGEST).set_version(EDNS_VERSION).set_dnssec_ok(theirs.flags().dnssec_ok);
    edns
}

impl Question {
    /// The question as it goes to a resolver, with an identifier that nobody can guess.
    pub fn outgoing(&self) -> Option<Vec<u8>> {
        let asked = &self.request.metadata;
        let mut message = Message::query();
        message.metadata.recursion_desired = asked.recursion_desired;
        message.metadata.checking_disabled = asked.checking_disabled;
        message.metadata.authentic_data = asked.authentic_data;
        message.add_query(self.request.queries.first()?.clone());
        if let Some(edns) = &self.request.edns {
            message.set_edns(options(edns));
        }
        message.to_vec().ok()
    }

    /// A resolver's answer as it goes to the client.
    pub fn relayed(&self, mut answer: Vec<u8>) -> Option<Vec<u8>> {
        if answer.len() > limit(&self.request) {
            let mut response = Response::new(&self.request, true);
            response.message.metadata.truncation = true;
            return response.message.to_vec().ok();
        }
        answer.get_mut(..2)?.copy_from_slice(&self.request.metadata.id.to_be_bytes());
        Some(answer)
    }

    /// What the client is told when no resolver answers.
    pub fn failed(&self) -> Option<Vec<u8>> {
        match Response::new(&self.request, true).end(ResponseCode::ServFail, Outcome::Failed) {
            Reaction::Answer(bytes, _) => Some(bytes),
            Reaction::Silence | Reaction::Forward(_) => None,
        }
    }
}

/// Whether `answer` answers `question`, as it was sent: identifier, kind and question are the same (RFC 5452 section 9.1).
pub fn answers(question: &[u8], answer: &[u8]) -> bool {
    let (Some(asked), Some(told)) = (question.first_chunk::<HEADER>(), answer.first_chunk::<HEADER>()) else {
        return false;
    };
    let kind = |header: &[u8; HEADER]| header[2] & OP_CODE;
    let Some(end) = question_end(question) else { return false };
    let (Some(wanted), Some(given)) = (question.get(HEADER..end), answer.get(HEADER..end)) else {
        return false;
    };
    let Some(name) = wanted.len().checked_sub(4) else { return false };
    asked[..2] == told[..2]
        && told[2] & RESPONSE != 0
        && kind(asked) == kind(told)
        && told[4..6] == [0, 1]
        && wanted[..name].eq_ignore_ascii_case(&given[..name])
        && wanted[name..] == given[name..]
}

/// Where the question of a message ends that we encoded: its name is not compressed.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        match *message.get(at)? {
            0 => return Some(at + 5),
            length => at += 1 + usize::from(length),
        }
    }
}

/// The code of an answer that was taken for one.
pub fn code(answer: &[u8]) -> ResponseCode {
    ResponseCode::from(0, answer.get(3).map_or(0, |flags| flags & 0xf))
}
