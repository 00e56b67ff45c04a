-- Every ranking that was shown, with what it takes to make it again. In a file of its own: it is bulky, and writing it
-- must not make events wait.

CREATE TABLE rankings (
    ranking_id TEXT NOT NULL UNIQUE,
    made_at_us INTEGER NOT NULL,
    kind TEXT NOT NULL,            -- recommend, rank or similar
    user_id TEXT,                  -- NULL where nobody was named
    request TEXT NOT NULL,         -- as it came, in JSON
    bundle_id TEXT NOT NULL,
    catalog_version INTEGER NOT NULL,
    recipe_version TEXT NOT NULL REFERENCES recipe_versions,
    profile_version INTEGER NOT NULL,
    history BLOB NOT NULL,         -- hash of what the visitor had done
    known TEXT NOT NULL,           -- what expressions asked of the visitor and the request, in JSON
    items TEXT NOT NULL,           -- their ids in order, in JSON
    scores TEXT NOT NULL,
    explored TEXT                  -- place, whether chance drew the item, and how likely it was
) STRICT;

CREATE INDEX rankings_of_user ON rankings (user_id);

-- In order of arrival: in order of the hash, each new one would change pages of its own.
CREATE TABLE histories (
    hash BLOB PRIMARY KEY,
    history BLOB NOT NULL
) STRICT;

CREATE TABLE recipe_versions (
    recipe_version TEXT PRIMARY KEY,
    recipe TEXT NOT NULL           -- in JSON
) STRICT, WITHOUT ROWID;
