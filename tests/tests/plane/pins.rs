//! What is pinned and must not be taken over, and what is missing to open a plane.

use aya::maps::Array;
use plnat_daemon::dataplane::DataPlane;
use plnat_daemon::dataplane::bpf::{BpfPlane, OpenError, Options, reset};
use plnat_daemon::netlink::facts;
use plnat_tests::space::{Space, ip};

use crate::kit::{NATIVE, index, open, options};

#[test]
fn a_pinned_map_of_another_shape_is_refused_before_anything_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        drop(open(directory));
        let pin = directory.join(format!("bpf/v{}/maps/ENDPOINTS", plnat_common::ABI_VERSION));
        let refused = |what: &str| {
            let error = BpfPlane::open(&options(directory)).err().expect("a refusal").to_string();
            assert!(error.contains("ENDPOINTS") && error.contains(what), "{error}");
            assert!(error.contains("--reset-dataplane"), "{error}");
            std::fs::remove_file(&pin).unwrap();
        };
        std::fs::remove_file(&pin).unwrap();
        Array::<_, [u64; 65]>::create(16, 0).unwrap().pin(&pin).unwrap();
        refused("520 bytes");
        aya::maps::HashMap::<_, u32, [u64; 4]>::create(16, 0).unwrap().pin(&pin).unwrap();
        refused("Hash");
        Array::<_, [u64; 4]>::create(16, 1 << 10).unwrap().pin(&pin).unwrap();
        refused("flags");
        Array::<_, [u64; 4]>::create(17, 0).unwrap().pin(&pin).unwrap();
        let error = BpfPlane::open(&options(directory)).err().expect("a refusal").to_string();
        assert!(error.contains("17 records") || error.contains("go with the other maps"), "{error}");
        std::fs::remove_file(&pin).unwrap();
        let error = BpfPlane::open(&options(directory)).err().expect("a refusal").to_string();
        assert!(error.contains("ENDPOINTS"), "{error}");
    });
}

#[test]
fn maps_of_another_store_or_layout_are_refused_until_they_are_reset() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        ip("link add ga type veth peer name gb");
        let bpffs = directory.join("bpf");
        assert!(!reset(&bpffs).unwrap());
        let mut plane = open(directory);
        plane.attach("ga", &NATIVE).unwrap();
        assert!(matches!(reset(&bpffs), Err(OpenError::InUse { .. })));
        drop(plane);

        let foreign = Options { store: [7, 7], ..options(directory) };
        let error = BpfPlane::open(&foreign).err().expect("a refusal");
        assert!(matches!(error, OpenError::OtherStore { .. }), "{error}");
        assert!(error.to_string().contains("--reset-dataplane"), "{error}");
        assert!(facts::of(index("ga")).unwrap().xdp_program.is_some(), "a refusal touches nothing");

        std::fs::create_dir(bpffs.join("v999")).unwrap();
        let error = BpfPlane::open(&options(directory)).err().expect("a refusal");
        assert!(matches!(error, OpenError::OtherLayout { .. }), "{error}");

        assert!(reset(&bpffs).unwrap());
        assert_eq!(facts::of(index("ga")).unwrap().xdp_program, None);
        let plane = BpfPlane::open(&foreign).unwrap_or_else(|error| panic!("{error}"));
        assert!(!plane.taken_over());
    });
}

#[test]
fn a_first_start_that_was_killed_half_way_is_no_data_plane() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        drop(open(directory));
        let version = directory.join(format!("bpf/v{}", plnat_common::ABI_VERSION));
        std::fs::rename(version.join("maps"), version.join("maps_unfinished")).unwrap();
        std::fs::remove_file(version.join("maps_unfinished/META")).unwrap();
        assert!(!open(directory).taken_over());
        assert!(open(directory).taken_over());
    });
}

#[test]
fn a_missing_capability_is_named() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        drop(open(directory.path()));
        // The effective set of this thread only: CAP_BPF (39), CAP_PERFMON (38) and the two that stand in for them.
        let old = effective(!(1 << 39 | 1 << 38 | 1 << 21));
        let refused = BpfPlane::open(&options(directory.path()));
        restore(old);
        let error = format!("{:#}", anyhow::Error::new(refused.err().expect("a refusal")));
        assert!(error.contains("CAP_BPF"), "{error}");
    });
}

/// `struct __user_cap_data_struct`, version 3.
type Capabilities = [[u32; 3]; 2];
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Takes capabilities out of the thread's effective set and returns what they were.
fn effective(mask: u64) -> Capabilities {
    let mut header = [CAPABILITY_VERSION, 0];
    let mut all: Capabilities = [[0; 3]; 2];
    // SAFETY: header and data have the layout of version 3 and outlive the call.
    assert_eq!(unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), all.as_mut_ptr()) }, 0);
    let mut fewer = all;
    fewer[0][0] &= mask as u32;
    fewer[1][0] &= (mask >> 32) as u32;
    restore(fewer);
    all
}

fn restore(capabilities: Capabilities) {
    let mut header = [CAPABILITY_VERSION, 0];
    // SAFETY: as above.
    assert_eq!(unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), capabilities.as_ptr()) }, 0);
}
