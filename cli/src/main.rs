//! The `ledger` program. All of it is in the library, so that tests can build it too.

#[global_allocator]
static ALLOCATOR: ledger::Allocator = ledger::Allocator;

fn main() -> std::process::ExitCode {
    ledger::main()
}
