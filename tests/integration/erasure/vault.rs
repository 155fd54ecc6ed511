//! The table of keys.

use folio_core::Actor;
use folio_erasure::{Kept, SubjectId, Vault, VaultError, prepare};
use folio_postgres::{Database, Role};
use folio_tests::postgres;

async fn vault() -> (Database, Vault) {
    let name = postgres::unique("vault");
    let database = prepare(&postgres::server().await, &name).await.unwrap();
    let vault = Vault::new(&database).unwrap();
    (database, vault)
}

fn subject(text: &str) -> SubjectId {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_key_that_is_forgotten_is_gone_and_never_made_again() {
    let (database, vault) = vault().await;
    let (ada, by) = (subject("c-1"), Actor::new("ann").unwrap());
    let nobody = vault.find(&ada).await.unwrap_err();
    assert!(
        matches!(nobody, VaultError::NoSuchSubject { .. }),
        "{nobody:?}"
    );
    let reason = "asked for it".parse().unwrap();
    let nobody = vault.forget(&ada, &by, &reason).await.unwrap_err();
    assert!(
        matches!(nobody, VaultError::NoSuchSubject { .. }),
        "{nobody:?}"
    );

    vault.key_to_seal(&ada).await.unwrap();
    assert!(matches!(vault.find(&ada).await.unwrap(), Kept::Key(_)));
    let first = vault.forget(&ada, &by, &reason).await.unwrap();
    let (eve, another) = (Actor::new("eve").unwrap(), "another".parse().unwrap());
    assert_eq!(vault.forget(&ada, &eve, &another).await.unwrap(), first);
    assert_eq!((&first.by, &first.reason), (&by, &reason));
    let refused = vault.key_to_seal(&ada).await.unwrap_err();
    assert!(
        matches!(refused, VaultError::Forgotten { .. }),
        "{refused:?}"
    );

    let client = postgres::superuser(&database).await;
    let row = client
        .query_one("SELECT key IS NULL, t::text FROM vault.subjects t", &[])
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0), "{}", row.get::<_, String>(1));
}

#[tokio::test]
async fn two_that_seal_at_once_seal_under_one_key() {
    let (_, here) = vault().await;
    let (database, one) = vault().await;
    let other = Vault::new(&database).unwrap();
    let name = "Ada".to_owned().try_into().unwrap();
    let command = folio_core::CommandId::derived(&["x"]);
    for number in 0..20 {
        let ada = subject(&format!("c-{number}"));
        let keys = tokio::join!(one.key_to_seal(&ada), other.key_to_seal(&ada));
        let [a, b] = [keys.0, keys.1].map(|key| key.unwrap().seal("name", command, &name).unwrap());
        assert_eq!(a, b);
        // Of another book it is another key.
        let elsewhere = here.key_to_seal(&ada).await.unwrap();
        assert_ne!(elsewhere.seal("name", command, &name).unwrap(), a);
        assert!(elsewhere.open("name", &a).is_err());
    }
}

#[tokio::test]
async fn no_role_brings_a_key_back_or_swaps_one() {
    let (database, vault) = vault().await;
    let (gone, kept) = (subject("gone"), subject("kept"));
    for subject in [&gone, &kept] {
        vault.key_to_seal(subject).await.unwrap();
    }
    let reason = "asked for it".parse().unwrap();
    let by = Actor::new("ann").unwrap();
    vault.forget(&gone, &by, &reason).await.unwrap();
    let key = "decode(repeat('41', 32), 'hex')";
    let revived = format!(
        "UPDATE vault.subjects SET key = {key}, forgotten_at = NULL, forgotten_by = NULL, reason = NULL"
    );
    let swapped = format!("UPDATE vault.subjects SET key = {key} WHERE subject_id = 'kept'");
    let remade = format!("INSERT INTO vault.subjects (subject_id, key) VALUES ('gone', {key})");
    for (role, statement, code) in [
        (Role::Keeper, revived.as_str(), "23001"),
        (Role::Owner, &revived, "23001"),
        (Role::Keeper, &swapped, "23001"),
        (Role::Keeper, &remade, "23505"),
        (
            Role::Keeper,
            "UPDATE vault.subjects SET reason = 'x' WHERE subject_id = 'gone'",
            "23001",
        ),
        (Role::Keeper, "DELETE FROM vault.subjects", "42501"),
        (Role::Keeper, "TRUNCATE vault.subjects", "42501"),
        (
            Role::Keeper,
            "UPDATE vault.subjects SET created_at = now()",
            "42501",
        ),
        (
            Role::Keeper,
            "INSERT INTO vault.subjects (subject_id, key) VALUES ('new', '')",
            "23514",
        ),
        (
            Role::Keeper,
            "INSERT INTO vault.subjects (subject_id) VALUES ('new')",
            "23514",
        ),
    ] {
        let client = database.connect(role).await.unwrap();
        let refused = client.batch_execute(statement).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), code, "{statement}");
    }
    assert!(matches!(
        vault.find(&gone).await.unwrap(),
        Kept::Forgotten(_)
    ));
    assert!(matches!(vault.find(&kept).await.unwrap(), Kept::Key(_)));
}
