//! The MSS of SYN and SYN-ACK, held against both interfaces.

use anyhow::{Context as _, Result, ensure};
use plnat_common::reason::Reason::{ToBackend, ToClient};
use plnat_common::record::Interface;
use plnat_tests::frame::flag::{ACK, SYN};
use plnat_tests::frame::{Frame, Upper};
use plnat_tests::gate::{Gate, MTU, Side};
use plnat_tests::scene::*;

/// A gate whose interface on a side has another MTU.
fn gate(side: Side, mtu: u32) -> Result<Gate> {
    let mut gate = super::gate()?;
    let index = gate.ifindex(side);
    let record: Interface = gate.array("INTERFACES", index)?;
    gate.set("INTERFACES", index, Interface { mtu, ..record })?;
    Ok(gate)
}

fn with_options(mut frame: Frame, new: &[u8]) -> Frame {
    if let Upper::Tcp { options, .. } = &mut frame.upper {
        *options = new.to_vec();
    }
    frame
}

/// Sends a SYN with options and its SYN-ACK with the same ones; both must leave with the others.
fn both_become(gate: &mut Gate, options: &[u8], wanted: &[u8]) -> Result<()> {
    let number =
        20_000 + options.iter().fold(0u16, |sum, &it| sum.wrapping_mul(31).wrapping_add(it.into())) % 30_000;
    let syn = to_endpoint(Side::Contoso, tcp(number, FRONTEND_PORT, SYN));
    let out = gate.expect(
        Side::Contoso,
        &with_options(syn.clone(), options).bytes(),
        ToBackend,
        Some(SERVICE),
        None,
    )?;
    let port = source_port(&out);
    let right = at_backend(&with_options(syn, wanted), NAT, port, BACKEND_PORT).bytes();
    ensure!(out == right, "{out:02x?}, expected\n{right:02x?}");
    let answer = to_nat(NAT, tcp(BACKEND_PORT, port, SYN | ACK));
    let right =
        at_client(Side::Contoso, &with_options(answer.clone(), wanted), number, FRONTEND_PORT).bytes();
    gate.expect(
        Side::Provider,
        &with_options(answer, options).bytes(),
        ToClient,
        Some(SERVICE),
        Some(&right),
    )?;
    Ok(())
}

#[test]
fn what_both_interfaces_carry_stays_and_more_is_lowered_on_either_side() -> Result<()> {
    for side in [Side::Contoso, Side::Provider] {
        let mut gate = gate(side, 1400)?;
        for (says, becomes) in [(1460, 1360), (1361, 1360), (1360, 1360), (536, 536), (65_535, 1360), (0, 0)]
        {
            let option = |mss: u16| [2, 4, (mss >> 8) as u8, mss as u8];
            both_become(&mut gate, &option(says), &option(becomes)).with_context(|| format!("MSS {says}"))?;
        }
    }
    let mut gate = super::gate()?;
    both_become(&mut gate, &[2, 4, 0x23, 0x28], &[2, 4, 0x05, 0xb4])?;
    Ok(())
}

#[test]
fn the_option_is_found_at_every_place_and_checksums_are_right_at_odd_ones() -> Result<()> {
    let mut gate = gate(Side::Provider, 1400)?;
    for before in 0..=36 {
        let mut options = vec![1; before];
        options.extend([2, 4, 0x05, 0xb4]);
        options.resize(options.len().next_multiple_of(4), 0);
        let mut wanted = options.clone();
        wanted[before + 2..before + 4].copy_from_slice(&1360u16.to_be_bytes());
        both_become(&mut gate, &options, &wanted).with_context(|| format!("after {before} bytes"))?;
    }
    // As Linux writes it, and behind an unknown option of the greatest length.
    let linux = |mss: [u8; 2]| [2, 4, mss[0], mss[1], 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    both_become(&mut gate, &linux([0x05, 0xb4]), &linux([0x05, 0x50]))?;
    let long = |mss: [u8; 2]| [&[253, 36][..], &[9; 34], &[2, 4], &mss].concat();
    both_become(&mut gate, &long([0x05, 0xb4]), &long([0x05, 0x50]))
}

#[test]
fn malformed_options_and_segments_without_syn_stay_as_they_are() -> Result<()> {
    let mut gate = gate(Side::Provider, 1400)?;
    for options in [
        &[][..],
        &[0, 2, 4, 5, 0xb4, 0, 0, 0],
        &[2, 3, 5, 0xb4],
        &[2, 0, 5, 0xb4],
        &[3, 0, 2, 4, 0x05, 0xb4, 0, 0],
        &[3, 1, 2, 4, 0x05, 0xb4, 0, 0],
        &[1, 1, 2, 4],
        &[8, 200, 2, 4],
        &[1, 1, 1, 2],
        &[2, 5, 5, 0xb4, 1, 0, 0, 0],
    ] {
        both_become(&mut gate, options, options).with_context(|| format!("{options:?}"))?;
    }
    let port = super::open(
        &mut gate,
        Side::Contoso,
        &to_endpoint(Side::Contoso, tcp(9, FRONTEND_PORT, SYN)),
        BACKEND_PORT,
    )?;
    let sent = with_options(to_endpoint(Side::Contoso, tcp(9, FRONTEND_PORT, ACK)), &[2, 4, 0x05, 0xb4]);
    let wanted = at_backend(&sent, NAT, port, BACKEND_PORT).bytes();
    gate.expect(Side::Contoso, &sent.bytes(), ToBackend, Some(SERVICE), Some(&wanted))?;
    Ok(())
}

#[test]
fn options_of_the_ip_header_and_a_data_offset_beyond_the_packet_do_no_harm() -> Result<()> {
    let mut gate = gate(Side::Provider, 1400)?;
    let mut sent = with_options(to_endpoint(Side::Contoso, tcp(9, FRONTEND_PORT, SYN)), &[2, 4, 0x05, 0xb4]);
    sent.ip_options = vec![1; 40];
    let out = gate.expect(Side::Contoso, &sent.bytes(), ToBackend, Some(SERVICE), None)?;
    let port = u16::from_be_bytes([out[74], out[75]]);
    let wanted = at_backend(&with_options(sent, &[2, 4, 0x05, 0x50]), NAT, port, BACKEND_PORT).bytes();
    ensure!(out == wanted, "{out:02x?}");
    // The header says 60 bytes and the packet has 24: the rest of the frame is no option.
    let mut lying =
        with_options(to_endpoint(Side::Contoso, tcp(10, FRONTEND_PORT, SYN)), &[1, 1, 1, 1]).bytes();
    lying[46] = 0xf0;
    lying.extend([2, 4, 0x05, 0xb4].repeat(10));
    let out = gate.run(Side::Contoso, &lying)?;
    ensure!(out.frame[54..] == lying[54..], "{:02x?}", out.frame);
    ensure!(MTU == 1500);
    Ok(())
}
