//! `DEVICES`, the interfaces that packets may be redirected to.

use std::os::fd::{AsFd, OwnedFd};

use aya::Ebpf;
use aya::maps::{DevMap, MapData};

use super::{full, take};
use crate::dataplane::PlaneError;
use crate::dataplane::bpf::error::kernel;
use crate::dataplane::bpf::raw;

/// `DEVICES`: an interface redirects to itself by its index.
pub(super) struct Devices {
    map: DevMap<MapData>,
    fd: OwnedFd,
}

impl Devices {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, PlaneError> {
        let (map, fd) = take(ebpf, "DEVICES")?;
        let map = DevMap::try_from(map).map_err(|error| kernel("taking the map DEVICES", error))?;
        Ok(Self { map, fd })
    }

    pub(super) fn add(&mut self, index: u32) -> Result<(), PlaneError> {
        self.map.set(index, index, None, 0).map_err(|error| {
            kernel(format!("entering interface {index} into DEVICES (is it still there?)"), error)
        })
    }

    pub(super) fn remove(&mut self, index: u32) -> Result<(), PlaneError> {
        raw::delete(self.fd.as_fd(), index)
            .map_err(|error| kernel(format!("removing interface {index} from DEVICES"), error))
    }

    /// Refuses an index that is none of an interface.
    pub(super) fn room_for(&self, index: u32) -> Result<(), PlaneError> {
        if self.has_room(index) { Ok(()) } else { Err(full("INTERFACES", self.map.len(), index)) }
    }

    /// False for the places of tagged links, which are no interfaces.
    pub(super) fn has_room(&self, index: u32) -> bool {
        index < self.map.len()
    }

    /// Whether an interface that should be there went.
    pub(super) fn lacks(&self, index: u32) -> bool {
        self.has_room(index) && !self.map.get(index, 0).is_ok_and(|device| device.if_index == index)
    }
}
