//! Counters that every CPU keeps for itself.

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray};
use plnat_common::reason::COLUMNS;

use super::{full, take};
use crate::dataplane::bpf::error::kernel;
use crate::dataplane::{CounterRow, PlaneError};

/// Counters of every CPU.
pub(super) struct Counters {
    name: &'static str,
    rows: PerCpuArray<MapData, CounterRow>,
}

impl Counters {
    pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Self, PlaneError> {
        let (map, _) = take(ebpf, name)?;
        let rows =
            PerCpuArray::try_from(map).map_err(|error| kernel(format!("taking the map {name}"), error))?;
        Ok(Self { name, rows })
    }

    pub(super) fn row(&self, at: u32) -> Result<CounterRow, PlaneError> {
        if at >= self.rows.len() {
            return Err(full(self.name, self.rows.len(), at));
        }
        let cpus =
            self.rows.get(&at, 0).map_err(|error| kernel(format!("reading {}[{at}]", self.name), error))?;
        let mut sum = [0; COLUMNS];
        for cpu in cpus.iter() {
            sum.iter_mut()
                .zip(cpu)
                .for_each(|(sum, count): (&mut u64, &u64)| *sum = sum.wrapping_add(*count));
        }
        Ok(sum)
    }
}
