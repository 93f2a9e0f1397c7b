//! From intent to records: slots, look-up tables and port blocks, and the difference to what is installed. No I/O.

mod records;

pub use records::{Records, Table, Write};
