//! `folio-verify`: see [`folio_proofs::verify`].

fn main() -> std::process::ExitCode {
    folio_proofs::verify::main()
}
