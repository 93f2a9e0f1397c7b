//! Client and backends as hosts: addresses, routes and neighbours of their own stacks, in place of the rig's programs.

use anyhow::Result;

use crate::target::Target;
use crate::topology::{BACKENDS, Lane, Offloads, without_offloads};

/// Makes client and backends of a lane hosts. Clients of [`plnat_common::bench::client`] are all the client's own addresses.
pub(crate) fn settle(lane: &Lane, target: Target) -> Result<()> {
    let gateway = lane.consumer_address();
    let batch = format!(
        "link set lo up\naddress add {}/24 dev eth0\nneigh add {gateway} lladdr {} dev eth0 nud permanent\nroute add default via {gateway}\nroute add local 10.{}.0.0/16 dev lo\n",
        lane.client_address(),
        lane.gateway_end().mac_text(),
        lane.clients(),
    );
    lane.client.run(&["ip", "-batch", "-"], &batch)?;
    for at in 0..BACKENDS {
        let (backend, gateway) = (lane.backend(at), lane.provider_address(at));
        let mut batch = format!(
            "link set lo up\naddress add {backend}/32 dev eth0\nneigh add {gateway} lladdr {} dev eth0 nud permanent\nroute add default via {gateway} dev eth0 onlink src {backend}\n",
            lane.provider_end(at).mac_text(),
        );
        if keeps_address(target) {
            batch += &format!("address add {}/32 dev lo\n", lane.endpoint());
        }
        lane.backends[at as usize].run(&["ip", "-batch", "-"], &batch)?;
    }
    if matches!(target, Target::Wire | Target::Haproxy | Target::Nginx) {
        // The gateway itself is who clients talk to.
        let batch = format!("link set lo up\naddress add {}/32 dev lo\n", lane.endpoint());
        lane.gateway.run(&["ip", "-batch", "-"], &batch)?;
        lane.route()?;
    }
    for place in lane.backends.iter().chain([&lane.client]) {
        for name in ["all", "eth0"] {
            place.sysctl(&format!("ipv4/conf/{name}/rp_filter"), "0")?;
        }
        match lane.offloads {
            Offloads::Off => without_offloads(place, "eth0")?,
            // Without this nothing that is redirected arrives at all.
            Offloads::Fresh if matches!(target, Target::Bound | Target::Plnat) => {
                place.run(&["ethtool", "-K", "eth0", "gro", "on"], "")?;
            }
            Offloads::Fresh => {}
        }
    }
    Ok(())
}

/// True when packets reach backends with the address that the client sent to.
pub(crate) fn keeps_address(target: Target) -> bool {
    matches!(target, Target::Bound | Target::Forwarding)
}
