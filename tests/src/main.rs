//! The same program as `ledger`, built beside the tests so that they can start and kill it.

#[global_allocator]
static ALLOCATOR: ledger::Allocator = ledger::Allocator;

fn main() -> std::process::ExitCode {
    ledger::main()
}
