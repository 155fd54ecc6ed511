-- Each seal updates the buckets of all streams that it has events of. With room on its page a row's next version needs no entry in
-- the index, and is cleared away by the next seal and not by a vacuum. Less than half of a page is for what is inserted: a pointer
-- from the old place to the new one takes a little too. Rows that are there already get the room as they are updated.
ALTER TABLE audit.buckets SET (fillfactor = 45);
