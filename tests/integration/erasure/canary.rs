//! Looks for a text wherever a database can have it.

use folio_postgres::Database;
use folio_tests::postgres;

/// The tables, those of the server included: its statistics hold values of columns.
const TABLES: &str = "SELECT c.oid::regclass::text FROM pg_class c \
     JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relisshared ORDER BY 1";

/// As text, as bytes, which a row shows in hexadecimal, and as bytes in base64 wherever in these it begins.
const PATTERNS: &str = "SELECT ARRAY[$1::text, encode(convert_to($1, 'UTF8'), 'hex')] || ARRAY( \
         SELECT encode(substr(convert_to($1, 'UTF8'), 1 + skip, (length($1) - skip) / 3 * 3), 'base64') \
         FROM generate_series(0, 2) skip)";

/// The tables of these databases that hold one of these texts, and which.
pub(super) async fn places(databases: &[Database], texts: &[String]) -> Vec<String> {
    let mut places = Vec::new();
    for database in databases {
        let client = postgres::superuser(database).await;
        let mut patterns: Vec<String> = Vec::new();
        for text in texts {
            let of_text: Vec<String> = client.query_one(PATTERNS, &[text]).await.unwrap().get(0);
            patterns.extend(of_text.iter().map(|pattern| format!("%{pattern}%")));
        }
        for table in client.query(TABLES, &[]).await.unwrap() {
            let table: String = table.get(0);
            let sql = format!("SELECT count(*) FROM {table} AS t WHERE t::text LIKE ANY($1)");
            let found: i64 = client.query_one(&sql, &[&patterns]).await.unwrap().get(0);
            if found > 0 {
                places.push(format!("{} {table}", database.name()));
            }
        }
    }
    places
}

/// Whether an answer or a log has one of these texts.
pub(super) fn shows(told: &str, texts: &[String]) -> bool {
    texts.iter().any(|text| told.contains(text))
}

/// Bytes as a text in which one can look for others: a character for each.
pub(crate) fn as_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Whether a [text of bytes](as_text) has a secret in any form in which one is written: as it is, in hexadecimal, in base64 wherever
/// in the secret that begins, and as the numbers of its bytes.
pub(crate) fn holds(text: &str, secret: &[u8]) -> bool {
    let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
    let mut forms = vec![
        as_text(secret),
        hexadecimal.to_uppercase(),
        hexadecimal,
        numbers.join(", "),
        numbers.join(","),
    ];
    forms.extend((0..3).map(|skip| base64(&secret[skip..])));
    forms.iter().any(|form| text.contains(form))
}

/// Whole groups of three bytes: the same wherever they stand.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks_exact(3);
    let digits = groups.flat_map(|group| {
        let bits = group
            .iter()
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|by| char::from(DIGITS[bits >> by & 63]))
    });
    digits.collect()
}
