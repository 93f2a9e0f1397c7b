//! bpf-linker, built here against the LLVM that the compiler brings, so that no package is needed for it.
//!
//! One from PATH is not used: it does not tell which LLVM it was built with, and an older one than the compiler's
//! fails in the middle of a build. `$PLNAT_BPF_LINKER` names another one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::announce;
use crate::command;
use crate::toolchain::Compiler;
use crate::workspace::Workspace;

const VERSION: &str = "0.13.0";

/// Returns the path of a linker for the compiler's bitcode, after building it if need be.
pub(super) fn ensure(workspace: &Workspace, compiler: &Compiler) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("PLNAT_BPF_LINKER") {
        let named = PathBuf::from(named);
        if !works(&named) {
            bail!("PLNAT_BPF_LINKER={}: not a bpf-linker {VERSION} that runs", named.display());
        }
        return Ok(named);
    }
    let major = compiler.version.llvm;
    let tools = workspace.tools();
    let linker = tools.join("bin/bpf-linker");
    let stamp = tools.join("bpf-linker.llvm");
    let built_for = fs::read_to_string(&stamp).unwrap_or_default();
    if built_for.trim() == major.to_string() && works(&linker) {
        return Ok(linker);
    }

    announce(
        &format!("bpf-linker {VERSION} into {}", tools.display()),
        "it links the kernel object; compiled against the LLVM of the compiler, which takes a minute or two",
    );
    let library = shared_llvm(compiler).with_context(|| {
        format!("no shared LLVM {major} of {compiler} found; on Debian: apt-get install libllvm{major}")
    })?;
    let prefix = llvm_prefix(&tools, &library)?;
    let rpath = library.parent().unwrap_or(Path::new("/usr/lib"));
    let mut cargo = compiler.command();
    cargo.args(["install", "bpf-linker", "--version", &format!("={VERSION}"), "--locked", "--force"]);
    cargo.args(["--no-default-features", "--features", &format!("llvm-{major}")]);
    cargo.arg("--root").arg(&tools).arg("--target-dir").arg(tools.join("build"));
    cargo.env("LLVM_PREFIX", &prefix);
    // Cargo advises to add the directory to PATH when it is not there; nobody needs to.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([tools.join("bin")]);
    cargo.env("PATH", std::env::join_paths(directories)?);
    cargo.env("RUSTFLAGS", format!("-Clink-arg=-Wl,-rpath,{}", rpath.display()));
    // LLVM does its work, so little is lost by optimising the rest less; its debug information helps nobody.
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    command::run(&mut cargo)?;
    if !works(&linker) {
        bail!("{} was built but does not run", linker.display());
    }
    fs::write(&stamp, major.to_string()).with_context(|| stamp.display().to_string())?;
    // 300 MB that nothing needs again; if they stay, they only take room.
    let _ = fs::remove_dir_all(tools.join("build"));
    Ok(linker)
}

/// True if it starts, which an update of the toolchain that brought its LLVM can end.
fn works(linker: &Path) -> bool {
    let said = command::capture(command::scrubbed(linker).arg("--version"));
    said.is_ok_and(|said| said.trim() == format!("bpf-linker {VERSION}"))
}

/// LLVM as a shared library: the compiler's own, or the system's.
fn shared_llvm(compiler: &Compiler) -> Option<PathBuf> {
    let major = compiler.version.llvm;
    let mut directories = vec![compiler.sysroot.join("lib"), format!("/usr/lib/llvm-{major}/lib").into()];
    directories
        .extend(entries(Path::new("/usr/lib")).filter(|path| path.to_string_lossy().ends_with("-linux-gnu")));
    directories.iter().flat_map(|directory| entries(directory)).find(|path| {
        path.file_name().is_some_and(|name| is_llvm(&name.to_string_lossy(), major)) && path.is_file()
    })
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// True for the names that rustup, Debian and LLVM itself give the library. `libLLVM-22-rust-1.95.0-stable.so` is
/// none of them: it is a line of text that points to the library.
fn is_llvm(name: &str, major: u32) -> bool {
    let versioned = format!("libLLVM.so.{major}");
    name == versioned
        || name.strip_prefix(&versioned).is_some_and(|rest| rest.starts_with('.'))
        || name == format!("libLLVM-{major}.so")
}

/// The layout of an installed LLVM, of which bpf-linker's build needs this one file.
fn llvm_prefix(tools: &Path, library: &Path) -> Result<PathBuf> {
    let prefix = tools.join("llvm");
    let link = prefix.join("lib/libLLVM.so");
    fs::create_dir_all(prefix.join("lib")).with_context(|| prefix.display().to_string())?;
    match fs::remove_file(&link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| link.display().to_string());
        }
        _ => std::os::unix::fs::symlink(library, &link).with_context(|| link.display().to_string())?,
    }
    Ok(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_told_from_what_lies_beside_it() {
        for name in
            ["libLLVM.so.22.1-rust-1.95.0-stable", "libLLVM.so.22.1", "libLLVM.so.22", "libLLVM-22.so"]
        {
            assert!(is_llvm(name, 22), "{name}");
        }
        for name in [
            "libLLVM-22-rust-1.95.0-stable.so",
            "libLLVM.so.221",
            "libLLVM.so.21.1",
            "libLLVM-14.so",
            "libLLVM.so",
        ] {
            assert!(!is_llvm(name, 22), "{name}");
        }
    }

    #[test]
    fn what_does_not_run_or_is_another_program_is_no_linker() {
        assert!(!works(Path::new("/nonexistent/bpf-linker")));
        assert!(!works(Path::new("/bin/true")));
    }
}
