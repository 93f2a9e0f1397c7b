//! Copies the kernel object that `PLNAT_EBPF_OBJ` names to where the daemon embeds it. Without one the daemon builds as
//! well, so that tests, lints and documentation need no BPF toolchain; it then says at run time what is missing.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const VARIABLE: &str = "PLNAT_EBPF_OBJ";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rerun-if-changed=build.rs");
    let embedded = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("plnat.o");
    match env::var_os(VARIABLE) {
        Some(object) => {
            let object = Path::new(&object);
            println!("cargo::rerun-if-changed={}", object.display());
            if object.exists() {
                fs::copy(object, embedded)?;
            } else {
                println!("cargo::warning={VARIABLE} names {}, which does not exist", object.display());
                fs::write(embedded, [])?;
            }
        }
        None => fs::write(embedded, [])?,
    }
    Ok(())
}
