//! The binary `tidegate`: everything is in `tidegate-server`.

fn main() -> std::process::ExitCode {
    tidegate_server::main()
}
