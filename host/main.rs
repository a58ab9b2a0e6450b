//! The binary `tidegate`: everything is in `tidegate-cli`, but for the allocator, which a binary chooses.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    tidegate_cli::main()
}
