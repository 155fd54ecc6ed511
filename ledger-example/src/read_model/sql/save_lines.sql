-- All statement lines of a batch. A line that is there already is a doubled event: the primary key
-- refuses it, loudly, and the batch with it.
INSERT INTO balances.statement_lines (
    account_id, version, position, recorded_at, effective_date, side, amount, balance, contra,
    reference, description)
SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::date[], $6::text[], $7::numeric[],
    $8::numeric[], $9::text[], $10::text[], $11::text[])
