//! The binary `tidegate`: everything is in `tidegate-cli`, but for the allocator, which a binary chooses.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tidegate_cli::main()
}
