//! Messages and frames, good ones and every kind of bad ones.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use plnat_common::net::Tags;
use proptest::prelude::*;

use super::answer::{HEADER, LONGEST, Question, Reaction, answers, react};
use super::frame::{self, Client};
use super::tally::Outcome;
use crate::model::NetworkNames;

const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 53);
const CLIENT: Client =
    Client { mac: [2, 0, 0, 0, 0, 1], address: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 10), 40_000) };
const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// One name that is there, one that waits, one with many addresses.
fn names() -> NetworkNames {
    let many = (0..200).map(|host| Ipv4Addr::new(10, 0, 2, host)).collect();
    [
        ("web.example.com".to_owned(), BTreeSet::from([Ipv4Addr::new(10, 0, 1, 4)])),
        ("waits.example.com".to_owned(), BTreeSet::new()),
        ("many.example.com".to_owned(), many),
    ]
    .into()
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn ask_with(message: &[u8], forwards: bool) -> (Message, Outcome) {
    match react(message, &names(), forwards) {
        Reaction::Answer(answer, outcome) => (Message::from_vec(&answer).unwrap(), outcome),
        other => panic!("{other:?}"),
    }
}

fn ask(message: &Message) -> (Message, Outcome) {
    ask_with(&message.to_vec().unwrap(), false)
}

fn forwarded(message: &Message) -> Question {
    match react(&message.to_vec().unwrap(), &names(), true) {
        Reaction::Forward(question) => *question,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_is_answered_in_the_case_of_the_question_with_its_address() {
    let asked = query("wEb.ExAmPlE.cOm.", RecordType::A);
    let (answer, outcome) = ask(&asked);
    assert_eq!((outcome, answer.metadata.response_code), (Outcome::Address, ResponseCode::NoError));
    assert!(answer.metadata.authoritative && answer.metadata.recursion_desired);
    assert!(!answer.metadata.recursion_available && answer.edns.is_none());
    assert_eq!(answer.metadata.id, asked.metadata.id);
    let [record] = &answer.answers[..] else { panic!("{answer}") };
    assert!(record.name.eq_case(asked.queries[0].name()));
    assert_eq!((record.ttl, &record.data), (10, &RData::A(A(Ipv4Addr::new(10, 0, 1, 4)))));
}

#[test]
fn a_name_that_waits_does_not_exist_and_other_types_have_no_data() {
    let rows = [
        ("waits.example.com.", RecordType::A, ResponseCode::NXDomain, Outcome::NoName),
        ("waits.example.com.", RecordType::AAAA, ResponseCode::NXDomain, Outcome::NoName),
        ("web.example.com.", RecordType::AAAA, ResponseCode::NoError, Outcome::NoData),
        ("web.example.com.", RecordType::HTTPS, ResponseCode::NoError, Outcome::NoData),
    ];
    for (name, kind, code, wanted) in rows {
        let (answer, outcome) = ask(&query(name, kind));
        assert_eq!((answer.metadata.response_code, outcome), (code, wanted), "{name} {kind}");
        let [soa] = &answer.authorities[..] else { panic!("{answer}") };
        assert!(answer.answers.is_empty());
        let RData::SOA(data) = &soa.data else { panic!("{soa}") };
        assert_eq!((soa.ttl, data.minimum), (10, 10), "how long it may be kept (RFC 2308 section 5)");
    }
    let (answer, outcome) = ask(&query("web.example.com.", RecordType::ANY));
    assert_eq!((answer.answers.len(), outcome), (1, Outcome::Address));
}

#[test]
fn names_beside_above_and_below_ours_are_others() {
    for name in ["example.com.", "b.web.example.com.", "eb.example.com.", "web.example.com.evil.", "."] {
        let message = query(name, RecordType::A);
        let (answer, outcome) = ask(&message);
        assert_eq!(
            (answer.metadata.response_code, outcome),
            (ResponseCode::Refused, Outcome::Refused),
            "{name}"
        );
        forwarded(&message);
    }
    // A dot within a label is not one between labels.
    let odd = Name::from_labels(vec![&b"web.example"[..], b"com"]).unwrap();
    let mut message = Message::query();
    message.add_query(Query::query(odd, RecordType::A));
    assert_eq!(ask(&message).1, Outcome::Refused);
}

#[test]
fn kinds_of_questions_that_are_not_answered_are_not_forwarded_either() {
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        let message = query("elsewhere.example.", kind).to_vec().unwrap();
        assert_eq!(ask_with(&message, true).0.metadata.response_code, ResponseCode::Refused);
    }
    for class in [DNSClass::CH, DNSClass::HS, DNSClass::ANY, DNSClass::NONE] {
        let mut message = query("web.example.com.", RecordType::TXT);
        message.queries[0].set_query_class(class);
        let (answer, _) = ask_with(&message.to_vec().unwrap(), true);
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused, "{class}");
    }
}

#[test]
fn messages_that_are_no_query_get_what_the_rfcs_say() {
    let good = query("web.example.com.", RecordType::A).to_vec().unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let silent = |bytes: &[u8]| matches!(react(bytes, &names(), true), Reaction::Silence);
    assert!(silent(&[]) && silent(&good[..HEADER - 1]));
    assert!(silent(&changed(&|bytes| bytes[2] |= 0x80)), "an answer must not be answered");
    let rows: [(&str, Vec<u8>, ResponseCode); 6] = [
        ("a header alone", good[..HEADER].to_vec(), ResponseCode::FormErr),
        ("a cut question", good[..good.len() - 1].to_vec(), ResponseCode::FormErr),
        ("no question", changed(&|bytes| bytes[5] = 0), ResponseCode::FormErr),
        ("65,535 questions", changed(&|bytes| bytes[4..6].fill(0xff)), ResponseCode::FormErr),
        (
            "a name that points to itself",
            changed(&|bytes| bytes[12..14].copy_from_slice(&[0xc0, 12])),
            ResponseCode::FormErr,
        ),
        ("an update", changed(&|bytes| bytes[2] |= 5 << 3), ResponseCode::NotImp),
    ];
    for (name, bytes, code) in rows {
        let (answer, _) = ask_with(&bytes, true);
        assert_eq!(answer.metadata.response_code, code, "{name}");
        assert_eq!(answer.metadata.id.to_be_bytes(), good[..2], "{name}");
    }
}

#[test]
fn what_does_not_fit_is_marked_truncated() {
    let mut message = query("many.example.com.", RecordType::A);
    let length = |message: &Message| match react(&message.to_vec().unwrap(), &names(), false) {
        Reaction::Answer(bytes, _) => bytes.len(),
        other => panic!("{other:?}"),
    };
    assert!(ask(&message).0.metadata.truncation && length(&message) <= 512);
    for (takes, most) in [(0, 512), (1232, 1232), (65_535, 1232)] {
        let mut edns = Edns::new();
        edns.set_max_payload(takes);
        message.set_edns(edns);
        let (answer, _) = ask(&message);
        assert!(answer.metadata.truncation && answer.answers.is_empty(), "{answer}");
        assert!(length(&message) <= most);
        assert_eq!(answer.edns.unwrap().max_payload(), LONGEST);
    }
}

#[test]
fn a_later_version_of_edns_is_answered_with_ours() {
    let mut message = query("web.example.com.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1).set_dnssec_ok(true);
    message.set_edns(edns);
    let (answer, _) = ask(&message);
    assert_eq!(answer.metadata.response_code.high(), 1, "BADVERS is 16");
    let edns = answer.edns.unwrap();
    assert!(edns.version() == 0 && edns.flags().dnssec_ok);
}

#[test]
fn only_an_answer_to_the_question_is_taken() {
    let question = forwarded(&query("www.example.org.", RecordType::A));
    let sent = question.outgoing().unwrap();
    let mut good = sent.clone();
    good[2] |= 0x80;
    assert!(answers(&sent, &good));
    let mut shouted = good.clone();
    shouted[HEADER..HEADER + 8].make_ascii_uppercase();
    assert!(answers(&sent, &shouted), "resolvers may change the case");
    assert!(!answers(&sent, &sent), "a question is no answer");
    for at in (0..2).chain(4..6).chain(HEADER..sent.len()) {
        let mut wrong = good.clone();
        wrong[at] ^= 1;
        assert!(!answers(&sent, &wrong), "byte {at}");
    }
    for length in 0..good.len() {
        assert!(!answers(&sent, &good[..length]), "{length} bytes");
    }
}

#[test]
fn questions_go_out_under_other_identifiers_and_answers_come_back_under_the_clients() {
    let asked = query("www.example.org.", RecordType::A);
    let question = forwarded(&asked);
    let ids: BTreeSet<_> = (0..64).map(|_| question.outgoing().unwrap()[..2].to_vec()).collect();
    assert!(ids.len() > 60, "{} different identifiers of 64", ids.len());
    let mut answer = question.outgoing().unwrap();
    answer[2] |= 0x80;
    let relayed = Message::from_vec(&question.relayed(answer.clone()).unwrap()).unwrap();
    assert_eq!(relayed.metadata.id, asked.metadata.id);
    answer.resize(513, 0);
    let relayed = Message::from_vec(&question.relayed(answer).unwrap()).unwrap();
    assert!(relayed.metadata.truncation && relayed.metadata.id == asked.metadata.id);
    let failed = Message::from_vec(&question.failed().unwrap()).unwrap();
    assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
}

/// A client's frame with a payload.
fn to_server(payload: &[u8]) -> Vec<u8> {
    // An answer's frame with the sides exchanged; UDP's sum does not mind.
    let client = Client { mac: GATEWAY, address: SocketAddrV4::new(DNS, 53) };
    let mut frame =
        frame::write(CLIENT.mac, Tags::default(), (*CLIENT.address.ip(), client), payload).unwrap();
    frame[34..36].copy_from_slice(&CLIENT.address.port().to_be_bytes());
    // No checksum is a right one.
    frame[40..42].fill(0);
    frame
}

#[test]
fn a_frame_is_read_as_it_was_written() {
    let frame = to_server(b"question");
    let read = frame::read(&frame, DNS).unwrap();
    assert_eq!((read.client, read.payload), (CLIENT, &b"question"[..]));
    let padded = [&frame[..], &[0; 20]].concat();
    assert_eq!(frame::read(&padded, DNS), Some(read), "Ethernet pads short frames");
    // As a sender on the same machine leaves it: the sum of the pseudo header, here of 10.0.0.10 and 10.0.0.53 with 16 bytes.
    let mut partial = frame.clone();
    let [client, server] = [CLIENT.address.ip(), &DNS].map(|it| it.to_bits());
    let sum = (client >> 16) + (client & 0xffff) + (server >> 16) + (server & 0xffff) + 17 + 16;
    partial[40..42].copy_from_slice(&((sum & 0xffff) as u16 + (sum >> 16) as u16).to_be_bytes());
    assert_eq!(frame::read(&partial, DNS), Some(read));
    partial[41] ^= 1;
    assert_eq!(frame::read(&partial, DNS), None);
    assert_eq!(frame::read(&frame, Ipv4Addr::new(10, 0, 0, 54)), None);
    for length in 0..frame.len() {
        assert_eq!(frame::read(&frame[..length], DNS), None, "{length} bytes");
    }
}

#[test]
fn an_answer_has_the_tags_of_its_link_and_is_the_plain_one_otherwise() {
    let write = |tags| frame::write(GATEWAY, tags, (DNS, CLIENT), b"answer").unwrap();
    let plain = write(Tags::default());
    let (outer, inner) = (Tags::tag(Tags::PROVIDER, 100), Tags::tag(Tags::CUSTOMER, 7));
    for (tags, written) in
        [([outer, 0], &[0x88, 0xa8, 0, 100][..]), ([outer, inner], &[0x88, 0xa8, 0, 100, 0x81, 0, 0, 7])]
    {
        assert_eq!(write(Tags(tags)), [&plain[..12], written, &plain[12..]].concat());
    }
}

#[test]
fn a_frame_with_a_flipped_bit_is_not_another_query() {
    let client = Client { mac: GATEWAY, address: SocketAddrV4::new(DNS, 53) };
    let mut frame =
        frame::write(CLIENT.mac, Tags::default(), (*CLIENT.address.ip(), client), b"question").unwrap();
    // Port 53 at both ends, so that the checksum stays as it was written.
    let read = frame::read(&frame, DNS).unwrap();
    assert_eq!(read.payload, b"question");
    for bit in 14 * 8..frame.len() * 8 {
        frame[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(frame::read(&frame, DNS), None, "bit {bit}");
        frame[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(frame::write(CLIENT.mac, Tags::default(), (DNS, CLIENT), &[0; 65_536]).is_none());
}

proptest! {
    #[test]
    fn no_bytes_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..600), forwards in any::<bool>()) {
        match react(&bytes, &names(), forwards) {
            Reaction::Answer(answer, _) => {
                prop_assert!(answer.len() <= LONGEST.into());
                prop_assert!(answer[2] & 0x80 != 0, "an answer is one");
                prop_assert_eq!(&answer[..2], &bytes[..2]);
            }
            Reaction::Forward(question) => prop_assert!(question.outgoing().is_some()),
            Reaction::Silence => {}
        }
    }

    #[test]
    fn no_damage_to_a_query_breaks_the_decoder(
        at in 0usize..60, value in any::<u8>(), cut in 0usize..60, with_edns in any::<bool>(),
    ) {
        let mut message = query("web.example.com.", RecordType::A);
        if with_edns {
            message.set_edns(Edns::new());
        }
        let mut bytes = message.to_vec().unwrap();
        let length = bytes.len();
        bytes[at % length] = value;
        bytes.truncate(length - cut % length);
        if let Reaction::Answer(answer, _) = react(&bytes, &names(), true) {
            prop_assert!(Message::from_vec(&answer).is_ok());
        }
    }

    #[test]
    fn no_bytes_break_the_reader_of_frames(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        frame::read(&bytes, DNS);
    }

    #[test]
    fn no_answer_of_a_resolver_breaks_the_comparison(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let question = forwarded(&query("www.example.org.", RecordType::A));
        let sent = question.outgoing().unwrap();
        prop_assert!(!answers(&sent, &bytes) || bytes.len() >= sent.len());
        answers(&bytes, &sent);
        question.relayed(bytes);
    }
}
