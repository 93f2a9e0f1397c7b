//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::address::AddressKey;

/// Counts connections.
#[derive(Debug)]
pub struct Connections {
    most: usize,
    most_per_address: usize,
    open: Mutex<Open>,
}

#[derive(Default, Debug)]
struct Open {
    all: usize,
    by_address: HashMap<AddressKey, usize>,
}

/// A connection's right to be. Dropping it makes room for another.
#[derive(Debug)]
pub struct Permit {
    connections: Arc<Connections>,
    address: AddressKey,
}

impl Connections {
    /// At most so many in all and from one address.
    pub fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, open: Mutex::default() })
    }

    /// A permit for another connection, if there is room.
    pub fn admit(self: &Arc<Self>, from: IpAddr) -> Option<Permit> {
        let address = AddressKey::from(from);
        let mut open = self.open();
        let mine = open.by_address.get(&address).copied().unwrap_or(0);
        if open.all >= self.most || mine >= self.most_per_address {
            return None;
        }
        open.all += 1;
        open.by_address.insert(address, mine + 1);
        Some(Permit { connections: self.clone(), address })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.open().all
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.all -= 1;
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}
