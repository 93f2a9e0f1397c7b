//! The library source of the compiler for the kernel object, which has no ready-made `core`.

use anyhow::{Context, Result, bail};

use super::{announce, packages};
use crate::command;
use crate::toolchain::{self, Compiler};

/// Debian's compiler, for machines where rustup has nothing that suits.
const DEBIAN: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Finds a compiler with its source; else adds the source to a toolchain of rustup; else installs Debian's compiler.
pub(super) fn ensure() -> Result<Compiler> {
    let mut without = Vec::new();
    for compiler in toolchain::suitable() {
        if compiler.has_source() {
            return Ok(compiler);
        }
        without.push(compiler);
    }
    for compiler in without {
        let Some(name) = &compiler.rustup else { continue };
        announce(
            &format!("rust-src for {name}, through rustup"),
            "the kernel object is for a target without a ready-made `core`, so `core` is compiled with it",
        );
        let mut rustup = command::scrubbed("rustup");
        match command::run(rustup.args(["component", "add", "rust-src", "--toolchain", name])) {
            Ok(()) if compiler.has_source() => return Ok(compiler),
            Ok(()) => eprintln!("setup: rustup is content, but {} has no source", compiler.sysroot.display()),
            Err(error) => eprintln!("setup: {error:#}; trying the next compiler"),
        }
    }
    if let Ok(wanted) = std::env::var("PLNAT_EBPF_TOOLCHAIN") {
        bail!(
            "PLNAT_EBPF_TOOLCHAIN={wanted} names no compiler that suits (Rust 1.87 or newer, with rust-src)"
        );
    }
    announce(
        &format!("{}, Debian's Rust", DEBIAN.join(" ")),
        "rustup has no toolchain of Rust 1.87 or newer to which rust-src could be added",
    );
    packages::install(&DEBIAN)?;
    toolchain::suitable().find(Compiler::has_source).context(
        "neither rustup nor Debian gave a compiler of Rust 1.87 or newer with LLVM 21 to 23 and its source: \
         install rustup (https://rustup.rs), then run `rustup toolchain install stable --component rust-src`",
    )
}
