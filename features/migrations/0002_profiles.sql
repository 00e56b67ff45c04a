-- Another id of the same person, in an identify event.
ALTER TABLE events ADD COLUMN same_as TEXT;

-- The profiles know items by number; a number is given once and never again.
CREATE TABLE item_numbers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    item_id TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO item_numbers (item_id) SELECT item_id FROM items ORDER BY item_id;
CREATE TRIGGER items_have_numbers AFTER INSERT ON items BEGIN
    INSERT INTO item_numbers (item_id)
        SELECT new.item_id WHERE NOT EXISTS (SELECT 1 FROM item_numbers WHERE item_id = new.item_id);
END;

-- The numbers of event types of the shop's own, and of the values that contexts have.
CREATE TABLE name_numbers (
    number INTEGER PRIMARY KEY,
    field TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (field, name)
) STRICT;

-- What is known of each id that events carry, a fold of them; `person` is the same for the ids of one person.
CREATE TABLE profiles (
    number INTEGER PRIMARY KEY,
    user_id TEXT NOT NULL UNIQUE,
    person TEXT,
    account_id TEXT,
    version INTEGER NOT NULL,
    profile BLOB NOT NULL
) STRICT;
CREATE INDEX profiles_by_person ON profiles (person) WHERE person IS NOT NULL;
CREATE INDEX profiles_by_account ON profiles (account_id) WHERE account_id IS NOT NULL;

-- What identify and unidentify events said; which ids are one person follows from it.
CREATE TABLE links (
    user_id TEXT NOT NULL,
    same_as TEXT NOT NULL,
    first_us INTEGER,
    last_us INTEGER,
    ended_us INTEGER,
    PRIMARY KEY (user_id, same_as)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_to ON links (same_as, first_us, user_id);

-- Which files of the history the profiles know of, and which live events they do not.
ALTER TABLE history_files ADD COLUMN folded INTEGER NOT NULL DEFAULT 0;
CREATE TABLE profile_fold (
    unfolded_until INTEGER NOT NULL
) STRICT;
INSERT INTO profile_fold SELECT coalesce(max(sequence), 0) FROM events;

-- Events of unfolded files that the profiles have known since they arrived live.
CREATE TABLE folded_events (
    event_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
