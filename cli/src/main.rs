fn main() { ledger::main() }
