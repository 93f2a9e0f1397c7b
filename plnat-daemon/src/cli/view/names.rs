//! Names as other DNS servers read them.

use std::io;

use crate::cli::args::Format;
use crate::cli::output::line;
use crate::control::types::{NameRecord, NetworkNames};
use crate::model::NAME_TTL;

/// The names of a network; without one, an empty file that is as good.
pub(in crate::cli) fn names(network: Option<&NetworkNames>, format: Format) -> io::Result<()> {
    let records = network.map_or(&[][..], |it| &it.names);
    text(network.map(|it| it.network.as_str()), records, format).iter().try_for_each(|it| line(it))
}

fn text(network: Option<&str>, records: &[NameRecord], format: Format) -> Vec<String> {
    let comment = if format == Format::Bind { ";" } else { "#" };
    let whose = network.map_or_else(String::new, |network| format!(" of network {network}"));
    let mut lines = vec![format!("{comment} plnat: {} names{whose}", records.len())];
    if format == Format::Bind {
        lines.push(format!("$TTL {NAME_TTL}"));
        let times = format!("1 {NAME_TTL} {NAME_TTL} {NAME_TTL} {NAME_TTL}");
        lines.push(format!("@ IN SOA plnat.invalid. plnat.invalid. {times}"));
        lines.push("@ IN NS plnat.invalid.".to_owned());
    }
    let each = records.iter().flat_map(|it| it.addresses.iter().map(move |address| (&it.name, address)));
    lines.extend(each.map(|(name, address)| match format {
        Format::Hosts => format!("{address} {name}"),
        Format::Dnsmasq => format!("host-record={name},{address},{NAME_TTL}"),
        // Relative to the policy zone's own name.
        Format::Bind => format!("{name} IN A {address}"),
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(format: Format) -> String {
        let record = |name: &str, addresses: &[[u8; 4]]| NameRecord {
            name: name.to_owned(),
            addresses: addresses.iter().map(|&address| address.into()).collect(),
        };
        let records = [
            record("api.example.com", &[[10, 0, 1, 4]]),
            record("db.example.com", &[[10, 0, 1, 5], [10, 0, 1, 6]]),
        ];
        text(Some("contoso/contoso"), &records, format).join("\n")
    }

    #[test]
    fn hosts_has_a_line_for_each_address() {
        assert_eq!(
            exported(Format::Hosts),
            "# plnat: 2 names of network contoso/contoso\n10.0.1.4 api.example.com\n\
             10.0.1.5 db.example.com\n10.0.1.6 db.example.com"
        );
    }

    #[test]
    fn dnsmasq_has_a_host_record_for_each_address() {
        assert!(exported(Format::Dnsmasq).ends_with(
            "host-record=api.example.com,10.0.1.4,10\nhost-record=db.example.com,10.0.1.5,10\n\
             host-record=db.example.com,10.0.1.6,10"
        ));
    }

    #[test]
    fn bind_has_a_policy_zone_with_names_below_its_own() {
        let zone = exported(Format::Bind);
        assert!(zone.starts_with("; plnat: 2 names of network contoso/contoso\n$TTL 10\n@ IN SOA"), "{zone}");
        assert!(zone.contains("\napi.example.com IN A 10.0.1.4\n"), "{zone}");
    }
}
