//! The bpf(2) commands that aya 0.14 has no call for. Each takes borrowed descriptors and slices, so that nothing
//! the kernel is given can be gone or too short.

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytemuck::{Pod, Zeroable};

const MAP_DELETE_ELEM: libc::c_int = 3;
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const MAP_LOOKUP_BATCH: libc::c_int = 24;
const MAP_UPDATE_BATCH: libc::c_int = 26;
const LINK_DETACH: libc::c_int = 34;

/// The `batch` member of `union bpf_attr`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The member of `union bpf_attr` for one element.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Element {
    map_fd: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The member of `union bpf_attr` for `OBJ_GET`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Get {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// The `info` member of `union bpf_attr`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Info {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// `struct bpf_link_info` as far as an XDP or tcx link fills it.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    zero: u32,
    ifindex: u32,
    reserved: [u32; 11],
}

/// `BPF_LINK_TYPE_XDP`.
const LINK_TYPE_XDP: u32 = 6;
/// `BPF_LINK_TYPE_TCX`.
const LINK_TYPE_TCX: u32 = 11;

/// What a link is attached to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Target {
    /// Interface index; 0 after the interface went or the link was detached.
    pub(super) ifindex: u32,
    /// Number of the program.
    pub(super) program: u32,
}

/// Runs one command. The caller's `attr` must be the member of `union bpf_attr` that the command reads, and every
/// address in it must be that of memory which is borrowed for the call and as long as the command expects.
fn bpf<A: Pod>(command: libc::c_int, attr: &mut A) -> io::Result<libc::c_long> {
    // SAFETY: `attr` is borrowed mutably and its own size is passed, so the kernel neither reads nor writes past it; the
    // callers below are all there are, and each takes the addresses in it from slices of checked length.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<A>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Opens what is pinned at `path`.
pub(super) fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = Get { pathname: path.as_ptr() as u64, ..Get::zeroed() };
    let fd = bpf(OBJ_GET, &mut attr)?;
    // SAFETY: the command succeeded, so the answer is a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// What a link is attached to; `InvalidInput` when the descriptor is neither an XDP nor a tcx link.
pub(super) fn target(link: BorrowedFd<'_>) -> io::Result<Target> {
    let mut info = LinkInfo::zeroed();
    let mut attr = Info {
        bpf_fd: link.as_raw_fd() as u32,
        info_len: size_of::<LinkInfo>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    if !matches!(info.kind, LINK_TYPE_XDP | LINK_TYPE_TCX) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("link type {} is neither XDP nor tcx", info.kind),
        ));
    }
    Ok(Target { ifindex: info.ifindex, program: info.program })
}

/// Detaches a link at once; dropping the last reference would do it some time later.
pub(super) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = [link.as_raw_fd() as u32];
    bpf(LINK_DETACH, &mut attr).map(drop)
}

/// Deletes an element by a `u32` key; absent is fine.
pub(super) fn delete(map: BorrowedFd<'_>, key: u32) -> io::Result<()> {
    let mut attr =
        Element { map_fd: map.as_raw_fd() as u32, key: std::ptr::from_ref(&key) as u64, ..Element::zeroed() };
    match bpf(MAP_DELETE_ELEM, &mut attr) {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// Reads `values.len()` consecutive elements of an array from `first` on. The map's values must have the size of `V`, which
/// the shape check at open has established for every map of ours.
pub(super) fn read_range<V: Pod>(map: BorrowedFd<'_>, first: u32, values: &mut [V]) -> io::Result<()> {
    let Some(count) = u32::try_from(values.len()).ok().filter(|&count| count > 0) else { return Ok(()) };
    let mut keys = vec![0u32; values.len()];
    // The cursor is the key before the first one wanted; none means from the beginning.
    let before = first.wrapping_sub(1);
    let mut after = 0u32;
    let mut attr = Batch {
        in_batch: if first == 0 { 0 } else { std::ptr::from_ref(&before) as u64 },
        out_batch: std::ptr::from_mut(&mut after) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count,
        map_fd: map.as_raw_fd() as u32,
        elem_flags: 0,
        flags: 0,
    };
    let answer = bpf(MAP_LOOKUP_BATCH, &mut attr);
    match answer {
        // ENOENT: the end of the array was reached, after the elements that are counted.
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
        _ => {}
    }
    if attr.count != count {
        let text = format!("{} of {count} elements from {first} on were read", attr.count);
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    Ok(())
}

/// Writes consecutive elements of an array from `first` on; as for [`read_range`], `V` is the map's value.
pub(super) fn write_range<V: Pod>(map: BorrowedFd<'_>, first: u32, values: &[V]) -> io::Result<()> {
    let Some(count) = u32::try_from(values.len()).ok().filter(|&count| count > 0) else { return Ok(()) };
    let keys: Vec<u32> = (first..).take(values.len()).collect();
    let mut attr = Batch {
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count,
        map_fd: map.as_raw_fd() as u32,
        ..Batch::zeroed()
    };
    bpf(MAP_UPDATE_BATCH, &mut attr).map(drop)
}

/// Flags of a device that tell who keeps VLAN tags beside frames (`ETH_FLAG_RXVLAN`, `ETH_FLAG_TXVLAN`).
pub(super) const RECEIVES_WITHOUT_TAGS: u32 = 1 << 8;
/// See [`RECEIVES_WITHOUT_TAGS`].
pub(super) const SENDS_WITHOUT_TAGS: u32 = 1 << 7;

/// Flags of a device (`ETHTOOL_GFLAGS`).
pub(super) fn device_flags(name: &str) -> io::Result<u32> {
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    const GET_FLAGS: u32 = 0x25;
    let mut value = [GET_FLAGS, 0u32];
    // SAFETY: all zero is a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: the request names a value of two words, which is what this command reads and writes, and both outlive the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if done == 0 { Ok(value[1]) } else { Err(io::Error::last_os_error()) }
}
