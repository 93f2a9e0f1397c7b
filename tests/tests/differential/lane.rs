//! The same topology twice: a client, a gateway and a backend, where the gateway is plnat or the kernel's forwarding with
//! nftables. Client and backend are bare interfaces.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use plnat_tests::config::{Backend, Config, ENDPOINT, Rule, backend, nat};
use plnat_tests::daemon::Gateway;
use plnat_tests::frame::MacBytes;
use plnat_tests::host::{plug, set};
use plnat_tests::space::{Space, ip, mac_of, text, wait};

use super::port::Port;

/// Clients that speak.
pub(crate) const CLIENTS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 0, 0, 10),
    Ipv4Addr::new(10, 0, 0, 11),
    Ipv4Addr::new(10, 0, 0, 12),
    Ipv4Addr::new(10, 0, 0, 13),
];
/// The backend.
pub(crate) const BACKEND: Ipv4Addr = backend(11);
/// The address that it sees.
pub(crate) const NAT: Ipv4Addr = nat(4);
/// Ports of TCP and UDP at the endpoint and at the backend.
pub(crate) const TCP_PORTS: (u16, u16) = (80, 8080);
pub(crate) const UDP_PORTS: (u16, u16) = (53, 5353);

/// One topology.
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) client: Port,
    pub(crate) backend: Port,
    /// The gateway's Ethernet addresses towards the client and the backend.
    pub(crate) gateway: [MacBytes; 2],
    _held: (Option<Gateway>, Vec<Space>),
}

impl Lane {
    /// plnat.
    pub(crate) fn plnat() -> Self {
        let mut config = Config::new(&["contoso"]);
        let service = config.service();
        service.nat = vec![NAT];
        service.backends = vec![Backend { address: BACKEND, admin_state: "Up" }];
        service.rules =
            vec![Rule::new("Tcp", TCP_PORTS.0, TCP_PORTS.1), Rule::new("Udp", UDP_PORTS.0, UDP_PORTS.1)];
        service.probe = false;
        let mut gateway = Gateway::new();
        gateway.write(&config);
        let mut lane = Self::around("plnat", gateway.space());
        gateway.start();
        wait("the backend is up", || {
            let status = gateway.json("status");
            (status["backends_up"] == status["backends"] && status["problems"].as_array()?.is_empty())
                .then_some(())
        });
        lane._held.0 = Some(gateway);
        lane
    }

    /// Destination and source NAT of the kernel.
    pub(crate) fn nftables() -> Self {
        let space = Space::new();
        let mut lane = Self::around("nftables", &space);
        let ((tcp, tcp_at_backend), (udp, udp_at_backend)) = (TCP_PORTS, UDP_PORTS);
        let rules = format!(
            "table ip differential {{
              chain prerouting {{
                type nat hook prerouting priority dstnat;
                iifname contoso0 ip daddr {ENDPOINT} tcp dport {tcp} dnat to {BACKEND}:{tcp_at_backend}
                iifname contoso0 ip daddr {ENDPOINT} udp dport {udp} dnat to {BACKEND}:{udp_at_backend}
              }}
              chain postrouting {{
                type nat hook postrouting priority srcnat;
                oifname provider0 snat to {NAT}
              }}
              chain forward {{
                type filter hook forward priority filter; policy drop;
                tcp flags syn tcp option maxseg size set rt mtu
                ct status dnat accept
              }}
            }}"
        );
        space.run(move || {
            set("net/ipv4/ip_forward", "1");
            for device in ["all", "contoso0", "provider0"] {
                set(&format!("net/ipv4/conf/{device}/rp_filter"), "0");
                set(&format!("net/ipv4/conf/{device}/send_redirects"), "0");
            }
            let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft");
            nft.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("a pipe");
            assert!(nft.wait().expect("nft").success());
            // Sessions are known by a SYN alone, their segments by their ports and not by their windows; and none ends meanwhile.
            set("net/netfilter/nf_conntrack_tcp_loose", "0");
            set("net/netfilter/nf_conntrack_tcp_be_liberal", "1");
            for times in ["udp_timeout", "udp_timeout_stream", "tcp_timeout_syn_sent", "tcp_timeout_syn_recv"]
            {
                set(&format!("net/netfilter/nf_conntrack_{times}"), "86400");
            }
        });
        lane._held.1.push(space);
        lane
    }

    /// Client and backend around a gateway, which knows their Ethernet addresses.
    fn around(name: &'static str, gateway: &Space) -> Self {
        let (client, server) = (Space::new(), Space::new());
        for (near, space) in [("contoso0", &client), ("provider0", &server)] {
            plug(gateway, near, space, "eth0");
            space.run(|| {
                set("net/ipv6/conf/all/disable_ipv6", "1");
            });
        }
        let ports = [Port::new(&client), Port::new(&server)];
        let macs = ports.each_ref().map(|port| text(port.mac));
        let gateway = gateway.run(move || {
            set("net/ipv6/conf/all/disable_ipv6", "1");
            ip("address add 10.0.0.1/16 dev contoso0");
            ip("address add 10.2.0.1/16 dev provider0");
            for address in CLIENTS {
                ip(&format!("neigh add {address} lladdr {} dev contoso0 nud permanent", macs[0]));
            }
            ip(&format!("neigh add {BACKEND} lladdr {} dev provider0 nud permanent", macs[1]));
            [mac_of("contoso0"), mac_of("provider0")]
        });
        let [client_port, backend] = ports;
        Self { name, client: client_port, backend, gateway, _held: (None, vec![client, server]) }
    }
}
