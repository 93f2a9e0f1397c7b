//! `plnat`: see [`plnat_daemon::cli`].

fn main() -> std::process::ExitCode {
    plnat_daemon::cli::main()
}
