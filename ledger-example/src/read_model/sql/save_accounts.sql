-- All accounts that a batch touched, new and known, in one statement.
INSERT INTO balances.accounts AS a (
    account_id, currency, status, overdraft, overdraft_limit, credits_posted, debits_posted,
    version, position, opened_at, updated_at)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::numeric[], $7::numeric[],
    $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
ON CONFLICT (account_id) DO UPDATE
SET status         = excluded.status,
    credits_posted = excluded.credits_posted,
    debits_posted  = excluded.debits_posted,
    version        = excluded.version,
    position       = excluded.position,
    updated_at     = excluded.updated_at
