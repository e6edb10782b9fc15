//! The `hozen` command.

fn main() -> std::process::ExitCode {
    hozen_cli::main()
}
