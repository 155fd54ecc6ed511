//! Where the real bank transactions lie.

use std::path::{Path, PathBuf};

/// The variable that names the folder of the bank data.
pub const VARIABLE: &str = "FOLIO_BANK_DATA";

/// The folder with `transactions.csv` and `accounts.csv` of the PKDD'99 bank data: the one that
/// `FOLIO_BANK_DATA` names, else `../shared/data/berka` beside the project. None, said loudly,
/// where it is missing.
pub fn real_data() -> Option<PathBuf> {
    let folder = std::env::var_os(VARIABLE).map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .join("shared/data/berka")
        },
        PathBuf::from,
    );
    if folder.join("transactions.csv").is_file() {
        return Some(folder);
    }
    eprintln!(
        "\n*** NOT RUN on real bank transactions: no transactions.csv in {}; set {VARIABLE} ***\n",
        folder.display()
    );
    None
}

/// The hand-made file in the same columns, which is always there.
pub fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}
