//! The `ledger` program. All of it is in the library, so that tests can build it too.

fn main() -> std::process::ExitCode {
    ledger::main()
}
