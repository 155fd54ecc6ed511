//! The same program as `ledger`, built beside the tests so that they can start and kill it.

fn main() -> std::process::ExitCode {
    ledger::main()
}
