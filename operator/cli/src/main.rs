//! The `hozen` command.

/// Of the operator, which makes and drops a world in every pass: the C library's own keeps more, and that of a static program is slow.
#[cfg(feature = "cluster")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    hozen_cli::main()
}
