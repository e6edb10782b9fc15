//! The `hozen` command.

/// A sixth of a simulation's time went into the C library's allocator.
#[cfg(target_env = "gnu")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    hozen_cli::main()
}
