//! The same program as `folio-verify`, built beside the tests.

fn main() -> std::process::ExitCode {
    folio_proofs::verify::main()
}
